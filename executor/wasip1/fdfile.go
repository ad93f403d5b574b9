package wasip1

import (
	"math"

	"boxfleet/executor/sandboxfs"
)

func (s *System) fdAdvise(p []uint64) errno {
	d, e := s.needFile(p[0], rightFdAdvise, errSpipe)
	switch {
	case e != errSuccess:
		return e
	case d.isDir():
		return errBadf
	case uint32(p[3]) > 5 || p[1] > math.MaxInt64 || p[2] > math.MaxInt64:
		return errInval
	}
	return errSuccess // advice, and the page cache is not the guest's to manage
}

func (s *System) fdAllocate(p []uint64) errno {
	d, e := s.needFile(p[0], rightFdAllocate, errSpipe)
	if e != errSuccess {
		return e
	}
	return errnoOf(d.file.Allocate(int64(p[1]), int64(p[2])))
}

func (s *System) fdDatasync(p []uint64) errno { return s.sync(p[0], rightFdDatasync) }
func (s *System) fdSync(p []uint64) errno     { return s.sync(p[0], rightFdSync) }

func (s *System) sync(fd uint64, r rights) errno {
	d, e := s.need(fd, r)
	if e != errSuccess || d.kind != kindFile {
		return e
	}
	return errnoOf(d.file.Sync())
}

func (s *System) fdFilestatGet(p []uint64) errno {
	d, e := s.need(p[0], rightFdFilestatGet)
	if e != errSuccess {
		return e
	}
	var st sandboxfs.Stat
	if d.kind == kindFile {
		var err error
		if st, err = d.file.Stat(); err != nil {
			return errnoOf(err)
		}
	}
	return s.putFilestat(uint32(p[1]), &st)
}

func (s *System) putFilestat(at uint32, st *sandboxfs.Stat) errno {
	b, ok := s.bytes(at, sizeFilestat)
	if !ok {
		return errFault
	}
	clear(b)
	le.PutUint64(b, st.Dev)
	le.PutUint64(b[8:], st.Ino)
	b[16] = filetypeOf(st.Type)
	le.PutUint64(b[24:], st.Nlink)
	le.PutUint64(b[32:], uint64(st.Size))
	le.PutUint64(b[40:], uint64(st.Atim))
	le.PutUint64(b[48:], uint64(st.Mtim))
	le.PutUint64(b[56:], uint64(st.Ctim))
	return errSuccess
}

func filetypeOf(t sandboxfs.FileType) byte {
	switch t {
	case sandboxfs.TypeRegular:
		return filetypeRegularFile
	case sandboxfs.TypeDirectory:
		return filetypeDirectory
	case sandboxfs.TypeSymlink:
		return filetypeSymbolicLink
	case sandboxfs.TypeCharDevice:
		return filetypeCharacterDevice
	case sandboxfs.TypeBlockDevice:
		return filetypeBlockDevice
	case sandboxfs.TypeSocket:
		return filetypeSocketStream
	}
	return filetypeUnknown // FIFOs too: preview 1 has no type for them
}

func (s *System) fdFilestatSetSize(p []uint64) errno {
	d, e := s.fd(p[0])
	switch {
	case e != errSuccess:
		return e
	case d.kind != kindFile || d.isDir():
		return errInval
	case d.file.Mount().Mode == sandboxfs.ReadOnly:
		return errRofs
	case d.base&rightFdFilestatSetSize == 0:
		return errNotcapable
	}
	return errnoOf(d.file.Truncate(int64(p[1])))
}

func (s *System) fdFilestatSetTimes(p []uint64) errno {
	d, e := s.needFile(p[0], rightFdFilestatSetTimes, errBadf)
	if e != errSuccess {
		return e
	}
	atim, mtim, e := s.times(p[1], p[2], uint32(p[3]))
	if e != errSuccess {
		return e
	}
	return errnoOf(d.file.SetTimes(atim, mtim))
}

// times decodes what set_times calls ask for. "Now" is the guest's clock.
func (s *System) times(atim, mtim uint64, flags uint32) (a, m sandboxfs.Time, e errno) {
	const bothA, bothM = fstAtim | fstAtimNow, fstMtim | fstMtimNow
	if flags&^fstAll != 0 || flags&bothA == bothA || flags&bothM == bothM {
		return a, m, errInval
	}
	a = sandboxfs.Time{Set: flags&bothA != 0, Nanos: atim}
	m = sandboxfs.Time{Set: flags&bothM != 0, Nanos: mtim}
	if flags&(fstAtimNow|fstMtimNow) != 0 {
		now := s.clock.Wall()
		if flags&fstAtimNow != 0 {
			a.Nanos = now
		}
		if flags&fstMtimNow != 0 {
			m.Nanos = now
		}
	}
	return a, m, errSuccess
}

func (s *System) fdSeek(p []uint64) errno {
	off, whence := int64(p[1]), uint32(p[2])
	r := rightFdSeek
	if off == 0 && whence == 1 {
		r = 0 // asks for the position only; fd_tell's right will do as well
	}
	d, e := s.needFile(p[0], r, errSpipe)
	switch {
	case e != errSuccess:
		return e
	case r == 0 && d.base&(rightFdSeek|rightFdTell) == 0:
		return errNotcapable
	case d.isDir():
		return errBadf
	case whence > 2:
		return errInval
	}
	pos, err := d.file.Seek(off, int(whence))
	if err != nil {
		return errnoOf(err)
	}
	return s.putU64(uint32(p[3]), uint64(pos))
}

func (s *System) fdTell(p []uint64) errno {
	d, e := s.needFile(p[0], 0, errSpipe)
	switch {
	case e != errSuccess:
		return e
	case d.isDir():
		return errBadf
	case d.base&(rightFdSeek|rightFdTell) == 0:
		return errNotcapable
	}
	pos, err := d.file.Seek(0, 1)
	if err != nil {
		return errnoOf(err)
	}
	return s.putU64(uint32(p[1]), uint64(pos))
}

// fdReaddir fills a buffer with entries. The last one may be cut off, which
// tells the guest that there are more.
func (s *System) fdReaddir(p []uint64) errno {
	d, e := s.fd(p[0])
	switch {
	case e != errSuccess:
		return e
	case !d.isDir():
		return errNotdir
	case d.base&rightFdReaddir == 0:
		return errNotcapable
	}
	buf, ok := s.bytes(uint32(p[1]), uint32(p[2]))
	if !ok {
		return errFault
	}
	used := 0
	var head [sizeDirent]byte
	count := 0
	err := d.file.ReadDir(p[3], func(entry sandboxfs.DirEntry) bool {
		if used == len(buf) {
			return false
		}
		if count++; count%4096 == 0 {
			s.check()
		}
		le.PutUint64(head[0:], entry.Next)
		le.PutUint64(head[8:], entry.Ino)
		le.PutUint32(head[16:], uint32(len(entry.Name)))
		le.PutUint32(head[20:], uint32(filetypeOf(entry.Type)))
		used += copy(buf[used:], head[:])
		used += copy(buf[used:], entry.Name)
		return used < len(buf)
	})
	if err != nil && used == 0 {
		return errnoOf(err)
	}
	return s.putU32(uint32(p[4]), uint32(used))
}
