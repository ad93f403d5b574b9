package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// settle decides what an attempt's end means for its job: a result to commit,
// another try, the dead letters, or nothing, because the job is another
// worker's by now.
func (w *Worker) settle(ctx context.Context, a *Attempt, res *Result, err error) {
	cause := context.Cause(ctx)
	// Settling goes on when the attempt was told to stop, but not for ever
	// when the worker shuts down and NATS does not answer.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(w.settling, cancel)()
	switch {
	case errors.Is(cause, ErrFenced):
		w.dropped(ctx, a, ErrFenced)
	case errors.Is(cause, ErrCanceled):
		w.finish(ctx, a, canceledResult(res))
	case err == nil && w.retriesExit(a, res):
		w.exitFails(ctx, a, res)
	case err == nil && (cause == nil || res.Outcome != Canceled):
		w.finish(ctx, a, res) // it may have ended just before it was to stop
	case errors.Is(cause, ErrDraining), err == nil:
		w.giveBack(ctx, a, ErrDraining, false)
	default:
		w.failed(ctx, a, err)
	}
}

// canceledResult turns what a run had got to into the result of a cancelled
// job: its costs stay, its outputs do not.
func canceledResult(res *Result) *Result {
	if res == nil {
		res = &Result{}
	}
	res.Outcome, res.ExitCode, res.Error = Canceled, -1, "canceled while it ran"
	res.Outputs, res.OutputPrefix, res.Deleted, res.Trap = nil, "", nil, nil
	return res
}

// maxUncounted bounds how often a job is given back without paying for it: a
// job that makes its worker look sick every time must end some day.
const maxUncounted = 100

// failed handles an infrastructure error by its class.
func (w *Worker) failed(ctx context.Context, a *Attempt, err error) {
	class := Classify(err)
	w.log.WarnContext(ctx, "attempt failed", "job", a.Job.ID, "attempt", a.Number, "class", class.String(), "error", err)
	w.metrics.attemptFailed(ctx, class)
	if class == ClassUnavailable {
		w.pause(err)
		if a.rec.Uncounted < maxUncounted {
			w.giveBack(ctx, a, err, false)
			return
		}
	}
	if class == ClassPermanent || a.rec.counted() >= w.maxAttempts(a.Job) {
		w.bury(ctx, a, err)
		return
	}
	if over := w.retriesOver(a.Job, a.rec, w.now()); over != nil {
		a.rec.addTry(err, w.now())
		w.bury(ctx, a, over)
		return
	}
	w.giveBack(ctx, a, err, true)
}

// giveBack returns the job to the queue. counted says whether the job's budget
// pays for the attempt.
func (w *Worker) giveBack(ctx context.Context, a *Attempt, why error, counted bool) {
	delay := time.Duration(0)
	a.rec.addTry(why, w.now())
	switch {
	case counted:
		delay = retryDelay(a.rec.counted())
	default:
		a.rec.Uncounted++
		if n := len(a.rec.Tries); n > 0 && a.rec.Tries[n-1].Number == a.rec.Attempt {
			a.rec.Tries[n-1].Uncounted = true
		}
		if !errors.Is(why, ErrDraining) {
			delay = jitter(w.cfg.sickDelay)
		}
	}
	a.rec.State, a.rec.Worker = Retrying, ""
	err := w.writeHeld(ctx, a, func() { // a cancel came first: there is nobody to run it for
		if a.rec.CancelRequested {
			a.rec.State, a.rec.Worker, a.rec.Result = Done, w.cfg.Name, canceledResult(nil)
			w.complete(ctx, a, a.rec.Result)
			a.rec.Result.Phases = a.phaseTimes()
		}
	})
	switch {
	case err != nil:
		w.dropped(ctx, a, err)
	case a.rec.State == Done:
		w.ended(ctx, a)
	default:
		w.later(ctx, a, delay)
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
	within, end := a.Begin(ctx, PhaseCommit)
	w.complete(within, a, res)
	adopted := false
	if len(res.Outputs) > 0 {
		stands, err := w.commitOutputs(within, a, res)
		switch {
		case errors.Is(err, ErrFenced):
			end(err)
			w.dropped(ctx, a, err)
			return
		case err != nil:
			end(err)
			w.failed(ctx, a, fmt.Errorf("commit the outputs: %w", err))
			return
		}
		// Another attempt's result keeps its worker, trace and times: it is
		// that run whose outputs count.
		adopted = stands != res
		res = stands
		res.Attempts = a.rec.counted()
	}
	if !adopted {
		res.Phases = a.phaseTimes()
		res.Phases[PhaseCommit] = float64(time.Since(committing).Microseconds()) / 1000
	}
	a.rec.State, a.rec.Result = Done, res
	err := w.writeResult(within, a)
	end(err, attribute.String("boxfleet.outcome", string(res.Outcome)))
	if err != nil {
		w.dropped(ctx, a, err)
		return
	}
	w.ended(ctx, a)
}

// commitOutputs stores the manifest, if this attempt still holds its job: one
// that does not would leave a manifest nobody asked for.
func (w *Worker) commitOutputs(ctx context.Context, a *Attempt, res *Result) (stands *Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = w.panicked(ctx, a, p)
		}
	}()
	now, _, err := w.insistStatus(ctx, a.key)
	switch {
	case err != nil:
		return nil, err
	case now == nil || !now.heldBy(&a.claimed):
		return nil, ErrFenced
	case now.CancelRequested:
		return canceledResult(res), nil
	}
	a.left.offered = true
	return w.commits.Commit(ctx, a, res)
}

