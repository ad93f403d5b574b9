package meter

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
	"go.uber.org/goleak"

	"boxfleet/limits/metering"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var background = context.Background()

// world is a runtime with the meter, a host module "test", and a clock.
type world struct {
	rt    wazero.Runtime
	epoch *Epoch
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{rt: wazero.NewRuntimeWithConfig(background, RuntimeConfig()), epoch: NewEpoch(0)}
	t.Cleanup(func() {
		w.rt.Close(background)
		w.epoch.Close()
	})
	if err := Register(background, w.rt); err != nil {
		t.Fatal(err)
	}
	b := w.rt.NewHostModuleBuilder("test")
	b.NewFunctionBuilder().WithFunc(func(ctx context.Context) {
		m := FromContext(ctx)
		<-m.Done()
		panic(m.Check())
	}).Export("wait")
	b.NewFunctionBuilder().WithFunc(func(ctx context.Context) {
		if err := FromContext(ctx).Check(); err != nil {
			panic(err)
		}
	}).Export("check")
	b.NewFunctionBuilder().WithFunc(func(context.Context) {
		var p *int
		*p = 1
	}).Export("break")
	b.NewFunctionBuilder().WithFunc(func(ctx context.Context, mod api.Module, code uint32) {
		mod.CloseWithExitCode(ctx, code)
		panic(sys.NewExitError(code))
	}).Export("exit")
	if _, err := b.Instantiate(background); err != nil {
		t.Fatal(err)
	}
	return w
}

// module is a rewritten and compiled module of testdata.
type module struct {
	w    *world
	info *metering.Info
	code wazero.CompiledModule
}

func (w *world) module(t testing.TB, name string) *module {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := metering.Rewrite(b, metering.Config{})
	if err != nil {
		t.Fatal(err)
	}
	code, err := w.rt.CompileModule(background, m.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	return &module{w: w, info: m.Info, code: code}
}

func anonymous() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions()
}

// run makes an instance, calls one function and says how it ended.
func (m *module) run(meter *Meter, function string, args ...uint64) (Outcome, []uint64) {
	if err := meter.Admit(m.info); err != nil {
		return Classify(err, meter), nil
	}
	mod, err := meter.Instantiate(background, m.w.rt, m.code, anonymous())
	if err != nil {
		return Classify(err, meter), nil
	}
	defer mod.Close(background)
	results, err := mod.ExportedFunction(function).Call(meter.Context(background), args...)
	return Classify(err, meter), results
}

func plenty() Limits {
	return Limits{Fuel: math.MaxUint64, Memory: 1 << 30}
}

func TestTraps(t *testing.T) {
	m := newWorld(t).module(t, "traps")
	for function, want := range map[string]Trap{
		"unreachable": TrapUnreachable,
		"memory":      TrapMemoryBounds,
		"table":       TrapTable,
		"null":        TrapTable,
		"type":        TrapIndirectType,
		"divide":      TrapDivideByZero,
		"overflow":    TrapIntegerOverflow,
		"convert":     TrapInvalidConversion,
	} {
		meter := New(m.w.epoch, plenty())
		o, _ := m.run(meter, function)
		if o.Kind != Trapped || o.Trap != want {
			t.Errorf("%s: %s %q (%v), want %q", function, o.Kind, o.Trap, o.Err, want)
		}
		if len(o.Stack) != 2 || !strings.HasSuffix(o.Stack[0], "."+function) || !strings.HasSuffix(o.Stack[1], ".outer."+function) {
			t.Errorf("%s: stack %q", function, o.Stack)
		}
		meter.Close()
	}
	meter := New(m.w.epoch, plenty())
	defer meter.Close()
	if o, _ := m.run(meter, "fine"); o.Kind != Succeeded || o.Err != nil {
		t.Errorf("fine: %+v", o)
	}
}

