package wasihttp

import (
	"encoding/binary"
	"time"
)

// pollable is the resource of that name: something of the network, or a moment.
type pollable struct {
	ready func() bool // called with mu held; nil for a moment
	due   time.Time   // the moment
}

func (*pollable) release(*Host) {}

func (p *pollable) isReady() bool {
	if p.ready != nil {
		return p.ready()
	}
	return !time.Now().Before(p.due)
}

var noTime time.Time

var pollFunctions = []*function{
	{"[resource-drop]pollable", sig(i32), nil, drop[*pollable]},
	{"[method]pollable.ready", sig(i32), sig(i32), func(c *call, s []uint64) {
		p := borrow[*pollable](c, s[0])
		c.h.mu.Lock()
		defer c.h.mu.Unlock()
		s[0] = flag(p.isReady())
	}},
	{"[method]pollable.block", sig(i32), nil, func(c *call, s []uint64) {
		p := borrow[*pollable](c, s[0])
		c.waitUntil(p.due, p.isReady)
	}},
	{"poll", sig(i32, i32, i32), nil, func(c *call, s []uint64) {
		ret := c.ret(s[2], 4, 8)
		if uint32(s[1]) == 0 || uint32(s[1]) > maxPollList {
			c.trap("poll of %d pollables; 1 to %d are allowed", uint32(s[1]), maxPollList)
		}
		list := c.list(s[0], s[1], 4, 4)
		pollables := make([]*pollable, uint32(s[1]))
		due := noTime
		for i := range pollables {
			p := borrow[*pollable](c, uint64(binary.LittleEndian.Uint32(list[i*4:])))
			if p.ready == nil && (due.IsZero() || p.due.Before(due)) {
				due = p.due
			}
			pollables[i] = p
		}
		var ready []byte
		collect := func() bool {
			for i, p := range pollables {
				if p.isReady() {
					ready = binary.LittleEndian.AppendUint32(ready, uint32(i))
				}
			}
			return len(ready) > 0
		}
		c.waitUntil(due, collect)
		if len(ready) == 0 { // the timer fired first
			c.h.mu.Lock()
			collect()
			c.h.mu.Unlock()
		}
		ptr := c.alloc(4, uint64(len(ready)))
		c.put(ptr, ready)
		c.put32(ret, ptr)
		c.put32(ret+4, uint32(len(ready)/4))
	}},
}

// after gives the moment that lies ns in the future of the system's clock, also when the guest's own clock is another:
// a wait is a wait.
func after(ns uint64) time.Time {
	return time.Now().Add(time.Duration(min(ns, uint64(100*365*24*time.Hour))))
}

var monotonicFunctions = []*function{
	{"now", nil, sig(i64), func(c *call, s []uint64) { s[0] = c.h.monotonic() }},
	{"resolution", nil, sig(i64), func(_ *call, s []uint64) { s[0] = 1 }},
	{"subscribe-instant", sig(i64), sig(i32), func(c *call, s []uint64) {
		var ns uint64
		if now := c.h.monotonic(); s[0] > now {
			ns = s[0] - now
		}
		s[0] = uint64(c.add(&pollable{due: after(ns)}, 0))
	}},
	{"subscribe-duration", sig(i64), sig(i32), func(c *call, s []uint64) {
		s[0] = uint64(c.add(&pollable{due: after(s[0])}, 0))
	}},
}

var wallFunctions = []*function{
	{"now", sig(i32), nil, func(c *call, s []uint64) {
		ret := c.ret(s[0], 8, 16)
		now := c.h.wall()
		c.put64(ret, uint64(max(0, now.Unix())))
		c.put32(ret+8, uint32(now.Nanosecond()))
	}},
	{"resolution", sig(i32), nil, func(c *call, s []uint64) {
		ret := c.ret(s[0], 8, 16)
		c.put64(ret, 0)
		c.put32(ret+8, 1)
	}},
}
