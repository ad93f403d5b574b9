//go:build linux

package sandboxfs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSpecialWithoutLook opens special files where the look before the open is
// skipped, as on a nodev file system, or came too early: a FIFO is put in place
// of a file after it.
func TestSpecialWithoutLook(t *testing.T) {
	dir := tree(t, "f")
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	f, base, _ := view(t, dir, false, false, Quota{})
	f.mounts[0].NoDevices = true
	before := openFDs(t)
	for _, flags := range []OpenFlag{Read, Write, Read | Write, 0, Read | Truncate, Read | NoFollow} {
		if _, err := f.Open(base, "fifo", flags); err != syscall.EACCES {
			t.Errorf("flags %d: %v, want EACCES", flags, err)
		}
	}
	if _, err := f.Open(base, "f", Read|Write); err != nil {
		t.Errorf("a file: %v", err)
	}
	if after := openFDs(t); after != before+1 {
		t.Errorf("%d descriptors open, want %d", after, before+1)
	}
}

// TestModes opens programs to write and checks what the host is left with.
func TestModes(t *testing.T) {
	dir := tree(t, "f")
	path := filepath.Join(dir, "f")
	f, base, _ := view(t, dir, false, false, Quota{})
	for _, c := range []struct {
		mode, want os.FileMode
		flags      OpenFlag
	}{
		{0o755, 0o644, Write}, {os.ModeSetuid | 0o755, 0o644, Read | Write}, {os.ModeSetgid | 0o711, 0o600, Write | Truncate},
		{0o755, 0o755, Read}, {0o640, 0o640, Write},
	} {
		must(t, os.Chmod(path, c.mode))
		file, err := f.Open(base, "f", c.flags)
		must(t, err)
		must(t, file.Close())
		st, err := os.Stat(path)
		must(t, err)
		if st.Mode() != c.want {
			t.Errorf("mode %v opened with flags %d is left %v, want %v", c.mode, c.flags, st.Mode(), c.want)
		}
	}
}

// TestDepth digs and moves directories around the depth quota.
func TestDepth(t *testing.T) {
	for _, walk := range []bool{false, true} {
		f, base, _ := view(t, tree(t), walk, false, Quota{Depth: 4})
		mkdir := func(p string, want error) {
			t.Helper()
			if err := f.Mkdir(base, p); err != want {
				t.Errorf("mkdir %s: %v, want %v", p, err, want)
			}
		}
		move := func(a, b string, want error) {
			t.Helper()
			if err := f.Rename(base, a, base, b); err != want {
				t.Errorf("rename %s to %s: %v, want %v", a, b, err, want)
			}
		}
		for _, p := range []string{"a", "a/b", "a/b/c", "a/b/c/d", "x", "x/y"} {
			mkdir(p, nil)
		}
		mkdir("a/b/c/d", syscall.EEXIST)
		if hit := f.LimitHit(); hit != "" {
			t.Errorf("limit hit %q before its time", hit)
		}
		mkdir("a/b/c/d/e", syscall.EDQUOT)
		if hit := f.LimitHit(); hit != "depth 4" {
			t.Errorf("limit hit %q", hit)
		}
		move("x", "a/b/c/x", syscall.EDQUOT) // y would be the fifth
		move("x", "a/b/x", nil)
		move("a/b/x", "a/b/c/x", syscall.EDQUOT)
		move("a/b/x/y", "a/b/c/y", nil)
		move("a/b/c", "c", nil)
		mkdir("c/d/e", nil)
		mkdir("c/d/e/f", nil)
		move("a", "c/d/e/f/a", syscall.EDQUOT)
		// A descriptor of a directory that was moved counts from where it is now.
		deep, err := f.Open(base, "c/d", Read|Directory)
		must(t, err)
		move("c/d", "d", nil)
		if err := f.Mkdir(deep, "e/f/g"); err != nil {
			t.Errorf("below a moved directory: %v", err)
		}
		if err := f.Mkdir(deep, "e/f/g/h"); err != syscall.EDQUOT {
			t.Errorf("too deep below a moved directory: %v", err)
		}
	}
}

// TestWalkSteps bounds what links to long paths make a walk do.
func TestWalkSteps(t *testing.T) {
	dir := tree(t, "d/")
	// A chain of links, each of which goes into d and out of it 800 times first.
	long := strings.Repeat("d/../", 800)
	link := func(i int) string { return fmt.Sprintf("link%d", i) }
	must(t, os.Symlink(long+"d", filepath.Join(dir, link(0))))
	for i := 1; i < 12; i++ {
		must(t, os.Symlink(long+link(i-1), filepath.Join(dir, link(i))))
	}
	f, base, _ := view(t, dir, true, false, Quota{})
	if st, err := f.Stat(base, link(1), true); err != nil || st.Type != TypeDirectory {
		t.Errorf("two long links: %v", err)
	}
	if _, err := f.Stat(base, link(11), true); err != syscall.ELOOP {
		t.Errorf("twelve long links: %v, want ELOOP", err)
	}
}

