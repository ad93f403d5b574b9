//go:build linux

package wasip1_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"boxfleet/executor/sandboxfs"
	"boxfleet/executor/wasip1"
)

const corpusDir = "../testdata/hostile/fs"

// hostileGuest is an entry of corpus.json. What a guest tries is told by its
// source, named after it.
type hostileGuest struct {
	Name   string         `json:"name"`
	Tries  string         `json:"tries"`
	Mounts []hostileMount `json:"mounts"`
	Args   []string       `json:"args"`
	Env    []string       `json:"env"`
	Stdin  string         `json:"stdin"` // "silent": never says anything
	Quota  struct {
		WrittenBytes int64 `json:"written_bytes"`
		Files        int64 `json:"files"`
		Depth        int   `json:"depth"`
		OpenFiles    int   `json:"open_files"`
		DirEntries   int   `json:"dir_entries"`
	} `json:"quota"`
	StdoutCap  int    `json:"stdout_cap"`
	StdoutStop bool   `json:"stdout_stop"` // being over the cap ends the guest
	Stop       string `json:"stop"`        // interrupt it when "blocked", or after its first "stdout"
	Race       string `json:"race"`        // what the host does meanwhile: "swap" or "move"
	Outcome    string `json:"outcome"`     // exited, stopped, output_limit, refused
	Exit       int64  `json:"exit"`
	Stdout     string `json:"stdout"`
	Limit      string `json:"limit"`
}

type hostileMount struct {
	Guest string `json:"guest"`
	Mode  string `json:"mode"`  // "ro" or "rw"
	Stage string `json:"stage"` // which files it starts with: see stages
}

func corpus(t testing.TB) []hostileGuest {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpusDir, "corpus.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ Guests []hostileGuest }
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c.Guests
}

// stages fill a mount's host directory. outside is a directory beside all
// mounts, which no guest may see or touch.
var stages = map[string]func(t testing.TB, dir, outside string){
	"plain": stagePlain,
	"links": func(t testing.TB, dir, outside string) {
		stagePlain(t, dir, outside)
		for name, target := range map[string]string{
			"absolute-link": filepath.Join(outside, "canary"),
			"absolute-dir":  outside,
			"relative-link": "../outside/canary",
			"relative-dir":  "../outside",
			"dangling-link": "../outside/planted",
			"dots-link":     strings.Repeat("../", 30) + "etc/hostname",
			"inside-link":   "hello.txt",
			"proc-root":     "/proc/self/root",
			"proc-cwd":      "/proc/self/cwd",
			"proc-fd":       "/proc/self/fd",
			"proc-exe":      "/proc/self/exe",
		} {
			must(t, os.Symlink(target, filepath.Join(dir, name)))
		}
	},
	"special": func(t testing.TB, dir, outside string) {
		stagePlain(t, dir, outside)
		must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666))
		// A socket's path is short of a temporary directory's: bind by a relative one.
		d, err := os.Open(dir)
		must(t, err)
		defer d.Close()
		l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/socket", d.Fd()))
		must(t, err)
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		must(t, l.Close())
	},
	"setid": func(t testing.TB, dir, outside string) {
		stagePlain(t, dir, outside)
		put(t, filepath.Join(dir, "setuid"), "program", os.ModeSetuid|0o755)
		put(t, filepath.Join(dir, "setgid"), "program", os.ModeSetgid|0o755)
		put(t, filepath.Join(dir, "executable"), "program", 0o755)
	},
}

func stagePlain(t testing.TB, dir, _ string) {
	put(t, filepath.Join(dir, "hello.txt"), "hello", 0o644)
	must(t, os.MkdirAll(filepath.Join(dir, "dir"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "empty"), 0o755))
	put(t, filepath.Join(dir, "dir/inner.txt"), "inner", 0o644)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, file, content string, mode os.FileMode) {
	t.Helper()
	must(t, os.WriteFile(file, []byte(content), 0o600))
	must(t, os.Chmod(file, mode))
}

