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
	for _, name := range []string{"say-jco1.0.0", "say-jco1.15.4", "say-jco1.35.0", "reactor-jco1.15.4", "reactor-jco1.35.0"} {
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
			for _, name := range []string{"say-jco1.15.4", "reactor-jco1.15.4"} {
				res := r.run(t, &jobs.Job{Tool: r.component(t, name), Args: make([]string, i)})
				want{outcome: jobs.Exited, exit: 1 + i}.check(t, res)
				if res.CacheHit != hit {
					t.Errorf("%s was found in %q, want %q", name, res.CacheHit, hit)
				}
			}
		})
	}
	r := newRig(t, options{})
	// A tool of 2024 makes components that nobody initializes; the program says so.
	want{outcome: jobs.Exited, exit: 1, stdout: ""}.check(t, r.run(t, &jobs.Job{Tool: r.component(t, "reactor-jco1.0.0")}))
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

// TestNativeComponents runs a program that speaks WASI 0.2 alone. It names the
// cases of wasi:filesystem/types.error-code by their numbers: 7 exist, 12
// invalid, 14 is-directory, 20 no-entry, 24 not-directory, 31 not-permitted,
// 33 read-only, 6 quota, 23 insufficient-space. What it prints is what Wasmtime
// makes it print, but for the limits and the codes in "the wrong way round",
// where Wasmtime is laxer.
func TestNativeComponents(t *testing.T) {
	r := newRig(t, options{})
	tree := r.tree(t, map[string]string{"in.txt": "from the file\n", "sub/x": "deep"})
	ro, rw := &limits.Mount{Source: tree}, &limits.Mount{Source: tree, Mode: limits.ReadWrite}
	none := map[string]string{}
	for _, c := range []struct {
		name    string
		words   string
		options limits.RunOption
		stdin   string
		want    want
		outputs map[string]string
	}{
		{"arguments, variables, streams", "env say ü warn uh stdin", limits.RunOption{EnvVars: map[string]string{"A": "1", "B": "x=y"}}, "typed",
			want{outcome: jobs.Succeeded, stdout: "A=1\nB=x=y\nü\ntyped", stderr: "uh"}, none},
		{"no files", "dirs cat in.txt", limits.RunOption{}, "", want{outcome: jobs.Trapped, err: []string{"handle 0 does not exist"}}, none},
		{"the rest", "more sockets", limits.RunOption{}, "",
			want{outcome: jobs.Succeeded, stdout: "cwd 0\nterminal 0\nclock 1\nrandom 7\nwritten\nroom 1\ntcp 1\nudp 1\nname 20\n"}, none},
		{"a read-only mount", "dirs cat in.txt write in.txt x 1 write new x 1 mkdir d rm in.txt touch in.txt 1 size in.txt 1 ls .", limits.RunOption{WorkDir: ro}, "",
			want{outcome: jobs.Succeeded, stdout: "/\nfrom the file\nerror 33\nerror 33\nerror 33\nerror 33\nerror 33\nerror 33\nerror 33\nerror 33\nin.txt type 6\nsub type 3\nentries 2\n"}, none},
		{"a changed mount", "write w abc 3 append w + 2 pread w 2 3 pread w 100 3 pwrite w 1 XYZ cat w cp w c mkdir d mv c d/c", limits.RunOption{WorkDir: rw}, "",
			want{outcome: jobs.Succeeded, stdout: "cab end 0\n end 1\nwrote 3\naXYZbcabc++"}, map[string]string{"w": "aXYZbcabc++", "d/c": "aXYZbcabc++"}},
		{"names", "mkdir d mkdir d rmdir d rmdir d rm nope rmdir in.txt mv in.txt moved symlink moved link readlink link readlink moved ln moved hard same moved hard same moved sub/x cat link", limits.RunOption{WorkDir: rw}, "",
			want{outcome: jobs.Succeeded, stdout: "error 7\nerror 20\nerror 20\nerror 24\nmoved\nerror 12\nsame 1\nhash 1\nsame 0\nhash 0\nfrom the file\n"},
			map[string]string{"moved": "from the file\n", "hard": "from the file\n"}},
		{"what files are", "stat sub size in.txt 4 touch in.txt 1000000000 fstat in.txt stat nope", limits.RunOption{WorkDir: rw}, "",
			want{outcome: jobs.Succeeded}, map[string]string{"in.txt": "from"}},
		{"the wrong way round", "wrong in.txt ls in.txt", limits.RunOption{WorkDir: rw}, "",
			want{outcome: jobs.Succeeded, stdout: "error 3\nerror 3\nerror 3\nerror 3\nerror 24\nerror 3\nerror 14\nerror 24\nerror 24\n"}, none},
		{"escapes", "cat ../x cat /etc/passwd cat sub/../in.txt cat sub/../../in.txt symlink ../../etc/passwd e cat e symlink /etc/passwd a cat a cat sub/../e", limits.RunOption{WorkDir: rw}, "",
			want{outcome: jobs.Succeeded, stdout: "error 31\nerror 31\nfrom the file\nerror 31\nerror 31\nerror 31\nerror 20\nerror 31\n"}, none},
		{"too many open files", "open-many 100 in.txt", limits.RunOption{WorkDir: ro, MaxOpenFiles: 20}, "",
			want{outcome: jobs.Succeeded, stdout: "error 6\nopened 20\n", denial: "open"}, none},
		{"too much written", "write w 0123456789 100", limits.RunOption{WorkDir: rw, MaxWrittenBytes: 500}, "",
			want{outcome: jobs.Succeeded, stdout: "error 23\n", denial: "written"}, nil},
		{"too much said", "flood 0123456789", limits.RunOption{MaxStdout: 1000}, "", want{outcome: jobs.OutputLimit, err: []string{"stdout"}}, none},
		{"too much fuel", "flood 0123456789", limits.RunOption{WasmFuel: 10_000}, "", want{outcome: jobs.OutOfFuel}, none},
		{"exit", "exit 1", limits.RunOption{}, "", want{outcome: jobs.Exited, exit: 1}, none},
		{"exit well", "exit 0 say never", limits.RunOption{}, "", want{outcome: jobs.Succeeded}, none},
		{"a result that is no result", "exit 2", limits.RunOption{}, "", want{outcome: jobs.Trapped, err: []string{"2 is no discriminant"}}, none},
		{"run fails", "say so fail say never", limits.RunOption{}, "", want{outcome: jobs.Exited, exit: 1, stdout: "so\n"}, none},
		{"a handle dropped twice", "twice", limits.RunOption{WorkDir: ro}, "", want{outcome: jobs.Trapped, err: []string{"handle"}}, none},
		{"a handle that cannot be", "socket-handle", limits.RunOption{WorkDir: ro}, "", want{outcome: jobs.Trapped, err: []string{"no sockets"}}, none},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, tool := range []string{"native-jco1.0.0", "native-jco1.35.0"} {
				j := &jobs.Job{Tool: r.component(t, tool), Args: strings.Fields(c.words), Options: c.options}
				if c.stdin != "" {
					j.Stdin = &jobs.Stdin{Inline: c.stdin}
				}
				res := r.run(t, j)
				c.want.check(t, res)
				if c.outputs != nil {
					same(t, "outputs", r.outputs(t, res), c.outputs)
				}
			}
		})
	}
	r.alive(t)
}

