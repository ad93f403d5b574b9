package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Get gives a job's record. A job that waits in the queue has none yet: then
// the record is made from its message, with State Queued.
func (c *Client) Get(ctx context.Context, id string) (*Record, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("job id %q is not 1 to 64 letters, digits, - or _", id)
	}
	rec, _, err := c.find(ctx, id)
	return rec, err
}

// find gives a job's record and its revision, 0 for a record made from a
// message in the queue. Between a look at the records and one at the queue a
// short job can run and be acknowledged: then its record is there by now.
func (c *Client) find(ctx context.Context, id string) (*Record, uint64, error) {
	rec, rev, err := c.record(ctx, id)
	if rec != nil || err != nil {
		return rec, rev, err
	}
	j, l, gone := c.queued(ctx, id)
	if gone == nil {
		rec = newRecord(j)
		rec.State = l.state()
		return rec, 0, nil
	}
	if _, missing := errors.AsType[*NotFoundError](gone); missing {
		if rec, rev, err = c.record(ctx, id); rec != nil || err != nil {
			return rec, rev, err
		}
	}
	return nil, 0, gone
}

// record reads a job's record; nil when there is none.
func (c *Client) record(ctx context.Context, id string) (*Record, uint64, error) {
	entry, err := c.status.Get(ctx, recordKey(c.tenant, id))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read the record of job %s: %w", id, err)
	}
	rec, err := decodeRecord(entry.Value())
	return rec, entry.Revision(), err
}

// queued reads the message of a job that is still in the queue, and the lane
// it is in.
func (c *Client) queued(ctx context.Context, id string) (*Job, lane, error) {
	stream, err := c.js.Stream(ctx, StreamJobs)
	if err != nil {
		return nil, "", fmt.Errorf("open the queue: %w", hintPublish(err))
	}
	m, err := stream.GetLastMsgForSubject(ctx, "jobs."+c.tenant+".*."+id)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, "", &NotFoundError{Kind: "job", Name: id, Hint: "list jobs with: submit list"}
	case err != nil:
		return nil, "", fmt.Errorf("look for job %s in the queue: %w", id, err)
	}
	_, l, _, _ := splitSubject(m.Subject)
	j, err := Decode(m.Data)
	return j, l, err
}

// Waiter follows jobs to their end. Workers announce finished records on core
// NATS; because such a message may be lost, what stays silent is looked up.
//
// One goroutine calls Next; others may call Expect and Left meanwhile, so that
// results are taken while jobs are still being submitted.
type Waiter struct {
	c     *Client
	sub   *nats.Subscription
	every time.Duration // shortest time between look-ups of silent jobs
	pace  time.Duration // the time now, longer when looking up takes long
	heard time.Time     // when an expected job was last announced, or a look-up made
	last  time.Time     // when records were last looked up

	mu      sync.Mutex
	now     bool // look records up at the next turn
	pending map[string]bool
	found   []*Record // looked up, to be given by Next
}

// reconcileEvery is how long a waiter lets expected jobs stay silent before it
// looks their records up. While some of them still end, the others are looked
// up every reconcileBusy times that.
const (
	reconcileEvery = 2 * time.Second
	reconcileBusy  = 8
)

// NewWaiter listens for the ends of a batch's jobs, of one job (batch "" and
// its id), or of all the tenant's jobs (both empty). Make it before
// submitting, so that no announcement is missed.
func (c *Client) NewWaiter(batch, id string) (*Waiter, error) {
	subject := "done." + c.tenant + "." + orStar(batch) + "." + orStar(id)
	sub, err := c.nc.SubscribeSync(subject)
	if err != nil {
		return nil, fmt.Errorf("listen for results: %w", err)
	}
	if err := sub.SetPendingLimits(1<<20, 512<<20); err != nil {
		return nil, fmt.Errorf("listen for results: %w", err)
	}
	now := time.Now()
	return &Waiter{c: c, sub: sub, pending: map[string]bool{}, every: reconcileEvery, pace: reconcileEvery, heard: now, last: now}, nil
}

func orStar(s string) string {
	if s == "" {
		return "*"
	}
	return s
}

// Close ends the listening.
func (w *Waiter) Close() { _ = w.sub.Unsubscribe() }

// Expect adds a job to wait for.
func (w *Waiter) Expect(id string) {
	w.mu.Lock()
	w.pending[id] = true
	w.mu.Unlock()
}

// find moves an ended job from the expected ones to those that Next gives.
func (w *Waiter) find(r *Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending[r.ID] {
		delete(w.pending, r.ID)
		w.found = append(w.found, r)
	}
}

// pop gives a job that was found, or nil.
func (w *Waiter) pop() *Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.found)
	if n == 0 {
		return nil
	}
	r := w.found[n-1]
	w.found = w.found[:n-1]
	return r
}

