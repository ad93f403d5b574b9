package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"boxfleet/artifacts"
)

// TestClassDecidesFate is the one table of what an attempt's end does to its
// job and its message.
func TestClassDecidesFate(t *testing.T) {
	sick := fmt.Errorf("stage: %w", artifacts.ErrNoSpace)
	tests := []struct {
		name     string
		first    error // of attempt 1; later ones succeed
		always   bool  // every attempt gives it
		outcome  Outcome
		attempts int // in the result
		letters  int
		runs     int
	}{
		{name: "guest result", outcome: Succeeded, attempts: 1, runs: 1},
		{name: "transient", first: errBroken, outcome: Succeeded, attempts: 2, runs: 2},
		{name: "transient, always", first: errBroken, always: true, outcome: Failed, attempts: 3, letters: 1, runs: 3},
		{name: "marked unavailable", first: Unavailable(errBroken), outcome: Succeeded, attempts: 1, runs: 2},
		{name: "disk full", first: sick, outcome: Succeeded, attempts: 1, runs: 2},
		{name: "store away", first: artifacts.ErrUnavailable, outcome: Succeeded, attempts: 1, runs: 2},
		{name: "credentials", first: artifacts.ErrCredentials, outcome: Succeeded, attempts: 1, runs: 2},
		{name: "permanent", first: Permanent(errBroken), outcome: Failed, attempts: 1, letters: 1, runs: 1},
		{name: "no result and no error", first: errNothing, outcome: Failed, attempts: 1, letters: 1, runs: 1},
		{name: "panic", first: errPanic, outcome: Failed, attempts: 1, letters: 1, runs: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFleet(t)
			var r runs
			f.worker("w1", func(ctx context.Context, a *Attempt) (*Result, error) {
				n := r.add(a.Job.ID)
				switch {
				case tt.first == nil || n > 1 && !tt.always:
					return &Result{Outcome: Succeeded}, nil
				case errors.Is(tt.first, errPanic):
					panic("handler")
				case errors.Is(tt.first, errNothing):
					return nil, nil
				}
				return nil, tt.first
			}, func(c *WorkerConfig) { c.MaxAttempts = 3 })
			f.submit(newJob("j"), newJob("innocent"))
			rec := f.result("j")
			f.result("innocent")
			f.quiet()
			if rec.Result.Outcome != tt.outcome || rec.Result.Attempts != tt.attempts {
				t.Errorf("outcome %s after %d attempts: %s", rec.Result.Outcome, rec.Result.Attempts, rec.Result.Error)
			}
			if n := r.of("j"); n != tt.runs {
				t.Errorf("ran %d times", n)
			}
			letters := 0
			for _, d := range f.deadLetters() {
				if d.Job != "j" {
					continue
				}
				letters++
				if _, err := Decode(d.Message); err != nil || d.Error == "" || d.Worker != "w1" || d.Attempt != tt.attempts || len(d.Tries) != tt.runs || d.Tool != "noop@1.0.0" {
					t.Errorf("dead letter %+v, %v", d, err)
				}
			}
			if letters != tt.letters {
				t.Errorf("%d dead letters", letters)
			}
			if tt.outcome == Failed && rec.Result.Error == "" {
				t.Error("failed without a reason")
			}
		})
	}
}

var (
	errPanic   = errors.New("panic")
	errNothing = errors.New("nothing")
)

func TestJobsOwnBudget(t *testing.T) {
	f := newFleet(t)
	var r runs
	f.worker("w1", func(_ context.Context, a *Attempt) (*Result, error) {
		r.add(a.Job.ID)
		return nil, errBroken
	}, nil)
	j := newJob("once")
	j.Retry.MaxAttempts = 1
	f.submit(j)
	if rec := f.result("once"); rec.Result.Outcome != Failed || r.of("once") != 1 || !strings.Contains(rec.Result.Error, errBroken.Error()) {
		t.Errorf("ran %d times: %+v", r.of("once"), rec.Result)
	}
}

