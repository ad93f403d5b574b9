package component

import (
	"errors"

	"boxfleet/limits/metering"
)

// The main module is instantiated first, before there is a memory to lower
// functions to. So tools put a shim between: a module whose function i only
// calls entry i of its own table. A second module, the fixup, is instantiated
// last and fills that table from its imports. Both are read here to the last
// operator, since they decide what the program's imports really are.

// shim maps the names of a shim's exports to entries of its table.
type shim struct {
	table   string // the name under which it exports the table
	entries map[string]uint32
}

// fixup says what a fixup puts into the shim's table, and what it calls then.
type fixup struct {
	start   coreName            // an imported function; empty if none
	table   coreName            // its import of the table
	entries map[uint32]coreName // imported functions, by entry
}

type coreName struct{ module, name string }

// errNotGlue says that a module does more than a shim or fixup.
var errNotGlue = errors.New("does more than pass calls on")

// Sections of core modules that are read here.
const (
	secType     = 1
	secImport   = 2
	secFunction = 3
	secTable    = 4
	secExport   = 7
	secStart    = 8
	secElement  = 9
	secCode     = 10
)

// coreSections finds the sections of a core module other than custom ones.
func coreSections(wasm []byte) (map[byte]*reader, error) {
	found := map[byte]*reader{}
	r := &reader{b: wasm, pos: len(preamble), end: len(wasm)}
	for r.more() {
		id := r.byte()
		p := r.piece(r.u32())
		if id != 0 && r.err == nil {
			found[id] = p
		}
	}
	return found, r.err
}

// only tells whether a module has no other sections than these.
func only(sections map[byte]*reader, ids ...byte) bool {
	n := 0
	for _, id := range ids {
		if sections[id] != nil {
			n++
		}
	}
	return n == len(sections)
}

// readShim reads a module as a shim.
func readShim(wasm []byte) (*shim, error) {
	info, err := metering.Inspect(wasm)
	if err != nil {
		return nil, err
	}
	sections, err := coreSections(wasm)
	if err != nil {
		return nil, err
	}
	if !only(sections, secType, secFunction, secTable, secExport, secCode) || len(info.Imports) > 0 || len(info.Tables) != 1 {
		return nil, errNotGlue
	}
	params, err := parameters(sections)
	if err != nil {
		return nil, err
	}
	code := sections[secCode]
	if code == nil {
		code = &reader{b: []byte{0}, end: 1}
	}
	if code.count(2) != len(params) {
		return nil, errNotGlue
	}
	slots := make([]uint32, len(params))
	for i, p := range params {
		if slots[i], err = forwards(code.piece(code.u32()), p); err != nil {
			return nil, err
		}
	}
	out := &shim{entries: map[string]uint32{}}
	for _, e := range info.Exports {
		switch {
		case e.Kind == metering.KindFunc && int(e.Index) < len(slots):
			out.entries[e.Name] = slots[e.Index]
		case e.Kind == metering.KindTable && out.table == "":
			out.table = e.Name
		default:
			return nil, errNotGlue
		}
	}
	return out, nil
}

// signature is what a forwarding function must pass on.
type signature struct {
	typ    uint32
	params int
}

// parameters gives the type of each function that a module defines.
func parameters(sections map[byte]*reader) ([]signature, error) {
	var counts []int
	if r := sections[secType]; r != nil {
		for n := r.count(3); n > 0 && r.err == nil; n-- {
			if form := r.byte(); form != 0x60 {
				return nil, errNotGlue
			}
			params := r.count(1)
			r.piece(uint32(params))
			counts = append(counts, params)
			r.piece(uint32(r.count(1)))
		}
		if r.err != nil {
			return nil, r.err
		}
	}
	var out []signature
	if r := sections[secFunction]; r != nil {
		for n := r.count(1); n > 0 && r.err == nil; n-- {
			t := r.u32()
			if int64(t) >= int64(len(counts)) {
				return nil, errNotGlue
			}
			out = append(out, signature{t, counts[t]})
		}
		if r.err != nil {
			return nil, r.err
		}
	}
	return out, nil
}

