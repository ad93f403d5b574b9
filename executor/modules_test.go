package executor_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/artifacts"
	"boxfleet/executor"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// TestBadModules: what can never run is invalid, once, and says why.
func TestBadModules(t *testing.T) {
	r := newRig(t, options{})
	component := []byte("\x00asm\x0d\x00\x01\x00")
	for _, c := range []struct {
		name string
		tool jobs.Tool
		err  []string
	}{
		{"not wasm", r.push(t, "text", []byte("#!/bin/sh\necho hello\n")), []string{"text@1", "not"}},
		{"empty module cut short", r.push(t, "short", []byte("\x00asm")), []string{"short@1"}},
		{"component", r.push(t, "component", component), []string{"component@1", "component"}},
		{"reactor", r.guest(t, "reactor"), []string{"_start", "reactor"}},
		{"unknown imports, each named", r.guest(t, "strangers"), []string{`"env"."puts"`, `"wasi_snapshot_preview1"."fd_teleport"`}},
		{"import with another signature", r.guest(t, "signature"), []string{"fd_close"}},
		{"no such blob", jobs.Tool{Name: "ghost", Version: "1", Digest: artifacts.DigestBytes([]byte("never stored")), Size: 12}, []string{"ghost@1", "not in the store", "push"}},
		{"over the worker's size", jobs.Tool{Name: "giant", Version: "1", Digest: artifacts.DigestBytes([]byte("g")), Size: 1 << 30}, []string{"giant@1", "at most"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := r.run(t, &jobs.Job{Tool: c.tool})
			w := want{outcome: jobs.Invalid, err: c.err}
			if c.tool.Name == "giant" {
				w.outcome = jobs.Denied
			}
			w.check(t, res)
			if res.Attempts != 1 {
				t.Errorf("%d attempts", res.Attempts)
			}
			if strings.Contains(res.Error, "fd_close") && c.name != "import with another signature" {
				t.Errorf("an import that is given is named as missing: %q", res.Error)
			}
		})
	}
	t.Run("a blob that is not what its digest says", func(t *testing.T) {
		tool := r.push(t, "tampered", []byte("\x00asm\x01\x00\x00\x00 original"))
		evil, err := os.ReadFile("testdata/guests/noop.wasm")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.store.Put(t.Context(), "", tool.Digest.Key(), evil); err != nil {
			t.Fatal(err)
		}
		res := r.run(t, &jobs.Job{Tool: tool})
		want{outcome: jobs.Invalid, err: []string{"tampered@1", "digest"}}.check(t, res)
	})
	r.alive(t)
}

