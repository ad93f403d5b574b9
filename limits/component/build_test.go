package component_test

import (
	"slices"
	"strings"

	"boxfleet/limits/metering"
)

// This file writes components byte by byte, good ones and bad ones.

func u32(n int) []byte {
	var b []byte
	for n >= 0x80 {
		b, n = append(b, byte(n)|0x80), n>>7
	}
	return append(b, byte(n))
}

func str(s string) []byte { return append(u32(len(s)), s...) }

func vec(items ...[]byte) []byte { return append(u32(len(items)), slices.Concat(items...)...) }

func cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case string:
			b = append(b, str(p)...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func section(id int, content []byte) []byte { return cat(id, u32(len(content)), content) }

// core writes core modules.
type core struct {
	types, imports, funcs, tables, memories, exports, codes, elements [][]byte
	start                                                             []byte
	functions                                                         int
}

// typ adds a type written as "i32 i64 -> i32" and gives its index.
func (m *core) typ(text string) int {
	list := func(s string) []byte {
		var b [][]byte
		for _, w := range strings.Fields(s) {
			b = append(b, []byte{map[string]byte{"i32": 0x7f, "i64": 0x7e}[w]})
		}
		return vec(b...)
	}
	params, results, _ := strings.Cut(text, "->")
	m.types = append(m.types, cat(0x60, list(params), list(results)))
	return len(m.types) - 1
}

func (m *core) importFunc(module, name, typ string) int {
	m.imports = append(m.imports, cat(module, name, 0, u32(m.typ(typ))))
	m.functions++
	return m.functions - 1
}

func (m *core) importOther(module, name string, desc ...byte) {
	m.imports = append(m.imports, cat(module, name, desc))
}

// function adds a function; body is without locals and end.
func (m *core) function(typ string, body ...byte) int {
	m.funcs = append(m.funcs, u32(m.typ(typ)))
	code := cat(0, body, 0x0b)
	m.codes = append(m.codes, cat(u32(len(code)), code))
	m.functions++
	return m.functions - 1
}

func (m *core) export(name string, kind metering.Kind, index int) {
	m.exports = append(m.exports, cat(name, int(kind), u32(index)))
}

func (m *core) bytes() []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range []struct {
		id    int
		items [][]byte
	}{{1, m.types}, {2, m.imports}, {3, m.funcs}, {4, m.tables}, {5, m.memories}, {7, m.exports}} {
		if len(s.items) > 0 {
			b = append(b, section(s.id, vec(s.items...))...)
		}
	}
	if m.start != nil {
		b = append(b, section(8, m.start)...)
	}
	if len(m.elements) > 0 {
		b = append(b, section(9, vec(m.elements...))...)
	}
	if len(m.codes) > 0 {
		b = append(b, section(10, vec(m.codes...))...)
	}
	return b
}

// comp writes components. Each method gives the index of what it added.
type comp struct {
	b                                                   []byte
	modules, coreInstances, coreFuncs, memories, tables int
	types, funcs, instances, components                 int
}

func newComp() *comp { return &comp{b: []byte("\x00asm\x0d\x00\x01\x00")} }

func (c *comp) add(id int, content []byte, n *int) int {
	c.b = append(c.b, section(id, content)...)
	*n++
	return *n - 1
}

func (c *comp) module(m []byte) int { return c.add(1, m, &c.modules) }

func (c *comp) typ(t []byte) int { return c.add(7, vec(t), &c.types) }

// importInstance imports an instance of the type of the given declarations.
func (c *comp) importInstance(name string, decls ...[]byte) int {
	t := c.typ(cat(0x42, vec(decls...)))
	return c.add(10, vec(cat(0, name, 5, u32(t))), &c.instances)
}

func (c *comp) aliasFunc(instance int, name string) int {
	return c.add(6, vec(cat(1, 0, u32(instance), name)), &c.funcs)
}

func (c *comp) aliasType(instance int, name string) int {
	return c.add(6, vec(cat(3, 0, u32(instance), name)), &c.types)
}

func (c *comp) aliasCore(kind metering.Kind, instance int, name string) int {
	n := map[metering.Kind]*int{metering.KindFunc: &c.coreFuncs, metering.KindMemory: &c.memories, metering.KindTable: &c.tables}[kind]
	return c.add(6, vec(cat(0, int(kind), 1, u32(instance), name)), n)
}

func (c *comp) lower(f int, opts ...[]byte) int {
	return c.add(8, vec(cat(1, 0, u32(f), vec(opts...))), &c.coreFuncs)
}

