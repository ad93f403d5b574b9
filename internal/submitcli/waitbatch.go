package submitcli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"boxfleet/jobs"
)

// Pace of waiting for a batch whose jobs are still being submitted or made.
const (
	batchLook  = 500 * time.Millisecond
	batchStale = 30 * time.Second // without anything new, before an open batch is taken for abandoned
)

// batchWait waits for all jobs of a batch that has a record: those that are
// listed now, and those that are listed later.
type batchWait struct {
	client *jobs.Client
	id     string
	waiter *jobs.Waiter
	show   func(*jobs.Record) error
	known  map[string]bool // ids, true when shown
	shown  int
	folded int // positions that were counted when records were last read
}

func (w *batchWait) run(ctx context.Context) error {
	w.known = map[string]bool{}
	since, last := time.Now(), -1
	for {
		rec, err := w.client.Batch(ctx, w.id)
		if err != nil {
			return err
		}
		if err := w.gather(ctx, rec); err != nil {
			return err
		}
		for w.waiter.Left() > 0 {
			r, err := w.waiter.Next(ctx)
			if err != nil {
				return err
			}
			if err := w.give(r); err != nil {
				return err
			}
			since = time.Now()
		}
		if rec, err = w.client.Batch(ctx, w.id); err != nil {
			return err
		}
		switch {
		case rec.State == jobs.BatchClosed && w.shown >= rec.Total && !rec.CancelRequested:
			return nil
		case rec.State == jobs.BatchEnded:
			return w.gather(ctx, rec) // what was listed and counted between two looks
		}
		if n := rec.Listed + rec.Ended(); n != last {
			last, since = n, time.Now()
		}
		if rec.State == jobs.BatchOpen && !rec.CancelRequested && time.Since(since) > batchStale {
			return &exitError{exitUnfinished, fmt.Errorf("%s have ended, but batch %s is still open and nothing is submitted to it: its submission may have been broken off; run the same command again, or close it with: submit batch close %s", count(w.shown, "job"), w.id, w.id)}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(batchLook):
		}
	}
}

// gather finds the batch's jobs: those that are listed, and those that were
// counted and are among the records.
func (w *batchWait) gather(ctx context.Context, rec *jobs.Batch) error {
	fresh := false
	for l, err := range w.client.BatchLists(ctx, rec) {
		if err != nil {
			return err
		}
		for _, id := range l.IDs {
			if _, known := w.known[id]; !known {
				w.known[id] = false
				w.waiter.Expect(id)
				fresh = true
			}
		}
	}
	if fresh {
		w.waiter.LookNow()
	}
	// Counted ones have records, which are read when there are any that were
	// never seen listed.
	if rec.Ended() <= w.folded || len(w.known) > 0 && rec.State != jobs.BatchEnded || w.shown >= rec.Total && rec.State == jobs.BatchEnded {
		return nil
	}
	w.folded = rec.Ended()
	for h, err := range w.client.RecordHeads(ctx) {
		if err != nil {
			return err
		}
		if _, known := w.known[h.ID]; known || !h.Done {
			continue
		}
		r, err := h.Record()
		if err != nil {
			return err
		}
		if r.Batch != w.id {
			continue
		}
		if err := w.give(r); err != nil {
			return err
		}
	}
	return nil
}

func (w *batchWait) give(r *jobs.Record) error {
	if w.known[r.ID] {
		return nil
	}
	w.known[r.ID] = true
	w.shown++
	return w.show(r)
}

// waitBatch waits for a batch by its record. found is false when there is none:
// its jobs were submitted without one.
func (a *app) waitBatch(ctx context.Context, client *jobs.Client, batch string, show func(*jobs.Record) error) (found bool, err error) {
	_, err = client.Batch(ctx, batch)
	var missing *jobs.NotFoundError
	if errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	waiter, err := client.NewWaiter(batch, "")
	if err != nil {
		return true, err
	}
	defer waiter.Close()
	return true, (&batchWait{client: client, id: batch, waiter: waiter, show: show}).run(ctx)
}
