//go:build linux

package sandboxfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// names are what fuzzed trees and paths are made of: few, so that they meet.
var names = []string{"a", "b", "c", "..", ".", "", "a/b", "../..", "a/", "b/..", "../a", "c/../b", "/a", "../../outside", "a/./b", "..a"}

// pathOf makes a path of the names that bytes choose.
func pathOf(choice []byte) string {
	parts := make([]string, len(choice))
	for i, c := range choice {
		parts[i] = names[int(c)%len(names)]
	}
	return strings.Join(parts, "/")
}

// grow makes a tree as bytes choose: three bytes an entry.
func grow(t testing.TB, dir string, plan []byte) {
	t.Helper()
	dirs := []string{dir}
	for len(plan) >= 3 {
		in, name := dirs[int(plan[0]/4)%len(dirs)], names[int(plan[1])%3]
		path := filepath.Join(in, name)
		switch plan[0] % 4 {
		case 0, 1:
			if os.Mkdir(path, 0o700) == nil {
				dirs = append(dirs, path)
			}
		case 2:
			_ = os.WriteFile(path, []byte(path), 0o600)
		case 3:
			if target := pathOf([]byte{plan[1] / 3, plan[2]}); target != "" {
				_ = os.Symlink(target, path)
			}
		}
		plan = plan[3:]
	}
}

var treeSeeds = []string{
	"\x00\x00\x00\x04\x01\x00\x0a\x02\x00\x03\x01\x03\x07\x02\x07",
	"\x00\x00\x00\x04\x00\x00\x08\x00\x00\x07\x01\x33\x0b\x02\x31\x03\x2a\x0a",
	"\x03\x00\x00\x03\x01\x01\x03\x02\x02",
	"\x00\x00\x00\x00\x01\x00\x03\x29\x0a\x07\x29\x0a\x06\x2a\x05\x0b\x27\x0d",
}

// FuzzResolve compares, for one path in one tree, what the kernel's lookup, our
// walk and the standard library's os.Root reach. All see the same files or none,
// and the first two say no for the same reason.
func FuzzResolve(f *testing.F) {
	for _, s := range treeSeeds {
		f.Add([]byte(s), []byte{0, 1}, true)
		f.Add([]byte(s), []byte{0, 3, 1, 3, 1}, true)
		f.Add([]byte(s), []byte{2, 7, 13}, false)
		f.Add([]byte(s), []byte{0, 8}, false)
	}
	f.Fuzz(func(t *testing.T, plan, choice []byte, follow bool) {
		if len(plan) > 90 || len(choice) > 12 {
			return
		}
		base := t.TempDir()
		dir := filepath.Join(base, "root")
		must(t, os.Mkdir(dir, 0o700))
		must(t, os.Mkdir(filepath.Join(base, "outside"), 0o700))
		grow(t, dir, plan)
		path := pathOf(choice)
		look := func(walk bool) (Stat, error) {
			fs, err := New([]Mount{{Guest: "/", Host: dir, Mode: ReadOnly}}, Quota{})
			must(t, err)
			defer fs.Close()
			if walk {
				fs.UseWalk()
			}
			return fs.Stat(fs.OpenMount(0), path, follow)
		}
		kernel, kernelErr := look(false)
		walk, walkErr := look(true)
		if kernelErr != walkErr || kernel.Ino != walk.Ino || kernel.Type != walk.Type {
			t.Fatalf("%q (follow %v): openat2 %v %+v, walk %v %+v", path, follow, kernelErr, kernel, walkErr, walk)
		}
		if kernelErr == nil {
			inside := false
			must(t, filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
				var st unix.Stat_t
				must(t, unix.Lstat(p, &st))
				inside = inside || st.Ino == kernel.Ino
				return err
			}))
			if !inside {
				t.Fatalf("%q (follow %v) reached inode %d, which is not in the tree", path, follow, kernel.Ino)
			}
		}
		if path == "" || strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") {
			return // refused before a lookup, or a matter of taste
		}
		root, err := os.OpenRoot(dir)
		must(t, err)
		defer root.Close()
		stat := root.Lstat
		if follow {
			stat = root.Stat
		}
		info, rootErr := stat(path)
		if (rootErr == nil) != (kernelErr == nil) {
			// os.Root counts links as we do, but gives up at other numbers.
			if kernelErr != syscall.ELOOP {
				t.Fatalf("%q (follow %v): openat2 %v, os.Root %v", path, follow, kernelErr, rootErr)
			}
		} else if rootErr == nil && info.Sys().(*syscall.Stat_t).Ino != kernel.Ino {
			t.Fatalf("%q (follow %v): openat2 and os.Root reach different files", path, follow)
		}
	})
}

