package fleetview

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/jobs"
)

// Source is the connection that a View looks through.
type Source struct {
	Conn   *nats.Conn
	Stream jetstream.JetStream
	// Client says whose jobs are watched.
	Client *jobs.Client
}

// View is a live picture of a fleet. Make it with New, let Run keep it, and
// look at it from any goroutine.
type View struct {
	src    Source
	offset time.Duration // the server's clock before ours

	mu       sync.Mutex
	book     *book
	loaded   bool // the records there were at the start are read
	gauges   map[int64]gauge
	now      gauge
	queues   []Queue
	workers  []Worker
	problems map[string]string // by what could not be read
	snapshot *Snapshot
	changed  chan struct{} // closed at the next snapshot

	queued queuedPage // what waits, as last read for a list
}

// gauge is what was read of queues and workers at one time.
type gauge struct{ waiting, active, busy, slots int }

// New makes a View; it asks for nothing yet.
func New(src Source) *View {
	v := &View{src: src, book: newBook(), gauges: map[int64]gauge{}, problems: map[string]string{}, changed: make(chan struct{})}
	v.snapshot = &Snapshot{At: time.Now().UTC(), Tenant: src.Client.Tenant(), Connected: src.Conn.IsConnected()}
	fill(v.snapshot)
	return v
}

// Tenant is whose jobs the View is of.
func (v *View) Tenant() string { return v.src.Client.Tenant() }

// Snapshot gives the newest picture and a channel that is closed when there is
// a newer one.
func (v *View) Snapshot() (*Snapshot, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.snapshot, v.changed
}

// Loaded tells whether the jobs that were known at the start have been read.
func (v *View) Loaded() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.loaded
}

// Run keeps the picture until ctx ends. What fails meanwhile is a problem in
// the picture and is tried again.
func (v *View) Run(ctx context.Context) {
	v.offset = time.Until(v.src.Client.Now(ctx))
	var all sync.WaitGroup
	all.Go(func() { v.followRecords(ctx) })
	all.Go(func() { v.pollQueues(ctx) })
	all.Go(func() { v.pollWorkers(ctx) })
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		v.take()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	all.Wait()
}

// take makes a new snapshot of what is known now.
func (v *View) take() {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gauges[now.Unix()] = v.now
	for t := range v.gauges {
		if t < now.Add(-seriesFor).Unix() {
			delete(v.gauges, t)
		}
	}
	b := v.book
	b.forget(now)
	s := &Snapshot{
		At: now.UTC(), Tenant: v.Tenant(), Connected: v.src.Conn.IsConnected(), Queues: v.queues,
		Waiting: v.now.waiting, Active: v.now.active, Busy: v.now.busy, Slots: v.now.slots,
		Failures: newest(b.fails), Ended: newest(b.done), Running: b.longest(), RunningAll: len(b.running), Known: len(b.known), Older: b.older,
		Series: b.series(v.gauges, now),
	}
	b.figures(s, now)
	on := map[string]int{}
	for _, e := range b.running {
		on[e.Worker]++
	}
	for _, w := range v.workers {
		w.Running = on[w.Name]
		s.Workers = append(s.Workers, w)
	}
	if !s.Connected {
		s.Problems = append(s.Problems, "the queue cannot be reached; this is what was known last")
	}
	var what []string
	for k := range v.problems {
		what = append(what, k)
	}
	slices.Sort(what)
	for _, k := range what {
		s.Problems = append(s.Problems, Plain(k+": "+v.problems[k]))
	}
	fill(s)
	v.snapshot = s
	close(v.changed)
	v.changed = make(chan struct{})
}

// fill gives a snapshot its empty lists instead of null.
func fill(s *Snapshot) {
	s.Problems, s.Workers, s.Queues = orEmpty(s.Problems), orEmpty(s.Workers), orEmpty(s.Queues)
	s.Phases, s.Tools = orEmpty(s.Phases), orEmpty(s.Tools)
	s.Failures, s.Ended, s.Running, s.Series = orEmpty(s.Failures), orEmpty(s.Ended), orEmpty(s.Running), orEmpty(s.Series)
	if s.Counts == nil {
		s.Counts = map[jobs.Outcome]int{}
	}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// problem notes that something cannot be read, or with nil that it can.
func (v *View) problem(what string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		delete(v.problems, what)
		return
	}
	v.problems[what] = short(err.Error(), maxError)
}

// pause waits between two looks; false at the end of ctx.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
