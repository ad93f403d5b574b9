package jobs

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/internal/natstest"
)

// TestStartsWhileTheClusterElects: two of three nodes are away when a worker
// starts; it waits for one of them.
func TestStartsWhileTheClusterElects(t *testing.T) {
	t.Parallel()
	c := natstest.StartCluster(t)
	_, js := c.Nodes[0].Connect(t)
	c.Nodes[1].Stop()
	c.Nodes[2].Stop()
	made := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { made <- Topology{Replicas: 3}.Ensure(ctx, js) }()
	// The first request goes unanswered for as long as the client waits for one.
	ask, stop := context.WithTimeout(ctx, js.Options().DefaultTimeout)
	defer stop()
	select {
	case err := <-made:
		t.Fatalf("without a majority, ensuring the streams ended with %v", err)
	case <-ask.Done():
	}
	for _, n := range c.Nodes[1:] {
		if err := n.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-made; err != nil {
		t.Fatal(err)
	}
}

// TestOutputsOutliveAnOutage: a run that ends with outputs while NATS is away
// waits for it with its result in hand. The job has one attempt: failing to
// look at the record must not spend it.
func TestOutputsOutliveAnOutage(t *testing.T) {
	f := newFleet(t)
	var r runs
	started, goOn, returning := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	manifests := &memoryCommitter{}
	w := f.idleWorker("w1", func(_ context.Context, a *Attempt) (*Result, error) {
		r.add(a.Job.ID)
		started <- struct{}{}
		<-goOn
		defer close(returning)
		return &Result{Outcome: Succeeded, Outputs: oneOutput}, nil
	}, manifests, nil)
	w.start(t)
	j := newJob("outputs")
	j.Retry.MaxAttempts = 1
	f.submit(j)
	recv(t, "start", started)
	f.srv.Stop()
	f.eventually("the worker knows", func() bool { return !w.nc.IsConnected() })
	close(goOn)
	<-returning
	if err := f.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	rec := f.result("outputs")
	if rec.Result.Outcome != Succeeded || rec.Attempt != 1 || r.of("outputs") != 1 || manifests.count() != 1 {
		t.Errorf("ran %d times: %+v, tries %+v", r.of("outputs"), rec.Result, rec.Tries)
	}
}

func TestElecting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{context.DeadlineExceeded, true},
		{fmt.Errorf("ensure: %w", &jetstream.APIError{Code: 503, ErrorCode: 10008}), true},
		{&jetstream.APIError{Code: 400, ErrorCode: codeNoSuitablePeers}, true},
		{&jetstream.APIError{Code: 503, ErrorCode: codeNotEnabled}, false},
		{&jetstream.APIError{Code: 503, ErrorCode: codeNotEnabledForAccount}, false},
		{&jetstream.APIError{Code: 400, ErrorCode: 10074}, false},
		{errors.New("no"), false},
	} {
		if got := electing(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
