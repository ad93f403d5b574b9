package component_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"boxfleet/limits/component"
	"boxfleet/limits/metering"
)

// TestGood: what the builder of these tests writes is accepted, so that each
// refusal below has the one reason it is about.
func TestGood(t *testing.T) {
	t.Parallel()
	wasm := design{}.write()
	info, err := component.Inspect(wasm)
	if err != nil {
		t.Fatal(err)
	}
	if !info.Adapted || info.Start != "_start" || info.Version != "0.2.3" {
		t.Errorf("adapted %v, start %q, version %q", info.Adapted, info.Start, info.Version)
	}
	if want := []string{"wasi:cli/exit@0.2.3", "wasi:io/poll@0.2.3", "wasi:random/random@0.2.3"}; !slices.Equal(info.Imports, want) {
		t.Errorf("imports %q, want %q", info.Imports, want)
	}
	if !bytes.Equal(info.Main, wasm[info.Offset:info.Offset+len(info.Main)]) || len(info.Core.Imports) != 4 {
		t.Errorf("the main module is not the piece at %d, or has %d imports", info.Offset, len(info.Core.Imports))
	}
}

// TestTools: components as tools of several years write them, around programs
// with and without imports of their own.
func TestTools(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, version string
		own           []string // interfaces the program calls itself
	}{
		{"say-jco1.0.0", "0.2.0", nil},
		{"say-jco1.15.4", "0.2.3", nil},
		{"say-jco1.35.0", "0.2.12", nil},
		{"reactor-jco1.0.0", "0.2.0", nil},
		{"reactor-jco1.15.4", "0.2.3", nil},
		{"reactor-jco1.35.0", "0.2.12", nil},
		{"fetch", "0.2.9", []string{"wasi:http/outgoing-handler@0.2.9", "wasi:http/types@0.2.9", "wasi:io/poll@0.2.9", "wasi:io/streams@0.2.9"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wasm, err := os.ReadFile(filepath.Join("testdata", c.name+".wasm"))
			if err != nil {
				t.Fatal(err)
			}
			info, err := component.Inspect(wasm)
			if err != nil {
				t.Fatal(err)
			}
			start := "_start"
			if strings.HasPrefix(c.name, "reactor") {
				start = "wasi:cli/run@0.2.3#run"
			}
			if !info.Adapted || info.Start != start || info.Version != c.version {
				t.Errorf("adapted %v, start %q, version %q", info.Adapted, info.Start, info.Version)
			}
			// The oldest tool knows nothing of initializers.
			if want := strings.HasPrefix(c.name, "reactor") && c.name != "reactor-jco1.0.0"; info.Initialize != want {
				t.Errorf("initialize %v, want %v", info.Initialize, want)
			}
			var own []string
			for _, imp := range info.Core.Imports {
				if imp.Module != "wasi_snapshot_preview1" && !slices.Contains(own, imp.Module) {
					own = append(own, imp.Module)
				}
			}
			if slices.Sort(own); !slices.Equal(own, c.own) {
				t.Errorf("the program imports %q, want %q", own, c.own)
			}
			if p, err := component.Main(wasm); err != nil || !bytes.Equal(p.Wasm, info.Main) || p.Start != info.Start || p.Initialize != info.Initialize {
				t.Errorf("Main gives %d bytes, %q, %v, %v", len(p.Wasm), p.Start, p.Initialize, err)
			}
		})
	}
}

// TestNative: programs for WASI 0.2 alone, with no adapter.
func TestNative(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"native-jco1.0.0", "native-jco1.35.0"} {
		wasm, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := component.Inspect(wasm)
		if err != nil {
			t.Fatal(err)
		}
		if info.Adapted || info.Initialize || info.Start != "wasi:cli/run@0.2.3#run" || info.Version != "0.2.3" {
			t.Errorf("%s: adapted %v, initialize %v, start %q, version %q", name, info.Adapted, info.Initialize, info.Start, info.Version)
		}
	}
}

