// Package wasmgen makes random valid modules for the tests of metering.
//
// A module is a function of its seed. It imports nothing and exports its
// functions as f0, f1, ..., which all end: every loop iteration and every call
// takes one from a counter in the module and traps when it is used up. Apart
// from that the code is as wild as the type system allows: nested blocks with
// parameters and several results, branches of all kinds, dead code, direct,
// indirect and tail calls, bulk and table operators, vectors, traps.
//
// Values that engines may choose freely, the bits of a NaN, never reach
// memory, integers or control flow, so that two runs can be compared.
package wasmgen

import "math/rand/v2"

// Value types by their binary codes.
const (
	i32     = 0x7f
	i64     = 0x7e
	f64     = 0x7c
	v128    = 0x7b
	funcref = 0x70
	empty   = 0x40
)

// Func is an exported function.
type Func struct {
	Name            string
	Params, Results []byte // value types
}

// Module is a generated module.
type Module struct {
	Wasm  []byte
	Funcs []Func
}

// steps is how many loop iterations and calls one instance may make.
const steps = 3000

type signature struct{ params, results []byte }

type generator struct {
	rnd    *rand.Rand
	types  []signature
	funcs  []int // type of each function
	nvars  int   // mutable globals after the counter, of type i32, i64, f64 by turns
	code   []byte
	locals []byte
	labels [][]byte // what a branch to each open label carries, the innermost last
	result []byte
	budget int // operators left in this function
}

// New makes the module of a seed. Size is about the number of operators in
// each function.
func New(seed uint64, size int) *Module {
	g := &generator{rnd: rand.New(rand.NewPCG(seed, 0x6d65746572)), nvars: 4}
	g.types = append(g.types, signature{}, signature{params: []byte{i32, i32}, results: []byte{i32}})
	for range 4 + g.n(5) {
		g.types = append(g.types, signature{params: g.typeList(4), results: g.typeList(3)})
	}
	for range 2 + g.n(6) {
		g.funcs = append(g.funcs, g.n(len(g.types)))
	}
	m := &Module{}
	var bodies [][]byte
	for i, t := range g.funcs {
		bodies = append(bodies, g.function(t, size))
		m.Funcs = append(m.Funcs, Func{Name: "f" + string(rune('0'+i)), Params: g.types[t].params, Results: g.types[t].results})
	}
	m.Wasm = g.assemble(bodies)
	return m
}

func (g *generator) n(n int) int         { return g.rnd.IntN(n) }
func (g *generator) chance(p int) bool   { return g.n(100) < p }
func (g *generator) emit(b ...byte)      { g.code = append(g.code, b...) }
func (g *generator) u(v int)             { g.code = leb(g.code, uint64(v)) }
func (g *generator) op(op byte, arg int) { g.emit(op); g.u(arg) }

