//go:build linux

package wasip1_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"golang.org/x/sys/unix"

	"boxfleet/executor/sandboxfs"
	"boxfleet/executor/wasip1"
)

// benchTree lays out the files that testdata/files.c works on.
func benchTree(b testing.TB) string {
	dir := b.TempDir()
	content := string(bytes.Repeat([]byte("all work and no play makes boxfleet\n"), 114)[:4096])
	must(b, os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o755))
	must(b, os.MkdirAll(filepath.Join(dir, "many"), 0o755))
	put(b, filepath.Join(dir, "top"), content, 0o644)
	put(b, filepath.Join(dir, "a/b/c/file"), content, 0o644)
	for i := range 100 {
		put(b, filepath.Join(dir, fmt.Sprintf("many/f%02d", i)), content, 0o644)
	}
	return dir
}

var fileOperations = []string{
	"open_read_close", "stat_deep", "stat_shallow", "find", "grep", "read_4k", "write_4k", "create_unlink", "clock_now",
}

// BenchmarkFiles compares file operations of a guest with wazero's own directory
// mount: boxfleet with one mount, the same staged by a worker and so without
// devices, that with a mount nested in it, that by its own walk, and wazero. "find" and "grep" are of 100 files each.
func BenchmarkFiles(b *testing.B) {
	ctx := context.Background()
	wasm, err := os.ReadFile("testdata/files.wasm")
	must(b, err)
	plain := wazero.NewRuntime(ctx)
	defer plain.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, plain)
	plainModule, err := plain.CompileModule(ctx, wasm)
	must(b, err)
	module := compiled(b, "testdata/files.wasm")

	ours := func(nested, staged, walk bool) func(b *testing.B) (context.Context, api.Module) {
		return func(b *testing.B) (context.Context, api.Module) {
			mounts := []sandboxfs.Mount{{Guest: "/", Host: benchTree(b), Mode: sandboxfs.ReadWrite, NoDevices: staged}}
			if nested {
				mounts = append(mounts, sandboxfs.Mount{Guest: "/data", Host: b.TempDir(), Mode: sandboxfs.ReadOnly})
			}
			f, err := sandboxfs.New(mounts, sandboxfs.Quota{WrittenBytes: 1 << 50})
			must(b, err)
			if walk {
				f.UseWalk()
			}
			s, err := wasip1.New(wasip1.Config{FS: f, Interrupt: newStopSwitch()})
			must(b, err)
			mod, err := engine.rt.InstantiateModule(s.Context(ctx), module, wazero.NewModuleConfig().WithName(""))
			must(b, err)
			b.Cleanup(func() { mod.Close(ctx); s.Close(); f.Close() })
			return s.Context(ctx), mod
		}
	}
	hosts := []struct {
		name  string
		start func(b *testing.B) (context.Context, api.Module)
	}{
		{"boxfleet", ours(false, false, false)},
		{"staged", ours(false, true, false)},
		{"nested", ours(true, true, false)},
		{"walk", ours(false, true, true)},
		{"wazero", func(b *testing.B) (context.Context, api.Module) {
			mod, err := plain.InstantiateModule(ctx, plainModule, wazero.NewModuleConfig().WithName("").WithSysNanotime().
				WithFSConfig(wazero.NewFSConfig().WithDirMount(benchTree(b), "/")))
			must(b, err)
			b.Cleanup(func() { mod.Close(ctx) })
			return ctx, mod
		}},
	}
	for _, op := range fileOperations {
		for _, h := range hosts {
			b.Run(op+"/"+h.name, func(b *testing.B) {
				ctx, mod := h.start(b)
				f := mod.ExportedFunction(op)
				b.ResetTimer()
				before := cpuTime(b)
				if _, err := f.Call(ctx, uint64(b.N)); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// cpuTime is the process's CPU time in nanoseconds, which a busy machine
// disturbs less than the time of day.
func cpuTime(b *testing.B) int64 {
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkStart is what a run pays before its guest is instantiated, and after.
func BenchmarkStart(b *testing.B) {
	for _, n := range []int{0, 1, 3} {
		b.Run(fmt.Sprintf("%dmounts", n), func(b *testing.B) {
			var mounts []sandboxfs.Mount
			for i := range n {
				mounts = append(mounts, sandboxfs.Mount{Guest: []string{"/", "/in", "/out"}[i], Host: b.TempDir(), Mode: sandboxfs.ReadWrite})
			}
			ctx, sw, args := context.Background(), newStopSwitch(), []string{"tool", "--help"}
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				f, err := sandboxfs.New(mounts, sandboxfs.Quota{})
				if err != nil {
					b.Fatal(err)
				}
				s, err := wasip1.New(wasip1.Config{Args: args, FS: f, Interrupt: sw})
				if err != nil {
					b.Fatal(err)
				}
				_ = s.Context(ctx)
				_ = s.Close()
				_ = f.Close()
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
