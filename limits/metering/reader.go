package metering

import (
	"fmt"
	"unicode/utf8"
)

// reader decodes a piece of the binary. The first error sticks: every later
// read returns zero, so a caller may read a whole record and look at err once.
// Loops over counts must look at err in their condition.
type reader struct {
	b    []byte
	pos  int
	base int // offset of b[0] in the whole input, for errors
	err  error
}

func (r *reader) offset() int { return r.base + r.pos }
func (r *reader) len() int    { return len(r.b) - r.pos }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &InvalidError{Offset: r.offset(), What: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) unsupported(feature string) {
	if r.err == nil {
		r.err = &UnsupportedError{Feature: feature, Offset: r.offset()}
	}
}

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if r.pos >= len(r.b) {
		r.fail("ends too early")
		return 0
	}
	c := r.b[r.pos]
	r.pos++
	return c
}

func (r *reader) bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.len() {
		r.fail("%d bytes wanted, %d left", n, r.len())
		return nil
	}
	p := r.b[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return p
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	if r.err != nil {
		return 0
	}
	if r.pos < len(r.b) && r.b[r.pos] < 0x80 { // one byte, by far the most common
		r.pos++
		return uint32(r.b[r.pos-1])
	}
	var v uint32
	for i := 0; i < 5; i++ {
		if r.pos >= len(r.b) {
			r.fail("number ends too early")
			return 0
		}
		c := r.b[r.pos]
		if i == 4 && c > 0x0f {
			r.fail("number does not fit 32 bits")
			return 0
		}
		r.pos++
		v |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v
		}
	}
	r.fail("number is longer than five bytes")
	return 0
}

// sleb reads a signed LEB128 number of at most the given bits.
func (r *reader) sleb(bits int) int64 {
	if r.err != nil {
		return 0
	}
	var v int64
	for i := 0; i < (bits+6)/7; i++ {
		if r.pos >= len(r.b) {
			r.fail("number ends too early")
			return 0
		}
		c := r.b[r.pos]
		r.pos++
		v |= int64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if s := 7 * (i + 1); s < 64 {
				v = v << (64 - s) >> (64 - s)
			}
			if bits < 64 && (v < -1<<(bits-1) || v >= 1<<(bits-1)) {
				r.fail("number does not fit %d bits", bits)
				return 0
			}
			if bits == 64 && i == 9 && c != 0 && c != 0x7f {
				r.fail("number does not fit 64 bits")
				return 0
			}
			return v
		}
	}
	r.fail("number of %d bits is too long", bits)
	return 0
}

// count reads the length of a vector whose elements take at least size bytes.
// A count that the rest of the input cannot hold is refused here, before
// anything is allocated for it.
func (r *reader) count(size int) int {
	n := r.u32()
	if r.err == nil && uint64(n)*uint64(size) > uint64(r.len()) {
		r.fail("vector of %d elements does not fit the %d bytes left", n, r.len())
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	p := r.bytes(int(r.u32()))
	if r.err == nil && !utf8.Valid(p) {
		r.fail("name is not UTF-8")
	}
	return string(p)
}

func (r *reader) valueType() ValueType {
	t := ValueType(r.byte())
	switch t {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
		return t
	}
	r.pos--
	switch t {
	case 0x69:
		r.unsupported("exception-handling")
	case 0x63, 0x64:
		r.unsupported("function-references")
	case 0x6e, 0x6d, 0x6c, 0x6b, 0x6a, 0x71, 0x72, 0x73:
		r.unsupported("gc")
	default:
		r.fail("unknown value type %#x", byte(t))
	}
	return 0
}

func (r *reader) refType() ValueType {
	t := r.valueType()
	if r.err == nil && t != FuncRef && t != ExternRef {
		r.fail("%s is not a reference type", t)
	}
	return t
}

// Appending counterparts of the reader.

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendSleb(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendName(b []byte, s string) []byte {
	return append(appendU32(b, uint32(len(s))), s...)
}

func appendSection(b []byte, id byte, content []byte) []byte {
	b = append(b, id)
	b = appendU32(b, uint32(len(content)))
	return append(b, content...)
}