func (c *comp) drop(t int) int { return c.add(8, vec(cat(3, u32(t))), &c.coreFuncs) }

func (c *comp) lift(f, t int) int {
	return c.add(8, vec(cat(0, 0, u32(f), 0, u32(t))), &c.funcs)
}

type arg struct {
	name     string
	instance int
}

func (c *comp) instantiate(module int, args ...arg) int {
	var list [][]byte
	for _, a := range args {
		list = append(list, cat(a.name, 0x12, u32(a.instance)))
	}
	return c.add(2, vec(cat(0, u32(module), vec(list...))), &c.coreInstances)
}

type given struct {
	name  string
	kind  metering.Kind
	index int
}

func (c *comp) bundle(list ...given) int {
	var out [][]byte
	for _, g := range list {
		out = append(out, cat(g.name, int(g.kind), u32(g.index)))
	}
	return c.add(2, vec(cat(1, vec(out...))), &c.coreInstances)
}

// exportRun exports an instance with a function run.
func (c *comp) exportRun(name string, f int) {
	i := c.add(5, vec(cat(1, vec(cat(0, "run", 1, u32(f))))), &c.instances)
	c.add(11, vec(cat(0, name, 5, u32(i), 0)), &c.instances)
}

const (
	fn    = metering.KindFunc
	table = metering.KindTable
	mem   = metering.KindMemory
)

// forward is the body of a shim's function.
func forward(params, slot, typ int) []byte {
	var b []byte
	for i := range params {
		b = append(b, 0x20, byte(i))
	}
	return append(b, 0x41, byte(slot), 0x11, byte(typ), 0)
}

// design is what a test changes of a component that is good otherwise.
type design struct {
	randomImport, randomMain string // interface names with version
	getName                  string // function lowered for get-random-u64
	dropName                 string // resource dropped for pollable
	exitName                 string // the adapter's function for proc_exit
	startName                string // the main module's function that the adapter starts
	memoryName, reallocName  string // of main, used by lowerings
	reallocOf                int    // 1: the adapter
	encoding                 byte
	run                      string // export
	runOf                    string // core function lifted for it
	shim                     func(m *core)
	fixup                    func(m *core)
	main                     func(m *core)
	adapter                  func(m *core)
	preview1                 func(c *comp, list []given) []given
	middle                   func(c *comp) // before the fixup
	last                     func(c *comp) // before the export
	end                      func(c *comp)
	noFixup                  bool
	mainArgs                 func(list []arg) []arg
}

// result types and others of WASI functions
var (
	noType      = []byte{0x40, 0, 1, 0}
	u64Type     = []byte{0x40, 0, 0, 0x77}
	u8List      = []byte{0x70, 0x7d}
	resultType  = []byte{0x6a, 0, 0}
	defineType  = func(t []byte) []byte { return cat(1, t) }
	exportFunc  = func(name string, t int) []byte { return cat(4, 0, name, 1, u32(t)) }
	newResource = func(name string) []byte { return cat(4, 0, name, 3, 1) }
)

