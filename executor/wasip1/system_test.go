package wasip1_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"boxfleet/executor/wasip1"
)

const callsGuest = "testdata/calls.wasm"

// guest is an instance of testdata/calls.wat, which re-exports host functions.
type guest struct {
	t   testing.TB
	ctx context.Context
	mod api.Module
}

func newGuest(t testing.TB, cfg wasip1.Config) *guest {
	t.Helper()
	s, err := wasip1.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx := s.Context(context.Background())
	mod, err := engine.rt.InstantiateModule(ctx, compiled(t, callsGuest), wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mod.Close(ctx); s.Close() })
	return &guest{t: t, ctx: ctx, mod: mod}
}

func (g *guest) try(name string, args ...uint64) (uint32, error) {
	res, err := g.mod.ExportedFunction(name).Call(g.ctx, args...)
	if err != nil || len(res) == 0 {
		return 0, err
	}
	return uint32(res[0]), nil
}

// call calls a host function, which must not fail, and returns its errno.
func (g *guest) call(name string, args ...uint64) uint32 {
	g.t.Helper()
	e, err := g.try(name, args...)
	if err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	return e
}

func (g *guest) u32(at uint32) uint32 { v, _ := g.mod.Memory().ReadUint32Le(at); return v }
func (g *guest) u64(at uint32) uint64 { v, _ := g.mod.Memory().ReadUint64Le(at); return v }

// rw reads or writes on a descriptor by the iovec at 0 to memory at 1024.
func (g *guest) rw(name string, fd uint64, n uint32) (uint32, uint32) {
	g.mod.Memory().WriteUint32Le(0, 1024)
	g.mod.Memory().WriteUint32Le(4, n)
	e := g.call(name, fd, 0, 1, 8)
	return e, g.u32(8)
}

// subscribe writes a subscription at 4096+48*i: to a clock, or to a descriptor.
func (g *guest) subscribe(i uint32, userdata uint64, tag byte, id uint32, timeout uint64, flags uint16) {
	mem, at := g.mod.Memory(), 4096+48*i
	mem.Write(at, make([]byte, 48))
	mem.WriteUint64Le(at, userdata)
	mem.WriteByte(at+8, tag)
	mem.WriteUint32Le(at+16, id)
	mem.WriteUint64Le(at+24, timeout)
	mem.WriteUint16Le(at+40, flags)
}

// poll polls the first n subscriptions and returns the events' userdata.
func (g *guest) poll(n uint64) (events []uint64) {
	g.t.Helper()
	if e := g.call("poll_oneoff", 4096, 8192, n, 8); e != 0 {
		g.t.Fatalf("poll_oneoff: errno %d", e)
	}
	for i := range g.u32(8) {
		events = append(events, g.u64(8192+32*i))
	}
	return events
}

func TestNewErrors(t *testing.T) {
	many := make([]string, wasip1.MaxStrings+1)
	for _, c := range []struct {
		name string
		cfg  wasip1.Config
		want string
	}{
		{"NUL in argument", wasip1.Config{Args: []string{"a", "b\x00c"}}, "argument 1 has a NUL byte"},
		{"too many arguments", wasip1.Config{Args: many}, "16385 arguments"},
		{"arguments too long", wasip1.Config{Args: []string{strings.Repeat("x", wasip1.MaxStringBytes)}}, "1048577 bytes"},
		{"NUL in variable", wasip1.Config{Env: []string{"A=\x00"}}, "variable 0 has a NUL byte"},
		{"no name", wasip1.Config{Env: []string{"=x"}}, "not of the form"},
		{"no value", wasip1.Config{Env: []string{"A=b", "hunter2"}}, "variable 1 is not of the form"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := wasip1.New(c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v quotes what may be a secret", err)
			}
		})
	}
	if _, err := wasip1.New(wasip1.Config{Args: []string{strings.Repeat("x", wasip1.MaxStringBytes-1)}}); err != nil {
		t.Errorf("as many bytes as are allowed: %v", err)
	}
}

