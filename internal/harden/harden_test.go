//go:build linux

package harden

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain runs the tests, or the part of one that is hardened: a process
// cannot be softened again.
func TestMain(m *testing.M) {
	if mode := os.Getenv("HARDEN_TEST_CHILD"); mode != "" {
		if err := child(Mode(mode), os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestHardened starts hardened processes and lets them try.
func TestHardened(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, mode := range []Mode{On, Require, Off} {
		users := []string{"self"}
		if mode == Require {
			users = append(users, "nobody")
		}
		for _, user := range users {
			t.Run(string(mode)+" as "+user, func(t *testing.T) {
				if user == "nobody" && os.Getuid() != 0 {
					user = "self" // only root can become somebody else
				}
				dir, err := os.MkdirTemp("", "harden-test-")
				if err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(dir)
				for _, sub := range []string{"outside", "outside/dir", "data", "data/a", "data/b", "settings"} {
					if err := os.Mkdir(filepath.Join(dir, sub), 0o777); err != nil {
						t.Fatal(err)
					}
				}
				for _, file := range []string{"outside/file", "data/file", "settings/file"} {
					if err := os.WriteFile(filepath.Join(dir, file), []byte("content"), 0o666); err != nil {
						t.Fatal(err)
					}
				}
				must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error { // whatever the umask is
					if err != nil {
						return err
					}
					return os.Chmod(path, 0o777)
				}))
				self, err := os.ReadFile(os.Args[0])
				must(t, err)
				binary := filepath.Join(dir, "test")
				must(t, os.WriteFile(binary, self, 0o755))
				must(t, os.Chmod(binary, 0o755))
				cmd := exec.Command(binary, dir, listener.Addr().String())
				cmd.Env = append(os.Environ(), "HARDEN_TEST_CHILD="+string(mode))
				if user == "nobody" {
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				}
				out, err := cmd.CombinedOutput()
				if mode == Require && landlockSupport() != nil {
					if err == nil || !bytes.Contains(out, []byte(ErrMissing.Error())) {
						t.Fatalf("no Landlock here, and yet: %v\n%s", err, out)
					}
					return
				}
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if got, err := os.ReadFile(filepath.Join(dir, "outside/file")); err != nil || mode != Off && landlockSupport() == nil && string(got) != "content" {
					t.Errorf("the file outside is now %q (%v)", got, err)
				}
			})
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// child hardens this process and tries what it should and should not do.
func child(mode Mode, dir, listener string) error {
	// A thread that is there before, and stays.
	asked, answered := make(chan func() error), make(chan error)
	go func() {
		runtime.LockOSThread()
		for f := range asked {
			answered <- f()
		}
	}()
	first, err := Process(mode)
	if err != nil {
		return err
	}
	second, err := Confine(mode, Paths{
		ReadWrite: []string{filepath.Join(dir, "data"), filepath.Join(dir, "missing")}, ReadOnly: []string{filepath.Join(dir, "settings")},
	})
	if err != nil {
		return err
	}
	all := Join(first, second)
	hard := mode != Off
	confined := hard && landlockSupport() == nil
	var errs []error
	check := func(what string, ok bool, detail any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v", what, detail))
		}
	}
	check("report", (len(all.On) > 0) == hard && strings.Contains(strings.Join(all.On, ","), "landlock") == confined, all)

	at := func(name string) string { return filepath.Join(dir, name) }
	outside := map[string]func() error{
		"read":         func() error { _, err := os.ReadFile(at("outside/file")); return err },
		"list":         func() error { _, err := os.ReadDir(at("outside")); return err },
		"list the top": func() error { _, err := os.ReadDir("/"); return err },
		"passwords":    func() error { _, err := os.ReadFile("/etc/passwd"); return err },
		"create":       func() error { return os.WriteFile(at("outside/new"), nil, 0o600) },
		"mkdir":        func() error { return os.Mkdir(at("outside/newdir"), 0o700) },
		"through a link": func() error {
			_ = os.Symlink(at("outside/file"), at("data/link"))
			_, err := os.ReadFile(at("data/link"))
			return err
		},
		"another process": func() error { _, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", os.Getppid())); return err },
		"execute": func() error {
			if err := exec.Command("/bin/true").Run(); err != nil {
				return fmt.Errorf("%w (%w)", fs.ErrPermission, err)
			}
			return nil
		},
		"change settings": func() error { return os.WriteFile(at("settings/file"), []byte("x"), 0o600) },
		"move out":        func() error { return os.Rename(at("data/file"), at("outside/moved")) },
		"link in":         func() error { return os.Link(at("outside/file"), at("data/linked")) },
		"truncate":        func() error { return os.Truncate(at("outside/file"), 0) },
		"write":           func() error { return os.WriteFile(at("outside/file"), []byte("changed"), 0o600) },
	}
	for what, try := range outside {
		if !confined && (what == "move out" || what == "link in") {
			continue // would change what other tries need
		}
		asked <- try
		old, here := <-answered, try()
		if confined {
			check("outside: "+what, refused(here) && refused(old), fmt.Sprint(here, "; on the old thread: ", old))
		} else {
			check("not confined: "+what, !errors.Is(here, fs.ErrPermission) || os.Getuid() != 0, here)
		}
	}
	for what, try := range map[string]func() error{
		"read":     func() error { _, err := os.ReadFile(at("data/file")); return err },
		"settings": func() error { _, err := os.ReadFile(at("settings/file")); return err },
		"create":   func() error { return os.WriteFile(at("data/a/new"), []byte("x"), 0o666) },
		"truncate": func() error { return os.WriteFile(at("data/a/new2"), []byte("x"), 0o666) },
		"move": func() error {
			return errors.Join(os.WriteFile(at("data/a/m"), nil, 0o600), os.Rename(at("data/a/m"), at("data/b/m")))
		},
		"link": func() error {
			return errors.Join(os.WriteFile(at("data/a/l"), nil, 0o600), os.Link(at("data/a/l"), at("data/b/l")))
		},
		"symlink":   func() error { return os.Symlink("x", at("data/b/s")) },
		"rmdir":     func() error { return errors.Join(os.Mkdir(at("data/gone"), 0o700), os.Remove(at("data/gone"))) },
		"own state": func() error { _, err := os.ReadFile("/proc/self/stat"); return err },
		"own files": func() error { _, err := os.ReadDir("/proc/self/fd"); return err },
		"memory":    func() error { _, err := os.ReadFile("/proc/meminfo"); return err },
		"null":      func() error { return os.WriteFile("/dev/null", []byte("x"), 0o600) },
		"connect": func() error {
			c, err := net.Dial("tcp", listener)
			if err == nil {
				err = c.Close()
			}
			return err
		},
		"listen": func() error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err == nil {
				err = l.Close()
			}
			return err
		},
		"resolve": func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_, err := (&net.Resolver{PreferGo: true}).LookupHost(ctx, "localhost")
			return err
		},
		"certificates": func() error {
			pool, err := x509.SystemCertPool()
			if _, there := os.Stat("/etc/ssl/certs/ca-certificates.crt"); there == nil && err == nil && pool.Equal(x509.NewCertPool()) {
				err = errors.New("the system's certificates are not found")
			}
			return err
		},
	} {
		check("inside: "+what, try() == nil, try())
	}
	if hard {
		check("umask", modeOf(at("data/a/new")) == 0o600, modeOf(at("data/a/new")))
		var core unix.Rlimit
		check("core", unix.Getrlimit(unix.RLIMIT_CORE, &core) == nil && core.Cur == 0 && core.Max == 0, core)
		var files unix.Rlimit
		check("descriptors", unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil && files.Cur == files.Max, files)
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		check("dumpable", err == nil && dumpable == 0, dumpable)
		threads, err := filepath.Glob("/proc/self/task/*/status")
		check("threads", err == nil && len(threads) > 1, threads)
		for _, file := range threads {
			status, err := os.ReadFile(file)
			if err == nil { // a thread may have ended
				check("no_new_privs of "+file, bytes.Contains(status, []byte("NoNewPrivs:\t1")), "not set")
			}
		}
		f, err := os.Create(at("data/chmod"))
		check("create", err == nil, err)
		check("chmod by descriptor", os.Chmod(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), 0o700) == nil, "refused")
	}
	return errors.Join(errs...)
}

// refused: EXDEV is what Landlock gives for a link or a move across its border.
func refused(err error) bool { return errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EXDEV) }

func modeOf(path string) fs.FileMode {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Mode().Perm()
}

// TestRequire: what is required and missing is an error that names it; asked
// for only, it is reported.
func TestRequire(t *testing.T) {
	var r Report
	r.note("one", nil)
	r.note("two", errors.New("no such thing"))
	if err := r.judge(On); err != nil {
		t.Error(err)
	}
	if err := r.judge(Require); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "two (no such thing)") || strings.Contains(err.Error(), "one") {
		t.Errorf("%v", err)
	}
}

func TestParseMode(t *testing.T) {
	for _, m := range []Mode{On, Require, Off} {
		if got, err := ParseMode(string(m)); got != m || err != nil {
			t.Errorf("%q: %q, %v", m, got, err)
		}
	}
	for _, s := range []string{"", "ON", "yes", "best-effort"} {
		if _, err := ParseMode(s); err == nil || !strings.Contains(err.Error(), "require") {
			t.Errorf("%q: %v", s, err)
		}
	}
}
