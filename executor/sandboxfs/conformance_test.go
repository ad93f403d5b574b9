//go:build linux

package sandboxfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// views are the ways to reach one and the same tree: a lone mount, or a mount
// nested in another and reached through that one, each by both resolvers.
var views = []struct {
	name         string
	walk, nested bool
}{
	{"openat2", false, false}, {"walk", true, false},
	{"openat2-nested", false, true}, {"walk-nested", true, true},
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// view mounts dir and returns a directory to start from and the prefix that
// leads to dir.
func view(t testing.TB, dir string, walk, nested bool, q Quota) (f *FS, base *File, prefix string) {
	t.Helper()
	mounts := []Mount{{Guest: "/", Host: dir, Mode: ReadWrite}}
	if nested {
		mounts = []Mount{{Guest: "/", Host: t.TempDir(), Mode: ReadWrite}, {Guest: "/way/to", Host: dir, Mode: ReadWrite}}
		prefix = "way/to/"
	}
	f, err := New(mounts, q)
	must(t, err)
	if walk {
		f.UseWalk()
	}
	t.Cleanup(func() { must(t, f.Close()) })
	return f, f.OpenMount(0), prefix
}

// tree makes files ("name"), directories ("name/") and links ("name -> target").
func tree(t testing.TB, entries ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	must(t, os.Mkdir(dir, 0o755))
	for _, e := range entries {
		if name, target, ok := strings.Cut(e, " -> "); ok {
			must(t, os.Symlink(target, filepath.Join(dir, name)))
		} else if strings.HasSuffix(e, "/") {
			must(t, os.MkdirAll(filepath.Join(dir, e), 0o755))
		} else {
			must(t, os.WriteFile(filepath.Join(dir, e), []byte(e), 0o644))
		}
	}
	return dir
}

// TestLookup has one expectation for every way to reach a tree.
func TestLookup(t *testing.T) {
	dir := tree(t, "d/", "d/e/", "f", "d/g", "to-f -> f", "to-d -> d", "up -> ..", "d/up -> ..", "d/to-f -> ../f",
		"d/out -> ../..", "gone -> none", "loop -> loop", "abs -> /f", "far -> d/e/../../d/up/to-d/g", "slash -> d/")
	must(t, os.WriteFile(filepath.Join(filepath.Dir(dir), "f"), []byte("outside"), 0o644))
	for _, v := range views {
		t.Run(v.name, func(t *testing.T) {
			f, base, prefix := view(t, dir, v.walk, v.nested, Quota{})
			for _, c := range []struct {
				path   string
				follow bool
				want   string // what is reached, or "" with err
				err    error
			}{
				{"f", false, "f", nil},
				{"./f", false, "f", nil},
				{"d//g", false, "d/g", nil},
				{"d/../f", false, "f", nil},
				{"d/e/../../f", false, "f", nil},
				{"d/", false, "d", nil},
				{"d/.", false, "d", nil},
				{"d/e/..", false, "d", nil},
				{"to-f", false, "to-f", nil},
				{"to-f", true, "f", nil},
				{"to-d", true, "d", nil},
				{"to-d/g", false, "d/g", nil},
				{"to-d/", false, "d", nil},
				{"to-d/../f", false, "f", nil},
				{"d/up/f", false, "f", nil},
				{"d/to-f", true, "f", nil},
				{"far", true, "d/g", nil},
				{"slash", true, "d", nil},
				{"slash/g", true, "d/g", nil},
				{"none", false, "", syscall.ENOENT},
				{"none/x", false, "", syscall.ENOENT},
				{"f/x", false, "", syscall.ENOTDIR},
				{"f/..", false, "", syscall.ENOTDIR},
				{"f/", false, "", syscall.ENOTDIR},
				{"f/.", false, "", syscall.ENOTDIR},
				{"to-f/", false, "", syscall.ENOTDIR},
				{"gone", true, "", syscall.ENOENT},
				{"gone", false, "gone", nil},
				{"loop", true, "", syscall.ELOOP},
				{"loop/x", false, "", syscall.ELOOP},
				{"abs", true, "", syscall.EPERM},
				{"abs/x", true, "", syscall.EPERM},
			} {
				st, err := f.Stat(base, prefix+c.path, c.follow)
				if err != c.err {
					t.Errorf("%s (follow %v): %v, want %v", c.path, c.follow, err, c.err)
					continue
				}
				if err != nil {
					continue
				}
				var want unix.Stat_t
				must(t, unix.Lstat(filepath.Join(dir, c.want), &want))
				if st.Ino != want.Ino {
					t.Errorf("%s (follow %v) reached another file than %s", c.path, c.follow, c.want)
				}
			}
			if v.nested {
				return // what leaves the nested mount is in the mount above it
			}
			for _, p := range []string{"..", "../f", "up", "up/f", "d/../../f", "d/up/..", "d/up/../f", "d/out", "d/out/f", "to-d/out/f"} {
				if _, err := f.Stat(base, p, true); err != syscall.EPERM {
					t.Errorf("%s: %v, want EPERM", p, err)
				}
				if _, err := f.Open(base, p, Read); err != syscall.EPERM {
					t.Errorf("open %s: %v, want EPERM", p, err)
				}
			}
		})
	}
}

// TestLeaveNested climbs out of a nested mount into the one around it, which is
// allowed from the root, and no further.
func TestLeaveNested(t *testing.T) {
	for _, walk := range []bool{false, true} {
		dir := tree(t, "in", "home -> ../../top", "out -> ../../../top")
		f, base, _ := view(t, dir, walk, true, Quota{})
		top, err := f.Open(base, "top", Create|Write)
		must(t, err)
		want, err := top.Stat()
		must(t, err)
		for _, p := range []string{"way/to/../../top", "way/to/home", "way/../way/to/home"} {
			if st, err := f.Stat(base, p, true); err != nil || st.Ino != want.Ino {
				t.Errorf("walk %v: %s: %v; want the file above the mount", walk, p, err)
			}
		}
		for _, p := range []string{"way/to/out", "way/to/../../../x"} {
			if _, err := f.Stat(base, p, true); err != syscall.EPERM {
				t.Errorf("walk %v: %s: %v, want EPERM", walk, p, err)
			}
		}
		// Opened through the way to it, a directory still knows what is mounted below.
		way, err := f.Open(base, "way", Read|Directory)
		must(t, err)
		if _, err := f.Stat(way, "to/in", false); err != nil {
			t.Errorf("walk %v: to/in below way: %v", walk, err)
		}
		if _, err := f.Stat(way, "to/home", true); err != syscall.EPERM {
			t.Errorf("walk %v: to/home leaves way: %v, want EPERM", walk, err)
		}
		var names []string
		must(t, way.ReadDir(0, func(e DirEntry) bool { names = append(names, e.Name); return true }))
		if got := strings.Join(names, " "); got != ". .. to" {
			t.Errorf("walk %v: listing of way is %q", walk, got)
		}
	}
}

// TestChanges makes, moves and removes names, with one expectation for every view.
func TestChanges(t *testing.T) {
	for _, v := range views {
		t.Run(v.name, func(t *testing.T) {
			dir := tree(t, "f", "d/", "d/g", "full/", "full/x", "link -> f", "gone -> d/made", "ld -> d")
			f, base, prefix := view(t, dir, v.walk, v.nested, Quota{})
			p := func(s string) string { return prefix + s }
			open := func(path string, flags OpenFlag) error {
				file, err := f.Open(base, p(path), flags)
				if err == nil {
					err = file.Close()
				}
				return err
			}
			for _, c := range []struct {
				what string
				err  error
				want error
			}{
				{"mkdir", f.Mkdir(base, p("m")), nil},
				{"mkdir again", f.Mkdir(base, p("m")), syscall.EEXIST},
				{"mkdir slash", f.Mkdir(base, p("n/")), nil},
				{"mkdir dot", f.Mkdir(base, p("n/.")), syscall.EEXIST},
				{"mkdir below file", f.Mkdir(base, p("f/x")), syscall.ENOTDIR},
				{"mkdir on link", f.Mkdir(base, p("gone")), syscall.EEXIST},
				{"mkdir through link", f.Mkdir(base, p("ld/sub")), nil},
				{"create", open("new", Create|Write), nil},
				{"create again", open("new", Create|Write), nil},
				{"create exclusive", open("new", Create|Exclusive|Write), syscall.EEXIST},
				{"create exclusive on link", open("gone", Create|Exclusive|Write), syscall.EEXIST},
				{"create through dangling link", open("gone", Create|Write), nil},
				{"create without following", open("link", Create|Write|NoFollow), syscall.ELOOP},
				{"create slash", open("newdir/", Create|Write), syscall.EISDIR},
				{"create directory", open("d", Create|Read), syscall.EISDIR},
				{"create below none", open("none/x", Create|Write), syscall.ENOENT},
				{"open directory to write", open("d", Write), syscall.EISDIR},
				{"open directory to read", open("d", Read), nil},
				{"open file as directory", open("f", Read|Directory), syscall.ENOTDIR},
				{"open link as directory", open("ld", Read|Directory), nil},
				{"open link as directory unfollowed", open("ld", Read|Directory|NoFollow), syscall.ENOTDIR},
				{"open link unfollowed", open("link", Read|NoFollow), syscall.ELOOP},
				{"truncate", open("new", Write|Truncate), nil},
				{"link", f.Link(base, p("f"), base, p("hard")), nil},
				{"link again", f.Link(base, p("f"), base, p("hard")), syscall.EEXIST},
				{"link directory", f.Link(base, p("d"), base, p("x")), syscall.EPERM},
				{"link none", f.Link(base, p("none"), base, p("x")), syscall.ENOENT},
				{"symlink", f.Symlink("a/b", base, p("s")), nil},
				{"symlink again", f.Symlink("a/b", base, p("s")), syscall.EEXIST},
				{"symlink empty", f.Symlink("", base, p("s2")), syscall.ENOENT},
				{"symlink absolute", f.Symlink("/a", base, p("s2")), syscall.EPERM},
				{"rename file", f.Rename(base, p("hard"), base, p("d/hard")), nil},
				{"rename over", f.Rename(base, p("new"), base, p("d/hard")), nil},
				{"rename directory", f.Rename(base, p("m"), base, p("d/m")), nil},
				{"rename below itself", f.Rename(base, p("d"), base, p("d/m/x")), syscall.EINVAL},
				{"rename over full", f.Rename(base, p("n"), base, p("full")), syscall.ENOTEMPTY},
				{"rename file over directory", f.Rename(base, p("f"), base, p("n")), syscall.EISDIR},
				{"rename directory over file", f.Rename(base, p("n"), base, p("f")), syscall.ENOTDIR},
				{"rename link itself", f.Rename(base, p("link"), base, p("link2")), nil},
				{"rename dot", f.Rename(base, p("d/."), base, p("x")), syscall.EBUSY},
				{"unlink directory", f.Unlink(base, p("d")), syscall.EISDIR},
				{"unlink slash", f.Unlink(base, p("f/")), syscall.ENOTDIR},
				{"unlink none", f.Unlink(base, p("none")), syscall.ENOENT},
				{"unlink link", f.Unlink(base, p("link2")), nil},
				{"rmdir file", f.Rmdir(base, p("f")), syscall.ENOTDIR},
				{"rmdir link", f.Rmdir(base, p("ld")), syscall.ENOTDIR},
				{"rmdir link slash", f.Rmdir(base, p("ld/")), syscall.ENOTDIR},
				{"rmdir full", f.Rmdir(base, p("full")), syscall.ENOTEMPTY},
				{"rmdir dot", f.Rmdir(base, p("n/.")), syscall.EBUSY},
				{"rmdir slash", f.Rmdir(base, p("n/")), nil},
			} {
				if c.err != c.want {
					t.Errorf("%s: %v, want %v", c.what, c.err, c.want)
				}
			}
			if target, err := f.Readlink(base, p("s")); err != nil || target != "a/b" {
				t.Errorf("readlink: %q, %v", target, err)
			}
			if _, err := f.Readlink(base, p("f")); err != syscall.EINVAL {
				t.Errorf("readlink of a file: %v", err)
			}
			want := "d/ d/g d/hard d/m/ d/made d/sub/ f full/ full/x gone ld s"
			if got := list(t, dir); got != want {
				t.Errorf("left\n%s, want\n%s", got, want)
			}
			// m, n, sub, new, made, hard, s; less n, link2 and what the rename replaced.
			if u := f.Usage(); u.Files != 4 || u.OpenFiles != 0 {
				t.Errorf("usage %+v, want 4 files more and none open", u)
			}
		})
	}
}

func list(t testing.TB, dir string) string {
	t.Helper()
	var names []string
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); rel != "." {
			if d.IsDir() {
				rel += "/"
			}
			names = append(names, rel)
		}
		return err
	}))
	return strings.Join(names, " ")
}

