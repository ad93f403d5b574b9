package meter

import (
	"context"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"golang.org/x/sys/unix"

	"boxfleet/limits/metering"
)

// workload is something a guest computes: a kernel's run(n), or a command.
type workload struct {
	name  string
	file  string
	n     uint64   // of a kernel
	args  []string // of a command
	stdin string
}

func kernels(names map[string]uint64) []workload {
	var ws []workload
	for name, n := range names {
		ws = append(ws, workload{name: name, file: "../../limits/metering/testdata/kernels/" + name + ".wasm", n: n})
	}
	slices.SortFunc(ws, func(a, b workload) int { return strings.Compare(a.name, b.name) })
	return ws
}

// workloads are those of docs/performance.md. The commands are built by the
// toolbox; without them the benchmark measures the kernels alone.
func workloads() []workload {
	ws := kernels(map[string]uint64{
		"intloop.O2": 10_000_000, "fib.O2": 32, "mandel.O2": 500, "nbody.O2": 80_000, "matmul.O2": 100,
		"sieve.O2": 1 << 20, "sort.O2": 250_000, "vm.O2": 400_000, "sha256.O2": 30_000, "crc.O2": 3000,
		"pointers.O2": 5_000_000, "bignum.O2": 3000, "simd.simd": 10_000,
		"blocks.O2": 3000,
	})
	json := `[` + strings.Repeat(`{"a":[1,2,3.5,{"b":"text","c":null}],"d":"some longer text with \"quotes\""},`, 800) + `0]`
	lua := `local t={} for i=1,50000 do t[i%1000]=(t[i%1000] or 0)+i*i%7 end local s=0 for k,v in pairs(t) do s=s+v end print(s)`
	for _, w := range []workload{
		{name: "jq", file: "jq.wasm", args: []string{"jq", "[.[]|objects|.a[3].b]|length"}, stdin: json},
		{name: "lua", file: "lua.wasm", args: []string{"lua", "-e", lua}},
		{name: "go-noop", file: "noop-go.wasm", args: []string{"noop"}},
		{name: "sort-go", file: "sort.wasm", args: []string{"sort"}, stdin: strings.Repeat("some\nlines\nto\nsort\n", 5000)},
	} {
		w.file = "../../toolbox/dist/" + w.file
		if _, err := os.Stat(w.file); err == nil {
			ws = append(ws, w)
		}
	}
	return ws
}

// side is one way to run a workload.
type side struct {
	rt   wazero.Runtime
	code wazero.CompiledModule
	run  func() time.Duration
}

func newSide(b testing.TB, w workload, epoch *Epoch, config wazero.RuntimeConfig, metered bool) *side {
	b.Helper()
	wasm, err := os.ReadFile(w.file)
	if err != nil {
		b.Fatal(err)
	}
	if metered {
		m, err := metering.Rewrite(wasm, metering.Config{})
		if err != nil {
			b.Fatal(err)
		}
		wasm = m.Wasm
	}
	rt := wazero.NewRuntimeWithConfig(background, config)
	b.Cleanup(func() { rt.Close(background) })
	wasi_snapshot_preview1.MustInstantiate(background, rt)
	if metered {
		if err := Register(background, rt); err != nil {
			b.Fatal(err)
		}
	}
	code, err := rt.CompileModule(background, wasm)
	if err != nil {
		b.Fatal(err)
	}
	s := &side{rt: rt, code: code}
	s.run = func() time.Duration {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		ctx, cancel := context.WithTimeout(background, time.Hour)
		defer cancel()
		var m *Meter
		if metered {
			m = New(epoch, Limits{Fuel: math.MaxUint64, Memory: 4 << 30, Stack: 1 << 20, Timeout: time.Hour})
			ctx = m.Context(ctx)
			defer m.Close()
		}
		cfg := anonymous().WithArgs(w.args...).WithStdin(strings.NewReader(w.stdin)).WithStdout(io.Discard).WithStderr(os.Stderr)
		mod, err := rt.InstantiateModule(ctx, code, cfg)
		if err != nil {
			b.Fatal(err)
		}
		defer mod.Close(background)
		if w.args != nil {
			f := mod.ExportedFunction("_start")
			start := processorTime(b)
			_, err = f.Call(ctx)
			took := processorTime(b) - start
			if o := Classify(err, m); o.Kind != Succeeded {
				b.Fatalf("%s: %+v", w.name, o)
			}
			return took
		}
		f := mod.ExportedFunction("run")
		start := processorTime(b)
		if _, err = f.Call(ctx, w.n); err != nil {
			b.Fatal(err)
		}
		return processorTime(b) - start
	}
	return s
}

// processorTime is what this thread has used, so that other work on the
// machine counts less than on a clock.
func processorTime(b testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2])
}

