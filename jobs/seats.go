package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// seats is the document of a capped tenant's places: who holds how many, and
// until when by the fleet's time. It is changed by compare-and-set only, so
// that the sum never exceeds the cap, however many workers want some.
type seats struct {
	Holders map[string]seat `json:"holders"`
}

// seat is what one worker holds.
type seat struct {
	N     int       `json:"n"`
	Until time.Time `json:"until"`
}

// maxSeatsDocument bounds what is read of a document, in bytes: some thousands
// of workers.
const maxSeatsDocument = 512 << 10

// readSeats gives the document and its revision, 0 when there is none. One
// that cannot be read counts as full: it may hold places.
func readSeats(ctx context.Context, kv jetstream.KeyValue, tenant string) (*seats, uint64, error) {
	entry, err := kv.Get(ctx, tenant)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return &seats{Holders: map[string]seat{}}, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the places of tenant %s: %w", tenant, err)
	}
	s, err := decodeSeats(entry.Value())
	if err != nil {
		return nil, 0, fmt.Errorf("read the places of tenant %s: %w; remove the key %s of the bucket %s when no worker runs", tenant, err, tenant, BucketPlaces)
	}
	return s, entry.Revision(), nil
}

func decodeSeats(data []byte) (*seats, error) {
	if len(data) > maxSeatsDocument {
		return nil, fmt.Errorf("%d bytes, at most %d", len(data), maxSeatsDocument)
	}
	s := &seats{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, err
	}
	for worker, h := range s.Holders {
		if h.N < 0 || h.N > MaxConcurrency {
			return nil, fmt.Errorf("worker %s holds %d", worker, h.N)
		}
	}
	if s.Holders == nil {
		s.Holders = map[string]seat{}
	}
	return s, nil
}

// sweep drops holders that have fallen silent. No time may lie further ahead
// than a holder can honestly have written.
func (s *seats) sweep(now time.Time, ackWait time.Duration) {
	doubt := clockDoubt(ackWait)
	latest := now.Add(ackWait + doubt)
	for worker, h := range s.Holders {
		switch {
		case h.N == 0 || h.Until.Add(doubt).Before(now):
			delete(s.Holders, worker)
		case h.Until.After(latest):
			h.Until = latest
			s.Holders[worker] = h
		}
	}
}

// clockDoubt is how far two workers' ideas of the fleet's time may be apart.
func clockDoubt(ackWait time.Duration) time.Duration { return min(2*time.Second, ackWait/4) }

// others is how many places all but one worker hold.
func (s *seats) others(worker string) int {
	n := 0
	for name, h := range s.Holders {
		if name != worker {
			n += h.N
		}
	}
	return n
}

// write stores the document if nobody changed it since rev was read.
func (s *seats) write(ctx context.Context, kv jetstream.KeyValue, tenant string, rev uint64) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if rev == 0 {
		_, err = kv.Create(ctx, tenant, data)
	} else {
		_, err = kv.Update(ctx, tenant, data, rev)
	}
	return err
}

// placesHeld is how many places of a tenant workers hold now.
func (c *Client) placesHeld(ctx context.Context, tenant string) (int, error) {
	kv, err := bindBucket(ctx, c.js, BucketPlaces)
	if err != nil {
		return 0, err
	}
	s, _, err := readSeats(ctx, kv, tenant)
	if err != nil {
		return 0, err
	}
	s.sweep(c.Now(ctx), AckWait)
	return s.others(""), nil
}
