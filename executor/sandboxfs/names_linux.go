package sandboxfs

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Stat describes what a path names; with follow, what a link in its last
// component leads to.
func (f *FS) Stat(base *File, path string, follow bool) (Stat, error) {
	if err := f.checkDir(base, path); err != nil {
		return Stat{}, err
	}
	var st unix.Stat_t
	if base.node.child(path) == nil && strings.IndexByte(path, '/') < 0 && path != ".." {
		// One name in an open directory: no lookup to confine.
		err := unix.Fstatat(base.fd, path, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil || !follow || st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return statOf(&st), err
		}
	}
	if s, ok := f.enter(base, path); ok {
		flags := uint64(unix.O_PATH)
		if !follow {
			flags |= unix.O_NOFOLLOW
		}
		fd, err, decided := f.openat2(&s, flags)
		if decided {
			if err != nil {
				return Stat{}, err
			}
			err = unix.Fstat(fd, &st)
			_ = unix.Close(fd)
			return statOf(&st), err
		}
	}
	p, name, slash, err := f.final(base, path, follow)
	if err != nil {
		return Stat{}, err
	}
	defer p.close()
	if err := lstat(p, name, &st); err != nil {
		return Stat{}, err
	}
	if slash && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return Stat{}, unix.ENOTDIR
	}
	return statOf(&st), nil
}

// lstat looks at a name without following it; "" is the directory itself.
func lstat(p place, name string, st *unix.Stat_t) error {
	if name == "" {
		return unix.Fstat(p.fd, st)
	}
	return unix.Fstatat(p.fd, name, st, unix.AT_SYMLINK_NOFOLLOW)
}

// SetTimes sets the times of what a path names.
func (f *FS) SetTimes(base *File, path string, follow bool, atim, mtim Time) error {
	if err := f.checkDir(base, path); err != nil {
		return err
	}
	ts, err := timespecs(atim, mtim)
	if err != nil {
		return err
	}
	p, name, slash, err := f.final(base, path, follow)
	if err != nil {
		return err
	}
	defer p.close()
	var st unix.Stat_t
	if err := lstat(p, name, &st); err != nil {
		return err
	}
	switch {
	case p.m.Mode == ReadOnly:
		return unix.EROFS
	case slash && st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return unix.ENOTDIR
	case name == "":
		name = "."
	}
	return unix.UtimesNanoAt(p.fd, name, ts[:], unix.AT_SYMLINK_NOFOLLOW)
}