// TestPoisonIsBuried: a job whose workers die under it ends as a dead letter
// once its attempts are spent, without another run.
func TestPoisonIsBuried(t *testing.T) {
	f := newFleet(t)
	j := newJob("poison")
	f.submit(j)
	rec := newRecord(j)
	rec.State, rec.Attempt, rec.Worker, rec.Seq, rec.StartedAt = Running, 5, "victim", 1, time.Now().UTC()
	if err := f.client.putRecord(f.ctx, rec, 0); err != nil {
		t.Fatal(err)
	}
	var r runs
	f.worker("w1", r.handler, nil)
	got := f.result("poison")
	f.quiet()
	letters := f.deadLetters()
	if got.Result.Outcome != Failed || r.of("poison") != 0 || len(letters) != 1 {
		t.Fatalf("ran %d times, %d letters, %+v", r.of("poison"), len(letters), got.Result)
	}
	if !strings.Contains(got.Result.Error, "all 5 attempts") || !strings.Contains(got.Result.Error, "victim went silent") {
		t.Errorf("error %q", got.Result.Error)
	}
}

// TestEndlesslySickJob: a job that makes its worker look sick every time ends
// as failed instead of going round for ever.
func TestEndlesslySickJob(t *testing.T) {
	f := newFleet(t)
	j := newJob("hog")
	f.client.complete(j)
	rec := newRecord(j)
	rec.State, rec.Attempt, rec.Uncounted = Retrying, maxUncounted, maxUncounted
	if err := f.client.putRecord(f.ctx, rec, 0); err != nil {
		t.Fatal(err)
	}
	f.worker("w1", func(context.Context, *Attempt) (*Result, error) { return nil, artifacts.ErrNoSpace },
		func(c *WorkerConfig) { c.MaxAttempts = 1 })
	f.submit(j)
	if got := f.result("hog"); got.Result.Outcome != Failed || got.Result.Attempts != 1 {
		t.Errorf("%+v", got.Result)
	}
}

// TestDeadLetterComesFirst: when the dead letters cannot be stored the job
// stays in the queue, and one letter is there in the end.
func TestDeadLetterComesFirst(t *testing.T) {
	f := newFleet(t)
	if err := f.js.DeleteStream(f.ctx, StreamDead); err != nil {
		t.Fatal(err)
	}
	var r runs
	w := f.idleWorker("w1", func(_ context.Context, a *Attempt) (*Result, error) {
		r.add(a.Job.ID)
		return nil, Permanent(errBroken)
	}, nil, func(c *WorkerConfig) { impatient(c); c.MaxAttempts = 100 })
	if err := f.js.DeleteStream(f.ctx, StreamDead); err != nil { // NewWorker made it again
		t.Fatal(err)
	}
	w.start(t)
	f.submit(newJob("doomed"))
	f.eventually("the worker cannot store the letter", func() bool { return strings.Contains(w.logs.String(), "cannot store a dead letter") })
	if rec, err := f.client.Get(f.ctx, "doomed"); err != nil || rec.State == Done {
		t.Errorf("record %+v, %v", rec, err)
	}
	if ids, _ := f.client.QueuedIDs(f.ctx); len(ids) != 1 {
		t.Error("the message is gone")
	}
	if err := (Topology{}).Ensure(f.ctx, f.js); err != nil {
		t.Fatal(err)
	}
	if rec := f.result("doomed"); rec.Result.Outcome != Failed {
		t.Errorf("%+v", rec.Result)
	}
	f.quiet()
	if n := len(f.deadLetters()); n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Class
	}{
		{errBroken, ClassTransient},
		{context.DeadlineExceeded, ClassTransient},
		{Permanent(errBroken), ClassPermanent},
		{fmt.Errorf("stage: %w", Permanent(errBroken)), ClassPermanent},
		{Unavailable(Permanent(errBroken)), ClassUnavailable},
		{artifacts.ErrNoSpace, ClassUnavailable},
		{errors.Join(errBroken, artifacts.ErrUnavailable), ClassUnavailable},
	} {
		if got := Classify(tt.err); got != tt.want {
			t.Errorf("%v is %s, want %s", tt.err, got, tt.want)
		}
	}
}

func TestRetryDelay(t *testing.T) {
	for attempt := range 120 {
		for range 50 {
			if d := retryDelay(attempt); d < 0 || d > 25*time.Second {
				t.Fatalf("attempt %d waits %s", attempt, d)
			}
		}
	}
	most := time.Duration(0)
	for range 200 {
		most = max(most, retryDelay(1))
	}
	if most > 500*time.Millisecond || most < 250*time.Millisecond {
		t.Errorf("the first retry waits up to %s", most)
	}
}
