package jobs

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Records walks all records of the tenant: jobs that started or ended within
// the time results are kept. Jobs that still wait in the queue are in
// QueuedIDs.
func (c *Client) Records(ctx context.Context) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		watch, err := c.status.Watch(ctx, c.tenant+".*", jetstream.IgnoreDeletes())
		if err != nil {
			yield(nil, fmt.Errorf("list jobs: %w", err))
			return
		}
		defer func() { _ = watch.Stop() }()
		for {
			select {
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			case entry, ok := <-watch.Updates():
				if !ok || entry == nil { // nil: all that was there has been seen
					return
				}
				r, err := decodeRecord(entry.Value())
				if !yield(r, err) {
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
	Priority        Priority
	Pending, Active int
}

// Depths gives the depth of each priority's queue.
func (c *Client) Depths(ctx context.Context) ([]QueueDepth, error) {
	var out []QueueDepth
	for _, p := range Priorities {
		cons, err := c.js.Consumer(ctx, StreamJobs, consumerName(c.tenant, p))
		if err != nil {
			continue // never used
		}
		info := cons.CachedInfo()
		out = append(out, QueueDepth{Priority: p, Pending: int(info.NumPending), Active: info.NumAckPending})
	}
	return out, nil
}
