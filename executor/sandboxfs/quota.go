package sandboxfs

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

// Default amounts, used where a field of Quota is zero.
const (
	DefaultWrittenBytes = 1 << 30
	DefaultFiles        = 65536
	DefaultDepth        = 64
	DefaultNameLen      = 255
	DefaultOpenFiles    = 256
	DefaultDirEntries   = 65536
)

// Quota caps what a guest may do with all mounts of an FS together. A zero
// field takes the package's default; nothing is ever unlimited.
type Quota struct {
	// WrittenBytes is the sum of all bytes written over the life of the FS.
	// Removing or truncating a file gives nothing back, so an unlinked file
	// that is still open cannot dodge it. Growing a file without writing
	// (a hole, fd_allocate, truncate-up) costs what it grows by. ENOSPC.
	WrittenBytes int64
	// Files is how many directory entries (files, directories, links) there
	// may be more than at the start. Removing one gives one back. EDQUOT.
	Files int64
	// Depth is how many directories may lie between a mount's root and a
	// directory that is made or moved. EDQUOT.
	Depth int
	// NameLen is the longest name of one path component, in bytes. ENAMETOOLONG.
	NameLen int
	// OpenFiles is how many files and directories may be open at once, the
	// mounts' roots not counted. EMFILE.
	OpenFiles int
	// DirEntries is how many entries of one directory may be listed. EOVERFLOW.
	DirEntries int
}

func (q Quota) withDefaults() (Quota, error) {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"WrittenBytes", q.WrittenBytes}, {"Files", q.Files}, {"Depth", int64(q.Depth)},
		{"NameLen", int64(q.NameLen)}, {"OpenFiles", int64(q.OpenFiles)}, {"DirEntries", int64(q.DirEntries)},
	} {
		if f.value < 0 {
			return q, fmt.Errorf("sandboxfs: quota %s is %d; give a positive amount, or 0 for the default", f.name, f.value)
		}
	}
	if q.WrittenBytes == 0 {
		q.WrittenBytes = DefaultWrittenBytes
	}
	if q.Files == 0 {
		q.Files = DefaultFiles
	}
	if q.Depth == 0 {
		q.Depth = DefaultDepth
	}
	if q.NameLen == 0 {
		q.NameLen = DefaultNameLen
	}
	if q.OpenFiles == 0 {
		q.OpenFiles = DefaultOpenFiles
	}
	if q.DirEntries == 0 {
		q.DirEntries = DefaultDirEntries
	}
	return q, nil
}

// Usage is what a guest has used so far.
type Usage struct {
	ReadBytes     int64 // bytes read from files
	WrittenBytes  int64 // as Quota.WrittenBytes counts them
	Files         int64 // directory entries made less those removed; may be negative
	OpenFiles     int64 // open now
	PeakOpenFiles int64 // most open at once
}

// limit names an amount in LimitHit.
type limit int32

const (
	noLimit limit = iota
	limitWrittenBytes
	limitFiles
	limitDepth
	limitNameLen
	limitOpenFiles
	limitDirEntries
)

// counters is written by the guest's goroutine alone and read by any.
type counters struct {
	read, written, files, open, peak atomic.Int64
	hit                              atomic.Int32
	failed                           atomic.Pointer[syscall.Errno]
}

// Usage reports what has been used so far. It may be called from any goroutine.
func (f *FS) Usage() Usage {
	return Usage{
		ReadBytes:     f.count.read.Load(),
		WrittenBytes:  f.count.written.Load(),
		Files:         f.count.files.Load(),
		OpenFiles:     f.count.open.Load(),
		PeakOpenFiles: f.count.peak.Load(),
	}
}

// LimitHit names the quota that a request of the guest met first and its
// amount, for example "written_bytes 1048576", or is empty. It may be called
// from any goroutine.
func (f *FS) LimitHit() string {
	switch limit(f.count.hit.Load()) {
	case limitWrittenBytes:
		return fmt.Sprintf("written_bytes %d", f.quota.WrittenBytes)
	case limitFiles:
		return fmt.Sprintf("files %d", f.quota.Files)
	case limitDepth:
		return fmt.Sprintf("depth %d", f.quota.Depth)
	case limitNameLen:
		return fmt.Sprintf("name_len %d", f.quota.NameLen)
	case limitOpenFiles:
		return fmt.Sprintf("open_files %d", f.quota.OpenFiles)
	case limitDirEntries:
		return fmt.Sprintf("dir_entries %d", f.quota.DirEntries)
	}
	return ""
}

// host passes the error of a host's file operation on, and remembers the first
// that is the host's own failure: its disk is full or broken, which no quota
// of the guest's is about.
func (f *FS) host(err error) error {
	switch errno, _ := err.(syscall.Errno); errno {
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EIO:
		f.count.failed.CompareAndSwap(nil, &errno)
	}
	return err
}

// HostError is the first failure of the host's disk that a guest met, or nil.
// What the guest did after it is no answer to its input. It may be called from
// any goroutine.
func (f *FS) HostError() error {
	if errno := f.count.failed.Load(); errno != nil {
		return *errno
	}
	return nil
}

func (f *FS) hit(l limit) { f.count.hit.CompareAndSwap(int32(noLimit), int32(l)) }
