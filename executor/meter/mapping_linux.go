package meter

import (
	"math/bits"
	"sync"

	"golang.org/x/sys/unix"
)

// Mappings are kept by size class, a power of two from 64 KiB to 4 GiB. Only
// address space is kept: their pages go back to the system with every release.
const (
	minClass  = 16
	maxClass  = 32
	keepClass = 64 // mappings kept in each class
)

// mapping is a private mapping: of nothing, or of an image in front and of
// nothing behind it.
type mapping struct {
	mem   []byte
	class int
	image *Image
}

var pool [maxClass + 1]struct {
	mu   sync.Mutex
	free []*mapping
}

// sizeClass is the class of the smallest mapping with room for size bytes.
func sizeClass(size uint64) int {
	if size <= 1<<minClass {
		return minClass
	}
	return bits.Len64(size - 1)
}

// reserve gives a mapping of zeros with room for size bytes, or nil if the
// system has no address space left.
func reserve(size uint64) *mapping {
	if size > 1<<maxClass {
		return nil
	}
	class := sizeClass(size)
	p := &pool[class]
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		m := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return m
	}
	p.mu.Unlock()
	// Pages count against the system's memory when they are touched, not now.
	mem, err := unix.Mmap(-1, 0, 1<<class, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	// With huge pages the first byte that a guest touches would cost 2 MiB.
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	return &mapping{mem: mem, class: class}
}

func (m *mapping) size() uint64 { return uint64(len(m.mem)) }

// bytes gives the first n bytes. The capacity ends there too, so that no slice
// of it reaches what the limit does not cover.
func (m *mapping) bytes(n uint64) []byte { return m.mem[:n:n] }

// release gives the pages of the first used bytes back to the system and keeps
// the mapping, which reads as in the beginning again: what was written is gone,
// and an image shows through (madvise(2), MADV_DONTNEED).
func (m *mapping) release(used uint64) {
	if used > 0 {
		if unix.Madvise(m.mem[:used], unix.MADV_DONTNEED) != nil {
			_ = unix.Munmap(m.mem)
			return
		}
	}
	if m.image != nil {
		m.image.keep(m)
		return
	}
	p := &pool[m.class]
	p.mu.Lock()
	if len(p.free) < keepClass {
		p.free = append(p.free, m)
		m = nil
	}
	p.mu.Unlock()
	if m != nil {
		_ = unix.Munmap(m.mem)
	}
}
