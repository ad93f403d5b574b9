package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"boxfleet/artifacts"
	"boxfleet/internal/natstest"
)

// TestNATSRestartsWhileJobsRun: they go on, commit after the reconnect, and
// what waited runs too.
func TestNATSRestartsWhileJobsRun(t *testing.T) {
	f := newFleet(t)
	var r runs
	started, goOn := make(chan struct{}, 8), make(chan struct{})
	f.worker("w1", func(ctx context.Context, a *Attempt) (*Result, error) {
		r.add(a.Job.ID)
		started <- struct{}{}
		select {
		case <-goOn:
			return &Result{Outcome: Succeeded}, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}, func(c *WorkerConfig) { c.Slots = 2 })
	f.submit(newJob("a"), newJob("b"), newJob("c"))
	recv(t, "a", started)
	recv(t, "b", started)
	f.srv.Stop()
	close(goOn) // they end while there is no server
	if err := f.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c"} {
		if rec := f.result(id); rec.Result.Outcome != Succeeded || rec.Result.Attempts != 1 || r.of(id) != 1 {
			t.Errorf("%s ran %d times: %+v", id, r.of(id), rec.Result)
		}
	}
	f.quiet()
}

// TestNATSForgetsItsMemory: what a single server kept in memory is gone when it
// restarts; workers make it again, so that they are seen and one coordinates.
func TestNATSForgetsItsMemory(t *testing.T) {
	f := newFleet(t)
	w := f.worker("w1", succeed, func(c *WorkerConfig) { c.presentEvery, c.leaseEvery = 20*time.Millisecond, 20*time.Millisecond })
	f.eventually("it coordinates", w.Coordinating)
	f.srv.Stop()
	if err := f.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{BucketWorkers, BucketLeases} {
		f.eventually("bucket "+bucket+" has an entry", func() bool {
			kv, err := f.js.KeyValue(f.ctx, bucket)
			if err != nil {
				return false
			}
			keys, err := kv.Keys(f.ctx)
			return err == nil && len(keys) > 0
		})
	}
	f.eventually("it coordinates again", w.Coordinating)
	// What the coordinator does goes on: an array becomes jobs, a batch ends.
	if _, err := f.client.SubmitArray(f.ctx, array("after", 3), nil); err != nil {
		t.Fatal(err)
	}
	f.eventually("the array's batch ends", func() bool {
		b, err := f.client.Batch(f.ctx, "after")
		return err == nil && b.State == BatchEnded
	})
}

// TestStopWhileNATSIsAway: a worker told to end does, without the server.
func TestStopWhileNATSIsAway(t *testing.T) {
	f := newFleet(t)
	started := make(chan struct{}, 1)
	w := f.worker("w1", func(ctx context.Context, a *Attempt) (*Result, error) {
		started <- struct{}{}
		return nil, until(ctx)
	}, func(c *WorkerConfig) { c.Grace = 10 * time.Millisecond; c.lastWords = 100 * time.Millisecond })
	f.submit(newJob("stranded"))
	recv(t, "start", started)
	f.srv.Stop()
	w.cancel()
	select {
	case <-w.ended:
		w.ended <- nil
	case <-time.After(patience):
		t.Fatal("the worker does not end")
	}
}

func TestConnectWaitsForTheServer(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	srv.Stop()
	logs := &logBuffer{}
	type answer struct {
		ok  bool
		err error
	}
	got := make(chan answer, 1)
	go func() {
		nc, _, err := Connect(context.Background(), ConnConfig{URL: srv.URL(), Wait: patience, Log: slog.New(slog.NewTextHandler(logs, nil))})
		if err == nil {
			nc.Close()
		}
		got <- answer{err == nil, err}
	}()
	deadline := time.Now().Add(patience)
	for !strings.Contains(logs.String(), "cannot reach NATS yet") {
		if time.Now().After(deadline) {
			t.Fatal("Connect does not say that it waits")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	if a := recv(t, "connected", got); !a.ok {
		t.Error(a.err)
	}
}

func TestConnectRefused(t *testing.T) {
	t.Parallel()
	srv := natstest.StartWith(t, natstest.Options{User: "box", Password: "right"})
	away := natstest.Start(t)
	away.Stop()
	for _, tt := range []struct {
		name string
		c    ConnConfig
		want string
	}{
		{"wrong password", ConnConfig{URL: srv.URL(), User: "box", Password: "wrong", Wait: time.Hour}, "check the user and password"},
		{"no password", ConnConfig{URL: srv.URL(), Wait: time.Hour}, "check the user and password"},
		{"no creds file", ConnConfig{URL: srv.URL(), CredsFile: "/nonexistent/x.creds", Wait: time.Hour}, "/nonexistent/x.creds"},
		{"no CA file", ConnConfig{URL: srv.URL(), CAFile: "/nonexistent/ca.pem", Wait: time.Hour}, "/nonexistent/ca.pem"},
		{"nobody there, tried once", ConnConfig{URL: away.URL()}, "127.0.0.1"},
		{"nobody there, for a moment", ConnConfig{URL: away.URL(), Wait: 150 * time.Millisecond}, "127.0.0.1"},
		{"password in the address", ConnConfig{URL: strings.Replace(away.URL(), "//", "//box:s3cr3t@", 1)}, "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			nc, _, err := Connect(ctx, tt.c)
			if err == nil {
				nc.Close()
				t.Fatal("connected")
			}
			if ctx.Err() != nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestSickWorkerPauses: storage that is down for everyone stops the fetching
// and burns nobody's attempts.
func TestSickWorkerPauses(t *testing.T) {
	f := newFleet(t)
	var r runs
	var down atomic.Bool
	var probes atomic.Int32
	down.Store(true)
	w := f.worker("w1", func(_ context.Context, a *Attempt) (*Result, error) {
		r.add(a.Job.ID)
		if down.Load() {
			return nil, fmt.Errorf("stage: %w", artifacts.ErrUnavailable)
		}
		return &Result{Outcome: Succeeded}, nil
	}, func(c *WorkerConfig) {
		c.Slots = 1
		c.Probe = func(context.Context) error {
			probes.Add(1)
			if down.Load() {
				return artifacts.ErrUnavailable
			}
			return nil
		}
	})
	const n = 12
	for i := range n {
		j := newJob(numbered("s", i))
		j.Retry.MaxAttempts = 1
		f.submit(j)
	}
	f.eventually("it is probed", func() bool { return probes.Load() >= 5 })
	if w.Sick() == "" {
		t.Error("the worker does not say that it is sick")
	}
	total := 0
	for i := range n {
		total += r.of(numbered("s", i))
	}
	if total > 2 { // the one that found out, and one that was on its way
		t.Errorf("%d jobs were tried while storage was down", total)
	}
	down.Store(false)
	for i := range n {
		if rec := f.result(numbered("s", i)); rec.Result.Outcome != Succeeded || rec.Result.Attempts != 1 {
			t.Errorf("%s: %+v", rec.ID, rec.Result)
		}
	}
	if w.Sick() != "" {
		t.Errorf("still sick: %s", w.Sick())
	}
	f.quiet()
}