func leb(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func sleb(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

var valueTypes = []byte{i32, i32, i32, i64, i64, f64, v128}

func (g *generator) valueType() byte { return valueTypes[g.n(len(valueTypes))] }

func (g *generator) typeList(most int) []byte {
	ts := make([]byte, g.n(most+1))
	for i := range ts {
		ts[i] = g.valueType()
	}
	return ts
}

// tick traps when the counter in global 0 is used up, else takes one.
func (g *generator) tick() {
	g.emit(0x23, 0, 0x45, 0x04, empty, 0x00, 0x0b)
	g.emit(0x23, 0, 0x41, 1, 0x6b, 0x24, 0)
}

func (g *generator) function(t, size int) []byte {
	sig := g.types[t]
	g.code, g.budget, g.result = nil, size, sig.results
	g.locals = append([]byte(nil), sig.params...)
	for range 1 + g.n(5) {
		g.locals = append(g.locals, g.valueType())
	}
	g.labels = [][]byte{sig.results}
	if g.chance(80) {
		g.tick() // others are leaves, unless they call: then calls tick
	}
	g.statements(1 + g.n(6))
	g.values(sig.results)
	g.emit(0x0b)
	var b []byte
	b = leb(b, uint64(len(g.locals)-len(sig.params)))
	for _, l := range g.locals[len(sig.params):] {
		b = append(b, 1, l)
	}
	return append(b, g.code...)
}

func (g *generator) values(ts []byte) {
	for _, t := range ts {
		g.value(t, 3)
	}
}

func (g *generator) drop(n int) {
	for range n {
		g.emit(0x1a)
	}
}

func (g *generator) statements(n int) {
	for range n {
		if g.budget < 0 {
			return
		}
		g.statement()
	}
}

// statement emits code that leaves the operand stack as it was.
func (g *generator) statement() {
	g.budget -= 3
	deep := len(g.labels) > 6
	switch c := g.n(30); {
	case c < 4:
		l := g.n(len(g.locals))
		g.value(g.locals[l], 4)
		g.op(0x21, l)
	case c < 6:
		v := g.n(g.nvars)
		g.value([]byte{i32, i64, f64}[v%3], 4)
		g.op(0x24, 1+v)
	case c < 8: // store
		g.address()
		if g.chance(50) {
			g.value(i32, 3)
			g.emit(0x36, 2, byte(g.n(64)))
		} else {
			g.value(i64, 3)
			g.emit(0x37, 3, byte(g.n(64)))
		}
	case c < 9:
		g.emit(0x01) // nop
	case c < 14 && !deep:
		g.ifStatement()
	case c < 17 && !deep:
		g.block(0x02)
	case c < 20 && !deep:
		g.block(0x03)
	case c < 23:
		g.branch(0x0d)
	case c < 24 && len(g.labels) > 1:
		g.branch(0x0c)
	case c < 26:
		g.call()
	case c < 27:
		g.bulk()
	case c < 28:
		g.table()
	case c < 29 && len(g.labels) > 1 && g.chance(50):
		switch g.n(4) {
		case 0:
			g.emit(0x00)
		case 1:
			g.values(g.result)
			g.emit(0x0f)
		default:
			g.tailCall()
		}
		if g.chance(50) {
			g.statements(1) // dead
		}
	default:
		t := g.valueType()
		g.value(t, 4)
		g.emit(0x1a)
	}
}

// blockType emits the type of a block and gives its signature.
func (g *generator) blockType() signature {
	switch g.n(4) {
	case 0:
		g.emit(empty)
		return signature{}
	case 1:
		t := g.valueType()
		g.emit(t)
		return signature{results: []byte{t}}
	default:
		t := g.n(len(g.types))
		g.code = sleb(g.code, int64(t))
		return g.types[t]
	}
}

// open emits operands and a block operator, and gives the block's signature.
// The operands depend on the type, so the type is made first and moved.
func (g *generator) open(op byte) signature {
	at := len(g.code)
	g.emit(op)
	sig := g.blockType()
	head := append([]byte(nil), g.code[at:]...)
	g.code = g.code[:at]
	g.values(sig.params)
	if op == 0x04 {
		g.value(i32, 3)
	}
	g.emit(head...)
	return sig
}

func (g *generator) block(op byte) {
	sig := g.open(op)
	label := sig.results
	if op == 0x03 {
		label = sig.params
		g.tick()
	}
	g.labels = append(g.labels, label)
	g.drop(len(sig.params))
	g.statements(1 + g.n(4))
	if op == 0x03 && g.chance(70) { // go round again
		g.values(sig.params)
		g.value(i32, 3)
		g.op(0x0d, 0)
		g.drop(len(sig.params))
	}
	g.values(sig.results)
	g.labels = g.labels[:len(g.labels)-1]
	g.emit(0x0b)
	g.drop(len(sig.results))
}

func (g *generator) ifStatement() {
	sig := g.open(0x04)
	g.labels = append(g.labels, sig.results)
	same := string(sig.params) == string(sig.results)
	g.drop(len(sig.params))
	g.statements(1 + g.n(3))
	g.values(sig.results)
	if !same || g.chance(50) {
		g.emit(0x05)
		g.drop(len(sig.params))
		g.statements(g.n(3))
		g.values(sig.results)
	}
	g.labels = g.labels[:len(g.labels)-1]
	g.emit(0x0b)
	g.drop(len(sig.results))
}

// branch emits br or br_if, or now and then br_table.
func (g *generator) branch(op byte) {
	d := g.n(len(g.labels))
	carried := g.labels[len(g.labels)-1-d]
	g.values(carried)
	if op == 0x0d {
		g.value(i32, 3)
		g.op(0x0d, d)
		g.drop(len(carried))
		return
	}
	if g.chance(60) {
		var same []int
		for i := range g.labels {
			if string(g.labels[len(g.labels)-1-i]) == string(carried) {
				same = append(same, i)
			}
		}
		g.value(i32, 2)
		g.emit(0x0e)
		n := g.n(5)
		g.u(n)
		for range n + 1 {
			g.u(same[g.n(len(same))])
		}
	} else {
		g.op(0x0c, d)
	}
	if g.chance(40) {
		g.statements(1) // dead
	}
}

func (g *generator) call() {
	g.tick()
	if g.chance(60) {
		f := g.n(len(g.funcs))
		sig := g.types[g.funcs[f]]
		g.values(sig.params)
		g.op(0x10, f)
		g.drop(len(sig.results))
		return
	}
	t := g.funcs[g.n(len(g.funcs))]
	sig := g.types[t]
	g.values(sig.params)
	g.value(i32, 1)
	g.emit(0x41, 7, 0x71) // & 7: most of the table is filled
	g.op(0x11, t)
	g.emit(0)
	g.drop(len(sig.results))
}

func (g *generator) tailCall() {
	for f, t := range g.funcs {
		if sig := g.types[t]; string(sig.results) == string(g.result) && g.chance(50) {
			g.tick()
			g.values(sig.params)
			g.op(0x12, f)
			return
		}
	}
	g.values(g.result)
	g.emit(0x0f)
}

func (g *generator) bulk() {
	g.address()
	g.emit(0x41)
	g.code = sleb(g.code, int64(g.n(60000)))
	length := int64(g.n(5000))
	g.emit(0x41)
	if g.chance(30) {
		length = int64(g.n(3 << 20)) // over a piece, often out of bounds
	}
	g.code = sleb(g.code, length)
	if g.chance(30) { // not a constant the rewriter can see
		g.emit(0x01)
	}
	switch g.n(3) {
	case 0:
		g.emit(0xfc, 11, 0)
	case 1:
		g.emit(0xfc, 10, 0, 0)
	default:
		g.emit(0xfc, 8, 0, 0)
	}
}

func (g *generator) table() {
	switch g.n(4) {
	case 0:
		g.emit(0xd0, funcref)
		g.value(i32, 1)
		g.emit(0x41, 15, 0x71, 0xfc, 15, 0, 0x1a) // grow by up to 15
	case 1:
		g.emit(0x41, byte(8+g.n(3)), 0xd2, byte(g.n(len(g.funcs))), 0x26, 0)
	case 2:
		g.emit(0x41, byte(8+g.n(4)), 0xd0, funcref, 0x41, byte(g.n(4)), 0xfc, 17, 0)
	default:
		g.emit(0xfc, 16, 0, 0x1a)
	}
}

// address emits an address that is mostly within the first page.
func (g *generator) address() {
	if g.chance(85) {
		g.emit(0x41)
		g.code = sleb(g.code, int64(g.n(60000)))
		return
	}
	g.value(i32, 2)
	if g.chance(90) {
		g.emit(0x41)
		g.code = sleb(g.code, 0xfff)
		g.emit(0x71)
	}
}

var (
	binary32 = []byte{0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x46, 0x48, 0x4d, 0x6d, 0x70}
	unary32  = []byte{0x45, 0x67, 0x68, 0x69, 0xc0, 0xc1}
	binary64 = []byte{0x7c, 0x7d, 0x7e, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x7f, 0x82}
	unary64  = []byte{0x79, 0x7a, 0x7b, 0xc2, 0xc3, 0xc4}
	binaryF  = []byte{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5}
	unaryF   = []byte{0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f}
	binaryV  = []byte{0x6e, 0x71, 0x4e, 0x50, 0x51, 0x23, 0x2d}
)

func pick(g *generator, ops []byte) byte { return ops[g.n(len(ops))] }

// value emits code that leaves one value of type t.
func (g *generator) value(t byte, depth int) {
	g.budget--
	if depth <= 0 || g.budget < 0 || g.chance(25) {
		g.leaf(t)
		return
	}
	depth--
	if len(g.labels) < 6 && g.chance(8) { // a block with a value
		g.emit([]byte{0x02, 0x02, 0x03}[g.n(3)], t)
		loop := g.code[len(g.code)-2] == 0x03
		label := []byte{t}
		if loop {
			label = nil
			g.tick()
		}
		g.labels = append(g.labels, label)
		if g.chance(50) {
			g.statement()
		}
		if !loop && g.chance(50) {
			g.value(t, depth)
			g.value(i32, depth)
			g.op(0x0d, 0)
			g.emit(0x1a)
		}
		g.value(t, depth)
		g.labels = g.labels[:len(g.labels)-1]
		g.emit(0x0b)
		return
	}
	if g.chance(6) { // select
		g.value(t, depth)
		g.value(t, depth)
		g.value(i32, depth)
		if g.chance(50) {
			g.emit(0x1b)
		} else {
			g.emit(0x1c, 1, t)
		}
		return
	}
	switch t {
	case i32:
		g.value32(depth)
	case i64:
		switch g.n(5) {
		case 0:
			g.value(i64, depth)
			g.emit(pick(g, unary64))
		case 1:
			g.value(i32, depth)
			g.emit(0xac + byte(g.n(2)))
		case 2:
			g.address()
			g.emit(0x29, byte(g.n(4)), byte(g.n(100)))
		case 3:
			g.value(v128, depth)
			g.emit(0xfd, 29, byte(g.n(2)))
		default:
			g.value(i64, depth)
			g.value(i64, depth)
			g.emit(pick(g, binary64))
		}
	case f64:
		switch g.n(4) {
		case 0:
			g.value(f64, depth)
			g.emit(pick(g, unaryF))
		case 1:
			g.value(i32, depth)
			g.emit(0xb7)
		default:
			g.value(f64, depth)
			g.value(f64, depth)
			g.emit(pick(g, binaryF))
		}
	case v128:
		switch g.n(4) {
		case 0:
			g.value(i32, depth)
			g.emit(0xfd, 15)
		case 1:
			g.address()
			g.emit(0xfd, 0, 4, byte(g.n(100)))
		case 2:
			g.value(v128, depth)
			g.emit(0xfd, 0x80, 0x01) // i16x8.abs: two bytes of number
		default:
			g.value(v128, depth)
			g.value(v128, depth)
			g.emit(0xfd, pick(g, binaryV))
		}
		if b := g.code; b[len(b)-1] >= 0x80 && b[len(b)-2] == 0xfd {
			g.emit(0x01)
		}
	}
}

func (g *generator) value32(depth int) {
	switch g.n(9) {
	case 0:
		g.value(i32, depth)
		g.emit(pick(g, unary32))
	case 1:
		g.value(i64, depth)
		g.emit(0xa7)
	case 2:
		g.address()
		op := []byte{0x28, 0x2c, 0x2d, 0x2e, 0x2f}[g.n(5)]
		g.emit(op, 0, byte(g.n(100)))
	case 3:
		g.value(f64, depth)
		g.value(f64, depth)
		g.emit(0x61 + byte(g.n(6)))
	case 4:
		g.value(f64, depth)
		if g.chance(30) {
			g.emit(0xaa) // can trap
		} else {
			g.emit(0xfc, 2)
		}
	case 5:
		switch g.n(4) {
		case 0:
			g.emit(0x3f, 0)
		case 1:
			g.emit(0x41, byte(g.n(2)), 0x40, 0) // memory.grow
		default:
			g.emit(0x41, byte(g.n(12)), 0x25, 0, 0xd1) // table.get, ref.is_null
		}
	case 6:
		g.value(v128, depth)
		g.emit(0xfd, 0x53)
	default:
		g.value(i32, depth)
		g.value(i32, depth)
		g.emit(pick(g, binary32))
	}
}

func (g *generator) leaf(t byte) {
	if g.chance(60) {
		for i, l := range g.locals {
			if l == t && g.chance(50) {
				g.op(0x20, i)
				if g.chance(20) {
					g.op(0x22, i)
				}
				return
			}
		}
	}
	switch t {
	case i32, i64:
		if g.chance(20) {
			v := 1
			if t == i64 {
				v = 2
			}
			g.op(0x23, v)
			return
		}
		c := byte(0x41)
		if t == i64 {
			c = 0x42
		}
		g.emit(c)
		v := int64(int32(g.rnd.Uint32()))
		if g.chance(70) {
			v = int64(g.n(20) - 3)
		}
		g.code = sleb(g.code, v)
	case f64:
		g.emit(0x44)
		bits := []uint64{0, 0x3ff0000000000000, 0xc008000000000000, 0x41e0000000000000, 0x3fb999999999999a, 0x7ff0000000000000}[g.n(6)]
		for i := range 8 {
			g.emit(byte(bits >> (8 * i)))
		}
	case v128:
		g.emit(0xfd, 12)
		for range 16 {
			g.emit(byte(g.n(256)))
		}
	}
}

func (g *generator) assemble(bodies [][]byte) []byte {
	w := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, count int, content []byte) {
		s := append(leb(nil, uint64(count)), content...)
		w = append(w, id)
		w = leb(w, uint64(len(s)))
		w = append(w, s...)
	}
	var b []byte
	for _, t := range g.types {
		b = append(b, 0x60)
		b = append(append(b, byte(len(t.params))), t.params...)
		b = append(append(b, byte(len(t.results))), t.results...)
	}
	section(1, len(g.types), b)
	b = nil
	for _, t := range g.funcs {
		b = append(b, byte(t))
	}
	section(3, len(g.funcs), b)
	section(4, 1, []byte{funcref, 1, 12, 30})
	section(5, 1, []byte{1, 1, 3})
	b = append([]byte{i32, 1, 0x41}, sleb(nil, steps)...)
	b = append(b, 0x0b)
	for i := range g.nvars {
		switch i % 3 {
		case 0:
			b = append(b, i32, 1, 0x41, byte(g.n(60)), 0x0b)
		case 1:
			b = append(b, i64, 1, 0x42, byte(g.n(60)), 0x0b)
		default:
			b = append(b, f64, 1, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b)
		}
	}
	section(6, 1+g.nvars, b)
	b = append(leb(nil, 6), "memory"...)
	b = append(b, 2, 0)
	for i := range g.funcs {
		b = append(b, 2, 'f', byte('0'+i), 0, byte(i))
	}
	section(7, 1+len(g.funcs), b)
	b = []byte{0, 0x41, 0, 0x0b, byte(len(g.funcs))}
	for i := range g.funcs {
		b = append(b, byte(i))
	}
	section(9, 1, b)
	w = append(w, 12, 1, 3) // data count
	b = nil
	for _, c := range bodies {
		b = append(leb(b, uint64(len(c))), c...)
	}
	section(10, len(bodies), b)
	b = []byte{1, 5, 'h', 'e', 'l', 'l', 'o'}
	b = append(b, 0, 0x41, 16, 0x0b, 3, 1, 2, 3)
	b = append(b, 0, 0x41, 32, 0x0b, 4, 4, 5, 6, 7)
	section(11, 3, b)
	return w
}

// Size is the size for a seed in the tests that go through seeds in order.
func Size(seed int) int { return 40 + seed%5*60 }
