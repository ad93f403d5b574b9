package executor_test

import (
	"context"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"boxfleet/executor/meter"
	"boxfleet/executor/wasip1"
)

// BenchmarkLive keeps instances alive at the end of their run and reports what
// each takes: of the Go heap, and of the system beyond that, its own pages of
// linear memory among it. Kilobytes.
func BenchmarkLive(b *testing.B) {
	for _, tool := range startTools[:4] {
		b.Run(tool.name, func(b *testing.B) {
			wasm, err := os.ReadFile(tool.file)
			if err != nil {
				b.Fatal(err)
			}
			s := newMetered(b, tool, wasm, true)
			s.start(b, io.Discard) // what is made once
			const live = 64
			heap, resident := held(), rss(b)
			var kept []func()
			for range live {
				m := meter.New(s.epoch, meter.Limits{Fuel: math.MaxUint64, Stack: 1 << 20, Memory: 256 << 20, Timeout: time.Hour})
				sys, err := wasip1.New(wasip1.Config{Args: append([]string{"tool"}, tool.args...), Stdin: strings.NewReader(tool.stdin), Stdout: io.Discard, Stderr: io.Discard, Interrupt: m})
				if err == nil {
					err = m.Admit(s.info)
				}
				if err != nil {
					b.Fatal(err)
				}
				ctx := sys.Context(m.Context(context.Background()))
				m.Preload(s.image)
				var mod api.Module
				if mod, err = m.Instantiate(ctx, s.rt, s.code, wazero.NewModuleConfig().WithName("").WithStartFunctions()); err != nil {
					b.Fatal(err)
				}
				_, _ = mod.ExportedFunction("_start").Call(ctx)
				kept = append(kept, func() { _ = mod.Close(ctx); _ = sys.Close(); m.Close() })
			}
			heap, resident = held()-heap, rss(b)-resident
			for _, end := range kept {
				end()
			}
			b.ReportMetric(float64(heap)/live/1024, "heap-KB")
			b.ReportMetric(float64(resident-heap)/live/1024, "system-KB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// held is what the Go heap holds after collection.
func held() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// rss is the resident memory of this process in bytes.
func rss(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text))
	n := int64(0)
	for _, c := range fields[1] {
		n = n*10 + int64(c-'0')
	}
	return n * int64(os.Getpagesize())
}
