package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// decodeMessage reads a pulled message and holds it against its subject: a
// message must not claim another tenant's job.
func decodeMessage(m *nats.Msg) (*Job, error) {
	j, err := Decode(m.Data)
	if err != nil {
		return nil, err
	}
	if want := jobSubject(j.Tenant, j.Priority, j.ID); m.Subject != want {
		return nil, fmt.Errorf("decode job: it came on subject %q but says it is %q", m.Subject, want)
	}
	return j, nil
}

func headerContext(ctx context.Context, m *nats.Msg) context.Context {
	return propagation.TraceContext{}.Extract(ctx, headerCarrier(m.Header))
}

type verdict uint8

const (
	claimRun   verdict = iota // ours: run it
	claimDrop                 // finished or a duplicate: acknowledge and forget
	claimLeave                // somebody else's: leave the message alone
	claimSpent                // attempts are spent: dead letter
)

var errSpent = errors.New("the attempts are spent")

// claim makes this worker the holder of the job by compare-and-set on its
// record. The common case, a first delivery, is one write.
func (w *Worker) claim(ctx context.Context, a *Attempt, seq uint64) (verdict, error) {
	rec, rev := newRecord(a.Job), uint64(0)
	for range 8 {
		if rev != 0 || rec.State != Queued {
			switch {
			case rec.State == Done:
				return claimDrop, nil
			case rec.State == Running && rec.Seq != seq:
				return claimDrop, nil // the same job, submitted again while it runs
			case rec.State == Running && rec.Worker == w.cfg.Name && w.holds(a.key):
				return claimLeave, nil // redelivered to ourselves while we run it
			}
			if rec.State == Running { // its holder went silent
				rec.addTry(fmt.Errorf("worker %s went silent", rec.Worker), time.Now())
			}
		}
		if rec.Attempt >= w.maxAttempts(a.Job) {
			a.rec, a.rev, a.Number = rec, rev, rec.Attempt
			return claimSpent, nil
		}
		rec.State, rec.Attempt, rec.Worker, rec.Seq = Running, rec.Attempt+1, w.cfg.Name, seq
		rec.StartedAt = time.Now().UTC()
		newRev, err := w.putStatus(ctx, a.key, rec, rev)
		if err == nil {
			a.rec, a.rev, a.Number = rec, newRev, rec.Attempt
			return claimRun, nil
		}
		if !isConflict(err) {
			return claimLeave, err
		}
		entry, err := w.status.Get(ctx, a.key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			rec, rev = newRecord(a.Job), 0
			continue
		}
		if err != nil {
			return claimLeave, err
		}
		if rec, err = decodeRecord(entry.Value()); err != nil {
			return claimLeave, err
		}
		rev = entry.Revision()
	}
	return claimLeave, errMoved
}

func (w *Worker) maxAttempts(j *Job) int {
	if j.Retry.MaxAttempts > 0 {
		return min(j.Retry.MaxAttempts, 100)
	}
	return w.cfg.MaxAttempts
}

func (w *Worker) holds(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.active[key] != nil
}

func (w *Worker) putStatus(ctx context.Context, key string, rec *Record, rev uint64) (uint64, error) {
	data, err := rec.encode()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if rev == 0 {
		return w.status.Create(ctx, key, data)
	}
	return w.status.Update(ctx, key, data, rev)
}

// settle decides an attempt's fate once: finished, tried again, given back or
// left to another worker.
func (w *Worker) settle(ctx context.Context, a *Attempt, res *Result, err error) {
	cause := context.Cause(ctx)
	// Settling goes on when the attempt was told to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	defer cancel()
	switch {
	case errors.Is(cause, ErrFenced):
		w.fenced(ctx, a)
	case errors.Is(cause, ErrCanceled):
		w.finish(ctx, a, canceledResult(a, res))
	case errors.Is(cause, ErrDraining):
		w.giveBack(ctx, a, ErrDraining, false)
	case err == nil:
		w.finish(ctx, a, res)
	default:
		w.failed(ctx, a, err)
	}
}

func canceledResult(a *Attempt, res *Result) *Result {
	if res == nil {
		res = &Result{ExitCode: -1}
	}
	res.Outcome, res.Error, res.Outputs = Canceled, "canceled while it ran", nil
	return res
}

