package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startPatience is how long a starting worker asks again while a cluster
// elects leaders or misses a node.
const startPatience = time.Minute

// insist does something to the streams, again and again while the cluster
// cannot do it at the moment: a worker that starts while a node restarts must
// wait for the cluster, not end.
func insist(ctx context.Context, do func() error) error {
	policy := backoff.WithContext(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(startPatience)), ctx)
	return unwrapFinal(backoff.Retry(func() error {
		err := do()
		if err != nil && (ctx.Err() != nil || !electing(err)) {
			return backoff.Permanent(err)
		}
		return err
	}, policy))
}

// JetStream's codes of errors that time does not mend although their status is
// 503, and of one that it does (nats-server, server/errors.json).
const (
	codeNotEnabled           = 10076
	codeNotEnabledForAccount = 10039
	codeNoSuitablePeers      = 10005
)

// electing tells whether an error of JetStream's API may be gone in a moment:
// it has no leader, or too few nodes to place something on.
func electing(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode {
	case codeNotEnabled, codeNotEnabledForAccount:
		return false
	case codeNoSuitablePeers:
		return true
	}
	return api.Code == 503
}

// insistStatus is readStatus for who has a result in hand: it keeps asking
// while NATS is away, as writeHeld does, because the job would have to run
// again otherwise and the attempt be charged to it.
func (w *Worker) insistStatus(ctx context.Context, key string) (rec *Record, rev uint64, err error) {
	policy := backoff.WithContext(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0)), ctx)
	err = backoff.Retry(func() error {
		rec, rev, err = w.readStatus(ctx, key)
		if _, bad := errors.AsType[*unreadableRecord](err); bad {
			return backoff.Permanent(err)
		}
		return err
	}, policy)
	return rec, rev, unwrapFinal(err)
}
