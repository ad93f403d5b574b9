package jobs

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// deadJob makes a dead letter of a job and gives it.
func (f *testFleet) deadJob(j *Job) *DeadLetter {
	f.t.Helper()
	f.submit(j)
	f.result(j.ID)
	for _, d := range f.deadLetters() {
		if d.Job == j.ID {
			return d
		}
	}
	f.t.Fatalf("no dead letter of job %s", j.ID)
	return nil
}

func TestReplay(t *testing.T) {
	f := newFleet(t)
	var well atomic.Bool
	f.worker("w", func(ctx context.Context, a *Attempt) (*Result, error) {
		if !well.Load() {
			return nil, Permanent(errors.New("the disk sang"))
		}
		return succeed(ctx, a)
	}, nil)
	j := newJob("first")
	j.Labels, j.Batch, j.ExpiresAt = map[string]string{"k": "v"}, "b1", time.Now().Add(time.Hour)
	d := f.deadJob(j)
	if len(d.Tries) != 1 || d.Tries[0].Worker != "w" || d.Tries[0].At.IsZero() || !strings.Contains(d.Tries[0].Error, "sang") {
		t.Errorf("history %+v", d.Tries)
	}
	well.Store(true)
	receipt, err := f.client.Replay(f.ctx, d, false)
	if err != nil || receipt.Duplicate || receipt.ID != ReplayID("first", d.Seq) {
		t.Fatalf("%+v, %v", receipt, err)
	}
	rec := f.result(receipt.ID)
	if rec.Result.Outcome != Succeeded || rec.ReplayOf != "first" || rec.Labels["k"] != "v" || rec.Batch != "" {
		t.Errorf("%+v", rec)
	}
	second, err := f.client.Replay(f.ctx, d, false)
	if err != nil || !second.Duplicate || second.ID != receipt.ID || second.State != Done {
		t.Errorf("replayed twice: %+v, %v", second, err)
	}
	third, err := f.client.Replay(f.ctx, d, true)
	if err != nil || third.Duplicate || third.ID == receipt.ID {
		t.Errorf("replayed again: %+v, %v", third, err)
	}
	f.result(third.ID)
	if old := f.result("first"); old.Result.Outcome != Failed {
		t.Errorf("the dead job's result changed: %+v", old.Result)
	}
	kept, err := f.client.DeadLetter(f.ctx, d.Seq)
	if err != nil || kept.Job != "first" {
		t.Fatalf("the letter is gone: %v", err)
	}
	if err := f.client.PurgeDead(f.ctx, d); err != nil {
		t.Fatal(err)
	}
	if err := f.client.PurgeDead(f.ctx, d); err != nil {
		t.Errorf("purged twice: %v", err)
	}
	if _, err := f.client.DeadLetter(f.ctx, d.Seq); err == nil {
		t.Error("it was not purged")
	}
}

// TestReplayRefuses what is no job of this tenant's.
func TestReplayRefuses(t *testing.T) {
	f := newFleet(t)
	f.worker("w", func(context.Context, *Attempt) (*Result, error) { return nil, Permanent(errors.New("no")) }, nil)
	if _, err := f.js.Publish(f.ctx, "jobs.default.normal.junk", []byte("{")); err != nil {
		t.Fatal(err)
	}
	f.result("junk")
	junk := f.deadLetters()[0]
	if _, err := f.client.Replay(f.ctx, junk, false); err == nil || !strings.Contains(err.Error(), "no job that could run") {
		t.Errorf("junk: %v", err)
	}
	other := f.tenant("other")
	if _, err := other.DeadLetter(f.ctx, junk.Seq); err == nil {
		t.Error("another tenant's letter was read")
	}
	mine := f.deadJob(newJob("mine"))
	if _, err := other.Replay(f.ctx, mine, false); err == nil || !strings.Contains(err.Error(), `tenant "default"`) {
		t.Errorf("another tenant's: %v", err)
	}
}

func TestDeadFilter(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := &DeadLetter{Job: "j", Tool: "jq@1.0.0", Error: "Store: Connection refused", At: now}
	for name, tc := range map[string]struct {
		f    DeadFilter
		want bool
	}{
		"all":          {DeadFilter{}, true},
		"job":          {DeadFilter{Job: "j"}, true},
		"other job":    {DeadFilter{Job: "k"}, false},
		"tool":         {DeadFilter{Tool: "jq"}, true},
		"version":      {DeadFilter{Tool: "jq@1.0.0"}, true},
		"other one":    {DeadFilter{Tool: "jq@1.0.1"}, false},
		"error":        {DeadFilter{Error: "connection REFUSED"}, true},
		"other error":  {DeadFilter{Error: "timeout"}, false},
		"since":        {DeadFilter{Since: now}, true},
		"later":        {DeadFilter{Since: now.Add(1)}, false},
		"until":        {DeadFilter{Until: now}, false},
		"both at once": {DeadFilter{Tool: "jq", Job: "k"}, false},
	} {
		if got := tc.f.Takes(d); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestReplayID(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 64)
	for _, id := range []string{"x", long, long[:63] + "b"} {
		if r := ReplayID(id, 1<<63); !ValidID(r) {
			t.Errorf("%q", r)
		}
	}
	if ReplayID(long, 7) == ReplayID(long[:63]+"b", 7) {
		t.Error("two jobs, one replay")
	}
}