// writeResult writes the finished record. A result that is too large for a
// message becomes one that says so: trying again would not make it smaller.
func (w *Worker) writeResult(ctx context.Context, a *Attempt) error {
	change := func() {
		// Too late when outputs are committed; else the cancel wins.
		if a.rec.CancelRequested && len(a.rec.Result.Outputs) == 0 {
			a.rec.Result = canceledResult(a.rec.Result)
		}
	}
	err := w.writeHeld(ctx, a, change)
	if !errors.Is(err, nats.ErrMaxPayload) {
		return err
	}
	res := a.rec.Result
	n := len(res.Outputs)
	a.rec.Result = &Result{
		ID: res.ID, Outcome: OutputLimit, ExitCode: -1, FuelConsumed: res.FuelConsumed, PeakMemory: res.PeakMemory,
		BytesIn: res.BytesIn, BytesOut: res.BytesOut, Phases: res.Phases, Attempts: res.Attempts, Worker: res.Worker,
		TraceID: res.TraceID, FinishedAt: res.FinishedAt, OutputPrefix: res.OutputPrefix,
		Error: fmt.Sprintf("the list of its %d outputs, %d deleted files and %d denials does not fit into a record of %d bytes; let the tool pack its outputs into fewer files",
			n, len(res.Deleted), len(res.Denials), w.nc.MaxPayload()),
	}
	return w.writeHeld(ctx, a, change)
}

// complete fills the parts of a result that the queue side knows.
func (w *Worker) complete(ctx context.Context, a *Attempt, res *Result) {
	res.ID, res.Attempts, res.Worker = a.Job.ID, a.rec.counted(), w.cfg.Name
	res.TraceID = trace.SpanContextFromContext(ctx).TraceID().String()
	res.FinishedAt = time.Now().UTC()
	res.Error = shorten(res.Error, maxErrorText)
}

// ended tells everybody about a record that is Done.
func (w *Worker) ended(ctx context.Context, a *Attempt) {
	w.announce(a.rec, a.encoded)
	w.auditDenied(a.rec)
	w.ack(ctx, a)
	a.left.ended = a.rec.Result
	w.done.Add(1)
	w.metrics.finished(ctx, a, a.rec.Result)
}

// announce tells waiting clients. The record is the truth; this is a hint
// that carries it. data is the encoded record, if the caller has it.
func (w *Worker) announce(rec *Record, data []byte) {
	if data == nil {
		var err error
		if data, err = rec.encode(); err != nil {
			return
		}
	}
	_ = w.nc.Publish(doneSubject(rec.Tenant, rec.Batch, rec.ID), data)
}

// ack acknowledges and waits for the server's word. If it does not come the
// job is delivered again, found finished, and acknowledged then.
func (w *Worker) ack(ctx context.Context, a *Attempt) {
	a.settled.Store(true)
	ctx, span := w.tracer.Start(ctx, "ack")
	defer span.End()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := w.nc.RequestWithContext(ctx, a.msg.Reply, ackBody); err != nil {
		span.RecordError(err)
		w.log.DebugContext(ctx, "the ack was not confirmed", "subject", a.msg.Subject, "error", err)
	}
}

var ackBody = []byte("+ACK")

// dropped leaves a job without settling it: another worker holds it, or
// nothing could be written. Its message is not touched, so it comes back to
// whoever is to have it.
func (w *Worker) dropped(ctx context.Context, a *Attempt, why error) {
	a.settled.Store(true)
	if errors.Is(why, ErrFenced) {
		w.log.WarnContext(ctx, "the job is no longer this worker's, dropping the attempt", "job", a.Job.ID, "attempt", a.Number, "reason", why)
		w.metrics.fenced(ctx)
		a.left.lost = true
		return
	}
	w.log.ErrorContext(ctx, "cannot write a job's record; the job comes back by itself", "job", a.Job.ID, "attempt", a.Number, "error", why)
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
