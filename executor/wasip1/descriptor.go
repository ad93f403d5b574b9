package wasip1

import (
	"boxfleet/executor/sandboxfs"
)

type kind uint8

const (
	kindClosed kind = iota
	kindStdin
	kindStdout
	kindStderr
	kindFile
)

// descriptor is an entry of the guest's descriptor table.
type descriptor struct {
	kind             kind
	flags            uint16
	base, inheriting rights
	file             *sandboxfs.File // of kindFile
	preopen          string          // guest path, if the guest was started with it
}

func (d *descriptor) close() {
	if d.kind == kindFile {
		_ = d.file.Close()
	}
	*d = descriptor{}
}

func (d *descriptor) isDir() bool {
	return d.kind == kindFile && d.file.Type() == sandboxfs.TypeDirectory
}

func (d *descriptor) filetype() byte {
	switch {
	case d.kind != kindFile:
		// Neither a terminal nor a file: what a pipe is to WASI.
		return filetypeUnknown
	case d.isDir():
		return filetypeDirectory
	}
	return filetypeRegularFile
}

// fd finds an open descriptor. The pointer holds until a descriptor is added.
func (s *System) fd(n uint64) (*descriptor, errno) {
	i := uint64(uint32(n))
	if i >= uint64(len(s.fds)) || s.fds[i].kind == kindClosed {
		return nil, errBadf
	}
	return &s.fds[i], errSuccess
}

// need finds a descriptor that has all the given rights.
func (s *System) need(n uint64, r rights) (*descriptor, errno) {
	d, e := s.fd(n)
	if e == errSuccess && d.base&r != r {
		return nil, errNotcapable
	}
	return d, e
}

// needFile is need for calls that only files and directories serve; others get
// the given error.
func (s *System) needFile(n uint64, r rights, other errno) (*descriptor, errno) {
	d, e := s.fd(n)
	switch {
	case e != errSuccess:
		return nil, e
	case d.kind != kindFile:
		return nil, other
	case d.base&r != r:
		return nil, errNotcapable
	}
	return d, errSuccess
}

// needDir is need for the base of a path.
func (s *System) needDir(n uint64, r rights) (*sandboxfs.File, errno) {
	d, e := s.fd(n)
	switch {
	case e != errSuccess:
		return nil, e
	case !d.isDir():
		return nil, errNotdir
	case d.base&r != r:
		return nil, errNotcapable
	}
	return d.file, errSuccess
}

// add puts a descriptor at the lowest free number. Their count is bounded by
// sandboxfs, which hands out the files.
func (s *System) add(d descriptor) uint32 {
	for ; s.free < len(s.fds); s.free++ {
		if s.fds[s.free].kind == kindClosed {
			s.fds[s.free] = d
			return uint32(s.free)
		}
	}
	s.fds = append(s.fds, d)
	return uint32(len(s.fds) - 1)
}

func (s *System) fdClose(p []uint64) errno {
	d, e := s.fd(p[0])
	if e != errSuccess {
		return e
	}
	d.close()
	s.free = min(s.free, int(uint32(p[0])))
	return errSuccess
}

// fdRenumber moves a descriptor over another one, which must be open: a guest
// cannot choose numbers and so cannot make the table large.
func (s *System) fdRenumber(p []uint64) errno {
	from, e := s.fd(p[0])
	if e != errSuccess {
		return e
	}
	to, e := s.fd(p[1])
	if e != errSuccess {
		return e
	}
	if from == to {
		return errSuccess
	}
	to.close()
	*to = *from
	*from = descriptor{}
	s.free = min(s.free, int(uint32(p[0])))
	return errSuccess
}

func (s *System) fdPrestatGet(p []uint64) errno {
	d, e := s.fd(p[0])
	if e != errSuccess {
		return e
	}
	if d.preopen == "" {
		return errBadf
	}
	b, ok := s.bytes(uint32(p[1]), sizePrestat)
	if !ok {
		return errFault
	}
	le.PutUint32(b, 0) // tag: a directory
	le.PutUint32(b[4:], uint32(len(d.preopen)))
	return errSuccess
}

func (s *System) fdPrestatDirName(p []uint64) errno {
	d, e := s.fd(p[0])
	if e != errSuccess {
		return e
	}
	if d.preopen == "" {
		return errBadf
	}
	if uint32(p[2]) < uint32(len(d.preopen)) {
		return errNametoolong
	}
	b, ok := s.bytes(uint32(p[1]), uint32(len(d.preopen)))
	if !ok {
		return errFault
	}
	copy(b, d.preopen)
	return errSuccess
}

func (s *System) fdFdstatGet(p []uint64) errno {
	d, e := s.fd(p[0])
	if e != errSuccess {
		return e
	}
	b, ok := s.bytes(uint32(p[1]), sizeFdstat)
	if !ok {
		return errFault
	}
	clear(b)
	b[0] = d.filetype()
	le.PutUint16(b[2:], d.flags)
	le.PutUint64(b[8:], uint64(d.base))
	le.PutUint64(b[16:], uint64(d.inheriting))
	return errSuccess
}

func (s *System) fdFdstatSetFlags(p []uint64) errno {
	d, e := s.need(p[0], rightFdFdstatSetFlags)
	if e != errSuccess {
		return e
	}
	flags := uint32(p[1])
	if flags&^fdflagsAll != 0 {
		return errInval
	}
	d.setFlags(uint16(flags))
	return errSuccess
}

// setFlags sets a descriptor's flags. The sync flags are kept but do nothing, as
// fd_sync does nothing.
func (d *descriptor) setFlags(flags uint16) {
	d.flags = flags
	if d.kind == kindFile {
		d.file.SetAppend(flags&fdflagAppend != 0)
	}
}

func (s *System) fdFdstatSetRights(p []uint64) errno {
	d, e := s.fd(p[0])
	if e != errSuccess {
		return e
	}
	base, inheriting := rights(p[1]), rights(p[2])
	if base&^d.base != 0 || inheriting&^d.inheriting != 0 {
		return errNotcapable
	}
	d.base, d.inheriting = base, inheriting
	return errSuccess
}
