//go:build wasip1

// This file stands in for the package's own stdin_os.go in the toolbox's builds,
// the way its stdin_js.go does for js/wasm: a WASI guest has no pipe(2), so
// pipelines and here-documents run over pipes within the process.

package interp

import (
	"errors"
	"io"
	"runtime"
	"time"
)

// stdinFile is the runner's standard input: any reader will do, since there are
// no other processes to hand it to.
type stdinFile interface {
	io.ReadCloser
	SetReadDeadline(t time.Time) error
}

// guestReader makes a stdinFile of a reader. A read that blocks cannot be
// cancelled: nothing else in the guest runs meanwhile that would want to.
type guestReader struct{ io.Reader }

func (r guestReader) Close() error {
	if c, ok := r.Reader.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func (guestReader) SetReadDeadline(time.Time) error { return nil }

// pipeEnd is the end of a pipe that is written to.
type pipeEnd struct{ *io.PipeWriter }

// Write ends the writer when nobody will read what it writes, as SIGPIPE ends a
// process. Each writer of a pipeline has a goroutine of its own, so that is what
// ends; `while true; do echo; done | head -n 1` would never stop otherwise.
func (p pipeEnd) Write(b []byte) (int, error) {
	n, err := p.PipeWriter.Write(b)
	if errors.Is(err, io.ErrClosedPipe) {
		runtime.Goexit()
	}
	return n, err
}

func newPipe() (stdinFile, pipeEnd, error) {
	r, w := io.Pipe()
	return guestReader{r}, pipeEnd{w}, nil
}

func newStdinFile(r io.Reader) (stdinFile, error) {
	if r == nil {
		return nil, nil
	}
	return guestReader{r}, nil
}

// stdinTerminal says that a guest never has a terminal.
func stdinTerminal(stdinFile) (int, bool) { return -1, false }
