package wasihttp

import (
	"boxfleet/executor/sandboxfs"
)

// descriptor is wasi:filesystem/types.descriptor: an open file or directory.
type descriptor struct {
	*openFile
	mutate bool // a directory whose entries may change
}

// openFile is shared by a descriptor and the streams made of it, which may outlive it.
type openFile struct {
	file *sandboxfs.File
	refs int
}

func (f *openFile) hold() *openFile {
	f.refs++
	return f
}

func (f *openFile) release(*Host) {
	if f.refs--; f.refs == 0 {
		_ = f.file.Close()
	}
}

func (d *descriptor) isDir() bool { return d.file.Type() == sandboxfs.TypeDirectory }

// The bits of descriptor-flags that this host gives. The sync bits are taken and do nothing, as syncing does nothing.
const (
	flagRead            = 1 << 0
	flagWrite           = 1 << 1
	flagMutateDirectory = 1 << 5
)

func (d *descriptor) flags() (bits byte) {
	if d.isDir() {
		if bits = flagRead; d.mutate {
			bits |= flagMutateDirectory
		}
		return bits
	}
	if d.file.Flags()&sandboxfs.Read != 0 {
		bits |= flagRead
	}
	if d.file.Flags()&sandboxfs.Write != 0 {
		bits |= flagWrite
	}
	return bits
}

// fileSource reads a file from an offset on.
type fileSource struct {
	*openFile
	off   int64
	piece []byte // what available read, until take
}

func (*fileSource) ready() bool { return true }

func (s *fileSource) available(h *Host, want uint64) (n int, ended bool, err error) {
	if want == 0 {
		return 0, false, nil
	}
	buf := h.piece(want)
	n, err = s.file.ReadAt([][]byte{buf}, s.off)
	s.piece = buf[:n]
	if n == 0 {
		return 0, true, asFileError(err)
	}
	return n, false, nil
}

func (s *fileSource) take(_ *Host, n int, use func([]byte)) {
	use(s.piece[:n])
	s.off += int64(n)
	s.piece = nil
}

// fileSink writes a file from an offset on, or at its end.
type fileSink struct {
	*openFile
	off    int64
	append bool
}

func (*fileSink) room() (n int, closed bool) { return streamPiece, false }

func (s *fileSink) accept(_ *Host, p []byte) (closed bool, err error) {
	for len(p) > 0 {
		var n int
		if s.append {
			s.file.SetAppend(true) // a position of its own is of no use to anybody else
			n, err = s.file.Write([][]byte{p})
		} else {
			n, err = s.file.WriteAt([][]byte{p}, s.off)
		}
		if s.off += int64(n); err != nil {
			return false, asFileError(err)
		}
		if p = p[n:]; n == 0 && len(p) > 0 {
			return false, &fileError{fileIO}
		}
	}
	return false, nil
}

// entryStream is wasi:filesystem/types.directory-entry-stream.
type entryStream struct {
	*openFile
	cookie  uint64
	entries []sandboxfs.DirEntry // read ahead
	ended   bool
}

// entryAhead is how many entries are read at once. It is small, as each handle of a guest may hold so many.
const entryAhead = 16

// next gives the next entry other than "." and "..", or false at the end.
func (e *entryStream) next() (entry sandboxfs.DirEntry, ok bool, err error) {
	for {
		if len(e.entries) == 0 && !e.ended {
			e.entries = e.entries[:0]
			err := e.file.ReadDir(e.cookie, func(entry sandboxfs.DirEntry) bool {
				e.entries = append(e.entries, entry)
				return len(e.entries) < entryAhead
			})
			if e.ended = len(e.entries) == 0; err != nil && e.ended {
				return entry, false, err
			}
		}
		if len(e.entries) == 0 {
			return entry, false, nil
		}
		entry, e.entries = e.entries[0], e.entries[1:]
		e.cookie = entry.Next
		if entry.Name != "." && entry.Name != ".." {
			return entry, true, nil
		}
	}
}

// root is the directory of a mount. All descriptors of it share one, however often a guest asks: reading it takes a
// descriptor of the host that no quota counts.
func (h *Host) root(i int) *openFile {
	if h.roots == nil {
		h.roots = make([]*openFile, len(h.cfg.FS.Mounts()))
	}
	if h.roots[i] == nil {
		h.roots[i] = (&openFile{file: h.cfg.FS.OpenMount(i)}).hold()
	}
	return h.roots[i]
}

var preopensFunctions = []*function{
	{"get-directories", sig(i32), nil, func(c *call, s []uint64) {
		ret := c.ret(s[0], 4, 8)
		fs := c.h.cfg.FS
		if fs == nil {
			c.newList(ret, 0, 12)
			return
		}
		mounts := fs.Mounts()
		at := c.newList(ret, len(mounts), 12)
		for i, m := range mounts {
			d := &descriptor{openFile: c.h.root(i).hold(), mutate: m.Mode == sandboxfs.ReadWrite}
			c.put32(at+uint32(i)*12, c.add(d, 0))
			c.putBytes(at+uint32(i)*12+4, []byte(m.Guest))
		}
	}},
}