func bufs(s ...string) (b [][]byte) {
	for _, x := range s {
		b = append(b, []byte(x))
	}
	return b
}

// TestFile reads, writes, seeks and resizes.
func TestFile(t *testing.T) {
	dir := tree(t, "f")
	f, base, _ := view(t, dir, false, false, Quota{WrittenBytes: 100})
	file, err := f.Open(base, "f", Read|Write|Truncate)
	must(t, err)
	n, err := file.Write(bufs("hello ", "", "world"))
	if n != 11 || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
	if n, err := file.WriteAt(bufs("HE"), 0); n != 2 || err != nil {
		t.Fatalf("write at: %d, %v", n, err)
	}
	if pos, err := file.Seek(-5, io.SeekCurrent); pos != 6 || err != nil {
		t.Fatalf("seek: %d, %v", pos, err)
	}
	a, b := make([]byte, 3), make([]byte, 10)
	if n, err := file.Read([][]byte{a, b}); n != 5 || err != nil || string(a)+string(b[:2]) != "world" {
		t.Fatalf("read: %d, %v, %q %q", n, err, a, b)
	}
	if n, err := file.Read([][]byte{a}); n != 0 || err != nil {
		t.Fatalf("read at the end: %d, %v", n, err)
	}
	if n, err := file.ReadAt([][]byte{a}, 0); n != 3 || err != nil || string(a) != "HEl" {
		t.Fatalf("read at: %d, %v, %q", n, err, a)
	}
	if u := f.Usage(); u.WrittenBytes != 13 || u.ReadBytes != 8 {
		t.Errorf("usage %+v", u)
	}
	// 87 bytes are left. A second descriptor sees the size the first one made.
	other, err := f.Open(base, "f", Write)
	must(t, err)
	must(t, file.Truncate(51)) // 40 more
	if _, err := other.WriteAt(bufs("x"), 51); err != nil {
		t.Errorf("write at the end as the other descriptor left it: %v", err)
	}
	if u := f.Usage(); u.WrittenBytes != 13+40+1 {
		t.Errorf("usage %+v, want 54 written", u)
	}
	if _, err := other.WriteAt(bufs("x"), 1000); err != syscall.ENOSPC {
		t.Errorf("hole over the quota: %v", err)
	}
	if err := file.Allocate(0, 98); err != nil { // 46 more, to 100
		t.Errorf("allocate to the quota: %v", err)
	}
	if _, err := other.WriteAt(bufs("x"), 0); err != syscall.ENOSPC {
		t.Errorf("write over the quota: %v", err)
	}
	if got := f.LimitHit(); got != "written_bytes 100" {
		t.Errorf("limit hit %q", got)
	}
	must(t, file.Close())
	if err := file.Close(); err != syscall.EBADF {
		t.Errorf("close again: %v", err)
	}
	for what, err := range map[string]error{
		"read": func() error { _, err := file.Read(bufs("x")); return err }(), "truncate": file.Truncate(0), "sync": file.Sync(),
		"stat": func() error { _, err := file.Stat(); return err }(), "set times": file.SetTimes(Time{}, Time{}),
		"read other": func() error { _, err := other.Read(bufs("x")); return err }(),
		"open":       func() error { _, err := f.Open(file, "x", Read); return err }(),
	} {
		if err != syscall.EBADF && !(what == "open" && err == syscall.ENOTDIR) {
			t.Errorf("%s: %v, want EBADF", what, err)
		}
	}
}

