package jobs

import (
	"context"
	"encoding/json"
	"sync"
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
	key     string // of the record
	rec     *Record
	rev     uint64
	started time.Time
	stop    context.CancelCauseFunc

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

// OutputPrefix is the key prefix this attempt's outputs go under, below the
// fleet's bucket. It names the attempt, so that two never mix.
func (a *Attempt) OutputPrefix() string {
	return "out/" + a.Job.Tenant + "/" + a.Job.ID + "/" + itoa(a.Number) + "/"
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
	if int(a.w.parked.Add(1)) > 4*a.w.cfg.Slots {
		a.w.parked.Add(-1)
		return
	}
	a.slot.release()
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
	md, err := m.Metadata()
	if err != nil {
		w.log.Error("a pulled message has no JetStream metadata", "subject", m.Subject, "error", err)
		return
	}
	j, err := decodeMessage(m)
	if err != nil {
		w.bury(work, m, nil, nil, err)
		return
	}
	ctx := headerContext(work, m)
	a := &Attempt{Job: j, Worker: w.cfg.Name, w: w, slot: s, msg: m, key: recordKey(j.Tenant, j.ID), started: received, phases: make(map[string]float64, 10)}
	w.spanFrom(ctx, PhaseQueueWait, j.SubmittedAt, received)
	wait := max(0, received.Sub(j.SubmittedAt))
	a.endPhase(ctx, PhaseQueueWait, wait)

	switch verdict, err := w.claim(ctx, a, md.Sequence.Stream); {
	case err != nil:
		w.log.ErrorContext(ctx, "cannot claim a job, giving it back", "job", j.ID, "error", err)
		_ = m.NakWithDelay(jitter(2 * time.Second))
		return
	case verdict == claimDrop:
		_ = m.Ack()
		return
	case verdict == claimLeave:
		return
	case verdict == claimSpent:
		w.bury(ctx, m, j, a, errSpent)
		return
	}

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	a.stop = stop
	w.mu.Lock()
	w.active[a.key] = a
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.active, a.key)
		w.mu.Unlock()
	}()

	res, err := w.runSafely(ctx, a)
	w.settle(ctx, a, res, err)
}

// runSafely runs the handler; a panic in it ends this attempt, not the worker.
func (w *Worker) runSafely(ctx context.Context, a *Attempt) (res *Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			res, err = nil, Permanent(&PanicError{Value: p, Stack: stack()})
			w.log.ErrorContext(ctx, "the handler panicked", "job", a.Job.ID, "error", err)
		}
	}()
	return w.handler.Run(ctx, a)
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
