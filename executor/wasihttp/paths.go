package wasihttp

import (
	"strings"

	"boxfleet/executor/sandboxfs"
)

// Bits of open-flags and path-flags.
const (
	openCreate    = 1 << 0
	openDirectory = 1 << 1
	openExclusive = 1 << 2
	openTruncate  = 1 << 3

	pathFollow = 1 << 0
)

// maxPath is more than sandboxfs takes, so that the length is its to judge.
const maxPath = 4096

// path reads a path that belongs to a directory. A nil error says that both are there.
func (c *call) path(d *descriptor, ptr, n uint64) (string, error) {
	if uint32(n) > maxPath {
		return "", &fileError{fileNameTooLong}
	}
	path := c.str(ptr, n)
	if strings.IndexByte(path, 0) >= 0 {
		return "", &fileError{fileInvalid}
	}
	return path, d.needDir()
}

// change is path for calls that change the directory.
func (c *call) change(d *descriptor, ptr, n uint64) (string, error) {
	path, err := c.path(d, ptr, n)
	if err == nil && !d.mutate {
		err = &fileError{fileReadOnly}
	}
	return path, err
}

// onPath makes a function of a change that needs a path alone.
func onPath(name string, do func(fs *sandboxfs.FS, dir *sandboxfs.File, path string) error) *function {
	return &function{"[method]descriptor." + name, sig(i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[3], 1, 2)
		path, err := c.change(d, s[1], s[2])
		if err == nil {
			err = do(c.h.cfg.FS, d.file, path)
		}
		c.fileResult(ret, 1, err)
	}}
}

var pathFunctions = []*function{
	onPath("create-directory-at", (*sandboxfs.FS).Mkdir),
	onPath("remove-directory-at", (*sandboxfs.FS).Rmdir),
	onPath("unlink-file-at", (*sandboxfs.FS).Unlink),
	{"[method]descriptor.stat-at", sig(i32, i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[4], 8, 104)
		st, err := c.statAt(d, s)
		c.putStat(ret, &st, err)
	}},
	{"[method]descriptor.metadata-hash-at", sig(i32, i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[4], 8, 24)
		st, err := c.statAt(d, s)
		c.putHash(ret, &st, err)
	}},
	{"[method]descriptor.set-times-at", sig(i32, i32, i32, i32, i32, i64, i32, i32, i64, i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[10], 1, 2)
		atim, mtim := c.newTimestamp(s[4], s[5], s[6]), c.newTimestamp(s[7], s[8], s[9])
		path, err := c.change(d, s[2], s[3])
		if err == nil {
			err = c.h.cfg.FS.SetTimes(d.file, path, s[1]&pathFollow != 0, atim, mtim)
		}
		c.fileResult(ret, 1, err)
	}},
	{"[method]descriptor.link-at", sig(i32, i32, i32, i32, i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		from, to, ret := borrow[*descriptor](c, s[0]), borrow[*descriptor](c, s[4]), c.ret(s[7], 1, 2)
		oldPath, err := c.change(from, s[2], s[3])
		newPath, err2 := c.change(to, s[5], s[6])
		switch {
		case err == nil && err2 != nil:
			err = err2
		case err == nil && s[1]&pathFollow != 0:
			err = &fileError{fileInvalid} // as for WASI 0.1: a link's target is not linked
		case err == nil:
			err = c.h.cfg.FS.Link(from.file, oldPath, to.file, newPath)
		}
		c.fileResult(ret, 1, err)
	}},
	{"[method]descriptor.rename-at", sig(i32, i32, i32, i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		from, to, ret := borrow[*descriptor](c, s[0]), borrow[*descriptor](c, s[3]), c.ret(s[6], 1, 2)
		oldPath, err := c.change(from, s[1], s[2])
		newPath, err2 := c.change(to, s[4], s[5])
		switch {
		case err == nil && err2 != nil:
			err = err2
		case err == nil:
			err = c.h.cfg.FS.Rename(from.file, oldPath, to.file, newPath)
		}
		c.fileResult(ret, 1, err)
	}},
	{"[method]descriptor.symlink-at", sig(i32, i32, i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[5], 1, 2)
		target, err := c.path(d, s[1], s[2])
		path, err2 := c.change(d, s[3], s[4])
		switch {
		case err == nil && err2 != nil:
			err = err2
		case err == nil:
			err = c.h.cfg.FS.Symlink(target, d.file, path)
		}
		c.fileResult(ret, 1, err)
	}},
	{"[method]descriptor.readlink-at", sig(i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[3], 4, 12)
		var target string
		path, err := c.path(d, s[1], s[2])
		if err == nil {
			target, err = c.h.cfg.FS.Readlink(d.file, path)
		}
		if err == nil && strings.ToValidUTF8(target, "") != target {
			err = &fileError{fileIllegalBytes}
		}
		if c.fileResult(ret, 4, err) {
			c.putBytes(ret+4, []byte(target))
		}
	}},
	{"[method]descriptor.open-at", sig(i32, i32, i32, i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		d, ret := borrow[*descriptor](c, s[0]), c.ret(s[6], 4, 8)
		path, err := c.path(d, s[2], s[3])
		var opened *descriptor
		if err == nil {
			opened, err = c.open(d, path, uint32(s[1]), uint32(s[4]), uint32(s[5]))
		}
		if c.fileResult(ret, 4, err) {
			c.put32(ret+4, c.add(opened, 0))
		}
	}},
}

func (c *call) statAt(d *descriptor, s []uint64) (st sandboxfs.Stat, err error) {
	path, err := c.path(d, s[2], s[3])
	if err != nil {
		return st, err
	}
	return c.h.cfg.FS.Stat(d.file, path, s[1]&pathFollow != 0)
}

// open opens what a path names. A directory hands its right to change down, as mounts are all writable or not at all.
func (c *call) open(d *descriptor, path string, lookup, open, flags uint32) (*descriptor, error) {
	switch {
	case open&openDirectory != 0 && open&openCreate != 0:
		return nil, &fileError{fileInvalid} // opening makes no directories
	case open&openDirectory != 0 && flags&flagWrite != 0:
		return nil, &fileError{fileIsDirectory}
	case !d.mutate && (open&(openCreate|openTruncate) != 0 || flags&(flagWrite|flagMutateDirectory) != 0):
		return nil, &fileError{fileReadOnly}
	}
	var f sandboxfs.OpenFlag
	for _, m := range [...]struct {
		is   bool
		flag sandboxfs.OpenFlag
	}{
		{flags&flagRead != 0, sandboxfs.Read},
		{flags&flagWrite != 0, sandboxfs.Write},
		{open&openCreate != 0, sandboxfs.Create},
		{open&openExclusive != 0, sandboxfs.Exclusive},
		{open&openTruncate != 0, sandboxfs.Truncate},
		{open&openDirectory != 0, sandboxfs.Directory | sandboxfs.Read},
		{lookup&pathFollow == 0, sandboxfs.NoFollow},
	} {
		if m.is {
			f |= m.flag
		}
	}
	file, err := c.h.cfg.FS.Open(d.file, path, f)
	if err != nil {
		return nil, err
	}
	opened := &descriptor{openFile: (&openFile{file: file}).hold()}
	opened.mutate = d.mutate && opened.isDir()
	return opened, nil
}