// Readlink returns what a symbolic link holds.
func (f *FS) Readlink(base *File, path string) (string, error) {
	if err := f.checkDir(base, path); err != nil {
		return "", err
	}
	p, name, slash, err := f.final(base, path, false)
	if err != nil {
		return "", err
	}
	defer p.close()
	var st unix.Stat_t
	if err := lstat(p, name, &st); err != nil {
		return "", err
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case slash && !isDir:
		return "", unix.ENOTDIR
	case name == "" || isDir:
		return "", unix.EINVAL
	}
	var buf [maxPath + 1]byte
	n, err := unix.Readlinkat(p.fd, name, buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// target is where a new name goes: a pinned directory that may be written to.
// It owes EEXIST for "", and the order of errors is Linux's: what is there comes
// before what is forbidden.
func (f *FS) target(base *File, path string) (p place, name string, slash bool, err error) {
	if err = f.checkDir(base, path); err != nil {
		return
	}
	if p, name, slash, err = f.parent(base, path); err != nil {
		return
	}
	switch {
	case name == "":
		err = unix.EEXIST
	case p.m.Mode == ReadOnly:
		err = unix.EROFS
		var st unix.Stat_t
		if lstat(p, name, &st) == nil {
			err = unix.EEXIST
		}
	case f.count.files.Load() >= f.quota.Files:
		err = unix.EDQUOT
		var st unix.Stat_t
		if lstat(p, name, &st) == nil {
			err = unix.EEXIST
		} else {
			f.hit(limitFiles)
		}
	}
	if err != nil {
		p.close()
	}
	return
}

// Mkdir makes a directory.
func (f *FS) Mkdir(base *File, path string) error {
	p, name, _, err := f.target(base, path)
	if err != nil {
		return err
	}
	defer p.close()
	depth, err := f.depth(p)
	if err == nil && depth+1 > f.quota.Depth {
		err = unix.EDQUOT
	}
	if err != nil {
		var st unix.Stat_t
		if lstat(p, name, &st) == nil {
			return unix.EEXIST
		}
		if err == unix.EDQUOT {
			f.hit(limitDepth)
		}
		return err
	}
	if err := unix.Mkdirat(p.fd, name, dirMode); err != nil {
		return f.host(err)
	}
	f.count.files.Add(1)
	return nil
}

// Symlink makes a symbolic link that holds target. A target is only text until
// something follows it, and following never leaves the base; an absolute one,
// which could mean nothing but the host's root, is refused with EPERM.
func (f *FS) Symlink(target string, base *File, path string) error {
	switch {
	case target == "":
		return unix.ENOENT
	case len(target) > maxPath:
		return unix.ENAMETOOLONG
	case target[0] == '/':
		return unix.EPERM
	case !utf8.ValidString(target):
		return unix.EILSEQ
	}
	for i := range len(target) {
		if target[i] == 0 {
			return unix.EINVAL
		}
	}
	p, name, slash, err := f.target(base, path)
	if err != nil {
		return err
	}
	defer p.close()
	if slash {
		return f.slashed(p, name)
	}
	if err := f.charge(int64(len(target))); err != nil {
		return err
	}
	if err := unix.Symlinkat(target, p.fd, name); err != nil {
		f.refund(int64(len(target)))
		return f.host(err)
	}
	f.count.files.Add(1)
	return nil
}

// slashed is why a non-directory cannot be made under a name that a slash follows.
func (f *FS) slashed(p place, name string) error {
	var st unix.Stat_t
	if lstat(p, name, &st) == nil {
		return unix.EEXIST
	}
	return unix.ENOENT
}

// Link gives a file another name in the same mount. A link in oldPath's last
// component is not followed.
func (f *FS) Link(oldBase *File, oldPath string, newBase *File, newPath string) error {
	if err := f.checkDir(oldBase, oldPath); err != nil {
		return err
	}
	from, oldName, oldSlash, err := f.parent(oldBase, oldPath)
	if err != nil {
		return err
	}
	defer from.close()
	var st unix.Stat_t
	if err := lstat(from, oldName, &st); err != nil {
		return err
	}
	to, newName, newSlash, err := f.target(newBase, newPath)
	if err != nil {
		return err
	}
	defer to.close()
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return unix.EPERM
	case oldSlash:
		return unix.ENOTDIR
	case from.m != to.m:
		return unix.EXDEV
	case newSlash:
		return f.slashed(to, newName)
	}
	if err := unix.Linkat(from.fd, oldName, to.fd, newName, 0); err != nil {
		return f.host(err)
	}
	f.count.files.Add(1)
	return nil
}

// Unlink removes a name that is no directory.
func (f *FS) Unlink(base *File, path string) error {
	p, name, slash, err := f.victim(base, path)
	if err != nil {
		return err
	}
	defer p.close()
	var st unix.Stat_t
	switch {
	case name == "":
		return unix.EISDIR
	case slash:
		if err := lstat(p, name, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return unix.EISDIR
		}
		return unix.ENOTDIR
	}
	if err := unix.Unlinkat(p.fd, name, 0); err != nil {
		return err
	}
	f.count.files.Add(-1)
	return nil
}

// Rmdir removes an empty directory.
func (f *FS) Rmdir(base *File, path string) error {
	p, name, _, err := f.victim(base, path)
	if err != nil {
		return err
	}
	defer p.close()
	switch {
	case name == "":
		return unix.EBUSY // ".", a mount, or a directory above the base's own
	case p.node.child(name) != nil:
		return unix.EBUSY
	}
	if err := unix.Unlinkat(p.fd, name, unix.AT_REMOVEDIR); err != nil {
		return err
	}
	f.count.files.Add(-1)
	return nil
}

// victim is what a removal looks for. On a read-only mount a missing name is
// ENOENT still, and EROFS only what is there.
func (f *FS) victim(base *File, path string) (p place, name string, slash bool, err error) {
	if err = f.checkDir(base, path); err != nil {
		return
	}
	if p, name, slash, err = f.parent(base, path); err != nil {
		return
	}
	if p.m.Mode == ReadOnly && name != "" {
		var st unix.Stat_t
		if err = lstat(p, name, &st); err == nil {
			err = unix.EROFS
		}
		p.close()
	}
	return
}
