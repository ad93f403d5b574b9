package wasihttp

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"

	"boxfleet/executor/outbound"
)

// field is one header or trailer line. Names are kept in lower case, as HTTP/2 and other hosts have them.
type field struct {
	name  string
	value []byte
}

// fieldOverhead is what a field costs beyond its text, for the bound on fields.
const fieldOverhead = 32

func (f field) size() int { return len(f.name) + len(f.value) + fieldOverhead }

// fields is the resource of that name. A view of a request's or response's fields is immutable and shares the list.
type fields struct {
	list      []field
	immutable bool
	size      int // counted in the Host
}

func (f *fields) release(h *Host) { h.fieldBytes -= f.size; f.size = 0 }

// view makes an immutable resource of the same list.
func (f *fields) view() *fields { return &fields{list: f.list, immutable: true} }

// wasi:http/types.header-error
const (
	headerInvalid   = 0
	headerForbidden = 1
	headerImmutable = 2
)

// charge counts n more bytes of fields. It traps above maxFieldBytes, as the interface knows no error for it.
func (c *call) charge(f *fields, n int) {
	if c.h.fieldBytes+n > maxFieldBytes {
		c.trap("fields of this instance take more than %d bytes", maxFieldBytes)
	}
	c.h.fieldBytes += n
	f.size += n
}

// fromHeader makes the fields of a response or its trailers, sorted by name so that a run can be repeated.
func (c *call) fromHeader(header http.Header) *fields {
	f := &fields{immutable: true}
	for name, values := range header {
		for _, v := range values {
			f.list = append(f.list, field{strings.ToLower(name), []byte(v)})
		}
	}
	slices.SortStableFunc(f.list, func(a, b field) int { return strings.Compare(a.name, b.name) })
	for _, one := range f.list {
		f.size += one.size()
	}
	c.h.fieldBytes += f.size // bounded by the response's own limit and the number of handles
	return f
}

// header copies the fields for the client.
func (f *fields) header() http.Header {
	out := make(http.Header, len(f.list))
	for _, one := range f.list {
		key := http.CanonicalHeaderKey(one.name)
		out[key] = append(out[key], string(one.value))
	}
	return out
}

func (f *fields) get(name string) (values [][]byte) {
	for _, one := range f.list {
		if one.name == name {
			values = append(values, one.value)
		}
	}
	return values
}

func (c *call) delete(f *fields, name string) {
	kept := f.list[:0]
	for _, one := range f.list {
		if one.name == name {
			c.h.fieldBytes -= one.size()
			f.size -= one.size()
			continue
		}
		kept = append(kept, one)
	}
	clear(f.list[len(kept):])
	f.list = kept
}

func (c *call) appendField(f *fields, name string, value []byte) {
	one := field{name, value}
	c.charge(f, one.size())
	f.list = append(f.list, one)
}

// checkName gives the header-error for changing a field, or -1.
func checkName(f *fields, name string) int {
	switch {
	case f.immutable:
		return headerImmutable
	case !validToken(name):
		return headerInvalid
	case outbound.HopByHop(name):
		return headerForbidden
	}
	return -1
}

// validToken is RFC 9110, section 5.6.2.
func validToken(s string) bool {
	if s == "" || len(s) > 1024 {
		return false
	}
	for i := 0; i < len(s); i++ {
		b := s[i]
		if !('a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0) {
			return false
		}
	}
	return true
}

