package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestCancelQueued(t *testing.T) {
	f := newFleet(t)
	f.submit(newJob("q"), newJob("other"))
	w, err := f.client.NewWaiter("", "q")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Expect("q")
	for i, want := range []CancelState{CanceledQueued, AlreadyDone, AlreadyDone} {
		if got, err := f.client.Cancel(f.ctx, "q"); err != nil || got != want {
			t.Errorf("cancel %d: %q, %v", i, got, err)
		}
	}
	if rec, err := w.Next(f.ctx); err != nil || rec.Result.Outcome != Canceled {
		t.Errorf("%+v, %v", rec, err)
	}
	var r runs
	f.worker("w1", r.handler, nil)
	f.result("other")
	f.again(mustComplete(f, "q")) // even its message coming again runs nothing
	f.quiet()
	if r.of("q") != 0 {
		t.Error("a cancelled job ran")
	}
	var missing *NotFoundError
	if _, err := f.client.Cancel(f.ctx, "nobody"); !errors.As(err, &missing) {
		t.Errorf("cancel of an unknown job: %v", err)
	}
}

func mustComplete(f *testFleet, id string) *Job {
	j := newJob(id)
	f.client.complete(j)
	return j
}

func TestCancelRunning(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("message lost %v", lost), func(t *testing.T) {
			f := newFleet(t)
			started, cause := make(chan struct{}, 1), make(chan error, 1)
			manifests := &memoryCommitter{}
			w := f.idleWorker("w1", func(ctx context.Context, a *Attempt) (*Result, error) {
				started <- struct{}{}
				cause <- until(ctx)
				return &Result{Outcome: Succeeded, FuelConsumed: 7, Outputs: oneOutput}, nil
			}, manifests, nil)
			w.start(t)
			f.submit(newJob("r"))
			recv(t, "start", started)
			if lost { // the record is the truth: heartbeats find it
				entry, err := f.client.status.Get(f.ctx, recordKey(DefaultTenant, "r"))
				if err != nil {
					t.Fatal(err)
				}
				rec, err := decodeRecord(entry.Value())
				if err != nil {
					t.Fatal(err)
				}
				rec.CancelRequested = true
				if err := f.client.putRecord(f.ctx, rec, entry.Revision()); err != nil {
					t.Fatal(err)
				}
			} else {
				for range 2 {
					if got, err := f.client.Cancel(f.ctx, "r"); err != nil || got == CanceledQueued {
						t.Errorf("cancel: %q, %v", got, err)
					}
				}
			}
			if err := recv(t, "the run ends", cause); !errors.Is(err, ErrCanceled) {
				t.Errorf("cause %v", err)
			}
			rec := f.result("r")
			f.quiet()
			if rec.Result.Outcome != Canceled || rec.Result.FuelConsumed != 7 || len(rec.Result.Outputs) != 0 || manifests.count() != 0 {
				t.Errorf("%+v, %d manifests", rec.Result, manifests.count())
			}
		})
	}
}

// TestCancelMeetsCommit: cancels race with jobs that end; every job ends once,
// and a cancel that found a job waiting means that it never ran.
func TestCancelMeetsCommit(t *testing.T) {
	f := newFleet(t)
	var r runs
	for i := range 2 {
		f.worker(fmt.Sprintf("w%d", i), r.handler, nil)
	}
	const n = 200
	var wg sync.WaitGroup
	states := make([]CancelState, n)
	for i := range n {
		id := numbered("race", i)
		f.submit(newJob(id))
		wg.Go(func() {
			time.Sleep(time.Duration(i%7) * 300 * time.Microsecond)
			var err error
			var missing *NotFoundError
			// Between a job's ack and its record there is no gap, but a message
			// purged by another cancel has neither: try again.
			for range 5 {
				if states[i], err = f.client.Cancel(f.ctx, id); !errors.As(err, &missing) {
					break
				}
			}
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
		})
	}
	wg.Wait()
	counts := map[string]int{}
	for i, state := range states {
		id := numbered("race", i)
		rec := f.result(id)
		counts[string(state)+" "+string(rec.Result.Outcome)]++
		if state == CanceledQueued && (rec.Result.Outcome != Canceled || r.of(id) != 0) {
			t.Errorf("%s: canceled in the queue, ran %d times, %s", id, r.of(id), rec.Result.Outcome)
		}
		if r.of(id) > 1 {
			t.Errorf("%s ran %d times", id, r.of(id))
		}
	}
	f.quiet()
	t.Log(counts)
}

// TestCancelBetweenAttempts: the job waits for its next attempt.
func TestCancelBetweenAttempts(t *testing.T) {
	f := newFleet(t)
	var r runs
	f.worker("w1", func(_ context.Context, a *Attempt) (*Result, error) {
		r.add(a.Job.ID)
		return nil, Unavailable(errBroken)
	}, func(c *WorkerConfig) {
		c.sickDelay = time.Hour
		c.Probe = func(context.Context) error { return errBroken }
	})
	f.submit(newJob("between"))
	f.eventually("it waits", func() bool {
		rec, err := f.client.Get(f.ctx, "between")
		return err == nil && rec.State == Retrying
	})
	if got, err := f.client.Cancel(f.ctx, "between"); err != nil || got != CanceledQueued {
		t.Errorf("%q, %v", got, err)
	}
	f.quiet()
	if rec := f.result("between"); rec.Result.Outcome != Canceled || r.of("between") != 1 {
		t.Errorf("%+v", rec.Result)
	}
}

// TestCancelOfASilentWorkersJob: the next holder does not run it.
func TestCancelOfASilentWorkersJob(t *testing.T) {
	f := newFleet(t)
	j := newJob("left")
	f.submit(j)
	rec := newRecord(j)
	rec.State, rec.Attempt, rec.Worker, rec.Seq, rec.StartedAt = Running, 1, "dead", 1, time.Now().UTC()
	if err := f.client.putRecord(f.ctx, rec, 0); err != nil {
		t.Fatal(err)
	}
	if got, err := f.client.Cancel(f.ctx, "left"); err != nil || got != CancelRequested {
		t.Errorf("%q, %v", got, err)
	}
	var r runs
	f.worker("w1", r.handler, nil)
	if got := f.result("left"); got.Result.Outcome != Canceled || r.of("left") != 0 {
		t.Errorf("ran %d times, %+v", r.of("left"), got.Result)
	}
	f.quiet()
}
