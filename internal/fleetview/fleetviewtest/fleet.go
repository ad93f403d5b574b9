// Package fleetviewtest runs a small real fleet for tests of those who look at
// one: a NATS server on a socket and a real worker whose guests a test plays.
package fleetviewtest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/artifacts"
	"boxfleet/internal/fleetview"
	"boxfleet/internal/natstest"
	"boxfleet/jobs"
)

// Patience bounds every wait of a test that passes long before it.
const Patience = 2 * time.Minute

// Guest is what a job of a tool does.
type Guest func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error)

// Fleet is a server, a worker called "bench" with four slots, and a client of
// the tenant "default".
type Fleet struct {
	T      testing.TB
	Server *natstest.Server
	Conn   *nats.Conn
	Stream jetstream.JetStream
	Client *jobs.Client

	mu     sync.Mutex
	guests map[string]Guest
}

// Start runs a fleet until the test ends.
func Start(t testing.TB) *Fleet {
	t.Helper()
	f := &Fleet{T: t, Server: natstest.Start(t), guests: map[string]Guest{}}
	f.Conn, f.Stream = f.Server.Connect(t)
	nc, js, err := jobs.Connect(t.Context(), jobs.ConnConfig{URL: f.Server.URL(), Wait: Patience})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w, err := jobs.NewWorker(ctx, nc, js, f, f, jobs.WorkerConfig{Name: "bench", Slots: 4, Grace: time.Millisecond, PollEvery: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- w.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the worker ended with %v", err)
		}
		nc.Close()
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	f.Client = f.Tenant("")
	return f
}

// Tenant gives another tenant's client.
func (f *Fleet) Tenant(name string) *jobs.Client {
	f.T.Helper()
	c, err := jobs.NewClient(f.T.Context(), f.Conn, f.Stream, name)
	if err != nil {
		f.T.Fatal(err)
	}
	return c
}

// Play says what the jobs of a tool do; without it they succeed.
func (f *Fleet) Play(tool string, g Guest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.guests[tool] = g
}

// Run is the worker's handler.
func (f *Fleet) Run(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
	f.mu.Lock()
	g := f.guests[a.Job.Tool.Name]
	f.mu.Unlock()
	if g == nil {
		return &jobs.Result{Outcome: jobs.Succeeded, FuelConsumed: 7}, nil
	}
	return g(ctx, a)
}

// Commit takes outputs as they are.
func (f *Fleet) Commit(_ context.Context, _ *jobs.Attempt, r *jobs.Result) (*jobs.Result, error) {
	return r, nil
}

// Job makes a job of a tool.
func Job(id, tool string) *jobs.Job {
	return &jobs.Job{ID: id, Tool: jobs.Tool{Name: tool, Version: "1.0.0", Digest: artifacts.Digest("sha256:" + strings.Repeat("ab", 32)), Size: 10}}
}

// Submit hands jobs in.
func (f *Fleet) Submit(list ...*jobs.Job) {
	f.T.Helper()
	for _, j := range list {
		if _, err := f.Client.Submit(f.T.Context(), j); err != nil {
			f.T.Fatal(err)
		}
	}
}

// Watch keeps a View of the tenant until the test ends.
func (f *Fleet) Watch() *fleetview.View {
	v := fleetview.New(fleetview.Source{Conn: f.Conn, Stream: f.Stream, Client: f.Client})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); v.Run(ctx) }()
	f.T.Cleanup(func() { cancel(); <-ended })
	return v
}

// Until waits for a picture of which ok holds.
func (f *Fleet) Until(v *fleetview.View, what string, ok func(*fleetview.Snapshot) bool) *fleetview.Snapshot {
	f.T.Helper()
	late := time.After(Patience)
	for {
		s, changed := v.Snapshot()
		if ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-late:
			short := *s
			short.Series = nil
			f.T.Fatalf("%s does not come; the picture is %+v", what, short)
		}
	}
}
