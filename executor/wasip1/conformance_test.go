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
