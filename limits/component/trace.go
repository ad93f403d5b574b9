package component

import (
	"errors"
	"fmt"

	"boxfleet/limits/guestabi"
	"boxfleet/limits/metering"
)

// source is where a core item really comes from: an export of a core instance,
// or a function that the component model makes.
type source struct {
	instance int
	name     string
	item     *item // lowered or intrinsic; nil for an export
}

// maxHops bounds how often a function is passed on. Two is what tools make;
// a shim that leads to itself never ends.
const maxHops = 16

// maxReasons bounds how many imports are named in an error.
const maxReasons = 50

// trace follows a core item to its source.
func (a *analysis) trace(r ref, hops int) (source, error) {
	it := a.s.item(r)
	switch it.origin {
	case aliased:
		return a.coreExport(it.of.index, it.name, r.sort, hops+1)
	case lowered, intrinsic:
		return source{item: it}, nil
	}
	return source{}, &InvalidError{it.at, fmt.Sprintf("a %s without a source", r.sort)}
}

// coreExport follows an export of a core instance to its source.
func (a *analysis) coreExport(instance int, name string, in sort, hops int) (source, error) {
	it := a.core(instance)
	if hops > maxHops {
		return source{}, &InvalidError{it.at, fmt.Sprintf("%s is passed on in a circle", guestabi.Quote(name))}
	}
	missing := &InvalidError{it.at, fmt.Sprintf("core instance %d has no %s %s", instance, in, guestabi.Quote(name))}
	switch it.origin {
	case bundled:
		r, ok := it.args[name]
		if !ok || r.sort != in {
			return source{}, missing
		}
		return a.trace(r, hops)
	case instantiated:
		if a.s.item(it.of).origin != defined {
			break
		}
		w := a.shims[instance]
		if w == nil || in != sortCoreFunc {
			return source{instance: instance, name: name}, nil
		}
		entry, ok := w.shim.entries[name]
		if !ok {
			return source{}, missing
		}
		if w.fixup == nil {
			return source{}, refused("nothing fills the table of its shim, core module %d", a.moduleOf(instance))
		}
		from, ok := w.fixup.entries[entry]
		if !ok {
			return source{}, &InvalidError{it.at, fmt.Sprintf("function %s of the shim calls entry %d of its table, which is not filled", guestabi.Quote(name), entry)}
		}
		return a.argumentAt(w.by, from.module, from.name, in, hops+1)
	}
	return source{}, refused("it runs a core module that it imports or takes from elsewhere; all its modules must be its own")
}

// argument follows an import of a core instance's module to its source.
func (a *analysis) argument(instance int, module, name string, in sort) (source, error) {
	return a.argumentAt(instance, module, name, in, 0)
}

func (a *analysis) argumentAt(instance int, module, name string, in sort, hops int) (source, error) {
	arg, ok := a.core(instance).args[module]
	if !ok {
		return source{}, &InvalidError{a.core(instance).at, fmt.Sprintf("core module %d imports from %s, but is not given it", a.moduleOf(instance), guestabi.Quote(module))}
	}
	return a.coreExport(arg.index, name, in, hops+1)
}

// proveMain shows that every import of the main module is what the host gives
// under that name.
func (a *analysis) proveMain() error {
	var errs []error
	for _, imp := range a.mainInfo.Imports {
		if len(errs) == maxReasons {
			errs = append(errs, refused("and more"))
			break
		}
		if e := guestabi.Check(imp); e != nil {
			errs = append(errs, e)
			continue
		}
		src, err := a.argument(a.main, imp.Module, imp.Name, sortCoreFunc)
		if err == nil && imp.Module == guestabi.Preview1 {
			err = a.fromAdapter(imp, src)
		} else if err == nil {
			err = a.fromWASI(imp, src)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("import %s.%s of its main module: %w", guestabi.Quote(imp.Module), guestabi.Quote(imp.Name), err))
		}
	}
	return errors.Join(errs...)
}