// BenchmarkOverhead runs every workload plain, metered, and plain with
// WithCloseOnContextDone, in turns, and reports the ratios of the medians.
func BenchmarkOverhead(b *testing.B) {
	epoch := NewEpoch(0)
	defer epoch.Close()
	var logs, closeLogs float64
	count := 0
	for _, w := range workloads() {
		b.Run(w.name, func(b *testing.B) {
			plain := newSide(b, w, epoch, RuntimeConfig(), false)
			metered := newSide(b, w, epoch, RuntimeConfig(), true)
			closing := newSide(b, w, epoch, RuntimeConfig().WithCloseOnContextDone(true), false)
			var p, m, c []time.Duration
			for range max(b.N, 9) {
				p = append(p, plain.run())
				m = append(m, metered.run())
				if len(c) < 3 {
					c = append(c, closing.run())
				}
			}
			ratio, closeRatio := median(m)/median(p), median(c)/median(p)
			logs += math.Log(ratio)
			closeLogs += math.Log(closeRatio)
			count++
			b.ReportMetric(median(p)/1e6, "plain-ms")
			b.ReportMetric(ratio, "metered-x")
			b.ReportMetric(closeRatio, "close-x")
			b.ReportMetric(0, "ns/op")
		})
	}
	b.Run("geomean", func(b *testing.B) {
		if count == 0 {
			b.Skip("no workload was run")
		}
		b.ReportMetric(math.Exp(logs/float64(count)), "metered-x")
		b.ReportMetric(math.Exp(closeLogs/float64(count)), "close-x")
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkRewrite compares the time to rewrite with the time to compile.
func BenchmarkRewrite(b *testing.B) {
	files, err := filepath.Glob("../../toolbox/dist/*.wasm")
	if err != nil || len(files) == 0 {
		files = []string{"../../limits/metering/testdata/kernels/vm.O2.wasm"}
	}
	for _, file := range files {
		b.Run(strings.TrimSuffix(filepath.Base(file), ".wasm"), func(b *testing.B) {
			wasm, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			var m *metering.Module
			var rewriting time.Duration
			for b.Loop() {
				start := time.Now()
				if m, err = metering.Rewrite(wasm, metering.Config{}); err != nil {
					b.Fatal(err)
				}
				rewriting += time.Since(start)
			}
			rt := wazero.NewRuntimeWithConfig(background, RuntimeConfig())
			defer rt.Close(background)
			start := time.Now()
			if _, err := rt.CompileModule(background, m.Wasm); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(100*float64(rewriting)/float64(b.N)/float64(time.Since(start)), "%-of-compile")
			b.ReportMetric(100*m.Stats.Growth(), "%-growth")
			b.ReportMetric(100*(float64(m.Stats.CodeOut)/float64(m.Stats.CodeIn)-1), "%-code-growth")
			b.SetBytes(int64(len(wasm)))
		})
	}
}

// BenchmarkStart makes, runs and closes instances of a module that does
// nothing, plain and under a meter.
func BenchmarkStart(b *testing.B) {
	wasm, err := os.ReadFile("testdata/noop.wasm")
	if err != nil {
		b.Fatal(err)
	}
	m, err := metering.Rewrite(wasm, metering.Config{})
	if err != nil {
		b.Fatal(err)
	}
	epoch := NewEpoch(0)
	defer epoch.Close()
	rt := wazero.NewRuntimeWithConfig(background, RuntimeConfig())
	defer rt.Close(background)
	if err := Register(background, rt); err != nil {
		b.Fatal(err)
	}
	compile := func(wasm []byte) wazero.CompiledModule {
		c, err := rt.CompileModule(background, wasm)
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	plain, metered := compile(wasm), compile(m.Wasm)
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mod, err := rt.InstantiateModule(background, plain, anonymous())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := mod.ExportedFunction("_start").Call(background); err != nil {
				b.Fatal(err)
			}
			mod.Close(background)
		}
	})
	b.Run("metered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			meter := New(epoch, Limits{Fuel: 1e6, Memory: 1 << 24, Timeout: time.Minute})
			mod, err := meter.Instantiate(background, rt, metered, anonymous())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := mod.ExportedFunction("_start").Call(meter.Context(background)); err != nil {
				b.Fatal(err)
			}
			mod.Close(background)
			meter.Close()
		}
	})
}

// BenchmarkOvershoot spins on every processor at once and reports how long
// after its deadline a run ends.
func BenchmarkOvershoot(b *testing.B) {
	w := newWorld(b)
	for _, g := range []struct{ module, function string }{{"spin", "loop"}, {"call-tree", "run"}, {"bulk", "fill-small"}, {"bulk", "fill"}} {
		m := w.module(b, g.module)
		b.Run(g.module+"-"+g.function, func(b *testing.B) {
			const timeout = 20 * time.Millisecond
			late := make(chan time.Duration)
			var all []time.Duration
			for range max(b.N, 20) {
				for range 4 {
					go func() {
						l := plenty()
						l.Timeout = timeout
						meter := New(w.epoch, l)
						start := time.Now()
						m.run(meter, g.function)
						late <- time.Since(start) - timeout
						meter.Close()
					}()
				}
				for range 4 {
					all = append(all, <-late)
				}
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1e3, "p50-ms")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1e3, "p99-ms")
			b.ReportMetric(float64(all[len(all)-1].Microseconds())/1e3, "max-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
