package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"boxfleet/limits"
)

func keyed(key string) *Job { return &Job{Tool: testTool, IdempotencyKey: key} }

func TestIdempotencyKeyGivesTheFirstJob(t *testing.T) {
	f := newFleet(t)
	first, err := f.client.Submit(f.ctx, keyed("order 66/é"))
	if err != nil || first.Duplicate {
		t.Fatalf("%+v, %v", first, err)
	}
	again := keyed("order 66/é")
	receipt, err := f.client.Submit(f.ctx, again)
	if err != nil || !receipt.Duplicate || receipt.ID != first.ID || again.ID != first.ID || receipt.State != Queued {
		t.Fatalf("while it waits: %+v, job %s, %v", receipt, again.ID, err)
	}
	other, err := f.tenant("other").Submit(f.ctx, keyed("order 66/é"))
	if err != nil || other.Duplicate || other.ID == first.ID {
		t.Errorf("another tenant's key: %+v, %v", other, err)
	}

	var runs atomic.Int64
	f.worker("w", func(ctx context.Context, a *Attempt) (*Result, error) { runs.Add(1); return succeed(ctx, a) }, nil)
	f.result(first.ID)
	receipt, err = f.client.Submit(f.ctx, keyed("order 66/é"))
	if err != nil || receipt.ID != first.ID || receipt.State != Done {
		t.Fatalf("when it is done: %+v, %v", receipt, err)
	}

	// Its record's time is over: the key still stands for it.
	if err := f.client.status.Purge(f.ctx, recordKey(DefaultTenant, first.ID)); err != nil {
		t.Fatal(err)
	}
	receipt, err = f.client.Submit(f.ctx, keyed("order 66/é"))
	if err != nil || receipt.ID != first.ID || !receipt.Duplicate || !receipt.Expired {
		t.Fatalf("when its record is gone: %+v, %v", receipt, err)
	}
	ids, err := f.client.QueuedIDs(f.ctx)
	if err != nil || len(ids) != 0 {
		t.Errorf("%v wait again, %v", ids, err)
	}
	if n := runs.Load(); n != 1 && n != 2 { // this tenant's, and perhaps the other's
		t.Errorf("%d runs", n)
	}
}

// TestIdempotencyKeyRaces: many submitters at once, one job.
func TestIdempotencyKeyRaces(t *testing.T) {
	f := newFleet(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids, fresh := map[string]bool{}, 0
	for range 16 {
		wg.Go(func() {
			r, err := f.client.Submit(f.ctx, keyed("k"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			ids[r.ID] = true
			if !r.Duplicate {
				fresh++
			}
		})
	}
	wg.Wait()
	queued, err := f.client.QueuedIDs(f.ctx)
	if err != nil || len(ids) != 1 || len(queued) != 1 || fresh > 1 {
		t.Fatalf("ids %v, %d of them new, queued %v, %v", ids, fresh, queued, err)
	}
}

// TestIdempotencyKeyOfADeadSubmitter: it reserved the key and died before its
// job was stored; the next one's job is.
func TestIdempotencyKeyOfADeadSubmitter(t *testing.T) {
	f := newFleet(t)
	dead := keyed("k")
	if r, err := f.client.Reserve(f.ctx, dead); err != nil || r.Known {
		t.Fatalf("%+v, %v", r, err)
	}
	receipt, err := f.client.Submit(f.ctx, keyed("k"))
	if err != nil || receipt.ID != dead.ID {
		t.Fatalf("%+v, want job %s, %v", receipt, dead.ID, err)
	}
	if rec, err := f.client.Get(f.ctx, dead.ID); err != nil || rec.State != Queued {
		t.Fatalf("%+v, %v", rec, err)
	}
}

func TestIdempotencyWindowEnds(t *testing.T) {
	f := newFleet(t)
	j := keyed("k")
	j.IdempotencyWindow = limits.Duration(time.Second)
	first, err := f.client.Submit(f.ctx, j)
	if err != nil {
		t.Fatal(err)
	}
	f.eventually("the key is forgotten", func() bool {
		r, err := f.client.Submit(f.ctx, keyed("k"))
		return err == nil && r.ID != first.ID && !r.Duplicate
	})
}

func TestIdempotencyKeyOfAnInvalidJob(t *testing.T) {
	f := newFleet(t)
	bad := keyed("k")
	bad.Tool.Size = 0
	if _, err := f.client.Submit(f.ctx, bad); err == nil {
		t.Fatal("taken")
	} else if _, ok := errors.AsType[*limits.FieldError](err); !ok {
		t.Fatal(err)
	}
	if r, err := f.client.Submit(f.ctx, keyed("k")); err != nil || r.Duplicate {
		t.Fatalf("the key was kept for a job that cannot be: %+v, %v", r, err)
	}
}

func TestIdempotencyKeysInABatch(t *testing.T) {
	f := newFleet(t)
	var list iter.Seq2[JobWithContext, error] = func(yield func(JobWithContext, error) bool) {
		for i := range 2500 {
			j := &Job{Tool: testTool}
			if i%2 == 0 {
				j.IdempotencyKey = fmt.Sprint("k", i%500) // 250 keys, five times each
			}
			if !yield(JobWithContext{Ctx: f.ctx, Job: j}, nil) {
				return
			}
		}
	}
	n, dup := 0, 0
	if err := f.client.SubmitMany(f.ctx, list, func(a, b int) { n += a; dup += b }); err != nil {
		t.Fatal(err)
	}
	ids, err := f.client.QueuedIDs(f.ctx)
	if err != nil || n != 2500 || dup != 1000 || len(ids) != 1500 {
		t.Fatalf("%d submitted, %d of them known, %d in the queue, %v", n, dup, len(ids), err)
	}
}
