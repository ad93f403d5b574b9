package jobs

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/internal/natstest"
)

func TestEnsureByManyAtOnce(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	var wg sync.WaitGroup
	for i := range 8 {
		_, js := srv.Connect(t)
		wg.Go(func() {
			// With different settings, as in a fleet that is being changed.
			topology := Topology{TenantConcurrency: 100 + i%2, ResultTTL: time.Duration(1+i%2) * time.Hour}
			if err := topology.Ensure(context.Background(), js); err != nil {
				t.Error(err)
			}
			if err := topology.WithDefaults().ensureAllConsumers(context.Background(), js); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, js := srv.Connect(t)
	for range 2 { // and again
		if err := (Topology{}).Ensure(context.Background(), js); err != nil {
			t.Error(err)
		}
	}
	info, err := js.Stream(context.Background(), StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	c := info.CachedInfo().Config
	if c.MaxMsgs > 0 || c.MaxBytes > 0 || c.MaxAge > 0 || c.MaxMsgsPerSubject > 0 || c.Retention != jetstream.WorkQueuePolicy {
		t.Errorf("the queue may drop jobs: %+v", c)
	}
}

func TestEnsureOverOtherSettings(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	_, js := srv.Connect(t)
	ctx := context.Background()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: StreamJobs, Subjects: []string{"jobs.>"}}); err != nil {
		t.Fatal(err)
	}
	err := (Topology{}).Ensure(ctx, js)
	if err == nil || !strings.Contains(err.Error(), "JOBS") || !strings.Contains(err.Error(), "Limits") {
		t.Errorf("got %v", err)
	}
	if _, err := NewWorker(ctx, nil, js, nil, nil, WorkerConfig{Name: "w", Slots: 1}); err == nil {
		t.Error("a worker was made on a stream that is not a queue")
	}
	// Settings that can be changed are.
	if err := js.DeleteStream(ctx, StreamJobs); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: StreamJobs, Subjects: []string{"jobs.x.>"}, Retention: jetstream.WorkQueuePolicy, MaxMsgs: 5}); err != nil {
		t.Fatal(err)
	}
	if err := (Topology{}).Ensure(ctx, js); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(ctx, StreamJobs)
	if err != nil || s.CachedInfo().Config.MaxMsgs > 0 || !s.CachedInfo().Config.AllowAtomicPublish {
		t.Errorf("%+v, %v", s.CachedInfo().Config, err)
	}
}

// TestOperatorsConcurrencyStands: a client neither undoes it for a queue that
// exists nor misses it for one that it makes.
func TestOperatorsConcurrencyStands(t *testing.T) {
	f := newFleet(t)
	f.idleWorker("w1", succeed, nil, func(c *WorkerConfig) { c.Topology.TenantConcurrency = 7 })
	f.submit(newJob("a"))
	if _, err := f.tenant("fresh").Submit(f.ctx, newJob("b")); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{DefaultTenant, "fresh"} {
		c, err := f.js.Consumer(f.ctx, StreamJobs, consumerName(tenant, Normal))
		if err != nil || c.CachedInfo().Config.MaxAckPending != 7 {
			t.Errorf("%s: %+v, %v", tenant, c.CachedInfo().Config, err)
		}
	}
	f.idleWorker("w2", succeed, nil, func(c *WorkerConfig) { c.Topology.TenantConcurrency = 9 })
	c, err := f.js.Consumer(f.ctx, StreamJobs, consumerName("fresh", Normal))
	if err != nil || c.CachedInfo().Config.MaxAckPending != 9 {
		t.Errorf("after a change: %+v, %v", c.CachedInfo().Config, err)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]WorkerConfig{
		"slots":              {Slots: 0},
		"slots: 5000":        {Slots: 5000},
		"worker name":        {Slots: 1, Name: "a b"},
		"max_attempts":       {Slots: 1, MaxAttempts: -1},
		"replicas":           {Slots: 1, Topology: Topology{Replicas: 2}},
		"result_ttl":         {Slots: 1, Topology: Topology{ResultTTL: time.Second}},
		"tenant_concurrency": {Slots: 1, Topology: Topology{TenantConcurrency: -1}},
	} {
		if err := c.WithDefaults().Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := (WorkerConfig{Slots: 1}).WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
}

// TestManyQueues: the server's default of 1,000 consumers does not bound
// tenants, not even on a stream that was made with it.
func TestManyQueues(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	_, js := srv.Connect(t)
	old := Topology{}.WithDefaults().streams()[0]
	old.MaxConsumers = 0
	if _, err := js.CreateStream(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if err := (Topology{}).Ensure(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().Config.MaxConsumers; n != maxQueues {
		t.Errorf("the stream allows %d consumers", n)
	}
}
