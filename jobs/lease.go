package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lease is the right to do what only one of the fleet's workers should do at
// a time. It is a key of the leases bucket that its holder writes again and
// again; when the holder falls silent the key vanishes after LeaseTTL and
// another takes it. Two holders can overlap for a moment (a frozen process
// wakes up), so whatever is done under a lease must do no harm when done twice.
type lease struct {
	kv     jetstream.KeyValue
	name   string
	holder string
	every  time.Duration // between attempts to take it, and between signs of life
	log    *slog.Logger
	token  string // what this holder writes, unlike any other's
}

// hold takes the lease, waiting for it as long as ctx lasts, and runs do while
// it is held. The context of do ends when the lease is lost; then hold waits
// for it again.
func (l *lease) hold(ctx context.Context, do func(ctx context.Context)) {
	l.token = l.holder + " " + NewID()
	for ctx.Err() == nil {
		rev, err := l.kv.Create(ctx, l.name, []byte(l.token))
		if isConflict(err) {
			rev, err = l.mine(ctx, err)
		}
		if err == nil {
			l.log.Debug("took a lease", "lease", l.name)
			l.keep(ctx, rev, do)
			continue
		}
		if !isConflict(err) && ctx.Err() == nil {
			l.log.Debug("cannot take a lease, trying again", "lease", l.name, "error", err)
		}
		sleep(ctx, l.every)
	}
}

// keep runs do and renews the lease until do has returned.
func (l *lease) keep(ctx context.Context, rev uint64, do func(ctx context.Context)) {
	held, lost := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(held)
	}()
	renewed := time.Now()
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
			continue
		case <-tick.C:
		}
		if held.Err() != nil {
			continue
		}
		next, err := l.renew(ctx, rev)
		if isConflict(err) {
			next, err = l.mine(ctx, err)
		}
		switch {
		case err == nil:
			rev, renewed = next, time.Now()
		case isConflict(err):
			lost(errLeaseLost)
		case time.Since(renewed) > LeaseTTL-2*l.every: // somebody else may take it any moment
			lost(fmt.Errorf("%w: %w", errLeaseLost, err))
		}
	}
	lost(nil)
	if !errors.Is(context.Cause(held), errLeaseLost) {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = l.kv.Delete(bye, l.name, jetstream.LastRevision(rev))
	}
	if ctx.Err() == nil {
		sleep(ctx, l.every)
	}
}

var errLeaseLost = errors.New("the lease was lost")

func (l *lease) renew(ctx context.Context, rev uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, max(l.every, time.Second))
	defer cancel()
	return l.kv.Update(ctx, l.name, []byte(l.token), rev)
}

// mine gives the lease's revision if it is this holder's after all: the answer
// to an earlier write was lost, not the write. Otherwise it gives conflict.
func (l *lease) mine(ctx context.Context, conflict error) (uint64, error) {
	entry, err := l.kv.Get(ctx, l.name)
	if err == nil && string(entry.Value()) == l.token {
		return entry.Revision(), nil
	}
	return 0, conflict
}
