//go:build linux

package wasip1_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"boxfleet/executor/sandboxfs"
	"boxfleet/executor/wasip1"
)

// interesting are arguments at the edges of what calls take.
var interesting = []uint64{
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 64, 100, 1024, 1025, 4096, 65535, 65536, 65537, 0x7fffffff, 0x80000000,
	0xfffffff0, 0xffffffff, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1, 1<<30 - 1, 1 << 6, 1 << 1, 15, 31,
}

// FuzzCalls makes sequences of host calls with arbitrary arguments, in a memory
// that holds paths, iovecs and arbitrary bytes. A call answers with an errno that
// exists or exits; it never panics, blocks, or touches what lies outside.
func FuzzCalls(f *testing.F) {
	f.Add([]byte("\x1f\x00\x03\x01\x40\x05\x09\x1d\x1b\x00\x08"), []byte("../outside/canary"))
	f.Add([]byte("\x1f\x03\x01\x00\x05\x01\x1b\x1b\x00\x08\x14\x04\x00\x01\x08\x1a\x04\x00\x01\x08"), []byte("hello.txt"))
	f.Add([]byte("\x23\x00\x09\x03\x00\x01\x1f\x03\x01\x00\x01\x00\x1b\x1b\x00\x08"), []byte("l"))
	f.Add([]byte("\x25\x00\x0d\x01\x08\x15\x03\x0d\x0e\x00\x08\x16\x03\x00\x16\x00\x03"), []byte("\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, script, data []byte) {
		if len(script) > 400 || len(data) > 4096 {
			return
		}
		base := t.TempDir()
		outside := filepath.Join(base, "outside")
		must(t, os.Mkdir(outside, 0o755))
		put(t, filepath.Join(outside, "canary"), "canary", 0o644)
		root, ro := filepath.Join(base, "root"), filepath.Join(base, "ro")
		for _, dir := range []string{root, ro} {
			must(t, os.Mkdir(dir, 0o755))
			stagePlain(t, dir, outside)
		}
		must(t, os.Symlink("../outside", filepath.Join(root, "l")))
		fs, err := sandboxfs.New([]sandboxfs.Mount{{Guest: "/", Host: root, Mode: sandboxfs.ReadWrite}, {Guest: "/ro", Host: ro, Mode: sandboxfs.ReadOnly}},
			sandboxfs.Quota{WrittenBytes: 1 << 20, Files: 20, OpenFiles: 8, Depth: 4})
		must(t, err)
		defer fs.Close()
		before := listTree(t, outside) + listTree(t, ro)
		// A fixed clock never really waits, so that no sequence takes long.
		g := newGuest(t, wasip1.Config{FS: fs, Args: []string{"a"}, Env: []string{"A=b"}, Stdin: strings.NewReader("input"), Clock: wasip1.FixedClock(epoch), Rand: wasip1.SeededRand(1)})
		mem := g.mod.Memory()
		// Data at 0 for iovecs and the like, and again at 1024 for paths.
		mem.Write(0, data)
		mem.Write(1024, data)
		binary.LittleEndian.PutUint32(mustBytes(t, g, 512), 1024)
		var names []string
		for name := range g.mod.ExportedFunctionDefinitions() {
			names = append(names, name)
		}
		sort.Strings(names)
		for len(script) > 0 {
			name := names[int(script[0])%len(names)]
			script = script[1:]
			fn := g.mod.ExportedFunction(name)
			args := make([]uint64, len(fn.Definition().ParamTypes()))
			for i := range args {
				if len(script) == 0 {
					break
				}
				if c := script[0]; c < 64 {
					args[i] = interesting[int(c)%len(interesting)]
				} else {
					args[i] = uint64(c) * 16
				}
				if fn.Definition().ParamTypes()[i] == api.ValueTypeI32 {
					args[i] = uint64(uint32(args[i]))
				}
				script = script[1:]
			}
			res, err := fn.Call(g.ctx, args...)
			if err != nil {
				if exit := new(sys.ExitError); errors.As(err, &exit) && name == "proc_exit" {
					break
				}
				t.Fatalf("%s%v: %v", name, args, err)
			}
			if len(res) == 1 && res[0] > 76 {
				t.Fatalf("%s%v: errno %d does not exist", name, args, res[0])
			}
		}
		if after := listTree(t, outside) + listTree(t, ro); after != before {
			t.Fatalf("changed outside or the read-only mount:\n%s\nwas\n%s", after, before)
		}
		if u := fs.Usage(); u.OpenFiles > 8 || u.Files > 20 || u.WrittenBytes > 1<<20 || u.WrittenBytes < 0 {
			t.Fatalf("usage %+v is over its quota", u)
		}
	})
}

// epoch is when deterministic tests begin.
var epoch = time.Unix(1700000000, 0)

func mustBytes(t testing.TB, g *guest, at uint32) []byte {
	t.Helper()
	b, ok := g.mod.Memory().Read(at, 8)
	if !ok {
		t.Fatal("the guest's memory is too small")
	}
	return b
}

// listTree describes a directory with its files' content.
func listTree(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		must(t, err)
		fmt.Fprintln(&b, path, info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			must(t, err)
			fmt.Fprintf(&b, "%q\n", content)
		}
		return nil
	}))
	return b.String()
}
