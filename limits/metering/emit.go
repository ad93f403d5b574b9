package metering

// frameSlots is the part of a frame's weight that every function has: return
// address, saved registers and what the compiler keeps for itself.
const frameSlots = 8

// weight is the stack metered for one activation of a function, in bytes:
// 8 for each parameter, result, local and operand that stays on the stack
// across a call, and 64. Functions that use vectors count 16 for each operand.
func (b *body) weight() int64 {
	operands := uint64(max(b.height, 0))
	if b.vectors {
		operands *= 2
	}
	return int64(8 * (b.slots + operands + frameSlots))
}

// emitter writes the bodies of a rewritten module.
type emitter struct {
	m      *module
	inj    *injection
	plan   planner
	b      body
	out    []byte // code section entries
	buf    []byte // the body being written
	copied int    // how far the input is in buf
	stats  Stats

	wrapped bool
	weigh   int64
	temp    uint32 // index of the added local for lengths
	depth   []kind // open blocks while writing

	// In loops that call nothing a local holds what the fuel global holds.
	// Every update still goes to the global, so a trap leaves the right count,
	// but none waits for what the one before has stored.
	local uint32 // index of that local
	since int    // number of open blocks around the outermost such loop, or -1
}

// function rewrites one body and appends it to out.
func (e *emitter) function(f int) error {
	if err := e.m.scan(f, &e.b); err != nil {
		return err
	}
	b := &e.b
	index := e.m.importedFuncs + f
	called := e.m.addressed != nil && e.m.addressed[index]
	small := !b.calls && !b.tailCalls && !b.loops && !b.bulk && b.ops <= smallLeaf
	checked := called || !small
	e.wrapped = b.calls
	e.weigh = b.weight()
	b.plan(&e.plan, e.wrapped, checked)

	e.buf = e.buf[:0]
	groups := b.ngroup
	if b.bulk {
		groups++
	}
	if b.shadow {
		groups++
	}
	e.buf = appendU32(e.buf, groups)
	e.buf = append(e.buf, b.groups...)
	next := b.locals
	if b.bulk {
		e.temp = next
		e.buf = append(e.buf, 1, byte(I32))
		next++
	}
	e.local, e.since = next, -1
	if b.shadow {
		e.buf = append(e.buf, 1, byte(I64))
	}
	e.stats.Functions++
	e.depth = e.depth[:0]
	e.copied = int(b.events[0].pos)
	for i := range b.events {
		e.event(&b.events[i], checked)
	}
	e.out = appendU32(e.out, uint32(len(e.buf)))
	e.out = append(e.out, e.buf...)
	return nil
}

// event writes the input up to the event, what is injected there, and the
// operator itself if it changes.
func (e *emitter) event(ev *event, checked bool) {
	e.buf = append(e.buf, e.b.code[e.copied:ev.pos]...)
	e.copied = int(ev.pos)
	switch ev.kind {
	case evEntry:
		e.entry(ev, checked)
		return
	case evEnd:
		e.end(ev)
		return
	}
	if ev.live {
		e.take(ev.flush)
	}
	switch ev.kind {
	case evBlock, evIf:
		e.depth = append(e.depth, ev.kind)
	case evLoop:
		if ev.live {
			if e.since < 0 && !ev.called {
				e.since = len(e.depth)
				e.buf = appendU32(append(e.buf, opGlobalGet), e.inj.fuel)
				e.buf = appendU32(append(e.buf, opLocalSet), e.local)
			}
			e.original(ev)
		}
		e.depth = append(e.depth, ev.kind)
		if ev.live {
			e.check(ev.extra)
		}
	case evCheck:
		if ev.live {
			e.check(ev.extra)
		}
	case evReturn:
		if ev.live && e.wrapped {
			e.copied = int(ev.end)
			e.buf = appendU32(append(e.buf, opBr), uint32(len(e.depth)))
		}
	case evCall:
		e.copied = int(ev.end)
		e.buf = appendU32(append(e.buf, opCall), e.m.remap(ev.arg))
	case evRefFunc:
		e.copied = int(ev.end)
		e.buf = appendU32(append(e.buf, opRefFunc), e.m.remap(ev.arg))
	case evReturnCall:
		e.leave(ev)
		e.copied = int(ev.end)
		e.buf = appendU32(append(e.buf, opReturnCall), e.m.remap(ev.arg))
	case evReturnCallIndirect:
		e.leave(ev)
	case evFill:
		e.bulkMemory(ev, e.inj.fill())
	case evCopy:
		e.bulkMemory(ev, e.inj.copy())
	case evBulk:
		e.pollAbove(ev, bulkInline)
	case evTableBulk:
		e.pollAbove(ev, tableInline)
	case evTableGrow:
		if ev.live {
			e.copied = int(ev.end)
			e.buf = appendU32(append(e.buf, opCall), e.inj.tableGrow(ev.arg))
		}
	}
}

