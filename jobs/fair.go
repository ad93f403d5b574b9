package jobs

import "strings"

// Weights of a tenant's priorities: of 21 jobs that could come from any of
// them, 16 are High, 4 Normal and one is Low, which therefore never starves.
var weights = map[Priority]int{High: 16, Normal: 4, Low: 1}

// queue is one consumer as the dispatcher sees it.
type queue struct {
	name   string
	weight int
	credit int  // smooth weighted round robin among the tenant's queues
	hot    bool // may have jobs
	rung   bool // a submitter said so a moment ago
	share  int  // slots the current plan gives it
}

// line is one tenant's queues.
type line struct {
	tenant string
	queues []*queue
}

// turns says whose job a free slot is for: tenants take turns one job at a
// time, and within a tenant the priorities by weight. Only the dispatch
// goroutine touches it.
type turns struct {
	lines []*line
	next  int // index into lines of whose turn it is
	names map[string]*queue
	warm  int // where the last poll ended
	all   []*queue
}

func newTurns() *turns { return &turns{names: map[string]*queue{}} }

// add takes a consumer in, unless it is known.
func (t *turns) add(name string) {
	if t.names[name] != nil {
		return
	}
	tenant, p := splitConsumer(name)
	q := &queue{name: name, weight: max(1, weights[p]), hot: true}
	t.names[name] = q
	t.all = append(t.all, q)
	for _, l := range t.lines {
		if l.tenant == tenant {
			l.queues = append(l.queues, q)
			return
		}
	}
	t.lines = append(t.lines, &line{tenant: tenant, queues: []*queue{q}})
}

// splitConsumer reads a name that consumerName gave. Tenants may contain -.
func splitConsumer(name string) (tenant string, p Priority) {
	name = strings.TrimPrefix(name, "q-")
	i := max(0, strings.LastIndexByte(name, '-'))
	return name[:i], Priority(strings.TrimPrefix(name[i:], "-"))
}

// heat marks at most n queues, the next ones in turn, as worth asking.
func (t *turns) heat(n int) {
	for range min(n, len(t.all)) {
		t.warm = (t.warm + 1) % len(t.all)
		t.all[t.warm].hot = true
	}
}

// plan shares n slots among the hot queues and lists those that got any. Rung
// ones come last: asking them may take a moment.
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
	rung := 0
	for i := range list {
		if k := len(list) - 1 - i; list[k].rung {
			rung++
			list[k], list[len(list)-rung] = list[len(list)-rung], list[k]
		}
	}
	return list
}

// pick gives the queue whose turn it is, or nil when none is hot.
func (t *turns) pick() *queue {
	for i := range t.lines {
		at := (t.next + i) % len(t.lines)
		if q := t.lines[at].pick(); q != nil {
			t.next = (at + 1) % len(t.lines)
			return q
		}
	}
	return nil
}

// pick is smooth weighted round robin: every hot queue earns its weight, the
// richest is served and pays what all earned together.
func (l *line) pick() *queue {
	var best *queue
	total := 0
	for _, q := range l.queues {
		if !q.hot {
			q.credit = 0
			continue
		}
		total += q.weight
		q.credit += q.weight
		if best == nil || q.credit > best.credit {
			best = q
		}
	}
	if best != nil {
		best.credit -= total
	}
	return best
}
