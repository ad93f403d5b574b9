package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestJobRunsOnceAndIsSettled(t *testing.T) {
	f := newFleet(t)
	var r runs
	f.worker("w1", r.handler, nil)
	f.submit(newJob("one"))
	rec := f.result("one")
	f.quiet()
	if res := rec.Result; res.Outcome != Succeeded || res.Attempts != 1 || res.Worker != "w1" || res.ID != "one" || res.TraceID == strings.Repeat("0", 32) {
		t.Errorf("result %+v", res)
	}
	if r.of("one") != 1 {
		t.Errorf("ran %d times", r.of("one"))
	}
	if q, ok := rec.Result.Phases[PhaseQueueWait]; !ok || q < 0 {
		t.Errorf("phases %v", rec.Result.Phases)
	}
}

// again puts a job's message into the queue a second time, as a submission
// beyond the de-duplication window does.
func (f *testFleet) again(j *Job) {
	f.t.Helper()
	m, err := f.client.message(f.ctx, j)
	if err != nil {
		f.t.Fatal(err)
	}
	m.Header.Set(jetstream.MsgIDHeader, NewID())
	if _, err := f.js.PublishMsg(f.ctx, m); err != nil {
		f.t.Fatal(err)
	}
}

func TestSubmittedTwiceRunsOnce(t *testing.T) {
	for _, when := range []string{"queued", "running", "done"} {
		for _, window := range []string{"within", "beyond"} {
			t.Run(when+" "+window+" the window", func(t *testing.T) {
				f := newFleet(t)
				var r runs
				started, release := make(chan struct{}, 4), make(chan struct{})
				handler := func(ctx context.Context, a *Attempt) (*Result, error) {
					r.add(a.Job.ID)
					started <- struct{}{}
					<-release
					return &Result{Outcome: Succeeded}, nil
				}
				second := func() {
					j := newJob("twice")
					if window == "within" {
						receipt, err := f.client.Submit(f.ctx, j)
						if err != nil || !receipt.Duplicate {
							t.Errorf("second submission: %+v, %v", receipt, err)
						}
						return
					}
					f.client.complete(j)
					f.again(j)
				}
				f.submit(newJob("twice"))
				switch when {
				case "queued":
					second()
					f.worker("w1", handler, impatient)
					close(release)
				case "running":
					f.worker("w1", handler, impatient)
					recv(t, "start", started)
					second()
					f.worker("w2", handler, impatient)
					time.Sleep(testAckWait + testAckWait/2) // the second message comes by in this time
					close(release)
				case "done":
					f.worker("w1", handler, impatient)
					close(release)
					f.result("twice")
					second()
				}
				f.result("twice")
				f.quiet()
				if n := r.of("twice"); n != 1 {
					t.Errorf("ran %d times", n)
				}
			})
		}
	}
}

// each gives n new jobs to SubmitMany.
func each(ctx context.Context, prefix string, n int) iter.Seq2[JobWithContext, error] {
	return func(yield func(JobWithContext, error) bool) {
		for i := range n {
			j := newJob(numbered(prefix, i))
			j.Batch = prefix
			if !yield(JobWithContext{ctx, j}, nil) {
				return
			}
		}
	}
}

