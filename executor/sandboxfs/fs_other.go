//go:build !linux

package sandboxfs

import (
	"errors"
	"syscall"
)

// FS without Linux has no mounts.
type FS struct {
	quota Quota
	count counters
}

// New makes an FS without mounts; mounts need Linux.
func New(mounts []Mount, q Quota) (*FS, error) {
	q, err := q.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(mounts) > 0 {
		return nil, errors.New("sandboxfs: mounts need Linux; run the worker there")
	}
	return &FS{quota: q}, nil
}

func (f *FS) Mounts() []Mount       { return nil }
func (f *FS) OpenMount(i int) *File { panic("sandboxfs: there is no mount") }
func (f *FS) Close() error          { return nil }
func (f *FS) UseWalk()              {}

// File is never made without Linux.
type File struct{}

func (f *File) Type() FileType                               { return TypeUnknown }
func (f *File) Mount() Mount                                 { return Mount{} }
func (f *File) Flags() OpenFlag                              { return 0 }
func (f *File) SetAppend(bool)                               {}
func (f *File) Close() error                                 { return syscall.ENOSYS }
func (f *File) Read([][]byte) (int, error)                   { return 0, syscall.ENOSYS }
func (f *File) ReadAt([][]byte, int64) (int, error)          { return 0, syscall.ENOSYS }
func (f *File) Write([][]byte) (int, error)                  { return 0, syscall.ENOSYS }
func (f *File) WriteAt([][]byte, int64) (int, error)         { return 0, syscall.ENOSYS }
func (f *File) Seek(int64, int) (int64, error)               { return 0, syscall.ENOSYS }
func (f *File) Truncate(int64) error                         { return syscall.ENOSYS }
func (f *File) Allocate(int64, int64) error                  { return syscall.ENOSYS }
func (f *File) Sync() error                                  { return syscall.ENOSYS }
func (f *File) Stat() (Stat, error)                          { return Stat{}, syscall.ENOSYS }
func (f *File) SetTimes(Time, Time) error                    { return syscall.ENOSYS }
func (f *File) ReadDir(uint64, func(DirEntry) bool) error    { return syscall.ENOSYS }
func (f *FS) Open(*File, string, OpenFlag) (*File, error)    { return nil, syscall.ENOSYS }
func (f *FS) Stat(*File, string, bool) (Stat, error)         { return Stat{}, syscall.ENOSYS }
func (f *FS) SetTimes(*File, string, bool, Time, Time) error { return syscall.ENOSYS }
func (f *FS) Readlink(*File, string) (string, error)         { return "", syscall.ENOSYS }
func (f *FS) Mkdir(*File, string) error                      { return syscall.ENOSYS }
func (f *FS) Symlink(string, *File, string) error            { return syscall.ENOSYS }
func (f *FS) Link(*File, string, *File, string) error        { return syscall.ENOSYS }
func (f *FS) Unlink(*File, string) error                     { return syscall.ENOSYS }
func (f *FS) Rmdir(*File, string) error                      { return syscall.ENOSYS }
func (f *FS) Rename(*File, string, *File, string) error      { return syscall.ENOSYS }