// descriptorType is wasi:filesystem/types.descriptor-type.
func descriptorType(t sandboxfs.FileType) byte {
	switch t {
	case sandboxfs.TypeBlockDevice:
		return 1
	case sandboxfs.TypeCharDevice:
		return 2
	case sandboxfs.TypeDirectory:
		return 3
	case sandboxfs.TypeFIFO:
		return 4
	case sandboxfs.TypeSymlink:
		return 5
	case sandboxfs.TypeRegular:
		return 6
	case sandboxfs.TypeSocket:
		return 7
	}
	return 0
}

// putStat writes result<descriptor-stat, error-code>.
func (c *call) putStat(ret uint32, st *sandboxfs.Stat, err error) {
	if !c.fileResult(ret, 8, err) {
		return
	}
	at := ret + 8
	c.put8(at, descriptorType(st.Type))
	c.put64(at+8, st.Nlink)
	c.put64(at+16, uint64(st.Size))
	for i, ns := range []int64{st.Atim, st.Mtim, st.Ctim} {
		o := at + 24 + uint32(i)*24
		c.put8(o, 1)
		c.put64(o+8, uint64(ns)/second)
		c.put32(o+16, uint32(uint64(ns)%second))
	}
}

// putHash writes result<metadata-hash-value, error-code>. The hash is what tells files apart, not what they hold.
func (c *call) putHash(ret uint32, st *sandboxfs.Stat, err error) {
	if c.fileResult(ret, 8, err) {
		c.put64(ret+8, st.Ino)
		c.put64(ret+16, st.Dev)
	}
}

const (
	second     = 1_000_000_000 // in nanoseconds
	maxSeconds = 1<<63/second - 1
)

// newTimestamp reads the variant of that name from its flat form.
func (c *call) newTimestamp(disc, seconds, nanos uint64) sandboxfs.Time {
	switch uint32(disc) {
	case 0: // no-change
		return sandboxfs.Time{}
	case 1: // now
		return sandboxfs.Time{Set: true, Nanos: uint64(c.h.wall().UnixNano())}
	case 2:
		// Later than a file system knows is as late as it knows: some hundred years from now.
		return sandboxfs.Time{Set: true, Nanos: min(seconds, maxSeconds)*second + min(uint64(uint32(nanos)), second-1)}
	}
	c.trap("%d is no case of new-timestamp", uint32(disc))
	return sandboxfs.Time{}
}

