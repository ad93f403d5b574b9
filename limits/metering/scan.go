package metering

// checkDistance is the largest number of operators, weighted by what they may
// cost, that a path runs through without asking whether to stop. Loops and
// calls ask more often; this bounds very long straight code.
const checkDistance = 1 << 14

// Weights of operators in checkDistance.
const (
	callDistance = smallLeaf // a call may run an unchecked leaf function
	bulkDistance = 512       // up to bulkInline bytes, perhaps fresh pages
)

// smallLeaf is the number of operators up to which a function without loops
// and calls is not checked at its entry.
const smallLeaf = 128

// bulkInline is the number of bytes up to which memory.fill, memory.copy and
// memory.init run without further questions.
const bulkInline = 4 << 10

// tableInline is the same for elements of table operators.
const tableInline = 512

// kind of an event.
type kind byte

const (
	evEntry kind = iota
	evBlock
	evLoop
	evIf
	evElse
	evEnd
	evBr
	evBrIf
	evBrTable
	evReturn
	evUnreachable
	evCall
	evCallIndirect
	evReturnCall
	evReturnCallIndirect
	evRefFunc
	evFill
	evCopy
	evBulk      // memory.init: poll before large ones
	evTableBulk // table.init, table.copy, table.fill: the same
	evTableGrow
	evTrap  // an operator that can trap, if traps are to be exact
	evCheck // nothing in the input: a check because the code is long
)

// event is a place in a function body where something may be injected or
// changed. scan writes the first group of fields, plan the second.
type event struct {
	kind     kind
	pinned   bool   // on openers: the label must be reached with nothing pending
	hasElse  bool   // on evIf
	called   bool   // on evLoop: something in it is called
	pos, end int32  // the operator's bytes in the body
	cost     int32  // fuel since the event before, this operator included
	arg      uint32 // label depth, function index, table index; evBrTable: index of its first target
	n        uint32 // evBrTable: number of targets

	live  bool
	flush int64 // to take from the global before the operator
	extra int64 // evEntry, evLoop, evCheck: charged in advance; evEnd: to take on the way that skips the then branch, or after the end of the function
}

// body is one function as read by scan. Its slices are reused.
type body struct {
	code   []byte // locals and operators
	base   int
	typ    FuncType
	groups []byte // local declarations as in the input
	ngroup uint32
	locals uint32 // parameters and declared locals

	events  []event
	targets []uint32 // of all br_tables

	calls     bool // has calls that are not tail calls
	shadow    bool // has loops that call nothing
	tailCalls bool
	loops     bool
	bulk      bool   // needs a local for a length
	ops       int    // operators
	slots     uint64 // 8-byte slots of parameters, results and locals
	height    int    // most operands below the arguments of any call
	vectors   bool

	ctrl []scope
}

// scope is an open block, loop, if or function while scanning.
type scope struct {
	event           int32
	kind            kind
	height          int
	params, results int
	called          bool
	dist            int // at the label so far
	dist0           int // at the if
}

// scan reads one function body, checks every index in it and lists its events.
func (m *module) scan(f int, b *body) error {
	r := m.bodies[f] // a copy: positions are ours
	b.reset()
	b.code, b.base = r.b, r.base
	b.typ = m.types[m.funcs[m.importedFuncs+f]]
	if err := m.scanLocals(&r, b); err != nil {
		return err
	}
	s := scanner{m: m, b: b, r: &r}
	s.run()
	if r.err == nil && r.len() > 0 {
		r.fail("%d bytes after the end of a function", r.len())
	}
	return r.err
}

func (b *body) reset() {
	*b = body{events: b.events[:0], targets: b.targets[:0], ctrl: b.ctrl[:0]}
}

func (m *module) scanLocals(r *reader, b *body) error {
	n := r.count(2)
	at := r.pos
	total := uint64(len(b.typ.Params))
	slots := uint64(0)
	for _, t := range b.typ.Params {
		slots += slotsOf(t)
	}
	for _, t := range b.typ.Results {
		slots += slotsOf(t)
	}
	for i := 0; i < n && r.err == nil; i++ {
		k := r.u32()
		t := r.valueType()
		total += uint64(k)
		slots += uint64(k) * slotsOf(t)
	}
	if r.err != nil {
		return r.err
	}
	if total > m.cfg.MaxFunctionLocals {
		return &TooLargeError{What: "locals of a function", Size: total, Max: m.cfg.MaxFunctionLocals}
	}
	b.groups, b.ngroup, b.locals, b.slots = r.b[at:r.pos], uint32(n), uint32(total), slots
	return nil
}