// TestDirStream reads a directory in windows, forwards and back.
func TestDirStream(t *testing.T) {
	dir := t.TempDir()
	const files = 2000 // several windows
	for i := range files {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-with-a-name-%04d", i)), nil, 0o600))
	}
	must(t, os.WriteFile(filepath.Join(dir, "not\xffutf8"), nil, 0o600))
	f, base, _ := view(t, dir, false, false, Quota{})
	all := map[uint64]string{}
	cookie := uint64(0)
	for range 10 * files {
		n := 0
		must(t, base.ReadDir(cookie, func(e DirEntry) bool {
			all[cookie] = e.Name
			cookie = e.Next
			n++
			return n < 7
		}))
		if n == 0 {
			break
		}
	}
	seen := map[string]bool{}
	for _, name := range all {
		seen[name] = true
	}
	if len(all) != files+2 || len(seen) != files+2 {
		t.Fatalf("%d entries, %d names; want %d", len(all), len(seen), files+2)
	}
	for _, back := range []uint64{0, 1, 2, 3, 500, files + 1, 1999, 1, 1000} {
		must(t, base.ReadDir(back, func(e DirEntry) bool {
			if e.Name != all[back] {
				t.Errorf("cookie %d gives %q, gave %q", back, e.Name, all[back])
			}
			return false
		}))
	}
	if err := base.ReadDir(files+3, func(DirEntry) bool { return true }); err != syscall.EINVAL {
		t.Errorf("a cookie that was never handed out: %v", err)
	}
	must(t, f.Close())
	if err := base.ReadDir(0, func(DirEntry) bool { return true }); err != syscall.EBADF {
		t.Errorf("after close: %v", err)
	}
}