// FuzzOperations does the same random changes by both resolvers, and through a
// nested mount, to trees that are alike. They answer alike and leave the same,
// and what lies outside is as it was.
func FuzzOperations(f *testing.F) {
	for _, s := range treeSeeds {
		f.Add([]byte(s), []byte("\x00\x01\x02\x01\x02\x03\x02\x00\x01\x03\x01\x00\x04\x00\x09\x05\x01\x01\x06\x02\x0d\x07\x0a\x01"))
		f.Add([]byte(s), []byte("\x06\x3d\x01\x04\x00\x05\x05\x01\x02\x02\x3d\x02\x00\x31\x0a\x03\x01\x2e\x08\x01\x01"))
	}
	f.Fuzz(func(t *testing.T, plan, script []byte) {
		if len(plan) > 60 || len(script) > 90 {
			return
		}
		type result struct{ answers, left string }
		run := func(walk, nested bool) result {
			base := t.TempDir()
			dir, outside := filepath.Join(base, "root"), filepath.Join(base, "outside")
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Mkdir(outside, 0o700))
			must(t, os.WriteFile(filepath.Join(outside, "canary"), []byte("canary"), 0o600))
			grow(t, dir, plan)
			fs, at, prefix := view(t, dir, walk, nested, Quota{Files: 50, WrittenBytes: 4096, Depth: 8})
			if nested {
				// Start inside, so that paths mean the same as in a lone mount.
				var err error
				at, err = fs.Open(at, prefix, Read|Directory)
				must(t, err)
			}
			var r result
			for s := script; len(s) >= 3; s = s[3:] {
				r.answers += fmt.Sprintln(operate(fs, at, s[0], pathOf([]byte{s[1] % 16, s[1] / 16}), pathOf([]byte{s[2]})))
			}
			r.left = list(t, dir)
			if got := list(t, outside); got != "canary" {
				t.Fatalf("outside holds %q", got)
			}
			if b, err := os.ReadFile(filepath.Join(outside, "canary")); err != nil || string(b) != "canary" {
				t.Fatalf("the canary reads %q, %v", b, err)
			}
			return r
		}
		want := run(false, false)
		for _, v := range views[1:] {
			if got := run(v.walk, v.nested); got != want {
				t.Fatalf("%s differs from openat2:\n%s\n%s\nwant\n%s\n%s", v.name, got.answers, got.left, want.answers, want.left)
			}
		}
	})
}

// operate does one operation and returns what it answers.
func operate(f *FS, base *File, what byte, a, b string) error {
	switch what % 11 {
	case 0:
		return f.Mkdir(base, a)
	case 1:
		return f.Rmdir(base, a)
	case 2:
		return f.Unlink(base, a)
	case 3:
		return f.Rename(base, a, base, b)
	case 4:
		return f.Link(base, a, base, b)
	case 5:
		return f.Symlink(b, base, a)
	case 6:
		return f.SetTimes(base, a, what&16 != 0, Time{true, 1}, Time{true, 1})
	case 7:
		_, err := f.Readlink(base, a)
		return err
	}
	flags := [...]OpenFlag{Read, Write | Create, Read | Write | Create | Exclusive, Read | Truncate, Read | Directory, Write | Create | NoFollow, Read | NoFollow, Write | Truncate}
	file, err := f.Open(base, a, flags[what/11%8])
	if err != nil {
		return err
	}
	defer file.Close()
	if file.Type() == TypeRegular && file.Flags()&Write != 0 {
		_, err = file.Write([][]byte{[]byte("x")})
	}
	return err
}

// FuzzPath compares the hand-made parsing of paths with a plain one.
func FuzzPath(f *testing.F) {
	for _, s := range append(names, "a//b", "///", "a/..", "....", "x\x00y", "\xff", "..a/a..", "../", strings.Repeat("n", 256), strings.Repeat("a/", 2048)) {
		f.Add(s)
	}
	fs := &FS{quota: Quota{NameLen: 255}}
	f.Fuzz(func(t *testing.T, path string) {
		var parts []string
		dotdot, long := false, false
		for _, p := range strings.Split(path, "/") {
			if p != "" {
				parts = append(parts, p)
			}
			dotdot = dotdot || p == ".."
			long = long || len(p) > 255
		}
		if got := hasDotDot(path); got != dotdot {
			t.Errorf("hasDotDot(%q) = %v", path, got)
		}
		var walked []string
		for left := path; ; {
			name, rest, last, _ := next(left)
			if name != "" {
				walked = append(walked, name)
			}
			if left = rest; last {
				break
			}
		}
		if fmt.Sprint(walked) != fmt.Sprint(parts) {
			t.Errorf("next takes %q apart as %q, want %q", path, walked, parts)
		}
		dir, name, slash := splitLast(path)
		if len(parts) > 0 && (name != parts[len(parts)-1] || slash != strings.HasSuffix(path, "/") || !strings.HasPrefix(path, dir+name)) {
			t.Errorf("splitLast(%q) = %q, %q, %v", path, dir, name, slash)
		}
		bad := path == "" || len(path) > maxPath || path[0] == '/' || long || strings.ContainsRune(path, 0) || strings.ToValidUTF8(path, "") != path
		if err := fs.checkPath(path); (err != nil) != bad {
			t.Errorf("checkPath(%q) = %v, want an error: %v", path, err, bad)
		}
	})
}