// world is the host's side of one run: mounts and what lies outside of them.
type world struct {
	outside string
	mounts  []sandboxfs.Mount
	stages  []string
	staged  bool              // mount as a worker does, which knows that it staged no devices
	before  map[string]string // of outside and of read-only mounts
}

func newWorld(t testing.TB, g hostileGuest) *world {
	t.Helper()
	base := t.TempDir()
	w := &world{outside: filepath.Join(base, "outside")}
	must(t, os.Mkdir(w.outside, 0o755))
	put(t, filepath.Join(w.outside, "canary"), "canary: not for guests", 0o644)
	must(t, os.Symlink("canary", filepath.Join(w.outside, "link")))
	for i, m := range g.Mounts {
		host := filepath.Join(base, fmt.Sprintf("mount%d", i))
		if m.Stage == "dev" {
			host = "/dev"
		} else {
			must(t, os.Mkdir(host, 0o755))
			stages[m.Stage](t, host, w.outside)
		}
		mode := sandboxfs.ReadOnly
		if m.Mode == "rw" {
			mode = sandboxfs.ReadWrite
		}
		w.mounts = append(w.mounts, sandboxfs.Mount{Guest: m.Guest, Host: host, Mode: mode})
		w.stages = append(w.stages, m.Stage)
	}
	w.before = w.snapshot(t)
	return w
}

// snapshot describes all that must not change, down to times of modification.
func (w *world) snapshot(t testing.TB) map[string]string {
	t.Helper()
	seen := map[string]string{}
	dirs := []string{w.outside}
	for i, m := range w.mounts {
		if m.Mode == sandboxfs.ReadOnly && w.stages[i] != "dev" {
			dirs = append(dirs, m.Host)
		}
	}
	for _, dir := range dirs {
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			line := fmt.Sprint(st.Mode(), st.Size(), st.ModTime())
			if st.IsDir() {
				line = fmt.Sprint(st.Mode(), st.ModTime())
			} else if st.Mode().IsRegular() {
				var ust unix.Stat_t
				must(t, unix.Lstat(path, &ust))
				b, err := os.ReadFile(path)
				must(t, err)
				line += fmt.Sprintf(" nlink=%d %q", ust.Nlink, b)
			}
			seen[path] = line
			return nil
		}))
	}
	return seen
}

// check compares with what was there before, and looks for anything left in a
// writable mount that the host could execute.
func (w *world) check(t testing.TB) {
	t.Helper()
	if after := w.snapshot(t); !maps.Equal(w.before, after) {
		t.Errorf("the canary was touched:\nbefore %v\nafter  %v", w.before, after)
	}
	for i, m := range w.mounts {
		if m.Mode == sandboxfs.ReadOnly {
			continue
		}
		must(t, filepath.WalkDir(m.Host, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := d.Info()
			if err == nil && st.Mode().IsRegular() && st.Mode()&(0o111|os.ModeSetuid|os.ModeSetgid) != 0 {
				t.Errorf("%s (stage %s) was left with mode %v", path, w.stages[i], st.Mode())
			}
			return err
		}))
	}
}

func (g hostileGuest) quota() sandboxfs.Quota {
	return sandboxfs.Quota{
		WrittenBytes: g.Quota.WrittenBytes, Files: g.Quota.Files, Depth: g.Quota.Depth,
		OpenFiles: g.Quota.OpenFiles, DirEntries: g.Quota.DirEntries,
	}
}

func (w *world) fs(t testing.TB, g hostileGuest, walk bool) *sandboxfs.FS {
	t.Helper()
	mounts := slices.Clone(w.mounts)
	for i := range mounts {
		mounts[i].NoDevices = w.staged && w.stages[i] != "dev"
	}
	f, err := sandboxfs.New(mounts, g.quota())
	must(t, err)
	if walk {
		f.UseWalk()
	}
	return f
}

