package jobs

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestFindAndWaiting(t *testing.T) {
	f := newFleet(t)
	var all []*Job
	for i := range queuePage*2 + 3 {
		j := newJob(fmt.Sprintf("w%04d", i))
		j.Labels = map[string]string{"odd": fmt.Sprint(i % 2)}
		all = append(all, j)
	}
	f.submit(all...)
	f.submit(&Job{ID: "later", Tool: testTool, RunAt: time.Now().Add(time.Hour)}, &Job{ID: "held", Tool: testTool, After: &After{Jobs: []string{"nobody"}}})
	if _, err := f.tenant("other").Submit(f.ctx, newJob("theirs")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.js.Publish(f.ctx, "jobs.default.normal.junk", []byte("{")); err != nil {
		t.Fatal(err)
	}
	states := map[State]int{}
	for rec, err := range f.client.Waiting(f.ctx) {
		if err != nil {
			t.Fatal(err)
		}
		states[rec.State]++
	}
	if states[Queued] != len(all) || states[Scheduled] != 1 || states[Held] != 1 {
		t.Fatalf("%v", states)
	}

	// Cancelling changes what is found, and nothing is found twice.
	odd := func(r *Record) bool { return r.Labels["odd"] == "1" && r.State != Done }
	n := 0
	for rec, err := range f.client.Find(f.ctx, odd) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if _, err := f.client.Cancel(f.ctx, rec.ID); err != nil {
			t.Fatal(err)
		}
	}
	if n != len(all)/2 {
		t.Errorf("%d found", n)
	}
	for rec := range f.client.Find(f.ctx, odd) {
		t.Errorf("%s is still %s", rec.ID, rec.State)
	}
	seen := map[string]State{}
	for rec, err := range f.client.Find(f.ctx, func(*Record) bool { return true }) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := seen[rec.ID]; twice {
			t.Errorf("%s twice", rec.ID)
		}
		seen[rec.ID] = rec.State
	}
	if len(seen) != len(all)+2 || seen["w0001"] != Done || seen["w0000"] != Queued {
		t.Errorf("%d found", len(seen))
	}
	for range f.client.Find(f.ctx, func(*Record) bool { return true }) {
		break // stopping early is no trouble
	}
	ctx, stop := context.WithCancel(f.ctx)
	stop()
	for _, err := range f.client.Waiting(ctx) {
		if err == nil {
			t.Error("an ended context listed jobs")
		}
	}
}

// TestCancelWhatWaitsForOthers: jobs that are scheduled or held can be
// cancelled, by the same call.
func TestCancelWhatWaitsForOthers(t *testing.T) {
	f := newFleet(t)
	f.submit(&Job{ID: "later", Tool: testTool, RunAt: time.Now().Add(time.Hour)}, &Job{ID: "held", Tool: testTool, After: &After{Jobs: []string{"nobody"}}})
	for id, want := range map[string]State{"later": Scheduled, "held": Held} {
		rec, err := f.client.Get(f.ctx, id)
		if err != nil || rec.State != want {
			t.Fatalf("%s: %+v, %v", id, rec, err)
		}
		if what, err := f.client.Cancel(f.ctx, id); err != nil || what != CanceledQueued {
			t.Errorf("%s: %s, %v", id, what, err)
		}
		if rec, err = f.client.Get(f.ctx, id); err != nil || rec.State != Done || rec.Result.Outcome != Canceled {
			t.Errorf("%s: %+v, %v", id, rec, err)
		}
		if what, err := f.client.Cancel(f.ctx, id); err != nil || what != AlreadyDone {
			t.Errorf("%s again: %s, %v", id, what, err)
		}
	}
	for rec := range f.client.Waiting(f.ctx) {
		t.Errorf("%s still waits", rec.ID)
	}
}
