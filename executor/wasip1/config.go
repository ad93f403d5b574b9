package wasip1

import (
	"fmt"
	"io"
	"strings"

	"boxfleet/executor/sandboxfs"
)

// Bounds on what a guest is started with. They keep the copy into guest memory
// small; Linux bounds the same at start of a process.
const (
	MaxStrings     = 16384   // arguments, and likewise variables
	MaxStringBytes = 1 << 20 // all arguments with their NULs, and likewise all variables
)

// Config is what one guest sees. The zero Config is a guest with no arguments,
// no environment, no files, empty stdin, discarded output, the system's clocks
// and the host's random source.
type Config struct {
	Args []string
	Env  []string // "NAME=value"
	// FS holds the files; its mounts become preopened directories 3, 4, ... in
	// their order. The System closes its descriptors, the caller the FS.
	FS *sandboxfs.FS
	// Stdin is read directly if it cannot block: when it has a method Len() int,
	// as bytes.Reader and strings.Reader do, or is a regular file. Any other reader
	// is read ahead by a goroutine that starts with the first read and ends when
	// Stdin fails, or when Read returns after Close. Close does not close Stdin.
	Stdin io.Reader
	// Stdout and Stderr take what the guest writes, in its goroutine. If Write
	// fails with an error that has the method StopGuest() bool and it is true, the
	// guest is stopped and its call fails with that error. Any other error is an
	// errno for the guest: the syscall.Errno it wraps (say EFBIG or ENOSPC for
	// "over the cap"), or EIO.
	Stdout, Stderr io.Writer
	Interrupt      Interrupter
	Clock          Clock
	// Rand is where random_get reads from; the default is crypto/rand.
	Rand io.Reader
}

// Interrupter ends a guest from outside.
type Interrupter interface {
	// Check is called first by every host call. A non-nil error stops the guest:
	// the host function panics with it, and the guest's call fails with an error
	// that wraps it.
	Check() error
	// Done is closed no later than Check starts to fail for good. Calls that block
	// wait for it too.
	Done() <-chan struct{}
}

// validateStrings checks arguments or variables and returns the bytes they take.
func validateStrings(what string, list []string, env bool) (int, error) {
	if len(list) > MaxStrings {
		return 0, fmt.Errorf("wasip1: %d %ss; at most %d are allowed", len(list), what, MaxStrings)
	}
	size := 0
	for i, s := range list {
		size += len(s) + 1
		if strings.IndexByte(s, 0) >= 0 {
			return 0, fmt.Errorf("wasip1: %s %d has a NUL byte; remove it", what, i)
		}
		if env && strings.IndexByte(s, '=') <= 0 {
			// The value may be a secret, and without a '=' all of it may be: do not quote it.
			return 0, fmt.Errorf("wasip1: %s %d is not of the form NAME=value", what, i)
		}
	}
	if size > MaxStringBytes {
		return 0, fmt.Errorf("wasip1: the %ss take %d bytes; at most %d are allowed", what, size, MaxStringBytes)
	}
	return size, nil
}
