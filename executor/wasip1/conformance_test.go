//go:build linux

package wasip1_test

import (
	"bytes"
	"context"
	"sort"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"boxfleet/executor/sandboxfs"
	"boxfleet/executor/wasip1"
)

// TestConformance runs the programs of testdata/conformance.c, over both
// resolvers.
func TestConformance(t *testing.T) {
	module := compiled(t, "testdata/conformance.wasm")
	var names []string
	for name := range module.ExportedFunctions() {
		if name != "_start" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	if len(names) < 50 {
		t.Fatalf("only %d programs", len(names))
	}
	for _, r := range resolvers {
		for _, name := range names {
			t.Run(r.name+"/"+name, func(t *testing.T) {
				fs, err := sandboxfs.New([]sandboxfs.Mount{{Guest: "/", Host: t.TempDir(), Mode: sandboxfs.ReadWrite}}, sandboxfs.Quota{})
				must(t, err)
				defer fs.Close()
				if r.walk {
					fs.UseWalk()
				}
				var stderr bytes.Buffer
				s, err := wasip1.New(wasip1.Config{Args: []string{name}, FS: fs, Stderr: &stderr})
				must(t, err)
				defer s.Close()
				ctx := s.Context(context.Background())
				mod, err := engine.rt.InstantiateModule(ctx, module, wazero.NewModuleConfig().WithName(""))
				must(t, err)
				defer mod.Close(ctx)
				if _, err := mod.ExportedFunction(name).Call(ctx); err != nil {
					t.Errorf("%v\n%s", err, stderr.String())
				}
			})
		}
	}
}

// TestLibc runs an ordinary C program, deterministically.
func TestLibc(t *testing.T) {
	for _, r := range resolvers {
		w := newWorld(t, hostileGuest{Mounts: []hostileMount{{"/", "rw", "plain"}, {"/data", "ro", "plain"}}})
		f := w.fs(t, hostileGuest{}, r.walk)
		o := run(t, compiled(t, "testdata/libc/libc.wasm"), wasip1.Config{
			Args: []string{"libc", "one", "two words"}, Env: []string{"NAME=value=with=equals"}, FS: f,
			Stdin: strings.NewReader("first\nsecond\n"), Clock: wasip1.FixedClock(epoch), Rand: wasip1.SeededRand(1),
		})
		if o.exit != 42 || o.stdout != "all well\n" {
			t.Errorf("%s: exit code %d, error %v, stdout %q\n%s", r.name, o.exit, o.err, o.stdout, o.stderr)
		}
		must(t, f.Close())
		w.check(t)
	}
}

// TestDescriptorNumbers hands out the lowest free number, however it got free.
func TestDescriptorNumbers(t *testing.T) {
	w := newWorld(t, hostileGuest{Mounts: []hostileMount{{"/", "rw", "plain"}}})
	f := w.fs(t, hostileGuest{}, false)
	defer f.Close()
	g := newGuest(t, wasip1.Config{FS: f})
	g.mod.Memory().WriteString(64, "hello.txt")
	open := func(want uint32) {
		t.Helper()
		if e := g.call("path_open", 3, 0, 64, 9, 0, 2, 0, 0, 8); e != 0 || g.u32(8) != want {
			t.Errorf("path_open: errno %d, descriptor %d; want %d", e, g.u32(8), want)
		}
	}
	ok := func(name string, args ...uint64) {
		t.Helper()
		if e := g.call(name, args...); e != 0 {
			t.Errorf("%s%v: errno %d", name, args, e)
		}
	}
	for fd := uint32(4); fd < 20; fd++ {
		open(fd)
	}
	ok("fd_close", 17)
	ok("fd_close", 5)
	ok("fd_renumber", 19, 18) // 19 is free
	ok("fd_close", 0)
	for _, fd := range []uint32{0, 5, 17, 19, 20} {
		open(fd)
	}
	if u := f.Usage(); u.OpenFiles != 18 || u.PeakOpenFiles != 18 {
		t.Errorf("usage %+v, want 18 open", u)
	}
}