// TestNativeDirectory lists a directory that takes more than one look of the
// host, which must give each entry once.
func TestNativeDirectory(t *testing.T) {
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("d/%d", i)] = ""
	}
	r := newRig(t, options{})
	res := r.run(t, &jobs.Job{Tool: r.component(t, "native-jco1.35.0"), Args: []string{"ls", "d"}, Options: limits.RunOption{WorkDir: &limits.Mount{Source: r.tree(t, files)}}})
	want{outcome: jobs.Succeeded}.check(t, res)
	if !strings.HasSuffix(string(res.Stdout), "\nentries 1000\n") {
		t.Errorf("stdout %q", res.Stdout)
	}
}

// TestNativeDeterministic: two runs of a deterministic job see the same clock.
func TestNativeDeterministic(t *testing.T) {
	r := newRig(t, options{})
	var fuel []uint64
	for range 2 {
		res := r.run(t, &jobs.Job{Tool: r.component(t, "native-jco1.35.0"), Args: []string{"more"}, Options: limits.RunOption{Deterministic: true}})
		want{outcome: jobs.Succeeded, stdout: "cwd 0\nterminal 0\nclock 1\nrandom 7\nwritten\nroom 1\n"}.check(t, res)
		fuel = append(fuel, res.FuelConsumed)
	}
	if fuel[0] != fuel[1] {
		t.Errorf("fuel %d, then %d", fuel[0], fuel[1])
	}
}
