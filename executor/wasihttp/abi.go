package wasihttp

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"
)

// call is one host call that is running. A Host has one, as it runs one call at a time.
type call struct {
	h   *Host
	ctx context.Context
	mod api.Module
	fn  string
}

// function is one lowered import: its core signature, and what it does with the parameters, which the results replace.
type function struct {
	name            string
	params, results []api.ValueType
	run             func(c *call, s []uint64)
}

// Call implements api.GoModuleFunction.
func (f *function) Call(ctx context.Context, mod api.Module, stack []uint64) {
	h, _ := ctx.Value(hostKey{}).(*Host)
	if h == nil {
		panic(&TrapError{f.name, "the guest runs without a wasi:http host"})
	}
	if !h.busy.CompareAndSwap(false, true) {
		panic(&TrapError{f.name, "called from inside cabi_realloc"})
	}
	defer h.busy.Store(false)
	if h.cfg.Interrupter != nil {
		if err := h.cfg.Interrupter.Check(); err != nil {
			panic(err)
		}
	}
	h.call = call{h, ctx, mod, f.name}
	f.run(&h.call, stack)
}

func (c *call) trap(format string, args ...any) {
	panic(&TrapError{c.fn, fmt.Sprintf(format, args...)})
}

// waitUntil blocks the guest until ready, which is called with mu held, or until due if that is not zero. It does not
// return if the run is to end.
func (c *call) waitUntil(due time.Time, ready func() bool) {
	h := c.h
	var timer <-chan time.Time
	if !due.IsZero() {
		t := time.NewTimer(time.Until(due))
		defer t.Stop()
		timer = t.C
	}
	var done <-chan struct{}
	for {
		h.mu.Lock()
		ok, closed := ready(), h.closed
		h.mu.Unlock()
		if ok {
			return
		}
		if closed {
			panic(ErrClosed)
		}
		if done == nil {
			done = h.done()
		}
		select {
		case <-h.wake:
		case <-timer:
			return
		case <-done:
			err := h.cfg.Interrupter.Check()
			if err == nil {
				err = ErrInterrupted
			}
			panic(err)
		case <-c.ctx.Done():
			panic(context.Cause(c.ctx))
		}
	}
}

// view gives guest memory without a copy. It is valid until the guest runs again, which alloc makes it do.
func (c *call) view(ptr, n uint64) []byte {
	b, ok := c.mod.Memory().Read(uint32(ptr), uint32(n))
	if !ok {
		c.trap("%d bytes at %d are outside the guest's memory", uint32(n), uint32(ptr))
	}
	return b
}

// bytes copies a list<u8>.
func (c *call) bytes(ptr, n uint64) []byte {
	if uint32(n) > maxString {
		c.trap("a list of %d bytes is longer than %d", uint32(n), maxString)
	}
	return append([]byte(nil), c.view(ptr, n)...)
}

func (c *call) str(ptr, n uint64) string {
	b := c.bytes(ptr, n)
	if !utf8.Valid(b) {
		c.trap("a string is not UTF-8")
	}
	return string(b)
}

// list checks the place of a list's elements.
func (c *call) list(ptr, n uint64, size, align uint32) []byte {
	if uint32(ptr)%align != 0 {
		c.trap("list at %d is not aligned to %d", uint32(ptr), align)
	}
	total := uint64(uint32(n)) * uint64(size)
	if total > 1<<32-1 {
		c.trap("list of %d elements is larger than any memory", uint32(n))
	}
	return c.view(ptr, total)
}

// option reads the discriminant of an option.
func (c *call) option(disc uint64) bool {
	if uint32(disc) > 1 {
		c.trap("%d is no discriminant of an option", uint32(disc))
	}
	return uint32(disc) == 1
}

// ret checks a return pointer, before anything is done.
func (c *call) ret(ptr uint64, align, size uint32) uint32 {
	at := uint32(ptr)
	if at%align != 0 {
		c.trap("return pointer %d is not aligned to %d", at, align)
	}
	if uint64(at)+uint64(size) > uint64(c.mod.Memory().Size()) {
		c.trap("return pointer %d is outside the guest's memory", at)
	}
	return at
}

func (c *call) put(at uint32, b []byte) {
	if !c.mod.Memory().Write(at, b) {
		c.trap("%d bytes at %d are outside the guest's memory", len(b), at)
	}
}

func (c *call) put8(at uint32, v byte) {
	if !c.mod.Memory().WriteByte(at, v) {
		c.trap("address %d is outside the guest's memory", at)
	}
}

func (c *call) put32(at, v uint32) {
	if !c.mod.Memory().WriteUint32Le(at, v) {
		c.trap("address %d is outside the guest's memory", at)
	}
}

func (c *call) put64(at uint32, v uint64) {
	if !c.mod.Memory().WriteUint64Le(at, v) {
		c.trap("address %d is outside the guest's memory", at)
	}
}

// putBytes writes the pointer and length of a new list<u8> or string at the given place.
func (c *call) putBytes(at uint32, b []byte) {
	ptr := c.alloc(1, uint64(len(b)))
	c.put(ptr, b)
	c.put32(at, ptr)
	c.put32(at+4, uint32(len(b)))
}

// alloc asks the guest for memory. The guest may not call the host meanwhile (busy is set), and its answer is checked.
func (c *call) alloc(align uint32, size uint64) uint32 {
	if size == 0 {
		return align // any aligned pointer will do, as nothing is behind it
	}
	if size > 1<<31 {
		c.trap("a result of %d bytes is larger than a guest's memory", size)
	}
	realloc := c.mod.ExportedFunction("cabi_realloc")
	if realloc == nil {
		c.trap("the guest exports no cabi_realloc")
	}
	stack := [4]uint64{0, 0, uint64(align), size}
	def := realloc.Definition()
	if !sameTypes(def.ParamTypes(), sig(i32, i32, i32, i32)) || !sameTypes(def.ResultTypes(), sig(i32)) {
		c.trap("the guest's cabi_realloc has another signature than (i32, i32, i32, i32) -> i32")
	}
	if err := realloc.CallWithStack(c.ctx, stack[:]); err != nil {
		panic(fmt.Errorf("cabi_realloc: %w", err))
	}
	ptr := uint32(stack[0])
	if ptr%align != 0 || uint64(ptr)+size > uint64(c.mod.Memory().Size()) {
		c.trap("cabi_realloc gave %d for %d bytes, which is misaligned or outside the guest's memory", ptr, size)
	}
	return ptr
}

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

func sig(types ...api.ValueType) []api.ValueType { return types }

func sameTypes(a, b []api.ValueType) bool { return string(a) == string(b) }
