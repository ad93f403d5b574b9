package metering

import "strings"

// Section codes of the binary format (WebAssembly 3.0, section 5.5.2).
const (
	secCustom    = 0
	secType      = 1
	secImport    = 2
	secFunction  = 3
	secTable     = 4
	secMemory    = 5
	secGlobal    = 6
	secExport    = 7
	secStart     = 8
	secElement   = 9
	secCode      = 10
	secData      = 11
	secDataCount = 12
	secTag       = 13
)

// module is what is read from the binary. Slices of bytes point into the
// input.
type module struct {
	cfg  Config
	size int // of the input

	types    []FuncType
	imports  []Import
	funcs    []uint32 // type index of every function, imported ones first
	tables   []Table
	memories []Memory
	globals  int // imported ones included
	exports  []Export
	start    int // function index, or -1
	customs  []CustomSection

	importedFuncs   int
	importedGlobals int

	hasDataCount bool
	dataCount    uint32
	elemCount    int
	usesSegments bool // code names data segments, so their numbers must stay
	segments     []segment
	dataBytes    uint64
	debugBytes   uint64
	codeBytes    int
	bodies       []reader // one for each defined function

	names    []byte // content of the name section after its name, or nil
	nameBase int

	raw         [14][]byte // content of each section as read; nil if absent
	rawCustoms  [][]byte   // whole content of kept custom sections, name included
	newGlobals  []byte     // the entries of the global section, remapped
	newExports  []byte
	newElements []byte
	addressed   []bool // functions that exports or the start section name: hosts call them
}

// segment is one data segment.
type segment struct {
	passive bool
	// constant says that the offset is a single i32.const, held in offset.
	constant bool
	offset   uint32
	expr     []byte // offset expression with its end, remapped; nil if passive
	init     []byte
}

