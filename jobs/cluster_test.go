package jobs

import (
	"context"
	"fmt"
	"testing"
	"time"

	"boxfleet/internal/natstest"
)

// TestClusterLosesNode: three servers, three replicas; the leader of the queue
// and then that of the records go away and come back while jobs run. Every job
// ends once.
func TestClusterLosesNode(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	topology := Topology{Replicas: 3}
	nc, js, err := Connect(ctx, ConnConfig{URL: cluster.URL(), Wait: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	f := &testFleet{t: t, ctx: ctx, nc: nc, js: js}
	f.eventually("the streams are made", func() bool { return topology.Ensure(ctx, js) == nil })
	f.eventually("a worker without the setting does not weaken them", func() bool { return (Topology{}).Ensure(ctx, js) == nil })
	if s, err := js.Stream(ctx, StreamJobs); err != nil || s.CachedInfo().Config.Replicas != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	f.client = f.tenant("")
	var r runs
	for i := range 2 {
		wnc, wjs, err := Connect(ctx, ConnConfig{URL: cluster.URL(), Wait: patience})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(wnc.Close)
		logs := &logBuffer{}
		var w *Worker
		f.eventually("a worker starts", func() bool {
			w, err = NewWorker(ctx, wnc, wjs, handlerFunc(func(ctx context.Context, a *Attempt) (*Result, error) {
				r.add(a.Job.ID)
				return &Result{Outcome: Succeeded}, nil
			}), nil, WorkerConfig{Name: fmt.Sprintf("w%d", i), Slots: 4, PollEvery: 50 * time.Millisecond})
			return err == nil
		})
		tw := &testWorker{Worker: w, t: t, ended: make(chan error, 1), logs: logs}
		tw.start(t)
	}
	submit := func(from, to int) {
		for i := from; i < to; i++ {
			f.eventually("a submission is taken", func() bool { // again and again, with the same id
				short, cancel := context.WithTimeout(ctx, 2*time.Second)
				defer cancel()
				_, err := f.client.Submit(short, newJob(numbered("c", i)))
				return err == nil
			})
		}
	}
	const n = 120
	checkWaiting := waitingOnACluster(f, &r)
	submit(0, n/3)
	for part, stream := range []string{StreamJobs, "KV_" + BucketStatus} {
		f.eventually("the stream has a leader", func() bool { return cluster.Leader(stream) != nil })
		node := cluster.Leader(stream)
		if node == nil {
			t.Fatal("no leader")
		}
		node.Stop()
		submit((part+1)*n/3, (part+2)*n/3)
		if err := node.Restart(); err != nil {
			t.Fatal(err)
		}
		cluster.WaitLeader(t)
	}
	for i := range n {
		rec := f.result(numbered("c", i))
		if rec.Result.Outcome != Succeeded {
			t.Errorf("%s: %+v", rec.ID, rec.Result)
		}
	}
	checkWaiting()
	twice := 0
	for i := range n {
		if r.of(numbered("c", i)) > 1 {
			twice++ // allowed: its result still counted once
		}
	}
	t.Logf("%d of %d jobs ran more than once", twice, n)

	// The conflict of a replicated stream has a code of its own.
	if _, err := f.client.status.Create(ctx, recordKey(DefaultTenant, numbered("c", 0)), []byte("{}")); !isConflict(err) {
		t.Errorf("a conflict is not seen as one: %v", err)
	}

	// A batch is listed and counted on replicas as on one server.
	f.eventually("a batch is submitted", func() bool { // again and again, as a user would
		b, err := f.client.OpenBatch(ctx, BatchSpec{ID: "r3", Fingerprint: "same", Chunk: 100})
		if err == nil {
			err = b.SubmitMany(ctx, 0, jobsOf("r3", 0, 250), func(int, int) {})
		}
		if err == nil {
			err = b.Close(ctx, 250)
		}
		return err == nil
	})
	wantCounts(t, f.endedBatch("r3"), map[Outcome]int{Succeeded: 250})
}
