package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A Chore is something that one worker of the fleet does for all: releasing
// held jobs, counting batches, sweeping the store. The context ends when
// another worker may have taken over or this one shuts down. A chore must do
// no harm when two workers do it at once for a moment, and find its place
// again when another worker goes on with it.
type Chore struct {
	Name string
	Run  func(ctx context.Context) error
}

// coordinate takes part in the election of the coordinator and does the chores
// while this worker is it. A chore that returns is started again after a pause.
func (w *Worker) coordinate(ctx context.Context) {
	chores := append(w.chores(), w.cfg.Chores...)
	l := &lease{kv: w.leases, name: "coordinator", holder: w.cfg.Name, every: w.cfg.leaseEvery, log: w.log}
	l.hold(ctx, func(ctx context.Context) {
		w.log.Info("coordinating the fleet")
		w.coordinating.Store(true)
		defer w.coordinating.Store(false)
		var all sync.WaitGroup
		for _, c := range chores {
			all.Go(func() { c.repeat(ctx, w.log) })
		}
		all.Wait()
	})
}

// choreRest is how long a chore rests that has returned.
const choreRest = time.Second

func (c Chore) repeat(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		if err := c.runSafely(ctx); err != nil && ctx.Err() == nil {
			log.Warn("a chore of the coordinator failed, trying again", "chore", c.Name, "error", err)
		}
		sleep(ctx, choreRest)
	}
}

func (c Chore) runSafely(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: stack()}
		}
	}()
	return c.Run(ctx)
}

// Coordinating tells whether this worker does the fleet's chores.
func (w *Worker) Coordinating() bool { return w.coordinating.Load() }

// chores are the queue's own.
func (w *Worker) chores() []Chore {
	return []Chore{
		{Name: "release held jobs", Run: w.releaseHeld},
		{Name: "batches", Run: w.countBatches},
		{Name: "keys", Run: w.tendKeys},
	}
}
