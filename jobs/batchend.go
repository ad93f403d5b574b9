package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// BatchEvent is what is said of a batch's end: on the events stream, on a NATS
// subject, and as the body of a webhook. Its form is that of the Standard
// Webhooks specification.
type BatchEvent struct {
	Type      string       `json:"type" jsonschema:"enum=batch.ended"`
	Timestamp time.Time    `json:"timestamp"`
	Data      BatchSummary `json:"data"`
}

// BatchSummary is a batch that has ended.
type BatchSummary struct {
	Tenant     string          `json:"tenant"`
	Batch      string          `json:"batch"`
	Generation int             `json:"generation"`
	Total      int             `json:"total"`
	Counts     map[Outcome]int `json:"counts"`
	Forgotten  int             `json:"forgotten,omitempty"`
	Canceled   bool            `json:"canceled,omitempty"`
	CreatedAt  time.Time       `json:"created_at"`
	EndedAt    time.Time       `json:"ended_at"`
}

// EventBatchEnded is the type of a BatchEvent.
const EventBatchEnded = "batch.ended"

// event says that the batch has ended.
func (b *Batch) event() *BatchEvent {
	return &BatchEvent{Type: EventBatchEnded, Timestamp: b.EndedAt, Data: BatchSummary{
		Tenant: b.Tenant, Batch: b.ID, Generation: b.Generation, Total: b.Total, Counts: b.Counts, Forgotten: b.Forgotten,
		Canceled: b.CancelRequested, CreatedAt: b.CreatedAt, EndedAt: b.EndedAt,
	}}
}

// batchEventSubject is where a batch's end is told.
func batchEventSubject(tenant, batch string) string { return "events." + tenant + ".batch." + batch }

// settle writes what was counted into a batch's record: at once when a list is
// counted up or the batch ends, otherwise now and then.
func (c *batchCounter) settle(ctx context.Context, key string, b *countedBatch) error {
	now := time.Now()
	full := 0
	for _, l := range b.lists {
		if l.left == 0 {
			full++
		}
	}
	stale := c.keep > 0 && c.w.now().Sub(b.written) > c.keep/3
	over := b.rec.CancelRequested && full == len(b.lists) && now.Sub(b.quiet) > canceledQuiet
	switch {
	case b.rec.State == BatchEnded: // and not announced
	case stale, over:
	case b.dirty && (full > 0 || now.Sub(b.wrote) > countWrite):
	default:
		return nil
	}
	rec, rev, err := c.book.change(ctx, b.rec.Tenant, b.rec.ID, func(old *Batch) (*Batch, error) {
		if old == nil || old.Generation != b.rec.Generation || old.CancelRequested != b.rec.CancelRequested {
			return nil, errUnchanged // the watch tells of it
		}
		next := b.counted(old, over, c.w.now())
		if !stale && sameBatch(old, next) {
			return nil, errUnchanged
		}
		return next, nil
	})
	switch {
	case err != nil:
		return err
	case rec == nil:
		c.forget(key)
		return nil
	}
	b.dirty, b.wrote = false, now
	for subject, l := range b.lists {
		if rec.Generation == b.rec.Generation && (rec.State == BatchEnded || rec.Counted.covers(l.from, l.from+len(l.ended))) {
			if err := c.purge(ctx, subject); err != nil {
				return err
			}
			delete(b.lists, subject)
		}
	}
	if rec.State != BatchEnded {
		c.take(rec, rev, c.w.now())
		return nil
	}
	return c.announce(ctx, rec)
}

// counted gives the record with what is known now. over says that nothing more
// is expected of a cancelled batch.
func (b *countedBatch) counted(old *Batch, over bool, now time.Time) *Batch {
	next := old.clone()
	if next.State == BatchEnded {
		return next
	}
	for _, l := range b.lists {
		if l.left == 0 {
			next.settleAt(l.from, l.ended)
		}
	}
	listed := next.Counted
	next.Counts = map[Outcome]int{}
	for o, n := range next.Final {
		next.Counts[o] = n
	}
	for _, l := range b.lists {
		for i, e := range l.ended {
			if e >= endings && !next.Counted.has(l.from+i) {
				next.Counts[e.outcome()]++
			}
		}
		listed = listed.add(l.from, l.from+len(l.ended))
	}
	next.Listed = listed.size()
	if over {
		next.cancelRest(listed)
	}
	if next.State == BatchClosed && next.Counted.covers(0, next.Total) {
		// What was listed beyond the total was stored all the same.
		next.Total = max(next.Total, next.Counted.size())
		next.State, next.EndedAt = BatchEnded, now
		if next.Notify != nil && (next.Notify.Subject != "" || next.Notify.Webhook != nil) {
			next.Notice = &Notice{State: NoticePending, NextAt: now}
		}
	}
	return next
}

// cancelRest counts what a cancelled batch was to have and never got.
func (b *Batch) cancelRest(listed spans) {
	if n := len(listed); n > 0 {
		b.Total = max(b.Total, listed[n-1][1])
	}
	if missing := b.Total - b.Counted.size(); missing > 0 {
		if b.Final == nil {
			b.Final = map[Outcome]int{}
		}
		b.Final[Canceled] += missing
		b.Counts[Canceled] += missing
		b.Counted = spans{}.add(0, b.Total)
	}
	b.State = BatchClosed
}

// sameBatch tells whether writing next would say nothing new.
func sameBatch(old, next *Batch) bool {
	a, err := old.encode()
	if err != nil {
		return false
	}
	b, err := next.encode()
	return err == nil && string(a) == string(b)
}

// announce puts the end of a batch into the events stream, and notes that. One
// who dies in between leaves that to the next coordinator: an end may be told
// twice.
func (c *batchCounter) announce(ctx context.Context, rec *Batch) error {
	body, err := json.Marshal(rec.event())
	if err != nil {
		return fmt.Errorf("encode the end of batch %s: %w", rec.ID, err)
	}
	if err := c.w.nc.Publish(batchEventSubject(rec.Tenant, rec.ID), body); err != nil {
		return fmt.Errorf("tell of the end of batch %s: %w", rec.ID, err)
	}
	if n := rec.Notify; n != nil && n.Subject != "" && n.validate(rec.Tenant) == nil {
		if err := c.w.nc.Publish(n.Subject, body); err != nil {
			return fmt.Errorf("tell of the end of batch %s: %w", rec.ID, err)
		}
	}
	if err := c.w.nc.FlushTimeout(requestTimeout); err != nil {
		return fmt.Errorf("tell of the end of batch %s: %w", rec.ID, err)
	}
	rec, rev, err := c.book.change(ctx, rec.Tenant, rec.ID, func(old *Batch) (*Batch, error) {
		if old == nil || old.Generation != rec.Generation || old.State != BatchEnded || old.Announced {
			return nil, errUnchanged
		}
		next := old.clone()
		next.Announced = true
		if n := next.Notice; n != nil && next.Notify != nil && next.Notify.Subject != "" {
			n.Subject = true
			if next.Notify.Webhook == nil {
				n.State, n.NextAt, n.LastAt = NoticeDelivered, time.Time{}, c.w.now()
			}
		}
		return next, nil
	})
	if err != nil || rec == nil {
		return err
	}
	c.w.log.Info("a batch has ended", "tenant", rec.Tenant, "batch", rec.ID, "jobs", rec.Total, "succeeded", rec.Counts[Succeeded])
	c.take(rec, rev, c.w.now())
	return nil
}
