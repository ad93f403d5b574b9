package executor_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"boxfleet/artifacts"
	"boxfleet/executor"
	"boxfleet/jobs"
	"boxfleet/limits"
	"boxfleet/limits/permission"
)

// withRegistry makes a rig whose worker looks modules up, as cmd/worker's does.
func withRegistry(t *testing.T, config func(*executor.Config), trusted ...ed25519.PublicKey) *rig {
	t.Helper()
	r := newRig(t, options{config: config})
	registry, err := jobs.OpenRegistry(t.Context(), r.js, trusted)
	if err != nil {
		t.Fatal(err)
	}
	r.exec.UseRegistry(registry)
	return r
}

// distinct pushes a guest with a custom section of its own, so that it is
// another module that does the same, and registers it.
func (r *rig) distinct(t *testing.T, guest, name, level string) jobs.Tool {
	t.Helper()
	tool := r.variant(t, guest, name)
	r.registerAs(t, tool, name, "1.0.0", level)
	return tool
}

func (r *rig) variant(t *testing.T, guest, name string) jobs.Tool {
	t.Helper()
	section := append([]byte{byte(len(name))}, name...)
	wasm, err := os.ReadFile(filepath.Join("testdata", "guests", guest+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return r.push(t, name, append(append(wasm, 0, byte(len(section))), section...))
}

func (r *rig) registerAs(t *testing.T, tool jobs.Tool, name, version, level string, keys ...ed25519.PrivateKey) {
	t.Helper()
	m := jobs.Manifest{Name: name, Version: version, Level: level, Digest: tool.Digest, Size: tool.Size, Kind: jobs.KindCommand}
	for _, k := range keys {
		m.Signatures = append(m.Signatures, m.Sign(k))
	}
	if _, err := r.client.Register(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// TestLevels runs jobs of every level with what they may and may not have. The
// worker decides by the module's digest, whatever the job calls its tool.
func TestLevels(t *testing.T) {
	r := withRegistry(t, func(c *executor.Config) {
		c.Permissions = permission.Policy{Tenants: map[string]permission.Ceiling{"reader": {MaxLevel: permission.ReadOnly}, "looker": {Tier: permission.TierSearchOnly}}}
	})
	lenient := withRegistry(t, func(c *executor.Config) { c.Permissions.MaxLevel = permission.Dangerous })
	strict := withRegistry(t, func(c *executor.Config) { c.Permissions.Unregistered = permission.Forbidden })
	source := r.tree(t, map[string]string{"a.txt": "a"})
	ro := limits.RunOption{WorkDir: &limits.Mount{Source: source}}
	scratch := limits.RunOption{WorkDir: &limits.Mount{Source: source, Mode: limits.Scratch}}
	empty := limits.RunOption{WorkDir: &limits.Mount{Mode: limits.Scratch}}
	rw := limits.RunOption{MapDirs: []limits.Mount{{Guest: "/out", Mode: limits.ReadWrite}}}
	consent := limits.RunOption{AllowDangerous: true}
	for i, c := range []struct {
		name, level string
		rig         *rig
		tenant      string
		words       string
		options     limits.RunOption
		rule        string // of the denial; "" when it runs
	}{
		{"none computes", "none", r, "", "say hi", limits.RunOption{}, ""},
		{"none with an empty scratch", "none", r, "", "write /t x", empty, ""},
		{"none with files", "none", r, "", "say hi", ro, "level.none.files"},
		{"none with the network", "none", r, "", "say hi", limits.RunOption{AllowedOutboundHosts: []string{"https://example.com"}}, "level.none.network"},
		{"none with a secret", "none", r, "", "say hi", limits.RunOption{EnvVars: map[string]string{"A": "secret://a"}}, "level.none.secrets"},
		{"a reader reads", "read_only", r, "", "cat /a.txt", ro, ""},
		{"a reader's scratch", "read_only", r, "", "write /a.txt x", scratch, ""},
		{"a reader with rw", "read_only", r, "", "write /out/x x", rw, "level.read_only.writes"},
		{"a writer", "write", r, "", "write /out/x x", rw, ""},
		{"execute", "execute", r, "", "write /out/x x", rw, ""},
		{"dangerous, operator does not permit", "dangerous", r, "", "say hi", consent, "operator.max-level"},
		{"dangerous without consent", "dangerous", lenient, "", "say hi", limits.RunOption{}, "level.dangerous.consent"},
		{"dangerous with both", "dangerous", lenient, "", "say hi", consent, ""},
		{"forbidden", "forbidden", lenient, "", "say hi", consent, "level.forbidden"},
		{"nobody said which level", "", r, "", "write /out/x x", rw, ""},
		{"and the operator wants it said", "", strict, "", "say hi", limits.RunOption{}, "level.forbidden"},
		{"a tenant's ceiling", "write", r, "reader", "say hi", limits.RunOption{}, "tenant.max-level"},
		{"below a tenant's ceiling", "read_only", r, "reader", "say hi", limits.RunOption{}, ""},
		{"a module without a level, below a ceiling", "", r, "reader", "say hi", limits.RunOption{}, "tenant.max-level"},
		{"a tenant that only looks", "none", r, "looker", "say hi", limits.RunOption{}, "tier.search-only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tool := c.rig.distinct(t, "act", fmt.Sprintf("levels-%d", i), c.level)
			// The job calls it something else: that changes nothing.
			tool.Name, tool.Version = "harmless", "1.0.0"
			job := &jobs.Job{Tool: tool, Args: strings.Fields(c.words), Options: c.options}
			client := c.rig.client
			if c.tenant != "" {
				var err error
				if client, err = jobs.NewClient(t.Context(), c.rig.nc, c.rig.js, c.tenant); err != nil {
					t.Fatal(err)
				}
			}
			res := runFor(t, client, job)
			if c.rule == "" {
				want{outcome: jobs.Succeeded}.check(t, res)
				return
			}
			want{outcome: jobs.Denied, err: []string{"[rule " + c.rule + "]"}, denial: c.rule + ": "}.check(t, res)
			if len(res.Stdout) > 0 || res.Phases[jobs.PhaseCompile] > 0 {
				t.Errorf("it ran, or was compiled: %+v", res)
			}
		})
	}
	r.alive(t) // unregistered modules run, as execute
	want{outcome: jobs.Denied, err: []string{"nobody has registered"}}.check(t, strict.run(t, &jobs.Job{Tool: strict.guest(t, "noop")}))
}

func runFor(t *testing.T, client *jobs.Client, j *jobs.Job) *jobs.Result {
	t.Helper()
	r := &rig{client: client, logs: &syncBuffer{}}
	return r.run(t, j)
}

// TestSameModuleTwice registers one module under several names: a second, more
// generous manifest is no way around the first.
func TestSameModuleTwice(t *testing.T) {
	r := withRegistry(t, nil)
	rw := limits.RunOption{MapDirs: []limits.Mount{{Guest: "/out", Mode: limits.ReadWrite}}}
	tool := r.variant(t, "act", "twice")
	r.registerAs(t, tool, "reader", "1.0.0", "read_only")
	r.registerAs(t, tool, "writer", "1.0.0", "write")
	tool.Name, tool.Version = "writer", "1.0.0"
	want{outcome: jobs.Denied, err: []string{"reader@1.0.0, of level read_only, changes nothing"}}.check(t, r.run(t, &jobs.Job{Tool: tool, Args: []string{"say", "x"}, Options: rw}))

	// A level that was wrong is corrected by another version and a yank.
	wrong := r.variant(t, "act", "corrected")
	r.registerAs(t, wrong, "fixed", "1.0.0", "none")
	r.registerAs(t, wrong, "fixed", "1.0.1", "write")
	if err := r.client.Yank(t.Context(), "fixed", "1.0.0", "wrong level"); err != nil {
		t.Fatal(err)
	}
	want{outcome: jobs.Succeeded}.check(t, r.run(t, &jobs.Job{Tool: wrong, Args: []string{"say", "x"}, Options: rw}))
	// A tool that is yanked altogether keeps its level.
	gone := r.variant(t, "act", "gone")
	r.registerAs(t, gone, "gone", "1.0.0", "none")
	if err := r.client.Yank(t.Context(), "gone", "1.0.0", ""); err != nil {
		t.Fatal(err)
	}
	want{outcome: jobs.Denied, denial: "level.none.writes"}.check(t, r.run(t, &jobs.Job{Tool: gone, Args: []string{"say", "x"}, Options: rw}))
}

func TestRequireSigned(t *testing.T) {
	alice, mallory := testKey(1), testKey(2)
	r := withRegistry(t, func(c *executor.Config) { c.RequireSigned = true }, alice.Public().(ed25519.PublicKey))
	before := counter(t, "boxfleet.compiles")
	say := func(tool jobs.Tool, o limits.RunOption) *jobs.Result {
		return r.run(t, &jobs.Job{Tool: tool, Args: []string{"say", "hi"}, Options: o})
	}
	rw := limits.RunOption{MapDirs: []limits.Mount{{Guest: "/out", Mode: limits.ReadWrite}}}

	unknown := r.variant(t, "act", "unknown")
	want{outcome: jobs.Denied, err: []string{"[rule operator.require-signed]", "nobody registered"}, denial: "permission tool: "}.check(t, say(unknown, limits.RunOption{}))
	unsigned := r.distinct(t, "act", "unsigned", "none")
	want{outcome: jobs.Denied, err: []string{"none of them signed unsigned@1.0.0", "submit tool sign"}}.check(t, say(unsigned, limits.RunOption{}))
	foreign := r.variant(t, "act", "foreign")
	r.registerAs(t, foreign, "foreign", "1.0.0", "none", mallory)
	want{outcome: jobs.Denied, denial: "operator.require-signed"}.check(t, say(foreign, limits.RunOption{}))
	want{outcome: jobs.Denied}.check(t, r.run(t, &jobs.Job{Tool: unsigned, CompileOnly: true}))
	if n := counter(t, "boxfleet.compiles") - before; n != 0 {
		t.Errorf("%d modules were compiled that nobody vouches for", n)
	}

	good := r.variant(t, "act", "good")
	r.registerAs(t, good, "good", "1.0.0", "read_only", alice)
	want{outcome: jobs.Succeeded, stdout: "hi\n"}.check(t, say(good, limits.RunOption{}))
	// Somebody without the key registers the same module with other levels:
	// neither more nor less is granted.
	r.registerAs(t, good, "lifted", "1.0.0", "write")
	r.registerAs(t, good, "blocked", "1.0.0", "forbidden")
	other := withSameRegistry(t, r, alice)
	want{outcome: jobs.Denied, denial: "level.read_only.writes"}.check(t, runFor(t, other, &jobs.Job{Tool: good, Args: []string{"say", "hi"}, Options: rw}))
	want{outcome: jobs.Succeeded, stdout: "hi\n"}.check(t, runFor(t, other, &jobs.Job{Tool: good, Args: []string{"say", "hi"}}))
}

// withSameRegistry makes the rig's worker forget what it looked up.
func withSameRegistry(t *testing.T, r *rig, keys ...ed25519.PrivateKey) *jobs.Client {
	t.Helper()
	var trusted []ed25519.PublicKey
	for _, k := range keys {
		trusted = append(trusted, k.Public().(ed25519.PublicKey))
	}
	registry, err := jobs.OpenRegistry(t.Context(), r.js, trusted)
	if err != nil {
		t.Fatal(err)
	}
	r.exec.UseRegistry(registry)
	return r.client
}

func testKey(fill byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{fill}, ed25519.SeedSize))
}

// TestSafeMethods holds tools that may only read to the methods that do.
func TestSafeMethods(t *testing.T) {
	var asked atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		_, _ = fmt.Fprint(w, "hello")
	}))
	defer web.Close()
	at := strings.TrimPrefix(web.URL, "http://")
	r := withRegistry(t, func(c *executor.Config) { c.AllowPrivateNetworks = true })
	reader, writer := r.distinct(t, "fetch", "fetch-reader", "read_only"), r.distinct(t, "fetch", "fetch-writer", "write")
	for _, c := range []struct {
		tool   jobs.Tool
		method string
		denied bool
	}{
		{reader, "GET", false}, {reader, "HEAD", false}, {reader, "OPTIONS", false},
		{reader, "POST", true}, {reader, "PUT", true}, {reader, "DELETE", true}, {reader, "PATCH", true}, {reader, "get", true}, {reader, "QUERY", true},
		{writer, "POST", false}, {writer, "DELETE", false},
	} {
		t.Run(c.tool.Name+" "+c.method, func(t *testing.T) {
			before := asked.Load()
			res := r.run(t, &jobs.Job{Tool: c.tool, Args: []string{"-m", c.method, at, "/"}, Options: limits.RunOption{AllowedOutboundHosts: []string{"http://127.0.0.1:*"}}})
			w := want{outcome: jobs.Succeeded}
			if c.denied {
				w.denial, w.stdout = "level.read_only.methods", "error code 15\n" // HTTP-request-denied
			}
			w.check(t, res)
			if got := asked.Load() - before; (got == 0) != c.denied {
				t.Errorf("the server was asked %d times", got)
			}
		})
	}
}