// TestNoComponent: modules are their own main module, anything else is nobody's.
func TestNoComponent(t *testing.T) {
	t.Parallel()
	m := (&core{}).bytes()
	if p, err := component.Main(m); err != nil || !bytes.Equal(p.Wasm, m) || p.Start != "_start" || p.Initialize {
		t.Errorf("of a module: %+v, %v", p, err)
	}
	for _, wasm := range []string{"", "\x00asm", string(m), "\x00asm\x0d\x00\x01", "#!/bin/sh\nexit\n"} {
		if component.Is([]byte(wasm)) {
			t.Errorf("%q is a component", wasm)
		}
		if _, err := component.Inspect([]byte(wasm)); !errors.Is(err, component.ErrNotComponent) {
			t.Errorf("%q: %v", wasm, err)
		}
	}
}

// TestRefused changes one thing at a time of a good component. Each change
// would make the program something else than its main module alone.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		d    design
		want string // part of the error
	}{
		{"another package", design{randomImport: "mine:random/random@0.2.3"}, "\"mine:random/random@0.2.3\", which is not of WASI"},
		{"WASI 0.3", design{randomImport: "wasi:random/random@0.3.0"}, "WASI 0.3"},
		{"WASI 0.1", design{randomImport: "wasi:random/random@0.1.0"}, "version 0.1.0 is not one of 0.2.0"},
		{"no version", design{randomImport: "wasi:random/random"}, "needs a version"},
		{"a release candidate", design{randomImport: "wasi:random/random@0.2.0-rc-2023-12-05"}, "rc-2023-12-05"},
		{"main wants WASI 0.3", design{randomMain: "wasi:random/random@0.3.0"}, "WASI 0.3"},
		{"the interface under another name", design{randomImport: "wasi:random/insecure@0.2.3"}, "import \"wasi:random/random@0.2.0\".\"get-random-u64\" of its main module: it is not the function of that name of an imported wasi:random/random"},
		{"the function under another name", design{getName: "other"}, "not the function of that name"},
		{"the resource under another name", design{dropName: "other"}, "\"[resource-drop]pollable\" of its main module"},
		{"another function of the adapter", design{exitName: "fd_close"}, "\"proc_exit\" of its main module: it is not the function of that name of a preview-1 adapter"},
		{"the adapter starts something else", design{startName: "other"}, "does not start a function _start"},
		{"another function of the adapter as run", design{runOf: "proc_exit"}, "is the function \"proc_exit\" of its adapter"},
		{"UTF-16", design{encoding: 1}, "not UTF-8"},
		{"the adapter's realloc", design{reallocOf: 1, reallocName: "cabi_import_realloc"}, "cabi_realloc of the main module"},
		{"another realloc", design{reallocName: "other"}, "cabi_realloc of the main module"},
		{"no run", design{run: "-"}, "it exports nothing"},
		{"a server", design{run: "wasi:http/incoming-handler@0.2.3"}, "it exports \"wasi:http/incoming-handler@0.2.3\" but not wasi:cli/run"},
		{"run of WASI 0.3", design{run: "wasi:cli/run@0.3.0"}, "WASI 0.3"},
		{"run without version", design{run: "wasi:cli/run"}, "needs a version"},
		{"no fixup", design{noFixup: true}, "nothing fills the table of its shim"},
		{"the meter", design{main: func(m *core) { m.imports[1] = cat("boxfleet:meter", "meter", 0, 1) }}, "reserved for metering"},
		{"a memory of another", design{main: func(m *core) { m.importOther("env", "memory", 2, 0, 1); m.memories = nil }}, "memory cannot be imported"},
		{"an interface that is not given", design{main: func(m *core) { m.imports[1] = cat("wasi:keyvalue/store@0.2.0", "x", 0, 1) }}, "no host gives this interface"},
		{"a function that there is not", design{main: func(m *core) { m.imports[1] = cat("wasi:random/random@0.2.0", "get", 0, 1) }}, "no such function"},
		{"main is not given an import", design{mainArgs: func(a []arg) []arg { return a[:2] }}, "imports from \"wasi:io/poll@0.2.3\", but is not given it"},
		{"an argument twice", design{mainArgs: func(a []arg) []arg { return append(a, a[0]) }}, "is there twice"},
		{"a bundle's name twice", design{preview1: func(_ *comp, l []given) []given { return append(l, l[0]) }}, "\"proc_exit\" is there twice"},
		{"a function of another sort", design{preview1: func(_ *comp, l []given) []given { return []given{{"fd_close", fn, l[0].index}} }}, "has no core function \"proc_exit\""},
		{"main is no module", design{main: func(m *core) { m.codes = m.codes[1:] }}, "invalid WebAssembly"},
		{"main wants threads", design{main: func(m *core) { m.memories = [][]byte{{3, 1, 1}} }}, "unsupported WebAssembly feature"},
		{"the adapter wants more", design{adapter: func(m *core) { m.imports[1] = cat("env", "exit", 0, 1) }}, "of its adapter"},
		{"the adapter has a table", design{adapter: func(m *core) { m.importOther("env", "table", 1, 0x70, 0, 1) }}, "not a table"},

		{"a shim that does more", design{shim: func(m *core) { m.codes[0] = m.function1(0x01, 0x20, 0, 0x41, 0, 0x11, 0, 0) }}, "neither the program nor"},
		{"a shim with swapped parameters", design{shim: func(m *core) { m.codes[1] = m.function1(0x20, 1, 0x20, 0, 0x41, 1, 0x11, 1, 0) }}, "neither the program nor"},
		{"a shim that drops a parameter", design{shim: func(m *core) { m.codes[1] = m.function1(0x20, 0, 0x41, 1, 0x11, 1, 0) }}, "neither the program nor"},
		{"a shim with a computed slot", design{shim: func(m *core) { m.codes[0] = m.function1(0x20, 0, 0x20, 0, 0x11, 0, 0) }}, "neither the program nor"},
		{"a shim with a negative slot", design{shim: func(m *core) { m.codes[0] = m.function1(0x20, 0, 0x41, 0x7f, 0x11, 0, 0) }}, "neither the program nor"},
		{"a shim of another type", design{shim: func(m *core) { m.codes[0] = m.function1(0x20, 0, 0x41, 0, 0x11, 1, 0) }}, "neither the program nor"},
		{"a shim with a memory", design{shim: func(m *core) { m.memories = [][]byte{{0, 1}} }}, "neither the program nor"},
		{"a shim with a start function", design{shim: func(m *core) { m.function("->"); m.start = u32(2) }}, "neither the program nor"},
		{"a shim with filled table", design{shim: func(m *core) { m.elements = [][]byte{cat(0, 0x41, 0, 0x0b, vec(u32(0)))} }}, "neither the program nor"},
		{"a slot that is not filled", design{shim: func(m *core) { m.codes[0] = m.function1(0x20, 0, 0x41, 9, 0x11, 0, 0) }}, "entry 9 of its table, which is not filled"},
		{"shim exports swapped", design{shim: func(m *core) { m.codes[0] = m.function1(0x20, 0, 0x41, 1, 0x11, 0, 0) }}, "\"proc_exit\" of its main module: it is not"},
		{"fixup swaps", design{fixup: func(m *core) { m.elements = [][]byte{cat(0, 0x41, 0, 0x0b, vec(u32(1), u32(0)))} }}, "\"proc_exit\" of its main module: it is not"},
		{"fixup overwrites", design{fixup: func(m *core) { m.elements = append(m.elements, cat(0, 0x41, 0, 0x0b, vec(u32(1)))) }}, "\"proc_exit\" of its main module: it is not"},
		{"fixup with a function of its own", design{fixup: func(m *core) { m.function("i32 ->"); m.elements = [][]byte{cat(0, 0x41, 0, 0x0b, vec(u32(2), u32(1)))} }}, "neither the program nor"},
		{"fixup starts something", design{fixup: func(m *core) { m.importFunc("", "0", "->"); m.start = u32(2) }}, "calls \"0\" when it is instantiated"},
		{"fixup with a computed offset", design{fixup: func(m *core) { m.elements = [][]byte{cat(0, 0x23, 0, 0x0b, vec(u32(0), u32(1)))} }}, "neither the program nor"},
		{"fixup with a negative offset", design{fixup: func(m *core) { m.elements = [][]byte{cat(0, 0x41, 0x7f, 0x0b, vec(u32(0), u32(1)))} }}, "neither the program nor"},
		{"fixup with passive segments", design{fixup: func(m *core) { m.elements = [][]byte{cat(1, 0, vec(u32(0), u32(1)))} }}, "neither the program nor"},

		{"a stranger", design{middle: func(c *comp) { c.instantiate(c.module(stranger())) }}, "core module 4 at offset"},
		{"a second program", design{middle: func(c *comp) { c.instantiate(c.module((&core{memories: [][]byte{{0, 1}}}).bytes())) }}, "neither the program nor"},
		{"the program twice", design{last: func(c *comp) { c.instantiate(3) }}, "core module 3 twice"},
		{"a module that is not used", design{middle: func(c *comp) { c.module(stranger()) }}, "(8 bytes) is in it but is not used"},
		{"two fixups", design{last: func(c *comp) {
			m := &core{}
			m.importOther("", "$imports", 1, 0x70, 0, 2)
			m.elements = [][]byte{cat(0, 0x41, 0, 0x0b, vec())}
			c.instantiate(c.module(m.bytes()), arg{"", c.bundle(given{"$imports", table, 0})})
		}}, "fill the table of one shim"},
		{"many modules", design{middle: func(c *comp) {
			for range 20 {
				c.module(stranger())
			}
		}}, "more than 16 core modules"},
		{"a function import", design{middle: func(c *comp) { c.add(10, vec(cat(0, "f", 1, u32(c.typ(noType)))), &c.funcs) }}, "it imports the function \"f\""},
		{"a module import", design{middle: func(c *comp) { c.add(10, vec(cat(0, "m", 0, 0x11, 0)), &c.modules) }}, "it imports the core module \"m\""},
		{"a component import", design{middle: func(c *comp) { c.add(10, vec(cat(0, "c", 4, u32(c.typ(cat(0x41, 0))))), &c.components) }}, "it imports the component \"c\""},
		{"a type import", design{middle: func(c *comp) { c.add(10, vec(cat(0, "t", 3, 1)), &c.types) }}, "it imports the type \"t\""},
		{"a value import", design{middle: func(c *comp) { c.add(10, vec(cat(0, "v", 2, 1, 0x7f)), &c.types) }}, "values"},
		{"an import twice", design{middle: func(c *comp) { c.importInstance("wasi:cli/exit@0.2.3") }}, "the import \"wasi:cli/exit@0.2.3\" is there twice"},
		{"an export twice", design{end: func(c *comp) { c.exportRun("wasi:cli/run@0.2.3", 0) }}, "the export \"wasi:cli/run@0.2.3\" is there twice"},
		{"imported run", design{run: "-", end: func(c *comp) {
			c.exportRun("wasi:cli/run@0.2.3", c.aliasFunc(c.importInstance("wasi:cli/run@0.2.3", defineType(noType), exportFunc("run", 0)), "run"))
		}}, "another component's"},
		{"a start section", design{end: func(c *comp) { c.add(9, cat(0, 0, 0), new(int)) }}, "start function of the component model"},
		{"a value section", design{end: func(c *comp) { c.add(12, vec(), new(int)) }}, "values"},
		{"an unknown section", design{end: func(c *comp) { c.add(13, vec(), new(int)) }}, "section 13 is unknown"},
		{"core types", design{end: func(c *comp) { c.add(3, vec(), new(int)) }}, "types of core modules"},
		{"asynchronous lowering", design{middle: func(c *comp) { c.lower(0, []byte{6}) }}, "WASI 0.3"},
		{"an asynchronous built-in", design{middle: func(c *comp) { c.add(8, vec([]byte{0x05}), &c.coreFuncs) }}, "built-in function 0x5"},
		{"an asynchronous function", design{middle: func(c *comp) { c.typ([]byte{0x43, 0, 1, 0}) }}, "WASI 0.3"},
		{"a stream type", design{middle: func(c *comp) { c.typ([]byte{0x66, 0}) }}, "WASI 0.3"},
		{"exceptions", design{middle: func(c *comp) { c.add(6, vec(cat(0, 4, 1, 0, "e")), &c.coreFuncs) }}, "exception tags"},
		{"an alias of nothing", design{middle: func(c *comp) { c.aliasFunc(99, "x") }}, "instance 99 does not exist"},
		{"a core alias of nothing", design{middle: func(c *comp) { c.aliasCore(fn, 99, "x") }}, "core instance 99 does not exist"},
		{"a lowering of nothing", design{middle: func(c *comp) { c.lower(99) }}, "function 99 does not exist"},
		{"a module of nothing", design{middle: func(c *comp) { c.instantiate(99) }}, "core module 99 does not exist"},
		{"itself as an argument", design{middle: func(c *comp) { c.instantiate(0, arg{"x", c.coreInstances}) }}, "does not exist: there are"},
		{"an enclosing component's function", design{middle: func(c *comp) { c.add(6, vec(cat(1, 2, 1, 0)), &c.funcs) }}, "cannot be taken from an enclosing component"},
		{"bytes after a section's content", design{end: func(c *comp) { c.add(7, cat(vec(noType), 0), &c.types) }}, "1 bytes left after its content"},
		{"a huge count", design{end: func(c *comp) { c.add(7, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, &c.types) }}, "vector of 4294967295 elements"},
		{"a long number", design{end: func(c *comp) { c.add(7, []byte{0xff, 0xff, 0xff, 0xff, 0x1f}, &c.types) }}, "does not fit 32 bits"},
		{"a longer number", design{end: func(c *comp) { c.add(7, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0}, &c.types) }}, "does not fit 32 bits"},
		{"a huge section", design{end: func(c *comp) { c.b = append(c.b, 7, 0xff, 0xff, 0xff, 0xff, 0x0f) }}, "4294967295 bytes announced"},
		{"a name that is not text", design{end: func(c *comp) { c.add(0, []byte{1, 0xff}, new(int)) }}, "not UTF-8"},
		{"a long name", design{end: func(c *comp) { c.add(0, str(strings.Repeat("x", 5000)), new(int)) }}, "a name of 5000 bytes"},
		{"deep types", design{end: func(c *comp) {
			t := noType
			for range 20 {
				t = cat(0x42, vec(cat(1, t)))
			}
			c.typ(t)
		}}, "nested more than 16 deep"},
		{"deep components", design{end: func(c *comp) {
			inner := newComp().b
			for range 20 {
				inner = append(newComp().b, section(4, inner)...)
			}
			c.add(4, inner, &c.components)
		}}, "nested more than 16 deep"},
		{"many components", design{end: func(c *comp) {
			for range 100 {
				c.add(4, newComp().b, &c.components)
			}
		}}, "more than 64 components"},
		{"many types", design{end: func(c *comp) { c.add(7, append(u32(200_000), bytes.Repeat([]byte{0x7f}, 200_000)...), &c.types) }}, "more than 100000 items"},
		{"another kind of component inside", design{end: func(c *comp) { c.add(4, (&core{}).bytes(), &c.components) }}, "a component inside begins"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := component.Inspect(c.d.write())
			if err == nil {
				t.Fatal("it is accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q does not say %q", err, c.want)
			}
		})
	}
}

