package jobs

import (
	"context"
	"errors"
	"fmt"
)

// BatchCancel counts what a cancel of a batch found.
type BatchCancel struct {
	Queued    int // waited and never run
	Requested int // run, and were told to stop
	Done      int // had ended already
	// Unmade says that jobs that were announced are not made any more.
	Unmade bool
}

// CancelBatch cancels everything that belongs to a batch and has not ended,
// and whatever would be submitted to it later. Once the record says so the
// coordinator does the same: a caller that dies half-way has cancelled the
// batch all the same. Cancelling twice is no error.
func (c *Client) CancelBatch(ctx context.Context, id string) (*BatchCancel, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("batch id %q is not 1 to 64 letters, digits, - or _", id)
	}
	book, err := c.batches(ctx)
	if err != nil {
		return nil, err
	}
	rec, _, err := book.change(ctx, c.tenant, id, func(old *Batch) (*Batch, error) {
		switch {
		case old == nil:
			return nil, noBatch(id)
		case old.State == BatchEnded || old.CancelRequested:
			return nil, errUnchanged
		}
		next := old.clone()
		next.CancelRequested = true
		return next, nil
	})
	if err != nil {
		return nil, err
	}
	c.audit(AuditEvent{Action: "batch.cancel", Target: id})
	found := &BatchCancel{Done: rec.Counted.size(), Unmade: rec.State != BatchEnded && rec.Listed < rec.Total}
	if rec.State == BatchEnded {
		return found, nil
	}
	for l, err := range c.BatchLists(ctx, rec) {
		if err != nil {
			return found, err
		}
		counts, err := c.cancelEach(ctx, l.IDs)
		found.Queued += counts[CanceledQueued]
		found.Requested += counts[CancelRequested]
		found.Done += counts[AlreadyDone]
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// CloseBatch closes a batch that its submitter left open, with what was
// submitted so far, which it tells.
func (c *Client) CloseBatch(ctx context.Context, id string) (total int, err error) {
	rec, err := c.Batch(ctx, id)
	if err != nil {
		return 0, err
	}
	if rec.State != BatchOpen {
		return rec.Total, nil
	}
	listed := rec.Counted
	for l, err := range c.BatchLists(ctx, rec) {
		if err != nil {
			return 0, err
		}
		listed = listed.add(l.From, l.From+len(l.IDs))
	}
	for _, i := range listed { // up to the first gap, which nothing will fill
		if i[0] == total {
			total = i[1]
		}
	}
	err = (&OpenBatch{c: c, rec: rec}).Close(ctx, total)
	if errors.Is(err, ErrBatchCanceled) {
		err = nil
	}
	return total, err
}