// runHostile runs a guest of the corpus in a world.
func runHostile(t testing.TB, g hostileGuest, w *world, walk bool) outcome {
	t.Helper()
	f := w.fs(t, g, walk)
	defer f.Close()
	cfg := wasip1.Config{Args: g.Args, Env: g.Env, FS: f}
	var out io.Writer
	if g.StdoutCap > 0 {
		out = &cappedWriter{room: g.StdoutCap, stop: g.StdoutStop}
		cfg.Stdout = out
	}
	sw := newStopSwitch()
	cfg.Interrupt = sw
	if g.Stop == "stdout" {
		out = &triggerWriter{fire: sw.stop}
		cfg.Stdout = out
	}
	silent := silentReader{make(chan struct{})}
	if g.Stdin == "silent" {
		cfg.Stdin = silent
	}
	if g.Stop != "blocked" {
		defer close(silent.closed)
		o := run(t, compiled(t, filepath.Join(corpusDir, g.Name+".wasm")), cfg)
		if s, ok := out.(fmt.Stringer); ok {
			o.stdout = s.String()
		}
		return o
	}
	// In a bubble the test is told when the guest waits for nothing but time,
	// its stdin or the interrupt.
	module := compiled(t, filepath.Join(corpusDir, g.Name+".wasm"))
	var o outcome
	synctest.Test(t.(*testing.T), func(t *testing.T) {
		sw := newStopSwitch()
		cfg.Interrupt = sw
		if g.Stdin == "silent" {
			silent := silentReader{make(chan struct{})}
			cfg.Stdin = silent
			defer close(silent.closed)
		}
		ended, start := make(chan struct{}), time.Now()
		go func() {
			defer close(ended)
			o = run(t, module, cfg)
		}()
		synctest.Wait()
		sw.stop()
		<-ended
		if d := time.Since(start); d != 0 {
			t.Errorf("the guest was stopped after %v; it should wake at once", d)
		}
	})
	return o
}

func (g hostileGuest) verify(t testing.TB, o outcome) {
	t.Helper()
	switch g.Outcome {
	case "exited":
		if o.err != nil || o.exit != g.Exit {
			t.Errorf("exit code %d, error %v; want exit code %d\n%s", o.exit, o.err, g.Exit, o.stderr)
		}
	case "stopped":
		if !errors.Is(o.err, errStopped) {
			t.Errorf("ended with exit code %d, error %v; want the interrupt's error", o.exit, o.err)
		}
	case "output_limit":
		if !errors.As(o.err, new(overCap)) {
			t.Errorf("ended with exit code %d, error %v; want the writer's error", o.exit, o.err)
		}
	case "refused":
		if o.err == nil || !strings.Contains(o.err.Error(), wasip1.ModuleName) {
			t.Errorf("ended with exit code %d, error %v; want it refused for its import", o.exit, o.err)
		}
	default:
		t.Fatalf("corpus.json has an unknown outcome %q", g.Outcome)
	}
	if g.Stdout != "" && o.stdout != g.Stdout {
		t.Errorf("stdout %q, want %q", o.stdout, g.Stdout)
	}
	if g.StdoutCap > 0 && len(o.stdout) != g.StdoutCap {
		t.Errorf("%d bytes of stdout, want its cap %d", len(o.stdout), g.StdoutCap)
	}
	if o.limit != g.Limit {
		t.Errorf("limit hit %q, want %q", o.limit, g.Limit)
	}
}

var resolvers = []struct {
	name string
	walk bool
}{{"openat2", false}, {"walk", true}}

// TestHostile runs every guest of the corpus alone, over both resolvers.
func TestHostile(t *testing.T) {
	guests := corpus(t)
	if len(guests) < 60 {
		t.Fatalf("the corpus has %d guests; it had 60 at least", len(guests))
	}
	for _, r := range resolvers {
		for _, g := range guests {
			if g.Race != "" {
				continue
			}
			t.Run(r.name+"/"+g.Name, func(t *testing.T) {
				w := newWorld(t, g)
				g.verify(t, runHostile(t, g, w, r.walk))
				w.check(t)
			})
		}
	}
}

