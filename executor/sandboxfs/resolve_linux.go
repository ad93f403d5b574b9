package sandboxfs

import (
	"golang.org/x/sys/unix"
)

// resolveFlags keep the kernel's lookup below the directory it starts from, off
// magic links such as those of /proc, and on the host file system of the mount.
const resolveFlags = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// place is a directory that a lookup has reached, pinned by a descriptor.
type place struct {
	m     *mount
	node  *node // the directory's node in m's tree, if it has one
	fd    int
	owned bool // fd is the lookup's own and must be closed
}

func (p place) close() {
	if p.owned {
		_ = unix.Close(p.fd)
	}
}

// start is where the kernel may begin a lookup after the part of the path that
// the tree of mounts decides.
type start struct {
	m      *mount
	node   *node // set when rest ends on a directory of the tree
	fd     int
	rest   string // path from fd, never empty
	how    uint64 // resolve flags
	nested bool   // mounts lie about: ELOOP and EXDEV are for the walk to decide
}

// enter decides the part of a path that the mount tree covers. It reports false
// if only a walk can tell, because a ".." or a link may lead across a mount.
func (f *FS) enter(base *File, path string) (start, bool) {
	if !f.kernel {
		return start{}, false
	}
	s := start{m: base.m, fd: base.fd, rest: path, how: resolveFlags}
	if base.node == nil {
		return s, true
	}
	if hasDotDot(path) {
		return start{}, false
	}
	s.nested = true
	at, left := base.node, path
	for at != nil && left != "" {
		name, rest, _, _ := next(left)
		left = rest
		if name == "." || name == "" {
			continue
		}
		if at = at.child(name); at != nil && at.mount != nil {
			s.m, s.fd, s.rest, at = at.mount, at.mount.fd, left, at.mount.tree
			if at == nil {
				break
			}
		}
	}
	if s.rest == "" {
		s.rest = "."
	}
	s.node = at
	if s.m.tree != nil {
		s.how |= unix.RESOLVE_NO_SYMLINKS
	}
	return s, true
}

// openat2 opens s.rest. It reports false when the walk has to decide instead.
func (f *FS) openat2(s *start, flags uint64) (int, error, bool) {
	for try := 0; try < 16; try++ {
		fd, err := unix.Openat2(s.fd, s.rest, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: s.how})
		switch err {
		case nil:
			return fd, nil, true
		case unix.EINTR, unix.EAGAIN:
			continue // a rename raced with the lookup
		case unix.EXDEV:
			if s.nested {
				return -1, nil, false
			}
			return -1, unix.EPERM, true
		case unix.ELOOP:
			if s.nested {
				return -1, nil, false
			}
		}
		return -1, err, true
	}
	return -1, nil, false
}

// dir resolves a path to a directory, following links.
func (f *FS) dir(base *File, path string) (place, error) {
	if path == "" || path == "." {
		return place{m: base.m, node: base.node, fd: base.fd}, nil
	}
	if s, ok := f.enter(base, path); ok {
		if fd, err, decided := f.openat2(&s, unix.O_PATH|unix.O_DIRECTORY); err != nil {
			return place{}, err
		} else if decided {
			return place{m: s.m, node: s.node, fd: fd, owned: true}, nil
		}
	}
	w := newWalk(f, base)
	_, err := w.to(path+"/.", true) // ends on a directory, so there is no name left
	return w.finish(err)
}

// parent resolves all of a path but its last component, which it returns. name
// is "" when the path names the directory itself, as "." and "a/.." do. slash
// says that the path ends in a slash, so that the name must be a directory.
func (f *FS) parent(base *File, path string) (p place, name string, slash bool, err error) {
	dir, name, slash := splitLast(path)
	if name == "." || name == ".." || name == "" {
		p, err = f.dir(base, path)
		return p, "", slash, err
	}
	if p, err = f.dir(base, dir); err != nil {
		return p, "", slash, err
	}
	if n := p.node.child(name); n != nil && n.mount != nil {
		// The name is covered by a mount; what is asked about is the mount.
		p.close()
		m := n.mount
		return place{m: m, node: m.tree, fd: m.fd}, "", slash, nil
	}
	return p, name, slash, nil
}

// final resolves a whole path, a link in the last component included when
// follow is set, to a directory and a name in it that was no link when looked
// at. Operations on it still must not follow links. name is "" when the path
// names the directory itself.
func (f *FS) final(base *File, path string, follow bool) (place, string, bool, error) {
	p, name, slash, err := f.parent(base, path)
	if err != nil || name == "" || !(follow || slash) {
		return p, name, slash, err
	}
	var st unix.Stat_t
	if unix.Fstatat(p.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return p, name, slash, nil
	}
	p.close()
	w := newWalk(f, base)
	if slash {
		path += "/."
	}
	name, err = w.to(path, true)
	p, err = w.finish(err)
	return p, name, slash, err
}