// TestNoSystem calls a guest without telling what it may see.
func TestNoSystem(t *testing.T) {
	g := newGuest(t, wasip1.Config{})
	g.ctx = context.Background()
	if _, err := g.try("sched_yield"); err == nil || !strings.Contains(err.Error(), "System.Context") {
		t.Errorf("error %v does not say what to do", err)
	}
}

// TestInterrupt stops a guest in every host call.
func TestInterrupt(t *testing.T) {
	sw := newStopSwitch()
	g := newGuest(t, wasip1.Config{Interrupt: sw})
	if e := g.call("sched_yield"); e != 0 {
		t.Fatalf("before: errno %d", e)
	}
	sw.stop()
	for name := range g.mod.ExportedFunctionDefinitions() {
		f := g.mod.ExportedFunction(name)
		args := make([]uint64, len(f.Definition().ParamTypes()))
		if _, err := f.Call(g.ctx, args...); !errors.Is(err, errStopped) {
			t.Errorf("%s: %v, want the interrupt's error", name, err)
		}
	}
	if n := len(g.mod.ExportedFunctionDefinitions()); n != 46 {
		t.Errorf("the guest exports %d functions; preview 1 has 46", n)
	}
}

// panicker is a writer with a mistake in it.
type panicker struct{}

func (panicker) Write([]byte) (int, error) { panic("a mistake of the host") }

// TestHostPanic ends one guest by a panic in a host function, not the others.
func TestHostPanic(t *testing.T) {
	bad, good := newGuest(t, wasip1.Config{Stdout: panicker{}}), newGuest(t, wasip1.Config{})
	bad.mod.Memory().WriteUint32Le(4, 1)
	if _, err := bad.try("fd_write", 1, 0, 1, 8); err == nil || !strings.Contains(err.Error(), "a mistake of the host") {
		t.Errorf("error %v", err)
	}
	if e := good.call("sched_yield"); e != 0 {
		t.Errorf("the other guest: errno %d", e)
	}
}

// liar claims to have written more than it was given.
type liar struct{}

func (liar) Write(b []byte) (int, error) { return len(b) + 1000, nil }

func TestStreams(t *testing.T) {
	var out, errs bytes.Buffer
	g := newGuest(t, wasip1.Config{Stdin: strings.NewReader("what is there to read"), Stdout: &out, Stderr: &errs})
	if e, n := g.rw("fd_read", 0, 7); e != 0 || n != 7 {
		t.Errorf("read: errno %d, %d bytes", e, n)
	}
	if e, n := g.rw("fd_write", 1, 7); e != 0 || n != 7 || out.String() != "what is" {
		t.Errorf("write: errno %d, %d bytes, %q", e, n, out.String())
	}
	g.subscribe(0, 1, 1, 0, 0, 0)
	if got := g.poll(1); len(got) != 1 || g.u64(8192+16) != 14 || g.u32(8192+24) != 0 {
		t.Errorf("poll: events %v, %d bytes, flags %d", got, g.u64(8192+16), g.u32(8192+24))
	}
	if e, n := g.rw("fd_read", 0, 1000); e != 0 || n != 14 {
		t.Errorf("read the rest: errno %d, %d bytes", e, n)
	}
	if e, n := g.rw("fd_read", 0, 1000); e != 0 || n != 0 {
		t.Errorf("read at the end: errno %d, %d bytes", e, n)
	}
	if e, n := g.rw("fd_write", 2, 6); e != 0 || n != 6 || errs.String() != " there" {
		t.Errorf("write to stderr: errno %d, %d bytes, %q", e, n, errs.String())
	}
	for _, c := range []struct {
		name string
		cfg  wasip1.Config
		fn   string
		fd   uint64
		e, n uint32
	}{
		{"no stdin", wasip1.Config{}, "fd_read", 0, 0, 0},
		{"no stdout", wasip1.Config{}, "fd_write", 1, 0, 10},
		{"over the cap", wasip1.Config{Stdout: &cappedWriter{}}, "fd_write", 1, 22, 0},
		{"partly over the cap", wasip1.Config{Stdout: &cappedWriter{room: 4}}, "fd_write", 1, 0, 4},
		{"closed pipe", wasip1.Config{Stdout: closedPipe()}, "fd_write", 1, 29, 0},
		{"lying writer", wasip1.Config{Stdout: liar{}}, "fd_write", 1, 0, 10},
		{"broken stdin", wasip1.Config{Stdin: iotest.ErrReader(errors.New("broken"))}, "fd_read", 0, 29, 0},
		{"late error", wasip1.Config{Stdin: io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(errors.New("broken")))}, "fd_read", 0, 0, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGuest(t, c.cfg)
			e, n := g.rw(c.fn, c.fd, 10)
			if e != c.e || n != c.n {
				t.Errorf("errno %d, %d bytes; want %d, %d", e, n, c.e, c.n)
			}
		})
	}
}

