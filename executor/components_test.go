package executor_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/executor"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// component pushes a component of limits/component/testdata.
func (r *rig) component(t *testing.T, name string) jobs.Tool {
	t.Helper()
	if tool, ok := r.tools[name]; ok {
		return tool
	}
	wasm, err := os.ReadFile(filepath.Join("..", "limits", "component", "testdata", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return r.push(t, name, wasm)
}

// TestComponents runs components made with preview-1 adapters of several
// versions: what they see and what becomes of them is as for any command.
func TestComponents(t *testing.T) {
	r := newRig(t, options{})
	tree := r.tree(t, map[string]string{"in.txt": "from the file\n"})
	for _, name := range []string{"say-jco1.0.0", "say-jco1.15.4", "say-jco1.35.0"} {
		t.Run(name, func(t *testing.T) {
			tool := r.component(t, name)
			job := func() *jobs.Job {
				return &jobs.Job{Tool: tool, Args: []string{"one", "zwei ü"}, Options: limits.RunOption{
					EnvVars: map[string]string{"A": "1", "B": "two words"}, WorkDir: &limits.Mount{Source: tree},
				}}
			}
			wanted := want{outcome: jobs.Exited, exit: 3, stdout: name + "\none\nzwei ü\nA=1\nB=two words\nfrom the file\n"}
			first := r.run(t, job())
			wanted.check(t, first)
			if first.CacheHit != "none" {
				t.Errorf("the first run found the module in %q", first.CacheHit)
			}
			again := r.run(t, job())
			wanted.check(t, again)
			if again.CacheHit != "memory" {
				t.Errorf("the second run found the module in %q", again.CacheHit)
			}
			if first.FuelConsumed != again.FuelConsumed || first.FuelConsumed == 0 {
				t.Errorf("fuel %d, then %d", first.FuelConsumed, again.FuelConsumed)
			}
			fresh, no := job(), false
			fresh.Options.Cache = &no
			wanted.check(t, r.run(t, fresh))
			poor := job()
			poor.Options.WasmFuel = 100
			want{outcome: jobs.OutOfFuel}.check(t, r.run(t, poor))
		})
	}
}

// TestComponentFromDisk runs a component whose main module another worker left
// in the compile cache, which must still know how the program starts.
func TestComponentFromDisk(t *testing.T) {
	dir := t.TempDir()
	for i, hit := range []string{"none", "disk"} {
		t.Run(hit, func(t *testing.T) {
			r := newRig(t, options{dir: dir})
			res := r.run(t, &jobs.Job{Tool: r.component(t, "say-jco1.15.4"), Args: make([]string, i)})
			want{outcome: jobs.Exited, exit: 1 + i}.check(t, res)
			if res.CacheHit != hit {
				t.Errorf("the module was found in %q, want %q", res.CacheHit, hit)
			}
		})
	}
}

// TestComponentNetwork lets a component that was lowered from wasi:http 0.2.9
// make requests, under the job's rules.
func TestComponentNetwork(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "hello")
	}))
	defer web.Close()
	authority := strings.TrimPrefix(web.URL, "http://")
	r := newRig(t, options{config: func(c *executor.Config) { c.AllowPrivateNetworks = true }})
	tool := r.component(t, "fetch")
	args := []string{authority, "/", "/again"}
	want{outcome: jobs.Succeeded, stdout: "status 200, 5 bytes\nstatus 200, 5 bytes\n"}.check(t,
		r.run(t, &jobs.Job{Tool: tool, Args: args, Options: limits.RunOption{AllowedOutboundHosts: []string{"http://127.0.0.1:*"}}}))
	want{outcome: jobs.Succeeded, stdout: "error code 15\nerror code 15\n", denial: "network http://127.0.0.1"}.check(t,
		r.run(t, &jobs.Job{Tool: tool, Args: args}))
}

// TestComponentRefused: what cannot run is invalid, with the reason, and final.
func TestComponentRefused(t *testing.T) {
	r := newRig(t, options{})
	whole, err := os.ReadFile(filepath.Join("..", "limits", "component", "testdata", "say-jco1.35.0.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		wasm []byte
		err  string
	}{
		{"empty", whole[:8], "it exports nothing"},
		{"cut", whole[:len(whole)/2], "invalid component"},
		{"another version", append([]byte("\x00asm\x0a\x00\x01\x00"), whole[8:]...), "version 0xa"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := r.run(t, &jobs.Job{Tool: r.push(t, c.name, c.wasm)})
			want{outcome: jobs.Invalid, err: []string{c.err}}.check(t, res)
			if res.Attempts > 1 {
				t.Errorf("%d attempts", res.Attempts)
			}
		})
	}
	r.alive(t)
}
