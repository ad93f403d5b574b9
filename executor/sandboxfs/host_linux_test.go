package sandboxfs

import (
	"errors"
	"syscall"
	"testing"
)

// TestHostErrors: only what the host's disk does wrong is remembered, and of
// that the first; a spent quota is the guest's own affair.
func TestHostErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := New([]Mount{{Guest: "/", Host: dir, Mode: ReadWrite}}, Quota{WrittenBytes: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.charge(5); err != syscall.ENOSPC || f.HostError() != nil {
		t.Fatalf("a spent quota: %v, host %v", err, f.HostError())
	}
	for _, harmless := range []error{nil, syscall.ENOENT, syscall.EACCES, syscall.EFBIG, syscall.EEXIST, errors.New("x")} {
		if got := f.host(harmless); got != harmless || f.HostError() != nil {
			t.Errorf("%v: %v, host %v", harmless, got, f.HostError())
		}
	}
	for _, bad := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT} {
		if got := f.host(bad); got != bad || f.HostError() != syscall.EIO {
			t.Errorf("%v: %v, host %v, want the first", bad, got, f.HostError())
		}
	}
}

// TestHostDiskFull: a write to a device that is always full.
func TestHostDiskFull(t *testing.T) {
	t.Parallel()
	f, err := New([]Mount{{Guest: "/", Host: t.TempDir(), Mode: ReadWrite}}, Quota{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	full, err := syscall.Open("/dev/full", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(full) }()
	file := &File{fs: f, fd: full}
	if _, err := file.pwrite([][]byte{[]byte("x")}, 0); err != syscall.ENOSPC || f.HostError() != syscall.ENOSPC {
		t.Errorf("%v, host %v", err, f.HostError())
	}
}
