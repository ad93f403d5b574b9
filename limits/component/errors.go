package component

import (
	"errors"
	"fmt"
)

// ErrNotComponent says that the bytes are not a component: a core module, or
// no WebAssembly at all.
var ErrNotComponent = errors.New("not a WebAssembly component: want the eight bytes \"\\0asm\", 0x0d, 0x00, 0x01, 0x00")

// InvalidError says that a component is malformed or uses an index that does
// not exist.
type InvalidError struct {
	Offset int    // byte offset in the input
	What   string // what was read, and what would have been right
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("invalid component at offset %#x: %s", e.Offset, e.What)
}

// RefusedError is one reason why a component cannot run here, although it may
// be valid.
type RefusedError struct {
	Reason string // what is in the way, and what to do
}

func (e *RefusedError) Error() string { return e.Reason }

func refused(format string, args ...any) error {
	return &RefusedError{fmt.Sprintf(format, args...)}
}