// original copies the operator of the event.
func (e *emitter) original(ev *event) {
	e.buf = append(e.buf, e.b.code[e.copied:ev.end]...)
	e.copied = int(ev.end)
}

func (e *emitter) entry(ev *event, checked bool) {
	if checked {
		e.check(ev.extra)
	}
	if e.wrapped {
		s := e.inj.stack
		e.buf = e.adjust(e.buf, s, e.weigh)
		e.buf = appendU32(append(e.buf, opGlobalGet), s)
		e.buf = append(e.buf, opI64Const, 0, opI64GeS, opIf, blockEmpty, opElse)
		e.buf = appendU32(append(e.buf, opCall), e.inj.overflow)
		e.buf = append(e.buf, opEnd, opBlock)
		e.buf = e.inj.appendBlockType(e.buf, e.b.typ.Results)
		e.stats.StackChecks++
	}
}

// end writes the end of a block or of the function.
func (e *emitter) end(ev *event) {
	if ev.live {
		e.take(ev.flush)
	}
	if n := len(e.depth); n > 0 {
		e.depth = e.depth[:n-1]
		if ev.extra != 0 {
			e.buf = append(e.buf, opElse)
			e.take(ev.extra)
		}
		e.original(ev)
		if len(e.depth) == e.since {
			e.since = -1
		}
		return
	}
	if e.wrapped {
		e.buf = append(e.buf, opEnd)
		e.take(ev.extra)
		e.buf = e.adjust(e.buf, e.inj.stack, -e.weigh)
	}
	e.original(ev)
}

// leave gives the frame's stack back before a tail call.
func (e *emitter) leave(ev *event) {
	if ev.live && e.wrapped {
		e.buf = e.adjust(e.buf, e.inj.stack, -e.weigh)
	}
}

// adjust subtracts an amount from a global.
func (e *emitter) adjust(b []byte, global uint32, amount int64) []byte {
	b = appendU32(append(b, opGlobalGet), global)
	b = appendSleb(append(b, opI64Const), amount)
	b = append(b, opI64Sub)
	return appendU32(append(b, opGlobalSet), global)
}

// take subtracts fuel.
func (e *emitter) take(amount int64) {
	if amount == 0 {
		return
	}
	e.stats.Updates++
	if e.since < 0 {
		e.buf = e.adjust(e.buf, e.inj.fuel, amount)
		return
	}
	b := appendU32(append(e.buf, opLocalGet), e.local)
	b = appendSleb(append(b, opI64Const), amount)
	b = appendU32(append(b, opI64Sub, opLocalTee), e.local)
	e.buf = appendU32(append(b, opGlobalSet), e.inj.fuel)
}

// check charges ahead in advance and asks the host if the fuel before that was
// used up. The host is asked in the else branch: with the condition the other
// way round wazero reloads every local of a loop in every iteration.
func (e *emitter) check(ahead int64) {
	e.take(ahead)
	b := e.buf
	if e.since < 0 {
		b = appendU32(append(b, opGlobalGet), e.inj.fuel)
	} else {
		b = appendU32(append(b, opLocalGet), e.local)
	}
	b = appendSleb(append(b, opI64Const), -ahead)
	b = append(b, opI64GtS, opIf, blockEmpty, opElse)
	b = appendSleb(append(b, opI64Const), ahead)
	b = appendU32(append(b, opCall), e.inj.refill)
	if e.since >= 0 {
		b = appendU32(append(b, opGlobalGet), e.inj.fuel)
		b = appendU32(append(b, opLocalSet), e.local)
	}
	e.buf = append(b, opEnd)
	e.stats.Checks++
}

// bulkMemory replaces memory.fill or memory.copy: small ones run as they are,
// larger ones in a function that does them in pieces and polls in between.
func (e *emitter) bulkMemory(ev *event, pieces uint32) {
	if !ev.live {
		return
	}
	b := appendU32(append(e.buf, opLocalTee), e.temp)
	b = appendSleb(append(b, opI32Const), bulkInline)
	b = append(b, opI32LeU, opIf)
	b = appendSleb(b, int64(e.inj.pairType()))
	b = appendU32(append(b, opLocalGet), e.temp)
	b = append(b, e.b.code[ev.pos:ev.end]...)
	b = append(b, opElse)
	b = appendU32(append(b, opLocalGet), e.temp)
	b = appendU32(append(b, opCall), pieces)
	e.buf = append(b, opEnd)
	e.copied = int(ev.end)
}

// pollAbove polls before an operator whose length is above limit.
func (e *emitter) pollAbove(ev *event, limit int64) {
	if !ev.live {
		return
	}
	b := appendU32(append(e.buf, opLocalTee), e.temp)
	b = appendSleb(append(b, opI32Const), limit)
	b = append(b, opI32GtU, opIf, blockEmpty)
	b = appendU32(append(b, opCall), e.inj.poll())
	b = append(b, opEnd)
	e.buf = appendU32(append(b, opLocalGet), e.temp)
}
