package wasip1_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"
	"go.uber.org/goleak"

	"boxfleet/executor/sandboxfs"
	"boxfleet/executor/wasip1"
)

// engine is the one runtime of the test binary, with modules compiled once:
// compiling is slow under the race detector.
var engine struct {
	sync.Mutex
	rt      wazero.Runtime
	modules map[string]wazero.CompiledModule
}

func TestMain(m *testing.M) {
	ctx := context.Background()
	engine.rt = wazero.NewRuntime(ctx)
	engine.modules = map[string]wazero.CompiledModule{}
	if err := wasip1.Register(ctx, engine.rt); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = engine.rt.Close(ctx)
	if err := goleak.Find(); err != nil && code == 0 {
		_, _ = os.Stderr.WriteString(err.Error())
		code = 1
	}
	os.Exit(code)
}

// compiled returns the module in a file.
func compiled(t testing.TB, file string) wazero.CompiledModule {
	t.Helper()
	engine.Lock()
	defer engine.Unlock()
	if m := engine.modules[file]; m != nil {
		return m
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := engine.rt.CompileModule(context.Background(), wasm)
	if err != nil {
		t.Fatalf("compile %s: %v", file, err)
	}
	engine.modules[file] = m
	return m
}

// outcome is how a guest ended.
type outcome struct {
	exit           int64 // -1 if it did not exit
	err            error // what its call failed with, if not with an exit code
	stdout, stderr string
	usage          sandboxfs.Usage
	limit          string
}

// run runs a guest to its end.
func run(t testing.TB, module wazero.CompiledModule, cfg wasip1.Config) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if cfg.Stdout == nil {
		cfg.Stdout = &stdout
	}
	if cfg.Stderr == nil {
		cfg.Stderr = &stderr
	}
	s, err := wasip1.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := s.Context(context.Background())
	mod, err := engine.rt.InstantiateModule(ctx, module, wazero.NewModuleConfig().WithName(""))
	if mod != nil {
		_ = mod.Close(ctx)
	}
	o := outcome{exit: -1, err: err, stdout: stdout.String(), stderr: stderr.String()}
	var exit *sys.ExitError
	switch {
	case err == nil:
		o.exit = 0
	case errors.As(err, &exit):
		o.exit, o.err = int64(exit.ExitCode()), nil
	}
	if cfg.FS != nil {
		o.usage, o.limit = cfg.FS.Usage(), cfg.FS.LimitHit()
	}
	return o
}

var errStopped = errors.New("stopped by the test")

// stopSwitch is an Interrupter with a switch.
type stopSwitch struct {
	once sync.Once
	done chan struct{}
}

func newStopSwitch() *stopSwitch { return &stopSwitch{done: make(chan struct{})} }

func (s *stopSwitch) stop()                 { s.once.Do(func() { close(s.done) }) }
func (s *stopSwitch) Done() <-chan struct{} { return s.done }
func (s *stopSwitch) Check() error {
	select {
	case <-s.done:
		return errStopped
	default:
		return nil
	}
}

// cappedWriter keeps up to room bytes and then fails with an errno, or with an
// error that stops the guest.
type cappedWriter struct {
	bytes.Buffer
	room int
	stop bool
}

type overCap struct{ stop bool }

func (e overCap) Error() string   { return "output over its cap" }
func (e overCap) StopGuest() bool { return e.stop }
func (e overCap) Unwrap() error   { return syscall.EFBIG }

func (w *cappedWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.room)
	w.room -= n
	w.Buffer.Write(b[:n])
	if n < len(b) {
		return n, overCap{w.stop}
	}
	return n, nil
}

// triggerWriter calls a function after the first write.
type triggerWriter struct {
	bytes.Buffer
	fire func()
}

func (w *triggerWriter) Write(b []byte) (int, error) {
	defer w.fire()
	return w.Buffer.Write(b)
}

// silentReader blocks until it is closed.
type silentReader struct{ closed chan struct{} }

func (r silentReader) Read([]byte) (int, error) {
	<-r.closed
	return 0, io.EOF
}
