package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// coordinator is the change of a worker that becomes the coordinator soon.
func coordinator(c *WorkerConfig) { c.leaseEvery = 100 * time.Millisecond }

// jobsOf yields n jobs of a batch, from position from on.
func jobsOf(batch string, from, n int) iter.Seq2[JobWithContext, error] {
	return func(yield func(JobWithContext, error) bool) {
		for i := range n {
			j := newJob(numbered(batch, from+i))
			j.Batch = batch
			if !yield(JobWithContext{Ctx: context.Background(), Job: j}, nil) {
				return
			}
		}
	}
}

// open opens a batch.
func (f *testFleet) open(spec BatchSpec) *OpenBatch {
	f.t.Helper()
	b, err := f.client.OpenBatch(f.ctx, spec)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// fill submits n jobs to a batch from a position on.
func (f *testFleet) fill(b *OpenBatch, from, n int) {
	f.t.Helper()
	if err := b.SubmitMany(f.ctx, from, jobsOf(b.ID(), from, n), func(int, int) {}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *testFleet) closeBatch(b *OpenBatch, total int) {
	f.t.Helper()
	if err := b.Close(f.ctx, total); err != nil {
		f.t.Fatal(err)
	}
}

// endedBatch waits for a batch's end.
func (f *testFleet) endedBatch(id string) *Batch {
	f.t.Helper()
	var last *Batch
	f.eventually("batch "+id+" ends", func() bool {
		b, err := f.client.Batch(f.ctx, id)
		last = b
		return err == nil && b.State == BatchEnded
	})
	return last
}

// wantCounts holds an ended batch to its counts by outcome.
func wantCounts(t *testing.T, b *Batch, want map[Outcome]int) {
	t.Helper()
	if !maps.Equal(b.Counts, want) || b.Total != tally(want) || b.Forgotten != 0 {
		t.Errorf("batch %s: %d jobs, %v, %d forgotten; want %v", b.ID, b.Total, b.Counts, b.Forgotten, want)
	}
}

// noLists waits until no list of members is stored.
func (f *testFleet) noLists() {
	f.t.Helper()
	f.eventually("all lists are removed", func() bool {
		n := 0
		_, err := directGet(f.ctx, f.nc, StreamJobs, directQuery{NextBy: "members.>", Batch: 10}, func(directMessage) error { n++; return nil })
		return err == nil && n == 0
	})
}

// byNumber ends every tenth job with exit code 1 and the others well.
func byNumber(_ context.Context, a *Attempt) (*Result, error) {
	if id := a.Job.ID; id[len(id)-1] == '0' {
		return &Result{Outcome: Exited, ExitCode: 1}, nil
	}
	return &Result{Outcome: Succeeded}, nil
}

func TestBatchIsCounted(t *testing.T) {
	f := newFleet(t)
	events, err := f.nc.SubscribeSync("events.default.batch.*")
	if err != nil {
		t.Fatal(err)
	}
	told, err := f.nc.SubscribeSync("notify.default.mine")
	if err != nil {
		t.Fatal(err)
	}
	w := f.worker("w", byNumber, coordinator)
	b := f.open(BatchSpec{ID: "all", Fingerprint: "x", Notify: &Notify{Subject: "notify.default.mine"}})
	f.fill(b, 0, 2500)
	f.closeBatch(b, 2500)
	rec := f.endedBatch("all")
	wantCounts(t, rec, map[Outcome]int{Succeeded: 2250, Exited: 250})
	if rec.AllSucceeded() || rec.Ended() != 2500 || rec.EndedAt.Before(rec.ClosedAt) {
		t.Errorf("the record is %+v", rec)
	}
	for _, sub := range []*nats.Subscription{events, told} {
		m, err := sub.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		var e BatchEvent
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Fatal(err)
		}
		if e.Type != EventBatchEnded || e.Data.Batch != "all" || e.Data.Total != 2500 || e.Data.Counts[Exited] != 250 {
			t.Errorf("the event is %+v", e)
		}
	}
	f.noLists()
	f.eventually("the notice is delivered", func() bool {
		rec, err := f.client.Batch(f.ctx, "all")
		return err == nil && rec.Announced && rec.Notice.State == NoticeDelivered
	})
	if !w.Coordinating() {
		t.Error("the only worker does not coordinate")
	}
}

// TestBatchGoesOnWhereItStopped breaks a submission off between two chunks, as
// a killed submitter does, and submits everything again.
func TestBatchGoesOnWhereItStopped(t *testing.T) {
	f := newFleet(t)
	var r runs
	f.worker("w", r.handler, coordinator)
	first := f.open(BatchSpec{ID: "again", Fingerprint: "same", Chunk: 100})
	f.fill(first, 0, 300)

	again := f.open(BatchSpec{ID: "again", Fingerprint: "same", Chunk: 500})
	if again.Chunk() != 100 || again.rec.Generation != 1 {
		t.Errorf("an open batch was joined with chunks of %d in generation %d", again.Chunk(), again.rec.Generation)
	}
	f.fill(again, 0, 450)
	f.closeBatch(again, 450)
	wantCounts(t, f.endedBatch("again"), map[Outcome]int{Succeeded: 450})
	for i := range 450 {
		if n := r.of(numbered("again", i)); n != 1 {
			t.Fatalf("job %d ran %d times", i, n)
		}
	}

	// Once it is closed, the same again is counted afresh.
	third := f.open(BatchSpec{ID: "again", Fingerprint: "same"})
	third.Known = func(*Job) bool { return true }
	if third.rec.Generation != 2 {
		t.Errorf("generation %d, want 2", third.rec.Generation)
	}
	f.fill(third, 0, 450)
	f.closeBatch(third, 450)
	rec := f.endedBatch("again")
	wantCounts(t, rec, map[Outcome]int{Succeeded: 450})
	if rec.Generation != 2 {
		t.Errorf("generation %d ended, want 2", rec.Generation)
	}
	f.noLists()
}

// TestBatchTwiceAtOnce submits the same batch from several places at once.
func TestBatchTwiceAtOnce(t *testing.T) {
	f := newFleet(t)
	var r runs
	f.worker("w", r.handler, coordinator)
	var all sync.WaitGroup
	for range 3 {
		c := f.tenant("")
		all.Go(func() {
			b, err := c.OpenBatch(f.ctx, BatchSpec{ID: "twice", Fingerprint: "same", Chunk: 150})
			if err == nil {
				err = b.SubmitMany(f.ctx, 0, jobsOf("twice", 0, 1000), func(int, int) {})
			}
			if err == nil {
				err = b.Close(f.ctx, 1000)
			}
			// Who comes after the others have closed starts the batch anew.
			if err != nil && !errors.Is(err, ErrBatchSuperseded) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	wantCounts(t, f.endedBatch("twice"), map[Outcome]int{Succeeded: 1000})
	for i := range 1000 {
		if n := r.of(numbered("twice", i)); n != 1 {
			t.Fatalf("job %d ran %d times", i, n)
		}
	}
}

// TestBatchSharesJobs has two batches with the same jobs, and one with a job
// that stands in it twice.
func TestBatchSharesJobs(t *testing.T) {
	f := newFleet(t)
	gate := make(chan struct{})
	f.worker("w", func(ctx context.Context, a *Attempt) (*Result, error) {
		<-gate
		return &Result{Outcome: Succeeded}, nil
	}, coordinator)
	a := f.open(BatchSpec{ID: "a", Fingerprint: "a"})
	f.fill(a, 0, 50)
	f.closeBatch(a, 50)
	b := f.open(BatchSpec{ID: "b", Fingerprint: "b"})
	twice := func(yield func(JobWithContext, error) bool) {
		for _, i := range []int{1, 2, 2, 1, 40} {
			j := newJob(numbered("a", i)) // the first job with the id stands
			j.Batch = "b"
			if !yield(JobWithContext{Ctx: f.ctx, Job: j}, nil) {
				return
			}
		}
	}
	if err := b.SubmitMany(f.ctx, 0, twice, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	f.closeBatch(b, 5)
	close(gate)
	wantCounts(t, f.endedBatch("a"), map[Outcome]int{Succeeded: 50})
	wantCounts(t, f.endedBatch("b"), map[Outcome]int{Succeeded: 5})
}

// TestBatchCountedByTheNextCoordinator stops the counting coordinator in the
// middle; the next one goes on, and counts nothing twice.
func TestBatchCountedByTheNextCoordinator(t *testing.T) {
	f := newFleet(t)
	gate := make(chan struct{})
	h := func(ctx context.Context, a *Attempt) (*Result, error) {
		if a.Job.ID >= numbered("next", 1200) {
			select {
			case <-gate:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		return &Result{Outcome: Succeeded}, nil
	}
	slots := func(c *WorkerConfig) { coordinator(c); c.Slots = 8; c.Grace = time.Millisecond }
	first := f.worker("first", h, slots)
	b := f.open(BatchSpec{ID: "next", Fingerprint: "x", Chunk: 200})
	f.fill(b, 0, 1500)
	f.closeBatch(b, 1500)
	f.eventually("part of it is counted", func() bool {
		rec, err := f.client.Batch(f.ctx, "next")
		return err == nil && rec.Counted.size() >= 600 && rec.State == BatchClosed
	})
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	close(gate)
	f.worker("second", h, slots)
	wantCounts(t, f.endedBatch("next"), map[Outcome]int{Succeeded: 1500})
}

func TestBatchOfNothing(t *testing.T) {
	f := newFleet(t)
	f.worker("w", succeed, coordinator)
	f.closeBatch(f.open(BatchSpec{ID: "none"}), 0)
	wantCounts(t, f.endedBatch("none"), map[Outcome]int{})
}

func TestBatchSpecIsJudged(t *testing.T) {
	f := newFleet(t)
	hook := func(url, secret string) *Notify { return &Notify{Webhook: &Webhook{URL: url, Secret: secret}} }
	for name, spec := range map[string]BatchSpec{
		"id":            {ID: "a.b"},
		"total":         {ID: "a", Total: MaxBatchJobs + 1},
		"negative":      {ID: "a", Total: -1},
		"other subject": {ID: "a", Notify: &Notify{Subject: "notify.other.x"}},
		"jobs subject":  {ID: "a", Notify: &Notify{Subject: "jobs.default.high.x"}},
		"wildcard":      {ID: "a", Notify: &Notify{Subject: "notify.default.>"}},
		"prefix only":   {ID: "a", Notify: &Notify{Subject: "notify.default."}},
		"empty token":   {ID: "a", Notify: &Notify{Subject: "notify.default.a..b"}},
		"line break":    {ID: "a", Notify: &Notify{Subject: "notify.default.a\r\nPUB x"}},
		"no secret":     {ID: "a", Notify: hook("https://h/", "")},
		"plain secret":  {ID: "a", Notify: hook("https://h/", "hunter2")},
		"file":          {ID: "a", Notify: hook("file:///etc/passwd", "secret://s")},
		"no host":       {ID: "a", Notify: hook("https:///x", "secret://s")},
		"password":      {ID: "a", Notify: hook("https://u:p@h/", "secret://s")},
		"fragment":      {ID: "a", Notify: hook("https://h/#x", "secret://s")},
	} {
		if _, err := f.client.OpenBatch(f.ctx, spec); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := f.client.OpenBatch(f.ctx, BatchSpec{ID: "a", Notify: hook("https://h.example/x?y=z", "secret://s")}); err != nil {
		t.Error(err)
	}
	if _, err := f.client.Batch(f.ctx, "nobody"); !errors.As(err, new(*NotFoundError)) {
		t.Errorf("an unknown batch gives %v", err)
	}
}

// TestBatchClosedTooEarly: one of two submitters is interrupted and closes the
// batch, which ends; the other is told, and submitting again mends it.
func TestBatchClosedTooEarly(t *testing.T) {
	f := newFleet(t)
	var r runs
	f.worker("w", r.handler, coordinator)
	spec := BatchSpec{ID: "early", Fingerprint: "same", Chunk: 100}
	one, other := f.open(spec), f.open(spec)
	f.fill(one, 0, 100)
	f.closeBatch(one, 100)
	f.endedBatch("early")
	if err := other.SubmitMany(f.ctx, 100, jobsOf("early", 100, 50), func(int, int) {}); !errors.Is(err, ErrBatchSuperseded) {
		t.Errorf("an ended batch takes jobs: %v", err)
	}
	if err := other.Close(f.ctx, 150); !errors.Is(err, ErrBatchSuperseded) {
		t.Errorf("an ended batch is closed with more: %v", err)
	}
	again := f.open(spec)
	f.fill(again, 0, 150)
	f.closeBatch(again, 150)
	wantCounts(t, f.endedBatch("early"), map[Outcome]int{Succeeded: 150})
	if n := r.of(numbered("early", 0)); n != 1 {
		t.Errorf("a job ran %d times", n)
	}
}