// strike takes a job off the expected ones; false if it was not expected.
func (w *Waiter) strike(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	expected := w.pending[id]
	delete(w.pending, id)
	return expected
}

func (w *Waiter) expects(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pending[id]
}

// LookNow makes the next call of Next look records up at once: for jobs that
// may have ended before they were expected.
func (w *Waiter) LookNow() {
	w.mu.Lock()
	w.now = true
	w.mu.Unlock()
}

// untilLook is how long to listen before records are looked up.
func (w *Waiter) untilLook() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now {
		return 0
	}
	return min(time.Until(w.heard.Add(w.pace)), time.Until(w.last.Add(reconcileBusy*w.pace)))
}

// Left is how many expected jobs Next has not given yet.
func (w *Waiter) Left() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending) + len(w.found)
}

// Ended is a job that has ended, with its record as the worker sent it.
type Ended struct {
	ID  string
	raw []byte
	rec *Record // when it was looked up
}

// Raw is the record's JSON, or nil when it was looked up. Nobody has checked
// it yet.
func (e *Ended) Raw() []byte { return e.raw }

// Record decodes the record. An error means that the announcement was not what
// a worker sends: expect the job again, and its record will be looked up.
func (e *Ended) Record() (*Record, error) {
	if e.rec != nil {
		return e.rec, nil
	}
	r, err := decodeRecord(e.raw)
	if err != nil {
		return nil, err
	}
	if r.State != Done || r.ID != e.ID || r.Result == nil {
		return nil, fmt.Errorf("the announcement of job %s holds no finished record of it", e.ID)
	}
	e.rec = r
	return r, nil
}

// Next gives the record of an expected job that has ended, each once. It
// blocks until there is one or ctx ends.
func (w *Waiter) Next(ctx context.Context) (*Record, error) {
	for {
		e, err := w.NextEnded(ctx)
		if err != nil {
			return nil, err
		}
		r, err := e.Record()
		if err == nil {
			return r, nil
		}
		w.Expect(e.ID)
		w.LookNow()
	}
}

// NextEnded is Next for those who read many records and need little of each:
// it leaves the decoding to them.
func (w *Waiter) NextEnded(ctx context.Context) (Ended, error) {
	for {
		if r := w.pop(); r != nil {
			return Ended{ID: r.ID, rec: r}, nil
		}
		if ctx.Err() != nil {
			return Ended{}, context.Cause(ctx)
		}
		until := w.untilLook()
		if until <= 0 {
			if err := w.lookUp(ctx); err != nil {
				return Ended{}, err
			}
			continue
		}
		// In short turns: LookNow and the end of ctx are noticed between them.
		m, err := w.sub.NextMsg(min(until, 100*time.Millisecond))
		switch {
		case errors.Is(err, nats.ErrTimeout):
			continue
		case errors.Is(err, nats.ErrSlowConsumer): // announcements were dropped; the records tell
			w.LookNow()
			continue
		case err != nil:
			return Ended{}, fmt.Errorf("listen for results: %w", err)
		}
		id := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
		if !w.strike(id) {
			continue
		}
		w.heard = time.Now()
		return Ended{ID: id, raw: m.Data}, nil
	}
}

// lookUp reconciles and sets the time of the next look.
func (w *Waiter) lookUp(ctx context.Context) error {
	w.mu.Lock()
	w.now = false
	w.mu.Unlock()
	start := time.Now()
	if err := w.reconcile(ctx); err != nil {
		return err
	}
	w.heard = time.Now()
	w.last = w.heard
	// It is a pass over all records when much is expected, and must stay a
	// small part of the time.
	w.pace = max(w.every, 20*w.heard.Sub(start))
	return nil
}

// reconcile looks up what is still expected: key by key when little is, in
// one pass over the tenant's records otherwise.
func (w *Waiter) reconcile(ctx context.Context) error {
	w.mu.Lock()
	var ids []string
	many := len(w.pending) > 256
	if !many {
		ids = slices.Collect(maps.Keys(w.pending))
	}
	w.mu.Unlock()
	if many {
		return w.scan(ctx)
	}
	for _, id := range ids {
		entry, err := w.c.status.Get(ctx, recordKey(w.c.tenant, id))
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			continue
		case err != nil:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return nil // NATS is away; the next look may succeed
		}
		if err := w.offer(entry.Value()); err != nil {
			return err
		}
	}
	return nil
}

func (w *Waiter) scan(ctx context.Context) error {
	for h, err := range w.c.RecordHeads(ctx) {
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return nil
		}
		if !h.Done || !w.expects(h.ID) {
			continue
		}
		r, err := h.Record()
		if err != nil {
			return err
		}
		w.find(r)
	}
	return nil
}

func (w *Waiter) offer(value []byte) error {
	r, err := decodeRecord(value)
	if err != nil {
		return err
	}
	if r.State == Done {
		w.find(r)
	}
	return nil
}
