package sandboxfs

import (
	"golang.org/x/sys/unix"
)

const (
	fileMode = 0o600
	dirMode  = 0o700
	// openAlways keeps an open from blocking on a FIFO, from taking a terminal,
	// and from leaking to a child process.
	openAlways = unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
)

// Open opens a file or directory below base, which is a directory.
func (f *FS) Open(base *File, path string, flags OpenFlag) (*File, error) {
	if err := f.checkDir(base, path); err != nil {
		return nil, err
	}
	if int(f.count.open.Load()) >= f.quota.OpenFiles {
		f.hit(limitOpenFiles)
		return nil, unix.EMFILE
	}
	if flags&Create != 0 && flags&Directory == 0 {
		return f.create(base, path, flags)
	}
	if s, ok := f.enter(base, path); ok {
		file, err, decided := f.openKernel(&s, flags)
		if decided {
			return file, err
		}
	}
	p, name, slash, err := f.final(base, path, flags&NoFollow == 0)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if slash {
		flags |= Directory
	}
	return f.openName(p, name, flags)
}

// checkDir checks the two things every operation on a path starts with.
func (f *FS) checkDir(base *File, path string) error {
	if base.kind != TypeDirectory {
		return unix.ENOTDIR
	}
	if f.closed || base.fd < 0 {
		return unix.EBADF
	}
	return f.checkPath(path)
}

// hostFlags translates to the host's flags, refusing what a read-only mount forbids.
func hostFlags(m *mount, flags OpenFlag) (int, error) {
	if m.Mode == ReadOnly && flags&(Write|Truncate) != 0 {
		return 0, unix.EROFS
	}
	host := openAlways
	if flags&Write != 0 {
		host |= unix.O_WRONLY
		if flags&Read != 0 {
			host = host&^unix.O_WRONLY | unix.O_RDWR
		}
	}
	if flags&Truncate != 0 {
		host |= unix.O_TRUNC
	}
	if flags&Directory != 0 {
		host |= unix.O_DIRECTORY
	}
	if flags&NoFollow != 0 {
		host |= unix.O_NOFOLLOW
	}
	if m.noatime.Load() {
		host |= unix.O_NOATIME
	}
	return host, nil
}

// openKernel opens an existing file by one kernel lookup.
func (f *FS) openKernel(s *start, flags OpenFlag) (*File, error, bool) {
	look := uint64(unix.O_PATH)
	if flags&NoFollow != 0 {
		look |= unix.O_NOFOLLOW
	}
	host, err := hostFlags(s.m, flags)
	if err != nil {
		// A read-only mount still answers ENOENT and the like first.
		var st unix.Stat_t
		fd, lookErr, decided := f.openat2(s, look)
		if !decided {
			return nil, nil, false
		}
		if lookErr != nil {
			return nil, lookErr, true
		}
		if unix.Fstat(fd, &st) == nil {
			if kindErr := openable(&st, flags); kindErr != nil {
				err = kindErr
			}
		}
		_ = unix.Close(fd)
		return nil, err, true
	}
	if flags&Directory == 0 && s.m.devices() {
		// A device must not be opened even to find out that it is one: opening
		// may act on it. Look first; what is opened is looked at again below.
		fd, err, decided := f.openat2(s, look)
		if err != nil || !decided {
			return nil, err, decided
		}
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		_ = unix.Close(fd)
		if err == nil {
			err = openable(&st, flags)
		}
		if err != nil {
			return nil, err, true
		}
	}
	fd, err, decided := f.openat2(s, uint64(host))
	if err == unix.EPERM && host&unix.O_NOATIME != 0 {
		// Not ours, so access times are not ours to leave alone.
		s.m.noatime.Store(false)
		fd, err, decided = f.openat2(s, uint64(host&^unix.O_NOATIME))
	}
	if err != nil || !decided {
		return nil, specialErr(err), decided
	}
	file, err := f.adopt(fd, s.m, s.node, flags)
	return file, err, true
}

// specialErr hides which way a special file failed to open.
func specialErr(err error) error {
	if err == unix.ENXIO || err == unix.ENODEV {
		return unix.EACCES
	}
	return err
}

// openable says why a file of this kind is not opened.
func openable(st *unix.Stat_t, flags OpenFlag) error {
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		if flags&(Write|Truncate|Create) != 0 {
			return unix.EISDIR
		}
		return nil
	case flags&Directory != 0:
		return unix.ENOTDIR
	case kind == unix.S_IFREG:
		return nil
	case kind == unix.S_IFLNK:
		return unix.ELOOP
	}
	return unix.EACCES
}

