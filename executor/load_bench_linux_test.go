package executor

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/unix"

	"boxfleet/artifacts"
	"boxfleet/executor/meter"
	"boxfleet/limits/metering"
)

// BenchmarkLoad takes the way of a module to its compiled form apart, in
// milliseconds of processor time of the thread: what is done once in a fleet
// (rewrite, compile), and what a worker does that has it on disk, by wazero's
// own cache and by the skeleton. Loads are medians, turn by turn.
func BenchmarkLoad(b *testing.B) {
	ctx := context.Background()
	for _, tool := range []string{"noop", "hello", "grep", "jq"} {
		b.Run(tool, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			raw, err := os.ReadFile("../toolbox/dist/" + tool + ".wasm")
			if err != nil {
				b.Fatal(err)
			}
			timed := func(f func()) float64 {
				start := threadTime()
				f()
				return float64(threadTime()-start) / 1e6
			}
			var digest artifacts.Digest
			verify := timed(func() { digest = artifacts.DigestBytes(raw) })
			_ = digest
			var p *program
			rewrite := timed(func() { p, err = rewritten(raw, metering.Config{Images: true}) })
			if err != nil {
				b.Fatal(err)
			}
			store := &nativeStore{dir: b.TempDir()}
			own := filepath.Join(b.TempDir(), "own")
			if err := os.Mkdir(own, 0o700); err != nil {
				b.Fatal(err)
			}
			code, err := wazero.NewCompilationCacheWithDir(own)
			if err != nil {
				b.Fatal(err)
			}
			byWazero, err := newRuntime(ctx, meter.RuntimeConfig().WithCompilationCache(code))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _, _ = byWazero.Close(ctx), code.Close(ctx) }()
			var compiled wazero.CompiledModule
			compile := timed(func() { compiled, err = byWazero.CompileModule(ctx, p.wasm) })
			if err != nil {
				b.Fatal(err)
			}
			_ = compiled.Close(ctx)
			var k *kept
			keep := timed(func() { k, err = store.compile(ctx, p) })
			if err != nil {
				b.Fatal(err)
			}
			kcode, err := wazero.NewCompilationCacheWithDir(store.dir)
			if err != nil {
				b.Fatal(err)
			}
			if store.rt, err = newRuntime(ctx, meter.RuntimeConfig().WithCompilationCache(kcode)); err != nil {
				b.Fatal(err)
			}
			defer func() { _, _ = store.rt.Close(ctx), kcode.Close(ctx) }()
			data, err := k.encode()
			if err != nil {
				b.Fatal(err)
			}
			wasmFile, keptFile := filepath.Join(own, "wasm"), filepath.Join(own, "kept")
			if err := os.WriteFile(wasmFile, p.wasm, 0o600); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(keptFile, data, 0o600); err != nil {
				b.Fatal(err)
			}
			var whole, bare, image []float64
			for range max(b.N, 9) {
				whole = append(whole, timed(func() {
					wasm, err := os.ReadFile(wasmFile)
					if err != nil {
						b.Fatal(err)
					}
					if compiled, err = byWazero.CompileModule(ctx, wasm); err != nil {
						b.Fatal(err)
					}
				}))
				_ = compiled.Close(ctx)
				bare = append(bare, timed(func() {
					k, err := readKept(keptFile)
					if err != nil {
						b.Fatal(err)
					}
					if compiled, err = store.load(ctx, k); err != nil {
						b.Fatal(err)
					}
				}))
				_ = compiled.Close(ctx)
				var i *meter.Image
				image = append(image, timed(func() { i = meter.NewImage(k.image) }))
				i.Close()
			}
			mid := func(s []float64) float64 { slices.Sort(s); return s[len(s)/2] }
			b.Logf("%-6s %4.1f MB  verify %5.1f  rewrite %6.1f  compile %7.1f  compile and keep %7.1f  load by wazero %6.1f  by skeleton %6.1f  image %5.2f",
				tool, float64(len(raw))/1e6, verify, rewrite, compile, keep, mid(whole), mid(bare), mid(image))
			b.ReportMetric(mid(whole)/mid(bare), "x-of-wazero")
			b.ReportMetric(mid(bare), "load-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// threadTime is the processor time of this thread.
func threadTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}
