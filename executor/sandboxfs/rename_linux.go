package sandboxfs

import (
	"golang.org/x/sys/unix"
)

// Rename moves a name within a mount, replacing what the new name had.
func (f *FS) Rename(oldBase *File, oldPath string, newBase *File, newPath string) error {
	if err := f.checkDir(oldBase, oldPath); err != nil {
		return err
	}
	if err := f.checkDir(newBase, newPath); err != nil {
		return err
	}
	from, oldName, oldSlash, err := f.parent(oldBase, oldPath)
	if err != nil {
		return err
	}
	defer from.close()
	to, newName, newSlash, err := f.parent(newBase, newPath)
	if err != nil {
		return err
	}
	defer to.close()
	switch {
	case oldName == "" || newName == "":
		return unix.EBUSY
	case from.m != to.m:
		return unix.EXDEV
	case from.node.child(oldName) != nil || to.node.child(newName) != nil:
		return unix.EBUSY // a mount point, or a directory on the way to one
	}
	var old, replaced unix.Stat_t
	if err := lstat(from, oldName, &old); err != nil {
		return err
	}
	if to.m.Mode == ReadOnly {
		return unix.EROFS
	}
	isDir := old.Mode&unix.S_IFMT == unix.S_IFDIR
	if (oldSlash || newSlash) && !isDir {
		return unix.ENOTDIR
	}
	exists := lstat(to, newName, &replaced) == nil
	if isDir {
		if err := f.mayMove(from, oldName, to); err != nil {
			return err
		}
	}
	if err := unix.Renameat(from.fd, oldName, to.fd, newName); err != nil {
		return f.host(err)
	}
	if exists && (old.Ino != replaced.Ino || old.Dev != replaced.Dev) {
		f.count.files.Add(-1)
	}
	return nil
}

// maxMoved is how many entries a directory may hold that is moved deeper: they
// are all looked at in one call of the guest.
const maxMoved = 16384

// mayMove checks that a directory keeps within the depth quota where it goes.
func (f *FS) mayMove(from place, name string, to place) error {
	var a, b unix.Stat_t
	if err := unix.Fstat(from.fd, &a); err != nil {
		return err
	}
	if err := unix.Fstat(to.fd, &b); err != nil {
		return err
	}
	if a.Ino == b.Ino && a.Dev == b.Dev {
		return nil
	}
	depth, err := f.depth(to)
	if err != nil {
		if err == unix.EDQUOT {
			f.hit(limitDepth)
		}
		return err
	}
	if was, err := f.depth(from); err == nil && depth <= was {
		return nil // not deeper than before
	}
	room := f.quota.Depth - depth - 1
	left := min(f.quota.DirEntries, maxMoved)
	if room < 0 || !fits(from.fd, name, room, &left) {
		f.hit(limitDepth)
		return unix.EDQUOT
	}
	return nil
}

// depth counts the directories between a mount's root and a place, by asking
// the kernel: a guest that renames directories cannot talk it smaller. It fails
// with EDQUOT beyond the quota.
func (f *FS) depth(p place) (int, error) {
	fd, own := p.fd, false
	defer func() {
		if own {
			_ = unix.Close(fd)
		}
	}()
	for depth := 0; depth <= f.quota.Depth; depth++ {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return 0, err
		}
		if st.Ino == p.m.ino && uint64(st.Dev) == p.m.dev {
			return depth, nil
		}
		up, err := unix.Openat(fd, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, err
		}
		if own {
			_ = unix.Close(fd)
		}
		fd, own = up, true
	}
	return 0, unix.EDQUOT
}

// fits says whether the directories below fd/name are at most room deep, looking
// at no more than left entries.
func fits(fd int, name string, room int, left *int) bool {
	dir, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err == unix.ENOTDIR || err == unix.ELOOP || err == unix.ENOENT
	}
	defer unix.Close(dir)
	buf := make([]byte, dirWindow)
	for {
		n, err := unix.Getdents(dir, buf)
		if err != nil || n == 0 {
			return err == nil
		}
		for b := buf[:n]; len(b) > 0; {
			var e DirEntry
			if e, b = parseDirent(b); e.Name == "" {
				continue
			}
			if *left--; *left < 0 {
				return false
			}
			if e.Type != TypeDirectory && e.Type != TypeUnknown {
				continue
			}
			if room == 0 || !fits(dir, e.Name, room-1, left) {
				return false
			}
		}
	}
}
