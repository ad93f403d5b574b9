package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fleetClock tells the time as the leader of the queue's stream has it. Where
// one machine's decision about time meets another's (a schedule that the
// server fires, a deadline a submitter gave), this is the clock that counts;
// a machine's own clock may be minutes off. It is good to about half a round
// trip, so nothing that must not be lost may depend on it.
type fleetClock struct {
	offset atomic.Int64 // to be added to the local clock, ns
	local  func() time.Time

	mu    sync.Mutex
	asked time.Time // by the local clock, when the offset was last estimated
}

// clockAge is how old an estimate may be before a client asks again.
const clockAge = time.Minute

func newFleetClock(local func() time.Time) *fleetClock {
	if local == nil {
		local = time.Now
	}
	return &fleetClock{local: local}
}

// now is the fleet's time, as well as it is known.
func (c *fleetClock) now() time.Time {
	return c.local().Add(time.Duration(c.offset.Load())).UTC()
}

// fresh estimates the offset unless that was done a short while ago.
func (c *fleetClock) fresh(ctx context.Context, nc *nats.Conn) error {
	c.mu.Lock()
	asked := c.asked
	c.mu.Unlock()
	if age := c.local().Sub(asked); !asked.IsZero() && age >= 0 && age < clockAge {
		return nil
	}
	return c.sync(ctx, nc)
}

// clockSamples is how often one estimate asks: the answer that came back
// soonest says most about the server's clock.
const clockSamples = 3

// sync estimates the offset from the times that the stream's leader puts on
// its answers.
func (c *fleetClock) sync(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	best, offset := time.Duration(-1), time.Duration(0)
	for range clockSamples {
		started, sent := time.Now(), c.local()
		reply, err := nc.RequestWithContext(ctx, via(nc, "$JS.API.STREAM.INFO."+StreamJobs), nil)
		if err != nil {
			return fmt.Errorf("ask for the server's time: %w", err)
		}
		trip := time.Since(started)
		var info struct {
			TS    time.Time           `json:"ts"`
			Error *jetstream.APIError `json:"error"`
		}
		switch err := json.Unmarshal(reply.Data, &info); {
		case err != nil:
			return fmt.Errorf("ask for the server's time: %w", err)
		case info.Error != nil:
			return fmt.Errorf("ask for the server's time: %w", info.Error)
		case info.TS.IsZero():
			return fmt.Errorf("ask for the server's time: the answer %q has none", shorten(string(reply.Data), 200))
		}
		if best < 0 || trip < best {
			best, offset = trip, info.TS.Sub(sent.Add(trip/2))
		}
	}
	c.offset.Store(int64(offset))
	c.mu.Lock()
	c.asked = c.local()
	c.mu.Unlock()
	return nil
}

// now is the fleet's time; see fleetClock.
func (w *Worker) now() time.Time { return w.clock.now() }

// tellTime estimates the fleet's time. An old estimate serves when the server
// does not answer.
func (w *Worker) tellTime(ctx context.Context) {
	if err := w.clock.sync(ctx, w.nc); err != nil && ctx.Err() == nil {
		w.log.DebugContext(ctx, "cannot learn the fleet's time", "error", err)
	}
}

// Now is the fleet's time: that of the server that keeps the queue, as well as
// it is known. Without an answer it is this machine's.
func (c *Client) Now(ctx context.Context) time.Time {
	_ = c.clock.fresh(ctx, c.nc)
	return c.clock.now()
}
