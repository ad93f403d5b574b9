package metering

import "fmt"

// Module is a rewritten module.
type Module struct {
	Wasm  []byte // the binary to compile
	Info  *Info  // of the original
	Stats Stats

	// Image is what the memory must hold when an instance begins, in ascending
	// order; nil unless Config.Images is set and the module has enough data.
	Image []Run

	// FuelGlobal is the index of the injected global that holds the rest of
	// the current slice. It is the last of the module; the one before it holds
	// the rest of the stack allowance. Hosts find them with an engine's means;
	// guests cannot, since they are not exported.
	FuelGlobal int
}

// Stats says what Rewrite did.
type Stats struct {
	Functions      int // rewritten
	Checks         int // places where the fuel is compared with zero
	Updates        int // places where the fuel is changed
	StackChecks    int // functions whose stack is counted
	SegmentsJoined int // data segments that went into others
	SegmentsMoved  int // data segments that went into the image
	BytesIn        int
	BytesOut       int
	CodeIn         int // size of the code section
	CodeOut        int
}

// Growth is by which part the binary grew, 0.2 for a fifth; it can be negative
// when debug sections were dropped.
func (s Stats) Growth() float64 {
	if s.BytesIn == 0 {
		return 0
	}
	return float64(s.BytesOut)/float64(s.BytesIn) - 1
}

func (s Stats) String() string {
	return fmt.Sprintf("%d functions, %d checks, %d updates, %d stack checks, %d segments joined, %d -> %d bytes (%+.1f %%)",
		s.Functions, s.Checks, s.Updates, s.StackChecks, s.SegmentsJoined, s.BytesIn, s.BytesOut, 100*s.Growth())
}

// Rewrite gives a module that does what wasm does and meters itself. It fails
// like [Inspect], and with *[UnsupportedError] or *[InvalidError] for what is
// found in function bodies. A module that it accepts can still be refused by
// the engine: types of operands are not checked here.
func Rewrite(wasm []byte, cfg Config) (*Module, error) {
	m, err := decodeModule(wasm, cfg)
	if err != nil {
		return nil, err
	}
	info := m.info(len(wasm))
	inj := newInjection(m)
	out := &Module{Info: info, FuelGlobal: int(inj.fuel)}
	e := &emitter{m: m, inj: inj}
	// What is injected is small and mostly constant, so the code grows by
	// about a fifth; growing the buffer while writing would copy it more.
	e.out = make([]byte, 0, m.codeBytes+m.codeBytes/4+1024)
	locals := uint64(0)
	for f := range m.bodies {
		if err := e.function(f); err != nil {
			return nil, err
		}
		if locals += uint64(e.b.locals); locals > m.cfg.MaxLocals {
			return nil, &TooLargeError{What: "locals of all functions", Size: locals, Max: m.cfg.MaxLocals}
		}
	}
	e.stats.BytesIn, e.stats.CodeIn = len(wasm), m.codeBytes
	var segments []segment
	if out.Image, segments = m.takeImage(&e.stats); out.Image == nil {
		segments = m.coalesce(&e.stats)
	}
	out.Wasm = m.assemble(e, segments)
	e.stats.BytesOut = len(out.Wasm)
	out.Stats = e.stats
	return out, nil
}

// assemble writes the sections in their order, the given data segments last.
func (m *module) assemble(e *emitter, segments []segment) []byte {
	j := e.inj
	dataSize := 0
	for _, s := range segments {
		dataSize += len(s.init) + 16
	}
	b := make([]byte, 0, len(e.out)+dataSize+len(m.newElements)+len(m.names)+len(m.newGlobals)+len(m.newExports)+4096+
		len(m.raw[secType])+len(m.raw[secImport])+len(m.raw[secFunction]))
	b = append(b, "\x00asm\x01\x00\x00\x00"...)

	{
		s := appendU32(nil, uint32(len(m.types)+len(j.types)))
		s = append(s, skipCount(m.raw[secType])...)
		for _, t := range j.types {
			s = append(s, 0x60)
			for _, list := range [][]ValueType{t.Params, t.Results} {
				s = appendU32(s, uint32(len(list)))
				for _, v := range list {
					s = append(s, byte(v))
				}
			}
		}
		b = appendSection(b, secType, s)
	}
	{
		s := appendU32(nil, uint32(len(m.imports)+1))
		s = append(s, skipCount(m.raw[secImport])...)
		s = appendName(appendName(s, HostModule), HostFunction)
		s = appendU32(append(s, byte(KindFunc)), j.meterType())
		b = appendSection(b, secImport, s)
	}
	{
		s := appendU32(nil, uint32(len(m.bodies)+len(j.functions)))
		s = append(s, skipCount(m.raw[secFunction])...)
		for _, t := range j.functions {
			s = appendU32(s, t)
		}
		b = appendSection(b, secFunction, s)
	}
	if m.raw[secTable] != nil {
		b = appendSection(b, secTable, m.rewriteTables())
	}
	if m.raw[secMemory] != nil {
		b = appendSection(b, secMemory, m.raw[secMemory])
	}
	{
		s := appendU32(nil, uint32(m.globals-m.importedGlobals)+j.nglobals)
		s = append(append(s, m.newGlobals...), j.globals...)
		b = appendSection(b, secGlobal, s)
	}
	if m.raw[secExport] != nil {
		s := appendU32(nil, uint32(len(m.exports)))
		b = appendSection(b, secExport, append(s, m.newExports...))
	}
	if m.start >= 0 {
		b = appendSection(b, secStart, appendU32(nil, m.remap(uint32(m.start))))
	}
	if m.newElements != nil {
		b = appendSection(b, secElement, m.newElements)
	}
	if m.hasDataCount {
		b = appendSection(b, secDataCount, appendU32(nil, uint32(len(segments))))
	}
	{
		head := appendU32(nil, uint32(len(m.bodies)+len(j.functions)))
		size := len(head) + len(e.out)
		var added []byte
		for _, c := range j.code {
			added = append(appendU32(added, uint32(len(c))), c...)
		}
		size += len(added)
		e.stats.CodeOut = size
		b = appendU32(append(b, secCode), uint32(size))
		b = append(append(append(b, head...), e.out...), added...)
	}
	if m.raw[secData] != nil {
		b = appendSection(b, secData, appendSegments(nil, segments))
	}
	if names := m.rewriteNames(); names != nil {
		b = appendSection(b, secCustom, names)
	}
	for _, c := range m.rawCustoms {
		b = appendSection(b, secCustom, c)
	}
	return b
}

// skipCount gives the entries of a section that was read before, without
// their count.
func skipCount(content []byte) []byte {
	if content == nil {
		return nil
	}
	r := &reader{b: content}
	r.u32()
	return content[r.pos:]
}

// tableMax is the largest size a table may reach.
func (m *module) tableMax(t Table) uint32 {
	limit := uint32(min(m.cfg.MaxTableElements, 1<<32-1))
	if t.HasMax && t.Max < limit {
		return t.Max
	}
	return limit
}

// rewriteTables gives every table a maximum.
func (m *module) rewriteTables() []byte {
	var s []byte
	n := uint32(0)
	for _, t := range m.tables {
		if t.Imported {
			continue
		}
		s = append(s, byte(t.Type), 1)
		s = appendU32(appendU32(s, t.Min), m.tableMax(t))
		n++
	}
	return append(appendU32(nil, n), s...)
}