func closedPipe() io.Writer {
	r, w := io.Pipe()
	r.Close()
	return w
}

// TestPoll waits for several things at once, in time that the test controls.
func TestPoll(t *testing.T) {
	compiled(t, callsGuest) // outside of the bubble, whose goroutines must end
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		g := newGuest(t, wasip1.Config{Stdin: r})
		defer w.Close()
		equal := func(what string, got []uint64, want ...uint64) {
			t.Helper()
			if len(got) != len(want) {
				t.Errorf("%s: events %v, want %v", what, got, want)
				return
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("%s: events %v, want %v", what, got, want)
				}
			}
		}
		const second = uint64(time.Second)
		start := time.Now()
		g.subscribe(0, 10, 0, 1, 3*second, 0)
		g.subscribe(1, 11, 0, 1, 2*second, 0)
		g.subscribe(2, 12, 1, 0, 0, 0)
		equal("the earlier timer", g.poll(3), 11)
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("slept %v", d)
		}
		g.subscribe(1, 11, 0, 0, uint64(time.Now().UnixNano())+2*second, 1)
		g.subscribe(0, 10, 0, 1, 2*second, 0)
		equal("both timers, one of them absolute", g.poll(3), 10, 11)
		g.subscribe(0, 10, 0, 1, 0, 1)
		equal("times that have passed", g.poll(3), 10, 11)
		go func() {
			time.Sleep(time.Second)
			_, _ = w.Write([]byte("hello"))
		}()
		g.subscribe(0, 10, 0, 1, 5*second, 0)
		g.subscribe(1, 11, 0, 1, 7*second, 0)
		start = time.Now()
		equal("stdin", g.poll(3), 12)
		if d := time.Since(start); d != time.Second {
			t.Errorf("waited %v for stdin", d)
		}
		if n := g.u64(8192 + 16); n != 5 {
			t.Errorf("%d bytes announced", n)
		}
		equal("stdin again", g.poll(3), 12)
		if e, n := g.rw("fd_read", 0, 100); e != 0 || n != 5 {
			t.Errorf("read: errno %d, %d bytes", e, n)
		}
		start = time.Now()
		equal("stdin that is empty again", g.poll(3), 10)
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("waited %v", d)
		}
		if flags := g.u32(8192 + 24); flags != 0 {
			t.Errorf("flags %d before the end", flags)
		}
		w.Close()
		synctest.Wait()
		equal("stdin that has ended", g.poll(3), 12)
		if flags := g.u32(8192 + 24); flags != 1 {
			t.Errorf("flags %d at the end, want 1 for hangup", flags)
		}
		if e, n := g.rw("fd_read", 0, 100); e != 0 || n != 0 {
			t.Errorf("read at the end: errno %d, %d bytes", e, n)
		}
	})
}

