package jobs

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// TestOneTrace: the submitter's trace goes through the message to every phase.
func TestOneTrace(t *testing.T) {
	f := newFleet(t)
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	w := f.idleWorker("w1", func(ctx context.Context, a *Attempt) (*Result, error) {
		ctx, end := a.Begin(ctx, PhaseRun)
		_, endFetch := a.Begin(ctx, PhaseFetch)
		endFetch(errBroken)
		end(nil)
		return &Result{Outcome: Succeeded}, nil
	}, nil, nil)
	w.tracer = provider.Tracer("test")
	w.start(t)
	ctx, root := provider.Tracer("test").Start(f.ctx, "submit")
	if _, err := f.client.Submit(ctx, newJob("traced")); err != nil {
		t.Fatal(err)
	}
	root.End()
	rec := f.result("traced")
	f.quiet()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if want := root.SpanContext().TraceID().String(); rec.Result.TraceID != want {
		t.Errorf("trace %s, want %s", rec.Result.TraceID, want)
	}
	parent := map[string]string{}
	names := map[string]string{}
	for _, s := range spans.GetSpans() {
		names[s.SpanContext.SpanID().String()] = s.Name
	}
	for _, s := range spans.GetSpans() {
		if s.SpanContext.TraceID() != root.SpanContext().TraceID() {
			t.Errorf("span %s is in another trace", s.Name)
		}
		if s.EndTime.Before(s.StartTime) {
			t.Errorf("span %s ends before it starts", s.Name)
		}
		if s.Name == PhaseFetch && s.Status.Code != codes.Error {
			t.Error("the failed phase does not say so")
		}
		parent[s.Name] = names[s.Parent.SpanID().String()]
	}
	for name, want := range map[string]string{PhaseQueueWait: "submit", PhaseRun: "submit", PhaseFetch: PhaseRun, PhaseCommit: "submit"} {
		if got, ok := parent[name]; !ok || got != want {
			t.Errorf("span %q is below %q, want %q (all: %v)", name, got, want, parent)
		}
	}
	if _, ok := parent["ack"]; !ok {
		t.Error("no ack span")
	}
}

// TestUntracedJobsHaveTraceIDs: logs and results can be tied together without
// a tracer.
func TestUntracedJobsHaveTraceIDs(t *testing.T) {
	f := newFleet(t)
	f.worker("w1", succeed, nil)
	f.submit(newJob("a"), newJob("b"))
	a, b := f.result("a").Result.TraceID, f.result("b").Result.TraceID
	if len(a) != 32 || a == b || a == "00000000000000000000000000000000" {
		t.Errorf("trace ids %q and %q", a, b)
	}
}
