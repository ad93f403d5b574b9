package wasihttp

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"boxfleet/executor/sandboxfs"
)

// fileGuest is a guest with one mount that holds n files.
func fileGuest(t *testing.T, n int) *guest {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := sandboxfs.New([]sandboxfs.Mount{{Guest: "/", Host: dir, Mode: sandboxfs.ReadWrite}}, sandboxfs.Quota{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fs.Close() })
	return newGuest(t, Config{FS: fs})
}

// preopen gives a handle of the mount.
func (g *guest) preopen() uint64 {
	g.t.Helper()
	g.must("wasi:filesystem/preopens#get-directories", retArea)
	list := g.u32(retArea)
	return uint64(g.u32(list))
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestRootsAreShared: a guest that asks for its directories for ever, and reads each, takes no descriptors of the host.
func TestRootsAreShared(t *testing.T) {
	g := fileGuest(t, 1)
	before := 0
	for i := range 500 {
		root := g.preopen()
		g.must("wasi:filesystem/types#[method]descriptor.read-directory", root, retArea)
		stream := g.u32(retArea + 4)
		g.must("wasi:filesystem/types#[method]directory-entry-stream.read-directory-entry", uint64(stream), retArea)
		if i == 0 {
			before = descriptors(t)
		}
	}
	// Other tests' servers may open some meanwhile.
	if after := descriptors(t); after > before+100 {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	g.close()
	if n := g.h.table.live; n != 0 {
		t.Errorf("%d handles are left", n)
	}
}

// TestEntriesSideBySide: two streams of one directory do not disturb each other.
func TestEntriesSideBySide(t *testing.T) {
	const files = 300
	g := fileGuest(t, files)
	root := g.preopen()
	var streams [2]uint64
	for i := range streams {
		g.must("wasi:filesystem/types#[method]descriptor.read-directory", root, retArea)
		stream := g.u32(retArea + 4)
		streams[i] = uint64(stream)
	}
	g.must("wasi:filesystem/types#[resource-drop]descriptor", root) // the streams go on
	var seen [2]map[string]bool
	for i := range seen {
		seen[i] = map[string]bool{}
	}
	for range files + 1 {
		for i, stream := range streams {
			g.freeHeap()
			g.must("wasi:filesystem/types#[method]directory-entry-stream.read-directory-entry", stream, retArea)
			if g.u8(retArea) != 0 {
				t.Fatalf("error %d", g.u8(retArea+4))
			}
			if g.u8(retArea+4) == 0 {
				continue
			}
			at := g.u32(retArea + 12)
			n := g.u32(retArea + 16)
			name, _ := g.mod.Memory().Read(at, n)
			seen[i][string(name)] = true
		}
	}
	if len(seen[0]) != files || len(seen[1]) != files {
		t.Errorf("seen %d and %d of %d files", len(seen[0]), len(seen[1]), files)
	}
}

// TestStreamSeesWhatIsWritten: a stream reads no further ahead than it is asked to, so it gives what was written meanwhile.
func TestStreamSeesWhatIsWritten(t *testing.T) {
	g := fileGuest(t, 1)
	root := g.preopen()
	np, nl := g.text("f0")
	g.must("wasi:filesystem/types#[method]descriptor.open-at", root, 0, np, nl, 0, flagRead|flagWrite, retArea)
	file := g.u32(retArea + 4)
	write := func(off uint64, text string) {
		p, n := g.text(text)
		g.must("wasi:filesystem/types#[method]descriptor.write", uint64(file), p, n, off, retArea)
		if g.u8(retArea) != 0 {
			t.Fatalf("write: error %d", g.u8(retArea+8))
		}
	}
	write(0, "aaaabbbb")
	g.must("wasi:filesystem/types#[method]descriptor.read-via-stream", uint64(file), 0, retArea)
	stream := g.u32(retArea + 4)
	read := func() string {
		g.must("wasi:io/streams#[method]input-stream.blocking-read", uint64(stream), 4, retArea)
		at := g.u32(retArea + 4)
		n := g.u32(retArea + 8)
		b, _ := g.mod.Memory().Read(at, n)
		return string(b)
	}
	if got := read(); got != "aaaa" {
		t.Errorf("first %q", got)
	}
	write(4, "cccc")
	g.must("wasi:filesystem/types#[resource-drop]descriptor", uint64(file))
	if got := read(); got != "cccc" {
		t.Errorf("then %q", got)
	}
	g.must("wasi:io/streams#[method]input-stream.read", uint64(stream), 4, retArea)
	if g.u8(retArea) != 1 || g.u8(retArea+4) != 1 {
		t.Errorf("at the end: %d %d, want closed", g.u8(retArea), g.u8(retArea+4))
	}
	g.must("wasi:io/streams#[resource-drop]input-stream", uint64(stream))
	if open := g.h.cfg.FS.Usage().OpenFiles; open != 0 {
		t.Errorf("%d files are open", open)
	}
}
