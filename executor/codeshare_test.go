package executor_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"boxfleet/artifacts"
	"boxfleet/executor"
	"boxfleet/internal/faultproxy"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// sharedCode lists what workers share in a bucket.
func sharedCode(t *testing.T, store *artifacts.Store) (keys []string) {
	t.Helper()
	for o, err := range store.List(t.Context(), "", executor.CodePrefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// awaitCode waits until workers share n modules.
func awaitCode(t *testing.T, store *artifacts.Store, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		keys := sharedCode(t, store)
		if len(keys) >= n {
			return keys
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d modules are shared, want %d", len(keys), n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// freshWorker runs one job on a worker with nothing on its disk and tells
// where the module came from and how many it compiled.
func freshWorker(t *testing.T, key []byte, bucket *artifacts.Store, each func(r *rig)) (hit string, compiles int64, logs string) {
	t.Helper()
	before := counter(t, "boxfleet.compiles")
	t.Run("worker", func(t *testing.T) {
		r := newRig(t, options{bucket: bucket, config: func(c *executor.Config) { c.CodeKey = key }})
		res := r.run(t, r.act(t, "say on", limits.RunOption{}))
		want{outcome: jobs.Succeeded, stdout: "on\n"}.check(t, res)
		hit = res.CacheHit
		if each != nil {
			each(r)
		}
		logs = r.logs.String()
	})
	return hit, counter(t, "boxfleet.compiles") - before, logs
}

// TestCodeShare: one worker compiles, others with the key take what it has
// made, and nothing else that lies in its place.
func TestCodeShare(t *testing.T) {
	bucket := server.Store(t)
	key, other := bytes.Repeat([]byte("k"), 32), bytes.Repeat([]byte("o"), 32)
	expect := func(t *testing.T, key []byte, hit string, compiles int64, each func(r *rig)) (logs string) {
		t.Helper()
		got, n, logs := freshWorker(t, key, bucket, each)
		if got != hit || n != compiles {
			t.Errorf("found in %q with %d compilations, want %q and %d", got, n, hit, compiles)
		}
		return logs
	}
	var entry string
	expect(t, key, "none", 1, func(*rig) { entry = awaitCode(t, bucket, 1)[0] })
	good, err := bucket.Get(t.Context(), "", entry, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(good, key) || strings.Contains(entry, "k") {
		t.Error("the key is in what is shared")
	}
	var dir string
	logs := expect(t, key, "fleet", 0, func(r *rig) { dir = r.dir })
	if strings.Contains(logs, "not used") || dir == "" {
		t.Errorf("logs: %s", logs)
	}
	t.Run("without a key", func(t *testing.T) {
		expect(t, nil, "none", 1, func(r *rig) {
			for _, request := range r.proxy.Requests() {
				if strings.Contains(request, "/"+executor.CodePrefix) {
					t.Errorf("asks for shared code: %s", request)
				}
			}
		})
	})
	t.Run("with another key", func(t *testing.T) {
		expect(t, other, "none", 1, func(*rig) { awaitCode(t, bucket, 2) })
		expect(t, other, "fleet", 0, nil)
	})
	keys := sharedCode(t, bucket)
	theirs := keys[1-slices.Index(keys, entry)]
	foreign, err := bucket.Get(t.Context(), "", theirs, 64<<20)
	if err != nil {
		t.Fatal(err)
	}

	flip := func(at int) []byte { b := bytes.Clone(good); b[at] ^= 1; return b }
	for name, forged := range map[string][]byte{
		"empty":                    {},
		"a bit of the native code": flip(len(good) - 2000),
		"another key's":            foreign,
	} {
		t.Run(name, func(t *testing.T) {
			if err := bucket.Put(t.Context(), "", entry, forged); err != nil {
				t.Fatal(err)
			}
			logs := expect(t, key, "none", 1, func(*rig) {
				// The worker puts a good one in its place.
				for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
					now, err := bucket.Get(t.Context(), "", entry, 64<<20)
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(now, forged) {
						return
					}
					if time.Now().After(deadline) {
						t.Fatal("the forged entry is still there")
					}
				}
			})
			if !strings.Contains(logs, "authentication code is wrong") {
				t.Error("the log does not say that the entry was refused")
			}
		})
	}
	expect(t, key, "fleet", 0, nil)
	t.Run("another module's", func(t *testing.T) {
		// A good entry under the name of another module, as somebody might copy it
		// who can write the bucket and has no key.
		r := newRig(t, options{bucket: bucket, noWorker: true})
		tool := r.guest(t, "noop")
		if err := bucket.Put(t.Context(), "", filepath.Dir(entry)+"/"+tool.Digest.Hex(), good); err != nil {
			t.Fatal(err)
		}
		expect(t, key, "fleet", 1, func(r *rig) {
			res := r.run(t, &jobs.Job{Tool: tool})
			want{outcome: jobs.Succeeded}.check(t, res)
			if res.CacheHit != "none" || len(res.Stdout) > 0 {
				t.Errorf("found in %q, wrote %q", res.CacheHit, res.Stdout)
			}
			if !strings.Contains(r.logs.String(), "authentication code is wrong") {
				t.Error("the log does not say that the entry was refused")
			}
		})
	})
	for name, fault := range map[string]faultproxy.Fault{
		"the store refuses": {Status: http.StatusForbidden, Code: "AccessDenied"},
		"half of it comes":  {TruncateBody: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{bucket: bucket, config: func(c *executor.Config) { c.CodeKey = key }})
			fault.Name, fault.Match = "code", faultproxy.Method(http.MethodGet, "/"+executor.CodePrefix)
			r.proxy.Set(fault)
			res := r.run(t, r.act(t, "say on", limits.RunOption{}))
			want{outcome: jobs.Succeeded, stdout: "on\n"}.check(t, res)
			if res.CacheHit != "none" || r.proxy.Count("code") == 0 {
				t.Errorf("found in %q after %d faults", res.CacheHit, r.proxy.Count("code"))
			}
		})
	}
}

func TestReadCodeKey(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	long := strings.Repeat("0123456789abcdef", 4)
	if key, err := executor.ReadCodeKey(write("good", long+"\n", 0o600)); err != nil || string(key) != long {
		t.Errorf("%q %v", key, err)
	}
	for name, path := range map[string]string{
		"can be read by others": write("open", long, 0o644),
		"32 random ones":        write("short", "secret\n", 0o600),
		"no such file":          filepath.Join(dir, "none"),
	} {
		if _, err := executor.ReadCodeKey(path); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	_, err := executor.New(t.Context(), server.Store(t), executor.Config{CacheDir: dir, ScratchDir: t.TempDir(), CodeKey: []byte("short")})
	if err == nil || !strings.Contains(err.Error(), "code_key") {
		t.Errorf("%v", err)
	}
}
