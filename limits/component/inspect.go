package component

import (
	"bytes"
	"errors"
	"slices"

	"boxfleet/limits/guestabi"
	"boxfleet/limits/metering"
)

// Kind is what a manifest calls a tool that is a component.
const Kind = "wasip2-component"

// Info is what Inspect finds in a component that can run.
type Info struct {
	Main   []byte         // the main core module: a piece of the input, not a copy
	Offset int            // of Main in the input
	Core   *metering.Info // of Main: its imports, memories and so on

	// Start is the export of Main that runs the program: "_start", or for a
	// program made for WASI 0.2 that of wasi:cli/run, a function without
	// parameters whose result is 0 for success and 1 for failure.
	Start string
	// Initialize says that the export _initialize of Main is to be called before.
	Initialize bool
	// Adapted says that the program imports WASI 0.1 and the component has an
	// adapter for it.
	Adapted bool

	// Imports are the interfaces that the component imports, as it writes them
	// ("wasi:cli/stdout@0.2.3"), sorted. With an adapter most are the adapter's;
	// what the program itself calls is guestabi.Modules(Core.Imports).
	Imports []string
	// Version is the highest version of WASI among Imports, such as "0.2.9"; ""
	// if it imports nothing.
	Version string
}

// Program is what a worker runs.
type Program struct {
	Wasm       []byte // a core module
	Start      string // as in Info
	Initialize bool   // as in Info
}

// Main gives the core module to run and how it starts. A core module is its own
// main module and starts at "_start"; whether it can run is not looked at.
func Main(wasm []byte) (Program, error) {
	if !Is(wasm) {
		return Program{wasm, "_start", false}, nil
	}
	info, err := Inspect(wasm)
	if err != nil {
		return Program{}, err
	}
	return Program{info.Main, info.Start, info.Initialize}, nil
}

// Inspect finds the main module of a component and proves that it can run
// alone. The result depends on the bytes only.
//
// It fails with ErrNotComponent, an *InvalidError, or one or more
// *RefusedError, each naming one thing that is in the way (joined; every one is
// listed where they do not depend on each other). What is wrong inside a core
// module is an error of package metering; imports of the main module that no
// host gives are *guestabi.ImportError.
func Inspect(wasm []byte) (*Info, error) {
	if !Is(wasm) {
		return nil, ErrNotComponent
	}
	if !bytes.Equal(wasm[:len(preamble)], preamble) {
		return nil, refused("it is a component of version %#x of the binary format, only %#x is known: build it with newer tools", wasm[4], preamble[4])
	}
	r := &reader{b: wasm, pos: len(preamble), end: len(wasm)}
	s := new(decoder).decode(r)
	if r.err != nil {
		return nil, r.err
	}
	a := &analysis{s: s, wasm: wasm, inspected: map[int]*metering.Info{}, shims: map[int]*wiring{}}
	if err := a.decide(); err != nil {
		return nil, err
	}
	m := s.modules[a.moduleOf(a.main)]
	info := &Info{
		Main: wasm[m.start:m.end:m.end], Offset: m.start, Core: a.mainInfo,
		Start: a.start, Initialize: a.initialize, Adapted: a.adapter >= 0,
	}
	for _, e := range s.imports {
		info.Imports = append(info.Imports, e.name)
		_, v := guestabi.SplitVersion(e.name)
		if info.Version == "" || guestabi.NewerPatch(v, info.Version) {
			info.Version = v
		}
	}
	slices.Sort(info.Imports)
	return info, nil
}

// decide assigns the roles and proves the wiring.
func (a *analysis) decide() error {
	if err := a.checkImports(); err != nil {
		return err
	}
	if err := a.findProgram(); err != nil {
		return err
	}
	if err := a.findGlue(); err != nil {
		return err
	}
	return errors.Join(a.proveMain(), a.proveAdapter())
}
