package main

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"boxfleet/internal/fleet"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// receiver is a collector that keeps what it is sent.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*otlp.Span
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			r.spans = append(r.spans, ss.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var in collector.ExportTraceServiceRequest
	if err == nil && req.URL.Path == "/v1/traces" {
		err = proto.Unmarshal(body, &in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out, _ := r.Export(req.Context(), &in)
	reply, _ := proto.Marshal(out)
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(reply)
}

// of gives the spans of a trace by name.
func (r *receiver) of(id trace.TraceID) map[string]*otlp.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string]*otlp.Span{}
	for _, s := range r.spans {
		if string(s.TraceId) == string(id[:]) {
			found[s.Name] = s
		}
	}
	return found
}

// TestTraces: one trace a job, in one tree below what the submitter sent, by
// both protocols of OTLP over real sockets.
func TestTraces(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			r := &receiver{}
			endpoint := ""
			if protocol == "grpc" {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				s := grpc.NewServer()
				collector.RegisterTraceServiceServer(s, r)
				go func() { _ = s.Serve(l) }()
				t.Cleanup(s.Stop)
				endpoint = "http://" + l.Addr().String()
			} else {
				s := httptest.NewServer(r)
				t.Cleanup(s.Close)
				endpoint = s.URL
			}
			data := filepath.Join(t.TempDir(), "fleet")
			p := start(t, []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol, "OTEL_BSP_SCHEDULE_DELAY=50"},
				"dev", "--data", data, "--no-current")
			u := connect(t, filepath.Join(data, fleet.FileName))

			var traceID trace.TraceID
			var spanID trace.SpanID
			_, _ = rand.Read(traceID[:])
			_, _ = rand.Read(spanID[:])
			sampled := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled}))
			job := u.job("say on write f x")
			job.Options.WorkDir = &limits.Mount{Mode: limits.ReadWrite}
			res := u.result(t, u.submit(t, sampled, job))
			if res.Outcome != jobs.Succeeded || res.TraceID != traceID.String() {
				t.Errorf("%s, trace %s, want %s", res.Outcome, res.TraceID, traceID)
			}
			quiet := u.submit(t, t.Context(), u.job("say on")) // nobody asked for its trace
			unsampled := u.result(t, quiet).TraceID
			u.nc.Close()
			p.stop(t) // flushes

			spans := r.of(traceID)
			byID := map[string]*otlp.Span{}
			for _, s := range spans {
				byID[string(s.SpanId)] = s
			}
			for name, s := range spans { // every span hangs below the submitter's
				up := s
				for steps := 0; up != nil && string(up.ParentSpanId) != string(spanID[:]) && steps < len(spans); steps++ {
					up = byID[string(up.ParentSpanId)]
				}
				if up == nil || string(up.ParentSpanId) != string(spanID[:]) {
					t.Errorf("span %q hangs nowhere", name)
				}
				if s.EndTimeUnixNano < s.StartTimeUnixNano {
					t.Errorf("span %q ends before it starts", name)
				}
			}
			for _, name := range []string{jobs.PhaseQueueWait, jobs.PhaseFetch, jobs.PhaseCompile, jobs.PhaseStage, jobs.PhaseInstantiate, jobs.PhaseRun, jobs.PhaseUpload, jobs.PhaseCommit, "ack"} {
				if spans[name] == nil {
					t.Errorf("no span %q among %d", name, len(spans))
				}
			}
			r.mu.Lock()
			for _, s := range r.spans {
				if string(s.TraceId) != string(traceID[:]) && strings.Contains(unsampled, trace.TraceID(s.TraceId).String()) {
					t.Errorf("span %q of a trace that nobody sampled", s.Name)
				}
			}
			r.mu.Unlock()
			if log := p.out.String(); strings.Contains(log, "telemetry") || strings.Contains(log, "level=ERROR") {
				t.Errorf("the log is not quiet:\n%s", log)
			}
		})
	}
}

// TestRunWithoutCollector: a worker of a fleet that has no collector, and one
// whose collector is away, runs jobs all the same; the second says so once.
func TestRunWithoutCollector(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "fleet")
	servers := start(t, nil, "dev", "--data", data, "--no-current", "--no-worker")
	contextFile := filepath.Join(data, fleet.FileName)
	u := (*user)(nil)
	for _, c := range []struct {
		name string
		env  []string
		most int
	}{
		{"none", nil, 0},
		{"away", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_EXPORTER_OTLP_TIMEOUT=200"}, 1},
	} {
		fc, err := fleet.Load(contextFile)
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, append(c.env, "BOXFLEET_NATS_PASSWORD="+fc.NATS.Password, "BOXFLEET_S3_SECRET_KEY="+fc.S3.SecretKey),
			"run", "--nats", fc.NATS.URL, "--nats-user", fc.NATS.User, "--s3-endpoint", fc.S3.Endpoint, "--s3-access-key", fc.S3.AccessKey,
			"--cache-dir", t.TempDir(), "--scratch-dir", t.TempDir(), "--http", "127.0.0.1:0", "--name", "other")
		if u == nil {
			u = connect(t, contextFile)
		}
		for range 3 {
			if res := u.result(t, u.submit(t, t.Context(), u.job("say on"))); res.Outcome != jobs.Succeeded || res.Worker != "other" {
				t.Errorf("%s: %s on %q", c.name, res.Outcome, res.Worker)
			}
		}
		p.stop(t)
		if n := strings.Count(p.out.String(), "telemetry"); n > c.most {
			t.Errorf("%s: %d lines about telemetry:\n%s", c.name, n, p.out)
		}
	}
	u.nc.Close()
	servers.stop(t)
}
