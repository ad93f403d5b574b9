package executor_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"golang.org/x/sys/unix"

	"boxfleet/executor/meter"
	"boxfleet/executor/wasip1"
	"boxfleet/limits/metering"
)

// startTool is a tool whose start is measured: what it is given, and how much
// of the way it goes.
type startTool struct {
	name, file string
	args       []string
	stdin      string
}

var startTools = []startTool{
	{"noop", "../toolbox/dist/noop.wasm", nil, ""},
	{"c", "testdata/guests/act.wasm", []string{"hello"}, ""},
	{"go-hello", "../toolbox/dist/hello.wasm", []string{"--name=fleet"}, ""},
	{"grep", "../toolbox/dist/grep.wasm", []string{"--help"}, ""},
	{"jq", "../toolbox/dist/jq.wasm", []string{"."}, "[1,2,3]"},
}

// starter makes one instance, runs it to its end and closes it.
type starter interface {
	start(b *testing.B, out io.Writer) (instantiate, run, teardown time.Duration)
}

// now is the processor time of this thread, to which other work on the machine
// does less than to a clock.
func now() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

// faults is how often this thread has met a page that was not there.
func faults() int {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &u)
	return int(u.Minflt)
}

// firstWrite notes when a guest writes for the first time.
type firstWrite struct{ at time.Duration }

func (w *firstWrite) Write(p []byte) (int, error) {
	if w.at == 0 {
		w.at = now()
	}
	return len(p), nil
}

// byHand is the tool on wazero as its documentation shows it.
type byHand struct {
	rt   wazero.Runtime
	code wazero.CompiledModule
	tool startTool
}

func newByHand(b *testing.B, tool startTool, wasm []byte) *byHand {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	b.Cleanup(func() { _ = rt.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	code, err := rt.CompileModule(ctx, wasm)
	if err != nil {
		b.Fatal(err)
	}
	return &byHand{rt, code, tool}
}

func (h *byHand) start(b *testing.B, out io.Writer) (instantiate, run, teardown time.Duration) {
	ctx := context.Background()
	cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithArgs(append([]string{"tool"}, h.tool.args...)...).
		WithStdin(strings.NewReader(h.tool.stdin)).WithStdout(out).WithStderr(out)
	t0 := now()
	mod, err := h.rt.InstantiateModule(ctx, h.code, cfg)
	if err != nil {
		b.Fatal(err)
	}
	t1 := now()
	_, _ = mod.ExportedFunction("_start").Call(ctx)
	t2 := now()
	_ = mod.Close(ctx)
	return t1 - t0, t2 - t1, now() - t2
}

// metered is the tool as a worker runs it, with or without a memory image.
type metered struct {
	rt    wazero.Runtime
	code  wazero.CompiledModule
	image *meter.Image
	info  *metering.Info
	epoch *meter.Epoch
	tool  startTool
}

func newMetered(b *testing.B, tool startTool, wasm []byte, images bool) *metered {
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, meter.RuntimeConfig())
	b.Cleanup(func() { _ = rt.Close(ctx) })
	m, err := metering.Rewrite(wasm, metering.Config{Images: images})
	if err == nil {
		err = meter.Register(ctx, rt)
	}
	if err == nil {
		err = wasip1.Register(ctx, rt)
	}
	if err != nil {
		b.Fatal(err)
	}
	code, err := rt.CompileModule(ctx, m.Wasm)
	if err != nil {
		b.Fatal(err)
	}
	image := meter.NewImage(m.Image)
	epoch := meter.NewEpoch(0)
	running := meter.New(epoch, meter.Limits{Timeout: time.Hour}) // a worker's clock does not rest between jobs
	b.Cleanup(func() { image.Close(); running.Close(); epoch.Close() })
	return &metered{rt, code, image, m.Info, epoch, tool}
}

func (s *metered) start(b *testing.B, out io.Writer) (instantiate, run, teardown time.Duration) {
	ctx := context.Background()
	t0 := now()
	m := meter.New(s.epoch, meter.Limits{Fuel: math.MaxUint64, Stack: 1 << 20, Memory: 256 << 20, Timeout: time.Minute})
	sys, err := wasip1.New(wasip1.Config{Args: append([]string{"tool"}, s.tool.args...), Stdin: strings.NewReader(s.tool.stdin), Stdout: out, Stderr: out, Interrupt: m})
	if err == nil {
		err = m.Admit(s.info)
	}
	if err != nil {
		b.Fatal(err)
	}
	gctx := sys.Context(m.Context(ctx))
	m.Preload(s.image)
	mod, err := m.Instantiate(gctx, s.rt, s.code, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		b.Fatal(err)
	}
	t1 := now()
	_, err = mod.ExportedFunction("_start").Call(gctx)
	t2 := now()
	if o := meter.Classify(err, m); o.Kind == meter.Trapped || o.Kind == meter.Unclassified {
		b.Fatalf("%+v", o)
	}
	_ = mod.Close(gctx)
	_ = sys.Close()
	m.Close()
	return t1 - t0, t2 - t1, now() - t2
}

// samples are durations of one phase.
type samples []time.Duration

func (s samples) at(q float64) float64 {
	slices.Sort(s)
	return float64(s[min(len(s)-1, int(q*float64(len(s))))]) / 1e3
}

// BenchmarkStart starts tools whose code is compiled: on plain wazero, metered
// with data segments, and metered with a memory image, turn by turn, so that
// what else the machine does meets all three. Microseconds of processor time,
// which leave out what the collector does on other threads; first is from the
// beginning to the first byte that the tool writes.
func BenchmarkStart(b *testing.B) {
	for _, tool := range startTools {
		b.Run(tool.name, func(b *testing.B) {
			wasm, err := os.ReadFile(tool.file)
			if err != nil {
				b.Fatal(err)
			}
			ways := []struct {
				name string
				starter
			}{
				{"wazero", newByHand(b, tool, wasm)},
				{"segments", newMetered(b, tool, wasm, false)},
				{"image", newMetered(b, tool, wasm, true)},
			}
			type phases struct {
				instantiate, run, teardown, first, all samples
				faults                                 int
			}
			took := make([]phases, len(ways))
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for range max(b.N, 200) {
				for i, w := range ways {
					var out firstWrite
					had := faults()
					t0 := now()
					inst, run, down := w.start(b, &out)
					p := &took[i]
					p.faults = faults() - had
					p.instantiate, p.run, p.teardown = append(p.instantiate, inst), append(p.run, run), append(p.teardown, down)
					p.all = append(p.all, inst+run+down)
					if out.at != 0 {
						p.first = append(p.first, out.at-t0)
					}
				}
			}
			for i, w := range ways {
				p := took[i]
				report := fmt.Sprintf("%-9s %-9s instantiate %6.0f (p99 %6.0f)  run %6.0f  teardown %5.0f  all %6.0f (p99 %6.0f)",
					tool.name, w.name, p.instantiate.at(.5), p.instantiate.at(.99), p.run.at(.5), p.teardown.at(.5), p.all.at(.5), p.all.at(.99))
				report += fmt.Sprintf("  faults %d", p.faults)
				if len(p.first) > 0 {
					report += fmt.Sprintf("  first %6.0f", p.first.at(.5))
				}
				b.Log(report)
			}
			b.ReportMetric(took[0].all.at(.5)/took[2].all.at(.5), "x-of-wazero")
			b.ReportMetric(took[1].all.at(.5)/took[2].all.at(.5), "x-of-segments")
			b.ReportMetric(took[2].instantiate.at(.5), "instantiate-µs")
			b.ReportMetric(0, "ns/op")
		})
	}
}