// fromAdapter shows that a function of WASI 0.1 is the adapter's.
func (a *analysis) fromAdapter(imp metering.Import, src source) error {
	if a.adapter < 0 || src.item != nil || src.instance != a.adapter || src.name != imp.Name {
		return refused("it is not the function of that name of a preview-1 adapter")
	}
	return nil
}

// fromWASI shows that a function is lowered from the interface of WASI that it
// is named after, and that it uses memory as the host does.
func (a *analysis) fromWASI(imp metering.Import, src source) error {
	if err := a.named(imp, src); err != nil {
		return err
	}
	o := src.item.opts
	if src.item.origin != lowered {
		return nil
	}
	if o.encoding != 0 {
		return refused("its strings are not UTF-8, which is all that hosts speak here: build it with UTF-8 strings")
	}
	if o.memory >= 0 {
		m, err := a.trace(ref{sortCoreMemory, o.memory}, 0)
		if err != nil {
			return err
		}
		if m.item != nil || m.instance != a.main {
			return refused("it works on the memory of another module")
		}
	}
	if o.realloc >= 0 {
		f, err := a.trace(ref{sortCoreFunc, o.realloc}, 0)
		if err != nil {
			return err
		}
		if f.item != nil || f.instance != a.main || f.name != "cabi_realloc" {
			return refused("its results are not allocated by cabi_realloc of the main module: build the program with a newer binding generator, which exports that function")
		}
	}
	return nil
}

// named shows that a source is the function, or the drop of the resource, that
// an import names.
func (a *analysis) named(imp metering.Import, src source) error {
	want, _ := guestabi.SplitVersion(imp.Module)
	no := refused("it is not the function of that name of an imported %s", want)
	if src.item == nil {
		return no
	}
	it, name := a.s.item(src.item.of), ""
	for it.origin == same {
		it = a.s.item(it.of)
	}
	if it.origin != aliased || it.of.sort != sortInstance {
		return no
	}
	switch {
	case src.item.origin == lowered:
		name = it.name
	case src.item.name == "resource-drop":
		name = "[resource-drop]" + it.name
	}
	instance := a.s.item(it.of)
	for instance.origin == same {
		instance = a.s.item(instance.of)
	}
	if instance.origin != imported || name != imp.Name {
		return no
	}
	if from, _ := guestabi.SplitVersion(instance.name); from != want {
		return no
	}
	return nil // both versions are 0.2.x, by checkImports and guestabi.Check
}

// proveAdapter shows that the adapter stands between this program and WASI 0.2,
// and nothing else. What it makes of the calls is not looked into: the host
// gives WASI 0.1 itself.
func (a *analysis) proveAdapter() error {
	if a.adapter < 0 {
		return nil
	}
	info, err := a.inspect(a.adapter)
	if err != nil {
		return fmt.Errorf("its adapter: %w", err)
	}
	var errs []error
	for _, imp := range info.Imports {
		if len(errs) == maxReasons {
			errs = append(errs, refused("and more"))
			break
		}
		if err := a.adapterImport(imp); err != nil {
			errs = append(errs, fmt.Errorf("import %s.%s of its adapter: %w", guestabi.Quote(imp.Module), guestabi.Quote(imp.Name), err))
		}
	}
	return errors.Join(errs...)
}

func (a *analysis) adapterImport(imp metering.Import) error {
	in, ok := map[metering.Kind]sort{metering.KindFunc: sortCoreFunc, metering.KindMemory: sortCoreMemory}[imp.Kind]
	if !ok {
		return refused("an adapter imports functions and the program's memory, not a %s", imp.Kind)
	}
	src, err := a.argument(a.adapter, imp.Module, imp.Name, in)
	if err != nil {
		return err
	}
	own := src.item == nil && src.instance == a.main
	switch {
	case in == sortCoreMemory && !own:
		return refused("it is not the main module's memory")
	case in == sortCoreMemory:
		return nil
	case imp.Module == mainModule && own && src.name == imp.Name:
		return nil
	}
	return a.named(imp, src)
}
