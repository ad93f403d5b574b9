package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// quick makes a worker that takes over soon when the coordinator dies.
func quick(c *WorkerConfig) { c.leaseEvery = 50 * time.Millisecond }

func after(id string, jobs ...string) *Job {
	j := newJob(id)
	j.After = &After{Jobs: jobs}
	return j
}

// ledger notes the order in which jobs end, and fails those whose id says so.
type ledger struct {
	runs
	mu    sync.Mutex
	order []string
}

func (l *ledger) handler(ctx context.Context, a *Attempt) (*Result, error) {
	res, _ := l.runs.handler(ctx, a)
	l.mu.Lock()
	l.order = append(l.order, a.Job.ID)
	l.mu.Unlock()
	if strings.HasPrefix(a.Job.ID, "bad") {
		res.Outcome, res.ExitCode = Exited, 1
	}
	return res, nil
}

func (l *ledger) before(a, b string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Index(l.order, a) < slices.Index(l.order, b)
}

// Held jobs start when what they wait for has succeeded, or ended; a failed
// one ends those that wait for it, naming itself, and those behind them.
func TestAfter(t *testing.T) {
	f := newFleet(t)
	var l ledger
	f.submit(after("c", "a", "b"), after("d", "c"), after("e", "bad"), after("f", "e"))
	ended := after("g", "bad", "f")
	ended.After.When = AfterEnded
	later := after("later", "a")
	later.RunAt = f.client.Now(f.ctx).Add(1500 * time.Millisecond)
	f.submit(ended, later)
	if rec, err := f.client.Get(f.ctx, "c"); err != nil || rec.State != Held || len(rec.After.Jobs) != 2 {
		t.Errorf("a held job: %+v, %v", rec, err)
	}
	f.worker("w", l.handler, quick)
	f.submit(newJob("a"), newJob("bad"))
	f.result("a")
	if rec, err := f.client.Get(f.ctx, "c"); err != nil || rec.State != Held {
		t.Errorf("after one of two: %+v, %v", rec, err)
	}
	f.submit(newJob("b"))
	for id, want := range map[string]Outcome{"c": Succeeded, "d": Succeeded, "g": Succeeded, "later": Succeeded, "e": Canceled, "f": Canceled} {
		if rec := f.result(id); rec.Result.Outcome != want {
			t.Errorf("%s: %s %q, want %s", id, rec.Result.Outcome, rec.Result.Error, want)
		}
	}
	if !l.before("a", "c") || !l.before("b", "c") || !l.before("c", "d") {
		t.Errorf("they ran in the order %v", l.order)
	}
	if rec := f.result("e"); !strings.Contains(rec.Result.Error, "job bad") || !strings.Contains(rec.Result.Error, "exited") {
		t.Errorf("e says %q", rec.Result.Error)
	}
	if rec := f.result("f"); !strings.Contains(rec.Result.Error, "job e") || !strings.Contains(rec.Result.Error, "canceled") {
		t.Errorf("f says %q", rec.Result.Error)
	}
	if rec := f.result("later"); rec.StartedAt.Before(later.RunAt.Add(-100 * time.Millisecond)) {
		t.Errorf("later started %s before its time", later.RunAt.Sub(rec.StartedAt))
	}
	f.quiet()
}

