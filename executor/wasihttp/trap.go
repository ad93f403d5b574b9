package wasihttp

import (
	"errors"
	"fmt"
)

// TrapError is a breach of the component model's rules by the guest, or host memory used up by it. The guest's call
// ends with it.
type TrapError struct {
	Func   string // the import that was called
	Reason string
}

func (e *TrapError) Error() string { return fmt.Sprintf("trap in %s: %s", e.Func, e.Reason) }

// ErrInterrupted ends a wait when the Interrupter is done but has no error of its own.
var ErrInterrupted = errors.New("interrupted while waiting for the network")

// ErrClosed ends a wait when the Host is closed under a running guest.
var ErrClosed = errors.New("wasi:http host is closed")