var fileFunctions = []*function{
	{"[resource-drop]descriptor", sig(i32), nil, drop[*descriptor]},
	{"[resource-drop]directory-entry-stream", sig(i32), nil, drop[*entryStream]},

	{"[method]descriptor.read-via-stream", sig(i32, i64, i32), nil, func(c *call, s []uint64) {
		d, off, ret := borrow[*descriptor](c, s[0]), s[1], c.ret(s[2], 4, 8)
		if c.fileResult(ret, 4, d.streams(flagRead, off)) {
			c.put32(ret+4, c.add(&inputStream{source: &fileSource{openFile: d.hold(), off: int64(off)}}, 0))
		}
	}},
	{"[method]descriptor.write-via-stream", sig(i32, i64, i32), nil, func(c *call, s []uint64) {
		d, off, ret := borrow[*descriptor](c, s[0]), s[1], c.ret(s[2], 4, 8)
		if c.fileResult(ret, 4, d.streams(flagWrite, off)) {
			c.put32(ret+4, c.add(&outputStream{sink: &fileSink{openFile: d.hold(), off: int64(off)}}, 0))
		}
	}},
	{"[method]descriptor.append-via-stream", sig(i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[1], 4, 8)
		if c.fileResult(ret, 4, d.streams(flagWrite, 0)) {
			c.put32(ret+4, c.add(&outputStream{sink: &fileSink{openFile: d.hold(), append: true}}, 0))
		}
	}},
	{"[method]descriptor.advise", sig(i32, i64, i64, i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[4], 1, 2)
		if uint32(s[3]) > 5 {
			c.trap("%d is no case of advice", uint32(s[3]))
		}
		c.fileResult(ret, 1, d.needFile()) // advice, and the page cache is not the guest's to manage
	}},
	{"[method]descriptor.sync-data", sig(i32, i32), nil, syncFile},
	{"[method]descriptor.sync", sig(i32, i32), nil, syncFile},
	{"[method]descriptor.get-flags", sig(i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[1], 1, 2)
		c.put8(ret, 0)
		c.put8(ret+1, d.flags())
	}},
	{"[method]descriptor.get-type", sig(i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[1], 1, 2)
		c.put8(ret, 0)
		c.put8(ret+1, descriptorType(d.file.Type()))
	}},
	{"[method]descriptor.set-size", sig(i32, i64, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[2], 1, 2)
		err := d.needFile()
		if err == nil {
			err = d.file.Truncate(clampOffset(s[1]))
		}
		c.fileResult(ret, 1, err)
	}},
	{"[method]descriptor.set-times", sig(i32, i32, i64, i32, i32, i64, i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[7], 1, 2)
		atim, mtim := c.newTimestamp(s[1], s[2], s[3]), c.newTimestamp(s[4], s[5], s[6])
		c.fileResult(ret, 1, d.file.SetTimes(atim, mtim))
	}},
	{"[method]descriptor.read", sig(i32, i64, i64, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[3], 4, 16)
		var n int
		buf := c.h.piece(s[1])
		err := d.streams(flagRead, s[2])
		if err == nil && len(buf) > 0 {
			n, err = d.file.ReadAt([][]byte{buf}, int64(s[2]))
		}
		if n > 0 {
			err = nil
		}
		if c.fileResult(ret, 4, err) {
			c.putBytes(ret+4, buf[:n])
			c.put8(ret+12, byte(flag(n == 0 && len(buf) > 0)))
		}
	}},
	{"[method]descriptor.write", sig(i32, i32, i32, i64, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[4], 8, 16)
		buf := c.view(s[1], s[2])
		buf = buf[:min(len(buf), streamPiece)] // it may write less, as write does
		err := d.streams(flagWrite, s[3])
		var n int
		if err == nil {
			n, err = d.file.WriteAt([][]byte{buf}, int64(s[3]))
		}
		if n > 0 {
			err = nil
		}
		if c.fileResult(ret, 8, err) {
			c.put64(ret+8, uint64(n))
		}
	}},
	{"[method]descriptor.read-directory", sig(i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[1], 4, 8)
		if c.fileResult(ret, 4, d.needDir()) {
			c.put32(ret+4, c.add(&entryStream{openFile: d.hold()}, 0))
		}
	}},
	{"[method]directory-entry-stream.read-directory-entry", sig(i32, i32), nil, func(c *call, s []uint64) {
		e, ret := borrow[*entryStream](c, s[0]), c.ret(s[1], 4, 20)
		entry, ok, err := e.next()
		if !c.fileResult(ret, 4, err) {
			return
		}
		c.put8(ret+4, byte(flag(ok)))
		if ok {
			c.put8(ret+8, descriptorType(entry.Type))
			c.putBytes(ret+12, []byte(entry.Name))
		}
	}},
	{"[method]descriptor.stat", sig(i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[1], 8, 104)
		st, err := d.file.Stat()
		c.putStat(ret, &st, err)
	}},
	{"[method]descriptor.metadata-hash", sig(i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[1], 8, 24)
		st, err := d.file.Stat()
		c.putHash(ret, &st, err)
	}},
	{"[method]descriptor.is-same-object", sig(i32, i32), sig(i32), func(c *call, s []uint64) {
		a, b := borrow[*descriptor](c, s[0]), borrow[*descriptor](c, s[1])
		x, err := a.file.Stat()
		y, err2 := b.file.Stat()
		s[0] = flag(err == nil && err2 == nil && x.Dev == y.Dev && x.Ino == y.Ino)
	}},
	{"filesystem-error-code", sig(i32, i32), nil, func(c *call, s []uint64) {
		e, ret := borrow[*ioError](c, s[0]), c.ret(s[1], 1, 2)
		c.put8(ret, byte(flag(e.file != nil)))
		if e.file != nil {
			c.put8(ret+1, e.file.code)
		}
	}},
}

func syncFile(c *call, s []uint64) {
	d, ret := borrow[*descriptor](c, s[0]), c.ret(s[1], 1, 2)
	c.fileResult(ret, 1, d.file.Sync())
}

// clampOffset makes an offset or size that no file has one that is refused as too large.
func clampOffset(n uint64) int64 { return int64(min(n, 1<<63-1)) }

// streams tells whether a descriptor can be read or written from an offset.
func (d *descriptor) streams(access byte, off uint64) error {
	switch {
	case d.isDir():
		return &fileError{fileIsDirectory}
	case d.flags()&access == 0:
		return &fileError{fileBadDescriptor}
	case off > 1<<63-1:
		return &fileError{fileInvalid}
	}
	return nil
}

func (d *descriptor) needFile() error {
	if d.isDir() {
		return &fileError{fileIsDirectory}
	}
	return nil
}

func (d *descriptor) needDir() error {
	if !d.isDir() {
		return &fileError{fileNotDirectory}
	}
	return nil
}
