package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// window is the document of a rate: how many starts were granted when, over
// the last time that the rate is about. Grants of a short while are counted
// together, and count until the last of them is old enough: so in no such time
// are more granted than the limit.
//
// A bucket that drips (GCRA) would be one number instead of a list, but lets
// almost twice the limit pass in some windows, and a rate is most often set
// because somebody else counts in windows.
type window struct {
	Grants []grants `json:"grants"`
}

// grants are starts that were granted at about one time.
type grants struct {
	At int64 `json:"at"` // ms since 1970, by the fleet's time
	N  int   `json:"n"`
}

// windowParts is into how many parts a rate's time is split for counting; a
// rate that is always used up loses one of them.
const windowParts = 50

const maxWindow = 16 << 10 // bytes of the document

func decodeWindow(data []byte) (*window, error) {
	if len(data) > maxWindow {
		return nil, fmt.Errorf("%d bytes, at most %d", len(data), maxWindow)
	}
	w := &window{}
	if err := json.Unmarshal(data, w); err != nil {
		return nil, err
	}
	for _, g := range w.Grants {
		if g.N < 0 || g.N > maxLimit {
			return nil, fmt.Errorf("%d starts at one time", g.N)
		}
	}
	return w, nil
}

// part is the time that is counted together.
func (r keyRate) part() time.Duration {
	return max(time.Duration(r.Per)/windowParts, time.Millisecond)
}

// sweep forgets what is old, and what cannot be: a time that lies ahead.
func (w *window) sweep(r keyRate, now time.Time) {
	kept := w.Grants[:0]
	for _, g := range w.Grants {
		at := time.UnixMilli(g.At)
		if g.N > 0 && now.Before(at.Add(time.Duration(r.Per)+r.part())) && at.Before(now.Add(clockDoubt(AckWait))) {
			kept = append(kept, g)
		}
	}
	w.Grants = kept
}

// take grants up to n starts. When it grants none, next is when to ask again.
func (w *window) take(r keyRate, n int, now time.Time) (granted int, next time.Time) {
	w.sweep(r, now)
	used := 0
	oldest := now
	for _, g := range w.Grants {
		used += g.N
		if at := time.UnixMilli(g.At); at.Before(oldest) {
			oldest = at
		}
	}
	granted = min(n, r.Limit-used)
	if granted <= 0 {
		return 0, oldest.Add(time.Duration(r.Per) + r.part())
	}
	at := now.Truncate(r.part()).UnixMilli()
	for i := range w.Grants {
		if w.Grants[i].At == at {
			w.Grants[i].N += granted
			return granted, time.Time{}
		}
	}
	w.Grants = append(w.Grants, grants{At: at, N: granted})
	return granted, time.Time{}
}

// back returns starts that were granted and not used, newest first.
func (w *window) back(n int) {
	for i := len(w.Grants) - 1; i >= 0 && n > 0; i-- {
		k := min(n, w.Grants[i].N)
		w.Grants[i].N -= k
		n -= k
	}
}

// changeWindow changes a rate's document by compare-and-set. change tells
// whether there is something to write.
func changeWindow(ctx context.Context, kv jetstream.KeyValue, doc string, change func(*window) bool) error {
	for {
		w, rev := &window{}, uint64(0)
		entry, err := kv.Get(ctx, doc)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
		case err != nil:
			return fmt.Errorf("read the starts of %s: %w", doc, err)
		default:
			rev = entry.Revision()
			if w, err = decodeWindow(entry.Value()); err != nil {
				// It holds nothing that is worth a stopped key: a rate's time later
				// it would be empty anyway.
				w = &window{}
			}
		}
		if !change(w) {
			return nil
		}
		data, err := json.Marshal(w)
		if err != nil {
			return err
		}
		if rev == 0 {
			_, err = kv.Create(ctx, doc, data)
		} else {
			_, err = kv.Update(ctx, doc, data, rev)
		}
		if err == nil || !isConflict(err) {
			return err
		}
		if !sleep(ctx, jitter(5*time.Millisecond)) {
			return context.Cause(ctx)
		}
	}
}
