package component

import (
	"errors"
	"strings"

	"boxfleet/limits/guestabi"
	"boxfleet/limits/metering"
)

// analysis finds which core instance has which role.
type analysis struct {
	s    *scope
	wasm []byte

	main, adapter int // core instances; adapter is -1 without one
	mainInfo      *metering.Info
	start         string
	initialize    bool // initializer is called before start

	inspected map[int]*metering.Info // by module
	shims     map[int]*wiring        // by core instance of the shim
}

// wiring is a shim together with the core instance that fills its table.
type wiring struct {
	shim  *shim
	fixup *fixup // nil until it is found
	by    int    // core instance of the fixup
}

// The name under which an adapter imports what it needs of the program.
const mainModule = "__main_module__"

// initializer is what tools call when a program that is no command of WASI 0.1
// is instantiated (reactors of wasi-libc).
const initializer = "_initialize"

// runInterface is what a command exports.
const runInterface = "wasi:cli/run"

func (a *analysis) core(instance int) *item { return &a.s.spaces[sortCoreInstance][instance] }

// moduleOf gives the module that a core instance instantiates.
func (a *analysis) moduleOf(instance int) int {
	return a.s.item(a.core(instance).of).of.index
}

func (a *analysis) bytesOf(instance int) []byte {
	m := a.s.modules[a.moduleOf(instance)]
	return a.wasm[m.start:m.end]
}

func (a *analysis) inspect(instance int) (*metering.Info, error) {
	m := a.moduleOf(instance)
	if info := a.inspected[m]; info != nil {
		return info, nil
	}
	info, err := metering.Inspect(a.bytesOf(instance))
	if err == nil {
		a.inspected[m] = info
	}
	return info, err
}

// checkImports refuses a component that wants more than WASI 0.2.
func (a *analysis) checkImports() error {
	var errs []error
	for _, e := range a.s.imports {
		if len(errs) == maxReasons {
			errs = append(errs, refused("and more"))
			break
		}
		name, version := guestabi.SplitVersion(e.name)
		switch {
		case e.ref.sort != sortInstance && e.ref.sort != sortType:
			errs = append(errs, refused("it imports the %s %s; only interfaces of WASI 0.2 are given: build it as a command (world wasi:cli/command)", e.ref.sort, guestabi.Quote(e.name)))
		case e.ref.sort == sortType:
			errs = append(errs, refused("it imports the type %s, which no interface of WASI 0.2 does: build it as a command (world wasi:cli/command)", guestabi.Quote(e.name)))
		case !strings.HasPrefix(name, "wasi:"):
			errs = append(errs, refused("it imports %s, which is not of WASI: only programs that need nothing else are run", guestabi.Quote(e.name)))
		case !guestabi.Compatible(version):
			errs = append(errs, refused("it imports %s: %s", guestabi.Quote(e.name), guestabi.VersionReason(version)))
		}
	}
	return errors.Join(errs...)
}

// findProgram follows the exported wasi:cli/run to the core instance that runs:
// the adapter or the main module.
func (a *analysis) findProgram() error {
	run, err := a.runFunction()
	if err != nil {
		return err
	}
	f := a.s.item(run)
	for f.origin == same {
		f = a.s.item(f.of)
	}
	if f.origin != lifted {
		return refused("its %s is another component's: it must be the program's own", runInterface)
	}
	src, err := a.trace(f.of, 0)
	if err != nil {
		return err
	}
	if src.item != nil {
		return refused("its %s is no function of one of its modules", runInterface)
	}
	info, err := a.inspect(src.instance)
	if err != nil {
		return err
	}
	a.main, a.adapter, a.start = src.instance, -1, src.name
	for _, imp := range info.Imports {
		if imp.Module != mainModule || imp.Kind != metering.KindFunc || imp.Name != "_start" {
			continue
		}
		start, err := a.argument(src.instance, imp.Module, imp.Name, sortCoreFunc)
		if err != nil {
			return err
		}
		if start.item != nil || start.name != "_start" || start.instance == src.instance {
			return refused("its adapter does not start a function _start of the main module")
		}
		if !strings.HasPrefix(src.name, runInterface+"@") || !strings.HasSuffix(src.name, "#run") {
			return refused("its %s is the function %s of its adapter, not run", runInterface, guestabi.Quote(src.name))
		}
		a.main, a.adapter, a.start = start.instance, src.instance, start.name
	}
	if a.mainInfo, err = a.inspect(a.main); err != nil {
		return err
	}
	if e, ok := a.mainInfo.Export(a.start); !ok || e.Kind != metering.KindFunc {
		return &InvalidError{a.core(a.main).at, "its main module exports no function " + guestabi.Quote(a.start)}
	}
	return nil
}

// runFunction finds the function run of the exported wasi:cli/run.
func (a *analysis) runFunction() (ref, error) {
	var names []string
	for _, e := range a.s.exports {
		name, version := guestabi.SplitVersion(e.name)
		if name != runInterface || e.ref.sort != sortInstance {
			if len(names) < maxReasons {
				names = append(names, guestabi.Quote(e.name))
			}
			continue
		}
		if !guestabi.Compatible(version) {
			return ref{}, refused("it exports %s: %s", guestabi.Quote(e.name), guestabi.VersionReason(version))
		}
		return a.s.export(e.ref, "run", sortFunc)
	}
	if len(names) == 0 {
		return ref{}, refused("it exports nothing: a command is wanted, which exports %s", runInterface)
	}
	return ref{}, refused("it exports %s but not %s: a command is wanted (a program with main), not a library or server", strings.Join(names, ", "), runInterface)
}

