package wasihttp

import (
	"errors"
	"io"

	"github.com/tetratelabs/wazero/sys"
)

// Program is what a guest that speaks WASI 0.2 sees of its job through wasi:cli.
// The zero value has no arguments and no variables, reads nothing and writes to nowhere.
type Program struct {
	Args []string // the first is the program's name
	Env  [][2]string
	// Stdin must not block: it is read in the guest's thread.
	Stdin io.Reader
	// Stdout and Stderr take what the guest writes, in its thread. A write that fails with an error that has the method
	// StopGuest() bool, which gives true, ends the guest with that error; any other closes the stream for it.
	Stdout, Stderr io.Writer
}

// guestStopper is an error that asks to stop the guest instead of telling it.
type guestStopper interface {
	error
	StopGuest() bool
}

// streamPiece is how much a file or standard stream gives or takes at once.
const streamPiece = 64 << 10

// stdin is standard input. All streams of it share one, as they share the place where it is read.
type stdin struct {
	r    io.Reader
	rest []byte
	err  error
}

func (*stdin) release(*Host) {}
func (*stdin) ready() bool   { return true }

func (s *stdin) available(h *Host, want uint64) (n int, ended bool, err error) {
	if len(s.rest) == 0 && s.err == nil && want > 0 {
		var n int
		buf := h.piece(want)
		if s.r == nil {
			s.err = io.EOF
		} else if n, s.err = s.r.Read(buf); n == 0 && s.err == nil {
			s.err = io.ErrNoProgress
		}
		s.rest = append(s.rest[:0], buf[:n]...)
	}
	switch {
	case len(s.rest) > 0 || s.err == nil:
		return len(s.rest), false, nil
	case errors.Is(s.err, io.EOF):
		return 0, true, nil
	}
	return 0, true, asFileError(s.err)
}

func (s *stdin) take(_ *Host, n int, use func([]byte)) {
	use(s.rest[:n])
	s.rest = s.rest[n:]
}

// writer is standard output or error.
type writer struct{ w io.Writer }

func (writer) release(*Host)              {}
func (writer) room() (n int, closed bool) { return streamPiece, false }

func (s writer) accept(_ *Host, p []byte) (closed bool, err error) {
	if s.w == nil {
		return false, nil
	}
	if _, err = s.w.Write(p); err == nil {
		return false, nil
	}
	if stop, ok := errors.AsType[guestStopper](err); ok && stop.StopGuest() {
		panic(err)
	}
	return false, asFileError(err)
}

// piece is room for at most want bytes that pass through the host. It is the same room for every call.
func (h *Host) piece(want uint64) []byte {
	if h.scratch == nil {
		h.scratch = make([]byte, streamPiece)
	}
	return h.scratch[:min(want, streamPiece)]
}

var (
	environmentFunctions = []*function{
		{"get-environment", sig(i32), nil, func(c *call, s []uint64) {
			ret := c.ret(s[0], 4, 8)
			env := c.h.cfg.Program.Env
			at := c.newList(ret, len(env), 16)
			for i, v := range env {
				c.putBytes(at+uint32(i)*16, []byte(v[0]))
				c.putBytes(at+uint32(i)*16+8, []byte(v[1]))
			}
		}},
		{"get-arguments", sig(i32), nil, func(c *call, s []uint64) {
			ret := c.ret(s[0], 4, 8)
			args := c.h.cfg.Program.Args
			at := c.newList(ret, len(args), 8)
			for i, a := range args {
				c.putBytes(at+uint32(i)*8, []byte(a))
			}
		}},
		{"initial-cwd", sig(i32), nil, none(4, 12)}, // as wasip1 guests, these begin at no directory
	}
	exitFunctions = []*function{
		{"exit", sig(i32), nil, func(c *call, s []uint64) {
			if uint32(s[0]) > 1 {
				c.trap("%d is no discriminant of a result", uint32(s[0]))
			}
			c.exit(uint32(s[0]))
		}},
		{"exit-with-code", sig(i32), nil, func(c *call, s []uint64) { c.exit(uint32(s[0]) & 0xff) }},
	}
	stdinFunctions = []*function{
		{"get-stdin", nil, sig(i32), func(c *call, s []uint64) {
			s[0] = uint64(c.add(&inputStream{source: &c.h.stdin}, 0))
		}},
	}
	stdoutFunctions = []*function{
		{"get-stdout", nil, sig(i32), func(c *call, s []uint64) {
			s[0] = uint64(c.add(&outputStream{sink: writer{c.h.cfg.Program.Stdout}}, 0))
		}},
	}
	stderrFunctions = []*function{
		{"get-stderr", nil, sig(i32), func(c *call, s []uint64) {
			s[0] = uint64(c.add(&outputStream{sink: writer{c.h.cfg.Program.Stderr}}, 0))
		}},
	}
	// No stream of a job is a terminal, so there are no handles of these types.
	terminalInputFunctions  = []*function{absentFor("[resource-drop]terminal-input", noTerminal, 1)}
	terminalOutputFunctions = []*function{absentFor("[resource-drop]terminal-output", noTerminal, 1)}
	terminalStdinFunctions  = []*function{{"get-terminal-stdin", sig(i32), nil, none(4, 8)}}
	terminalStdoutFunctions = []*function{{"get-terminal-stdout", sig(i32), nil, none(4, 8)}}
	terminalStderrFunctions = []*function{{"get-terminal-stderr", sig(i32), nil, none(4, 8)}}
)

func noTerminal(c *call, s []uint64) {
	c.trap("handle %d is no terminal: a job has none", uint32(s[0]))
}

// none gives an option that is empty, of the given alignment and size.
func none(align, size uint32) func(c *call, s []uint64) {
	return func(c *call, s []uint64) { c.put8(c.ret(s[0], align, size), 0) }
}

// newList makes room for a list, writes where it is, and gives its address.
func (c *call) newList(ret uint32, n int, size uint32) uint32 {
	at := c.alloc(4, uint64(n)*uint64(size))
	c.put32(ret, at)
	c.put32(ret+4, uint32(n))
	return at
}

// exit ends the guest as proc_exit of WASI 0.1 does.
func (c *call) exit(code uint32) {
	_ = c.mod.CloseWithExitCode(c.ctx, code)
	panic(sys.NewExitError(code))
}