// TestNewErrors says which mount is wrong, and why.
func TestNewErrors(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	file := filepath.Join(other, "data")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	for _, c := range []struct {
		name   string
		mounts []Mount
		quota  Quota
		want   string
	}{
		{"relative guest", []Mount{{Guest: "data", Host: dir, Mode: ReadOnly}}, Quota{}, `give it as "/data"`},
		{"unclean guest", []Mount{{Guest: "/", Host: dir, Mode: ReadOnly}, {Guest: "/a/../b", Host: dir, Mode: ReadOnly}}, Quota{}, `mount 1 (ro at "/a/../b")`},
		{"trailing slash", []Mount{{Guest: "/a/", Host: dir, Mode: ReadOnly}}, Quota{}, `"/a"`},
		{"empty guest", []Mount{{Guest: "", Host: dir, Mode: ReadOnly}}, Quota{}, "not absolute"},
		{"bad encoding", []Mount{{Guest: "/\xff", Host: dir, Mode: ReadOnly}}, Quota{}, "UTF-8"},
		{"control", []Mount{{Guest: "/a\nb", Host: dir, Mode: ReadOnly}}, Quota{}, "control"},
		{"no host", []Mount{{Guest: "/a", Host: "", Mode: ReadOnly}}, Quota{}, "host directory"},
		{"missing host", []Mount{{Guest: "/a", Host: filepath.Join(dir, "none"), Mode: ReadOnly}}, Quota{}, "no such file"},
		{"file as host", []Mount{{Guest: "/a", Host: file, Mode: ReadOnly}}, Quota{}, "not a directory"},
		{"bad mode", []Mount{{Guest: "/a", Host: dir, Mode: 7}}, Quota{}, "mode(7)"},
		{"twice", []Mount{{Guest: "/a", Host: dir, Mode: ReadOnly}, {Guest: "/a", Host: dir, Mode: ReadOnly}}, Quota{}, "same guest path"},
		{"file in the way", []Mount{{Guest: "/", Host: other, Mode: ReadWrite}, {Guest: "/data", Host: dir, Mode: ReadWrite}}, Quota{}, "no directory"},
		{"read-only overlaps", []Mount{{Guest: "/", Host: dir, Mode: ReadWrite}, {Guest: "/sub", Host: filepath.Join(dir, "sub"), Mode: ReadOnly}}, Quota{}, "overlap"},
		{"read-only is the same", []Mount{{Guest: "/a", Host: dir, Mode: ReadOnly}, {Guest: "/b", Host: filepath.Join(dir, "sub", ".."), Mode: ReadWrite}}, Quota{}, "overlap"},
		{"negative quota", nil, Quota{Files: -1}, "Files is -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := openFDs(t)
			f, err := New(c.mounts, c.quota)
			if err == nil {
				f.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
			if after := openFDs(t); after != before {
				t.Errorf("%d descriptors open, %d before", after, before)
			}
		})
	}
}

