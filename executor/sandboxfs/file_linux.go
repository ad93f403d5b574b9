package sandboxfs

import (
	"io"
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// File is an open file or directory. It keeps its own position, so that
// appending, positioned writes and quotas need no question to the kernel.
type File struct {
	fs         *FS
	m          *mount
	node       *node // of a directory: its node in the mount tree, if any
	fd         int   // -1 once closed
	flags      OpenFlag
	kind       FileType
	root       bool // a mount's root: fd is the mount's
	append     bool
	pos        int64
	size       int64 // the file's size as last seen
	dir        *dirStream
	next, prev *File
}

// Type is TypeRegular or TypeDirectory.
func (f *File) Type() FileType { return f.kind }

// Mount returns the mount the file is in.
func (f *File) Mount() Mount { return f.m.Mount }

// Flags returns the access the file was opened with: Read, Write, both or none.
func (f *File) Flags() OpenFlag { return f.flags }

// SetAppend makes Write write at the end of the file, or stops that.
func (f *File) SetAppend(on bool) { f.append = on }

// Close closes the file.
func (f *File) Close() error {
	if f.fd < 0 {
		return unix.EBADF
	}
	f.dir.close()
	fd := f.fd
	f.fd = -1
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		f.fs.files = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.next, f.prev = nil, nil
	if f.root {
		return nil
	}
	f.fs.count.open.Add(-1)
	return unix.Close(fd)
}

// ready checks that data may move in the given direction.
func (f *File) ready(need OpenFlag) error {
	switch {
	case f.fd < 0:
		return unix.EBADF
	case f.kind == TypeDirectory:
		return unix.EISDIR
	case f.flags&need != need:
		return unix.EBADF
	}
	return nil
}

// Read reads from the file's position into the buffers, in order, and moves it.
// It returns 0 at the end of the file.
func (f *File) Read(bufs [][]byte) (int, error) {
	n, err := f.readAt(bufs, f.pos)
	f.pos += int64(n)
	return n, err
}

// ReadAt reads from an offset and leaves the position alone.
func (f *File) ReadAt(bufs [][]byte, off int64) (int, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	return f.readAt(bufs, off)
}

func (f *File) readAt(bufs [][]byte, off int64) (int, error) {
	if err := f.ready(Read); err != nil {
		return 0, err
	}
	for {
		var n int
		var err error
		switch len(bufs) {
		case 0:
			return 0, nil
		case 1:
			n, err = unix.Pread(f.fd, bufs[0], off)
		default:
			n, err = unix.Preadv(f.fd, bufs, off)
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, f.fs.host(err)
		}
		f.fs.count.read.Add(int64(n))
		return n, nil
	}
}

// Write writes the buffers, in order, at the file's position or, after
// SetAppend, at its end, and moves the position behind them.
func (f *File) Write(bufs [][]byte) (int, error) {
	if f.append {
		return f.writeEnd(bufs)
	}
	n, err := f.writeAt(bufs, f.pos)
	f.pos += int64(n)
	return n, err
}

// WriteAt writes at an offset, also when the file appends, and leaves the
// position alone.
func (f *File) WriteAt(bufs [][]byte, off int64) (int, error) {
	if off < 0 {
		return 0, unix.EINVAL
	}
	return f.writeAt(bufs, off)
}

func total(bufs [][]byte) int64 {
	var n int64
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

func (f *File) writeAt(bufs [][]byte, off int64) (int, error) {
	if err := f.ready(Write); err != nil {
		return 0, err
	}
	n := total(bufs)
	if n == 0 {
		return 0, nil
	}
	if off > math.MaxInt64-n {
		return 0, unix.EFBIG
	}
	if off > f.size {
		if err := f.refresh(); err != nil {
			return 0, err
		}
	}
	hole := max(0, off-f.size)
	if err := f.fs.charge(hole + n); err != nil {
		return 0, err
	}
	wrote, err := f.pwrite(bufs, off)
	if wrote == 0 {
		n += hole // nothing happened
	}
	f.fs.refund(n - int64(wrote))
	f.size = max(f.size, off+int64(wrote))
	return wrote, err
}

func (f *File) pwrite(bufs [][]byte, off int64) (n int, err error) {
	for {
		if len(bufs) == 1 {
			n, err = unix.Pwrite(f.fd, bufs[0], off)
		} else {
			n, err = unix.Pwritev(f.fd, bufs, off)
		}
		if err == unix.EINTR {
			continue
		}
		return max(n, 0), f.fs.host(err)
	}
}

// writeEnd appends by RWF_APPEND, which is atomic with other writers and, unlike
// O_APPEND, leaves positioned writes on the descriptor alone.
func (f *File) writeEnd(bufs [][]byte) (int, error) {
	if err := f.ready(Write); err != nil {
		return 0, err
	}
	n := total(bufs)
	if n == 0 {
		return 0, nil
	}
	if err := f.fs.charge(n); err != nil {
		return 0, err
	}
	wrote, err := unix.Pwritev2(f.fd, bufs, -1, unix.RWF_APPEND)
	for err == unix.EINTR {
		wrote, err = unix.Pwritev2(f.fd, bufs, -1, unix.RWF_APPEND)
	}
	wrote = max(wrote, 0)
	f.fs.refund(n - int64(wrote))
	if err != nil {
		return wrote, f.fs.host(err)
	}
	end, err := unix.Seek(f.fd, 0, unix.SEEK_CUR)
	if err == nil {
		f.pos, f.size = end, max(f.size, end)
	}
	return wrote, nil
}

// refresh learns the file's size; another descriptor may have grown it.
func (f *File) refresh() error {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return err
	}
	f.size = st.Size
	return nil
}

// charge takes n bytes from the quota, or takes nothing and reports ENOSPC.
func (f *FS) charge(n int64) error {
	if n > f.quota.WrittenBytes-f.count.written.Load() {
		f.hit(limitWrittenBytes)
		return unix.ENOSPC
	}
	f.count.written.Add(n)
	return nil
}

func (f *FS) refund(n int64) {
	if n != 0 {
		f.count.written.Add(-n)
	}
}

// Seek moves the file's position and returns it. whence is io.SeekStart,
// io.SeekCurrent or io.SeekEnd.
func (f *File) Seek(off int64, whence int) (int64, error) {
	if err := f.ready(0); err != nil {
		return 0, err
	}
	var from int64
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		from = f.pos
	case io.SeekEnd:
		if err := f.refresh(); err != nil {
			return 0, err
		}
		from = f.size
	default:
		return 0, unix.EINVAL
	}
	if off > 0 && from > math.MaxInt64-off {
		return 0, unix.EOVERFLOW
	}
	if from+off < 0 {
		return 0, unix.EINVAL
	}
	f.pos = from + off
	return f.pos, nil
}