func TestBatchOfThousands(t *testing.T) {
	f := newFleet(t)
	const n = 1500 // more than one atomic batch
	var r runs
	for i := range 3 {
		f.worker(fmt.Sprintf("w%d", i), r.handler, nil)
	}
	w, err := f.client.NewWaiter("bulk", "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range n {
		w.Expect(numbered("bulk", i))
	}
	stored := 0
	if err := f.client.SubmitMany(f.ctx, each(f.ctx, "bulk", n), func(k, dup int) { stored += k - dup }); err != nil {
		t.Fatal(err)
	}
	if stored != n {
		t.Errorf("stored %d", stored)
	}
	seen := map[string]bool{}
	for w.Left() > 0 {
		rec, err := w.Next(f.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if seen[rec.ID] || rec.Result.Outcome != Succeeded || r.of(rec.ID) != 1 {
			t.Fatalf("%s: seen %v, ran %d times, %+v", rec.ID, seen[rec.ID], r.of(rec.ID), rec.Result)
		}
		seen[rec.ID] = true
	}
	if len(seen) != n {
		t.Errorf("%d results", len(seen))
	}
	f.quiet()

	// The whole batch again changes nothing.
	again, dup := 0, 0
	if err := f.client.SubmitMany(f.ctx, each(f.ctx, "bulk", n), func(k, d int) { again += k; dup += d }); err != nil {
		t.Fatal(err)
	}
	f.quiet()
	if again != n || dup != n {
		t.Errorf("again: %d sent, %d known as duplicates", again, dup)
	}
	count := 0
	for rec, err := range f.client.Records(f.ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Result.Attempts != 1 {
			t.Errorf("%s: %d attempts", rec.ID, rec.Result.Attempts)
		}
		count++
	}
	if count != n {
		t.Errorf("%d records", count)
	}
}

func TestOneDuplicateDoesNotSpoilABatch(t *testing.T) {
	f := newFleet(t)
	f.submit(newJob(numbered("mixed", 7)))
	total, dup := 0, 0
	if err := f.client.SubmitMany(f.ctx, each(f.ctx, "mixed", 50), func(k, d int) { total += k; dup += d }); err != nil {
		t.Fatal(err)
	}
	if total != 50 || dup != 1 {
		t.Errorf("%d stored, %d duplicates", total, dup)
	}
	ids, err := f.client.QueuedIDs(f.ctx)
	if err != nil || len(ids) != 50 {
		t.Errorf("%d ids queued, %v", len(ids), err)
	}
}

// TestInvalidJobIsNotSent: a bad job ends SubmitMany, and what came before it
// is stored and counted.
func TestInvalidJobIsNotSent(t *testing.T) {
	f := newFleet(t)
	stored := 0
	err := f.client.SubmitMany(f.ctx, func(yield func(JobWithContext, error) bool) {
		for i := range 3 {
			j := newJob(numbered("bad", i))
			if i == 2 {
				j.Priority = "urgent"
			}
			if !yield(JobWithContext{f.ctx, j}, nil) {
				return
			}
		}
	}, func(n, _ int) { stored += n })
	if err == nil || !strings.Contains(err.Error(), "urgent") || stored != 2 {
		t.Errorf("stored %d, error %v", stored, err)
	}
	for _, j := range []*Job{{ID: "a b", Tool: testTool}, {ID: "x", Tool: testTool, Args: []string{strings.Repeat("y", MaxJobSize)}}, {ID: "x", Tool: testTool, Tenant: "other"}} {
		if _, err := f.client.Submit(f.ctx, j); err == nil {
			t.Errorf("job %.40v was accepted", j)
		}
	}
}

// TestSilentWorkerCommitsNothing: A stops its heartbeats, B takes the job
// over, A comes back while B runs it.
func TestSilentWorkerCommitsNothing(t *testing.T) {
	for _, outputs := range []bool{false, true} {
		t.Run(fmt.Sprintf("outputs %v", outputs), func(t *testing.T) {
			f := newFleet(t)
			manifests := &memoryCommitter{}
			result := func(by string) *Result {
				res := &Result{Outcome: Succeeded, Stdout: Text(by)}
				if outputs {
					res.Outputs = oneOutput
				}
				return res
			}
			aStarted, aGoesOn := make(chan struct{}, 1), make(chan struct{})
			a := f.idleWorker("a", func(ctx context.Context, at *Attempt) (*Result, error) {
				aStarted <- struct{}{}
				<-aGoesOn
				return result("a"), nil
			}, manifests, func(c *WorkerConfig) { impatient(c); c.heartbeatEvery = time.Hour })
			a.start(t)
			f.submit(newJob("slow"))
			recv(t, "a starts", aStarted)

			bStarted, bGoesOn := make(chan int, 1), make(chan struct{})
			b := f.idleWorker("b", func(ctx context.Context, at *Attempt) (*Result, error) {
				bStarted <- at.Number
				<-bGoesOn
				return result("b"), nil
			}, manifests, impatient)
			b.start(t)
			if n := recv(t, "b takes over", bStarted); n != 2 {
				t.Errorf("b makes attempt %d", n)
			}
			close(aGoesOn)
			f.eventually("a is idle", func() bool { return a.Active() == 0 })
			if rec, err := f.client.Get(f.ctx, "slow"); err != nil || rec.State != Running || rec.Worker != "b" {
				t.Errorf("after a came back: %+v, %v", rec, err)
			}
			if ids, _ := f.client.QueuedIDs(f.ctx); len(ids) != 1 {
				t.Errorf("a acknowledged what it does not hold")
			}
			if n := manifests.count(); n != 0 {
				t.Errorf("a committed %d manifests", n)
			}
			close(bGoesOn)
			rec := f.result("slow")
			f.quiet()
			if string(rec.Result.Stdout) != "b" || rec.Result.Worker != "b" || rec.Result.Attempts != 2 {
				t.Errorf("result %+v", rec.Result)
			}
			if len(rec.Tries) != 1 || rec.Tries[0].Worker != "a" || !strings.Contains(rec.Tries[0].Error, "silent") {
				t.Errorf("tries %+v", rec.Tries)
			}
			if !strings.Contains(a.logs.String(), "no longer this worker's") {
				t.Errorf("a said nothing of it: %s", a.logs)
			}
		})
	}
}

// TestHeartbeatsKeepALongJob: a job that runs three AckWaits stays with its
// worker, and nothing is logged about heartbeats after its end.
func TestHeartbeatsKeepALongJob(t *testing.T) {
	f := newFleet(t)
	var r runs
	handler := func(ctx context.Context, a *Attempt) (*Result, error) {
		r.add(a.Job.ID)
		time.Sleep(3 * testAckWait)
		return &Result{Outcome: Succeeded}, nil
	}
	a, b := f.worker("a", handler, impatient), f.worker("b", handler, impatient)
	f.submit(newJob("long"))
	rec := f.result("long")
	f.quiet()
	if r.of("long") != 1 || rec.Result.Attempts != 1 {
		t.Errorf("ran %d times, %d attempts", r.of("long"), rec.Result.Attempts)
	}
	for _, w := range []*testWorker{a, b} {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		if strings.Contains(w.logs.String(), "heartbeat") || strings.Contains(w.logs.String(), "level=WARN") {
			t.Errorf("worker %s warned: %s", w.Name(), w.logs)
		}
	}
}

// TestLostMessageOfARunningJob: the message that a dead worker held is gone
// from the stream; the job submitted again must run, not wait for ever.
func TestLostMessageOfARunningJob(t *testing.T) {
	f := newFleet(t)
	j := newJob("orphan")
	f.client.complete(j)
	rec := newRecord(j)
	rec.State, rec.Attempt, rec.Worker, rec.Seq, rec.StartedAt = Running, 1, "dead", 4711, time.Now().UTC()
	if err := f.client.putRecord(f.ctx, rec, 0); err != nil {
		t.Fatal(err)
	}
	f.worker("w1", succeed, nil)
	f.submit(newJob("orphan"))
	if got := f.result("orphan"); got.Result.Outcome != Succeeded || got.Result.Attempts != 2 {
		t.Errorf("%+v", got.Result)
	}
}

// TestClaimWhoseConfirmationIsLost: the record says that we hold the job by
// this very claim, the write's answer never came.
func TestClaimWhoseConfirmationIsLost(t *testing.T) {
	f := newFleet(t)
	// A proxy would have to know the protocol; a server that answers slower
	// than the client asks does the same: cut the connection between a write
	// and its answer, over and over.
	var r runs
	w := f.idleWorker("w1", r.handler, nil, func(c *WorkerConfig) { impatient(c); c.MaxAttempts = 100 })
	w.start(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 40 {
			w.nc.ForceReconnect()
			time.Sleep(15 * time.Millisecond)
		}
	}()
	for i := range 60 {
		f.submit(newJob(numbered("cut", i)))
	}
	for i := range 60 {
		if rec := f.result(numbered("cut", i)); rec.Result.Outcome != Succeeded {
			t.Errorf("%s: %+v", rec.ID, rec.Result)
		}
	}
	<-done
	f.quiet()
}

// TestRedeliveredToItself: a worker whose job is delivered to it again while
// it runs goes on with the first.
func TestRedeliveredToItself(t *testing.T) {
	f := newFleet(t)
	var r runs
	started, goOn := make(chan struct{}, 2), make(chan struct{})
	f.worker("only", func(ctx context.Context, a *Attempt) (*Result, error) {
		r.add(a.Job.ID)
		started <- struct{}{}
		<-goOn
		return &Result{Outcome: Succeeded}, nil
	}, func(c *WorkerConfig) { impatient(c); c.heartbeatEvery = time.Hour })
	f.submit(newJob("mine"))
	recv(t, "start", started)
	f.eventually("the server delivers it again", func() bool {
		c, err := f.js.Consumer(f.ctx, StreamJobs, consumerName(DefaultTenant, Normal))
		return err == nil && c.CachedInfo().NumRedelivered > 0
	})
	time.Sleep(testAckWait / 2)
	close(goOn)
	rec := f.result("mine")
	f.quiet()
	if r.of("mine") != 1 || rec.Result.Attempts != 1 {
		t.Errorf("ran %d times, %d attempts", r.of("mine"), rec.Result.Attempts)
	}
}

func TestRecordThatDoesNotFit(t *testing.T) {
	f := newFleet(t)
	f.worker("w1", func(context.Context, *Attempt) (*Result, error) {
		res := &Result{Outcome: Succeeded}
		for i := range 40_000 {
			res.Denials = append(res.Denials, Denial{What: "network", Target: fmt.Sprintf("http://host-%d.example/", i)})
		}
		return res, nil
	}, nil)
	f.submit(newJob("big"))
	rec := f.result("big")
	f.quiet()
	if rec.Result.Outcome != OutputLimit || !strings.Contains(rec.Result.Error, "40000 denials") {
		t.Errorf("%s: %.200s", rec.Result.Outcome, rec.Result.Error)
	}
}

func TestGetUnknown(t *testing.T) {
	f := newFleet(t)
	_, err := f.client.Get(f.ctx, "nobody")
	var missing *NotFoundError
	if !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	if _, err := f.client.Get(f.ctx, "a.b"); err == nil {
		t.Error("an id with a dot was looked up")
	}
	f.submit(newJob("waits"))
	if rec, err := f.client.Get(f.ctx, "waits"); err != nil || rec.State != Queued || rec.ID != "waits" {
		t.Errorf("%+v, %v", rec, err)
	}
}

func TestNoFleet(t *testing.T) {
	t.Parallel()
	srv := startBare(t)
	nc, js := srv.Connect(t)
	if _, err := NewClient(context.Background(), nc, js, ""); !errors.Is(err, ErrNoFleet) {
		t.Errorf("got %v", err)
	}
}
