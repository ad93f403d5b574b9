package component

import (
	"fmt"
	"unicode/utf8"
)

// reader decodes a piece of the input. The first error sticks and later reads
// give zero, so a record may be read whole and err looked at once. Loops over
// counts look at err in their condition.
type reader struct {
	b    []byte // the whole input
	pos  int
	end  int
	err  error
	deep int // nesting of components and types
}

// maxName bounds one name. The longest that tools write are the labels of
// functions, some hundred bytes.
const maxName = 4 << 10

func (r *reader) left() int { return r.end - r.pos }

func (r *reader) more() bool { return r.err == nil && r.pos < r.end }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &InvalidError{Offset: r.pos, What: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) refuse(format string, args ...any) {
	if r.err == nil {
		r.err = refused(format, args...)
	}
}

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if r.pos >= r.end {
		r.fail("ends too early")
		return 0
	}
	r.pos++
	return r.b[r.pos-1]
}

// peek is the next byte, or 0 at the end.
func (r *reader) peek() byte {
	if !r.more() {
		return 0
	}
	return r.b[r.pos]
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		if shift == 28 && c > 0x0f {
			r.pos--
			r.fail("number does not fit 32 bits")
			return 0
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			break
		}
	}
	return v
}

// piece takes n bytes as a reader of their own.
func (r *reader) piece(n uint32) *reader {
	if r.err == nil && uint64(n) > uint64(r.left()) {
		r.fail("%d bytes announced, %d left", n, r.left())
	}
	if r.err != nil {
		return &reader{err: r.err}
	}
	p := &reader{b: r.b, pos: r.pos, end: r.pos + int(n), deep: r.deep}
	r.pos = p.end
	return p
}

// count reads the length of a vector whose elements take at least size bytes.
func (r *reader) count(size int) int {
	n := r.u32()
	if r.err == nil && uint64(n)*uint64(size) > uint64(r.left()) {
		r.fail("vector of %d elements does not fit the %d bytes left", n, r.left())
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	n := r.u32()
	if r.err == nil && n > maxName {
		r.refuse("a name of %d bytes; at most %d are taken", n, maxName)
	}
	p := r.piece(n)
	if r.err != nil {
		return ""
	}
	s := r.b[p.pos:p.end]
	if !utf8.Valid(s) {
		r.pos = p.pos
		r.fail("a name is not UTF-8")
		return ""
	}
	return string(s)
}

// externName reads the name of an import or export of a component.
func (r *reader) externName() string {
	// 0 and 1 are both plain; tools before mid-2024 wrote 1 for interfaces.
	if c := r.byte(); r.err == nil && c > 1 {
		r.pos--
		r.fail("a name begins with %#x, want 0 or 1", c)
	}
	return r.name()
}

// enter and leave bound the nesting of what is read by recursion.
func (r *reader) enter() bool {
	if r.deep++; r.deep > maxDepth {
		r.refuse("components or types are nested more than %d deep", maxDepth)
	}
	return r.err == nil
}

func (r *reader) leave() { r.deep-- }
