package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// queuePage is how many waiting jobs are read at once.
const queuePage = 500

// Waiting walks the tenant's jobs whose messages are stored: scheduled, held,
// queued, running or between attempts, oldest message first. Each comes as the
// record that its message alone would make, so a job that has started has a
// truer one in Records. Messages that are no jobs are passed over.
func (c *Client) Waiting(ctx context.Context) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for next := uint64(1); ; {
			from := next
			_, err := directGet(ctx, c.nc, StreamJobs, directQuery{NextBy: "jobs." + c.tenant + ".*.*", Batch: queuePage, Seq: next}, func(m directMessage) error {
				next = m.seq + 1
				_, l, _, ok := splitSubject(m.subject)
				j, err := Decode(m.data)
				if !ok || err != nil {
					return nil
				}
				rec := newRecord(j)
				rec.State = l.state()
				if !yield(rec, nil) {
					return errStop
				}
				return nil
			})
			switch {
			case errors.Is(err, errStop):
				return
			case err != nil:
				yield(nil, fmt.Errorf("list the queue: %w", hintPublish(err)))
				return
			case next == from:
				return
			}
		}
	}
}

// Find walks the jobs of the tenant that take wants, each once: those that
// wait and those whose records are kept.
func (c *Client) Find(ctx context.Context, take func(*Record) bool) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		// The queue first: a job that ends meanwhile is then among the records.
		waiting := map[string]*Record{}
		for rec, err := range c.Waiting(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			waiting[rec.ID] = nil // an older record may say more, and decides
			if take(rec) {
				waiting[rec.ID] = rec
			}
		}
		for rec, err := range c.Records(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			delete(waiting, rec.ID)
			if take(rec) && !yield(rec, nil) {
				return
			}
		}
		for _, rec := range waiting {
			if rec != nil && !yield(rec, nil) {
				return
			}
		}
	}
}
