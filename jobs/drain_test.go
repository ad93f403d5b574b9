package jobs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestDrainLetsJobsEnd: within the grace they do, and nothing new starts.
func TestDrainLetsJobsEnd(t *testing.T) {
	f := newFleet(t)
	var r runs
	started, goOn := make(chan struct{}, 8), make(chan struct{})
	w := f.worker("w1", func(_ context.Context, a *Attempt) (*Result, error) {
		r.add(a.Job.ID)
		started <- struct{}{}
		<-goOn
		return &Result{Outcome: Succeeded}, nil
	}, func(c *WorkerConfig) { c.Slots = 1; c.Grace = patience })
	f.submit(newJob("runs"), newJob("waits"))
	recv(t, "start", started)
	w.cancel()
	f.eventually("it drains", func() bool { return strings.Contains(w.logs.String(), "draining") })
	close(goOn)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	ran, waits := "runs", "waits"
	if r.of(ran) == 0 {
		ran, waits = waits, ran
	}
	if rec := f.result(ran); rec.Result.Outcome != Succeeded {
		t.Errorf("%+v", rec.Result)
	}
	if rec, err := f.client.Get(f.ctx, waits); err != nil || rec.State != Queued || r.of(waits) != 0 {
		t.Errorf("%+v, %v", rec, err)
	}
}

// TestDrainGivesBack: jobs that outlast the grace, or the second signal, go to
// another worker, and their budget of attempts is whole.
func TestDrainGivesBack(t *testing.T) {
	for _, how := range []string{"grace", "hurry"} {
		t.Run(how, func(t *testing.T) {
			f := newFleet(t)
			started, cause := make(chan struct{}, 1), make(chan error, 1)
			w := f.worker("w1", func(ctx context.Context, a *Attempt) (*Result, error) {
				started <- struct{}{}
				err := until(ctx)
				cause <- err
				return nil, err
			}, func(c *WorkerConfig) {
				c.Grace = 50 * time.Millisecond
				if how == "hurry" {
					c.Grace = time.Hour
				}
			})
			j := newJob("back")
			j.Retry.MaxAttempts = 1
			f.submit(j)
			recv(t, "start", started)
			w.cancel()
			if how == "hurry" {
				f.eventually("it drains", func() bool { return strings.Contains(w.logs.String(), "draining") })
				w.Hurry()
			}
			if err := recv(t, "the run ends", cause); !errors.Is(err, ErrDraining) {
				t.Errorf("cause %v", err)
			}
			if err := w.stop(); err != nil {
				t.Fatal(err)
			}
			if rec, err := f.client.Get(f.ctx, "back"); err != nil || rec.State != Retrying {
				t.Errorf("%+v, %v", rec, err)
			}
			var prefix string
			f.worker("w2", func(_ context.Context, a *Attempt) (*Result, error) {
				prefix = a.OutputPrefix()
				return &Result{Outcome: Succeeded}, nil
			}, nil)
			rec := f.result("back")
			f.quiet()
			if rec.Result.Outcome != Succeeded || rec.Result.Attempts != 1 || rec.Result.Worker != "w2" {
				t.Errorf("%+v", rec.Result)
			}
			if !strings.HasSuffix(prefix, "/back/2/") { // nothing of the first run may be mixed in
				t.Errorf("the second run's outputs go to %s", prefix)
			}
		})
	}
}

// TestDrainKeepsAResult: a run that ends by itself as the grace ends counts.
func TestDrainKeepsAResult(t *testing.T) {
	f := newFleet(t)
	started := make(chan struct{}, 1)
	w := f.worker("w1", func(ctx context.Context, a *Attempt) (*Result, error) {
		started <- struct{}{}
		<-ctx.Done()
		return &Result{Outcome: Exited, ExitCode: 3}, nil
	}, func(c *WorkerConfig) { c.Grace = time.Millisecond })
	f.submit(newJob("ended"))
	recv(t, "start", started)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if rec, err := f.client.Get(f.ctx, "ended"); err != nil || rec.State != Done || rec.Result.ExitCode != 3 {
		t.Errorf("%+v, %v", rec, err)
	}
}

// TestParkLaysTheSlotDown: with one slot, a second job runs while the first
// waits, and the first waits for the slot again.
func TestParkLaysTheSlotDown(t *testing.T) {
	f := newFleet(t)
	parked, compiled := make(chan struct{}), make(chan struct{})
	f.worker("w1", func(ctx context.Context, a *Attempt) (*Result, error) {
		if a.Job.ID == "first" {
			a.Park()
			a.Park() // twice is once
			close(parked)
			<-compiled
			if err := a.Unpark(ctx); err != nil {
				return nil, err
			}
			if err := a.Unpark(ctx); err != nil {
				return nil, err
			}
		}
		return &Result{Outcome: Succeeded}, nil
	}, func(c *WorkerConfig) { c.Slots = 1 })
	f.submit(newJob("first"))
	recv(t, "parked", parked)
	f.submit(newJob("second"))
	f.result("second")
	close(compiled)
	if rec := f.result("first"); rec.Result.Outcome != Succeeded {
		t.Errorf("%+v", rec.Result)
	}
	f.submit(newJob("third")) // the slot is one again
	f.result("third")
}

func TestParkedAreBounded(t *testing.T) {
	w := &Worker{cfg: WorkerConfig{Slots: 1}, free: make(chan struct{}, 16)}
	held := 0
	for range 10 {
		a := &Attempt{w: w, slot: &slot{w: w, held: true}}
		a.Park()
		if a.slot.held {
			held++
		}
	}
	if held != 6 {
		t.Errorf("%d of 10 kept their slot, want those beyond 4 for each slot", held)
	}
}
