package component

import "bytes"

// Bounds of what is decoded. A component of a compiler has four modules, some
// thirty instances and some hundred functions and types.
const (
	maxDepth      = 16      // components and types inside each other
	maxComponents = 64      // in all
	maxModules    = 16      // core modules in one component
	maxItems      = 100_000 // of all index spaces, and arguments of instances
)

// sort is one of the index spaces. The core sorts have their numbers of the
// binary format, the others theirs plus 0x100.
type sort int

const (
	sortCoreFunc     sort = 0x00
	sortCoreTable    sort = 0x01
	sortCoreMemory   sort = 0x02
	sortCoreGlobal   sort = 0x03
	sortCoreType     sort = 0x10
	sortCoreModule   sort = 0x11
	sortCoreInstance sort = 0x12
	sortFunc         sort = 0x101
	sortType         sort = 0x103
	sortComponent    sort = 0x104
	sortInstance     sort = 0x105
)

func (s sort) String() string {
	switch s {
	case sortCoreFunc:
		return "core function"
	case sortCoreTable:
		return "core table"
	case sortCoreMemory:
		return "core memory"
	case sortCoreGlobal:
		return "core global"
	case sortCoreType:
		return "core type"
	case sortCoreModule:
		return "core module"
	case sortCoreInstance:
		return "core instance"
	case sortFunc:
		return "function"
	case sortType:
		return "type"
	case sortComponent:
		return "component"
	}
	return "instance"
}

// ref names an item: an index into the space of its sort.
type ref struct {
	sort  sort
	index int
}

// origin says how an item of an index space came to be.
type origin int

const (
	defined      origin = iota // a type, a component's own module
	imported                   // name
	aliased                    // export name of an instance (core or not)
	outer                      // from an enclosing component
	same                       // another item of the same space: of
	instantiated               // module or component of, with args
	bundled                    // exports given one by one in args
	lifted                     // a function: of is the core function
	lowered                    // a core function: of is the function
	intrinsic                  // a core function: name is what it does, of is its type
)

// item is one entry of an index space.
type item struct {
	origin origin
	name   string
	of     ref
	args   map[string]ref
	opts   canonOptions
	at     int // offset in the input
}

// canonOptions are those of a lifting or lowering; -1 is none.
type canonOptions struct {
	memory, realloc, postReturn int
	encoding                    byte // 0 is UTF-8
}

// module is a core module, by its place in the input.
type module struct{ start, end int }

// scope is one component: its index spaces and what it imports and exports.
type scope struct {
	d       *decoder
	spaces  map[sort][]item
	modules []module
	nested  []*scope // of sortComponent items that are defined
	imports []extern
	exports []extern
}

type extern struct {
	name string
	ref  ref
}

func (s *scope) item(r ref) *item { return &s.spaces[r.sort][r.index] }

var preamble = []byte("\x00asm\x0d\x00\x01\x00")

// Is tells whether the bytes begin as a component does, in any version.
func Is(wasm []byte) bool {
	return len(wasm) >= 8 && bytes.Equal(wasm[:4], preamble[:4]) && wasm[6] == 1 && wasm[7] == 0
}

// decoder counts what all scopes of one input have together.
type decoder struct{ components, items int }

// take counts one item.
func (d *decoder) take(r *reader) bool {
	if d.items++; d.items > maxItems {
		r.refuse("it has more than %d items", maxItems)
	}
	return r.err == nil
}

// decode reads a component, whose preamble is read already.
func (d *decoder) decode(r *reader) *scope {
	s := &scope{d: d, spaces: map[sort][]item{}}
	if d.components++; d.components > maxComponents {
		r.refuse("it holds more than %d components", maxComponents)
	}
	if !r.enter() {
		return s
	}
	defer r.leave()
	for r.more() {
		id := r.byte()
		p := r.piece(r.u32())
		if r.err != nil {
			break
		}
		d.section(s, id, p)
		if p.err == nil && p.pos != p.end {
			p.fail("section %d has %d bytes left after its content", id, p.left())
		}
		r.err = p.err
	}
	return s
}

func (d *decoder) section(s *scope, id byte, r *reader) {
	if id == 0 { // custom
		r.name()
		r.pos = r.end
		return
	}
	if id == 1 {
		if len(s.modules) == maxModules {
			r.refuse("it holds more than %d core modules: a composition, not one program", maxModules)
		}
		s.add(r, sortCoreModule, item{of: ref{index: len(s.modules)}, at: r.pos})
		s.modules = append(s.modules, module{r.pos, r.end})
		r.pos = r.end
		return
	}
	if id == 4 {
		d.nested(s, r)
		return
	}
	read := map[byte]func(*scope, *reader){
		2: (*scope).coreInstance, 5: (*scope).instance, 6: (*scope).readAlias, 7: (*scope).typeDefinition,
		8: (*scope).canon, 10: (*scope).readImport, 11: (*scope).readExport,
	}[id]
	switch {
	case read != nil:
		for n := r.count(1); n > 0 && r.err == nil; n-- {
			read(s, r)
		}
	case id == 3:
		r.refuse("it defines types of core modules, as no compiler of programs does")
	case id == 9:
		r.refuse("it has a start function of the component model; only the program's own start is run")
	case id == 12:
		r.refuse("it has values, which no WASI has")
	default:
		r.fail("section %d is unknown", id)
	}
}