func slotsOf(t ValueType) uint64 {
	if t == V128 {
		return 2
	}
	return 1
}

type scanner struct {
	m      *module
	b      *body
	r      *reader
	height int
	dist   int
	cost   int32
	// length is the value of the i32.const directly before, or -1: bulk
	// operators of a small constant length need nothing.
	length int64
}

func (s *scanner) add(k kind, pos int, arg uint32) *event {
	s.b.events = append(s.b.events, event{kind: k, pos: int32(pos), end: int32(s.r.pos), cost: s.cost, arg: arg})
	s.cost = 0
	return &s.b.events[len(s.b.events)-1]
}

func (s *scanner) open(k kind, params, results int) {
	s.height -= params
	s.b.ctrl = append(s.b.ctrl, scope{event: int32(len(s.b.events) - 1), kind: k, height: s.height,
		params: params, results: results, dist0: s.dist})
	s.height += params
}

func (s *scanner) run() {
	s.add(evEntry, s.r.pos, 0)
	s.open(evEntry, 0, len(s.b.typ.Results))
	for len(s.b.ctrl) > 0 {
		if s.r.err != nil {
			return
		}
		if s.dist > checkDistance {
			s.add(evCheck, s.r.pos, 0)
			s.dist = 0
		}
		s.operator()
	}
}

func (s *scanner) operator() {
	r := s.r
	pos := r.pos
	op := r.byte()
	if r.err != nil {
		return
	}
	code := &opcodes[op]
	s.b.ops++
	s.dist++
	s.cost++
	length := int64(-1)
	if code.traps && s.m.cfg.PreciseTraps {
		defer func() { s.add(evTrap, pos, 0) }()
	}
	switch code.imm {
	case immNone:
	case immMemarg:
		s.memarg()
	case immI32:
		length = r.sleb(32)
	case immI64:
		r.sleb(64)
	case immF32:
		r.bytes(4)
	case immF64:
		r.bytes(8)
	case immControl:
		s.control(op, pos)
	default:
		r.pos = pos
		if feature := unsupportedOp(op); feature != "" {
			r.unsupported(feature)
		} else {
			r.fail("unknown operator %#x", op)
		}
		return
	}
	s.height += int(code.delta)
	s.length = length
}

func (s *scanner) memarg() {
	if align := s.r.u32(); align >= 32 {
		s.r.fail("alignment 2^%d of a memory access", align)
	}
	s.r.u32()
	s.memory()
}

func (s *scanner) memory() {
	if s.r.err == nil && len(s.m.memories) == 0 {
		s.r.fail("memory 0 does not exist")
	}
}

// memoryByte reads the index of a memory where only memory 0 exists: one zero
// byte, since decoders differ on longer encodings of zero.
func (s *scanner) memoryByte() {
	if c := s.r.byte(); s.r.err == nil && c != 0 {
		s.r.pos--
		s.r.unsupported("multi-memory")
	}
	s.memory()
}

func (s *scanner) table() uint32 {
	t := s.r.u32()
	if s.r.err == nil && int64(t) >= int64(len(s.m.tables)) {
		s.r.fail("table %d does not exist, the module has %d", t, len(s.m.tables))
		return 0
	}
	return t
}

func (s *scanner) local() {
	if i := s.r.u32(); s.r.err == nil && i >= s.b.locals {
		s.r.fail("local %d does not exist, the function has %d", i, s.b.locals)
	}
}

func (s *scanner) global() {
	if i := s.r.u32(); s.r.err == nil && int64(i) >= int64(s.m.globals) {
		s.r.fail("global %d does not exist, the module has %d", i, s.m.globals)
	}
}

// blockType reads a block type and gives the numbers of its values.
func (s *scanner) blockType() (params, results int) {
	r := s.r
	if r.err == nil && r.len() > 0 {
		switch c := r.b[r.pos]; {
		case c == blockEmpty:
			r.pos++
			return 0, 0
		case c&0x80 == 0 && c&0x40 != 0: // a negative number: a value type
			r.valueType()
			return 0, 1
		}
	}
	t := r.sleb(33)
	if r.err == nil && (t < 0 || t >= int64(len(s.m.types))) {
		r.fail("block type %d does not exist, the module has %d types", t, len(s.m.types))
	}
	if r.err != nil {
		return 0, 0
	}
	typ := s.m.types[t]
	return len(typ.Params), len(typ.Results)
}

