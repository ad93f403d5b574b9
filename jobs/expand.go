package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// consumerExpand is the durable consumer of arrays and of the firings of
// schedules. All workers pull from it.
const consumerExpand = "expand"

// expanded is what it hands out.
var expanded = []string{"submit.*.array.*", "submit.*.fire.*", "submit.*.start.*"}

// expandEvery is how often a worker looks for what to expand when nobody rang:
// the server's schedules fire in silence.
const expandEvery = time.Second

// ensureExpand makes the consumer.
func (t Topology) ensureExpand(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.CreateOrUpdateConsumer(ctx, StreamJobs, jetstream.ConsumerConfig{
		Durable: consumerExpand, FilterSubjects: expanded,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: t.ackWait, MaxDeliver: -1, MaxAckPending: 1024, MaxWaiting: 2048,
	})
	if err != nil {
		return fmt.Errorf("ensure consumer %s: %w", consumerExpand, err)
	}
	return nil
}

// expand makes jobs of arrays and firings as long as ctx lasts, one message at
// a time. All it does may be done twice: the ids of what it makes are fixed.
func (w *Worker) expand(ctx context.Context) {
	if err := w.expandLoop(ctx); err != nil && ctx.Err() == nil {
		w.log.ErrorContext(ctx, "this worker makes no jobs of arrays and schedules", "error", err)
	}
}