// openName opens an existing name of a directory, never following a link.
func (f *FS) openName(p place, name string, flags OpenFlag) (*File, error) {
	n := p.node
	if name == "" {
		name = "." // the directory itself
		if flags&(Write|Truncate) != 0 {
			return nil, unix.EISDIR
		}
	} else {
		n = n.child(name)
		var st unix.Stat_t
		if err := unix.Fstatat(p.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, err
		}
		if err := openable(&st, flags); err != nil {
			return nil, err
		}
	}
	host, err := hostFlags(p.m, flags)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Openat(p.fd, name, host|unix.O_NOFOLLOW, 0)
	if err == unix.EPERM && host&unix.O_NOATIME != 0 {
		p.m.noatime.Store(false)
		fd, err = unix.Openat(p.fd, name, host&^unix.O_NOATIME|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, specialErr(err)
	}
	return f.adopt(fd, p.m, n, flags)
}

// create opens a file, making it if it is missing. The file is made by an
// exclusive open in a pinned directory, so that it is known who made it.
func (f *FS) create(base *File, path string, flags OpenFlag) (*File, error) {
	p, name, slash, err := f.parent(base, path)
	if err != nil {
		return nil, err
	}
	defer func() { p.close() }()
	existing := flags &^ (Create | Exclusive)
	for try := 0; try < 8; try++ {
		if name == "" {
			if flags&Exclusive != 0 {
				return nil, unix.EEXIST
			}
			return nil, unix.EISDIR
		}
		if slash {
			// Only a directory can have that name, and an open makes none.
			if _, err := f.Stat(base, path, true); err != nil && err != unix.ENOENT {
				return nil, err
			}
			return nil, unix.EISDIR
		}
		full := f.count.files.Load() >= f.quota.Files
		if p.m.Mode == ReadOnly || full {
			file, err := f.openExisting(p, name, flags)
			if err == unix.ENOENT {
				err = unix.EROFS
				if p.m.Mode == ReadWrite {
					f.hit(limitFiles)
					err = unix.EDQUOT
				}
			}
			if err != errFollow {
				return file, err
			}
		} else {
			host, err := hostFlags(p.m, existing|NoFollow)
			if err != nil {
				return nil, err
			}
			fd, err := unix.Openat(p.fd, name, host|unix.O_CREAT|unix.O_EXCL, fileMode)
			if err == nil {
				f.count.files.Add(1)
				return f.adopt(fd, p.m, nil, flags)
			}
			if err != unix.EEXIST || flags&Exclusive != 0 {
				return nil, f.host(err)
			}
			file, err := f.openExisting(p, name, flags)
			if err != errFollow && err != unix.ENOENT {
				return file, err
			}
			if err == unix.ENOENT {
				continue // removed in between
			}
		}
		// The last component is a link and may be followed: go on where it leads.
		p.close()
		p = place{}
		if p, name, slash, err = f.final(base, path, true); err != nil {
			return nil, err
		}
	}
	return nil, unix.ELOOP
}

// errFollow tells create that the name is a link to be followed.
const errFollow = unix.Errno(0)

// openExisting opens a name that create found to exist.
func (f *FS) openExisting(p place, name string, flags OpenFlag) (*File, error) {
	file, err := f.openName(p, name, flags&^Exclusive)
	switch {
	case flags&Exclusive != 0 && (err == nil || err != unix.ENOENT):
		if file != nil {
			_ = file.Close()
		}
		return nil, unix.EEXIST
	case err == unix.ELOOP && flags&NoFollow == 0:
		return nil, errFollow
	}
	return file, err
}

// adopt makes a File of a fresh descriptor, after a last look at what it is.
func (f *FS) adopt(fd int, m *mount, n *node, flags OpenFlag) (*File, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil {
		err = openable(&st, flags&^Truncate)
	}
	if err == nil && flags&Write != 0 && st.Mode&0o7111 != 0 {
		// Nothing the guest wrote may be left executable for the host.
		err = unix.Fchmod(fd, st.Mode&0o666)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	file := &File{fs: f, m: m, fd: fd, flags: flags & (Read | Write), kind: TypeRegular, size: st.Size}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		file.kind, file.node = TypeDirectory, n
	}
	f.link(file)
	if open := f.count.open.Add(1); open > f.count.peak.Load() {
		f.count.peak.Store(open)
	}
	return file, nil
}
