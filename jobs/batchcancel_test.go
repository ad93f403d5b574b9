package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestCancelBatch(t *testing.T) {
	f := newFleet(t)
	started := make(chan string, 4)
	f.worker("w", func(ctx context.Context, a *Attempt) (*Result, error) {
		if a.Job.ID == numbered("c", 0) {
			return &Result{Outcome: Succeeded}, nil
		}
		select {
		case started <- a.Job.ID:
		default:
		}
		return nil, until(ctx)
	}, func(c *WorkerConfig) { coordinator(c); c.Slots = 2 })
	b := f.open(BatchSpec{ID: "c", Fingerprint: "x", Chunk: 100})
	f.fill(b, 0, 250)
	recv(t, "a job runs", started)
	recv(t, "another job runs", started)
	found, err := f.client.CancelBatch(f.ctx, "c")
	if err != nil {
		t.Fatal(err)
	}
	if n := found.Queued + found.Requested + found.Done; n != 250 || found.Requested == 0 || found.Queued < 200 {
		t.Errorf("the cancel found %+v", found)
	}
	// Nothing is taken any more, and what slips in is cancelled too.
	if err := b.SubmitMany(f.ctx, 300, jobsOf("c", 300, 5), func(int, int) {}); !errors.Is(err, ErrBatchCanceled) {
		t.Errorf("a cancelled batch takes jobs: %v", err)
	}
	if err := b.Close(f.ctx, 250); !errors.Is(err, ErrBatchCanceled) {
		t.Errorf("a cancelled batch is closed: %v", err)
	}
	late := newJob("late")
	late.Batch = "c"
	f.submit(late)
	list, err := b.list(250, []string{"late"})
	if err == nil {
		_, err = f.js.PublishMsg(f.ctx, list)
	}
	if err != nil {
		t.Fatal(err)
	}
	if late := f.result("late"); late.Result.Outcome != Canceled {
		t.Errorf("what was submitted to a cancelled batch ended as %+v", late.Result)
	}
	rec := f.endedBatch("c")
	// On a slow machine the batch may have ended before the late list came.
	if !rec.CancelRequested || rec.Counts[Succeeded] != 1 || rec.Counts[Canceled] != rec.Total-1 || rec.Total < 250 || rec.Total > 251 {
		t.Errorf("the batch ended as %+v", rec)
	}
	again, err := f.client.CancelBatch(f.ctx, "c")
	if err != nil || again.Done != rec.Total || again.Queued+again.Requested != 0 {
		t.Errorf("cancelling again gives %+v, %v", again, err)
	}
	f.noLists()
}

// TestCancelBatchWhoseCallerDies: the record alone is enough, also for jobs
// that were announced and never made.
func TestCancelBatchWhoseCallerDies(t *testing.T) {
	f := newFleet(t)
	b := f.open(BatchSpec{ID: "d", Total: 400, Chunk: 100})
	f.fill(b, 0, 100)
	book, err := f.client.batches(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := book.change(f.ctx, "default", "d", func(old *Batch) (*Batch, error) {
		next := old.clone()
		next.CancelRequested = true
		return next, nil
	}); err != nil {
		t.Fatal(err)
	}
	var r runs
	f.worker("w", func(ctx context.Context, a *Attempt) (*Result, error) { return nil, until(ctx) }, coordinator)
	wantCounts(t, f.endedBatch("d"), map[Outcome]int{Canceled: 400})
	if n := r.of(numbered("d", 0)); n != 0 {
		t.Errorf("a cancelled job ran %d times", n)
	}
}

// TestBatchOfJobsThatWereNeverStored: a submitter died between the list of a
// chunk and its jobs, and the batch is closed without them, or cancelled.
func TestBatchOfJobsThatWereNeverStored(t *testing.T) {
	f := newFleet(t)
	f.worker("w", succeed, coordinator)
	b := f.open(BatchSpec{ID: "n", Chunk: 100})
	f.fill(b, 0, 100)
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = numbered("n", 100+i)
	}
	list, err := b.list(100, ids)
	if err == nil {
		_, err = f.js.PublishMsg(f.ctx, list)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.closeBatch(b, 100)
	wantCounts(t, f.endedBatch("n"), map[Outcome]int{Succeeded: 100})
	f.noLists()
}

// TestHostileLists: what stands on the subjects of lists and is none is removed
// and counted nowhere.
func TestHostileLists(t *testing.T) {
	f := newFleet(t)
	b := f.open(BatchSpec{ID: "h", Chunk: 100})
	f.fill(b, 0, 10)
	put := func(subject string, v any) {
		t.Helper()
		data, _ := json.Marshal(v)
		if _, err := f.js.PublishMsg(f.ctx, &nats.Msg{Subject: subject, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	put("members.default.h.1-0-0", "no positions")
	put("members.default.h.x", "no subject")
	put("members.default.h.1-50-5000", newMembers(1, 50, []string{"a"}))
	put("members.default.h.1-20-2", newMembers(1, 40, []string{"a", "b"})) // says it is another
	put("members.default.h.1-30-1", []int{1, 2, 3})
	put("members.default.h.1-31-1", members{V: 1, Generation: 1, From: 31, IDs: []string{"*.>"}})
	put("members.default.h.1-32-1", members{V: 99, Generation: 1, From: 32, IDs: []string{"x"}})
	put("members.default.h.7-0-1", newMembers(7, 0, []string{"of-the-future"}))
	f.worker("w", succeed, coordinator)
	f.closeBatch(b, 10)
	wantCounts(t, f.endedBatch("h"), map[Outcome]int{Succeeded: 10})
	f.noLists()
}

func FuzzDecodeMembers(f *testing.F) {
	seed := func(m *members) {
		data, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	seed(newMembers(1, 0, []string{"b-1", "b-2", "b-20"}))
	seed(newMembers(2, 999, []string{"one"}))
	f.Add([]byte(`{"v":1,"generation":1,"from":9999999,"ids":["a","b"]}`))
	f.Add([]byte(`{"v":1,"generation":-1,"from":-1,"prefix":"*","ids":[""]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, ids, err := decodeMembers(data)
		if err != nil {
			return
		}
		for _, id := range ids {
			if !ValidID(id) {
				t.Fatalf("%q is taken for an id", id)
			}
		}
		_, again, err := decodeMembersOf(newMembers(m.Generation, m.From, ids))
		if err != nil || len(again) != len(ids) {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		for i := range ids {
			if again[i] != ids[i] {
				t.Fatalf("%q became %q", ids[i], again[i])
			}
		}
	})
}

func decodeMembersOf(m *members) (*members, []string, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, nil, err
	}
	return decodeMembers(data)
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add([]byte(`{"state":"closed","v":1,"id":"b","tenant":"t","generation":1,"chunk":999,"total":5,"counts":{"succeeded":2},"counted":[[0,2]]}`))
	f.Add([]byte(`{"state":"open","v":1,"id":"b","tenant":"t","generation":1,"chunk":1,"counted":[[5,2]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeBatch("t.b", data)
		if err != nil {
			return
		}
		// Whatever was read, counting on keeps its numbers in step.
		before := b.Counted.size()
		b.settleAt(7, []ending{endings, unfinished, forgotten, endings})
		if err := b.Counted.check(); err != nil {
			t.Fatal(err)
		}
		if after := b.Counted.size(); after < before || after > before+3 {
			t.Fatalf("%d positions became %d", before, after)
		}
	})
}
