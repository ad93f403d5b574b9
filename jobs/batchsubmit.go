package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/limits"
)

// BatchSpec is what opens a batch.
type BatchSpec struct {
	ID string
	// Fingerprint tells one content from another. While a batch is open,
	// submissions with its fingerprint go on with it: they must then have the
	// same jobs at the same positions. Any other one starts the batch anew
	// under the same id.
	Fingerprint string
	// Total closes the batch from the start, for jobs that are made later and
	// whose number is known; 0 leaves it open until Close.
	Total int
	// Chunk is how many jobs travel together, 100 to 999; 0 means 999.
	Chunk int
	// Notify says who is told of the end; nil keeps what the batch has.
	Notify *Notify
}

func (s *BatchSpec) validate(tenant string) error {
	bad := func(field, format string, args ...any) error {
		return &limits.FieldError{Field: field, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case !ValidID(s.ID):
		return bad("batch", "%q is not 1 to 64 letters, digits, - or _", s.ID)
	case s.Total < 0 || s.Total > MaxBatchJobs:
		return bad("total", "%d jobs; a batch has at most %d", s.Total, MaxBatchJobs)
	case len(s.Fingerprint) > 256:
		return bad("fingerprint", "%d bytes; at most 256", len(s.Fingerprint))
	}
	if s.Notify != nil {
		return s.Notify.validate(tenant)
	}
	return nil
}

// OpenBatch is a batch that jobs are submitted to.
type OpenBatch struct {
	// Gate, if set, is called before each chunk is sent, and its error ends the
	// submission: it may wait until the queue is short enough.
	Gate func(ctx context.Context) error
	// Known, if set, tells of a job that an earlier submission has stored it:
	// it becomes a member without being sent again.
	Known func(*Job) bool

	c   *Client
	rec *Batch // as it was opened
}

// Errors of a submission whose batch is no longer its own.
var (
	// ErrBatchCanceled says that somebody cancelled the batch.
	ErrBatchCanceled = errors.New("the batch was canceled")
	// ErrBatchSuperseded says that something else is submitted under the id, or
	// that somebody else closed the batch and it has ended. Opening it again and
	// submitting everything again is safe.
	ErrBatchSuperseded = errors.New("another submission uses the id of this batch, or has closed it; submit the same again to go on")
)

// OpenBatch makes a batch's record, or goes on with an open one of the same
// fingerprint. The jobs are then submitted by [OpenBatch.SubmitMany], and
// [OpenBatch.Close] says that there are no more.
func (c *Client) OpenBatch(ctx context.Context, spec BatchSpec) (*OpenBatch, error) {
	if err := spec.validate(c.tenant); err != nil {
		return nil, err
	}
	book, err := c.batches(ctx)
	if err != nil {
		return nil, err
	}
	if spec.Chunk == 0 {
		spec.Chunk = maxChunk
	}
	now := c.Now(ctx)
	rec, _, err := book.change(ctx, c.tenant, spec.ID, func(old *Batch) (*Batch, error) {
		if old != nil && old.State == BatchOpen && !old.CancelRequested && old.Fingerprint == spec.Fingerprint && spec.Total == 0 {
			if spec.Notify == nil {
				return nil, errUnchanged
			}
			next := old.clone()
			next.Notify = spec.Notify
			return next, nil
		}
		next := &Batch{
			State: BatchOpen, V: WireVersion, ID: spec.ID, Tenant: c.tenant, Generation: 1, Fingerprint: spec.Fingerprint,
			Chunk: min(max(spec.Chunk, minChunk), maxChunk), CreatedAt: now, Counts: map[Outcome]int{}, Notify: spec.Notify,
		}
		if spec.Total > 0 {
			next.State, next.Total, next.ClosedAt = BatchClosed, spec.Total, now
		}
		if old != nil {
			next.Generation = old.Generation + 1
			if spec.Notify == nil {
				next.Notify = old.Notify
			}
		}
		return next, nil
	})
	if err != nil {
		return nil, fmt.Errorf("open batch %s: %w", spec.ID, err)
	}
	return &OpenBatch{c: c, rec: rec}, nil
}

// JoinBatch gives a batch that was opened before, to add what was announced by
// its Total.
func (c *Client) JoinBatch(ctx context.Context, id string) (*OpenBatch, error) {
	rec, err := c.Batch(ctx, id)
	if err != nil {
		return nil, err
	}
	return &OpenBatch{c: c, rec: rec}, nil
}

// ID is the batch's id.
func (b *OpenBatch) ID() string { return b.rec.ID }

// Chunk is how many jobs travel together: the positions of a submission's first
// job must be multiples of it.
func (b *OpenBatch) Chunk() int { return b.rec.Chunk }

// SubmitMany is [Client.SubmitMany] for jobs of the batch. from is the
// position of the first of them, counted from 0 over the whole batch. A
// submission that broke off is gone on with at the end of a chunk that was
// stored; positions that are listed twice count once.
func (b *OpenBatch) SubmitMany(ctx context.Context, from int, jobs iter.Seq2[JobWithContext, error], stored func(n, duplicates int)) error {
	return (&bulk{c: b.c, size: b.rec.Chunk, stored: stored, seen: map[lane]bool{}, into: b, from: from}).run(ctx, jobs)
}

// publish stores a chunk: the jobs, and the list of them and of the known ones.
// Nothing is stored that is not listed.
func (b *OpenBatch) publish(ctx context.Context, from int, ids []string, msgs []*nats.Msg) (duplicates int, err error) {
	if from+len(ids) > MaxBatchJobs {
		return 0, fmt.Errorf("batch %s: at most %d jobs", b.rec.ID, MaxBatchJobs)
	}
	if b.Gate != nil {
		if err := b.Gate(ctx); err != nil {
			return 0, err
		}
	}
	now, err := b.check(ctx)
	if err != nil {
		return 0, err
	}
	if now.State == BatchEnded && from+len(ids) > now.Total { // it would not be counted any more
		return 0, fmt.Errorf("batch %s: %w", b.rec.ID, ErrBatchSuperseded)
	}
	list, err := b.list(from, ids)
	if err != nil {
		return 0, err
	}
	taken, err := b.c.tryAtomic(ctx, append([]*nats.Msg{list}, msgs...))
	if taken || err != nil {
		return 0, err
	}
	if _, err := b.c.js.PublishMsg(ctx, list); err != nil {
		return 0, fmt.Errorf("submit: list the members of batch %s: %w", b.rec.ID, hintPublish(err))
	}
	return b.c.publishEach(ctx, msgs)
}

// list makes the members message of a chunk.
func (b *OpenBatch) list(from int, ids []string) (*nats.Msg, error) {
	data, err := json.Marshal(newMembers(b.rec.Generation, from, ids))
	if err != nil {
		return nil, fmt.Errorf("encode a list of members: %w", err)
	}
	subject := membersSubject(b.rec.Tenant, b.rec.ID, b.rec.Generation, from, len(ids))
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{jetstream.MsgIDHeader: {subject}}}, nil
}

