package jobs

import (
	"container/heap"
	"slices"
	"time"
)

// Weights of what a tenant may have waiting: of 25 jobs that could come from
// any of these, 16 are High, 4 Normal, one is Low, which therefore never
// starves, and 4 come from the lanes of keys, however many keys there are.
var weights = [...]int{16, 4, 1, 4}

// Classes of a tenant's queues: the priorities in their order, then keys.
const (
	classKeys  = 3
	classCount = 4
)

// stride is what a turn costs a tenant of weight 1. It is divided by weights
// of up to MaxWeight, and a worker counts turns for years without overflow.
const stride = 1 << 20

// queue is one consumer as the dispatcher sees it.
type queue struct {
	name   string
	lane   lane
	line   *line
	class  int
	hot    bool      // may have jobs
	rung   bool      // a submitter said so a moment ago
	sure   bool      // has jobs, for all that is known
	ringed bool      // stands in its line's ring of keys
	share  int       // slots the current plan gives it
	at     int       // index in turns.all
	echoes int       // how often it was asked again since it was rung
	missed int       // lists in a row that did not name it
	lively time.Time // when it was last rung or gave a job
	listed bool      // among the lively
	gate   gate      // bounds starts by a rate; nil for none
	closed bool      // its gate let nothing through
	eager  bool      // and it was known to have jobs
	asked  bool      // for starts, since
}

// gate bounds how many jobs may start.
type gate interface {
	// take uses one place up, if there is one.
	take() bool
	// put gives places back that were taken and not used.
	put(n int)
}

// line is one tenant's queues.
type line struct {
	tenant  string
	weight  int
	queues  [classKeys]*queue // by priority; nil when there is no such consumer
	keyed   []*queue          // hot lanes of keys in the order of their turns
	hotKeys int               // how many of keyed are hot
	credit  [classCount]int   // smooth weighted round robin among the classes
	size    int               // consumers

	pass    uint64 // the virtual time of its next turn
	turn    uint64 // when it was last served, to order lines of equal pass
	at      int    // index in turns.ready; -1 when not there
	gate    gate   // counts and bounds the tenant's jobs; nil for none
	blocked bool   // its gate let nothing through
	asked   bool   // for places, since it was blocked
}

// turns says whose job a free slot is for. Tenants take turns by weight, one
// job at a time: it is start-time fair queueing, where a tenant that had
// nothing waiting comes in at the present virtual time and so is served next,
// whatever the others have waiting. Within a tenant the classes take turns by
// smooth weighted round robin. Only the dispatch goroutine touches it.
type turns struct {
	lines   map[string]*line
	names   map[string]*queue
	all     []*queue
	ready   lineHeap // lines that may be served, next first
	blocked []*line  // lines that wait for their gates
	closed  []*queue // queues that wait for theirs
	now     uint64   // virtual time
	served  uint64   // turns so far
	enter   func(tenant string) (weight int, g gate)
	key     func(queue string) gate // of a key's rate; nil for none
	alive   []*queue                // queues with something happening, in no order
	warmAll int                     // where the last poll of all ended
	warm    int                     // where that of the lively ended
}

func newTurns() *turns {
	return &turns{lines: map[string]*line{}, names: map[string]*queue{}, enter: func(string) (int, gate) { return 1, nil }, key: func(string) gate { return nil }}
}

// add takes a consumer in, unless it is known, and gives it. Its name must be
// one that consumerName gave.
func (t *turns) add(name string) *queue {
	if q := t.names[name]; q != nil {
		return q
	}
	tenant, ln := splitConsumer(name)
	l := t.lines[tenant]
	if l == nil {
		l = &line{tenant: tenant, at: -1}
		l.weight, l.gate = t.enter(tenant)
		t.lines[tenant] = l
	}
	q := &queue{name: name, lane: ln, line: l, class: classKeys, at: len(t.all)}
	if i := slices.Index(Priorities, Priority(ln)); i >= 0 {
		q.class = i
		l.queues[i] = q
	} else {
		q.gate = t.key(name)
	}
	l.size++
	t.names[name] = q
	t.all = append(t.all, q)
	t.heat(q)
	return q
}

