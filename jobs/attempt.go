package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Attempt is one try at a job on one worker.
type Attempt struct {
	Job    *Job
	Number int // counts from 1
	Worker string

	w       *Worker
	slot    *slot
	msg     *nats.Msg
	key     string        // of the record
	rec     *Record       // as this attempt means to write it next
	claimed Record        // as it stood when the attempt became its holder
	rev     atomic.Uint64 // of the record; heartbeats look at it too
	encoded []byte        // the record as it was last written
	stop    context.CancelCauseFunc
	settled atomic.Bool // the message is acknowledged or given back
	left    leftovers   // only the goroutine of handle touches it

	mu     sync.Mutex
	phases map[string]float64
}

// Begin starts a phase: a span, and a time in the result. The returned
// function ends it with the error it met and attributes for the span.
func (a *Attempt) Begin(ctx context.Context, phase string) (context.Context, func(err error, attrs ...attribute.KeyValue)) {
	ctx, span := a.w.tracer.Start(ctx, phase)
	start := time.Now()
	return ctx, func(err error, attrs ...attribute.KeyValue) {
		a.endPhase(ctx, phase, time.Since(start))
		if span.IsRecording() {
			span.SetAttributes(attrs...)
			if err != nil {
				span.RecordError(err)
				span.SetStatus(codes.Error, err.Error())
			}
		}
		span.End()
	}
}

func (a *Attempt) endPhase(ctx context.Context, phase string, d time.Duration) {
	a.mu.Lock()
	a.phases[phase] += float64(d.Microseconds()) / 1000
	a.mu.Unlock()
	a.w.metrics.phase(ctx, phase, d)
}

// phaseTimes gives a copy of the phases so far.
func (a *Attempt) phaseTimes() map[string]float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.phases)
}

// OutputPrefix is the key prefix this attempt's outputs go under, below the
// fleet's bucket. It names the attempt, so that two never mix.
func (a *Attempt) OutputPrefix() string {
	return "out/" + a.Job.Tenant + "/" + a.Job.ID + "/" + strconv.Itoa(a.Number) + "/"
}

// ManifestKey is where the job's one committed manifest is stored.
func (a *Attempt) ManifestKey() string {
	return "out/" + a.Job.Tenant + "/" + a.Job.ID + "/manifest.json"
}

// LogChunk is a piece of a guest's output on its way to a follower.
type LogChunk struct {
	Attempt int    `json:"attempt"`
	Stream  string `json:"stream"` // stdout or stderr
	Offset  int64  `json:"offset"` // bytes of the stream before this piece
	Data    []byte `json:"data"`
}

// Log sends a piece of output to whoever follows the job. It never blocks on
// a slow follower, and a lost piece is in the result all the same.
func (a *Attempt) Log(stream string, offset int64, data []byte) {
	msg, err := json.Marshal(LogChunk{Attempt: a.Number, Stream: stream, Offset: offset, Data: data})
	if err == nil {
		_ = a.w.nc.Publish(logSubject(a.Job.Tenant, a.Job.ID), msg)
	}
}

// slot is the right to run a job. An attempt may lay it down while it waits
// for something slow that is not its own work.
type slot struct {
	w    *Worker
	held bool
}

// Park lays the attempt's slot down, so that another job can start, for
// instance while a compiler works on this one's module. The job keeps its
// heartbeat. When too many are parked already it does nothing: what waits
// holds memory too.
func (a *Attempt) Park() {
	if !a.slot.held {
		return
	}
	if int(a.w.parked.Add(1)) > 4*a.w.cfg.Slots {
		a.w.parked.Add(-1)
		return
	}
	a.slot.release()
}

// settleAside lays the slot down for good: committing waits for servers and
// needs no slot, so the next job can start meanwhile. The returned function is
// called when the job is settled.
func (a *Attempt) settleAside() (settled func()) {
	if !a.slot.held {
		return func() {}
	}
	if a.Park(); a.slot.held {
		return func() {}
	}
	return func() { a.w.parked.Add(-1) }
}

