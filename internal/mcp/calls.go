package mcp

import (
	"context"
	"errors"
	"sync"
)

// Causes of a call's end before its answer.
var (
	errClosing = errors.New("the MCP server is shutting down")
	errGone    = errors.New("the client has closed the connection that the answer was for")
)

// calls knows the calls that run, so that they can be ended with the
// connection, the session or the server they belong to: a job nobody waits for
// holds a slot that others need.
type calls struct {
	mu      sync.Mutex
	running map[*running]bool
	closed  bool
	all     sync.WaitGroup
}

type running struct {
	session string
	cancel  context.CancelCauseFunc
}

// begin gives the context of one call, and the function that ends it.
func (c *calls) begin(ctx context.Context, session string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	r := &running{session: session, cancel: cancel}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		cancel(errClosing)
		return ctx, func() {}
	}
	if c.running == nil {
		c.running = map[*running]bool{}
	}
	c.running[r] = true
	c.all.Add(1)
	return ctx, func() {
		c.mu.Lock()
		delete(c.running, r)
		c.mu.Unlock()
		cancel(nil)
		c.all.Done()
	}
}

// endSession ends the calls of one session.
func (c *calls) endSession(session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.running {
		if r.session == session {
			r.cancel(errGone)
		}
	}
}

// close ends all calls, lets no new one begin, and waits until their jobs are
// canceled.
func (c *calls) close() {
	c.mu.Lock()
	c.closed = true
	for r := range c.running {
		r.cancel(errClosing)
	}
	c.mu.Unlock()
	c.all.Wait()
}
