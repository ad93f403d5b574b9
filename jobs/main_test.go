package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"boxfleet/artifacts"
	"boxfleet/internal/natstest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Many tests wait for a server's timers, not for a processor.
	if f := flag.Lookup("test.parallel"); f.Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		if err := f.Value.Set("3"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// testAckWait is short, so that tests of silent workers are. Other tests keep
// the real one: on a busy machine a second may pass between two steps.
const testAckWait = time.Second

// impatient is the change of a worker that gives silent jobs away soon.
func impatient(c *WorkerConfig) {
	c.Topology.ackWait, c.heartbeatEvery = testAckWait, testAckWait/4
}

// patience bounds every wait of a test that passes long before it.
const patience = 3 * time.Minute

var testTool = Tool{Name: "noop", Version: "1.0.0", Digest: artifacts.Digest("sha256:" + strings.Repeat("ab", 32)), Size: 10}

// testFleet is a NATS server with boxfleet's streams and a client.
type testFleet struct {
	t      *testing.T
	ctx    context.Context
	srv    *natstest.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	client *Client
}

func newFleet(t *testing.T) *testFleet {
	t.Helper()
	t.Parallel()
	return newFleetIn(t)
}

// newFleetIn is newFleet for tests that need several.
func newFleetIn(t *testing.T) *testFleet {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	f := &testFleet{t: t, ctx: ctx, srv: natstest.Start(t)}
	f.nc, f.js = f.srv.Connect(t)
	topology := Topology{}
	if err := topology.Ensure(ctx, f.js); err != nil {
		t.Fatal(err)
	}
	if err := topology.WithDefaults().ensureAllConsumers(ctx, f.js); err != nil {
		t.Fatal(err)
	}
	f.client = f.tenant("")
	return f
}

func (f *testFleet) tenant(name string) *Client {
	f.t.Helper()
	c, err := NewClient(f.ctx, f.nc, f.js, name)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// handlerFunc is a Handler.
type handlerFunc func(ctx context.Context, a *Attempt) (*Result, error)

func (h handlerFunc) Run(ctx context.Context, a *Attempt) (*Result, error) { return h(ctx, a) }

func succeed(context.Context, *Attempt) (*Result, error) { return &Result{Outcome: Succeeded}, nil }

// testWorker is a worker that runs.
type testWorker struct {
	*Worker
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error
	logs   *logBuffer
}

// worker starts one with a connection of its own and waits until it listens.
func (f *testFleet) worker(name string, h handlerFunc, change func(*WorkerConfig)) *testWorker {
	f.t.Helper()
	w := f.idleWorker(name, h, nil, change)
	w.start(f.t)
	return w
}

func (f *testFleet) idleWorker(name string, h handlerFunc, commits Committer, change func(*WorkerConfig)) *testWorker {
	f.t.Helper()
	nc, js, err := Connect(f.ctx, ConnConfig{URL: f.srv.URL(), Wait: patience})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(nc.Close)
	logs := &logBuffer{}
	cfg := WorkerConfig{
		Name: name, Slots: 4, Grace: 5 * time.Second, PollEvery: 50 * time.Millisecond,
		heartbeatEvery: testAckWait / 4, sickDelay: 50 * time.Millisecond, probeEvery: 20 * time.Millisecond,
		lastWords: 2 * time.Second,
		Log:       slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	w, err := NewWorker(f.ctx, nc, js, h, commits, cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return &testWorker{Worker: w, t: f.t, ended: make(chan error, 1), logs: logs}
}

func (w *testWorker) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	ready := make(chan struct{})
	go func() { w.ended <- w.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-w.ended:
		t.Fatalf("the worker ended at once: %v", err)
	}
	t.Cleanup(func() { w.stop() })
}

// stop drains the worker and waits for its end.
func (w *testWorker) stop() error {
	w.cancel()
	err := <-w.ended
	w.ended <- err
	return err
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newJob(id string) *Job { return &Job{ID: id, Tool: testTool} }

// submit hands jobs in, each must be accepted.
func (f *testFleet) submit(jobs ...*Job) {
	f.t.Helper()
	for _, j := range jobs {
		if _, err := f.client.Submit(f.ctx, j); err != nil {
			f.t.Fatal(err)
		}
	}
}

// result waits for a job's end.
func (f *testFleet) result(id string) *Record { return f.resultOf(f.client, id) }

func (f *testFleet) resultOf(c *Client, id string) *Record {
	f.t.Helper()
	var last *Record
	f.eventually("job "+id+" ends", func() bool {
		rec, err := c.Get(f.ctx, id)
		last = rec
		return err == nil && rec.State == Done
	})
	return last
}

// eventually polls a condition that must come true.
func (f *testFleet) eventually(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			f.t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// quiet waits until no job message is left, and then says how many dead
// letters there are.
func (f *testFleet) quiet() {
	f.t.Helper()
	f.eventually("the queue is empty", func() bool {
		s, err := f.js.Stream(f.ctx, StreamJobs)
		return err == nil && s.CachedInfo().State.Msgs == 0
	})
}

func (f *testFleet) deadLetters() []*DeadLetter {
	f.t.Helper()
	var all []*DeadLetter
	for d, err := range f.client.DeadLetters(f.ctx) {
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// runs counts how often each job was run.
type runs struct {
	mu sync.Mutex
	n  map[string]int
}

func (r *runs) add(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == nil {
		r.n = map[string]int{}
	}
	r.n[id]++
	return r.n[id]
}

func (r *runs) of(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n[id]
}

func (r *runs) handler(ctx context.Context, a *Attempt) (*Result, error) {
	r.add(a.Job.ID)
	return &Result{Outcome: Succeeded}, nil
}

// recv takes from a channel or fails.
func recv[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %s: %s", patience, what)
		panic("unreachable")
	}
}

// until waits for a handler's context to end and gives its cause.
func until(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

var errBroken = errors.New("the store broke")

func numbered(prefix string, i int) string { return fmt.Sprintf("%s-%05d", prefix, i) }