// TestFixedClock sleeps without time passing and counts its own readings.
func TestFixedClock(t *testing.T) {
	at := time.Unix(1700000000, 0)
	a, b := wasip1.FixedClock(at), wasip1.FixedClock(at)
	for i := range 3 {
		if x, y := a.Wall(), b.Wall(); x != y || x != uint64(at.UnixNano())+uint64(i)*1000 {
			t.Errorf("reading %d: %d and %d", i, x, y)
		}
	}
	before := a.Monotonic()
	a.Wait(time.Hour, nil, nil)
	if got := a.Monotonic() - before; got != uint64(time.Hour+time.Microsecond) {
		t.Errorf("an hour's sleep took %d", got)
	}
	a.Wait(-time.Hour, nil, nil)
	g := newGuest(t, wasip1.Config{Clock: wasip1.FixedClock(at)})
	g.subscribe(0, 1, 0, 1, uint64(1000*time.Hour), 0)
	start := time.Now()
	if got := g.poll(1); len(got) != 1 || time.Since(start) > time.Hour {
		t.Errorf("events %v", got)
	}
	// Waiting for ever is waiting for stdin alone.
	r, w := io.Pipe()
	w.Close()
	g = newGuest(t, wasip1.Config{Clock: wasip1.FixedClock(at), Stdin: r})
	g.subscribe(0, 7, 1, 0, 0, 0)
	if got := g.poll(1); len(got) != 1 || got[0] != 7 {
		t.Errorf("events %v", got)
	}
}

// TestSeededRand pins the bytes of a seed: they are promised not to change.
func TestSeededRand(t *testing.T) {
	read := func(sizes ...int) string {
		r := wasip1.SeededRand(42)
		var b []byte
		for _, n := range sizes {
			p := make([]byte, n)
			if _, err := io.ReadFull(r, p); err != nil {
				t.Fatal(err)
			}
			b = append(b, p...)
		}
		return string(b)
	}
	if a, b := read(64), read(1, 7, 13, 43); a != b {
		t.Errorf("the bytes depend on the sizes asked for: %x, %x", a, b)
	}
	other := make([]byte, 16)
	if _, err := io.ReadFull(wasip1.SeededRand(43), other); err != nil || string(other) == read(16) {
		t.Errorf("another seed gives %x, %v", other, err)
	}
	const seed42 = "\"0\x1f\xb8\xd8)x\xda\xf0\a\xb0V\x14\x96\x9f4"
	if got := read(16); got != seed42 {
		t.Errorf("seed 42 begins with %q", got)
	}
	g := newGuest(t, wasip1.Config{Rand: wasip1.SeededRand(42)})
	if e := g.call("random_get", 1024, 16); e != 0 {
		t.Fatalf("random_get: errno %d", e)
	}
	if got, _ := g.mod.Memory().Read(1024, 16); string(got) != seed42 {
		t.Errorf("the guest got %q", got)
	}
	g = newGuest(t, wasip1.Config{Rand: iotest.ErrReader(errors.New("no entropy"))})
	if e := g.call("random_get", 1024, 16); e != 29 {
		t.Errorf("a broken source: errno %d", e)
	}
}

// TestTogether runs many Systems on one runtime at once; each sees its own.
func TestTogether(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			name := strings.Repeat("x", i)
			g := newGuest(t, wasip1.Config{Args: []string{name}})
			for range 100 {
				if e := g.call("args_sizes_get", 0, 4); e != 0 || g.u32(4) != uint32(i+1) {
					t.Errorf("guest %d sees %d bytes", i, g.u32(4))
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestRegisterTwice says what is wrong.
func TestRegisterTwice(t *testing.T) {
	if err := wasip1.Register(context.Background(), engine.rt); err == nil || !strings.Contains(err.Error(), wasip1.ModuleName) {
		t.Errorf("error %v", err)
	}
}

// doneOnly is an interrupt whose Check lags behind for good.
type doneOnly struct{ *stopSwitch }

func (doneOnly) Check() error { return nil }

// TestDoneWithoutError gives the guest EINTR rather than spin or block.
func TestDoneWithoutError(t *testing.T) {
	sw := newStopSwitch()
	sw.stop()
	stdin := silentReader{make(chan struct{})}
	defer close(stdin.closed)
	g := newGuest(t, wasip1.Config{Interrupt: doneOnly{sw}, Stdin: stdin})
	g.subscribe(0, 1, 0, 1, uint64(time.Hour), 0)
	if e := g.call("poll_oneoff", 4096, 8192, 1, 8); e != 27 {
		t.Errorf("poll_oneoff: errno %d, want EINTR", e)
	}
	if e, _ := g.rw("fd_read", 0, 10); e != 27 {
		t.Errorf("fd_read: errno %d, want EINTR", e)
	}
}
