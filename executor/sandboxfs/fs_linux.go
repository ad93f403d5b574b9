package sandboxfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// FS is one guest's view of its mounts.
type FS struct {
	mounts []*mount
	quota  Quota
	count  counters
	files  *File // open files, newest first
	kernel bool  // resolve by openat2
	closed bool
}

// mount is a pinned host directory.
type mount struct {
	Mount
	fd      int
	dev     uint64
	ino     uint64
	tree    *node // non-nil when mounts are nested in this one
	noatime atomic.Bool
	nodev   bool // the host file system lets no device be opened
	asked   bool // nodev is known
}

// devices says whether opening a file of the mount may open a device. It is
// asked for at the first open, since many guests open nothing.
func (m *mount) devices() bool {
	if m.NoDevices {
		return false
	}
	if !m.asked {
		var st unix.Statfs_t
		m.nodev = unix.Fstatfs(m.fd, &st) == nil && st.Flags&unix.ST_NODEV != 0
		m.asked = true
	}
	return !m.nodev
}

// openat2Works is asked of the kernel once per process.
var openat2Works = func() bool {
	fd, err := unix.Openat2(unix.AT_FDCWD, ".", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_DIRECTORY, Resolve: resolveFlags})
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}()

// New opens the mounts' host directories and makes the directories that nested
// mounts cover. An error names the mount it is about. A zero Quota means the
// package's defaults. Without mounts New touches no file.
func New(mounts []Mount, q Quota) (*FS, error) {
	q, err := q.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &FS{quota: q, kernel: openat2Works}
	if len(mounts) == 0 {
		return f, nil
	}
	f.mounts = make([]*mount, 0, len(mounts))
	for i, m := range mounts {
		if err := f.mountHost(m); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("sandboxfs: mount %d (%s at %q): %w", i, m.Mode, m.Guest, err)
		}
	}
	if len(mounts) > 1 {
		if slices.ContainsFunc(mounts, func(m Mount) bool { return m.Mode != mounts[0].Mode }) {
			if err := f.checkOverlap(); err != nil {
				_ = f.Close()
				return nil, err
			}
		}
		for i, m := range f.mounts {
			if err := f.nest(m); err != nil {
				_ = f.Close()
				return nil, fmt.Errorf("sandboxfs: mount %d (%s at %q): %w", i, m.Mode, m.Guest, err)
			}
		}
	}
	return f, nil
}

// mountHost validates one mount and pins its host directory.
func (f *FS) mountHost(m Mount) error {
	if err := m.validate(); err != nil {
		return err
	}
	for _, other := range f.mounts {
		if other.Guest == m.Guest {
			return errors.New("another mount has the same guest path")
		}
	}
	fd, err := unix.Open(m.Host, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the host directory: %w", err)
	}
	mt := &mount{Mount: m, fd: fd}
	f.mounts = append(f.mounts, mt) // from here on Close owns fd
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat the host directory: %w", err)
	}
	mt.dev, mt.ino = uint64(st.Dev), st.Ino
	mt.noatime.Store(m.Mode == ReadOnly)
	return nil
}

// checkOverlap refuses a read-only mount whose host directory could be written
// through a writable one.
func (f *FS) checkOverlap() error {
	real := make([]string, len(f.mounts))
	for i, m := range f.mounts {
		real[i] = m.hostPath()
		for j, other := range f.mounts[:i] {
			_, below := within(real[j], real[i])
			_, above := within(real[i], real[j])
			if other.Mode != m.Mode && (below || above || real[i] == real[j]) {
				return fmt.Errorf("sandboxfs: mounts %d (%s at %q) and %d (%s at %q) overlap on the host, so that the read-only one could be written through the other; give them directories of their own",
					j, other.Mode, other.Guest, i, m.Mode, m.Guest)
			}
		}
	}
	return nil
}

// hostPath is where the pinned directory is now, without links.
func (m *mount) hostPath() string {
	if p, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", m.fd)); err == nil {
		return p
	}
	// Without /proc, go by the name.
	p := m.Host
	if r, err := filepath.EvalSymlinks(p); err == nil {
		p = r
	}
	if r, err := filepath.Abs(p); err == nil {
		p = r
	}
	return p
}

// nest hooks a mount into the innermost mount above it, making the directories
// it covers. Links are not followed on the way: a mount point is a place, not a name.
func (f *FS) nest(m *mount) error {
	var above *mount
	var rel string
	for _, other := range f.mounts {
		if r, ok := within(other.Guest, m.Guest); ok && (above == nil || len(other.Guest) > len(above.Guest)) {
			above, rel = other, r
		}
	}
	if above == nil {
		return nil
	}
	if above.tree == nil {
		above.tree = new(node)
	}
	at, fd := above.tree, above.fd
	for _, name := range strings.Split(rel, "/") {
		at = at.add(name)
		sub, err := f.mountPoint(fd, name)
		closePlaceFd(fd, above)
		if err != nil {
			return fmt.Errorf("its mount point in %q: %w", above.Guest, err)
		}
		fd = sub
	}
	closePlaceFd(fd, above)
	at.mount = m
	return nil
}

// mountPoint opens a directory that a mount covers or that leads to one, and
// makes it if it is missing.
func (f *FS) mountPoint(fd int, name string) (int, error) {
	const how = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	sub, err := unix.Openat(fd, name, how, 0)
	if err == unix.ENOENT {
		if err = unix.Mkdirat(fd, name, dirMode); err == nil || err == unix.EEXIST {
			sub, err = unix.Openat(fd, name, how, 0)
		}
	}
	switch err {
	case nil:
		return sub, nil
	case unix.ENOTDIR:
		return -1, fmt.Errorf("%q is no directory; remove it, or mount elsewhere", name)
	}
	return -1, fmt.Errorf("open or make %q: %w", name, err)
}

func closePlaceFd(fd int, m *mount) {
	if fd != m.fd {
		_ = unix.Close(fd)
	}
}

// Mounts returns the mounts in the order New was given.
func (f *FS) Mounts() []Mount {
	ms := make([]Mount, len(f.mounts))
	for i, m := range f.mounts {
		ms[i] = m.Mount
	}
	return ms
}

// OpenMount returns the root directory of the i'th mount. It does not count as
// an open file and its Close leaves the mount in place.
func (f *FS) OpenMount(i int) *File {
	m := f.mounts[i]
	file := &File{fs: f, m: m, node: m.tree, fd: m.fd, root: true, kind: TypeDirectory}
	f.link(file)
	return file
}

// link puts a file at the head of the open ones.
func (f *FS) link(file *File) {
	file.next = f.files
	if f.files != nil {
		f.files.prev = file
	}
	f.files = file
}

// Close closes the mounts and every file that is still open.
func (f *FS) Close() error {
	if f.closed {
		return nil
	}
	f.closed = true
	for f.files != nil {
		_ = f.files.Close()
	}
	for _, m := range f.mounts {
		_ = unix.Close(m.fd)
		m.fd = -1
	}
	return nil
}

// UseWalk makes the FS resolve every path by its own walk, as it does by itself
// on a kernel without openat2 (before Linux 5.6, or where a system call filter
// forbids it). Call it before opening anything.
func (f *FS) UseWalk() { f.kernel = false }