// decodeModule reads everything except function bodies, and checks all
// indices on the way.
func decodeModule(wasm []byte, cfg Config) (*module, error) {
	cfg = cfg.withDefaults()
	if uint64(len(wasm)) > cfg.MaxModuleBytes {
		return nil, &TooLargeError{What: "bytes of the module", Size: uint64(len(wasm)), Max: cfg.MaxModuleBytes}
	}
	if len(wasm) < 8 || string(wasm[:4]) != "\x00asm" {
		return nil, ErrNotWasm
	}
	switch version, layer := uint16(wasm[4])|uint16(wasm[5])<<8, uint16(wasm[6])|uint16(wasm[7])<<8; {
	case layer == 1:
		return nil, ErrComponent
	case version != 1 || layer != 0:
		return nil, &InvalidError{Offset: 4, What: "unknown version of the binary format, want 1"}
	}
	m := &module{cfg: cfg, size: len(wasm), start: -1}
	r := &reader{b: wasm, pos: 8}
	last := 0
	for r.err == nil && r.len() > 0 {
		id := r.byte()
		at := r.offset()
		size := r.u32()
		base := r.offset()
		content := r.bytes(int(size))
		if r.err != nil {
			break
		}
		if id != secCustom {
			order := sectionOrder(id)
			if order == 0 {
				return nil, &InvalidError{Offset: at - 1, What: "unknown section"}
			}
			if order <= last {
				return nil, &InvalidError{Offset: at - 1, What: "section out of order or twice"}
			}
			last = order
			m.raw[id] = content
		}
		s := &reader{b: content, base: base}
		m.section(id, s)
		if s.err == nil && s.len() > 0 && id != secCustom {
			s.fail("%d bytes too many in the section", s.len())
		}
		if s.err != nil {
			return nil, s.err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if n := len(m.funcs) - m.importedFuncs; n != len(m.bodies) {
		return nil, &InvalidError{Offset: len(wasm), What: "function and code section differ in length"}
	}
	if m.hasDataCount && int(m.dataCount) != len(m.segments) {
		return nil, &InvalidError{Offset: len(wasm), What: "data count and data section differ in length"}
	}
	return m, nil
}

// sectionOrder gives the place of a section in the module; tag and data count
// sections were added later and sit between older ones.
func sectionOrder(id byte) int {
	switch {
	case id <= secMemory:
		return int(id) * 2
	case id == secTag:
		return secMemory*2 + 1
	case id <= secElement:
		return int(id) * 2
	case id == secDataCount:
		return secElement*2 + 1
	case id <= secData:
		return int(id) * 2
	}
	return 0
}

func (m *module) section(id byte, r *reader) {
	switch id {
	case secCustom:
		m.customSection(r)
	case secType:
		m.typeSection(r)
	case secImport:
		m.importSection(r)
	case secFunction:
		m.functionSection(r)
	case secTable:
		m.tableSection(r)
	case secMemory:
		m.memorySection(r)
	case secTag:
		r.unsupported("exception-handling")
	case secGlobal:
		m.globalSection(r)
	case secExport:
		m.exportSection(r)
	case secStart:
		m.start = int(m.funcIndex(r))
		m.hostCalls(uint32(m.start), r)
	case secElement:
		m.elementSection(r)
	case secDataCount:
		m.hasDataCount, m.dataCount = true, r.u32()
	case secCode:
		m.codeSection(r)
	case secData:
		m.dataSection(r)
	}
}

func (m *module) customSection(r *reader) {
	name := r.name()
	if r.err != nil {
		return
	}
	m.customs = append(m.customs, CustomSection{Name: name, Size: len(r.b)})
	switch {
	case name == "name":
		if m.names == nil { // of several the first counts
			m.names, m.nameBase = r.b[r.pos:], r.offset()
		}
	case strings.HasPrefix(name, ".debug_"):
		m.debugBytes += uint64(len(r.b))
	case m.cfg.KeepCustom:
		m.rawCustoms = append(m.rawCustoms, r.b)
	}
}

func (m *module) typeSection(r *reader) {
	n := r.count(3)
	m.types = make([]FuncType, 0, n)
	for i := 0; i < n && r.err == nil; i++ {
		switch form := r.byte(); form {
		case 0x60:
		case 0x4e, 0x50, 0x4f, 0x5f, 0x5e:
			r.unsupported("gc")
			return
		default:
			r.fail("type %d has the form %#x, want a function type (0x60)", i, form)
			return
		}
		m.types = append(m.types, FuncType{Params: m.valueTypes(r), Results: m.valueTypes(r)})
	}
}

func (m *module) valueTypes(r *reader) []ValueType {
	n := r.count(1)
	if n > 1000 { // the web embedding's limit for both lists
		r.fail("%d values in a function type, at most 1000", n)
		return nil
	}
	if n == 0 {
		return nil
	}
	ts := make([]ValueType, n)
	for i := range ts {
		ts[i] = r.valueType()
	}
	return ts
}

func (m *module) importSection(r *reader) {
	n := r.count(4)
	m.imports = make([]Import, 0, min(n, 1024))
	for i := 0; i < n && r.err == nil; i++ {
		imp := Import{Module: r.name(), Name: r.name(), Kind: Kind(r.byte())}
		if r.err == nil && imp.Module == HostModule {
			r.err = &ReservedImportError{Module: imp.Module, Name: imp.Name}
			return
		}
		switch imp.Kind {
		case KindFunc:
			t := m.typeIndex(r)
			if r.err != nil {
				return
			}
			imp.Func = m.types[t]
			m.funcs = append(m.funcs, t)
			m.importedFuncs++
		case KindTable:
			imp.Type, imp.Limits = r.refType(), m.limits(r)
			m.tables = append(m.tables, Table{Limits: imp.Limits, Type: imp.Type, Imported: true})
		case KindMemory:
			imp.Limits = m.limits(r)
			m.memories = append(m.memories, Memory{Limits: imp.Limits, Imported: true})
		case KindGlobal:
			imp.Type, imp.Mutable = r.valueType(), m.mutability(r)
			m.globals++
			m.importedGlobals++
		case 4:
			r.unsupported("exception-handling")
		default:
			r.fail("unknown kind of import %#x", byte(imp.Kind))
		}
		m.imports = append(m.imports, imp)
	}
	if r.err == nil && len(m.memories) > 1 {
		r.unsupported("multi-memory")
	}
}

func (m *module) mutability(r *reader) bool {
	switch c := r.byte(); c {
	case 0:
	case 1:
		return true
	default:
		r.fail("mutability %#x, want 0 or 1", c)
	}
	return false
}

func (m *module) limits(r *reader) Limits {
	var l Limits
	switch flag := r.byte(); flag {
	case 0:
		l.Min = r.u32()
	case 1:
		l.Min, l.Max, l.HasMax = r.u32(), r.u32(), true
		if r.err == nil && l.Max < l.Min {
			r.fail("maximum %d is below the minimum %d", l.Max, l.Min)
		}
	case 2, 3:
		r.unsupported("threads")
	case 4, 5, 6, 7:
		r.unsupported("memory64")
	default:
		r.fail("unknown flags %#x of limits", flag)
	}
	return l
}

func (m *module) functionSection(r *reader) {
	n := r.count(1)
	all := make([]uint32, m.importedFuncs, m.importedFuncs+n)
	copy(all, m.funcs)
	for i := 0; i < n && r.err == nil; i++ {
		all = append(all, m.typeIndex(r))
	}
	m.funcs = all
}

func (m *module) tableSection(r *reader) {
	n := r.count(3)
	for i := 0; i < n && r.err == nil; i++ {
		if r.len() > 0 && r.b[r.pos] == 0x40 {
			r.unsupported("function-references")
			return
		}
		t := Table{Type: r.refType(), Limits: m.limits(r)}
		if r.err == nil && uint64(t.Min) > m.cfg.MaxTableElements {
			r.err = &TooLargeError{What: "elements of a table", Size: uint64(t.Min), Max: m.cfg.MaxTableElements}
		}
		m.tables = append(m.tables, t)
	}
	if len(m.tables) > 1000 {
		r.fail("%d tables, at most 1000", len(m.tables))
	}
}

func (m *module) memorySection(r *reader) {
	n := r.count(2)
	for i := 0; i < n && r.err == nil; i++ {
		m.memories = append(m.memories, Memory{Limits: m.limits(r)})
	}
	if r.err == nil && len(m.memories) > 1 {
		r.unsupported("multi-memory")
	}
	for _, mem := range m.memories {
		if mem.Min > 1<<16 || mem.HasMax && mem.Max > 1<<16 {
			r.fail("memory of more than 65536 pages")
		}
	}
}

func (m *module) globalSection(r *reader) {
	n := r.count(4)
	m.globals += n
	for i := 0; i < n && r.err == nil; i++ {
		at := r.pos
		r.valueType()
		m.mutability(r)
		if r.err != nil {
			return
		}
		m.newGlobals = append(m.newGlobals, r.b[at:r.pos]...)
		m.newGlobals = m.constExpr(r, m.newGlobals)
	}
}

func (m *module) exportSection(r *reader) {
	n := r.count(3)
	m.exports = make([]Export, 0, min(n, 1024))
	for i := 0; i < n && r.err == nil; i++ {
		at := r.pos
		e := Export{Name: r.name(), Kind: Kind(r.byte())}
		idx := r.pos
		e.Index = r.u32()
		if r.err != nil {
			return
		}
		have := 0
		switch e.Kind {
		case KindFunc:
			have = len(m.funcs)
		case KindTable:
			have = len(m.tables)
		case KindMemory:
			have = len(m.memories)
		case KindGlobal:
			have = m.globals
		case 4:
			r.unsupported("exception-handling")
			return
		default:
			r.fail("unknown kind of export %#x", byte(e.Kind))
			return
		}
		if int64(e.Index) >= int64(have) {
			r.fail("export %q: %s %d does not exist, the module has %d", e.Name, e.Kind, e.Index, have)
			return
		}
		m.newExports = append(m.newExports, r.b[at:idx]...)
		out := e.Index
		if e.Kind == KindFunc {
			out = m.remap(e.Index)
			m.hostCalls(e.Index, r)
		}
		m.newExports = appendU32(m.newExports, out)
		m.exports = append(m.exports, e)
	}
}

// hostCalls notes that the host may call a function first.
func (m *module) hostCalls(f uint32, r *reader) {
	if r.err != nil {
		return
	}
	if m.addressed == nil {
		m.addressed = make([]bool, len(m.funcs))
	}
	m.addressed[f] = true
}

func (m *module) elementSection(r *reader) {
	n := r.count(2)
	m.elemCount = n
	out := appendU32(nil, uint32(n))
	for i := 0; i < n && r.err == nil; i++ {
		form := r.u32()
		if form > 7 {
			r.fail("unknown form %d of an element segment", form)
			return
		}
		out = appendU32(out, form)
		typ := FuncRef
		if form&1 == 0 { // active
			table := uint32(0)
			if form&2 != 0 {
				table = r.u32()
				out = appendU32(out, table)
			}
			if r.err == nil && int(table) >= len(m.tables) {
				r.fail("element segment %d: table %d does not exist", i, table)
				return
			}
			out = m.constExpr(r, out)
		}
		if form&3 != 0 { // with an element kind or type
			if form&4 != 0 {
				typ = r.refType()
				out = append(out, byte(typ))
			} else {
				kind := r.byte()
				if r.err == nil && kind != 0 {
					r.fail("element kind %#x, want 0", kind)
				}
				out = append(out, 0)
			}
		}
		k := r.count(1)
		out = appendU32(out, uint32(k))
		for j := 0; j < k && r.err == nil; j++ {
			if form&4 != 0 {
				out = m.constExpr(r, out)
			} else {
				out = appendU32(out, m.remap(m.funcIndex(r)))
			}
		}
	}
	m.newElements = out
}

func (m *module) codeSection(r *reader) {
	n := r.count(2)
	m.codeBytes = len(r.b)
	if defined := len(m.funcs) - m.importedFuncs; r.err == nil && n != defined {
		r.fail("%d function bodies for %d functions", n, defined)
		return
	}
	m.bodies = make([]reader, 0, n)
	for i := 0; i < n && r.err == nil; i++ {
		size := r.u32()
		if r.err == nil && uint64(size) > m.cfg.MaxFunctionBytes {
			r.err = &TooLargeError{What: "bytes of a function body", Size: uint64(size), Max: m.cfg.MaxFunctionBytes}
			return
		}
		base := r.offset()
		m.bodies = append(m.bodies, reader{b: r.bytes(int(size)), base: base})
	}
}

func (m *module) dataSection(r *reader) {
	n := r.count(2)
	m.segments = make([]segment, 0, n)
	var arena []byte // offset expressions that are not plain constants
	for i := 0; i < n && r.err == nil; i++ {
		var s segment
		switch form := r.u32(); form {
		case 1:
			s.passive = true
		case 2, 0:
			if form == 2 {
				if mem := r.u32(); r.err == nil && mem != 0 {
					r.unsupported("multi-memory")
					return
				}
			}
			if r.err == nil && len(m.memories) == 0 {
				r.fail("data segment %d: the module has no memory", i)
				return
			}
			at := r.pos
			if c := r.byte(); c == opI32Const {
				s.offset = uint32(r.sleb(32))
				s.constant = r.byte() == opEnd
			}
			if r.err == nil && !s.constant {
				r.pos = at
				from := len(arena)
				arena = m.constExpr(r, arena)
				s.expr = arena[from:len(arena):len(arena)]
			}
		default:
			r.fail("unknown form %d of a data segment", form)
			return
		}
		s.init = r.bytes(int(r.u32()))
		m.dataBytes += uint64(len(s.init))
		m.segments = append(m.segments, s)
	}
}

func (m *module) typeIndex(r *reader) uint32 {
	t := r.u32()
	if r.err == nil && int64(t) >= int64(len(m.types)) {
		r.fail("type %d does not exist, the module has %d", t, len(m.types))
		return 0
	}
	return t
}

func (m *module) funcIndex(r *reader) uint32 {
	f := r.u32()
	if r.err == nil && int64(f) >= int64(len(m.funcs)) {
		r.fail("function %d does not exist, the module has %d", f, len(m.funcs))
		return 0
	}
	return f
}

// remap gives the index of a function in the rewritten module, where the host
// function follows the other imports.
func (m *module) remap(f uint32) uint32 {
	if int(f) < m.importedFuncs {
		return f
	}
	return f + 1
}

// constExpr copies one constant expression with its end, remapping ref.func.
func (m *module) constExpr(r *reader, out []byte) []byte {
	for r.err == nil {
		at := r.pos
		switch op := r.byte(); op {
		case opI32Const:
			r.sleb(32)
		case opI64Const:
			r.sleb(64)
		case opF32Const:
			r.bytes(4)
		case opF64Const:
			r.bytes(8)
		case opI32Add, opI32Sub, opI32Mul, opI64Add, opI64Sub, opI64Mul:
		case opGlobalGet:
			if g := r.u32(); r.err == nil && int64(g) >= int64(m.globals) {
				r.fail("global %d does not exist, the module has %d", g, m.globals)
			}
		case opRefNull:
			r.refType()
		case opRefFunc:
			f := m.funcIndex(r)
			out = appendU32(append(out, opRefFunc), m.remap(f))
			continue
		case opVecPrefix:
			if sub := r.byte(); r.err == nil && sub != vecConst {
				r.fail("vector operator %d in a constant expression", sub)
			}
			r.bytes(16)
		case opEnd:
			return append(out, opEnd)
		case opGCPrefix:
			r.unsupported("gc")
		default:
			r.fail("operator %#x in a constant expression", op)
		}
		if r.err == nil {
			out = append(out, r.b[at:r.pos]...)
		}
	}
	return out
}
