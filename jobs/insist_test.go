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