func openFDs(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(names)
}

// TestCloseReleases opens all kinds of things and closes only the FS.
func TestCloseReleases(t *testing.T) {
	before := openFDs(t)
	dir := tree(t, "d/", "f")
	f, err := New([]Mount{{Guest: "/", Host: dir, Mode: ReadWrite}, {Guest: "/data", Host: t.TempDir(), Mode: ReadOnly}}, Quota{})
	must(t, err)
	base := f.OpenMount(0)
	must(t, base.ReadDir(0, func(DirEntry) bool { return true }))
	for _, p := range []string{"d", "f", "data", "."} {
		_, err := f.Open(base, p, Read)
		must(t, err)
	}
	must(t, f.Close())
	must(t, f.Close())
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
	if _, err := f.Stat(base, "f", false); err != syscall.EBADF {
		t.Errorf("stat after close: %v", err)
	}
}

// TestHostMountsBelow keeps to the file system of the mount: the host's /proc is
// not entered from a mount of its root.
func TestHostMountsBelow(t *testing.T) {
	for _, walk := range []bool{false, true} {
		f, err := New([]Mount{{Guest: "/", Host: "/", Mode: ReadOnly}}, Quota{})
		must(t, err)
		if walk {
			f.UseWalk()
		}
		base := f.OpenMount(0)
		for _, p := range []string{"proc/version", "proc/self/root/etc", "proc/self/cwd", "etc/../proc/version"} {
			if _, err := f.Open(base, p, Read); !errors.Is(err, syscall.EPERM) {
				t.Errorf("walk %v: open %s: %v, want EPERM", walk, p, err)
			}
		}
		must(t, f.Close())
	}
}
