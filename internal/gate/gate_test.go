package gate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"boxfleet/artifacts"
	"boxfleet/internal/fleetauth"
	"boxfleet/internal/fleetauth/authtest"
	"boxfleet/internal/gate"
	"boxfleet/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 2 * time.Minute

var testTool = jobs.Tool{Name: "noop", Version: "1.0.0", Digest: artifacts.Digest("sha256:" + strings.Repeat("ab", 32)), Size: 10}

// rig is a fleet: a server with TLS and identities, one worker, one gate.
type rig struct {
	t   *testing.T
	ctx context.Context
	*authtest.Server
	gate *gate.Gate

	mu   sync.Mutex
	runs map[string]func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error)
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	r := &rig{t: t, ctx: ctx, Server: authtest.Start(t), runs: map[string]func(context.Context, *jobs.Attempt) (*jobs.Result, error){}}
	nc, js := r.Connect(t, fleetauth.Grant{Role: fleetauth.Worker, User: "w1"})
	w, err := jobs.NewWorker(ctx, nc, js, r, nil, jobs.WorkerConfig{Name: "w1", Slots: 4, Grace: time.Millisecond, PollEvery: 50 * time.Millisecond, Log: logTo(t, "worker")})
	if err != nil {
		t.Fatal(err)
	}
	r.background(w.Run)
	r.startGate("g1")
	return r
}

// background runs something until the test ends, once it is ready.
func (r *rig) background(run func(context.Context, func()) error) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		r.t.Fatalf("it ended at once: %v", err)
	}
	r.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("it ended with %v", err)
		}
	})
}

func (r *rig) startGate(name string) {
	nc, _ := r.Connect(r.t, fleetauth.Grant{Role: fleetauth.Gate, User: name})
	r.gate = gate.New(nc, gate.Config{Name: name, Log: logTo(r.t, "gate")})
	r.background(r.gate.Run)
}

// Run lets a job do what the test has set for its id; others succeed.
func (r *rig) Run(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
	r.mu.Lock()
	run := r.runs[a.Job.ID]
	r.mu.Unlock()
	if run != nil {
		return run(ctx, a)
	}
	return &jobs.Result{Outcome: jobs.Succeeded, Stdout: jobs.Text("of " + a.Job.ID)}, nil
}