// Truncate sets the file's size. Growing costs quota as if the hole were written.
func (f *File) Truncate(size int64) error {
	if err := f.ready(Write); err != nil {
		if err == unix.EISDIR {
			return unix.EBADF
		}
		return err
	}
	if size < 0 {
		return unix.EINVAL
	}
	if err := f.refresh(); err != nil {
		return err
	}
	grow := max(0, size-f.size)
	if err := f.fs.charge(grow); err != nil {
		return err
	}
	if err := unix.Ftruncate(f.fd, size); err != nil {
		f.fs.refund(grow)
		return f.fs.host(err)
	}
	f.size = size
	return nil
}

// Allocate makes the file at least off+n bytes long. The bytes are paid for but
// no blocks are reserved: the quota, not the disk, is what a guest is promised.
func (f *File) Allocate(off, n int64) error {
	if err := f.ready(Write); err != nil {
		if err == unix.EISDIR {
			return unix.EBADF
		}
		return err
	}
	if off < 0 || n <= 0 {
		return unix.EINVAL
	}
	if off > math.MaxInt64-n {
		return unix.EFBIG
	}
	if err := f.refresh(); err != nil {
		return err
	}
	if off+n <= f.size {
		return nil
	}
	return f.Truncate(off + n)
}

// Sync checks that the file is open and does nothing else: a workspace does not
// outlive its job, and a guest must not be able to stall the host's disk.
func (f *File) Sync() error {
	if f.fd < 0 {
		return unix.EBADF
	}
	return nil
}

// Stat describes the open file.
func (f *File) Stat() (Stat, error) {
	if f.fd < 0 {
		return Stat{}, unix.EBADF
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return Stat{}, err
	}
	return statOf(&st), nil
}

// SetTimes sets the access and modification times.
func (f *File) SetTimes(atim, mtim Time) error {
	switch {
	case f.fd < 0:
		return unix.EBADF
	case f.m.Mode == ReadOnly:
		return unix.EROFS
	}
	ts, err := timespecs(atim, mtim)
	if err != nil {
		return err
	}
	// futimens: x/sys has no call for utimensat without a path.
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(f.fd), 0, uintptr(unsafe.Pointer(&ts[0])), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func timespecs(atim, mtim Time) ([2]unix.Timespec, error) {
	var ts [2]unix.Timespec
	for i, t := range [2]Time{atim, mtim} {
		switch {
		case !t.Set:
			ts[i].Nsec = unix.UTIME_OMIT
		case t.Nanos > math.MaxInt64:
			return ts, unix.EINVAL
		default:
			ts[i] = unix.NsecToTimespec(int64(t.Nanos))
		}
	}
	return ts, nil
}

func statOf(st *unix.Stat_t) Stat {
	nanos := func(t unix.Timespec) int64 { return max(0, t.Nano()) }
	return Stat{
		Dev: uint64(st.Dev), Ino: st.Ino, Type: typeOf(st.Mode), Nlink: uint64(st.Nlink), Size: st.Size,
		Atim: nanos(st.Atim), Mtim: nanos(st.Mtim), Ctim: nanos(st.Ctim),
	}
}

func typeOf(mode uint32) FileType {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return TypeRegular
	case unix.S_IFDIR:
		return TypeDirectory
	case unix.S_IFLNK:
		return TypeSymlink
	case unix.S_IFCHR:
		return TypeCharDevice
	case unix.S_IFBLK:
		return TypeBlockDevice
	case unix.S_IFIFO:
		return TypeFIFO
	case unix.S_IFSOCK:
		return TypeSocket
	}
	return TypeUnknown
}
