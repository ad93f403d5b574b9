package metering

import (
	"errors"
	"fmt"
)

// ErrNotWasm says that the bytes are not WebAssembly at all.
var ErrNotWasm = errors.New("not a WebAssembly binary: want the four bytes \"\\0asm\" and a version")

// ErrComponent says that the bytes are a component (layer 1 of the binary
// format), which holds core modules but is not one.
var ErrComponent = errors.New("a WebAssembly component, not a core module: extract its main module first")

// UnsupportedError names a feature of WebAssembly that is not metered. Modules
// using it are refused rather than run without limits.
type UnsupportedError struct {
	Feature string // the proposal's name, for example "threads"
	Offset  int    // byte offset in the input
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("unsupported WebAssembly feature %q at offset %#x: rebuild the module without it", e.Feature, e.Offset)
}

// InvalidError says that the module is malformed or uses an index that does
// not exist.
type InvalidError struct {
	Offset int    // byte offset in the input
	What   string // what was read, and what would have been right
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("invalid WebAssembly at offset %#x: %s", e.Offset, e.What)
}

// TooLargeError says that the module asks for more than the Config allows.
type TooLargeError struct {
	What string // "module", "function body", "locals", ...
	Size uint64
	Max  uint64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("WebAssembly module too large: %s %d, at most %d", e.What, e.Size, e.Max)
}

// ReservedImportError says that a module imports the meter itself.
type ReservedImportError struct {
	Module, Name string
}

func (e *ReservedImportError) Error() string {
	return fmt.Sprintf("import %q.%q is reserved for metering: remove it", e.Module, e.Name)
}
