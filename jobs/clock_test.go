package jobs

import (
	"testing"
	"time"
)

// A machine whose clock is off by hours knows the fleet's time to a fraction
// of a second, and an estimate serves on while the server is away.
func TestFleetClock(t *testing.T) {
	f := newFleet(t)
	for _, skew := range []time.Duration{0, -3 * time.Hour, 5 * time.Minute} {
		c := newFleetClock(func() time.Time { return time.Now().Add(skew) })
		if err := c.sync(f.ctx, f.nc); err != nil {
			t.Fatal(err)
		}
		if off := time.Since(c.now()); off.Abs() > 2*time.Second {
			t.Errorf("skew %s: the fleet's time is off by %s", skew, off)
		}
	}
	c := newFleetClock(func() time.Time { return time.Now().Add(time.Hour) })
	if err := c.fresh(f.ctx, f.nc); err != nil {
		t.Fatal(err)
	}
	f.srv.Stop()
	if err := c.fresh(f.ctx, f.nc); err != nil {
		t.Errorf("a fresh estimate was asked for again: %v", err)
	}
	if err := c.sync(f.ctx, f.nc); err == nil {
		t.Error("a server that is away told the time")
	}
	if off := time.Since(c.now()); off.Abs() > 5*time.Second {
		t.Errorf("after a failed estimate the fleet's time is off by %s", off)
	}
}
