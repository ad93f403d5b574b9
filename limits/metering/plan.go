package metering

// The plan of a function says where how much fuel is taken from the global.
//
// At every place in the body some fuel is pending: spent by operators already
// run but not yet taken from the global (or, if negative, taken in advance).
// It is a constant of the place. Where ways join, at the end of a block, the
// first way that is read fixes what is pending there and the other ways take
// the difference before they branch. Nothing may be pending at loop headers,
// calls, checks, unreachable and the end of the function, so what the host
// sees is exact.
//
// Loop headers and entries compare the global with zero and so have it at
// hand; there the cost of the way ahead, up to the next place where nothing
// may be pending, is charged in advance. Then a loop of one straight line
// updates the global once per iteration. How much is charged in advance
// changes nothing but speed: whatever the guess, each way takes the difference
// where it leaves. A first run over the events makes the guess, a second one
// uses it.

// label is an open block, loop, if or function while planning.
type label struct {
	kind   kind
	event  int32
	fixed  bool  // pending and origin are set: some way leads here
	pinned bool  // nothing may be pending here
	before int64 // pending at the if
	alive  bool  // the if was reached
	begun  int32 // origin at the if

	pending int64
	origin  int32
}

type planner struct {
	b       *body
	guess   bool // first run: find out what to charge in advance
	wrapped bool // the function has an epilogue, so its end is a label like others

	pending int64
	live    bool
	// origin is the entry, loop or check since which all of pending was spent,
	// or -1. It is the event whose charge in advance is being guessed.
	origin int32
	labels []label

	guesses []guess // by event
}

// guess is the best place found so far to settle what an origin charges in
// advance: the one in the fewest blocks.
type guess struct {
	depth  int32
	amount int64
}

// plan fills in the second group of fields of every event.
func (b *body) plan(p *planner, wrapped, checkEntry bool) {
	p.b, p.wrapped = b, wrapped
	if cap(p.guesses) < len(b.events) {
		p.guesses = make([]guess, len(b.events)*2)
	}
	p.guesses = p.guesses[:len(b.events)]
	for i := range p.guesses {
		p.guesses[i].depth = -1
	}
	if !checkEntry {
		// Without a check the entry does not touch the global, and taking all
		// where the function returns is best.
		p.guesses[0] = guess{depth: 0}
	}
	p.guess = true
	p.run()
	p.guess = false
	p.run()
}

// ahead is what an entry, loop or check charges in advance.
func (p *planner) ahead(i int) int64 {
	if p.guess {
		return 0
	}
	return p.guesses[i].amount
}

// settle takes all that is pending before event e.
func (p *planner) settle(e *event) {
	if !p.live {
		return
	}
	p.candidate(p.pending)
	e.flush = p.pending
	p.pending = 0
	p.origin = -1
}

// candidate says that amount has to be taken here.
func (p *planner) candidate(amount int64) {
	if !p.guess || p.origin < 0 {
		return
	}
	g := &p.guesses[p.origin]
	if depth := int32(len(p.labels)); g.depth < 0 || depth < g.depth {
		*g = guess{depth: depth, amount: amount}
	}
}

// branch lets the current way lead to l.
func (p *planner) branch(l *label, e *event) {
	switch {
	case !p.live:
	case l.kind == evLoop, l.pinned:
		p.settle(e)
		l.fixed, l.pending, l.origin = true, 0, -1
	case !l.fixed:
		l.fixed, l.pending, l.origin = true, p.pending, p.origin
	default:
		e.flush = p.pending - l.pending
		p.pending, p.origin = l.pending, l.origin
	}
}

func (p *planner) header(i int) {
	p.pending = -p.ahead(i)
	p.origin = int32(i)
}

func (p *planner) run() {
	p.labels = p.labels[:0]
	p.live = true
	events := p.b.events
	for i := range events {
		e := &events[i]
		e.live = p.live
		e.flush, e.extra = 0, 0
		if p.live {
			p.pending += int64(e.cost)
		}
		top := len(p.labels) - 1
		switch e.kind {
		case evEntry:
			p.labels = append(p.labels, label{kind: evEntry, pinned: e.pinned || !p.wrapped})
			p.header(i)
			e.extra = p.ahead(i)
			p.pending++ // the entry itself
		case evBlock:
			p.labels = append(p.labels, label{kind: evBlock, event: int32(i), pinned: e.pinned})
		case evLoop:
			p.settle(e)
			p.labels = append(p.labels, label{kind: evLoop, event: int32(i)})
			p.header(i)
			e.extra = p.ahead(i)
		case evIf:
			l := label{kind: evIf, event: int32(i), pinned: e.pinned,
				before: p.pending, alive: p.live, begun: p.origin}
			if !e.hasElse && p.live && !e.pinned {
				// The way past the then branch leads straight to the end.
				l.fixed, l.pending, l.origin = true, p.pending, p.origin
			}
			p.labels = append(p.labels, l)
		case evElse:
			l := &p.labels[top]
			p.branch(l, e)
			p.pending, p.live, p.origin = l.before, l.alive, l.begun
		case evEnd:
			p.end(e, &p.labels[top])
			p.labels = p.labels[:top]
		case evBr:
			p.branch(&p.labels[top-int(e.arg)], e)
			p.live = false
		case evBrIf:
			p.branch(&p.labels[top-int(e.arg)], e)
		case evBrTable:
			p.settle(e)
			for _, d := range p.b.targets[e.arg : e.arg+e.n] {
				if l := &p.labels[top-int(d)]; p.live && l.kind != evLoop {
					l.fixed, l.pending, l.origin = true, 0, -1
				}
			}
			p.live = false
		case evReturn:
			p.branch(&p.labels[0], e)
			p.live = false
		case evUnreachable, evReturnCall, evReturnCallIndirect:
			p.settle(e)
			p.live = false
		case evCall, evCallIndirect, evTrap:
			p.settle(e)
		case evCheck:
			p.settle(e)
			p.header(i)
			e.extra = p.ahead(i)
		}
	}
}

// end closes a label.
func (p *planner) end(e *event, l *label) {
	if l.kind == evLoop {
		return // its label is at the head; the end is only passed
	}
	p.branch(l, e)
	if l.kind == evIf && l.alive && !p.b.events[l.event].hasElse && l.pinned {
		// The way past the then branch reaches a label with nothing pending.
		e.extra = l.before
		l.fixed, l.pending, l.origin = true, 0, -1
	}
	p.live = l.fixed
	p.pending, p.origin = l.pending, l.origin
	if l.kind == evEntry && p.live && !l.pinned {
		p.candidate(p.pending)
		e.extra = p.pending
	}
}
