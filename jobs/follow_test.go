package jobs

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// finished writes the record of a job that ended, as a worker does, without
// announcing it.
func (f *testFleet) finished(id string) *Record {
	f.t.Helper()
	j := newJob(id)
	f.client.complete(j)
	rec := newRecord(j)
	rec.State, rec.Attempt, rec.Worker = Done, 1, "w"
	rec.Result = &Result{ID: id, Outcome: Succeeded, Attempts: 1, FinishedAt: time.Now().UTC()}
	if err := f.client.putRecord(f.ctx, rec, 0); err != nil {
		f.t.Fatal(err)
	}
	return rec
}

// TestWaiterWithoutAnnouncements: every announcement is lost; the records tell.
func TestWaiterWithoutAnnouncements(t *testing.T) {
	for _, n := range []int{3, 400} { // looked up one by one, and in one pass
		f := newFleetIn(t)
		w, err := f.client.NewWaiter("", "")
		if err != nil {
			t.Fatal(err)
		}
		w.every, w.pace = 20*time.Millisecond, 20*time.Millisecond
		for i := range n {
			f.finished(numbered("s", i))
			w.Expect(numbered("s", i))
		}
		seen := map[string]bool{}
		for w.Left() > 0 {
			rec, err := w.Next(f.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if seen[rec.ID] {
				t.Errorf("%s came twice", rec.ID)
			}
			seen[rec.ID] = true
		}
		if len(seen) != n {
			t.Errorf("%d of %d", len(seen), n)
		}
		w.Close()
	}
}

// TestWaiterIsNotKeptFromLookingByOthers: announcements of jobs that nobody
// expects come all the time; the lost one is found all the same.
func TestWaiterIsNotKeptFromLookingByOthers(t *testing.T) {
	f := newFleet(t)
	w, err := f.client.NewWaiter("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.every, w.pace = 30*time.Millisecond, 30*time.Millisecond
	w.Expect("lost")
	f.finished("lost")
	stop := make(chan struct{})
	noise := make(chan struct{})
	go func() {
		defer close(noise)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_ = f.nc.Publish(doneSubject(DefaultTenant, "", "other"), []byte("{}"))
			}
		}
	}()
	rec, err := w.Next(f.ctx)
	close(stop)
	<-noise
	if err != nil || rec.ID != "lost" {
		t.Errorf("%+v, %v", rec, err)
	}
}

// TestWaiterBelievesNoForgery: an announcement that is not a finished record
// of the job is looked up instead.
func TestWaiterBelievesNoForgery(t *testing.T) {
	f := newFleet(t)
	w, err := f.client.NewWaiter("", "x")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Expect("x")
	running := newRecord(mustComplete(f, "x"))
	running.State = Running
	other := newRecord(mustComplete(f, "y"))
	other.State, other.Result = Done, &Result{Outcome: Succeeded}
	for _, v := range []any{"garbage", running, other, &Record{State: Done, V: 1, ID: "x"}, &Record{State: Done, V: 99, ID: "x"}} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.nc.Publish(doneSubject(DefaultTenant, "", "x"), data); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(f.ctx, 200*time.Millisecond)
	defer cancel()
	if rec, err := w.Next(short); err == nil {
		t.Errorf("believed %+v", rec)
	}
	f.finished("x")
	w.LookNow()
	if rec, err := w.Next(f.ctx); err != nil || rec.Result.Outcome != Succeeded {
		t.Errorf("%+v, %v", rec, err)
	}
}

// TestWaiterOfTenThousand: one announcement of ten is lost, and results are
// taken while jobs still end.
func TestWaiterOfTenThousand(t *testing.T) {
	f := newFleet(t)
	const n = 10_000
	w, err := f.client.NewWaiter("ten", "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range n {
		w.Expect(numbered("ten", i))
	}
	sent := make(chan error, 1)
	go func() { sent <- f.finishMany("ten", n) }()
	seen := make(map[string]bool, n)
	for w.Left() > 0 {
		rec, err := w.Next(f.ctx)
		if err != nil {
			t.Fatalf("after %d: %v", len(seen), err)
		}
		if seen[rec.ID] {
			t.Errorf("%s came twice", rec.ID)
		}
		seen[rec.ID] = true
	}
	if err := <-sent; err != nil || len(seen) != n {
		t.Errorf("%d results, %v", len(seen), err)
	}
}

// finishMany writes the records of a batch that ended, and announces nine of
// ten.
func (f *testFleet) finishMany(batch string, n int) error {
	js, err := jetstream.New(f.nc, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		return err
	}
	for i := range n {
		j := newJob(numbered(batch, i))
		j.Batch = batch
		f.client.complete(j)
		rec := newRecord(j)
		rec.State, rec.Attempt, rec.Worker, rec.Result = Done, 1, "w", &Result{ID: j.ID, Outcome: Succeeded}
		data, err := rec.encode()
		if err != nil {
			return err
		}
		if _, err := js.PublishAsync(statusSubject(recordKey(j.Tenant, j.ID)), data, jetstream.WithStallWait(patience)); err != nil {
			return err
		}
		if i%10 != 0 {
			if err := f.nc.Publish(doneSubject(j.Tenant, batch, j.ID), data); err != nil {
				return err
			}
		}
	}
	<-js.PublishAsyncComplete()
	return nil
}

func TestListings(t *testing.T) {
	f := newFleet(t)
	f.finished("done")
	for i := range 5 {
		f.submit(newJob(numbered("l", i)))
	}
	other := f.tenant("other")
	if _, err := other.Submit(f.ctx, newJob("theirs")); err != nil {
		t.Fatal(err)
	}
	ids, err := f.client.QueuedIDs(f.ctx)
	if err != nil || len(ids) != 5 {
		t.Errorf("queued %v, %v", ids, err)
	}
	n := 0
	for rec, err := range f.client.Records(f.ctx) {
		if err != nil || rec.ID != "done" {
			t.Errorf("%+v, %v", rec, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d records", n)
	}
	depths, err := f.client.Depths(f.ctx)
	if err != nil || len(depths) != 3 || depths[1].Priority != Normal || depths[1].Pending != 5 {
		t.Errorf("%+v, %v", depths, err)
	}
	if _, err := other.Get(f.ctx, "done"); err == nil {
		t.Error("a tenant read another's record")
	}
}

// TestLogsReachAFollower: what a run logs comes live and can be read again.
func TestLogsReachAFollower(t *testing.T) {
	f := newFleet(t)
	tail, err := f.client.NewTail("talks")
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	if err := f.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	f.worker("w1", func(_ context.Context, a *Attempt) (*Result, error) {
		a.Log("stdout", 0, []byte("hello "))
		a.Log("stdout", 6, []byte("world"))
		return &Result{Outcome: Succeeded}, nil
	}, nil)
	f.submit(newJob("talks"))
	f.result("talks")
	text := ""
	for range 2 {
		c := recv(t, "a piece", tail.C)
		if c.Offset != int64(len(text)) || c.Attempt != 1 {
			t.Errorf("piece %+v after %q", c, text)
		}
		text += string(c.Data)
	}
	if text != "hello world" {
		t.Errorf("got %q", text)
	}
	f.eventually("it is kept", func() bool {
		kept := ""
		if err := f.client.LogSoFar(f.ctx, "talks", func(c LogChunk) error { kept += string(c.Data); return nil }); err != nil {
			t.Fatal(err)
		}
		return kept == text
	})
}
