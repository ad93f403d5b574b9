package metering

// Info describes a module. Inspect and Rewrite give it.
type Info struct {
	Size      int // bytes of the binary
	Functions int // defined functions
	Globals   int // defined and imported
	CodeBytes int // size of the code section

	Imports  []Import
	Exports  []Export
	Memories []Memory
	Tables   []Table
	Custom   []CustomSection

	DataSegments int
	DataBytes    uint64 // of all data segments, active and passive
	DebugBytes   uint64 // of all sections whose name starts with ".debug_"

	// HasStart says that a start section names a function: it runs while the
	// module is instantiated.
	HasStart bool

	// ModuleName is from the name section, or empty.
	ModuleName string

	names    []byte
	nameBase int
}

// Inspect reads a module without running or compiling anything. It fails with
// [ErrNotWasm], [ErrComponent], or one of the error types of this package;
// function bodies are not looked into.
func Inspect(wasm []byte) (*Info, error) {
	m, err := decodeModule(wasm, Config{})
	if err != nil {
		return nil, err
	}
	return m.info(len(wasm)), nil
}

func (m *module) info(size int) *Info {
	i := &Info{
		Size:         size,
		Functions:    len(m.funcs) - m.importedFuncs,
		Globals:      m.globals,
		CodeBytes:    m.codeBytes,
		Imports:      m.imports,
		Exports:      m.exports,
		Memories:     m.memories,
		Tables:       m.tables,
		Custom:       m.customs,
		DataSegments: len(m.segments),
		DataBytes:    m.dataBytes,
		DebugBytes:   m.debugBytes,
		HasStart:     m.start >= 0,
		names:        append([]byte(nil), m.names...),
		nameBase:     m.nameBase,
	}
	i.ModuleName = moduleName(i.names, i.nameBase)
	return i
}

// Export finds an export by name.
func (i *Info) Export(name string) (Export, bool) {
	for _, e := range i.Exports {
		if e.Name == name {
			return e, true
		}
	}
	return Export{}, false
}

// IsCommand says that the module exports the function _start, as WASI
// commands do.
func (i *Info) IsCommand() bool {
	e, ok := i.Export("_start")
	return ok && e.Kind == KindFunc
}

// MinMemory is the size in bytes of all memories that the module defines when
// it starts.
func (i *Info) MinMemory() uint64 {
	var n uint64
	for _, mem := range i.Memories {
		if !mem.Imported {
			n += uint64(mem.Min) * PageSize
		}
	}
	return n
}

// MinTableElements is the number of elements of all tables that the module
// defines when it starts.
func (i *Info) MinTableElements() uint64 {
	var n uint64
	for _, t := range i.Tables {
		if !t.Imported {
			n += uint64(t.Min)
		}
	}
	return n
}

// FunctionNames are the names of functions from the name section by function
// index, imports counted first. A damaged name section gives what could be
// read.
func (i *Info) FunctionNames() map[uint32]string {
	return functionNames(i.names, i.nameBase)
}