// label reads a label and gives its scope.
func (s *scanner) label() (depth uint32, target *scope) {
	depth = s.r.u32()
	if s.r.err == nil && int64(depth) >= int64(len(s.b.ctrl)) {
		s.r.fail("label %d does not exist, %d blocks are open", depth, len(s.b.ctrl))
	}
	if s.r.err != nil {
		return 0, &s.b.ctrl[len(s.b.ctrl)-1]
	}
	return depth, &s.b.ctrl[len(s.b.ctrl)-1-int(depth)]
}

// reach notes that a branch leads to the label.
func (s *scanner) reach(target *scope) {
	if target.kind != evLoop {
		target.dist = max(target.dist, s.dist)
	}
}

// called notes a call with the given signature.
func (s *scanner) called(t FuncType) {
	s.height -= len(t.Params)
	s.b.height = max(s.b.height, s.height)
	s.height += len(t.Results)
	s.dist += callDistance
	s.b.ctrl[len(s.b.ctrl)-1].called = true
}

func (s *scanner) control(op byte, pos int) {
	r, b := s.r, s.b
	switch op {
	case opNop, opDrop:
		s.cost--
	case opUnreachable:
		s.cost--
		s.add(evUnreachable, pos, 0)
	case opBlock:
		s.cost--
		p, n := s.blockType()
		s.add(evBlock, pos, 0)
		s.open(evBlock, p, n)
	case opLoop:
		s.cost--
		p, n := s.blockType()
		b.loops = true
		s.dist = 0
		s.add(evLoop, pos, 0)
		s.open(evLoop, p, n)
	case opIf:
		s.height--
		p, n := s.blockType()
		s.add(evIf, pos, 0)
		s.open(evIf, p, n)
	case opElse:
		s.cost--
		top := &b.ctrl[len(b.ctrl)-1]
		if top.kind != evIf {
			r.fail("else without if")
			return
		}
		s.reach(top)
		top.kind = evElse
		b.events[top.event].hasElse = true
		s.height = top.height + top.params
		s.dist = top.dist0
		s.add(evElse, pos, 0)
	case opEnd:
		s.cost--
		top := b.ctrl[len(b.ctrl)-1]
		if top.kind == evIf { // the way past the then branch
			s.dist = max(s.dist, top.dist0)
		}
		s.dist = max(s.dist, top.dist)
		s.height = top.height + top.results
		b.ctrl = b.ctrl[:len(b.ctrl)-1]
		if top.called && len(b.ctrl) > 0 {
			b.ctrl[len(b.ctrl)-1].called = true
		}
		if top.kind == evLoop {
			b.events[top.event].called = top.called
			b.shadow = b.shadow || !top.called
		}
		s.add(evEnd, pos, 0)
	case opBr:
		d, target := s.label()
		s.reach(target)
		s.add(evBr, pos, d)
	case opBrIf:
		s.height--
		d, target := s.label()
		s.reach(target)
		s.add(evBrIf, pos, d)
	case opBrTable:
		s.height--
		n := r.count(1)
		first := len(b.targets)
		for i := 0; i <= n && r.err == nil; i++ {
			d, target := s.label()
			s.reach(target)
			b.events[target.event].pinned = true
			b.targets = append(b.targets, d)
		}
		s.add(evBrTable, pos, uint32(first)).n = uint32(n + 1)
	case opReturn:
		s.cost--
		s.add(evReturn, pos, 0)
	case opCall, opReturnCall:
		f := s.m.funcIndex(r)
		if r.err != nil {
			return
		}
		s.called(s.m.types[s.m.funcs[f]])
		if op == opCall {
			b.calls = true
			s.add(evCall, pos, f)
		} else {
			b.tailCalls = true
			s.add(evReturnCall, pos, f)
		}
	case opCallIndirect, opReturnCallIndirect:
		t := s.m.typeIndex(r)
		s.table()
		if r.err != nil {
			return
		}
		s.height--
		s.called(s.m.types[t])
		if op == opCallIndirect {
			b.calls = true
			s.add(evCallIndirect, pos, 0)
		} else {
			b.tailCalls = true
			s.add(evReturnCallIndirect, pos, 0)
		}
	case opSelectTyped:
		if n := r.u32(); r.err == nil && n != 1 {
			r.fail("select with %d types, want 1", n)
		}
		r.valueType()
	case opLocalGet:
		s.height++
		s.local()
	case opLocalSet:
		s.height--
		s.local()
	case opLocalTee:
		s.local()
	case opGlobalGet:
		s.height++
		s.global()
	case opGlobalSet:
		s.height--
		s.global()
	case opTableGet:
		s.table()
	case opTableSet:
		s.height -= 2
		s.table()
	case opMemorySize:
		s.height++
		s.memoryByte()
	case opMemoryGrow:
		s.memoryByte()
	case opRefNull:
		s.height++
		r.refType()
	case opRefIsNull:
	case opRefFunc:
		s.height++
		f := s.m.funcIndex(r)
		s.add(evRefFunc, pos, f)
	case opMiscPrefix:
		s.misc(pos)
	case opVecPrefix:
		s.vector(pos)
	default:
		r.fail("unknown operator %#x", op)
	}
}