func stranger() []byte { return (&core{}).bytes() }

// function1 gives a code entry without adding a function.
func (m *core) function1(body ...byte) []byte {
	code := cat(0, body, 0x0b)
	return cat(u32(len(code)), code)
}

// TestCircle: a shim whose table leads back to its own functions.
func TestCircle(t *testing.T) {
	t.Parallel()
	d := design{noFixup: true, last: func(c *comp) {
		m := &core{}
		m.importFunc("", "0", "i32 ->")
		m.importFunc("", "1", "i64 i32 ->")
		m.importOther("", "$imports", 1, 0x70, 0, 2)
		m.elements = [][]byte{cat(0, 0x41, 0, 0x0b, vec(u32(0), u32(1)))}
		shim := 0 // the first core instance
		self := c.bundle(given{"0", fn, c.aliasCore(fn, shim, "0")}, given{"1", fn, c.aliasCore(fn, shim, "1")}, given{"$imports", table, 0})
		c.instantiate(c.module(m.bytes()), arg{"", self})
	}}
	_, err := component.Inspect(d.write())
	if err == nil || !strings.Contains(err.Error(), "is passed on in a circle") {
		t.Fatalf("got %v", err)
	}
}

// TestAllReasons: reasons that do not depend on each other come together.
func TestAllReasons(t *testing.T) {
	t.Parallel()
	_, err := component.Inspect(design{getName: "other", dropName: "other", exitName: "fd_close"}.write())
	if err == nil {
		t.Fatal("it is accepted")
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 3 {
		t.Errorf("%d reasons, want 3: %v", len(lines), err)
	}
	var refused *component.RefusedError
	if !errors.As(err, &refused) {
		t.Errorf("%v is no RefusedError", err)
	}
	var invalid *component.InvalidError
	if _, err := component.Inspect(design{end: func(c *comp) { c.b = append(c.b, 7) }}.write()); !errors.As(err, &invalid) || invalid.Offset == 0 {
		t.Errorf("%v is no InvalidError with its offset", err)
	}
	var unsupported *metering.UnsupportedError
	if _, err := component.Inspect(design{main: func(m *core) { m.memories = [][]byte{{3, 1, 1}} }}.write()); !errors.As(err, &unsupported) {
		t.Errorf("%v is no UnsupportedError", err)
	}
}

// TestManyReasons: an error stays small whatever a component holds.
func TestManyReasons(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("x", 4000)
	for what, d := range map[string]design{
		"imports of the program": {main: func(m *core) {
			typ := u32(m.typ("->"))
			for range 10_000 {
				m.imports = append(m.imports, cat(name[:100], name[:100], 0, typ))
				m.functions++
			}
		}},
		"imports of the adapter": {adapter: func(m *core) {
			for range 1000 {
				m.importFunc("env", name, "->")
			}
		}},
		"imports": {middle: func(c *comp) {
			for i := range 900 {
				c.importInstance(name + strings.Repeat("y", i%90) + string(rune('a'+i/90)))
			}
		}},
		"exports": {run: "-", end: func(c *comp) {
			for i := range 900 {
				c.exportRun(name+strings.Repeat("y", i%90)+string(rune('a'+i/90)), 0)
			}
		}},
	} {
		_, err := component.Inspect(d.write())
		if err == nil {
			t.Fatalf("%s: accepted", what)
		}
		if len(err.Error()) > 64<<10 {
			t.Errorf("%s: an error of %d bytes", what, len(err.Error()))
		}
	}
}

// TestCut: every beginning of a component is refused, and none panics.
func TestCut(t *testing.T) {
	t.Parallel()
	wasm := design{}.write()
	for n := range wasm {
		if _, err := component.Inspect(wasm[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are accepted", n, len(wasm))
		}
	}
}

// FuzzInspect: whatever the bytes, Inspect answers, says the same twice, and
// what it accepts is a piece of the input that the meter can read.
func FuzzInspect(f *testing.F) {
	f.Add([]byte{})
	f.Add((&core{}).bytes())
	f.Add(newComp().b)
	f.Add(design{}.write())
	f.Add(design{noFixup: true}.write())
	f.Add(design{run: "-"}.write())
	tool, err := os.ReadFile(filepath.Join("testdata", "say-jco1.15.4.wasm"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tool)
	f.Fuzz(func(t *testing.T, wasm []byte) {
		info, err := component.Inspect(wasm)
		_, again := component.Inspect(wasm)
		if (err == nil) != (again == nil) || err != nil && err.Error() != again.Error() {
			t.Fatalf("first %v, then %v", err, again)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(info.Main, wasm[info.Offset:info.Offset+len(info.Main)]) {
			t.Fatal("the main module is no piece of the input")
		}
		if _, err := metering.Inspect(info.Main); err != nil {
			t.Fatal(err)
		}
		if e, ok := info.Core.Export(info.Start); !ok || e.Kind != metering.KindFunc {
			t.Fatalf("no function %q to start", info.Start)
		}
	})
}