// failed handles an infrastructure error by its class.
func (w *Worker) failed(ctx context.Context, a *Attempt, err error) {
	class := Classify(err)
	w.log.WarnContext(ctx, "attempt failed", "job", a.Job.ID, "attempt", a.Number, "class", class.String(), "error", err)
	w.metrics.attemptFailed(ctx, class)
	switch {
	case class == ClassUnavailable:
		w.pause(err)
		w.giveBack(ctx, a, err, false)
	case class == ClassPermanent || a.Number >= w.maxAttempts(a.Job):
		w.bury(ctx, a.msg, a.Job, a, err)
	default:
		w.giveBack(ctx, a, err, true)
	}
}

// giveBack returns the job to the queue. counted says whether the attempt is
// one of those the job has.
func (w *Worker) giveBack(ctx context.Context, a *Attempt, why error, counted bool) {
	delay := time.Duration(0)
	if counted {
		a.rec.addTry(why, time.Now())
		delay = retryDelay(a.Number)
	} else {
		a.rec.Attempt--
		if !errors.Is(why, ErrDraining) {
			delay = jitter(5 * time.Second)
		}
	}
	a.rec.State, a.rec.Worker = Retrying, ""
	if err := w.retryCAS(ctx, a); err != nil {
		w.fenced(ctx, a)
		return
	}
	if err := a.msg.NakWithDelay(delay); err != nil {
		w.log.WarnContext(ctx, "cannot give a job back; it comes back by itself", "job", a.Job.ID, "error", err)
	}
}

// retryDelay is exponential with full jitter, at most about 25 s: a job that
// waits holds a place in its queue's concurrency.
func retryDelay(attempt int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(500*time.Millisecond), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0), backoff.WithMaxInterval(25*time.Second), backoff.WithMaxElapsedTime(0))
	d := b.NextBackOff()
	for range min(attempt, 16) - 1 {
		d = b.NextBackOff()
	}
	return jitter(d)
}

// jitter gives a time between nothing and d.
func jitter(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d) + 1)) }

// finish commits a result: outputs by conditional PUT, the record by
// compare-and-set, then the ack that the server confirms.
func (w *Worker) finish(ctx context.Context, a *Attempt, res *Result) {
	committing := time.Now()
	ctx, end := a.Begin(ctx, PhaseCommit)
	w.complete(ctx, a, res)
	if len(res.Outputs) > 0 {
		committed, err := w.commits.Commit(ctx, a, res)
		if err != nil {
			end(err)
			w.failed(ctx, a, fmt.Errorf("commit the outputs: %w", err))
			return
		}
		res = committed
	}
	a.mu.Lock()
	a.phases[PhaseCommit] = float64(time.Since(committing).Microseconds()) / 1000
	res.Phases = a.phases
	a.mu.Unlock()
	a.rec.State, a.rec.Result = Done, res
	err := w.retryCAS(ctx, a)
	end(err, attribute.String("boxfleet.outcome", string(res.Outcome)))
	if err != nil {
		w.fenced(ctx, a)
		return
	}
	w.announce(a.rec)
	w.ack(ctx, a.msg)
	w.done.Add(1)
	w.metrics.finished(ctx, a, res)
}

// complete fills the parts of a result that the queue side knows.
func (w *Worker) complete(ctx context.Context, a *Attempt, res *Result) {
	res.ID, res.Attempts, res.Worker = a.Job.ID, a.Number, w.cfg.Name
	res.TraceID = trace.SpanContextFromContext(ctx).TraceID().String()
	res.FinishedAt = time.Now().UTC()
}

// announce tells waiting clients. The record is the truth; this is a hint
// that carries it.
func (w *Worker) announce(rec *Record) {
	if data, err := rec.encode(); err == nil {
		_ = w.nc.Publish(doneSubject(rec.Tenant, rec.Batch, rec.ID), data)
	}
}

// ack acknowledges and waits for the server's word. If it does not come the
// job is delivered again, found finished, and acknowledged then.
func (w *Worker) ack(ctx context.Context, m *nats.Msg) {
	_, span := w.tracer.Start(ctx, "ack")
	defer span.End()
	if err := m.AckSync(nats.AckWait(requestTimeout)); err != nil {
		span.RecordError(err)
		w.log.DebugContext(ctx, "the ack was not confirmed", "subject", m.Subject, "error", err)
	}
}