// TestReadOnlyAccessTimes reads a read-only mount and leaves its access times.
func TestReadOnlyAccessTimes(t *testing.T) {
	dir := tree(t, "f", "d/")
	past := []unix.Timespec{{Sec: 1000}, {Sec: 2000}} // read before it was changed: relatime would update
	for _, p := range []string{"f", "d", "."} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, p), past, 0))
	}
	fs, err := New([]Mount{{Guest: "/", Host: dir, Mode: ReadOnly}}, Quota{})
	must(t, err)
	defer fs.Close()
	base := fs.OpenMount(0)
	file, err := fs.Open(base, "f", Read)
	must(t, err)
	if n, err := file.Read(bufs("x")); n != 1 || err != nil {
		t.Fatalf("read: %d, %v", n, err)
	}
	d, err := fs.Open(base, "d", Read|Directory)
	must(t, err)
	must(t, d.ReadDir(0, func(DirEntry) bool { return true }))
	for _, p := range []string{"f", "d"} {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, p), &st))
		if st.Atim.Sec != 1000 {
			t.Errorf("%s was read at %v by its access time", p, st.Atim)
		}
	}
}

// TestOutsideTogether has two FS on one host directory, each with its own quota.
func TestOutsideTogether(t *testing.T) {
	dir := tree(t)
	a, atA, _ := view(t, dir, false, false, Quota{Files: 2, WrittenBytes: 10})
	b, atB, _ := view(t, dir, true, false, Quota{Files: 2, WrittenBytes: 10})
	must(t, a.Mkdir(atA, "one"))
	if err := b.Mkdir(atB, "one"); err != syscall.EEXIST {
		t.Errorf("made already: %v", err)
	}
	must(t, b.Mkdir(atB, "two"))
	must(t, b.Rmdir(atB, "one"))
	if ua, ub := a.Usage().Files, b.Usage().Files; ua != 1 || ub != 0 {
		t.Errorf("files %d and %d, want 1 and 0", ua, ub)
	}
	if _, err := a.Stat(atA, "one", false); err != syscall.ENOENT {
		t.Errorf("removed by the other: %v", err)
	}
}

// TestLookBeforeOpen asks the kernel whether a special file was opened at all
// while a guest was told that it cannot be.
func TestLookBeforeOpen(t *testing.T) {
	for _, v := range views {
		dir := tree(t, "f", "link -> fifo")
		must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
		f, base, prefix := view(t, dir, v.walk, v.nested, Quota{})
		for _, m := range f.mounts {
			m.nodev, m.asked = false, true // the test's directory may be on a nodev file system
		}
		watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		must(t, err)
		defer unix.Close(watch)
		for _, name := range []string{"fifo", "f"} {
			_, err = unix.InotifyAddWatch(watch, filepath.Join(dir, name), unix.IN_OPEN)
			must(t, err)
		}
		opened := func() bool {
			_, err := unix.Read(watch, make([]byte, 4096))
			return err == nil
		}
		for _, path := range []string{"fifo", "link", "./fifo"} {
			for _, flags := range []OpenFlag{Read, Write, 0, Read | Truncate, Write | Create, Read | Directory} {
				if _, err := f.Open(base, prefix+path, flags); err == nil {
					t.Errorf("%s: %s opened with flags %d", v.name, path, flags)
				}
				if opened() {
					t.Errorf("%s: flags %d opened what %s names before refusing it", v.name, flags, path)
				}
			}
		}
		if _, err := f.Open(base, prefix+"f", Read); err != nil || !opened() {
			t.Errorf("%s: opening a file: %v, or the watch does not work", v.name, err)
		}
	}
}

// TestFailedWriteIsFree writes where the host's file system has no room for a
// file; what did not happen costs nothing.
func TestFailedWriteIsFree(t *testing.T) {
	f, base, _ := view(t, tree(t), false, false, Quota{WrittenBytes: math.MaxInt64})
	file, err := f.Open(base, "f", Create|Write)
	must(t, err)
	const far = math.MaxInt64 - 1<<20
	want := int64(0)
	switch _, err := file.WriteAt(bufs("x"), far); err {
	case nil:
		want = far + 1 // a host file system without bounds
	case syscall.EFBIG:
	default:
		t.Errorf("write at %d: %v", int64(far), err)
	}
	if u := f.Usage(); u.WrittenBytes != want {
		t.Errorf("%d bytes charged, want %d", u.WrittenBytes, want)
	}
	must(t, file.Truncate(0))
	if err := file.Truncate(far); err == nil {
		want += far
	}
	if u := f.Usage(); want < math.MaxInt64/2 && u.WrittenBytes != want {
		t.Errorf("%d bytes charged after growing, want %d", u.WrittenBytes, want)
	}
}
