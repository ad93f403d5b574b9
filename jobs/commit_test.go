package jobs

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"boxfleet/artifacts"
	"boxfleet/internal/natstest"
)

func startBare(t *testing.T) *natstest.Server { return natstest.Start(t) }

var oneOutput = []artifacts.OutputFile{{Path: "a.txt", Size: 1, SHA256: "00"}}

// memoryCommitter is the second fence as the store has it: one manifest a
// job, the first stands.
type memoryCommitter struct {
	mu     sync.Mutex
	stands map[string][]byte
	before func(a *Attempt) error
	after  func(a *Attempt) error
}

func (c *memoryCommitter) Commit(_ context.Context, a *Attempt, r *Result) (*Result, error) {
	if c.before != nil {
		if err := c.before(a); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	if c.stands == nil {
		c.stands = map[string][]byte{}
	}
	old, taken := c.stands[a.ManifestKey()]
	if !taken {
		c.stands[a.ManifestKey()], _ = json.Marshal(r)
	}
	c.mu.Unlock()
	if taken {
		r = &Result{}
		if err := json.Unmarshal(old, r); err != nil {
			return nil, err
		}
	}
	if c.after != nil {
		return r, c.after(a)
	}
	return r, nil
}

func (c *memoryCommitter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.stands)
}

// TestAdoptsAnotherAttemptsOutputs: attempt 1 stores its manifest and dies
// before the record says so; attempt 2 makes that result the job's.
func TestAdoptsAnotherAttemptsOutputs(t *testing.T) {
	f := newFleet(t)
	manifests := &memoryCommitter{after: func(a *Attempt) error {
		if a.Number == 1 {
			return errBroken // after the manifest was stored
		}
		return nil
	}}
	w := f.idleWorker("w1", func(_ context.Context, a *Attempt) (*Result, error) {
		return &Result{Outcome: Succeeded, Stdout: Text([]string{"", "first", "second"}[a.Number]), Outputs: oneOutput}, nil
	}, manifests, nil)
	w.start(t)
	f.submit(newJob("adopt"))
	rec := f.result("adopt")
	f.quiet()
	if string(rec.Result.Stdout) != "first" || rec.Result.Attempts != 2 || manifests.count() != 1 {
		t.Errorf("%+v", rec.Result)
	}
}

// TestCommitterPanics: it ends the job, not the worker.
func TestCommitterPanics(t *testing.T) {
	f := newFleet(t)
	w := f.idleWorker("w1", func(_ context.Context, a *Attempt) (*Result, error) {
		res := &Result{Outcome: Succeeded}
		if a.Job.ID == "boom" {
			res.Outputs = oneOutput
		}
		return res, nil
	}, &memoryCommitter{before: func(*Attempt) error { panic("no store") }}, nil)
	w.start(t)
	f.submit(newJob("boom"), newJob("after"))
	if rec := f.result("boom"); rec.Result.Outcome != Failed {
		t.Errorf("%+v", rec.Result)
	}
	if rec := f.result("after"); rec.Result.Outcome != Succeeded {
		t.Errorf("%+v", rec.Result)
	}
}
