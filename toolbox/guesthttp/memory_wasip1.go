package guesthttp

import "unsafe"

// ret is where a host call puts its result: 56 bytes at most, aligned to 8.
type ret [7]uint64

func (r *ret) ptr() unsafe.Pointer   { return unsafe.Pointer(r) }
func (r *ret) u8(at uintptr) byte    { return *(*byte)(unsafe.Add(unsafe.Pointer(r), at)) }
func (r *ret) u32(at uintptr) uint32 { return *(*uint32)(unsafe.Add(unsafe.Pointer(r), at)) }

// list gives the memory of a list that the host allocated through cabi_realloc.
func (r *ret) list(at uintptr) []byte { return bytesAt(r.u32(at), r.u32(at+4)) }

func bytesAt(ptr, n uint32) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), ptr)), n)
}

// arena is where cabi_realloc takes memory from. It is filled before a host call that returns lists, so that nothing has
// to be allocated while the host waits: a collection in there could run other goroutines, and those could call the host,
// which traps. Only what does not fit is allocated; keep holds it until the next such call.
var arena struct {
	buf  []byte
	keep [][]byte
}

// listArena is for lists of text: the fields of a response.
var listArena []byte

// offer makes buf the place for the results of the next host call.
func offer(buf []byte) {
	arena.buf = buf
	arena.keep = nil
}

func offerList() {
	if listArena == nil {
		listArena = make([]byte, 64<<10)
	}
	offer(listArena)
}

//go:wasmexport cabi_realloc
func cabiRealloc(_, _, align, size uint32) unsafe.Pointer {
	if len(arena.buf) > 0 {
		pad := int(-uintptr(unsafe.Pointer(&arena.buf[0])) & uintptr(align-1))
		if pad+int(size) <= len(arena.buf) && size > 0 {
			p := unsafe.Pointer(&arena.buf[pad])
			arena.buf = arena.buf[pad+int(size):]
			return p
		}
	}
	b := make([]byte, int(size)+int(align))
	arena.keep = append(arena.keep, b)
	pad := -uintptr(unsafe.Pointer(&b[0])) & uintptr(align-1)
	return unsafe.Pointer(&b[pad])
}

func text(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}
