package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"boxfleet/limits"
)

// starts notes when each job was started.
type starts struct {
	runs
	mu sync.Mutex
	at map[string]time.Time
}

func (s *starts) handler(ctx context.Context, a *Attempt) (*Result, error) {
	s.mu.Lock()
	if s.at == nil {
		s.at = map[string]time.Time{}
	}
	s.at[a.Job.ID] = time.Now()
	s.mu.Unlock()
	return s.runs.handler(ctx, a)
}

func (s *starts) of(id string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[id]
}

// Scheduled jobs start at their time, once, on workers whose clocks are wrong,
// and although the server was restarted and the jobs were submitted twice.
func TestRunAt(t *testing.T) {
	f := newFleet(t)
	var s starts
	for name, skew := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		f.worker(name, s.handler, func(c *WorkerConfig) {
			c.localClock = func() time.Time { return time.Now().Add(skew) }
		})
	}
	at := f.client.Now(f.ctx).Add(4 * time.Second)
	job := func(i int) *Job {
		j := newJob(numbered("later", i))
		j.RunAt = at
		return j
	}
	const n = 8
	for range 2 {
		var all iter.Seq2[JobWithContext, error] = func(yield func(JobWithContext, error) bool) {
			for i := range n {
				if !yield(JobWithContext{f.ctx, job(i)}, nil) {
					return
				}
			}
		}
		if err := f.client.SubmitMany(f.ctx, all, func(int, int) {}); err != nil {
			t.Fatal(err)
		}
	}
	past := newJob("past")
	past.RunAt = at.Add(-time.Minute)
	f.submit(past)
	rec, err := f.client.Get(f.ctx, job(0).ID)
	if err != nil || rec.State != Scheduled && time.Now().Before(at) || !rec.RunAt.Equal(at) {
		t.Fatalf("a scheduled job: %+v, %v; want state %s and its time", rec, err, Scheduled)
	}
	f.result("past")
	f.srv.Stop()
	if err := f.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		id := job(i).ID
		if rec := f.result(id); rec.Result.Outcome != Succeeded {
			t.Errorf("%s: %+v", id, rec.Result)
		}
		if early := at.Sub(s.of(id)); early > 100*time.Millisecond {
			t.Errorf("%s started %s before its time", id, early)
		}
		if got := s.runs.of(id); got != 1 {
			t.Errorf("%s ran %d times", id, got)
		}
	}
	f.quiet()
}

// A job that comes before its time again and again, because some clock is
// wrong, waits a bounded time.
func TestWrongClockHoldsNothingUp(t *testing.T) {
	f := newFleet(t)
	w := f.idleWorker("w", succeed, nil, nil)
	j := newJob("far")
	f.client.complete(j)
	j.RunAt = time.Now().Add(24 * time.Hour)
	data, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.js.PublishMsg(f.ctx, j.routed(j.queueLane(), data)); err != nil {
		t.Fatal(err)
	}
	w.start(t)
	if rec := f.result("far"); rec.Result.Outcome != Succeeded {
		t.Errorf("it ended %+v", rec.Result)
	}
}

// Cancels that meet the firing of a schedule: the record decides, and a job
// that was cancelled while it waited does not run.
func TestCancelMeetsFiring(t *testing.T) {
	f := newFleet(t)
	var r runs
	f.worker("w", r.handler, nil)
	const n = 40
	at := f.client.Now(f.ctx).Add(2 * time.Second)
	states := map[string]CancelState{}
	cancel := func(i int) {
		state, err := f.client.Cancel(f.ctx, numbered("race", i))
		if err != nil {
			t.Fatal(err)
		}
		states[numbered("race", i)] = state
	}
	for i := range n {
		j := newJob(numbered("race", i))
		if j.RunAt = at; i == 0 {
			j.RunAt = at.Add(time.Hour)
		}
		f.submit(j)
	}
	for i := range n - 1 { // from before the first firing until after the last
		cancel(i)
		time.Sleep(80 * time.Millisecond)
	}
	f.result(numbered("race", n-1))
	cancel(n - 1)
	seen := map[CancelState]int{}
	for id, state := range states {
		rec := f.result(id)
		seen[state]++
		switch ran := r.of(id); {
		case state == CanceledQueued && (ran != 0 || rec.Result.Outcome != Canceled):
			t.Errorf("%s was cancelled while it waited and ran %d times: %s", id, ran, rec.Result.Outcome)
		case state == AlreadyDone && (ran != 1 || rec.Result.Outcome != Succeeded):
			t.Errorf("%s was done and ran %d times: %s", id, ran, rec.Result.Outcome)
		case ran > 1:
			t.Errorf("%s ran %d times", id, ran)
		}
	}
	if seen[CanceledQueued] == 0 || seen[AlreadyDone] == 0 {
		t.Errorf("the cancels did not span the firing: %v", seen)
	}
	f.quiet()
}