// Check tells by ErrBatchCanceled or ErrBatchSuperseded whether there is still
// use in submitting.
func (b *OpenBatch) Check(ctx context.Context) error {
	_, err := b.check(ctx)
	return err
}

func (b *OpenBatch) check(ctx context.Context) (*Batch, error) {
	book, err := b.c.batches(ctx)
	if err != nil {
		return nil, err
	}
	now, _, err := book.get(ctx, b.rec.Tenant, b.rec.ID)
	switch {
	case err != nil:
		return nil, err
	case now == nil || now.Generation != b.rec.Generation:
		return nil, fmt.Errorf("batch %s: %w", b.rec.ID, ErrBatchSuperseded)
	case now.CancelRequested:
		return nil, fmt.Errorf("batch %s: %w", b.rec.ID, ErrBatchCanceled)
	}
	return now, nil
}

// Close says that the batch consists of its first total positions. Of several
// who submit the same, the one with the most counts.
func (b *OpenBatch) Close(ctx context.Context, total int) error {
	book, err := b.c.batches(ctx)
	if err != nil {
		return err
	}
	now := b.c.Now(ctx)
	_, _, err = book.change(ctx, b.rec.Tenant, b.rec.ID, func(old *Batch) (*Batch, error) {
		switch {
		case old == nil || old.Generation != b.rec.Generation:
			return nil, ErrBatchSuperseded
		case old.CancelRequested:
			return nil, ErrBatchCanceled
		case old.State != BatchOpen && old.Total >= total:
			return nil, errUnchanged
		case old.State == BatchEnded: // lists that came after that are gone
			return nil, ErrBatchSuperseded
		}
		next := old.clone()
		next.State, next.Total, next.ClosedAt = BatchClosed, total, now
		return next, nil
	})
	if err != nil {
		return fmt.Errorf("close batch %s: %w", b.rec.ID, err)
	}
	return nil
}