// write makes the component: main with adapter, shim and fixup, importing
// wasi:random and wasi:io/poll itself.
func (d design) write() []byte {
	def := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	def(&d.randomImport, "wasi:random/random@0.2.3")
	def(&d.randomMain, "wasi:random/random@0.2.0")
	def(&d.getName, "get-random-u64")
	def(&d.dropName, "pollable")
	def(&d.exitName, "proc_exit")
	def(&d.startName, "_start")
	def(&d.memoryName, "memory")
	def(&d.reallocName, "cabi_realloc")
	def(&d.run, "wasi:cli/run@0.2.3")
	def(&d.runOf, "wasi:cli/run@0.2.3#run")

	change := func(f func(*core), m *core) []byte {
		if f != nil {
			f(m)
		}
		return m.bytes()
	}
	main := &core{memories: [][]byte{{0, 1}}}
	main.importFunc("wasi_snapshot_preview1", "proc_exit", "i32 ->")
	main.importFunc(d.randomMain, "get-random-u64", "-> i64")
	main.importFunc(d.randomMain, "get-random-bytes", "i64 i32 ->")
	main.importFunc("wasi:io/poll@0.2.3", "[resource-drop]pollable", "i32 ->")
	main.export("_start", fn, main.function("->"))
	main.export("cabi_realloc", fn, main.function("i32 i32 i32 i32 -> i32", 0x41, 0))
	main.export("other", fn, main.function("->"))
	main.export("memory", mem, 0)

	adapter := &core{}
	adapter.importFunc("__main_module__", "_start", "->")
	adapter.importFunc("wasi:cli/exit@0.2.3", "exit", "i32 ->")
	adapter.importOther("env", "memory", 2, 0, 1)
	adapter.export("proc_exit", fn, adapter.function("i32 ->"))
	adapter.export("fd_close", fn, adapter.function("i32 ->"))
	adapter.export("cabi_import_realloc", fn, adapter.function("i32 i32 i32 i32 -> i32", 0x41, 0))
	adapter.export("wasi:cli/run@0.2.3#run", fn, adapter.function("-> i32", 0x41, 0))

	shim := &core{tables: [][]byte{{0x70, 0, 2}}}
	shim.export("0", fn, shim.function("i32 ->", forward(1, 0, 0)...))
	shim.export("1", fn, shim.function("i64 i32 ->", forward(2, 1, 1)...))
	shim.export("$imports", table, 0)

	fixup := &core{}
	fixup.importFunc("", "0", "i32 ->")
	fixup.importFunc("", "1", "i64 i32 ->")
	fixup.importOther("", "$imports", 1, 0x70, 0, 2)
	fixup.elements = [][]byte{cat(0, 0x41, 0, 0x0b, vec(u32(0), u32(1)))}

	c := newComp()
	random := c.importInstance(d.randomImport,
		defineType(u64Type), exportFunc("get-random-u64", 0), exportFunc("other", 0),
		defineType(u8List), defineType(cat(0x40, vec(cat("len", 0x77)), 0, 1)), exportFunc("get-random-bytes", 2))
	poll := c.importInstance("wasi:io/poll@0.2.3", newResource("pollable"), newResource("other"))
	exit := c.importInstance("wasi:cli/exit@0.2.3",
		defineType(resultType), defineType(cat(0x40, vec(cat("status", 0)), 1, 0)), exportFunc("exit", 1))
	mainModule := c.module(change(d.main, main))
	adapterModule := c.module(change(d.adapter, adapter))
	shimModule := c.module(change(d.shim, shim))
	fixupModule := -1
	if !d.noFixup {
		fixupModule = c.module(change(d.fixup, fixup))
	}

	s := c.instantiate(shimModule)
	list := []given{{"proc_exit", fn, c.aliasCore(fn, s, "0")}}
	if d.preview1 != nil {
		list = d.preview1(c, list)
	}
	p1 := c.bundle(list...)
	get := c.lower(c.aliasFunc(random, d.getName))
	r := c.bundle(given{"get-random-u64", fn, get}, given{"get-random-bytes", fn, c.aliasCore(fn, s, "1")})
	p := c.bundle(given{"[resource-drop]pollable", fn, c.drop(c.aliasType(poll, d.dropName))})
	args := []arg{{"wasi_snapshot_preview1", p1}, {d.randomMain, r}, {"wasi:io/poll@0.2.3", p}}
	if d.mainArgs != nil {
		args = d.mainArgs(args)
	}
	m := c.instantiate(mainModule, args...)
	memory := c.aliasCore(mem, m, d.memoryName)
	env := c.bundle(given{"memory", mem, memory})
	start := c.bundle(given{"_start", fn, c.aliasCore(fn, m, d.startName)})
	e := c.bundle(given{"exit", fn, c.lower(c.aliasFunc(exit, "exit"))})
	a := c.instantiate(adapterModule, arg{"__main_module__", start}, arg{"wasi:cli/exit@0.2.3", e}, arg{"env", env})
	if d.middle != nil {
		d.middle(c)
	}
	realloc := c.aliasCore(fn, []int{m, a}[d.reallocOf], d.reallocName)
	bytes := c.lower(c.aliasFunc(random, "get-random-bytes"), cat(int(d.encoding)), cat(3, u32(memory)), cat(4, u32(realloc)))
	actual := c.bundle(given{"0", fn, c.aliasCore(fn, a, d.exitName)}, given{"1", fn, bytes}, given{"$imports", table, c.aliasCore(table, s, "$imports")})
	if !d.noFixup {
		c.instantiate(fixupModule, arg{"", actual})
	}
	if d.last != nil {
		d.last(c)
	}
	result := c.typ(resultType)
	run := c.lift(c.aliasCore(fn, a, d.runOf), c.typ(cat(0x40, 0, 0, u32(result))))
	if d.run != "-" {
		c.exportRun(d.run, run)
	}
	if d.end != nil {
		d.end(c)
	}
	return c.b
}