// add puts an item at the end of its index space.
func (s *scope) add(r *reader, in sort, it item) {
	if s.d.take(r) {
		s.spaces[in] = append(s.spaces[in], it)
	}
}

// index reads an index that must exist.
func (s *scope) index(r *reader, in sort) ref {
	at := r.pos
	n := r.u32()
	if r.err == nil && int64(n) >= int64(len(s.spaces[in])) {
		r.pos = at
		r.fail("%s %d does not exist: there are %d so far", in, n, len(s.spaces[in]))
	}
	if r.err != nil {
		return ref{sort: in}
	}
	return ref{in, int(n)}
}

func (d *decoder) nested(s *scope, r *reader) {
	at := r.pos
	if r.left() < len(preamble) || !bytes.Equal(r.b[r.pos:r.pos+len(preamble)], preamble) {
		r.fail("a component inside begins with other bytes than %q", preamble)
		return
	}
	r.pos += len(preamble)
	inner := d.decode(r)
	s.add(r, sortComponent, item{of: ref{index: len(s.nested)}, at: at})
	s.nested = append(s.nested, inner)
}

func (s *scope) typeDefinition(r *reader) {
	at := r.pos
	r.skipType()
	s.add(r, sortType, item{at: at})
}

// coreSort reads the sort of a core item.
func (r *reader) coreSort() sort {
	switch c := sort(r.byte()); c {
	case sortCoreFunc, sortCoreTable, sortCoreMemory, sortCoreGlobal, sortCoreType, sortCoreModule, sortCoreInstance:
		return c
	case 0x04:
		r.refuse("it passes exception tags between modules; exceptions are not run")
	default:
		r.fail("%#x is no sort of core items", int(c))
	}
	return 0
}

func (r *reader) sort() sort {
	switch c := r.byte(); c {
	case 0x00:
		return r.coreSort()
	case 0x01, 0x03, 0x04, 0x05:
		return 0x100 + sort(c)
	case 0x02:
		r.refuse("it has values, which no WASI has")
	default:
		r.fail("%#x is no sort", c)
	}
	return 0
}

// named reads a name and an item, and adds them to a set of which each name is
// there once.
func (s *scope) named(r *reader, into map[string]ref, name func(*reader) string, in func(*reader) sort) {
	at := r.pos
	n := name(r)
	it := s.index(r, in(r))
	if _, twice := into[n]; twice && r.err == nil {
		r.pos = at
		r.fail("the name %q is there twice", n)
	}
	if s.d.take(r) {
		into[n] = it
	}
}

func (s *scope) coreInstance(r *reader) {
	it := item{at: r.pos, args: map[string]ref{}}
	switch c := r.byte(); c {
	case 0x00:
		it.origin, it.of = instantiated, s.index(r, sortCoreModule)
		for n := r.count(3); n > 0 && r.err == nil; n-- {
			s.named(r, it.args, (*reader).name, func(r *reader) sort {
				if c := r.byte(); r.err == nil && c != byte(sortCoreInstance) {
					r.fail("%#x cannot be an argument of a core module, only instances (0x12)", c)
				}
				return sortCoreInstance
			})
		}
	case 0x01:
		it.origin = bundled
		for n := r.count(3); n > 0 && r.err == nil; n-- {
			s.named(r, it.args, (*reader).name, (*reader).coreSort)
		}
	default:
		r.fail("%#x is no way to make a core instance", c)
	}
	s.add(r, sortCoreInstance, it)
}

func (s *scope) instance(r *reader) {
	it := item{at: r.pos, args: map[string]ref{}}
	switch c := r.byte(); c {
	case 0x00:
		it.origin, it.of = instantiated, s.index(r, sortComponent)
		for n := r.count(3); n > 0 && r.err == nil; n-- {
			s.named(r, it.args, (*reader).name, (*reader).sort)
		}
	case 0x01:
		it.origin = bundled
		for n := r.count(4); n > 0 && r.err == nil; n-- {
			s.named(r, it.args, (*reader).externName, (*reader).sort)
		}
	default:
		r.fail("%#x is no way to make an instance", c)
	}
	s.add(r, sortInstance, it)
}

