package meter

import (
	"bytes"
	"fmt"
	"os"
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
