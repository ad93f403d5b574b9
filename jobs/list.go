package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Records walks all records of the tenant: jobs that started or ended within
// the time results are kept. Jobs that still wait in the queue are in
// QueuedIDs.
func (c *Client) Records(ctx context.Context) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for h, err := range c.RecordHeads(ctx) {
			var r *Record
			if err == nil {
				r, err = h.Record()
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// RecordHead is a record that has not been decoded: enough to pass over those
// that are not wanted.
type RecordHead struct {
	ID string
	// Done tells whether the job has ended.
	Done bool
	// Raw is the record's JSON.
	Raw []byte
}

// Record decodes the record.
func (h *RecordHead) Record() (*Record, error) { return decodeRecord(h.Raw) }

// doneHead is how the JSON of a finished record starts; State is its first
// field.
var doneHead = []byte(`{"state":"done",`)

// RecordHeads is Records for those who want few of many.
func (c *Client) RecordHeads(ctx context.Context) iter.Seq2[RecordHead, error] {
	return func(yield func(RecordHead, error) bool) {
		watch, err := c.status.Watch(ctx, c.tenant+".*", jetstream.IgnoreDeletes())
		if err != nil {
			yield(RecordHead{}, fmt.Errorf("list jobs: %w", err))
			return
		}
		defer stopWatch(watch)
		for {
			select {
			case <-ctx.Done():
				yield(RecordHead{}, context.Cause(ctx))
				return
			case entry, ok := <-watch.Updates():
				if !ok || entry == nil { // nil: all that was there has been seen
					return
				}
				h := RecordHead{ID: strings.TrimPrefix(entry.Key(), c.tenant+"."), Raw: entry.Value()}
				h.Done = bytes.HasPrefix(h.Raw, doneHead)
				if !yield(h, nil) {
					return
				}
			}
		}
	}
}

// QueuedIDs gives the ids of the tenant's jobs whose messages are in the
// queue: waiting, running or between attempts.
func (c *Client) QueuedIDs(ctx context.Context) ([]string, error) {
	stream, err := c.js.Stream(ctx, StreamJobs)
	if err != nil {
		return nil, fmt.Errorf("open the queue: %w", hintPublish(err))
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter("jobs."+c.tenant+".*.*"))
	if err != nil {
		return nil, fmt.Errorf("list the queue: %w", err)
	}
	ids := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		ids = append(ids, subject[strings.LastIndexByte(subject, '.')+1:])
	}
	return ids, nil
}

// QueueDepth is how many of the tenant's jobs wait for a worker, and how many
// are held by one.
type QueueDepth struct {
	// Priority is high, normal or low; Keyed in what KeyedDepth gives.
	Priority        Priority
	Pending, Active int
}

// Depths gives the depth of each priority's queue that has been used. Jobs of
// concurrency and rate keys wait elsewhere: see KeyedDepth.
func (c *Client) Depths(ctx context.Context) ([]QueueDepth, error) {
	var out []QueueDepth
	for _, p := range Priorities {
		d, used, err := c.depth(ctx, lane(p))
		if err != nil {
			return nil, err
		}
		if used {
			d.Priority = p
			out = append(out, d)
		}
	}
	return out, nil
}

// depthsAtOnce bounds the queues of keys that are asked for at once.
const depthsAtOnce = 16

// KeyedDepth adds up the queues of the tenant's concurrency and rate keys, of
// which there are at most MaxKeys; used tells whether there are any. It asks
// the server about each.
func (c *Client) KeyedDepth(ctx context.Context) (sum QueueDepth, used bool, err error) {
	sum.Priority = Keyed
	kv, err := bindBucket(ctx, c.js, BucketKeys)
	if err != nil {
		return sum, false, err
	}
	list, err := kv.ListKeysFiltered(ctx, c.tenant+".*")
	if err != nil {
		return sum, false, fmt.Errorf("list the keys of tenant %s: %w", c.tenant, err)
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(depthsAtOnce)
	for key := range list.Keys() {
		l := lane(strings.TrimPrefix(key, c.tenant+"."))
		if !l.isKey() {
			continue
		}
		g.Go(func() error {
			d, there, err := c.depth(gctx, l)
			mu.Lock()
			defer mu.Unlock()
			sum.Pending, sum.Active, used = sum.Pending+d.Pending, sum.Active+d.Active, used || there
			return err
		})
	}
	return sum, used, g.Wait()
}

// depth asks about one queue; it is not there before its first job, and after
// its key was idle for long.
func (c *Client) depth(ctx context.Context, l lane) (d QueueDepth, there bool, err error) {
	cons, err := c.js.Consumer(ctx, StreamJobs, consumerName(c.tenant, l))
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return d, false, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return d, false, ErrNoFleet
	case err != nil:
		return d, false, fmt.Errorf("read the depth of queue %s: %w", consumerName(c.tenant, l), err)
	}
	info := cons.CachedInfo()
	d.Pending, d.Active = int(info.NumPending), info.NumAckPending
	return d, true, nil
}