// A schedule that fires twice, as after a change of the stream's leader, and
// once more when its job has ended, gives one run.
func TestFiredTwice(t *testing.T) {
	f := newFleet(t)
	var r runs
	j := newJob("twice")
	f.client.complete(j)
	j.RunAt = time.Now().Add(-time.Second)
	data, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	fire := func() {
		if _, err := f.js.PublishMsg(f.ctx, j.routed(j.queueLane(), data)); err != nil {
			t.Fatal(err)
		}
	}
	fire()
	fire()
	f.worker("w", r.handler, impatient)
	f.result("twice")
	fire()
	f.quiet()
	if n := r.of("twice"); n != 1 {
		t.Errorf("it ran %d times", n)
	}
}

// A job that waits past its time ends canceled, whether it waits for its first
// attempt or for another; one that is in time runs.
func TestExpires(t *testing.T) {
	f := newFleet(t)
	past := f.client.Now(f.ctx).Add(-time.Second)
	for id, at := range map[string]time.Time{"late": past, "fails": past, "intime": past.Add(time.Hour)} {
		j := newJob(id)
		j.ExpiresAt = at
		if id == "fails" { // its first attempt failed, in time
			f.client.complete(j)
			rec := newRecord(j)
			rec.State, rec.Attempt, rec.Worker = Retrying, 1, "gone"
			rec.addTry(errBroken, past.Add(-time.Second))
			if err := f.client.putRecord(f.ctx, rec, 0); err != nil {
				t.Fatal(err)
			}
		}
		f.submit(j)
	}
	if rec, err := f.client.Get(f.ctx, "late"); err != nil || rec.State != Queued || !rec.ExpiresAt.Equal(past) {
		t.Errorf("before a worker sees it: %+v, %v", rec, err)
	}
	var r runs
	f.worker("w", r.handler, nil)
	for id, want := range map[string]string{"late": "before it was started", "fails": "while it waited for another attempt; the last one: " + errBroken.Error()} {
		rec := f.result(id)
		if rec.Result.Outcome != Canceled || !strings.Contains(rec.Result.Error, want) || r.of(id) != 0 {
			t.Errorf("%s: %s %q, ran %d times; want canceled, %q", id, rec.Result.Outcome, rec.Result.Error, r.of(id), want)
		}
	}
	if rec := f.result("intime"); rec.Result.Outcome != Succeeded {
		t.Errorf("intime: %+v", rec.Result)
	}
	if n := len(f.deadLetters()); n != 0 {
		t.Errorf("%d dead letters of jobs that expired", n)
	}
	f.quiet()
}

// A job that had started in time goes on although its worker fell silent.
func TestExpiryIsForWaitingJobs(t *testing.T) {
	f := newFleet(t)
	w := f.idleWorker("w", succeed, nil, nil)
	j := newJob("j")
	f.client.complete(j)
	j.ExpiresAt = w.now().Add(-time.Minute)
	for state, want := range map[State]verdict{Queued: claimExpired, Retrying: claimExpired, Running: claimRun} {
		rec := newRecord(j)
		rec.State, rec.Attempt = state, 1
		if got := w.another(j, rec); got != want {
			t.Errorf("%s: verdict %d, want %d", state, got, want)
		}
	}
}