// drop forgets a consumer that is gone.
func (t *turns) drop(q *queue) {
	t.cool(q)
	delete(t.names, q.name)
	last := t.all[len(t.all)-1]
	t.all[q.at], last.at = last, q.at
	t.all = t.all[:len(t.all)-1]
	t.open(q)
	t.alive = slices.DeleteFunc(t.alive, func(c *queue) bool { return c == q })
	l := q.line
	if q.class != classKeys {
		l.queues[q.class] = nil
	}
	if l.size--; l.size == 0 {
		t.unblock(l)
		delete(t.lines, l.tenant)
	}
}

// heat marks a queue as worth asking.
func (t *turns) heat(q *queue) {
	if q.hot {
		return
	}
	q.hot = true
	if q.class == classKeys {
		q.line.hotKeys++
		if !q.ringed {
			q.ringed = true
			q.line.keyed = append(q.line.keyed, q)
		}
	}
	t.line(q.line)
}

// cool marks a queue as empty.
func (t *turns) cool(q *queue) {
	if !q.hot {
		return
	}
	q.hot, q.rung, q.sure = false, false, false
	if q.class == classKeys {
		q.line.hotKeys-- // it leaves the ring when its turn comes
	}
	t.line(q.line)
}

// line puts a line among those that may be served, or takes it away.
func (t *turns) line(l *line) {
	hot := l.hotKeys > 0
	for _, q := range l.queues {
		hot = hot || q != nil && q.hot
	}
	switch hot = hot && !l.blocked; {
	case hot && l.at < 0:
		// No credit for the time it had nothing to be served.
		if len(t.ready) > 0 {
			t.now = t.ready[0].pass
		}
		l.pass = max(l.pass, t.now)
		heap.Push(&t.ready, l)
	case !hot && l.at >= 0:
		heap.Remove(&t.ready, l.at)
	}
}

// reweigh gives a line its weight anew, and lets it try its gate.
func (t *turns) reweigh(l *line, weight int) {
	l.weight = weight
	t.unblock(l)
}

// unblock lets a line try its gate again.
func (t *turns) unblock(l *line) {
	if l.blocked {
		l.blocked, l.asked = false, false
		t.blocked = slices.DeleteFunc(t.blocked, func(b *line) bool { return b == l })
		t.line(l)
	}
}

// reopen lets a queue try its gate again.
func (t *turns) reopen(q *queue) {
	t.open(q)
	t.heat(q)
}

// open takes a queue off those that wait for their gates.
func (t *turns) open(q *queue) {
	if q.closed {
		t.closed = slices.DeleteFunc(t.closed, func(c *queue) bool { return c == q })
		q.closed, q.eager, q.asked = false, false, false
	}
}

// enliven notes that something happened in a queue.
func (t *turns) enliven(q *queue, now time.Time) {
	q.lively = now
	if !q.listed {
		q.listed = true
		t.alive = append(t.alive, q)
	}
}

// Bounds on looking at queues nobody rang for, so that a fleet of thousands of
// tenants costs its workers no more than one of dozens.
const (
	livelyAtOnce = 64               // queues with something happening, each time
	quietAtOnce  = 16               // others, each time
	livelyFor    = 3 * AckWait      // a silent worker's job comes back within
	rescanEvery  = 10 * time.Second // between listings of all queues
)

// poll marks queues as worth asking that nobody rang for: in small fleets all
// of them, in large ones those with something happening and a few others.
func (t *turns) poll(now time.Time) {
	if len(t.all) <= livelyAtOnce {
		for _, q := range t.all {
			t.heat(q)
		}
		return
	}
	for range min(livelyAtOnce, len(t.alive)) {
		if len(t.alive) == 0 {
			break
		}
		t.warm %= len(t.alive)
		q := t.alive[t.warm]
		if now.Sub(q.lively) > livelyFor {
			q.listed = false
			t.alive[t.warm] = t.alive[len(t.alive)-1]
			t.alive = t.alive[:len(t.alive)-1]
			continue
		}
		t.heat(q)
		t.warm++
	}
	for range quietAtOnce {
		t.warmAll = (t.warmAll + 1) % len(t.all)
		t.heat(t.all[t.warmAll])
	}
}

