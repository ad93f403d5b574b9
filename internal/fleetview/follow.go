package fleetview

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/jobs"
)

// maxBacklog is how many of the newest changes in the bucket of records, of all
// tenants, are read at the start.
const maxBacklog = 4 * maxKnown

// retryEvery is how long to wait after something could not be read.
const retryEvery = 5 * time.Second

// followRecords watches the tenant's records. A watch that breaks is made anew:
// what is seen twice changes nothing.
func (v *View) followRecords(ctx context.Context) {
	for {
		err := v.watchRecords(ctx)
		if ctx.Err() != nil {
			return
		}
		v.problem("jobs", err)
		if !pause(ctx, retryEvery) {
			return
		}
	}
}

func (v *View) watchRecords(ctx context.Context) error {
	kv, err := v.src.Stream.KeyValue(ctx, jobs.BucketStatus)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return jobs.ErrNoFleet
	}
	if err != nil {
		return fmt.Errorf("open the records: %w", err)
	}
	opts := []jetstream.WatchOpt{jetstream.IgnoreDeletes()}
	if status, err := kv.Status(ctx); err == nil {
		if s, ok := status.(*jetstream.KeyValueBucketStatus); ok && s.StreamInfo().State.LastSeq > maxBacklog {
			opts = append(opts, jetstream.ResumeFromRevision(s.StreamInfo().State.LastSeq-maxBacklog))
			v.mu.Lock()
			v.book.older = true
			v.mu.Unlock()
		}
	}
	watch, err := kv.Watch(ctx, v.Tenant()+".*", opts...)
	if err != nil {
		return fmt.Errorf("watch the records: %w", err)
	}
	defer stopWatch(watch)
	v.problem("jobs", nil)
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, open := <-watch.Updates():
			switch {
			case !open:
				return errors.New("the watch of the records ended")
			case u == nil: // all that was there has been seen
				v.mu.Lock()
				v.loaded = true
				v.mu.Unlock()
				continue
			}
			h, err := decodeHead(u.Value())
			if err != nil || h.Tenant != v.Tenant() {
				continue // not for us to mend
			}
			now := time.Now()
			v.mu.Lock()
			at := u.Created().Add(-v.offset)
			if v.loaded {
				at = now
			}
			v.book.put(h, at, now)
			v.mu.Unlock()
		}
	}
}

// stopWatch ends a watch that may not have been read to its end: what is on
// its way is taken, so that the goroutine that hands it over can end.
func stopWatch(w jetstream.KeyWatcher) {
	if w.Stop() != nil {
		return
	}
	for range w.Updates() {
	}
}