func (w *Worker) expandLoop(ctx context.Context) error {
	pull, err := newPuller(w.nc, 1, func(m *nats.Msg) { _ = w.nak(m, 0) })
	if err != nil {
		return err
	}
	defer pull.close()
	// Submissions to the stream are heard as they are sent. It is a hint.
	rung := make(chan *nats.Msg, 64)
	for _, subject := range expanded {
		sub, err := w.nc.ChanSubscribe(subject, rung)
		if err != nil {
			return fmt.Errorf("listen for arrays and schedules: %w", err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	tick := time.NewTicker(expandEvery)
	defer tick.Stop()
	for {
		linger := time.Duration(0)
		for ctx.Err() == nil && w.Sick() == "" {
			got, err := pull.fetch(StreamJobs, consumerExpand, 1, linger, func(m *nats.Msg) { w.expandOne(ctx, m) })
			if err != nil {
				w.log.DebugContext(ctx, "cannot ask for arrays and schedules, trying again", "error", err)
			}
			if got == 0 || err != nil {
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-rung:
			// It is heard a little before the consumer sees it.
			if sleep(ctx, lingerRung); len(rung) > 0 {
				continue
			}
		}
	}
}

// expandOne handles one message: acknowledged when everything it stands for is
// stored, given back when that failed.
func (w *Worker) expandOne(ctx context.Context, m *nats.Msg) {
	ctx = headerContext(ctx, m)
	var err error
	switch parts := strings.Split(m.Subject, "."); parts[2] {
	case "array":
		err = w.expandArray(ctx, m)
	default:
		err = w.fire(ctx, m)
	}
	var wrong *wrongSubmission
	switch {
	case err == nil:
		_ = w.nc.Publish(m.Reply, ackBody) // a lost ack makes it be done again
	case errors.As(err, &wrong):
		w.buryMessage(context.WithoutCancel(ctx), m, err)
	case ctx.Err() != nil:
		_ = w.nak(m, 0)
	default:
		w.log.WarnContext(ctx, "cannot make the jobs of a submission, trying again", "subject", m.Subject, "error", err)
		_ = w.nak(m, time.Second+jitter(w.cfg.sickDelay))
	}
}

// wrongSubmission says that a message cannot be made into jobs by anyone.
type wrongSubmission struct{ err error }

func (e *wrongSubmission) Error() string { return e.err.Error() }
func (e *wrongSubmission) Unwrap() error { return e.err }

// clientOf gives a client that submits for a tenant.
func (w *Worker) clientOf(ctx context.Context, tenant string) (*Client, error) {
	return NewClient(ctx, w.nc, w.js, tenant)
}

// expandArray makes the jobs of an array, chunk by chunk, in order. A worker
// that goes on where another one died passes over the chunks whose lists of
// members are there.
func (w *Worker) expandArray(ctx context.Context, m *nats.Msg) error {
	a, p, err := decodeArray(m.Data)
	if err == nil && m.Subject != arraySubject(a.Tenant, a.ID) {
		err = fmt.Errorf("decode array: it came on subject %q but says it is %q", m.Subject, arraySubject(a.Tenant, a.ID))
	}
	if err != nil {
		return &wrongSubmission{err}
	}
	c, err := w.clientOf(ctx, a.Tenant)
	if err != nil {
		return err
	}
	b, err := c.JoinBatch(ctx, a.ID)
	if _, missing := errors.AsType[*NotFoundError](err); missing {
		// Its time to be kept is over, or whoever sent the array left it out.
		_, fingerprint, encodeErr := a.encode()
		if encodeErr != nil {
			return &wrongSubmission{encodeErr}
		}
		b, err = c.OpenBatch(ctx, BatchSpec{ID: a.ID, Fingerprint: fingerprint, Total: a.Count})
	}
	if err != nil {
		return err
	}
	if b.rec.State == BatchEnded {
		return nil
	}
	w.log.InfoContext(ctx, "making the jobs of an array", "array", a.ID, "tenant", a.Tenant, "count", a.Count)
	for from := 0; from < a.Count; from += b.Chunk() {
		n := min(b.Chunk(), a.Count-from)
		if err := w.nc.Publish(m.Reply, progressBody); err != nil {
			return err
		}
		stored, err := w.isStored(ctx, b, from, a.Count)
		if err == nil && !stored {
			err = expandChunk(ctx, b, p, from, n)
		}
		switch {
		case errors.Is(err, ErrBatchCanceled), errors.Is(err, ErrBatchSuperseded):
			w.log.InfoContext(ctx, "no more jobs of an array are wanted", "array", a.ID, "tenant", a.Tenant, "made", from, "reason", err)
			return nil
		case err != nil:
			return fmt.Errorf("array %s, jobs from index %d: %w", a.ID, from, err)
		}
	}
	return nil
}

// isStored tells whether the jobs of a chunk were stored before. A list alone
// does not prove it: when the server refuses the chunk as one atomic batch,
// because some of it is there, the list is stored first. But nobody goes on to
// the next chunk before this one is complete.
func (w *Worker) isStored(ctx context.Context, b *OpenBatch, from, count int) (bool, error) {
	next := from + b.Chunk()
	if b.rec.Counted.covers(from, min(next, count)) {
		return true, nil
	}
	if next >= count {
		return false, nil
	}
	return w.isListed(ctx, b, next, min(b.Chunk(), count-next))
}

// isListed tells whether a chunk's list of members is there, or was counted up
// and removed.
func (w *Worker) isListed(ctx context.Context, b *OpenBatch, from, n int) (bool, error) {
	if b.rec.Counted.covers(from, from+n) {
		return true, nil
	}
	subject := membersSubject(b.rec.Tenant, b.rec.ID, b.rec.Generation, from, n)
	_, _, _, err := w.storedMessage(ctx, StreamJobs, map[string]string{"last_by_subj": subject})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil, err
}

// expandChunk stores one chunk of an array's jobs and the list of them.
func expandChunk(ctx context.Context, b *OpenBatch, p *pattern, from, n int) error {
	jobs := func(yield func(JobWithContext, error) bool) {
		for i := from; i < from+n; i++ {
			j, err := p.job(i)
			if err != nil {
				err = &wrongSubmission{fmt.Errorf("the job with index %d: %w", i, err)}
			}
			if !yield(JobWithContext{context.Background(), j}, err) || err != nil {
				return
			}
		}
	}
	return b.SubmitMany(ctx, from, jobs, func(int, int) {})
}