// Ends that come before the waiting, expiry, jobs nobody knows, jobs that wait
// for themselves, and messages that are no jobs.
func TestAfterHopeless(t *testing.T) {
	f := newFleet(t)
	f.worker("w", succeed, func(c *WorkerConfig) { quick(c); c.unknownAfter = 2 * time.Second })
	f.submit(newJob("early"))
	f.result("early")
	expires := after("expires", "never")
	expires.ExpiresAt = f.client.Now(f.ctx).Add(time.Second)
	known := newJob("known")
	known.RunAt = f.client.Now(f.ctx).Add(4 * time.Second)
	f.submit(after("late", "early"), expires, after("unknown", "never"), known, after("patient", "known"))
	f.submit(after("x", "y"), after("y", "z"), after("z", "x"), after("knot", "x"))
	batch := newJob("nobatch")
	batch.After = &After{Batches: []string{"never"}}
	f.submit(batch)
	for _, bad := range []string{`{"v":1}`, "no job"} {
		if _, err := f.js.Publish(f.ctx, "jobs.default.hold.broken"+fmt.Sprint(len(bad)), []byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.tenant("other").Submit(f.ctx, newJob("first")); err != nil {
		t.Fatal(err)
	}
	stray := after("stray", "early")
	f.client.complete(stray)
	data, err := stray.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.js.Publish(f.ctx, "jobs.other.hold.stray", data); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"late": "", "expires": "expired at", "unknown": "job never, which it was to start after, is not known",
		"nobatch": "batch never, which it was to start after, is not known", "patient": "", "knot": "job x",
		"broken7": "cannot be read", "broken6": "cannot be read",
	} {
		if rec := f.result(id); !strings.Contains(rec.Result.Error, want) || (want == "") != (rec.Result.Outcome == Succeeded) {
			t.Errorf("%s: %s %q, want %q", id, rec.Result.Outcome, rec.Result.Error, want)
		}
	}
	if rec := f.resultOf(f.tenant("other"), "stray"); rec.Result.Outcome != Failed {
		t.Errorf("a job under another tenant's subject: %+v", rec.Result)
	}
	itself := 0
	for _, id := range []string{"x", "y", "z"} {
		rec := f.result(id)
		if rec.Result.Outcome != Canceled {
			t.Errorf("%s: %+v", id, rec.Result)
		}
		if strings.Contains(rec.Result.Error, "waits for itself") {
			itself++
		}
	}
	if itself != 1 {
		t.Errorf("%d jobs of a ring say that they wait for themselves", itself)
	}
	f.quiet()
}

// A coordinator dies while it releases, two release at once, a job is
// cancelled meanwhile: each job runs once, the cancelled ones never.
func TestReleaseByTwo(t *testing.T) {
	f := newFleet(t)
	var r runs
	const n = 100
	for i := range n {
		f.submit(after(numbered("held", i), "gate"))
	}
	ws := []*testWorker{f.worker("one", r.handler, quick), f.worker("two", r.handler, quick)}
	f.eventually("one coordinates", func() bool { return ws[0].Coordinating() || ws[1].Coordinating() })
	// Two more do the chore beside the coordinator, one of them for a moment.
	ctx, cancel := context.WithCancel(f.ctx)
	brief, stop := context.WithTimeout(f.ctx, 2*time.Second)
	defer stop()
	var chores sync.WaitGroup
	for _, c := range []context.Context{ctx, brief} {
		chores.Go(func() { _ = ws[0].releaseHeld(c) })
	}
	defer chores.Wait()
	defer cancel()
	f.submit(newJob("gate"))
	canceled := map[string]CancelState{}
	for i := 0; i < n; i += 10 {
		state, err := f.client.Cancel(f.ctx, numbered("held", i))
		if err != nil {
			t.Fatal(err)
		}
		canceled[numbered("held", i)] = state
		if i == n/2 {
			for _, w := range ws {
				if w.Coordinating() {
					go func() { _ = w.stop() }()
					break
				}
			}
		}
	}
	for i := range n {
		id := numbered("held", i)
		rec := f.result(id)
		want := 1
		if canceled[id] == CanceledQueued {
			want = 0
		}
		if got := r.of(id); got != want && canceled[id] != CancelRequested {
			t.Errorf("%s ran %d times, want %d (cancel said %q, it ended %s)", id, got, want, canceled[id], rec.Result.Outcome)
		}
	}
	f.quiet()
}

// A job that is cancelled while its release puts it under a schedule leaves no
// schedule behind.
func TestReleaseMeetsCancel(t *testing.T) {
	f := newFleet(t)
	w := f.idleWorker("w", succeed, nil, quick)
	f.submit(newJob("gate"))
	far := after("far", "gate")
	far.RunAt = time.Now().Add(300 * 24 * time.Hour)
	f.submit(far)
	stream, err := f.js.Stream(f.ctx, StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(f.ctx, "jobs.default.hold.far")
	if err != nil {
		t.Fatal(err)
	}
	h := readHeld(directMessage{subject: m.Subject, seq: m.Sequence, at: m.Time, data: m.Data})
	if _, err := f.client.Cancel(f.ctx, "far"); err != nil {
		t.Fatal(err)
	}
	// A coordinator that has the message in its hands stores it in the next
	// lane, and is killed before it looks at the record again.
	late, err := Decode(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.moveOn(f.ctx, late.routed(laneSched, m.Data), h, laneSched); err != nil {
		t.Fatal(err)
	}
	if err := w.letGo(f.ctx, h); err != nil { // another one that has it in mind
		t.Fatal(err)
	}
	if state, err := f.client.Cancel(f.ctx, "far"); err != nil || state != AlreadyDone {
		t.Fatalf("cancelled again: %q, %v", state, err)
	}
	if _, err := stream.GetLastMsgForSubject(f.ctx, "jobs.default.*.far"); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("a message of the cancelled job is left: %v", err)
	}
}

// Thousands of jobs that wait for one are released in a short while, by a
// coordinator that starts after them.
func TestReleaseThousands(t *testing.T) {
	f := newFleet(t)
	const n = 1050 // more than are read at once
	all := func(yield func(JobWithContext, error) bool) {
		for i := range n {
			if !yield(JobWithContext{f.ctx, after(numbered("held", i), "gate")}, nil) {
				return
			}
		}
	}
	if err := f.client.SubmitMany(f.ctx, all, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	var r runs
	f.worker("w", r.handler, func(c *WorkerConfig) { quick(c); c.Slots = 16 })
	start := time.Now()
	f.submit(newJob("gate"))
	f.eventually("all have run", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.n) == n+1
	})
	t.Logf("%d jobs released and run in %s", n, time.Since(start).Round(time.Millisecond))
	f.quiet()
	for id, times := range r.n {
		if times != 1 {
			t.Errorf("%s ran %d times", id, times)
		}
	}
}
