package sandboxfs

import (
	"encoding/binary"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// dirWindow is how many bytes of a directory are held at once.
const dirWindow = 8 << 10

// dirStream reads a directory in windows. A cookie is the number of the entry
// that comes next: 0 is ".", 1 is "..", then the host's entries in its order.
// The host's own offsets never reach the guest, nor the guest's numbers the host.
type dirStream struct {
	fd     int
	own    bool   // fd is the stream's, because File.fd is shared
	buf    []byte // raw entries from the host
	used   int    // bytes of buf that are filled
	first  uint64 // number of the first entry in buf
	after  uint64 // number of the first entry behind buf
	end    bool   // nothing is behind buf
	served uint64 // highest cookie handed out
}

func (d *dirStream) close() {
	if d != nil && d.own {
		_ = unix.Close(d.fd)
		d.own = false
	}
}

const firstHostEntry = 2

// ReadDir calls yield with the entries from a cookie on until it returns false
// or there are no more. Cookie 0 starts over; other cookies are those that
// DirEntry.Next had, and EINVAL otherwise. Names that are not valid UTF-8 are
// left out, since a guest could not pass them back.
func (f *File) ReadDir(cookie uint64, yield func(DirEntry) bool) error {
	switch {
	case f.fd < 0:
		return unix.EBADF
	case f.kind != TypeDirectory:
		return unix.ENOTDIR
	}
	d := f.dir
	if d == nil {
		d = &dirStream{fd: f.fd, buf: make([]byte, dirWindow)}
		if f.root {
			fd, err := unix.Openat(f.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			d.fd, d.own = fd, true
		}
		f.dir = d
		if err := d.rewind(); err != nil {
			return err
		}
	}
	if cookie == 0 {
		if err := d.rewind(); err != nil {
			return err
		}
	}
	if cookie > d.served {
		return unix.EINVAL
	}
	if cookie < firstHostEntry {
		st, err := f.Stat()
		if err != nil {
			return err
		}
		for ; cookie < firstHostEntry; cookie++ {
			// What lies above is not the guest's to know: ".." reads as ".".
			e := DirEntry{Name: ".."[:cookie+1], Ino: st.Ino, Type: TypeDirectory, Next: cookie + 1}
			d.served = max(d.served, e.Next)
			if !yield(e) {
				return nil
			}
		}
	}
	return f.fs.listFrom(d, cookie, yield)
}

func (f *FS) listFrom(d *dirStream, cookie uint64, yield func(DirEntry) bool) error {
	if cookie < d.first {
		if err := d.rewind(); err != nil {
			return err
		}
	}
	for {
		number := d.first
		for b := d.buf[:d.used]; len(b) > 0; {
			var e DirEntry
			if e, b = parseDirent(b); e.Name == "" {
				continue
			}
			number++
			if number <= cookie {
				continue
			}
			if number-firstHostEntry > uint64(f.quota.DirEntries) {
				f.hit(limitDirEntries)
				return unix.EOVERFLOW
			}
			e.Next = number
			d.served = max(d.served, number)
			if !yield(e) {
				return nil
			}
		}
		d.after, cookie = number, max(cookie, number)
		if d.end {
			return nil
		}
		if err := d.fill(); err != nil {
			return err
		}
	}
}

func (d *dirStream) rewind() error {
	if _, err := unix.Seek(d.fd, 0, unix.SEEK_SET); err != nil {
		return err
	}
	d.first, d.after, d.used, d.end = firstHostEntry, firstHostEntry, 0, false
	return nil
}

// fill replaces the window by the one behind it.
func (d *dirStream) fill() error {
	for {
		n, err := unix.Getdents(d.fd, d.buf)
		if err == unix.EINTR {
			continue
		}
		if err == unix.ENOENT {
			n, err = 0, nil // the directory was removed
		}
		if err != nil {
			return err
		}
		if n == 0 {
			d.end = true
			// Keep the last window: a guest often asks for its tail again.
			return nil
		}
		d.first, d.used = d.after, n
		return nil
	}
}

// parseDirent cuts one linux_dirent64 off a window. The name is empty for
// entries a guest is not shown.
func parseDirent(b []byte) (DirEntry, []byte) {
	const inoAt, lenAt, typeAt, nameAt = 0, 16, 18, 19
	size := int(binary.NativeEndian.Uint16(b[lenAt:]))
	name := b[nameAt:size]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	rest := b[size:]
	if string(name) == "." || string(name) == ".." || !utf8.Valid(name) {
		return DirEntry{}, rest
	}
	return DirEntry{
		Name: string(name),
		Ino:  binary.NativeEndian.Uint64(b[inoAt:]),
		Type: typeOf(uint32(b[typeAt]) << 12), // DT_x is S_IFx >> 12
	}, rest
}
