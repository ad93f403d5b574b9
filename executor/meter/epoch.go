package meter

import (
	"sync"
	"sync/atomic"
	"time"
)

// DefaultTick is the length of an epoch.
const DefaultTick = time.Millisecond

// lingerTicks is how many ticks the clock goes on without a run, so that a
// stream of short runs does not start and stop it every time.
const lingerTicks = 20

// Epoch is the clock that all runs of a worker share. Reading it costs one
// atomic load, so every host call looks at it. It advances while runs are
// active and rests otherwise: an idle worker has no timer.
//
// The counter is set from the monotonic clock at every tick, not incremented:
// ticks that a busy machine drops do not make deadlines late. Refills read the
// clock themselves and move the counter forward too.
type Epoch struct {
	tick  time.Duration
	start time.Time
	now   atomic.Int64 // nanoseconds since start, as of the last tick or refill

	active atomic.Int64
	wake   chan struct{}
	done   chan struct{}
	closed sync.Once
	wg     sync.WaitGroup
}

// NewEpoch starts a clock with the given tick; 0 means [DefaultTick]. Close
// ends its goroutine.
func NewEpoch(tick time.Duration) *Epoch {
	if tick <= 0 {
		tick = DefaultTick
	}
	e := &Epoch{tick: tick, start: time.Now(), wake: make(chan struct{}, 1), done: make(chan struct{})}
	e.wg.Add(1)
	go e.run()
	return e
}

// Close stops the clock and waits for its goroutine. Runs that are still
// active notice their deadline at refills only.
func (e *Epoch) Close() {
	e.closed.Do(func() { close(e.done) })
	e.wg.Wait()
}

func (e *Epoch) run() {
	defer e.wg.Done()
	for {
		select {
		case <-e.done:
			return
		case <-e.wake:
		}
		ticker := time.NewTicker(e.tick)
		for idle := 0; idle < lingerTicks; idle++ {
			select {
			case <-e.done:
				ticker.Stop()
				return
			case <-ticker.C:
			}
			e.advance()
			if e.active.Load() > 0 {
				idle = 0
			}
		}
		ticker.Stop()
		// A run that became active after the last look has left a wake.
	}
}

// enter says that a run with a deadline begins.
func (e *Epoch) enter() {
	if e.active.Add(1) == 1 {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

func (e *Epoch) leave() { e.active.Add(-1) }

// elapsed reads the clock.
func (e *Epoch) elapsed() int64 { return int64(time.Since(e.start)) }

// advance reads the clock and moves the shared counter forward.
func (e *Epoch) advance() int64 {
	now := e.elapsed()
	if e.now.Load() < now {
		e.now.Store(now) // two writers may race; both values are fresh
	}
	return now
}