// export finds what an instance of components exports. Of a component inside,
// only what it passes on from its arguments is found.
func (s *scope) export(instance ref, name string, in sort) (ref, error) {
	it := s.item(instance)
	for it.origin == same {
		it = s.item(it.of)
	}
	missing := refused("%q of its exported %s is not a %s of its own", name, runInterface, in)
	switch it.origin {
	case bundled:
		if r, ok := it.args[name]; ok && r.sort == in {
			return r, nil
		}
	case instantiated:
		component := s.item(it.of)
		if component.origin != defined {
			return ref{}, missing
		}
		inner := s.nested[component.of.index]
		for _, e := range inner.exports {
			if e.name != name || e.ref.sort != in {
				continue
			}
			f := inner.item(e.ref)
			for f.origin == same {
				f = inner.item(f.of)
			}
			if r, ok := it.args[f.name]; ok && f.origin == imported && r.sort == in {
				return r, nil
			}
		}
	}
	return ref{}, missing
}

// findGlue tells shims, fixups, the adapter of a program that exports
// wasi:cli/run itself, and the call of an initializer from everything else, of
// which there may be nothing.
func (a *analysis) findGlue() error {
	users := map[int]int{} // of modules
	var rest []int
	for i := range a.s.spaces[sortCoreInstance] {
		it := a.core(i)
		if it.origin != instantiated {
			continue
		}
		if a.s.item(it.of).origin != defined {
			return refused("it runs a core module that it imports or takes from elsewhere; all its modules must be its own")
		}
		if users[a.moduleOf(i)]++; users[a.moduleOf(i)] > 1 {
			return refused("it instantiates core module %d twice: a composition, not one program", a.moduleOf(i))
		}
		if i == a.main || i == a.adapter {
			continue
		}
		if sh, err := readShim(a.bytesOf(i)); err == nil && len(it.args) == 0 {
			a.shims[i] = &wiring{shim: sh}
		} else {
			rest = append(rest, i)
		}
	}
	var strangers []int
	for _, i := range rest {
		glue, err := a.fixupOf(i)
		if err != nil {
			return err
		}
		if !glue && !a.initializes(i) {
			strangers = append(strangers, i)
		}
	}
	if len(strangers) == 1 && a.adapter < 0 && a.adapts(strangers[0]) {
		a.adapter, strangers = strangers[0], nil
	}
	var errs []error
	for _, i := range strangers {
		m := a.moduleOf(i)
		errs = append(errs, refused("core module %d at offset %#x (%d bytes) is neither the program nor its adapter, shim or fixup: only single programs run, not compositions",
			m, a.s.modules[m].start, len(a.bytesOf(i))))
	}
	for m, of := range a.s.modules {
		if users[m] == 0 {
			errs = append(errs, refused("core module %d at offset %#x (%d bytes) is in it but is not used", m, of.start, of.end-of.start))
		}
	}
	return errors.Join(errs...)
}

// adapts tells whether a core instance is where the main module has WASI 0.1
// from.
func (a *analysis) adapts(i int) bool {
	for _, imp := range a.mainInfo.Imports {
		if imp.Module == guestabi.Preview1 {
			src, err := a.argument(a.main, imp.Module, imp.Name, sortCoreFunc)
			return err == nil && src.item == nil && src.instance == i
		}
	}
	return false
}

// initializes tells whether a core instance does nothing but call _initialize
// of the main module, and notes it.
func (a *analysis) initializes(i int) bool {
	name, err := readInitializer(a.bytesOf(i))
	return err == nil && a.noteInitializer(i, name)
}

// noteInitializer notes that a core instance calls one of its imports when it is
// made; it tells whether that is _initialize of the main module, for the first
// time.
func (a *analysis) noteInitializer(i int, name coreName) bool {
	src, err := a.argument(i, name.module, name.name, sortCoreFunc)
	if err != nil || a.initialize || src.item != nil || src.instance != a.main || src.name != initializer {
		return false
	}
	a.initialize = true
	return true
}

// fixupOf tells whether a core instance fills the table of a shim, and notes it.
func (a *analysis) fixupOf(i int) (bool, error) {
	f, err := readFixup(a.bytesOf(i))
	if err != nil {
		return false, nil // whatever else it is
	}
	src, err := a.argument(i, f.table.module, f.table.name, sortCoreTable)
	if err != nil {
		return false, err
	}
	w := a.shims[src.instance]
	if src.item != nil || w == nil || src.name != w.shim.table {
		return false, nil
	}
	if f.start != (coreName{}) && !a.noteInitializer(i, f.start) {
		return false, refused("core module %d calls %s when it is instantiated, which is not %s of the main module", a.moduleOf(i), guestabi.Quote(f.start.name), initializer)
	}
	if w.fixup != nil {
		return false, refused("two core modules, %d and %d, fill the table of one shim", a.moduleOf(w.by), a.moduleOf(i))
	}
	w.fixup, w.by = f, i
	return true, nil
}