// TestRetryPolicy holds every part of a job's policy against what becomes of
// its attempts.
func TestRetryPolicy(t *testing.T) {
	f := newFleet(t)
	exit := func(code int) handlerFunc {
		return func(context.Context, *Attempt) (*Result, error) {
			return &Result{Outcome: Exited, ExitCode: code}, nil
		}
	}
	infra := func(context.Context, *Attempt) (*Result, error) { return nil, errBroken }
	for i, tc := range []struct {
		name     string
		retry    Retry
		run      handlerFunc
		maxAge   time.Duration
		outcome  Outcome
		attempts int
		says     string
		letters  int
	}{
		{"an exit code to be retried, to the last attempt", Retry{MaxAttempts: 3, OnExitCodes: []int{7, 75}}, exit(75), 0, Exited, 3, "", 0},
		{"another exit code", Retry{MaxAttempts: 3, OnExitCodes: []int{7}}, exit(8), 0, Exited, 1, "", 0},
		{"success at last", Retry{MaxAttempts: 5, OnExitCodes: []int{75}}, func(_ context.Context, a *Attempt) (*Result, error) {
			if a.Number < 3 {
				return &Result{Outcome: Exited, ExitCode: 75}, nil
			}
			return &Result{Outcome: Succeeded}, nil
		}, 0, Succeeded, 3, "", 0},
		{"an exit code is no matter for a trap", Retry{MaxAttempts: 3, OnExitCodes: []int{1}}, func(context.Context, *Attempt) (*Result, error) {
			return &Result{Outcome: Trapped, ExitCode: 1}, nil
		}, 0, Trapped, 1, "", 0},
		{"not_after is over at the first failure", Retry{MaxAttempts: 9, NotAfter: time.Now().Add(-time.Minute)}, infra, 0, Failed, 1, "not_after", 1},
		{"not_after is over at the first exit", Retry{MaxAttempts: 9, OnExitCodes: []int{3}, NotAfter: time.Now().Add(-time.Minute)}, exit(3), 0, Exited, 1, "", 0},
		{"too old to be tried again", Retry{MaxAttempts: 9}, infra, time.Nanosecond, Failed, 1, errBroken.Error(), 1},
	} {
		tenant := f.tenant(fmt.Sprintf("policy%d", i))
		before := func() (n int) {
			for _, err := range tenant.DeadLetters(f.ctx) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			return n
		}
		w := f.worker("w"+fmt.Sprint(i), tc.run, func(c *WorkerConfig) { c.MaxRetryAge = tc.maxAge })
		j := newJob("job")
		j.Retry = tc.retry
		if _, err := tenant.Submit(f.ctx, j); err != nil {
			t.Fatal(err)
		}
		rec := f.resultOf(tenant, "job")
		if rec.Result.Outcome != tc.outcome || rec.Result.Attempts != tc.attempts || !strings.Contains(rec.Result.Error, tc.says) {
			t.Errorf("%s: %s after %d attempts, %q; want %s after %d, %q", tc.name, rec.Result.Outcome, rec.Result.Attempts, rec.Result.Error, tc.outcome, tc.attempts, tc.says)
		}
		if n := len(rec.Tries); tc.outcome != Failed && n != tc.attempts-1 {
			t.Errorf("%s: the record tells of %d tries: %v", tc.name, n, rec.Tries)
		}
		if n := before(); n != tc.letters {
			t.Errorf("%s: %d dead letters, want %d", tc.name, n, tc.letters)
		}
		_ = w.stop()
	}
}

// A store that was away for long makes nothing too old to be tried again.
func TestSicknessAgesNothing(t *testing.T) {
	f := newFleet(t)
	now := time.Now()
	var mu sync.Mutex
	skew := time.Duration(0)
	f.worker("w", func(_ context.Context, a *Attempt) (*Result, error) {
		mu.Lock()
		defer mu.Unlock()
		switch a.Number {
		case 1:
			skew = 48 * time.Hour // passes before the store is well
			return nil, Unavailable(errors.New("the store is away"))
		case 2:
			return nil, errBroken
		}
		return &Result{Outcome: Succeeded}, nil
	}, func(c *WorkerConfig) {
		c.localClock = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(skew)
		}
	})
	j := newJob("patient")
	j.Options.WasmTimeout = limits.Duration(time.Minute)
	f.submit(j)
	rec := f.result("patient")
	if rec.Result.Outcome != Succeeded || rec.Result.Attempts != 2 {
		t.Errorf("%s after %d counted attempts (%s): %v", rec.Result.Outcome, rec.Result.Attempts, time.Since(now), rec.Tries)
	}
}
