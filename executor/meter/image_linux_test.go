package meter

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"boxfleet/limits/metering"
)

// TestImageFileIsSealed: nothing in this process can change what instances of
// a module begin with, by accident or otherwise.
func TestImageFileIsSealed(t *testing.T) {
	image := NewImage([]metering.Run{{Offset: 5, Data: letters(9000)}})
	defer image.Close()
	f := image.file
	if f == nil {
		t.Fatal("no file: is memfd_create(2) missing?")
	}
	if image.Size() < 9000 || image.Size() > 64<<10 {
		t.Errorf("the image takes %d bytes", image.Size())
	}
	if _, err := unix.Pwrite(f.fd, []byte("x"), 5); err != unix.EPERM {
		t.Errorf("write: %v", err)
	}
	if err := unix.Ftruncate(f.fd, 0); err != unix.EPERM {
		t.Errorf("truncate: %v", err)
	}
	if _, err := unix.Mmap(f.fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != unix.EPERM {
		t.Errorf("map for writing: %v", err)
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.fd), os.O_RDWR, 0)
	if err == nil {
		defer again.Close()
		if _, err := again.WriteAt([]byte("x"), 5); err == nil {
			t.Error("written by another descriptor")
		}
	}
	if _, err := unix.FcntlInt(uintptr(f.fd), unix.F_ADD_SEALS, 0); err != unix.EPERM {
		t.Errorf("seals can change: %v", err)
	}
}

// TestImagesAreBounded makes more images than there may be files: the rest is
// copied, and everything is given back.
func TestImagesAreBounded(t *testing.T) {
	w := newWorld(t)
	code, m := imageModule(t, w)
	before := imageFiles.Load()
	var images []*Image
	for range maxImageFiles + 5 {
		images = append(images, NewImage(m.Image))
	}
	if n := imageFiles.Load(); n != maxImageFiles {
		t.Errorf("%d files, want %d", n, maxImageFiles)
	}
	last := images[len(images)-1]
	if last.file != nil || last.Size() != 40<<10 {
		t.Errorf("image %d has a file, or takes %d bytes", len(images), last.Size())
	}
	first, _, _ := firstMoments(t, w, m, code, images[0], true)
	copied, _, _ := firstMoments(t, w, m, code, last, true)
	if len(first) == 0 || !bytes.Equal(first, copied) {
		t.Error("an image that is copied differs from one that is mapped")
	}
	if n := imageKept.Load(); n != 1 {
		t.Errorf("%d memories kept, want 1", n)
	}
	for _, i := range images {
		i.Close()
	}
	if files, kept := imageFiles.Load(), imageKept.Load(); files != before || kept != 0 {
		t.Errorf("after Close: %d files (%d before), %d memories kept", files, before, kept)
	}
}

// TestWarmPages: what the first run wrote is made ready for the next, no more
// than may be, and none of it is anything but the image.
func TestWarmPages(t *testing.T) {
	w := newWorld(t)
	pages := 64 // of 64 KiB
	big := dataModule{pages: pages, segments: []dataSegment{{constant, 4096, letters(40 << 10)}}}
	m, err := metering.Rewrite(big.wasm(), metering.Config{Images: true})
	if err != nil {
		t.Fatal(err)
	}
	code, err := w.rt.CompileModule(background, m.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	start := func(image *Image, use func(mem []byte)) {
		t.Helper()
		meter := New(w.epoch, plenty())
		defer meter.Close()
		meter.Preload(image)
		mod, err := meter.Instantiate(background, w.rt, code, anonymous())
		if err != nil {
			t.Fatal(err)
		}
		defer mod.Close(background)
		mem, _ := mod.Memory().Read(0, uint32(pages)<<16)
		for i, c := range mem {
			want := byte(0)
			if i >= 4096 && i < 4096+40<<10 {
				want = byte('a' + (i-4096)%23)
			}
			if c != want {
				t.Fatalf("byte %#x is %d, want %d", i, c, want)
			}
		}
		use(mem)
	}
	for _, c := range []struct {
		name string
		use  func(mem []byte)
		warm []span
	}{
		{"nothing", func([]byte) {}, nil},
		{"one page of the image", func(mem []byte) { mem[5000] = 1 }, []span{{4096, 8192}}},
		{"the page where it ends", func(mem []byte) { mem[44<<10-1] = 1 }, []span{{40 << 10, 44 << 10}}},
		{"two that lie close, one far", func(mem []byte) { mem[0], mem[3*4096], mem[1<<20] = 1, 1, 1 }, []span{{0, 4 * 4096}, {1 << 20, 1<<20 + 4096}}},
		{"what it was", func(mem []byte) { mem[5000] ^= 0; mem[1<<20] = 0 }, nil},
		{"the last page", func(mem []byte) { mem[len(mem)-1] = 1 }, []span{{pages<<16 - 4096, pages << 16}}},
		{"everything", func(mem []byte) {
			for i := range mem {
				mem[i] = 0xff
			}
		}, []span{{0, maxWarm}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := NewImage(m.Image)
			defer image.Close()
			start(image, c.use)
			if !slices.Equal(image.warm, c.warm) {
				t.Errorf("warm are %v, want %v", image.warm, c.warm)
			}
			start(image, func(mem []byte) { clear(mem) }) // begins as ever, and teaches nothing
			start(image, func([]byte) {})
			if !slices.Equal(image.warm, c.warm) {
				t.Errorf("then warm are %v, want %v", image.warm, c.warm)
			}
		})
	}
}