// TestCompileCache follows one module through memory, disk, damage and repair.
func TestCompileCache(t *testing.T) {
	dir := t.TempDir()
	bucket := server.Store(t)
	var compiled int64
	// life runs jobs in a worker of its own on the same directory.
	life := func(t *testing.T, hit string, compiles int64) {
		t.Helper()
		if got := lifeHit(t, dir, bucket); got != hit {
			t.Errorf("cache hit %q, want %q", got, hit)
		}
		now := counter(t, "boxfleet.compiles")
		if now-compiled != compiles {
			t.Errorf("%d compilations, want %d", now-compiled, compiles)
		}
		compiled = now
	}
	files := func(t *testing.T, kind string) []string {
		t.Helper()
		var found []string
		err := filepath.WalkDir(filepath.Join(dir, "cache", "compiled"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && strings.Contains(path, string(filepath.Separator)+kind+string(filepath.Separator)) {
				found = append(found, path)
			}
			return err
		})
		if err != nil || len(found) == 0 {
			t.Fatalf("no %s files: %v", kind, err)
		}
		return found
	}
	damage := func(kind string, change func([]byte) []byte) func(*testing.T) {
		return func(t *testing.T) {
			for _, file := range files(t, kind) {
				data, err := os.ReadFile(file)
				if err == nil {
					err = os.WriteFile(file, change(data), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	flip := func(at float64) func([]byte) []byte {
		return func(b []byte) []byte { b = bytes.Clone(b); b[int(at*float64(len(b)-1))] ^= 0x10; return b }
	}
	half := func(b []byte) []byte { return b[:len(b)/2] }
	compiled = counter(t, "boxfleet.compiles")
	t.Run("cold", func(t *testing.T) { life(t, "none", 1) })
	t.Run("restarted", func(t *testing.T) { life(t, "disk", 0) })
	for _, c := range []struct {
		name   string
		damage func(*testing.T)
	}{
		{"rewritten, a bit in the middle", damage("wasm", flip(.5))},
		{"rewritten, its head", damage("wasm", flip(0))},
		{"rewritten, empty", damage("wasm", func([]byte) []byte { return nil })},
		{"compiled, a bit in the middle", damage("native", flip(.5))},
		{"compiled, cut short", damage("native", half)},
		{"compiled, its last byte", func(t *testing.T) {
			for _, file := range files(t, "native") {
				if err := os.Rename(file, file+".real"); err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(file + ".real")
				if err == nil {
					err = os.WriteFile(file, append(data[:len(data)-1:len(data)-1], 1), 0o600)
				}
				if err = errors.Join(err, os.Remove(file+".real")); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"compiled, gone", func(t *testing.T) {
			for _, file := range files(t, "native") {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.damage(t)
			life(t, "none", 1)
			// Whatever it took, the cache is whole again at the latest after one
			// more life.
			if r := lifeHit(t, dir, bucket); r != "disk" {
				if r := lifeHit(t, dir, bucket); r != "disk" {
					t.Errorf("cache hit %q after two restarts", r)
				}
			}
			compiled = counter(t, "boxfleet.compiles")
		})
	}
}

// lifeHit starts a worker on dir, runs two jobs of one module and stops it. It
// tells where the first found the module; the second must find it in memory.
func lifeHit(t *testing.T, dir string, bucket *artifacts.Store) (hit string) {
	t.Helper()
	t.Run("life", func(t *testing.T) {
		r := newRig(t, options{dir: dir, bucket: bucket})
		for i := range 2 {
			res := r.run(t, r.act(t, "say on", limits.RunOption{}))
			want{outcome: jobs.Succeeded, stdout: "on\n"}.check(t, res)
			if i == 0 {
				hit = res.CacheHit
			} else if res.CacheHit != "memory" {
				t.Errorf("second job: cache hit %q", res.CacheHit)
			}
		}
	})
	return hit
}

// TestCacheDirectory: a cache that others may write, or that another worker
// has, keeps a worker from starting.
func TestCacheDirectory(t *testing.T) {
	t.Run("writable by others", func(t *testing.T) {
		for _, sub := range []string{"", "compiled"} {
			dir := t.TempDir()
			path := filepath.Join(dir, "cache", sub)
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
			_, err := executor.New(t.Context(), server.Store(t), executor.Config{CacheDir: filepath.Join(dir, "cache"), ScratchDir: filepath.Join(dir, "scratch")})
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "writable by others") || !strings.Contains(err.Error(), "0700") {
				t.Errorf("%q: %v", sub, err)
			}
		}
	})
	t.Run("in use", func(t *testing.T) {
		r := newRig(t, options{noWorker: true})
		for _, dirs := range [][2]string{{r.dir, t.TempDir()}, {t.TempDir(), r.dir}} {
			_, err := executor.New(t.Context(), server.Store(t), executor.Config{CacheDir: filepath.Join(dirs[0], "cache"), ScratchDir: filepath.Join(dirs[1], "scratch")})
			if !errors.Is(err, artifacts.ErrLocked) || !strings.Contains(err.Error(), r.dir) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("cannot be made", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := executor.New(t.Context(), server.Store(t), executor.Config{CacheDir: filepath.Join(file, "cache"), ScratchDir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%v", err)
		}
	})
}

// bigModule has n functions of some work each: it takes long to compile and
// does nothing when it runs. mark makes its digest its own.
func bigModule(n int, mark byte) []byte {
	leb := func(v int) []byte {
		var b []byte
		for ; v >= 0x80; v >>= 7 {
			b = append(b, byte(v)|0x80)
		}
		return append(b, byte(v))
	}
	section := func(id byte, body []byte) []byte {
		return append(append([]byte{id}, leb(len(body))...), body...)
	}
	// (func (param i64) (result i64)): a chain of operators that no compiler
	// folds away, because each depends on the one before.
	var body []byte
	body = append(body, 0)          // no locals
	body = append(body, 0x20, 0x00) // local.get 0
	for i := range 100 {
		body = append(body, 0x20, 0x00, 0x42, byte(i&0x3f), 0x7e, 0x85, 0x20, 0x00, 0x8a) // local.get 0, i64.const, i64.mul, i64.xor, local.get 0, i64.rotl
	}
	body = append(body, 0x0b)
	start := []byte{0, 0x0b}
	funcs, code := leb(n+1), leb(n+1)
	for i := range n + 1 {
		if i == n {
			funcs, code = append(funcs, 1), append(append(code, leb(len(start))...), start...)
			break
		}
		funcs, code = append(funcs, 0), append(append(code, leb(len(body))...), body...)
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = append(out, section(1, []byte{2, 0x60, 1, 0x7e, 1, 0x7e, 0x60, 0, 0})...)
	out = append(out, section(3, funcs)...)
	out = append(out, section(5, []byte{1, 0, 1})...)
	exports := append([]byte{2, 6}, "memory"...)
	exports = append(append(exports, 2, 0, 6), "_start"...)
	exports = append(append(exports, 0), leb(n)...)
	out = append(out, section(7, exports)...)
	out = append(out, section(10, code)...)
	return append(out, section(0, []byte{1, 'm', mark})...)
}

// TestCompileOnce: jobs of one new module that come at once wait for one
// compilation, and while it lasts other jobs run in their slots.
func TestCompileOnce(t *testing.T) {
	r := newRig(t, options{worker: func(c *jobs.WorkerConfig) { c.Slots = 8 }, config: func(c *executor.Config) {
		c.MemoryBudget = limits.GiB // two jobs' worth of the default
	}})
	r.alive(t)
	wasm := bigModule(600, 'a')
	tool := r.push(t, "big", wasm)
	before := counter(t, "boxfleet.compiles")
	var big []string
	for range 8 {
		big = append(big, r.submit(t, &jobs.Job{Tool: tool}))
	}
	var small []string
	for range 8 {
		small = append(small, r.submit(t, &jobs.Job{Tool: r.guest(t, "noop")}))
	}
	quick, slow := r.await(t, small...), r.await(t, big...)
	if n := counter(t, "boxfleet.compiles") - before; n != 1 {
		t.Errorf("%d compilations", n)
	}
	for _, rec := range slow {
		want{outcome: jobs.Succeeded}.check(t, rec.Result)
		for _, q := range quick {
			if q.Result.FinishedAt.After(rec.Result.FinishedAt) {
				t.Errorf("a no-op ended after a job that waited for its compilation: %v, %v", q.Result.FinishedAt, rec.Result.FinishedAt)
			}
		}
	}
}

// TestCompileAbandoned: callers that leave while their module is compiled do
// not take it from those that stay, nor keep it for ever.
func TestCompileAbandoned(t *testing.T) {
	r := newRig(t, options{config: func(c *executor.Config) { c.ModuleCacheBytes = 1 }}) // every idle module is evicted at the next
	tool := r.push(t, "big", bigModule(250, 'b'))
	var ids []string
	for range 4 {
		ids = append(ids, r.submit(t, &jobs.Job{Tool: tool}))
	}
	for _, id := range ids[:3] {
		if _, err := r.client.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for id, rec := range r.await(t, ids...) {
		if rec.Result.Outcome != jobs.Succeeded && (id == ids[3] || rec.Result.Outcome != jobs.Canceled) {
			t.Errorf("outcome %s %q", rec.Result.Outcome, rec.Result.Error)
		}
	}
	// Two modules that push each other out, used at once.
	var more []string
	for range 30 {
		more = append(more, r.submit(t, r.act(t, "say on", limits.RunOption{})), r.submit(t, &jobs.Job{Tool: r.guest(t, "noop")}), r.submit(t, &jobs.Job{Tool: r.guest(t, "roomy")}))
	}
	for _, rec := range r.await(t, more...) {
		want{outcome: jobs.Succeeded}.check(t, rec.Result)
	}
}

// TestSameCode: two tools that differ in a custom section alone are one module
// to the engine; dropping one must not drop the other's code.
func TestSameCode(t *testing.T) {
	r := newRig(t, options{config: func(c *executor.Config) { c.ModuleCacheBytes = 1 }})
	base, err := os.ReadFile("testdata/guests/act.wasm")
	if err != nil {
		t.Fatal(err)
	}
	twin := append(bytes.Clone(base), 0, 3, 1, 'z', 0)
	a, b := r.push(t, "a", base), r.push(t, "b", twin)
	long := r.submit(t, &jobs.Job{Tool: a, Args: []string{"burn", "50000000", "say", "on"}})
	for range 5 {
		want{outcome: jobs.Succeeded}.check(t, r.run(t, &jobs.Job{Tool: b, Args: []string{"say", "on"}}))
		r.alive(t) // evicts b
	}
	want{outcome: jobs.Succeeded}.check(t, r.await(t, long)[long].Result)
	want{outcome: jobs.Succeeded}.check(t, r.run(t, &jobs.Job{Tool: a, Args: []string{"say", "on"}}))
}

// TestHostileBytes runs modules whose bytes were changed at random places: any
// end is right but the worker's.
func TestHostileBytes(t *testing.T) {
	r := newRig(t, options{})
	base, err := os.ReadFile("testdata/guests/act.wasm")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	seed := uint64(1)
	for range 60 {
		wasm := bytes.Clone(base)
		for range 3 {
			seed = seed*6364136223846793005 + 1442695040888963407
			wasm[8+int(seed>>33)%(len(wasm)-8)] ^= byte(1 << (seed >> 61))
		}
		tool := r.push(t, "changed", wasm)
		ids = append(ids, r.submit(t, &jobs.Job{Tool: tool, Args: []string{"say", "on"},
			Options: limits.RunOption{WasmFuel: 10_000_000, WasmMaxMemorySize: 8 * limits.MiB}}))
	}
	ends := map[jobs.Outcome]int{}
	for _, rec := range r.await(t, ids...) {
		ends[rec.Result.Outcome]++
		if rec.Result.Outcome == jobs.Failed {
			t.Errorf("the fleet failed: %s", rec.Result.Error)
		}
	}
	t.Logf("ends: %v", ends)
	if ends[jobs.Invalid] == 0 {
		t.Error("no change made a module invalid: the test changes nothing")
	}
	r.alive(t)
}
