package artifacts_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"boxfleet/artifacts"
	"boxfleet/internal/faultproxy"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// children are what the test binary does in processes of its own.
var children = map[string]func(args []string) error{
	"hostile guest": hostileGuest,
	"full disk":     fullDisk,
	"fetch":         fetchForever,
}

func openWorkspaces(t *testing.T, dir string) *artifacts.Workspaces {
	t.Helper()
	w, err := artifacts.OpenWorkspaces(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestWorkspaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := openWorkspaces(t, dir)
	_, err := artifacts.OpenWorkspaces(dir)
	wantError(t, err, artifacts.ErrLocked, artifacts.Transient, dir)

	// Names are the tenants'; the same attempt may be started twice.
	var g errgroup.Group
	for _, job := range []string{"job", "job", "../../escape", "", "a/b", "\x00", repeat("long", 100), "."} {
		g.Go(func() error {
			ws, err := w.New(job, 1)
			if err != nil {
				return fmt.Errorf("%q: %w", job, err)
			}
			st, err := os.Lstat(ws.Dir)
			if err != nil || filepath.Dir(ws.Dir) != w.Dir() || st.Mode() != fs.ModeDir|0o700 {
				return fmt.Errorf("%q: %s %v, %w", job, ws.Dir, st.Mode(), err)
			}
			sub, err := ws.Sub("../away/dir")
			if err != nil || filepath.Dir(sub) != ws.Dir {
				return fmt.Errorf("%q: sub %s, %w", job, sub, err)
			}
			return errors.Join(os.WriteFile(filepath.Join(sub, "f"), nil, 0o600), ws.Remove(), ws.Remove())
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(w.Dir()); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestWorkspaceSweep leaves, as another user than root, what a guest of a killed
// worker might, and opens the directory again.
func TestWorkspaceSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	write(t, precious, map[string]string{"keep": "me", "sub/keep": "me too"})
	// The child must be able to reach the directory as another user.
	for p := dir; p != filepath.Dir(os.TempDir()) && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o777); err != nil {
			break // not ours: then it is open already
		}
	}
	if out, err := child("hostile guest", filepath.Join(dir, "ws"), precious).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if b, err := os.ReadFile(filepath.Join(precious, "sub/keep")); err != nil || string(b) != "me too" {
		t.Fatalf("what a link pointed to: %q, %v", b, err)
	}
	if st, err := os.Stat(filepath.Join(precious, "sub")); err != nil || st.Mode().Perm() != 0o755 {
		t.Fatalf("mode of what a link pointed to: %v, %v", st.Mode(), err)
	}
}

// hostileGuest fills a workspace with what is hard to delete and has it swept.
func hostileGuest(args []string) error {
	if os.Geteuid() == 0 { // root may delete anything, which would prove nothing
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return err
		}
	}
	root, precious := args[0], args[1]
	w, err := artifacts.OpenWorkspaces(root)
	if err != nil {
		return err
	}
	ws, err := w.New("job", 1)
	if err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(ws.Dir, name) }
	err = errors.Join(
		os.MkdirAll(in("locked/inner/deeper"), 0o700),
		os.WriteFile(in("locked/inner/f"), nil, 0),
		os.Chmod(in("locked/inner/deeper"), 0),
		os.Chmod(in("locked/inner"), 0o100),
		os.Chmod(in("locked"), 0),
		os.MkdirAll(in("unwritable/inner"), 0o700),
		os.WriteFile(in("unwritable/f"), nil, 0o400),
		os.Chmod(in("unwritable"), 0o500),
		os.Symlink(precious, in("link")),
		os.Symlink(filepath.Join(precious, "sub"), in("unwritable-link")),
		os.Symlink("..", in("up")),
		os.Symlink("loop", in("loop")),
		unix.Mkfifo(in("pipe"), 0),
		os.Symlink(precious, filepath.Join(w.Dir(), "planted")),
	)
	if err != nil {
		return err
	}
	// Deeper than a path may be long, and than there are descriptors.
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 64}); err != nil {
		return err
	}
	if err := bottomless(in("deep"), 1500); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	again, err := artifacts.OpenWorkspaces(root)
	if err != nil {
		return err
	}
	left, err := os.ReadDir(again.Dir())
	if err == nil && (len(left) != 0 || again.Swept() != 2) {
		err = fmt.Errorf("swept %d, left %v", again.Swept(), left)
	}
	return errors.Join(err, again.Close())
}

// bottomless makes a chain of directories, the innermost without permissions.
func bottomless(dir string, depth int) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	name := repeat("d", 100)
	for range depth {
		if err := unix.Mkdirat(fd, name, 0o700); err != nil {
			return err
		}
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err := errors.Join(err, unix.Close(fd)); err != nil {
			return err
		}
		fd = next
	}
	return errors.Join(unix.Mkdirat(fd, "last", 0), unix.Close(fd))
}

func TestFreeSpace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	free, total, err := artifacts.FreeSpace(dir)
	if err != nil || free <= 0 || total < free {
		t.Fatalf("%d of %d free, %v", free, total, err)
	}
	if err := artifacts.CheckSpace(dir, 1); err != nil {
		t.Error(err)
	}
	wantError(t, artifacts.CheckSpace(dir, total+1), artifacts.ErrNoSpace, artifacts.Transient, dir)
	if err := artifacts.CheckSpace(filepath.Join(dir, "none"), 1); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
}

