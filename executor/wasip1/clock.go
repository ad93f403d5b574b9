package wasip1

import (
	"math"
	"time"
)

// Clock is a guest's time. A Clock that keeps state belongs to one System.
type Clock interface {
	// Wall is the time of day in nanoseconds since the Unix epoch.
	Wall() uint64
	// Monotonic is nanoseconds since a start of its own; it never falls.
	Monotonic() uint64
	// Resolution is the step both change by.
	Resolution() time.Duration
	// Wait returns once d has passed on this clock, or earlier if wake or done
	// becomes ready. A nil channel is never ready.
	Wait(d time.Duration, wake, done <-chan struct{})
}

// systemResolution is as fine as a guest may time what it shares the machine with.
const systemResolution = time.Microsecond

type systemClock struct{}

// processStart is what monotonic time counts from, so that the host's uptime
// is not told.
var processStart = time.Now()

// SystemClock is the host's time, in steps of a microsecond.
func SystemClock() Clock { return systemClock{} }

func (systemClock) Wall() uint64 {
	return uint64(time.Now().UnixMicro()) * 1000
}

func (systemClock) Monotonic() uint64 {
	return uint64(time.Since(processStart) / systemResolution * systemResolution)
}

func (systemClock) Resolution() time.Duration { return systemResolution }

func (systemClock) Wait(d time.Duration, wake, done <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-done:
	}
}

// fixedStep is what each reading of a fixed clock advances it by, so that a
// guest that waits for time to pass by looking at it comes to an end.
const fixedStep = time.Microsecond

type fixedClock struct{ wall, mono uint64 }

// FixedClock is a clock of its own for deterministic runs: it starts at t,
// advances by a microsecond each time it is read and by the whole duration each
// time the guest sleeps, which takes no real time.
func FixedClock(t time.Time) Clock {
	return &fixedClock{wall: uint64(max(0, t.UnixNano()))}
}

func (c *fixedClock) advance(d time.Duration) {
	n := uint64(max(0, d))
	if c.wall > math.MaxUint64-n || c.mono > math.MaxUint64-n {
		return
	}
	c.wall += n
	c.mono += n
}

func (c *fixedClock) Wall() uint64 {
	defer c.advance(fixedStep)
	return c.wall
}

func (c *fixedClock) Monotonic() uint64 {
	defer c.advance(fixedStep)
	return c.mono
}

func (c *fixedClock) Resolution() time.Duration { return fixedStep }

// Wait waits for the channels only if no time is given to pass.
func (c *fixedClock) Wait(d time.Duration, wake, done <-chan struct{}) {
	if d == math.MaxInt64 && wake != nil {
		select {
		case <-wake:
		case <-done:
		}
		return
	}
	c.advance(d)
}

const (
	clockRealtime = iota
	clockMonotonic
	clockProcessCPU
	clockThreadCPU
)

// now reads a clock by its WASI id. The CPU time clocks tell the time since the
// guest was started: what it really used is no business of a guest that shares
// a core, and programs only ask for differences.
func (s *System) now(id uint32) (uint64, errno) {
	switch id {
	case clockRealtime:
		return s.clock.Wall(), errSuccess
	case clockMonotonic:
		return s.clock.Monotonic(), errSuccess
	case clockProcessCPU, clockThreadCPU:
		return s.clock.Monotonic() - s.started, errSuccess
	}
	return 0, errInval
}

func (s *System) clockResGet(p []uint64) errno {
	if uint32(p[0]) > clockThreadCPU {
		return errInval
	}
	return s.putU64(uint32(p[1]), uint64(s.clock.Resolution()))
}

func (s *System) clockTimeGet(p []uint64) errno {
	t, e := s.now(uint32(p[0]))
	if e != errSuccess {
		return e
	}
	return s.putU64(uint32(p[2]), t)
}