func TestCompileOnly(t *testing.T) {
	r := withRegistry(t, nil)
	tool := r.distinct(t, "act", "compiled", "none")
	before := counter(t, "boxfleet.compiles")
	res := r.run(t, &jobs.Job{Tool: tool, Args: []string{"say", "hi"}, CompileOnly: true})
	want{outcome: jobs.Succeeded}.check(t, res)
	if len(res.Stdout) > 0 || res.FuelConsumed != 0 || res.CacheHit != "none" || counter(t, "boxfleet.compiles")-before != 1 {
		t.Errorf("%+v", res)
	}
	if res = r.run(t, &jobs.Job{Tool: tool, Args: []string{"say", "hi"}}); res.CacheHit != "memory" || string(res.Stdout) != "hi\n" {
		t.Errorf("%+v", res)
	}
	want{outcome: jobs.Invalid, err: []string{"reactor"}}.check(t, r.run(t, &jobs.Job{Tool: r.guest(t, "reactor"), CompileOnly: true}))
	// A module that never runs can still be compiled: nothing of it runs.
	want{outcome: jobs.Succeeded}.check(t, r.run(t, &jobs.Job{Tool: r.distinct(t, "act", "never", "forbidden"), CompileOnly: true}))
}

func TestToolError(t *testing.T) {
	r := newRig(t, options{})
	for say, expect := range map[string]string{
		`{"content":"gone","is_error":true}`:                     "gone",
		`{"content":"gone","error":true}`:                        "gone",
		`Object{"content":String("gone"),"is_error":Bool(true)}`: "gone",
		`{"content":"here","is_error":false}`:                    "",
		`{"error":true}`:                                         "",
		"gone":                                                   "",
	} {
		res := r.run(t, &jobs.Job{Tool: r.guest(t, "act"), Args: []string{"say", say}})
		want{outcome: jobs.Succeeded}.check(t, res)
		if res.ToolError != expect {
			t.Errorf("%s: tool error %q, want %q", say, res.ToolError, expect)
		}
	}
	if res := r.run(t, &jobs.Job{Tool: r.guest(t, "act"), Args: []string{"say", `{"content":"gone","is_error":true}`, "exit", "3"}}); res.Outcome != jobs.Exited || res.ToolError != "gone" {
		t.Errorf("%+v", res)
	}
}

// TestRegistryUnreadable takes the registry away: the job is not run on a guess,
// and runs when the registry is back.
func TestRegistryUnreadable(t *testing.T) {
	r := newRig(t, options{})
	broken := &brokenRegistry{}
	broken.failures.Store(2)
	r.exec.UseRegistry(broken)
	res := r.run(t, &jobs.Job{Tool: r.guest(t, "act"), Args: []string{"say", "hi"}, Retry: jobs.Retry{MaxAttempts: 5}})
	want{outcome: jobs.Succeeded, stdout: "hi\n"}.check(t, res)
	if broken.asked.Load() != 3 {
		t.Errorf("asked %d times", broken.asked.Load())
	}
}

// brokenRegistry is a registry that cannot be read the first few times.
type brokenRegistry struct{ failures, asked atomic.Int64 }

func (b *brokenRegistry) Lookup(context.Context, artifacts.Digest) ([]jobs.Registered, error) {
	b.asked.Add(1)
	if b.failures.Add(-1) >= 0 {
		return nil, errors.New("no answer")
	}
	return nil, nil
}