// alias reads one alias without looking at its indices.
func (r *reader) alias() (in sort, it item, target uint32) {
	it.at = r.pos
	in = r.sort()
	switch c := r.byte(); c {
	case 0x00:
		it.origin, it.of.sort, target, it.name = aliased, sortInstance, r.u32(), r.name()
	case 0x01:
		it.origin, it.of.sort, target, it.name = aliased, sortCoreInstance, r.u32(), r.name()
	case 0x02:
		it.origin = outer
		r.u32()
		r.u32()
		if r.err == nil && in != sortType && in != sortCoreType && in != sortCoreModule && in != sortComponent {
			r.fail("a %s cannot be taken from an enclosing component", in)
		}
	default:
		r.fail("%#x is no target of an alias", c)
	}
	return in, it, target
}

func (s *scope) readAlias(r *reader) {
	in, it, target := r.alias()
	if r.err == nil && it.origin == aliased {
		if (it.of.sort == sortCoreInstance) != (in < 0x100 && in != sortCoreModule) {
			r.fail("an alias of a %s cannot come from a %s", in, it.of.sort)
		} else if int64(target) >= int64(len(s.spaces[it.of.sort])) {
			r.fail("%s %d does not exist: there are %d so far", it.of.sort, target, len(s.spaces[it.of.sort]))
		}
	}
	it.of.index = int(target)
	s.add(r, in, it)
}

func (s *scope) canon(r *reader) {
	it := item{at: r.pos}
	intrinsicOf := func(name string) {
		it.origin, it.name, it.of = intrinsic, name, s.index(r, sortType)
		s.add(r, sortCoreFunc, it)
	}
	switch c := r.byte(); c {
	case 0x00:
		if sub := r.byte(); sub != 0 {
			r.fail("%#x is no lifting", sub)
		}
		it.origin, it.of, it.opts = lifted, s.index(r, sortCoreFunc), s.options(r)
		s.index(r, sortType)
		s.add(r, sortFunc, it)
	case 0x01:
		if sub := r.byte(); sub != 0 {
			r.fail("%#x is no lowering", sub)
		}
		it.origin, it.of, it.opts = lowered, s.index(r, sortFunc), s.options(r)
		s.add(r, sortCoreFunc, it)
	case 0x02:
		intrinsicOf("resource-new")
	case 0x03:
		intrinsicOf("resource-drop")
	case 0x04:
		intrinsicOf("resource-rep")
	default:
		r.refuse("it uses the built-in function %#x of the component model, for asynchronous calls or threads: build it for WASI 0.2", c)
	}
}

func (s *scope) options(r *reader) canonOptions {
	o := canonOptions{memory: -1, realloc: -1, postReturn: -1}
	for n := r.count(1); n > 0 && r.err == nil; n-- {
		switch c := r.byte(); c {
		case 0x00, 0x01, 0x02:
			o.encoding = c
		case 0x03:
			o.memory = s.index(r, sortCoreMemory).index
		case 0x04:
			o.realloc = s.index(r, sortCoreFunc).index
		case 0x05:
			o.postReturn = s.index(r, sortCoreFunc).index
		case 0x06, 0x07:
			r.refuse("it has asynchronous functions: that is WASI 0.3; build it for 0.2")
		default:
			r.fail("%#x is no option of a function", c)
		}
	}
	return o
}

func (s *scope) readImport(r *reader) {
	it := item{origin: imported, at: r.pos, name: r.externName()}
	in := r.externDesc()
	for _, e := range s.imports {
		if e.name == it.name {
			r.fail("the import %q is there twice", it.name)
			return
		}
	}
	s.imports = append(s.imports, extern{it.name, ref{in, len(s.spaces[in])}})
	if len(s.imports) > maxExterns {
		r.refuse("it has more than %d imports", maxExterns)
	}
	s.add(r, in, it)
}

// maxExterns bounds imports and exports: WASI 0.2 has 40 interfaces.
const maxExterns = 1000

func (s *scope) readExport(r *reader) {
	it := item{origin: same, at: r.pos, name: r.externName()}
	in := r.sort()
	it.of = s.index(r, in)
	switch c := r.byte(); {
	case c == 1:
		if as := r.externDesc(); r.err == nil && as != in {
			r.fail("a %s is exported as a %s", in, as)
		}
	case c > 1:
		r.fail("%#x is no option, want 0 or 1", c)
	}
	for _, e := range s.exports {
		if e.name == it.name {
			r.fail("the export %q is there twice", it.name)
			return
		}
	}
	s.exports = append(s.exports, extern{it.name, ref{in, len(s.spaces[in])}})
	if len(s.exports) > maxExterns {
		r.refuse("it has more than %d exports", maxExterns)
	}
	s.add(r, in, it) // an export is a new item of its space
}
