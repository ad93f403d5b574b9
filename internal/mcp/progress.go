package mcp

import (
	"context"
	"fmt"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"boxfleet/jobs"
)

// How often a call tells how it goes.
const (
	progressEvery = 250 * time.Millisecond // at most
	stateEvery    = time.Second            // a look whether a waiting job runs by now
	aliveEvery    = 10 * time.Second       // a sign of life of a job that says nothing
	maxProgress   = 200                    // bytes of a message
)

// reporter tells a client that asked for it (by a progress token) how its call
// goes: queued, running, and the last line of what the tool writes. Without a
// token it does nothing, and its channels are nil.
type reporter struct {
	ctx     context.Context
	session *sdk.ServerSession
	token   any
	id      string

	tail   *jobs.Tail
	ticker *time.Ticker
	pieces <-chan jobs.LogChunk
	tick   <-chan time.Time

	n       float64 // messages so far: progress has no end that is known
	started time.Time
	running bool
	last    string // line of output to tell at the next tick
	partial map[string]string
	told    time.Time // when anything was said
	looked  time.Time // when the state was looked up
}

// newReporter makes the reporter of a call. Its ctx ties what it says to the
// request, which HTTP needs to route it.
func newReporter(ctx context.Context, req *sdk.CallToolRequest) *reporter {
	return &reporter{ctx: ctx, session: req.Session, token: req.Params.GetProgressToken(), started: time.Now(), partial: map[string]string{}}
}

// listen begins to follow the job's output; call it before the job is submitted.
func (r *reporter) listen(c *jobs.Client, id string) error {
	r.id = id
	if r.token == nil {
		return nil
	}
	tail, err := c.NewTail(id)
	if err != nil {
		return err
	}
	r.tail, r.pieces = tail, tail.C
	r.ticker = time.NewTicker(progressEvery)
	r.tick = r.ticker.C
	return nil
}

func (r *reporter) close() {
	if r.token != nil && r.tail != nil {
		r.ticker.Stop()
		r.tail.Close()
	}
}

func (r *reporter) say(message string) {
	if r.token == nil {
		return
	}
	r.n++
	r.told = time.Now()
	// Whoever does not hear it gets the answer all the same.
	_ = r.session.NotifyProgress(r.ctx, &sdk.ProgressNotificationParams{ProgressToken: r.token, Progress: r.n, Message: cut(message, maxProgress)})
}

func (r *reporter) queued(id string) { r.say("queued as job " + id) }

// piece keeps the last line of what the tool has written.
func (r *reporter) piece(c jobs.LogChunk, open bool) {
	if !open {
		r.pieces = nil
		return
	}
	r.running = true
	text := r.partial[c.Stream] + string(c.Data)
	lines := strings.Split(text, "\n")
	rest := lines[len(lines)-1]
	r.partial[c.Stream] = rest[max(0, len(rest)-4*maxProgress):]
	for i := len(lines) - 1; i >= 0; i-- {
		if l := line(lines[i], maxProgress); l != "" {
			r.last = l
			return
		}
	}
}

// beat says what is new, at most once a tick.
func (r *reporter) beat(c *jobs.Client) {
	if !r.running && time.Since(r.looked) >= stateEvery {
		r.looked = time.Now()
		ctx, stop := context.WithTimeout(r.ctx, stateEvery)
		rec, err := c.Get(ctx, r.id)
		stop()
		if err == nil && rec.State == jobs.Running {
			r.running = true
			r.say("running on " + line(rec.Worker, 64))
			return
		}
	}
	switch {
	case r.last != "":
		r.say(r.last)
		r.last = ""
	case time.Since(r.told) >= aliveEvery:
		state := "waiting in the queue"
		if r.running {
			state = "running"
		}
		r.say(fmt.Sprintf("%s for %d s", state, int(time.Since(r.started).Seconds())))
	}
}