func (r *rig) when(id string, run func(context.Context, *jobs.Attempt) (*jobs.Result, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs[id] = run
}

// hang is a job that runs until it is stopped.
func hang(ctx context.Context, _ *jobs.Attempt) (*jobs.Result, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// tenant gives a client with the credentials of a tenant's user.
func (r *rig) tenant(tenant, user string) (*jobs.Client, *nats.Conn) {
	r.t.Helper()
	nc, js := r.Connect(r.t, fleetauth.Grant{Role: fleetauth.Submitter, Tenant: tenant, User: user})
	c, err := jobs.NewClient(r.ctx, nc, js, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return c, nc
}

func (r *rig) operator() (*nats.Conn, jetstream.JetStream) {
	return r.Connect(r.t, fleetauth.Grant{Role: fleetauth.Operator, User: "op"})
}

func job(id string) *jobs.Job { return &jobs.Job{ID: id, Tool: testTool} }

// wait submits nothing; it waits for the end of a job.
func (r *rig) wait(c *jobs.Client, id string) *jobs.Record {
	r.t.Helper()
	w, err := c.NewWaiter("", id)
	if err != nil {
		r.t.Fatal(err)
	}
	defer w.Close()
	w.Expect(id)
	w.LookNow()
	rec, err := w.Next(r.ctx)
	if err != nil {
		r.t.Fatalf("wait for %s: %v", id, err)
	}
	return rec
}

func (r *rig) submit(c *jobs.Client, j *jobs.Job) {
	r.t.Helper()
	if _, err := c.Submit(r.ctx, j); err != nil {
		r.t.Fatalf("submit %s: %v", j.ID, err)
	}
}

// eventually waits until try gives nil.
func (r *rig) eventually(what string, try func() error) {
	r.t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if err = try(); err == nil {
			return
		}
		select {
		case <-r.ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	r.t.Fatalf("%s: %v", what, err)
}

type testLog struct {
	t  *testing.T
	mu sync.Mutex
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if testing.Verbose() {
		fmt.Print(string(p))
	}
	return len(p), nil
}

func logTo(t *testing.T, who string) *slog.Logger {
	return slog.New(slog.NewTextHandler(&testLog{t: t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With("of", who)
}

// TestTenantsDay is all that the client of a tenant does, through the gate.
func TestTenantsDay(t *testing.T) {
	r := newRig(t)
	acme, nc := r.tenant("acme", "ci")
	if acme.Tenant() != "acme" {
		t.Fatalf("the client is of tenant %q; the credentials are acme's", acme.Tenant())
	}
	ctx := r.ctx

	sub := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { r.t = t; f(t) })
		r.t = t
	}
	sub("submit and result", func(t *testing.T) {
		tail, err := acme.NewTail("one")
		if err != nil {
			t.Fatal(err)
		}
		defer tail.Close()
		r.submit(acme, job("one"))
		if rec := r.wait(acme, "one"); rec.Result.Outcome != jobs.Succeeded || string(rec.Result.Stdout) != "of one" {
			t.Errorf("result %+v", rec.Result)
		}
		if again, err := acme.Submit(ctx, job("one")); err != nil || !again.Duplicate {
			t.Errorf("the second submission gave %+v, %v; want a duplicate", again, err)
		}
	})
	sub("cancel", func(t *testing.T) {
		r.when("runs", hang)
		r.submit(acme, job("runs"))
		r.eventually("it runs", func() error {
			rec, err := acme.Get(ctx, "runs")
			if err == nil && rec.State != jobs.Running {
				err = fmt.Errorf("state %s", rec.State)
			}
			return err
		})
		if state, err := acme.Cancel(ctx, "runs"); err != nil || state != jobs.CancelRequested {
			t.Fatalf("cancel gave %q, %v", state, err)
		}
		if rec := r.wait(acme, "runs"); rec.Result.Outcome != jobs.Canceled {
			t.Errorf("outcome %s", rec.Result.Outcome)
		}
		later := job("later")
		later.RunAt = time.Now().Add(time.Hour)
		r.submit(acme, later)
		if state, err := acme.Cancel(ctx, "later"); err != nil || state != jobs.CanceledQueued {
			t.Fatalf("cancel gave %q, %v", state, err)
		}
		if rec := r.wait(acme, "later"); rec.Result.Outcome != jobs.Canceled {
			t.Errorf("outcome %s", rec.Result.Outcome)
		}
		if state, err := acme.Cancel(ctx, "later"); err != nil || state != jobs.AlreadyDone {
			t.Errorf("cancelling twice gave %q, %v", state, err)
		}
	})
	sub("batch", func(t *testing.T) {
		const n = 450
		w, err := acme.NewWaiter("many", "")
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		b, err := acme.OpenBatch(ctx, jobs.BatchSpec{ID: "many", Fingerprint: "f"})
		if err != nil {
			t.Fatal(err)
		}
		all := func(yield func(jobs.JobWithContext, error) bool) {
			for i := range n {
				j := job(fmt.Sprintf("many-%d", i))
				j.Batch = "many"
				w.Expect(j.ID)
				if !yield(jobs.JobWithContext{Job: j, Ctx: ctx}, nil) {
					return
				}
			}
		}
		if err := b.SubmitMany(ctx, 0, all, func(int, int) {}); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(ctx, n); err != nil {
			t.Fatal(err)
		}
		for w.Left() > 0 {
			if _, err := w.Next(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for rec, err := range acme.WatchBatch(ctx, "many") {
			if err != nil {
				t.Fatal(err)
			}
			if rec.State == jobs.BatchEnded {
				if rec.Counts[jobs.Succeeded] != n {
					t.Errorf("counts %v", rec.Counts)
				}
				break
			}
		}
		seen := 0
		for _, err := range acme.Records(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			seen++
		}
		if seen < n {
			t.Errorf("%d records listed; want at least %d", seen, n)
		}
	})
	sub("waiting", func(t *testing.T) {
		for i := range 3 {
			j := job(fmt.Sprintf("tomorrow-%d", i))
			j.RunAt = time.Now().Add(24 * time.Hour)
			r.submit(acme, j)
		}
		ids, err := acme.QueuedIDs(ctx)
		if err != nil || !slices.Contains(ids, "tomorrow-1") {
			t.Errorf("queued %v, %v", ids, err)
		}
		n := 0
		for rec, err := range acme.Waiting(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			if rec.State == jobs.Scheduled {
				n++
			}
		}
		if n != 3 {
			t.Errorf("%d scheduled; want 3", n)
		}
		if depths, err := acme.Depths(ctx); err != nil || len(depths) == 0 {
			t.Errorf("depths %v, %v", depths, err)
		}
	})
	sub("schedules", func(t *testing.T) {
		s := &jobs.Recurring{Name: "nightly", Job: job(""), Cron: "0 4 * * *"}
		if _, err := acme.PutSchedule(ctx, s); err != nil {
			t.Fatal(err)
		}
		id, err := acme.StartSchedule(ctx, "nightly")
		if err != nil {
			t.Fatal(err)
		}
		r.eventually("its job ends", func() error {
			rec, err := acme.Get(ctx, id)
			if err == nil && rec.State != jobs.Done {
				err = fmt.Errorf("state %s", rec.State)
			}
			return err
		})
		if err := acme.PauseSchedule(ctx, "nightly", true); err != nil {
			t.Error(err)
		}
		if all, err := acme.Schedules(ctx); err != nil || len(all) != 1 {
			t.Errorf("schedules %v, %v", all, err)
		}
		if err := acme.RemoveSchedule(ctx, "nightly"); err != nil {
			t.Error(err)
		}
	})
	sub("array", func(t *testing.T) {
		if _, err := acme.SubmitArray(ctx, &jobs.Array{ID: "arr", Count: 5, Job: job("")}, nil); err != nil {
			t.Fatal(err)
		}
		r.eventually("it ends", func() error {
			b, err := acme.Batch(ctx, "arr")
			if err == nil && !b.AllSucceeded() {
				err = fmt.Errorf("%s %v", b.State, b.Counts)
			}
			return err
		})
	})
	sub("keys", func(t *testing.T) {
		j := job("unique")
		j.IdempotencyKey = "order-7"
		r.submit(acme, j)
		again := job("other")
		again.IdempotencyKey = "order-7"
		if got, err := acme.Submit(ctx, again); err != nil || got.ID != "unique" {
			t.Errorf("the second use of the key gave %+v, %v", got, err)
		}
		j = job("keyed")
		j.Concurrency = &jobs.Concurrency{Key: "customer", Limit: 2}
		r.submit(acme, j)
		r.wait(acme, "keyed")
		j = job("keyed-2")
		j.Concurrency = &jobs.Concurrency{Key: "customer", Limit: 3}
		r.submit(acme, j)
		r.wait(acme, "keyed-2")
	})
	sub("dead letters", func(t *testing.T) {
		r.when("dies", func(context.Context, *jobs.Attempt) (*jobs.Result, error) {
			return nil, jobs.Permanent(errors.New("no"))
		})
		r.submit(acme, job("dies"))
		r.wait(acme, "dies")
		var dead *jobs.DeadLetter
		for d, err := range acme.DeadLetters(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			dead = d
		}
		if dead == nil || dead.Job != "dies" {
			t.Fatalf("dead letter %+v", dead)
		}
		if one, err := acme.DeadLetter(ctx, dead.Seq); err != nil || one.Job != "dies" {
			t.Errorf("dead letter by number: %+v, %v", one, err)
		}
		got, err := acme.Replay(ctx, dead, false)
		if err != nil {
			t.Fatal(err)
		}
		r.wait(acme, got.ID)
		if err := acme.PurgeDead(ctx, dead); err != nil {
			t.Error(err)
		}
	})
	sub("follow", func(t *testing.T) {
		r.when("talks", func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
			a.Log("stdout", 0, []byte("hello"))
			return &jobs.Result{Outcome: jobs.Succeeded}, nil
		})
		following, stop := context.WithCancel(ctx)
		defer stop()
		r.submit(acme, job("talks"))
		r.wait(acme, "talks")
		for e, err := range acme.Events(following, jobs.EventFilter{Job: "talks", Logs: true, Since: time.Now().Add(-time.Minute)}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.State == string(jobs.Done) {
				break
			}
		}
		if err := acme.LogSoFar(ctx, "talks", func(jobs.LogChunk) error { return nil }); err != nil {
			t.Error(err)
		}
		seen := errors.New("seen")
		err := acme.LogHistory(following, "talks", func(c jobs.LogChunk) error {
			if string(c.Data) == "hello" {
				return seen
			}
			return nil
		})
		if !errors.Is(err, seen) {
			t.Errorf("the history of output gave %v", err)
		}
	})
	sub("registry and settings", func(t *testing.T) {
		opNC, opJS := r.operator()
		op, err := jobs.NewClient(ctx, opNC, opJS, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := op.SetTenant(ctx, "acme", jobs.TenantSettings{Weight: 3, Concurrency: 100}); err != nil {
			t.Fatal(err)
		}
		if e, err := acme.TenantSettings(ctx, "acme"); err != nil || e.Settings.Weight != 3 {
			t.Errorf("own settings %+v, %v", e, err)
		}
		if _, err := acme.TenantSettings(ctx, "beta"); err == nil {
			t.Error("another tenant's settings can be read")
		}
		if err := acme.SetTenant(ctx, "acme", jobs.TenantSettings{Weight: 1000}); err == nil {
			t.Error("a tenant can set its own weight")
		}
		if _, err := acme.SearchTools(ctx, jobs.ToolQuery{}); err != nil {
			t.Errorf("tools: %v", err)
		}
	})
	if err := nc.LastError(); err != nil {
		t.Errorf("the connection met %v; everything above is allowed", err)
	}
	if _, refused := r.gate.Counts(); refused != 2 { // the two that had to be
		t.Errorf("%d refusals", refused)
	}
}

// mustJSON is for payloads of hostile requests.
func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return bytes.TrimSpace(data)
}
