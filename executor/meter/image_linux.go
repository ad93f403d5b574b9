package meter

import (
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"boxfleet/limits/metering"
)

// A process may have some tens of thousands of mappings and, often, a thousand
// descriptors. An image takes one descriptor, and two mappings for each memory
// that is kept for the next instance. Beyond these numbers images are copied
// and memories are not kept.
const (
	maxImageFiles = 256
	maxImageKept  = 512
	keepImage     = 16 // memories kept of one image
)

var imageFiles, imageKept atomic.Int64

// imageFile is an unnamed file in memory that holds an image from its address
// 0 on. It is sealed: nothing can change it, and so nothing that an instance
// sees of it, while it lives.
type imageFile struct {
	fd   int
	size int // of the mapping, a multiple of the page size
}

// newImageFile gives the file and the memory it takes, or nil if the system
// has none to give.
func newImageFile(runs []metering.Run, end uint64) (*imageFile, int64) {
	if imageFiles.Add(1) > maxImageFiles {
		imageFiles.Add(-1)
		return nil, 0
	}
	f, err := writeImage(runs, end)
	if err != nil {
		imageFiles.Add(-1)
		return nil, 0
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		f.close()
		return nil, 0
	}
	return f, st.Blocks * 512
}

func writeImage(runs []metering.Run, end uint64) (_ *imageFile, err error) {
	fd, err := unix.MemfdCreate("boxfleet-image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	page := uint64(os.Getpagesize())
	size := (end + page - 1) / page * page
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, err
	}
	for _, r := range runs {
		for at := 0; at < len(r.Data); {
			n, err := unix.Pwrite(fd, r.Data[at:], int64(r.Offset)+int64(at))
			if err != nil {
				return nil, err
			}
			at += n
		}
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, err
	}
	return &imageFile{fd: fd, size: int(size)}, nil
}

func (f *imageFile) close() {
	_ = unix.Close(f.fd)
	imageFiles.Add(-1)
}

// reserve gives a mapping with room for size bytes that begins with the image,
// or, when that cannot be, one of zeros into which the image has to be copied;
// nil if the system has no address space left.
func (i *Image) reserve(size uint64) *mapping {
	if i == nil || i.file == nil || uint64(i.file.size) > size {
		return reserve(size)
	}
	class := sizeClass(size)
	i.mu.Lock()
	for n := len(i.free) - 1; n >= 0; n-- {
		if m := i.free[n]; m.class == class {
			i.free = append(i.free[:n], i.free[n+1:]...)
			i.mu.Unlock()
			imageKept.Add(-1)
			return m
		}
	}
	i.mu.Unlock()
	m := reserve(size)
	if m == nil {
		return nil
	}
	_, err := unix.MmapPtr(i.file.fd, 0, unsafe.Pointer(&m.mem[0]), uintptr(i.file.size),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		// What was mapped there may be gone, so nothing of it is used.
		_ = unix.Munmap(m.mem)
		return reserve(size)
	}
	m.image = i
	return m
}

// keep takes back a mapping whose pages have been dropped, which begins with
// the image again.
func (i *Image) keep(m *mapping) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.closed && len(i.free) < keepImage {
		if imageKept.Add(1) <= maxImageKept {
			i.free = append(i.free, m)
			return
		}
		imageKept.Add(-1)
	}
	_ = unix.Munmap(m.mem)
}

// discard gives a kept mapping back to the system.
func (m *mapping) discard() {
	imageKept.Add(-1)
	_ = unix.Munmap(m.mem)
}