func TestHostFunctionsEnd(t *testing.T) {
	m := newWorld(t).module(t, "hosts")
	cause := errors.New("somebody asked")
	for name, c := range map[string]struct {
		function string
		args     []uint64
		timeout  time.Duration
		cancel   bool
		want     Kind
		code     uint32
	}{
		"asleep until the deadline":    {function: "wait", timeout: 5 * time.Millisecond, want: KindTimedOut},
		"asleep until cancelled":       {function: "wait", timeout: time.Hour, cancel: true, want: KindCanceled},
		"asleep without a deadline":    {function: "wait", cancel: true, want: KindCanceled},
		"calling until the deadline":   {function: "check", timeout: 5 * time.Millisecond, want: KindTimedOut},
		"calling until cancelled":      {function: "check", timeout: time.Hour, cancel: true, want: KindCanceled},
		"a host function breaks":       {function: "break", want: HostPanic},
		"exit with zero":               {function: "exit", args: []uint64{0}, want: Succeeded},
		"exit with three":              {function: "exit", args: []uint64{3}, want: Exited, code: 3},
		"exit with the code of cancel": {function: "exit", args: []uint64{0xffffffff}, want: Exited, code: 0xffffffff},
	} {
		t.Run(name, func(t *testing.T) {
			l := plenty()
			l.Timeout = c.timeout
			meter := New(m.w.epoch, l)
			defer meter.Close()
			if c.cancel {
				timer := time.AfterFunc(time.Millisecond, func() { meter.Cancel(cause) })
				defer timer.Stop()
			}
			o, _ := m.run(meter, c.function, c.args...)
			if o.Kind != c.want || o.ExitCode != c.code {
				t.Errorf("%s %d (%v), want %s %d", o.Kind, o.ExitCode, o.Err, c.want, c.code)
			}
			if c.want == KindCanceled && !errors.Is(o.Err, cause) {
				t.Errorf("%v does not wrap the cause", o.Err)
			}
		})
	}
}

// TestGuestsThatNeverEnd stops each by time, by cancellation and by fuel.
func TestGuestsThatNeverEnd(t *testing.T) {
	w := newWorld(t)
	guests := []struct{ module, function string }{
		{"spin", "loop"}, {"spin", "calls"}, {"spin", "tail"},
		{"start-spin", ""},
		{"call-tree", "run"},
		{"bulk", "fill"}, {"bulk", "fill-small"}, {"bulk", "copy"}, {"bulk", "copy-down"},
		{"bulk-table", "table-fill"}, {"bulk-table", "table-copy"}, {"bulk-table", "table-grow"}, {"bulk", "memory-grow"},
	}
	modules := map[string]*module{}
	for _, g := range guests {
		if modules[g.module] == nil {
			modules[g.module] = w.module(t, g.module)
		}
	}
	for _, g := range guests {
		m := modules[g.module]
		t.Run(g.module+"/"+g.function+"/deadline", func(t *testing.T) {
			l := plenty()
			l.Timeout = 10 * time.Millisecond
			meter := New(w.epoch, l)
			defer meter.Close()
			if o, _ := m.run(meter, g.function); o.Kind != KindTimedOut {
				t.Errorf("%+v", o)
			}
		})
		t.Run(g.module+"/"+g.function+"/cancel", func(t *testing.T) {
			meter := New(w.epoch, plenty())
			defer meter.Close()
			timer := time.AfterFunc(5*time.Millisecond, func() { meter.Cancel(nil) })
			defer timer.Stop()
			if o, _ := m.run(meter, g.function); o.Kind != KindCanceled {
				t.Errorf("%+v", o)
			}
		})
		if strings.HasPrefix(g.module, "bulk") {
			continue // their time is in the operators, not in the fuel
		}
		t.Run(g.module+"/"+g.function+"/fuel", func(t *testing.T) {
			var used []uint64
			for _, slice := range []int64{0, 1, 1000, 1 << 40} {
				meter := New(w.epoch, Limits{Fuel: 12345, Memory: 1 << 30, Slice: slice})
				if o, _ := m.run(meter, g.function); o.Kind != KindOutOfFuel {
					t.Errorf("%+v", o)
				}
				used = append(used, meter.FuelConsumed())
				meter.Close()
				if used[0] != used[len(used)-1] || used[0] <= 12345 || used[0] > 12345+20 {
					t.Errorf("slices of %d: %d used, in others %d", slice, used[len(used)-1], used[0])
				}
			}
		})
	}
}

// TestCollectorWhileSpinning runs the garbage collector, which has to stop
// every goroutine, while a guest spins on the only processor.
func TestCollectorWhileSpinning(t *testing.T) {
	m := newWorld(t).module(t, "spin")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	meter := New(m.w.epoch, plenty())
	defer meter.Close()
	done := make(chan Outcome)
	go func() {
		o, _ := m.run(meter, "loop")
		done <- o
	}()
	for range 20 {
		runtime.GC()
	}
	meter.Cancel(nil)
	if o := <-done; o.Kind != KindCanceled {
		t.Errorf("%+v", o)
	}
}

