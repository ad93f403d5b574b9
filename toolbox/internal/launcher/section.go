package launcher

import (
	"errors"
	"fmt"
	"slices"
)

// The sections that are read or written here, by their numbers in the
// specification's binary format.
const (
	custom       = 0
	typeSection  = 1
	imports      = 2
	functions    = 3
	memories     = 5
	code         = 10
	data         = 11
	dataCount    = 12
	header       = "\x00asm\x01\x00\x00\x00"
	debugPrefix  = ".debug_"
	wasiModule   = "wasi_snapshot_preview1"
	maxPages     = 1 << 16
	bytesPerPage = 1 << 16
)

var errCut = errors.New("the module ends too early")

// section is one section of a module; content leaves out its number and size.
type section struct {
	id      byte
	content []byte
}

// split takes a module apart, without the sections of debuggers.
func split(module []byte) ([]section, error) {
	if len(module) < len(header) || string(module[:len(header)]) != header {
		return nil, errors.New("not a WebAssembly module: it does not start with \\0asm and version 1")
	}
	var all []section
	for r := (reader{module[len(header):]}); len(r.rest) > 0; {
		id := r.rest[0]
		r.rest = r.rest[1:]
		content, err := r.bytes()
		if err != nil {
			return nil, fmt.Errorf("section %d: %w", id, err)
		}
		if id != custom {
			all = append(all, section{id, content})
			continue
		}
		name, err := (&reader{content}).bytes()
		if err != nil {
			return nil, fmt.Errorf("a custom section: %w", err)
		}
		if len(name) < len(debugPrefix) || string(name[:len(debugPrefix)]) != debugPrefix {
			all = append(all, section{id, content})
		}
	}
	return all, nil
}

// join is the module of these sections.
func join(all []section) []byte {
	out := []byte(header)
	for _, s := range all {
		out = append(out, s.id)
		out = appendVector(out, s.content)
	}
	return out
}

// find is the only section with a number.
func find(all []section, id byte) (*section, error) {
	i := slices.IndexFunc(all, func(s section) bool { return s.id == id })
	if i < 0 {
		return nil, fmt.Errorf("it has no section %d", id)
	}
	if slices.ContainsFunc(all[i+1:], func(s section) bool { return s.id == id }) {
		return nil, fmt.Errorf("it has section %d twice", id)
	}
	return &all[i], nil
}

// reader reads what it has left from the front.
type reader struct{ rest []byte }

// u32 reads an unsigned number in LEB128, of at most five bytes.
func (r *reader) u32() (uint32, error) {
	var n uint64
	for i := range 5 {
		if i >= len(r.rest) {
			return 0, errCut
		}
		b := r.rest[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if n>>32 != 0 {
				break
			}
			r.rest = r.rest[i+1:]
			return uint32(n), nil
		}
	}
	return 0, errors.New("a number is larger than 32 bits")
}

// bytes reads a length and as many bytes.
func (r *reader) bytes() ([]byte, error) {
	n, err := r.u32()
	if err != nil {
		return nil, err
	}
	if uint64(n) > uint64(len(r.rest)) {
		return nil, errCut
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b, nil
}

func (r *reader) byte() (byte, error) {
	if len(r.rest) == 0 {
		return 0, errCut
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b, nil
}

func appendU32(to []byte, n uint32) []byte {
	for n >= 0x80 {
		to = append(to, byte(n)|0x80)
		n >>= 7
	}
	return append(to, byte(n))
}

// appendS32 appends n as the operand of i32.const in five bytes, however small.
func appendS32(to []byte, n int32) []byte {
	for range 4 {
		to = append(to, byte(n)|0x80)
		n >>= 7
	}
	return append(to, byte(n)&0x7f)
}

func appendVector(to, content []byte) []byte {
	return append(appendU32(to, uint32(len(content))), content...)
}