// misc reads an operator behind the prefix 0xfc.
func (s *scanner) misc(pos int) {
	r, b := s.r, s.b
	sub := r.u32()
	if r.err != nil {
		return
	}
	small := func(limit int64) bool { return s.length >= 0 && s.length <= limit }
	switch sub {
	case 0, 1, 2, 3, 4, 5, 6, 7: // saturating truncations
		return
	case miscMemoryInit:
		s.height -= 3
		s.data()
		s.memoryByte()
		if !small(bulkInline) {
			b.bulk = true
			s.add(evBulk, pos, 0)
			s.dist += bulkDistance
			return
		}
	case miscDataDrop:
		s.data()
		return
	case miscMemoryCopy, miscMemoryFill:
		s.height -= 3
		s.memoryByte()
		k := evFill
		if sub == miscMemoryCopy {
			s.memoryByte()
			k = evCopy
		}
		s.dist += bulkDistance
		if !small(bulkInline) {
			b.bulk = true
			s.add(k, pos, 0)
			return
		}
	case miscTableInit, miscTableCopy, miscTableFill:
		s.height -= 3
		if sub == miscTableInit {
			s.element()
		}
		s.table()
		if sub == miscTableCopy {
			s.table()
		}
		s.dist += bulkDistance
		if !small(tableInline) {
			b.bulk = true
			s.add(evTableBulk, pos, 0)
			return
		}
	case miscElemDrop:
		s.element()
		return
	case miscTableGrow:
		s.height--
		t := s.table()
		s.dist += bulkDistance
		s.add(evTableGrow, pos, t)
		return
	case miscTableSize:
		s.height++
		s.table()
		return
	default:
		r.pos = pos
		r.fail("unknown operator 0xfc %d", sub)
		return
	}
	if s.m.cfg.PreciseTraps {
		s.add(evTrap, pos, 0)
	}
}

func (s *scanner) data() {
	i := s.r.u32()
	switch {
	case s.r.err != nil:
	case !s.m.hasDataCount:
		s.r.fail("data segments are used in code without a data count section")
	case i >= s.m.dataCount:
		s.r.fail("data segment %d does not exist, the module has %d", i, s.m.dataCount)
	default:
		s.m.usesSegments = true
	}
}

func (s *scanner) element() {
	if i := s.r.u32(); s.r.err == nil && int64(i) >= int64(s.m.elemCount) {
		s.r.fail("element segment %d does not exist, the module has %d", i, s.m.elemCount)
	}
}

// vector reads an operator behind the prefix 0xfd. Its number is a LEB128, of
// which only the shortest form is accepted: wazero reads a single byte, and
// would take the bytes of a longer form for other operators.
func (s *scanner) vector(pos int) {
	r := s.r
	sub := uint32(r.byte())
	if sub >= 0x80 {
		switch next := r.byte(); {
		case r.err != nil:
		case next == 0x01:
		case next == 0x02 || next == 0x82:
			r.pos = pos
			r.unsupported("relaxed-simd")
		default:
			r.pos = pos
			r.fail("vector operator is not in its shortest form")
		}
	}
	if r.err != nil {
		return
	}
	s.b.vectors = true
	memory := true
	switch {
	case sub <= 11, sub == 92, sub == 93:
		s.memarg()
	case sub >= 84 && sub <= 91:
		s.memarg()
		r.byte()
	case sub == vecConst, sub == vecShuffle:
		r.bytes(16)
		memory = false
	case sub >= 21 && sub <= 34:
		r.byte()
		memory = false
	default:
		memory = false
	}
	s.height += vecDelta(sub)
	if memory && s.m.cfg.PreciseTraps {
		s.add(evTrap, pos, 0)
	}
}
