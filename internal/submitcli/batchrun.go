package submitcli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"boxfleet/jobs"
)

// batchRun submits a checked batch and follows it. Two goroutines work on it:
// one submits, one takes results; what both touch is atomic.
type batchRun struct {
	app    *app
	client *jobs.Client
	plan   *plan
	flags  *batchFlags
	sink   *results
	waiter *jobs.Waiter // nil when nobody waits
	batch  *jobs.OpenBatch
	follow bool

	// What an earlier submission left, by id: true when the job has ended.
	earlier map[string]bool
	reused  map[string]bool // ended ones that this batch names

	started   time.Time
	expired   map[string]bool // jobs of idempotency keys whose results are no longer kept
	borrowed  sync.Map        // lines of jobs that were submitted elsewhere, by id
	submitted atomic.Int64    // stored by the queue, now or earlier
	repeated  atomic.Int64    // of those, submitted before
	ended     atomic.Int64
	failed    atomic.Int64
	active    atomic.Int64 // held by workers, as the queue says
	queued    atomic.Int64 // how long the queue is that the submission waits for; 0 when it does not
	summary   *summary
}

func newBatchRun(a *app, c *jobs.Client, p *plan, f *batchFlags, sink *results) (*batchRun, error) {
	b := &batchRun{
		app: a, client: c, plan: p, flags: f, sink: sink, follow: f.wait || f.results != "",
		started: time.Now(), summary: newSummary(p.id, p.valid, p.bad), reused: map[string]bool{}, expired: map[string]bool{},
	}
	if b.follow {
		var err error
		if b.waiter, err = c.NewWaiter(p.id, ""); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// run submits everything, and waits when asked to.
func (b *batchRun) run(ctx context.Context) error {
	if b.waiter != nil {
		defer b.waiter.Close()
	}
	if err := b.lookBack(ctx); err != nil {
		return err
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	bar := b.app.batchBar(b.plan.valid, b.progress)
	screen, stopScreen := context.WithCancel(context.WithoutCancel(ctx))
	var drawing sync.WaitGroup
	if bar != nil {
		drawing.Go(func() { b.watchQueue(screen, bar) })
	}
	clear := func() {
		stopScreen()
		drawing.Wait()
		bar.done()
	}
	defer clear()

	results, stopResults := context.WithCancelCause(ctx)
	defer stopResults(nil)
	var submitDone atomic.Bool
	taken := make(chan error, 1)
	if b.follow {
		go func() { taken <- b.take(results, &submitDone) }()
	}
	err := b.submit(ctx)
	submitDone.Store(true)
	if err != nil {
		stopResults(err)
		if b.follow {
			<-taken
		}
		clear()
		return b.halted(ctx, err)
	}
	if !b.follow {
		clear()
		return b.leave(ctx)
	}
	if b.waiter.Left() == 0 {
		stopResults(errNothingLeft)
	}
	err = <-taken
	if err == nil {
		err = b.giveEarlier(ctx)
	}
	clear()
	if err != nil {
		return b.halted(ctx, err)
	}
	return b.finish()
}

var errNothingLeft = errors.New("nothing is left to wait for")

// lookBack learns what an earlier submission of the same batch left, if there
// was one: a few lines are looked up, and only when one is known everything is.
func (b *batchRun) lookBack(ctx context.Context) error {
	known := false
	for _, s := range b.plan.sample {
		m, err := b.plan.make(ctx, s.number, s.text)
		if err != nil {
			return err
		}
		_, err = b.client.Get(ctx, m.job.ID)
		var missing *jobs.NotFoundError
		if err != nil && !errors.As(err, &missing) {
			return err
		}
		known = known || err == nil
	}
	if !known {
		return nil
	}
	b.earlier = map[string]bool{}
	queued, err := b.client.QueuedIDs(ctx)
	if err != nil {
		return err
	}
	for _, id := range queued {
		b.earlier[id] = false
	}
	for h, err := range b.client.RecordHeads(ctx) {
		if err != nil {
			return err
		}
		if b.plan.lineOf(h.ID) != 0 {
			b.earlier[h.ID] = h.Done
		}
	}
	return nil
}

// maxOutage is how long a batch keeps trying while the queue is away.
const maxOutage = 2 * time.Minute

// submit hands all jobs to the queue. When the queue goes away in the middle
// it goes on where it was: ids are fixed, so a job that was stored without
// word of it is not stored twice.
func (b *batchRun) submit(ctx context.Context) error {
	away := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(maxOutage))
	position := 0 // jobs that need no more submitting
	for {
		before := position
		err := b.submitFrom(ctx, &position)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			if err = b.batch.Close(ctx, position); err == nil || !outage(err) {
				return err
			}
		case !outage(err):
			return err
		}
		if position > before {
			away.Reset()
		}
		pause := away.NextBackOff()
		if pause == backoff.Stop {
			return err
		}
		b.app.remark("%s; trying again", plain(err.Error()))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// outage tells whether an error may pass by itself. Writing to a connection
// that is just being lost gives the network's own error.
func outage(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	for _, e := range []error{nats.ErrTimeout, nats.ErrDisconnected, nats.ErrReconnectBufExceeded, nats.ErrNoResponders, nats.ErrConnectionReconnecting, nats.ErrStaleConnection,
		jetstream.ErrNoStreamResponse, context.DeadlineExceeded, jobs.ErrNoFleet} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// submitFrom submits from the given job on and moves the position past every
// chunk that is stored. The end of ctx ends it between two chunks.
func (b *batchRun) submitFrom(ctx context.Context, position *int) error {
	walked := *position // jobs yielded or passed over
	inChunk := 0        // yielded and not stored yet
	known := false      // the last one was stored before
	var spans []trace.Span
	var sequence iter.Seq2[jobs.JobWithContext, error] = func(yield func(jobs.JobWithContext, error) bool) {
		for m, err := range b.plan.jobs(ctx, *position) {
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(jobs.JobWithContext{}, err)
				return
			}
			walked++
			if err := b.reserve(ctx, m); err != nil {
				yield(jobs.JobWithContext{}, err)
				return
			}
			inChunk++
			if known = b.known(m.job.ID); known { // a member all the same
				if !yield(jobs.JobWithContext{Ctx: ctx, Job: m.job}, nil) {
					return
				}
				continue
			}
			jc := jobs.JobWithContext{Ctx: context.Background(), Job: m.job}
			if walked == 1 || b.flags.traceRatio > 0 && rand.Float64() < b.flags.traceRatio {
				var span trace.Span
				jc.Ctx, span = tracer().Start(jc.Ctx, "submit", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
					attribute.String("boxfleet.job", m.job.ID), attribute.String("boxfleet.batch", m.job.Batch), attribute.String("boxfleet.tool", m.job.Tool.String())))
				spans = append(spans, span)
			}
			if b.follow {
				b.waiter.Expect(m.job.ID)
			}
			if !yield(jc, nil) {
				return
			}
		}
	}
	b.batch.Known = func(*jobs.Job) bool { return known }
	b.batch.Gate = func(context.Context) error { return b.waitForRoom(ctx) }
	err := b.batch.SubmitMany(context.WithoutCancel(ctx), *position, sequence, func(n, duplicates int) {
		b.submitted.Add(int64(n))
		b.repeated.Add(int64(duplicates))
		inChunk -= n
		*position = walked // chunks are stored before the next job is asked for
		for _, s := range spans {
			s.End()
		}
		spans = spans[:0]
	})
	for _, s := range spans {
		endSpan(s, err)
	}
	if err == nil {
		*position = walked
	}
	return err
}

// reserve settles the id of a job with an idempotency key, which may stand for
// a job of another submission.
func (b *batchRun) reserve(ctx context.Context, m made) error {
	if m.job.IdempotencyKey == "" {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	id := m.job.ID
	r, err := b.client.Reserve(ctx, m.job)
	if err == nil && r.Stored {
		// It may have ended long ago, even so long that nobody will tell of it.
		_, err = b.client.Get(ctx, m.job.ID)
		if _, gone := errors.AsType[*jobs.NotFoundError](err); gone {
			err = nil
			b.expired[m.job.ID] = true
		}
		if b.follow {
			b.waiter.LookNow()
		}
	}
	if err != nil {
		return fmt.Errorf("%s:%d: %w", b.plan.in.name, m.line, err)
	}
	if m.job.ID != id {
		b.borrowed.Store(m.job.ID, m.line)
	}
	return nil
}

// lineOf gives the line of a job's id, or 0.
func (b *batchRun) lineOf(id string) int {
	if line, ok := b.borrowed.Load(id); ok {
		return line.(int)
	}
	return b.plan.lineOf(id)
}

// known passes over a job that an earlier submission left: it is counted, and
// waited for or read later.
func (b *batchRun) known(id string) bool {
	if b.expired[id] {
		return true
	}
	done, known := b.earlier[id]
	if !known {
		return false
	}
	if done {
		if b.reused[id] {
			return true
		}
		b.reused[id] = true
	} else if b.follow {
		b.waiter.Expect(id)
	}
	return true
}

// take receives results until everything submitted has ended.
func (b *batchRun) take(ctx context.Context, submitDone *atomic.Bool) error {
	for !submitDone.Load() || b.waiter.Left() > 0 {
		e, err := b.waiter.NextEnded(ctx)
		if errors.Is(err, errNothingLeft) {
			return nil
		}
		if err != nil {
			return err
		}
		l, ok := leanOf(e.Raw())
		if !ok {
			rec, err := e.Record()
			if err != nil { // not what a worker sends; the record itself will tell
				b.waiter.Expect(e.ID)
				b.waiter.LookNow()
				continue
			}
			if l, err = lean(rec); err != nil {
				return err
			}
		}
		if err := b.got(e.ID, l, false); err != nil {
			return err
		}
	}
	return nil
}

// giveEarlier reads the results that were there before this submission.
func (b *batchRun) giveEarlier(ctx context.Context) error {
	if len(b.reused) == 0 {
		return nil
	}
	for h, err := range b.client.RecordHeads(ctx) {
		if err != nil {
			return err
		}
		if !h.Done || !b.reused[h.ID] {
			continue
		}
		l, ok := leanOf(h.Raw)
		if !ok {
			rec, err := h.Record()
			if err == nil {
				l, err = lean(rec)
			}
			if err != nil {
				return err
			}
		}
		delete(b.reused, h.ID)
		if err := b.got(h.ID, l, true); err != nil {
			return err
		}
	}
	if n := len(b.reused); n > 0 {
		return fmt.Errorf("%s went away while they were read: their time to be kept is over; run the same command again", count(n, "earlier result"))
	}
	return nil
}

// got counts and writes one result.
func (b *batchRun) got(id string, l leanResult, reused bool) error {
	b.ended.Add(1)
	if l.outcome != jobs.Succeeded || l.toolError {
		b.failed.Add(1)
	}
	b.summary.add(l, reused)
	return b.sink.write(b.lineOf(id), l.result)
}

// progress is what the bar says.
func (b *batchRun) progress() string {
	submitted, ended, failed := b.submitted.Load(), b.ended.Load(), b.failed.Load()
	seconds := time.Since(b.started).Seconds()
	wait := ""
	if n := b.queued.Load(); n > 0 {
		wait = fmt.Sprintf("  waiting: %d queued", n)
	}
	if !b.follow {
		return fmt.Sprintf(" %d submitted  %s%s", submitted, rate(int(submitted), seconds), wait)
	}
	running := min(b.active.Load(), max(0, submitted-ended))
	return fmt.Sprintf(" %d submitted  %d running  %d done  %d failed  %s%s", submitted, running, ended, failed, rate(int(ended), seconds), wait)
}

// watchQueue keeps the bar going.
func (b *batchRun) watchQueue(ctx context.Context, bar *bar) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := b.ended.Load()
		if !b.follow {
			now = b.submitted.Load()
		}
		bar.set(int(now), b.plan.valid)
		if n%5 == 0 && b.follow {
			if depths, err := b.client.Depths(ctx); err == nil {
				active := 0
				for _, d := range depths {
					active += d.Active
				}
				b.active.Store(int64(active))
			}
		}
	}
}