// TestHostileTogether runs two of each guest at once on the same host
// directories. They get into each other's way, so only the canary counts, and
// that both come to an end.
func TestHostileTogether(t *testing.T) {
	for i, g := range corpus(t) {
		if g.Race != "" || g.Stop != "" || g.Outcome == "refused" {
			continue
		}
		t.Run(g.Name, func(t *testing.T) {
			w := newWorld(t, g)
			w.staged = true
			w.fs(t, g, false).Close() // makes the mount points before both start
			var wg sync.WaitGroup
			for n := range 2 {
				wg.Go(func() {
					if o := runHostile(t, g, w, (i+n)%2 == 0); o.err != nil && g.Outcome == "exited" {
						t.Errorf("guest %d failed: %v", n, o.err)
					}
				})
			}
			wg.Wait()
			w.check(t)
		})
	}
}

// races are what another process of the host does to a mount meanwhile.
var races = map[string]struct {
	prepare func(t testing.TB, dir, outside string)
	step    func(dir, outside string)
	restore func(dir string)
}{
	// A directory, and a file, are swapped for links to the outside, atomically, and back.
	"swap": {
		prepare: func(t testing.TB, dir, outside string) {
			must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
			put(t, filepath.Join(dir, "d/canary"), "inside", 0o600)
			must(t, os.Symlink(outside, filepath.Join(dir, "absolute")))
			must(t, os.Symlink("../outside", filepath.Join(dir, "relative")))
			put(t, filepath.Join(dir, "f"), "inside", 0o600)
			must(t, os.Symlink("../outside/canary", filepath.Join(dir, "f-link")))
		},
		step: func(dir, outside string) {
			for _, pair := range [][2]string{{"d", "absolute"}, {"f", "f-link"}, {"d", "relative"}, {"f", "f-link"}} {
				a, b := filepath.Join(dir, pair[0]), filepath.Join(dir, pair[1])
				_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
				_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
			}
		},
	},
	// Directories are moved up, down, and out of the mount, with guests in them.
	"move": {
		prepare: func(t testing.TB, dir, outside string) {
			must(t, os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o755))
			must(t, os.MkdirAll(filepath.Join(dir, "x"), 0o755))
		},
		step: func(dir, outside string) {
			b, c := filepath.Join(dir, "a/b"), filepath.Join(dir, "a/b/c")
			away := filepath.Join(dir, "x/b")
			out := filepath.Join(filepath.Dir(outside), "moved")
			_ = os.Rename(c, filepath.Join(dir, "x/c"))
			_ = os.Rename(filepath.Join(dir, "x/c"), c)
			_ = os.Rename(b, away)
			_ = os.Rename(away, b)
			_ = os.Rename(b, out)
			_ = os.Rename(out, b)
		},
	},
}

// TestHostileRace changes directories under guests that open files in them.
func TestHostileRace(t *testing.T) {
	ran := 0
	for _, g := range corpus(t) {
		if g.Race == "" {
			continue
		}
		race, ok := races[g.Race]
		if !ok {
			t.Fatalf("corpus.json has an unknown race %q", g.Race)
		}
		for _, r := range resolvers {
			ran++
			t.Run(r.name+"/"+g.Name, func(t *testing.T) {
				w := newWorld(t, g)
				race.prepare(t, w.mounts[0].Host, w.outside)
				stop, swapped := make(chan struct{}), make(chan int)
				go func() {
					for n := 0; ; n++ {
						select {
						case <-stop:
							swapped <- n
							return
						default:
							race.step(w.mounts[0].Host, w.outside)
						}
					}
				}()
				o := runHostile(t, g, w, r.walk)
				close(stop)
				if n := <-swapped; n < 10 {
					t.Errorf("only %d rounds of the race were run", n)
				}
				g.verify(t, o)
				w.check(t)
			})
		}
	}
	if ran == 0 {
		t.Fatal("the corpus has no guest to race with")
	}
}
