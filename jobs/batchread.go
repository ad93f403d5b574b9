package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// BatchList lists some members of a batch that are not counted up yet.
type BatchList struct {
	From int // position of the first
	IDs  []string
}

// BatchLists walks the members of a batch's generation whose ends are not all
// in its record yet. The others have ended.
func (c *Client) BatchLists(ctx context.Context, rec *Batch) iter.Seq2[BatchList, error] {
	return func(yield func(BatchList, error) bool) {
		for next := uint64(1); ; {
			last := uint64(0)
			q := directQuery{NextBy: "members." + c.tenant + "." + rec.ID + ".*", Seq: next, Batch: 16}
			pending, err := directGet(ctx, c.nc, StreamJobs, q, func(m directMessage) error {
				last = m.seq
				l, ids, err := decodeMembers(m.data)
				if err != nil || l.Generation != rec.Generation {
					return nil
				}
				if !yield(BatchList{l.From, ids}, nil) {
					return errStop
				}
				return nil
			})
			switch {
			case errors.Is(err, errStop):
				return
			case err != nil:
				yield(BatchList{}, fmt.Errorf("read the members of batch %s: %w", rec.ID, err))
				return
			case pending == 0 || last == 0:
				return
			}
			next = last + 1
		}
	}
}

// Batches walks the records of the tenant's batches.
func (c *Client) Batches(ctx context.Context) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		for u, err := range c.watchBatches(ctx, "*") {
			if err == nil && u.all {
				return
			}
			if err == nil && u.rec == nil {
				continue
			}
			if !yield(u.rec, err) {
				return
			}
		}
	}
}

// WatchBatch gives a batch's record, and again whenever it changes, until ctx
// ends. A record that goes away ends it with *NotFoundError.
func (c *Client) WatchBatch(ctx context.Context, id string) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if !ValidID(id) {
			yield(nil, fmt.Errorf("batch id %q is not 1 to 64 letters, digits, - or _", id))
			return
		}
		seen := false
		for u, err := range c.watchBatches(ctx, id) {
			switch {
			case err != nil:
				yield(nil, err)
				return
			case u.all && seen:
				continue
			case u.rec == nil:
				yield(nil, noBatch(id))
				return
			}
			seen = true
			if !yield(u.rec, nil) {
				return
			}
		}
	}
}

// batchUpdate is what a watch of batches gives: a record, one that is gone
// (nil), or that all there were have been seen.
type batchUpdate struct {
	rec *Batch
	at  time.Time
	rev uint64
	all bool
}

func (c *Client) watchBatches(ctx context.Context, id string, opts ...jetstream.WatchOpt) iter.Seq2[batchUpdate, error] {
	return func(yield func(batchUpdate, error) bool) {
		book, err := c.batches(ctx)
		if err != nil {
			yield(batchUpdate{}, err)
			return
		}
		watch, err := book.kv.Watch(ctx, batchKey(c.tenant, id), opts...)
		if err != nil {
			yield(batchUpdate{}, fmt.Errorf("watch batches: %w", hintPublish(err)))
			return
		}
		defer stopWatch(watch)
		for {
			var u batchUpdate
			select {
			case <-ctx.Done():
				yield(batchUpdate{}, context.Cause(ctx))
				return
			case entry, ok := <-watch.Updates():
				switch {
				case !ok:
					yield(batchUpdate{}, errors.New("watch batches: the watch ended"))
					return
				case entry == nil:
					u.all = true
				case entry.Operation() == jetstream.KeyValuePut:
					rec, err := decodeBatch(entry.Key(), entry.Value())
					if err != nil {
						if !yield(batchUpdate{}, err) {
							return
						}
						continue
					}
					u = batchUpdate{rec: rec, at: entry.Created(), rev: entry.Revision()}
				}
			}
			if !yield(u, nil) {
				return
			}
		}
	}
}

// QueueSize is how many of the tenant's jobs wait for a worker or are held by
// one, as the server counts them.
func (c *Client) QueueSize(ctx context.Context) (int, error) {
	depths, err := c.Depths(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, d := range depths {
		n += d.Pending + d.Active
	}
	return n, nil
}

// seqAt gives the sequence of the first message of a subject that was stored at
// or after a time, or 0 when there is none.
func (c *Client) seqAt(ctx context.Context, stream, subject string, at time.Time) (uint64, error) {
	at = at.UTC()
	seq := uint64(0)
	_, err := directGet(ctx, c.nc, stream, directQuery{NextBy: subject, StartTime: &at, Batch: 1}, func(m directMessage) error {
		seq = m.seq
		return nil
	})
	return seq, err
}