// TestFullDisk runs a worker's disk full: a bound on the size of files, and a
// small tmpfs of its own where the kernel lets us mount one.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := server.Store(t)
	body := repeat("0123456789abcdef", 1<<18) // 4 MiB
	d := putBlob(t, s, body)
	put(t, s, "in/f", body)
	small := t.TempDir()
	write(t, small, map[string]string{"f": body})
	tree, _, err := s.PutTree(t.Context(), small, artifacts.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{server.Addr, server.AccessKey, server.SecretKey, s.Bucket(), string(d), string(tree)}
	run := func(mode string, attr *syscall.SysProcAttr) ([]byte, error) {
		cmd := child("full disk", append([]string{mode, t.TempDir()}, args...)...)
		cmd.SysProcAttr = attr
		return cmd.CombinedOutput()
	}
	out, err := run("mount", &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	})
	var exit *exec.ExitError
	switch {
	case err == nil:
	case !errors.As(err, &exit) || bytes.Contains(out, []byte("cannot mount")):
		t.Logf("no mounts here (%v %s): only bounding the size of files", err, out)
	default:
		t.Errorf("small file system: %v\n%s", err, out)
	}
	if out, err := run("rlimit", nil); err != nil {
		t.Errorf("small files: %v\n%s", err, out)
	}
}

func fullDisk(args []string) error {
	mode, dir := args[0], args[1]
	switch mode {
	case "mount":
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
			return fmt.Errorf("cannot mount: %w", err)
		}
	case "rlimit":
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 2 << 20, Max: 2 << 20}); err != nil {
			return err
		}
	}
	s, err := artifacts.Open(artifacts.Config{Endpoint: args[2], AccessKey: args[3], SecretKey: artifacts.Secret(args[4]), Bucket: args[5]})
	if err != nil {
		return err
	}
	defer s.Close()
	digest, tree := artifacts.Digest(args[6]), artifacts.Digest(args[7])
	ctx, cancel := cleanContext()
	defer cancel()
	check := func(what string, err error) error {
		if !errors.Is(err, artifacts.ErrNoSpace) || artifacts.Class(err) != artifacts.Transient || !strings.Contains(err.Error(), "free space on that file system") {
			return fmt.Errorf("%s on a full disk: %w", what, errors.Join(errors.New("got"), err))
		}
		return nil
	}
	c, err := artifacts.OpenCache(filepath.Join(dir, "cache"), 1<<30)
	if err != nil {
		return err
	}
	defer c.Close()
	// A little fits, and is given up for more room, in vain.
	little, err := s.PutBlobBytes(ctx, []byte("a little"))
	if err != nil {
		return err
	}
	b, _, err := c.Blob(ctx, s, little, 100)
	if err != nil {
		return fmt.Errorf("a small blob: %w", err)
	}
	b.Release()
	_, _, blobErr := c.Blob(ctx, s, digest, 1<<30)
	_, _, treeErr := c.Tree(ctx, s, tree, artifacts.Limits{})
	w, err := artifacts.OpenWorkspaces(filepath.Join(dir, "ws"))
	if err != nil {
		return err
	}
	defer w.Close()
	ws, err := w.New("job", 1)
	if err != nil {
		return err
	}
	_, _, prefixErr := ws.Stage(ctx, "one", artifacts.StageRequest{Store: s, Source: artifacts.Source{Bucket: s.Bucket(), Prefix: "in/"}, Trusted: true})
	_, _, stageTreeErr := ws.Stage(ctx, "two", artifacts.StageRequest{Store: s, Cache: c, Source: artifacts.Source{Tree: tree}})
	if err := errors.Join(check("blob", blobErr), check("tree", treeErr), check("stage", prefixErr), check("stage tree", stageTreeErr), ws.Remove()); err != nil {
		return err
	}
	if st := c.Stats(); st.Bytes > 1<<20 {
		return fmt.Errorf("the cache counts what did not fit: %+v", st)
	}
	// What was half written is gone, so there is room again.
	return os.WriteFile(filepath.Join(dir, "room"), make([]byte, 1<<20), 0o600)
}

// TestCacheOfKilledProcess kills a process in the middle of a download.
func TestCacheOfKilledProcess(t *testing.T) {
	t.Parallel()
	s, proxy := proxied(t)
	body := repeat("content ", 100_000)
	d := putBlob(t, s, body)
	dir := t.TempDir()
	proxy.Set(faultproxy.Fault{Name: "half", Match: faultproxy.Method("GET", ""), TruncateBody: true, Times: 1},
		faultproxy.Fault{Name: "hold", Match: faultproxy.Method("GET", ""), Stall: true})
	cmd := child("fetch", dir, s.Endpoint(), server.AccessKey, server.SecretKey, s.Bucket(), string(d))
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return proxy.Count("hold") == 1 })
	_, err := artifacts.OpenCache(dir, 1<<20)
	wantError(t, err, artifacts.ErrLocked, artifacts.Transient, fmt.Sprint(cmd.Process.Pid))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	write(t, dir, map[string]string{"tmp/blob-123": "half of it"})
	proxy.Set()
	c := mustOpenCache(t, dir, 1<<20)
	if diskUse(t, dir) != 0 {
		t.Error("half a download stayed")
	}
	if use(t, c, s, body) {
		t.Errorf("half a download was a hit\n%s", out.String())
	}
}

func fetchForever(args []string) error {
	s, err := artifacts.Open(artifacts.Config{Endpoint: args[1], AccessKey: args[2], SecretKey: artifacts.Secret(args[3]), Bucket: args[4]})
	if err != nil {
		return err
	}
	c, err := artifacts.OpenCache(args[0], 1<<20)
	if err != nil {
		return err
	}
	ctx, cancel := cleanContext()
	defer cancel()
	_, _, err = c.Blob(ctx, s, artifacts.Digest(args[5]), 1<<20)
	return errors.Join(err, errors.New("the download ended"))
}