func TestStack(t *testing.T) {
	m := newWorld(t).module(t, "recurse")
	depth := func(function string, limit int64) uint32 {
		// The largest depth that fits, by halving.
		lo, hi := uint32(0), uint32(1<<20)
		for lo+1 < hi {
			mid := (lo + hi) / 2
			l := plenty()
			l.Stack = limit
			meter := New(m.w.epoch, l)
			o, results := m.run(meter, function, uint64(mid))
			switch {
			case o.Kind == Succeeded:
				if function == "down" && uint32(results[0]) != mid {
					t.Fatalf("depth %d gives %v", mid, results)
				}
				lo = mid
			case o.Kind == KindOverflow:
				hi = mid
			default:
				t.Fatalf("depth %d: %+v", mid, o)
			}
			meter.Close()
		}
		return lo
	}
	// 8 bytes for the parameter, 8 for the result, 64.
	if got := depth("down", 512<<10); got != 512<<10/80-1 {
		t.Errorf("512 KiB hold %d frames of 80 bytes", got)
	}
	if a, b := depth("down", 1<<20), depth("down", 512<<10); a < 2*b || a > 2*b+2 {
		t.Errorf("twice the stack holds %d frames, once %d", a, b)
	}
	// 20 operands more.
	if got := depth("wide", 512<<10); got != 512<<10/240-1 {
		t.Errorf("512 KiB hold %d frames of 240 bytes", got)
	}
	meter := New(m.w.epoch, plenty())
	defer meter.Close()
	if o, _ := m.run(meter, "forever"); o.Kind != KindOverflow || len(o.Stack) == 0 {
		t.Errorf("%+v", o)
	}
}