// retryCAS writes a.rec over the revision this attempt holds. It keeps trying
// while NATS is away, and gives errFencedOff when the record is no longer
// this attempt's.
func (w *Worker) retryCAS(ctx context.Context, a *Attempt) error {
	policy := backoff.WithContext(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0)), ctx)
	return backoff.Retry(func() error {
		rev, err := w.putStatus(ctx, a.key, a.rec, a.rev)
		if err == nil {
			a.rev = rev
			return nil
		}
		if !isConflict(err) {
			return err
		}
		entry, err := w.status.Get(ctx, a.key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return backoff.Permanent(ErrFenced) // its time to be kept is over, or an operator removed it
		}
		if err != nil {
			return err
		}
		now, err := decodeRecord(entry.Value())
		if err != nil {
			return backoff.Permanent(err)
		}
		switch {
		case now.State == a.rec.State && now.Attempt == a.rec.Attempt && sameWriter(now, a):
			a.rev = entry.Revision() // our write had arrived, its confirmation had not
			return nil
		case now.State == Running && now.Attempt == a.Number && now.Worker == w.cfg.Name:
			// Only a cancel request changes a record under its holder.
			a.rec.CancelRequested = now.CancelRequested
			if a.rec.State == Done && now.CancelRequested && a.rec.Result.Outcome != Canceled && len(a.rec.Result.Outputs) == 0 {
				a.rec.Result = canceledResult(a, a.rec.Result)
			}
			a.rev = entry.Revision()
			return errMoved
		}
		return backoff.Permanent(ErrFenced)
	}, policy)
}

// sameWriter tells whether a record was written by this very attempt.
func sameWriter(now *Record, a *Attempt) bool {
	if now.State == Done {
		return now.Worker == a.rec.Worker && now.Result != nil && a.rec.Result != nil && now.Result.FinishedAt.Equal(a.rec.Result.FinishedAt)
	}
	return now.Seq == a.rec.Seq && now.StartedAt.Equal(a.rec.StartedAt)
}

// fenced leaves a job that another worker holds: no ack, no result.
func (w *Worker) fenced(ctx context.Context, a *Attempt) {
	w.log.WarnContext(ctx, "another worker holds the job, dropping this attempt", "job", a.Job.ID, "attempt", a.Number)
	w.metrics.fenced(ctx)
}

// bury ends a job that cannot be run: the message goes to the dead letters,
// and only when it is stored there the job's own message is settled.
func (w *Worker) bury(ctx context.Context, m *nats.Msg, j *Job, a *Attempt, why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	if err := w.deadLetter(ctx, m, j, a, why); err != nil {
		w.log.ErrorContext(ctx, "cannot store a dead letter; the message comes back", "subject", m.Subject, "error", err)
		return
	}
	w.log.WarnContext(ctx, "dead letter", "subject", m.Subject, "error", why)
	w.metrics.buried(ctx)
	if a == nil || a.rec == nil {
		if err := w.nc.Publish(m.Reply, []byte("+TERM dead-lettered")); err != nil {
			w.log.WarnContext(ctx, "cannot end a message", "subject", m.Subject, "error", err)
		}
		return
	}
	res := &Result{Outcome: Failed, ExitCode: -1, Error: why.Error()}
	if errors.Is(why, errSpent) {
		res.Error = spentText(a.rec)
		a.rec.Worker = w.cfg.Name
	}
	w.complete(ctx, a, res)
	res.Phases = a.phases
	a.rec.State, a.rec.Result = Done, res
	if err := w.retryCAS(ctx, a); err != nil {
		w.fenced(ctx, a)
		return
	}
	w.announce(a.rec)
	w.ack(ctx, m)
	w.done.Add(1)
	w.metrics.finished(ctx, a, res)
}

func spentText(rec *Record) string {
	text := fmt.Sprintf("all %d attempts are spent", rec.Attempt)
	if n := len(rec.Tries); n > 0 {
		text += "; the last one: " + rec.Tries[n-1].Error
	}
	return text
}

// PanicError is a panic of the handler, with the stack for the log.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("internal error: panic: %v", e.Value) }

func stack() []byte {
	s := debug.Stack()
	return s[:min(len(s), 4096)]
}

func itoa(n int) string { return strconv.Itoa(n) }
