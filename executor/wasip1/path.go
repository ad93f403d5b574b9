package wasip1

import (
	"boxfleet/executor/sandboxfs"
)

// at decodes the descriptor and path that path calls begin with.
func (s *System) at(fd, ptr, n uint64, r rights) (*sandboxfs.File, string, errno) {
	dir, e := s.needDir(fd, r)
	if e != errSuccess {
		return nil, "", e
	}
	path, e := s.path(uint32(ptr), uint32(n))
	return dir, path, e
}

func (s *System) pathCreateDirectory(p []uint64) errno {
	dir, path, e := s.at(p[0], p[1], p[2], rightPathCreateDirectory)
	if e != errSuccess {
		return e
	}
	return errnoOf(s.fs.Mkdir(dir, path))
}

func (s *System) pathRemoveDirectory(p []uint64) errno {
	dir, path, e := s.at(p[0], p[1], p[2], rightPathRemoveDirectory)
	if e != errSuccess {
		return e
	}
	return errnoOf(s.fs.Rmdir(dir, path))
}

func (s *System) pathUnlinkFile(p []uint64) errno {
	dir, path, e := s.at(p[0], p[1], p[2], rightPathUnlinkFile)
	if e != errSuccess {
		return e
	}
	return errnoOf(s.fs.Unlink(dir, path))
}

func (s *System) pathFilestatGet(p []uint64) errno {
	flags := uint32(p[1])
	dir, path, e := s.at(p[0], p[2], p[3], rightPathFilestatGet)
	switch {
	case e != errSuccess:
		return e
	case flags&^lookupFollow != 0:
		return errInval
	}
	st, err := s.fs.Stat(dir, path, flags&lookupFollow != 0)
	if err != nil {
		return errnoOf(err)
	}
	return s.putFilestat(uint32(p[4]), &st)
}

func (s *System) pathFilestatSetTimes(p []uint64) errno {
	flags := uint32(p[1])
	dir, path, e := s.at(p[0], p[2], p[3], rightPathFilestatSetTimes)
	switch {
	case e != errSuccess:
		return e
	case flags&^lookupFollow != 0:
		return errInval
	}
	atim, mtim, e := s.times(p[4], p[5], uint32(p[6]))
	if e != errSuccess {
		return e
	}
	return errnoOf(s.fs.SetTimes(dir, path, flags&lookupFollow != 0, atim, mtim))
}

// pathLink makes a hard link. A link in the old path's last component is not
// followed, and asking for it is EINVAL, as the conformance suite expects.
func (s *System) pathLink(p []uint64) errno {
	from, oldPath, e := s.at(p[0], p[2], p[3], rightPathLinkSource)
	if e != errSuccess {
		return e
	}
	to, newPath, e := s.at(p[4], p[5], p[6], rightPathLinkTarget)
	switch {
	case e != errSuccess:
		return e
	case uint32(p[1]) != 0:
		return errInval
	}
	return errnoOf(s.fs.Link(from, oldPath, to, newPath))
}

func (s *System) pathRename(p []uint64) errno {
	from, oldPath, e := s.at(p[0], p[1], p[2], rightPathRenameSource)
	if e != errSuccess {
		return e
	}
	to, newPath, e := s.at(p[3], p[4], p[5], rightPathRenameTarget)
	if e != errSuccess {
		return e
	}
	return errnoOf(s.fs.Rename(from, oldPath, to, newPath))
}

func (s *System) pathSymlink(p []uint64) errno {
	dir, path, e := s.at(p[2], p[3], p[4], rightPathSymlink)
	if e != errSuccess {
		return e
	}
	target, e := s.path(uint32(p[0]), uint32(p[1]))
	if e != errSuccess {
		return e
	}
	return errnoOf(s.fs.Symlink(target, dir, path))
}

func (s *System) pathReadlink(p []uint64) errno {
	dir, path, e := s.at(p[0], p[1], p[2], rightPathReadlink)
	if e != errSuccess {
		return e
	}
	buf, ok := s.bytes(uint32(p[3]), uint32(p[4]))
	if !ok {
		return errFault
	}
	target, err := s.fs.Readlink(dir, path)
	if err != nil {
		return errnoOf(err)
	}
	return s.putU32(uint32(p[5]), uint32(copy(buf, target)))
}

// pathOpen opens a file. What the new descriptor may do is what is asked for,
// as far as it makes sense for a file or a directory; asking for more than the
// directory hands down is ENOTCAPABLE.
func (s *System) pathOpen(p []uint64) errno {
	lookup, oflags, fdflags := uint32(p[1]), uint32(p[4]), uint32(p[7])
	base, inheriting := rights(p[5])&rightsAll, rights(p[6])&rightsAll
	r := rightPathOpen
	if oflags&oflagCreat != 0 {
		r |= rightPathCreateFile
	}
	if oflags&oflagTrunc != 0 {
		r |= rightPathFilestatSetSize
	}
	dir, path, e := s.at(p[0], p[2], p[3], r)
	if e != errSuccess {
		return e
	}
	parent, _ := s.fd(p[0])
	switch {
	case lookup&^lookupFollow != 0 || oflags&^oflagsAll != 0 || fdflags&^fdflagsAll != 0:
		return errInval
	case oflags&oflagDirectory != 0 && oflags&oflagCreat != 0:
		return errInval // opening makes no directories
	case oflags&oflagDirectory != 0 && base&rightFdWrite != 0:
		return errIsdir
	case (base|inheriting)&^parent.inheriting != 0:
		return errNotcapable
	}
	if _, ok := s.bytes(uint32(p[8]), 4); !ok {
		return errFault // before a file is made that nobody could close
	}
	file, err := s.fs.Open(dir, path, openFlags(lookup, oflags, base))
	if err != nil {
		return errnoOf(err)
	}
	d := descriptor{kind: kindFile, file: file, base: base & rightsFile, inheriting: inheriting}
	if d.isDir() {
		d.base = base & rightsDir
	}
	d.setFlags(uint16(fdflags))
	return s.putU32(uint32(p[8]), s.add(d))
}

func openFlags(lookup, oflags uint32, base rights) sandboxfs.OpenFlag {
	var f sandboxfs.OpenFlag
	for _, m := range [...]struct {
		is   bool
		flag sandboxfs.OpenFlag
	}{
		{base&(rightFdRead|rightFdReaddir) != 0, sandboxfs.Read},
		{base&rightFdWrite != 0, sandboxfs.Write},
		{oflags&oflagCreat != 0, sandboxfs.Create},
		{oflags&oflagExcl != 0, sandboxfs.Exclusive},
		{oflags&oflagTrunc != 0, sandboxfs.Truncate},
		{oflags&oflagDirectory != 0, sandboxfs.Directory},
		{lookup&lookupFollow == 0, sandboxfs.NoFollow},
	} {
		if m.is {
			f |= m.flag
		}
	}
	return f
}