// Unpark waits for a slot again.
func (a *Attempt) Unpark(ctx context.Context) error {
	if a.slot.held {
		return nil
	}
	defer a.w.parked.Add(-1)
	select {
	case <-a.w.free:
		a.slot.held = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *slot) release() {
	if s.held {
		s.held = false
		s.w.free <- struct{}{}
	}
}

// handle runs one message from pull to ack.
func (w *Worker) handle(work context.Context, m *nats.Msg, s *slot) {
	received := time.Now()
	j, seq, err := decodeMessage(m)
	if err != nil {
		w.buryMessage(work, m, err)
		return
	}
	if j.Rate != nil && w.unrated(work, j) {
		_ = w.nak(m, firstPlaceRetry)
		return
	}
	ctx, stop := context.WithCancelCause(headerContext(work, m))
	defer stop(nil)
	a := &Attempt{Job: j, Worker: w.cfg.Name, w: w, slot: s, msg: m, key: recordKey(j.Tenant, j.ID), stop: stop, phases: make(map[string]float64, 10)}
	if !w.enter(a) {
		// We run it already, by an earlier delivery or by a second message.
		w.later(ctx, a, w.cfg.Topology.ackWait)
		return
	}
	defer w.tidy(ctx, a) // when the job is nobody's here any more
	defer w.leave(a)
	w.spanFrom(ctx, PhaseQueueWait, j.SubmittedAt, received)
	a.endPhase(ctx, PhaseQueueWait, max(0, received.Sub(j.SubmittedAt)))

	if err := w.untilDue(ctx, a); err != nil {
		w.later(ctx, a, 0)
		return
	}
	switch verdict, err := w.claim(ctx, a, seq); {
	case err != nil:
		w.log.WarnContext(ctx, "cannot claim a job, giving it back", "job", j.ID, "error", err)
		w.later(ctx, a, jitter(2*time.Second))
	case verdict == claimDone:
		// Whoever submitted it again may be waiting for its result.
		w.announce(a.rec, nil)
		w.ack(ctx, a)
	case verdict == claimWait:
		w.later(ctx, a, w.cfg.Topology.ackWait)
	case a.rec.CancelRequested: // its last holder went silent before it heard of it
		w.finish(ctx, a, canceledResult(nil))
	case verdict == claimSpent:
		w.bury(ctx, a, w.whySpent(a))
	case verdict == claimExpired:
		w.finish(ctx, a, expiredResult(a.Job, a.rec))
	default:
		res, err := w.runSafely(ctx, a)
		if err == nil { // an error may mean that the worker is sick: then nothing is to start
			defer a.settleAside()()
		}
		w.settle(ctx, a, res, err)
	}
}

// enter notes that this worker works on a job; false if it does already.
func (w *Worker) enter(a *Attempt) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active[a.key] != nil {
		return false
	}
	w.active[a.key] = a
	return true
}

func (w *Worker) leave(a *Attempt) {
	a.settled.Store(true)
	w.mu.Lock()
	delete(w.active, a.key)
	w.mu.Unlock()
}

// later asks for the message to be delivered again after d. It is not a use
// of the job's attempts.
func (w *Worker) later(ctx context.Context, a *Attempt, d time.Duration) {
	a.settled.Store(true)
	if err := w.nak(a.msg, d); err != nil {
		w.log.DebugContext(ctx, "cannot give a message back; it comes back by itself", "job", a.Job.ID, "error", err)
	}
}

// nak gives a message back, to be delivered again after d at the earliest.
func (w *Worker) nak(m *nats.Msg, d time.Duration) error {
	return w.nc.Publish(m.Reply, fmt.Appendf(nil, `-NAK {"delay":%d}`, max(d, time.Millisecond).Nanoseconds()))
}

// runSafely runs the handler; a panic in it ends this attempt, not the worker.
func (w *Worker) runSafely(ctx context.Context, a *Attempt) (res *Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			res, err = nil, w.panicked(ctx, a, p)
		}
	}()
	res, err = w.handler.Run(ctx, a)
	if res == nil && err == nil {
		err = Permanent(errors.New("internal error: the handler gave neither a result nor an error"))
	}
	return res, err
}

func (w *Worker) panicked(ctx context.Context, a *Attempt, p any) error {
	err := &PanicError{Value: p, Stack: stack()}
	w.log.ErrorContext(ctx, "an attempt panicked", "job", a.Job.ID, "error", err, "stack", string(err.Stack))
	return Permanent(err)
}

// spanFrom records a span for time that passed before this worker knew of it.
func (w *Worker) spanFrom(ctx context.Context, name string, from, to time.Time) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	if from.After(to) { // the submitter's clock runs ahead
		from = to
	}
	_, span := w.tracer.Start(ctx, name, trace.WithTimestamp(from))
	span.End(trace.WithTimestamp(to))
}
