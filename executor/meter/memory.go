package meter

import (
	"context"
	"fmt"
	"math"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"boxfleet/limits/metering"
)

// tableElementSize is what wazero keeps for an element of a table, in bytes.
const tableElementSize = 8

// OutOfMemoryError says that a module needs more memory to start than the run
// may have.
type OutOfMemoryError struct {
	Need  uint64 // bytes of all memories and tables
	Limit uint64
}

func (e *OutOfMemoryError) Error() string {
	return fmt.Sprintf("out of memory: the module starts with %d bytes of memory and tables, the limit is %d", e.Need, e.Limit)
}

// Admit counts the tables a module starts with and checks that its memories
// and tables fit the limit. Call it before Instantiate.
func (m *Meter) Admit(info *metering.Info) error {
	tables := info.MinTableElements() * tableElementSize
	if need := info.MinMemory() + tables; m.memory.Load()+need > m.limits.Memory {
		return &OutOfMemoryError{Need: need, Limit: m.limits.Memory}
	}
	m.claim(tables)
	return nil
}

// Instantiate instantiates a compiled module under the meter. Memory that does
// not fit the limit is an *OutOfMemoryError.
func (m *Meter) Instantiate(ctx context.Context, rt wazero.Runtime, compiled wazero.CompiledModule, config wazero.ModuleConfig) (mod api.Module, err error) {
	defer func() {
		// The allocator cannot return an error for the initial size, only
		// panic; nothing is registered in the runtime by then.
		if r := recover(); r != nil {
			oom, ok := r.(*OutOfMemoryError)
			if !ok {
				panic(r)
			}
			mod, err = nil, oom
		}
	}()
	mod, err = rt.InstantiateModule(m.Context(ctx), compiled, config)
	if err == nil {
		m.Attach(mod)
	}
	return mod, err
}

// claim takes bytes from the limit, if they fit.
func (m *Meter) claim(bytes uint64) bool {
	used := m.memory.Load()
	if bytes > m.limits.Memory || used > m.limits.Memory-bytes {
		return false
	}
	used += bytes
	m.memory.Store(used) // only the guest's goroutine writes
	if used > m.peak.Load() {
		m.peak.Store(used)
	}
	return true
}

// growTable answers metering.OpTableGrow.
func (m *Meter) growTable(elements uint64) uint64 {
	if elements <= math.MaxUint32 && m.claim(elements*tableElementSize) {
		return 1
	}
	return 0
}

// memory is one linear memory of a run.
type memory struct {
	m       *Meter
	mapping *mapping
	image   *Image // what it begins with; nil for zeros
	first   int    // its first size, if the image is mapped
	size    uint64
	started bool
}

// Allocate implements experimental.MemoryAllocator. The mapping is reserved
// for the largest size the memory may reach, so growing never copies.
func (m *Meter) Allocate(_, max uint64) experimental.LinearMemory {
	mem := &memory{m: m, image: m.image}
	m.image = nil
	mem.mapping = mem.image.reserve(min(max, m.limits.Memory))
	m.memories = append(m.memories, mem)
	return mem
}

// Reallocate implements experimental.LinearMemory.
func (mem *memory) Reallocate(size uint64) []byte {
	if size < mem.size {
		return nil // memories never shrink
	}
	if mem.mapping == nil || size > mem.mapping.size() || !mem.m.claim(size-mem.size) {
		if !mem.started {
			panic(&OutOfMemoryError{Need: mem.m.memory.Load() + size, Limit: mem.m.limits.Memory})
		}
		return nil
	}
	mem.size = size
	b := mem.mapping.bytes(size)
	if !mem.started {
		mem.started = true
		mem.begin(b)
	}
	return b
}

// Free implements experimental.LinearMemory. The mapping stays with the meter
// until Close: a host function may still hold a part of the memory, as after
// proc_exit.
func (mem *memory) Free() {}

// release gives the mapping back.
func (mem *memory) release() {
	if mem.mapping != nil {
		if mem.first > 0 && !mem.image.learned.Load() {
			mem.image.learn(mem.mapping.bytes(uint64(mem.first)))
		}
		mem.mapping.release(mem.size)
		mem.mapping = nil
	}
}