// validValue is RFC 9110, section 5.5: no control characters but tab, so nothing ends the line.
func validValue(v []byte) bool {
	for _, b := range v {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// putHeaderResult writes result<_, header-error>; problem is -1 for ok.
func (c *call) putHeaderResult(at uint32, problem int) {
	if problem < 0 {
		c.put8(at, 0)
		return
	}
	c.put8(at, 1)
	c.put8(at+1, byte(problem))
}

var fieldsFunctions = []*function{
	{"[resource-drop]fields", sig(i32), nil, drop[*fields]},
	{"[constructor]fields", nil, sig(i32), func(c *call, s []uint64) {
		s[0] = uint64(c.add(&fields{}, 0))
	}},
	{"[static]fields.from-list", sig(i32, i32, i32), nil, fieldsFromList},
	{"[method]fields.get", sig(i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		f, name, ret := borrow[*fields](c, s[0]), strings.ToLower(c.str(s[1], s[2])), c.ret(s[3], 4, 8)
		values := f.get(name)
		ptr := c.alloc(4, uint64(len(values))*8)
		for i, v := range values {
			c.putBytes(ptr+uint32(i)*8, v)
		}
		c.put32(ret, ptr)
		c.put32(ret+4, uint32(len(values)))
	}},
	{"[method]fields.has", sig(i32, i32, i32), sig(i32), func(c *call, s []uint64) {
		f, name := borrow[*fields](c, s[0]), strings.ToLower(c.str(s[1], s[2]))
		s[0] = 0
		if len(f.get(name)) > 0 {
			s[0] = 1
		}
	}},
	{"[method]fields.set", sig(i32, i32, i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		f, name, ret := borrow[*fields](c, s[0]), c.str(s[1], s[2]), c.ret(s[5], 1, 2)
		values := c.list(s[3], s[4], 8, 4)
		problem := checkName(f, name)
		fresh := &fields{}
		for i := 0; i < len(values) && problem < 0; i += 8 {
			v := c.bytes(uint64(binary.LittleEndian.Uint32(values[i:])), uint64(binary.LittleEndian.Uint32(values[i+4:])))
			if !validValue(v) {
				problem = headerInvalid
				break
			}
			c.appendField(fresh, strings.ToLower(name), v)
		}
		if problem >= 0 {
			fresh.release(c.h)
		} else {
			c.delete(f, strings.ToLower(name))
			f.list, f.size = append(f.list, fresh.list...), f.size+fresh.size
		}
		c.putHeaderResult(ret, problem)
	}},
	{"[method]fields.delete", sig(i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		f, name, ret := borrow[*fields](c, s[0]), c.str(s[1], s[2]), c.ret(s[3], 1, 2)
		problem := checkName(f, name)
		if problem < 0 {
			c.delete(f, strings.ToLower(name))
		}
		c.putHeaderResult(ret, problem)
	}},
	{"[method]fields.append", sig(i32, i32, i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		f, name, value, ret := borrow[*fields](c, s[0]), c.str(s[1], s[2]), c.bytes(s[3], s[4]), c.ret(s[5], 1, 2)
		problem := checkName(f, name)
		if problem < 0 && !validValue(value) {
			problem = headerInvalid
		}
		if problem < 0 {
			c.appendField(f, strings.ToLower(name), value)
		}
		c.putHeaderResult(ret, problem)
	}},
	{"[method]fields.entries", sig(i32, i32), nil, func(c *call, s []uint64) {
		f, ret := borrow[*fields](c, s[0]), c.ret(s[1], 4, 8)
		ptr := c.alloc(4, uint64(len(f.list))*16)
		for i, one := range f.list {
			c.putBytes(ptr+uint32(i)*16, []byte(one.name))
			c.putBytes(ptr+uint32(i)*16+8, one.value)
		}
		c.put32(ret, ptr)
		c.put32(ret+4, uint32(len(f.list)))
	}},
	{"[method]fields.clone", sig(i32), sig(i32), func(c *call, s []uint64) {
		f := borrow[*fields](c, s[0])
		copied := &fields{}
		for _, one := range f.list {
			c.appendField(copied, one.name, one.value) // values never change, so they are shared
		}
		s[0] = uint64(c.add(copied, 0))
	}},
}

func fieldsFromList(c *call, s []uint64) {
	ret := c.ret(s[2], 4, 8)
	entries := c.list(s[0], s[1], 16, 4)
	f := &fields{}
	problem := -1
	for i := 0; i < len(entries); i += 16 {
		word := func(k int) uint64 { return uint64(binary.LittleEndian.Uint32(entries[i+4*k:])) }
		name, value := c.str(word(0), word(1)), c.bytes(word(2), word(3))
		if problem = checkName(f, name); problem < 0 && !validValue(value) {
			problem = headerInvalid
		}
		if problem >= 0 {
			f.release(c.h)
			c.put8(ret, 1)
			c.put8(ret+4, byte(problem))
			return
		}
		c.appendField(f, strings.ToLower(name), value)
	}
	c.put8(ret, 0)
	c.put32(ret+4, c.add(f, 0))
}
