package jobs

import (
	"context"
	"errors"
	"iter"

	"github.com/nats-io/nats.go"
)

// JobWithContext is a job and the trace it belongs to.
type JobWithContext struct {
	Ctx context.Context
	Job *Job
}

// SubmitMany submits jobs in atomic batches of up to 1,000. Every job is
// validated as it comes. After each chunk that JetStream has stored it calls
// stored with the number of jobs in it and how many of them were duplicates
// of earlier submissions.
func (c *Client) SubmitMany(ctx context.Context, jobs iter.Seq2[JobWithContext, error], stored func(n, duplicates int)) error {
	return (&bulk{c: c, size: maxAtomicBatch, stored: stored, seen: map[lane]bool{}}).run(ctx, jobs)
}

// bulk submits jobs chunk by chunk.
type bulk struct {
	c      *Client
	size   int
	stored func(n, duplicates int)
	into   *OpenBatch // whose members they are to be; nil for none
	from   int        // position of the chunk's first job in it

	msgs     []*nats.Msg // of the jobs that are to be stored
	ids      []string    // of all jobs of the chunk
	seen     map[lane]bool
	reserved []Reservation
}

func (b *bulk) run(ctx context.Context, jobs iter.Seq2[JobWithContext, error]) error {
	for jc, err := range jobs {
		if err == nil {
			err = b.add(ctx, jc)
		}
		if err != nil {
			return errors.Join(err, b.flush(ctx))
		}
		if len(b.ids) == b.size {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
	}
	return b.flush(ctx)
}

// add takes one job into the chunk.
func (b *bulk) add(ctx context.Context, jc JobWithContext) error {
	j := jc.Job
	if b.into != nil && b.into.Known != nil && b.into.Known(j) {
		b.ids = append(b.ids, j.ID)
		return nil
	}
	b.c.complete(j)
	if j.IdempotencyKey != "" {
		r, duplicate, err := b.c.reserveKnown(ctx, j)
		if err != nil {
			return err
		}
		if duplicate {
			b.ids = append(b.ids, j.ID)
			return nil
		}
		b.reserved = append(b.reserved, r)
	}
	m, err := b.c.message(jc.Ctx, j)
	if err == nil {
		err = b.c.prepare(ctx, j)
	}
	if err != nil {
		return err
	}
	b.seen[j.queueLane()] = true
	b.msgs = append(b.msgs, m)
	b.ids = append(b.ids, j.ID)
	return nil
}

// flush stores the chunk.
func (b *bulk) flush(ctx context.Context) error {
	if len(b.ids) == 0 {
		return nil
	}
	dup, err := b.publish(ctx)
	if err != nil {
		return err
	}
	for l := range b.seen {
		b.c.ring(l)
	}
	for _, r := range b.reserved {
		if err := b.c.confirm(ctx, r); err != nil {
			return err
		}
	}
	b.stored(len(b.ids), dup+len(b.ids)-len(b.msgs))
	b.from += len(b.ids)
	b.msgs, b.ids, b.reserved = b.msgs[:0], b.ids[:0], b.reserved[:0]
	clear(b.seen)
	return nil
}

func (b *bulk) publish(ctx context.Context) (duplicates int, err error) {
	switch {
	case b.into != nil:
		return b.into.publish(ctx, b.from, b.ids, b.msgs)
	case len(b.msgs) > 0:
		return b.c.publishChunk(ctx, b.msgs)
	}
	return 0, nil
}