// heatAll marks all queues as worth asking: something may have been missed.
func (t *turns) heatAll() {
	for _, q := range t.all {
		t.heat(q)
	}
}

// plan shares n slots among the hot queues and lists those that got any.
func (t *turns) plan(n int) []*queue {
	var list []*queue
	for range n {
		q := t.pick()
		if q == nil {
			break
		}
		if q.share == 0 {
			list = append(list, q)
		}
		q.share++
	}
	return list
}

// pick gives the queue whose turn it is, or nil when none may be served. The
// turn is paid for; refund takes the payment back.
func (t *turns) pick() *queue {
	for len(t.ready) > 0 {
		l := t.ready[0]
		if l.gate != nil && !l.gate.take() {
			l.blocked = true
			t.blocked = append(t.blocked, l)
			t.line(l)
			continue
		}
		q := l.pick()
		if q.gate != nil && !q.gate.take() {
			if q.sure && !q.eager {
				q.eager, q.asked = true, false
			}
			t.cool(q)
			if !q.closed {
				q.closed = true
				t.closed = append(t.closed, q)
			}
			if l.gate != nil {
				l.gate.put(1)
			}
			continue
		}
		t.now = l.pass
		l.pass += stride / uint64(l.weight)
		t.served++
		l.turn = t.served
		heap.Fix(&t.ready, l.at)
		return q
	}
	return nil
}

// refund takes back n turns of a queue that had not so many jobs.
func (t *turns) refund(q *queue, n int) {
	if n == 0 {
		return
	}
	l := q.line
	l.pass -= uint64(n) * (stride / uint64(l.weight))
	l.turn = 0 // among equals it is first: it was not served
	t.now = min(t.now, l.pass)
	if l.at >= 0 {
		heap.Fix(&t.ready, l.at)
	}
	if l.gate != nil {
		l.gate.put(n)
	}
	if q.gate != nil {
		q.gate.put(n)
	}
}

// pick is smooth weighted round robin: every class with hot queues earns its
// weight, the richest is served and pays what all earned together.
func (l *line) pick() *queue {
	best, total := -1, 0
	for class, w := range weights {
		if class == classKeys && l.hotKeys == 0 || class != classKeys && (l.queues[class] == nil || !l.queues[class].hot) {
			l.credit[class] = 0
			continue
		}
		total += w
		l.credit[class] += w
		if best < 0 || l.credit[class] > l.credit[best] {
			best = class
		}
	}
	l.credit[best] -= total
	if best != classKeys {
		return l.queues[best]
	}
	for {
		q := l.keyed[0]
		l.keyed = l.keyed[1:]
		if q.hot {
			l.keyed = append(l.keyed, q)
			return q
		}
		q.ringed = false
	}
}

// hotQueues names at most n queues that may have jobs, and tells whether any is
// known to.
func (l *line) hotQueues(n int) (names []string, sure bool) {
	look := func(q *queue) {
		if q != nil && q.hot {
			sure = sure || q.sure
			if len(names) < n {
				names = append(names, q.name)
			}
		}
	}
	for _, q := range l.queues {
		look(q)
	}
	for _, q := range l.keyed {
		look(q)
	}
	return names, sure
}

// lineHeap orders lines by the virtual time of their next turn.
type lineHeap []*line

func (h lineHeap) Len() int { return len(h) }
func (h lineHeap) Less(i, j int) bool {
	if h[i].pass != h[j].pass {
		return h[i].pass < h[j].pass
	}
	return h[i].turn < h[j].turn
}
func (h lineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push and Pop are for container/heap.
func (h *lineHeap) Push(x any) {
	l := x.(*line)
	l.at = len(*h)
	*h = append(*h, l)
}

func (h *lineHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	l.at = -1
	*h = old[:len(old)-1]
	return l
}