// forwards reads a function body that hands its parameters, in order, to one
// entry of table 0, and gives that entry.
func forwards(r *reader, sig signature) (uint32, error) {
	want := func(n uint32) {
		if r.u32() != n && r.err == nil {
			r.err = errNotGlue
		}
	}
	op := func(c byte) {
		if r.byte() != c && r.err == nil {
			r.err = errNotGlue
		}
	}
	want(0) // locals
	for i := range sig.params {
		op(0x20) // local.get
		want(uint32(i))
	}
	op(0x41) // i32.const, a signed number
	slot := r.u32()
	// The numbers below 2^27 that are written as short as can be read the same
	// signed and unsigned, but for the sign bit of the last byte.
	if r.err == nil && (slot >= maxItems || r.b[r.pos-1]&0x40 != 0) {
		return 0, errNotGlue
	}
	op(0x11) // call_indirect
	want(sig.typ)
	want(0)
	op(0x0b) // end
	if r.err == nil && r.pos != r.end {
		return 0, errNotGlue
	}
	return slot, r.err
}

// readFixup reads a module as a fixup.
func readFixup(wasm []byte) (*fixup, error) {
	info, err := metering.Inspect(wasm)
	if err != nil {
		return nil, err
	}
	sections, err := coreSections(wasm)
	if err != nil {
		return nil, err
	}
	if !only(sections, secType, secImport, secStart, secElement) || sections[secElement] == nil {
		return nil, errNotGlue
	}
	out := &fixup{entries: map[uint32]coreName{}}
	var functions []coreName
	tables := 0
	for _, imp := range info.Imports {
		name := coreName{imp.Module, imp.Name}
		switch imp.Kind {
		case metering.KindFunc:
			functions = append(functions, name)
		case metering.KindTable:
			out.table = name
			tables++
		default:
			return nil, errNotGlue
		}
	}
	if tables != 1 {
		return nil, errNotGlue
	}
	if start := sections[secStart]; start != nil {
		f := start.u32()
		if start.err != nil || int64(f) >= int64(len(functions)) {
			return nil, errNotGlue
		}
		out.start = functions[f]
	}
	r := sections[secElement]
	for n := r.count(4); n > 0 && r.err == nil; n-- {
		if err := out.segment(r, functions); err != nil {
			return nil, err
		}
	}
	return out, r.err
}

// segment reads one active segment of functions for table 0.
func (f *fixup) segment(r *reader, functions []coreName) error {
	flags := r.u32()
	if flags != 0 && flags != 2 || flags == 2 && r.u32() != 0 {
		return errNotGlue
	}
	if r.byte() != 0x41 { // i32.const
		return errNotGlue
	}
	at := r.u32()
	if r.err == nil && (at >= maxItems || r.b[r.pos-1]&0x40 != 0) || r.byte() != 0x0b { // end
		return errNotGlue
	}
	if flags == 2 && r.byte() != 0 { // elements are functions
		return errNotGlue
	}
	for n := r.count(1); n > 0 && r.err == nil; n-- {
		i := r.u32()
		if int64(i) >= int64(len(functions)) {
			return errNotGlue
		}
		f.entries[at] = functions[i] // a later segment wins, as in an engine
		at++
	}
	return r.err
}

// readInitializer reads a module that only names an imported function as its
// start function, and gives that import.
func readInitializer(wasm []byte) (coreName, error) {
	info, err := metering.Inspect(wasm)
	if err != nil {
		return coreName{}, err
	}
	sections, err := coreSections(wasm)
	if err != nil {
		return coreName{}, err
	}
	if !only(sections, secType, secImport, secStart) || sections[secStart] == nil || len(info.Imports) != 1 || info.Imports[0].Kind != metering.KindFunc {
		return coreName{}, errNotGlue
	}
	return coreName{info.Imports[0].Module, info.Imports[0].Name}, nil
}
