package wasip1

import (
	"context"
	crand "crypto/rand"
	"errors"
	"io"

	"github.com/tetratelabs/wazero/api"

	"boxfleet/executor/sandboxfs"
)

// System is the state of WASI for one guest.
type System struct {
	fs        *sandboxfs.FS
	args, env []string
	argBytes  int
	envBytes  int
	stdin     input
	stdout    io.Writer
	stderr    io.Writer
	interrupt Interrupter
	clock     Clock
	rand      io.Reader
	started   uint64 // on the monotonic clock

	fds    []descriptor
	inline [6]descriptor // fds of a guest with few files, without an allocation
	free   int           // no number below it is free
	calls  uint64

	// Of the call being served.
	mod  api.Module
	mem  api.Memory
	bufs [][]byte
}

// New makes a System. The error names the field that is wrong.
func New(cfg Config) (*System, error) {
	argBytes, err := validateStrings("argument", cfg.Args, false)
	if err != nil {
		return nil, err
	}
	envBytes, err := validateStrings("environment variable", cfg.Env, true)
	if err != nil {
		return nil, err
	}
	s := &System{
		fs: cfg.FS, args: cfg.Args, env: cfg.Env, argBytes: argBytes, envBytes: envBytes,
		stdout: cfg.Stdout, stderr: cfg.Stderr, interrupt: cfg.Interrupt, clock: cfg.Clock, rand: cfg.Rand,
	}
	if s.stdout == nil {
		s.stdout = io.Discard
	}
	if s.stderr == nil {
		s.stderr = io.Discard
	}
	if s.clock == nil {
		s.clock = SystemClock()
	}
	if s.rand == nil {
		s.rand = crand.Reader
	}
	s.started = s.clock.Monotonic()
	s.stdin.init(cfg.Stdin)
	s.fds = append(s.inline[:0],
		descriptor{kind: kindStdin, base: rightsStdin},
		descriptor{kind: kindStdout, base: rightsStdout},
		descriptor{kind: kindStderr, base: rightsStdout})
	if cfg.FS != nil {
		for i, m := range cfg.FS.Mounts() {
			s.fds = append(s.fds, descriptor{
				kind: kindFile, file: cfg.FS.OpenMount(i), preopen: m.Guest, base: rightsDir, inheriting: rightsAll,
			})
		}
	}
	return s, nil
}

type contextKey struct{}

// Context returns a context that leads host calls to the System. Use it to
// instantiate the guest and to call its functions.
func (s *System) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, contextKey{}, s)
}

var errNoSystem = errors.New("wasip1: the guest was called without a System; pass the context that System.Context returns")

// fromContext finds the System of a host call.
func fromContext(ctx context.Context) *System {
	s, ok := ctx.Value(contextKey{}).(*System)
	if !ok {
		panic(errNoSystem)
	}
	return s
}

// Calls is how many host calls the guest has made. It may be called once the
// guest has returned.
func (s *System) Calls() uint64 { return s.calls }

// Close closes the guest's descriptors.
func (s *System) Close() error {
	for i := range s.fds {
		s.fds[i].close()
	}
	s.stdin.close()
	s.mod, s.mem, s.bufs = nil, nil, nil
	return nil
}

// enter starts a host call: it asks whether the guest is to stop, and finds the
// memory of the module that calls.
func (s *System) enter(mod api.Module) {
	s.calls++
	s.check()
	if s.mod != mod {
		s.mod, s.mem = mod, memoryOf(mod)
	}
}

// check ends the guest's call if it is to stop.
func (s *System) check() {
	if s.interrupt != nil {
		if err := s.interrupt.Check(); err != nil {
			panic(err)
		}
	}
}

// done is what blocking calls wait for too. It is asked for only then, since most
// guests never block.
func (s *System) done() <-chan struct{} {
	if s.interrupt == nil {
		return nil
	}
	return s.interrupt.Done()
}

// memoryOf returns a module's memory, or nil. wazero hands out a non-nil
// interface with nothing in it for a module without one.
func memoryOf(mod api.Module) (mem api.Memory) {
	defer func() {
		if recover() != nil {
			mem = nil
		}
	}()
	mem = mod.Memory()
	_ = mem.Size()
	return mem
}