// TestStackAfterTrap calls an instance again whose last call left its frames
// behind: each call has the whole stack and not more.
func TestStackAfterTrap(t *testing.T) {
	m := newWorld(t).module(t, "recurse")
	l := plenty()
	l.Stack = 80 * 1000
	meter := New(m.w.epoch, l)
	defer meter.Close()
	mod, err := meter.Instantiate(background, m.w.rt, m.code, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(background)
	for i := range 5 {
		_, err := mod.ExportedFunction("down").Call(meter.Context(background), 2000)
		var stop *StopError
		if !errors.As(err, &stop) || stop.Reason != StackOverflow {
			t.Fatalf("%d: %v", i, err)
		}
		meter.stopped.Store(nil) // the run is over; the next call stands for a fresh one
		for _, c := range []struct {
			depth uint64
			ok    bool
		}{{999, true}, {1000, false}, {999, true}} {
			_, err := mod.ExportedFunction("down").Call(meter.Context(background), c.depth)
			meter.stopped.Store(nil)
			if (err == nil) != c.ok {
				t.Fatalf("%d: depth %d: %v", i, c.depth, err)
			}
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	w := newWorld(t)
	m := w.module(t, "grow")
	const page = metering.PageSize
	l := plenty()
	l.Memory = 5*page + 800 // two pages and ten elements at the start
	meter := New(w.epoch, l)
	defer meter.Close()
	if err := meter.Admit(m.info); err != nil {
		t.Fatal(err)
	}
	mod, err := meter.Instantiate(background, w.rt, m.code, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(background)
	call := func(f string, args ...uint64) int32 {
		t.Helper()
		r, err := mod.ExportedFunction(f).Call(meter.Context(background), args...)
		if err != nil {
			t.Fatal(err)
		}
		if len(r) == 0 {
			return 0
		}
		return int32(uint32(r[0]))
	}
	call("poke", 2*page-4, 42)
	for _, c := range []struct {
		f    string
		n    uint64
		want int32
		used uint64
	}{
		{"memory.grow", 0, 2, 2*page + 80},
		{"memory.grow", 2, 2, 4*page + 80},
		{"memory.grow", 2, -1, 4*page + 80},
		{"memory.grow", 1 << 31, -1, 4*page + 80},
		{"table.grow", 5, 10, 4*page + 120},
		{"table.grow", 86, -1, 4*page + 120}, // over its own maximum: costs nothing
		{"table.grow", 1 << 31, -1, 4*page + 120},
		{"memory.grow", 1, 4, 5*page + 120},
		{"table.grow", 85, 15, 5*page + 800},
		{"memory.grow", 1, -1, 5*page + 800},
	} {
		if got := call(c.f, c.n); got != c.want || meter.Memory() != c.used {
			t.Errorf("%s %d: %d with %d bytes used, want %d with %d", c.f, c.n, got, meter.Memory(), c.want, c.used)
		}
	}
	if got := call("peek", 2*page-4); got != 42 {
		t.Errorf("growing lost what was written: %d", got)
	}
	if meter.PeakMemory() != 5*page+800 {
		t.Errorf("peak %d", meter.PeakMemory())
	}
}

func TestOutOfMemory(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"huge-memory", "grow", "bulk"} {
		m := w.module(t, name)
		l := plenty()
		l.Memory = 100_000
		meter := New(w.epoch, l)
		if o, _ := m.run(meter, "_start"); o.Kind != OutOfMemory {
			t.Errorf("%s: %+v", name, o)
		}
		// Without Admit the allocator notices.
		_, err := meter.Instantiate(background, w.rt, m.code, anonymous())
		var oom *OutOfMemoryError
		if !errors.As(err, &oom) && name != "bulk" {
			t.Errorf("%s: %v", name, err)
		}
		meter.Close()
	}
	m := w.module(t, "table-bomb")
	meter := New(w.epoch, plenty())
	defer meter.Close()
	if o, r := m.run(meter, "run"); o.Kind != Succeeded || int32(uint32(r[0])) != -1 {
		t.Errorf("growing a table by a hundred million: %v, %+v", r, o)
	}
}

// TestMemoryIsFresh hands memories from run to run and looks for what the one
// before wrote.
func TestMemoryIsFresh(t *testing.T) {
	w := newWorld(t)
	m := w.module(t, "grow")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 50 {
				meter := New(w.epoch, Limits{Fuel: 1e6, Memory: 1 << 22, Timeout: time.Minute})
				mod, err := meter.Instantiate(background, w.rt, m.code, anonymous())
				if err != nil {
					t.Error(err)
					return
				}
				ctx := meter.Context(background)
				grown, err := mod.ExportedFunction("memory.grow").Call(ctx, uint64(i%8))
				if err != nil || grown[0] != 2 {
					t.Error(grown, err)
				}
				mem := mod.Memory()
				b, _ := mem.Read(0, mem.Size())
				for j := 0; j < len(b); j += 512 {
					if b[j] != 0 {
						t.Errorf("byte %d is %d", j, b[j])
						return
					}
					b[j] = byte(g + 1)
				}
				mod.Close(background)
				meter.Close()
			}
		}()
	}
	wg.Wait()
}

func TestAmountsOutlastClose(t *testing.T) {
	w := newWorld(t)
	m := w.module(t, "recurse")
	meter := New(w.epoch, plenty())
	if o, _ := m.run(meter, "down", 10); o.Kind != Succeeded {
		t.Fatalf("%+v", o)
	}
	before := meter.FuelConsumed()
	meter.Close()
	meter.Close()
	if after := meter.FuelConsumed(); before == 0 || after != before || meter.FuelSoFar() != before {
		t.Errorf("%d fuel before Close, %d after", before, after)
	}
	meter.Cancel(nil)
}

func TestDone(t *testing.T) {
	w := newWorld(t)
	meter := New(w.epoch, Limits{Timeout: time.Hour})
	defer meter.Close()
	if d, ok := meter.Deadline(); !ok || time.Until(d) < 59*time.Minute {
		t.Errorf("deadline %v %t", d, ok)
	}
	select {
	case <-meter.Done():
		t.Error("done at once")
	default:
	}
	meter.Cancel(nil)
	<-meter.Done()
	meter.Cancel(errors.New("too late"))
	if err := meter.Err(); err == nil || err.Error() != "canceled" {
		t.Errorf("the first reason counts: %v", err)
	}
	late := New(w.epoch, Limits{})
	defer late.Close()
	late.Cancel(nil)
	<-late.Done() // asked for after the end
	if _, ok := late.Deadline(); ok {
		t.Error("a deadline without a timeout")
	}
}

func TestWithoutMeter(t *testing.T) {
	m := newWorld(t).module(t, "spin")
	mod, err := m.w.rt.InstantiateModule(background, m.code, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(background)
	if _, err := mod.ExportedFunction("loop").Call(background); err == nil {
		t.Error("a metered module runs without a meter")
	}
}
