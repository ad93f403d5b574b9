package executor_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"boxfleet/executor"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// corpus reads the guests of a folder of testdata/hostile.
func corpus[T any](t *testing.T, folder string) []T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "hostile", folder, "corpus.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ Guests []T }
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c.Guests
}

func (r *rig) hostile(t *testing.T, folder, name string) jobs.Tool {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("testdata", "hostile", folder, name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return r.push(t, "guest", wasm)
}

type hostileFiles struct {
	Name   string
	Worker *bool // false: what it is given cannot be staged by a job
	Mounts []struct{ Guest, Mode, Stage string }
	Args   []string
	Env    []string
	Stdin  string
	Quota  struct {
		WrittenBytes int64 `json:"written_bytes"`
		Files        int64
		OpenFiles    int64 `json:"open_files"`
	}
	StdoutCap int64 `json:"stdout_cap"`
	Stop      string
	Race      string
	Outcome   string
	Exit      int64
	Stdout    string
	Limit     string
}

// TestHostileFiles runs the file corpus through the queue and one worker,
// every guest twice and many at once, on a shared read-only tree where it has
// one. What the tests of the WASI layer do with the same guests needs a hand
// on the host's side: races, links and devices in a staged directory.
func TestHostileFiles(t *testing.T) {
	r := newRig(t, options{})
	outside := filepath.Join(r.dir, "outside") // beside the scratch and cache directories
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "canary"), []byte("canary: not for guests"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, outside)
	tree := r.tree(t, map[string]string{"hello.txt": "hello", "dir/inner.txt": "inner", "empty/": ""})
	expected := map[string]hostileFiles{}
	var ids []string
	for _, g := range corpus[hostileFiles](t, "fs") {
		switch {
		case g.Worker != nil && !*g.Worker, g.Race != "":
			continue
		case g.Stdin == "silent", strings.HasPrefix(g.Limit, "depth"), strings.HasPrefix(g.Limit, "dir_entries"):
			continue // a job's stdin is never silent, and no job can set these two limits
		}
		job := &jobs.Job{Tool: r.hostile(t, "fs", g.Name), Options: limits.RunOption{
			WasmTimeout: limits.Duration(20 * time.Second), MaxWrittenBytes: limits.Bytes(g.Quota.WrittenBytes),
			MaxFiles: uint64(g.Quota.Files), MaxOpenFiles: uint64(g.Quota.OpenFiles), MaxStdout: limits.Bytes(g.StdoutCap),
		}}
		if len(g.Args) > 0 {
			job.Args = g.Args[1:]
		}
		for _, v := range g.Env {
			name, value, _ := strings.Cut(v, "=")
			job.Options.EnvVars = map[string]string{name: value}
		}
		if g.Outcome == "stopped" {
			job.Options.WasmTimeout = limits.Duration(200 * time.Millisecond)
		}
		plain := true
		for _, m := range g.Mounts {
			plain = plain && m.Stage == "plain"
			mount := limits.Mount{Source: tree, Guest: m.Guest, Mode: limits.Mode(m.Mode)}
			if m.Guest == "/" {
				job.Options.WorkDir = &mount
			} else {
				job.Options.MapDirs = append(job.Options.MapDirs, mount)
			}
		}
		if !plain {
			continue // the store refuses links and special files: they cannot be staged
		}
		for range 2 {
			copied := *job
			id := r.submit(t, &copied)
			ids, expected[id] = append(ids, id), g
		}
	}
	if len(ids) < 2*50 {
		t.Fatalf("only %d jobs", len(ids))
	}
	for id, rec := range r.await(t, ids...) {
		g, res := expected[id], rec.Result
		t.Run(g.Name, func(t *testing.T) {
			w := want{outcome: jobs.Exited, exit: int(g.Exit)}
			switch {
			case g.StdoutCap > 0:
				w.outcome = jobs.OutputLimit // a job that floods is stopped, whatever its guest would make of an errno
			case g.Outcome == "exited" && g.Exit == 0:
				w.outcome = jobs.Succeeded
			case g.Outcome == "stopped":
				w.outcome = jobs.TimedOut
			case g.Outcome == "refused":
				w.outcome = jobs.Invalid
			}
			if g.Limit != "" && !strings.HasPrefix(g.Limit, "name_len") {
				w.denial = "limit file system " + g.Limit
			}
			w.check(t, res)
			if g.Stdout != "" && string(res.Stdout) != g.Stdout {
				t.Errorf("stdout %q, want %q", res.Stdout, g.Stdout)
			}
			if rec.Attempt != 1 {
				t.Errorf("%d attempts", rec.Attempt)
			}
		})
	}
	if after := snapshot(t, outside); !maps.Equal(before, after) {
		t.Errorf("the canary was touched: %q, before %q", after, before)
	}
	// The tree that all of them shared is what it was.
	job := r.act(t, "cat hello.txt cat dir/inner.txt ls /", limits.RunOption{WorkDir: &limits.Mount{Source: tree}})
	want{outcome: jobs.Succeeded, stdout: "helloinnerdir\nempty\nhello.txt\n"}.check(t, r.run(t, job))
	r.checkSwept(t)
}

// snapshot describes a directory down to times of modification.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			seen[path] += string(data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

type hostileNet struct {
	Name     string
	Allow    []string
	BlockURL []string `json:"block_url"`
	Private  bool
	Limits   struct{ Requests, Bytes, Concurrent, Redirects int64 }
	Outcome  string
	Exit     int
	Trap     string
	Denied   []string
	MaxHits  *int64 `json:"max_hits"`
}

// TestHostileNetwork runs the network corpus likewise. Each run has a server of
// its own, so that its requests can be counted.
func TestHostileNetwork(t *testing.T) {
	open := newRig(t, options{config: func(c *executor.Config) { c.AllowPrivateNetworks = true }})
	closed := newRig(t, options{})
	ran := 0
	for _, g := range corpus[hostileNet](t, "net") {
		if g.Limits.Concurrent > 0 || g.Limits.Redirects > 0 {
			continue // no job can set these
		}
		ran++
		t.Run(g.Name, func(t *testing.T) {
			r := closed
			if g.Private {
				r = open
			}
			var hits [2]atomic.Int64
			var admin atomic.Int64
			var ids [2]string
			for i := range ids {
				web := httptest.NewServer(hostileServer(&hits[i], &admin))
				defer web.Close()
				defer web.CloseClientConnections()
				host := strings.TrimPrefix(web.URL, "http://")
				job := &jobs.Job{Tool: r.hostile(t, "net", g.Name), Args: []string{host}, Options: limits.RunOption{
					WasmTimeout: limits.Duration(20 * time.Second), MaxOutboundBytes: limits.Bytes(g.Limits.Bytes), MaxOutboundRequests: uint64(g.Limits.Requests),
				}}
				if g.Outcome == "timed_out" {
					job.Options.WasmTimeout = limits.Duration(300 * time.Millisecond)
				}
				for _, a := range g.Allow {
					job.Options.AllowedOutboundHosts = append(job.Options.AllowedOutboundHosts, strings.ReplaceAll(a, "SERVER", host))
				}
				for _, b := range g.BlockURL {
					job.Options.BlockURL = append(job.Options.BlockURL, strings.ReplaceAll(b, "SERVER", host))
				}
				ids[i] = r.submit(t, job)
			}
			records := r.await(t, ids[:]...)
			for i, id := range ids {
				res := records[id].Result
				w := want{outcome: jobs.Outcome(g.Outcome), exit: g.Exit}
				if g.Outcome == "exited" && g.Exit == 0 {
					w.outcome = jobs.Succeeded
				}
				if g.Trap != "" {
					w.err = []string{g.Trap}
				}
				w.check(t, res)
				for _, rule := range g.Denied {
					found := false
					for _, d := range res.Denials {
						found = found || strings.HasPrefix(d.Rule, rule)
					}
					if !found {
						t.Errorf("no denial by %q among %v", rule, res.Denials)
					}
				}
				if g.MaxHits != nil && hits[i].Load() > *g.MaxHits {
					t.Errorf("%d requests reached the server, at most %d may", hits[i].Load(), *g.MaxHits)
				}
			}
			if n := admin.Load(); n > 0 {
				t.Errorf("%d requests reached /admin", n)
			}
		})
	}
	if ran < 15 {
		t.Errorf("only %d guests", ran)
	}
	open.alive(t)
	closed.alive(t)
}

// hostileServer is the canary that the corpus's README describes.
func hostileServer(hits, admin *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		if strings.Contains(r.URL.Path, "admin") {
			admin.Add(1)
		}
		switch r.URL.Path {
		case "/redirect-out":
			http.Redirect(w, r, "http://denied.example/latest/meta-data/", http.StatusFound)
		case "/redirect-loop":
			http.Redirect(w, r, "/redirect-loop", http.StatusFound)
		case "/endless":
			for block := make([]byte, 4096); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(make([]byte, 10<<20))
			_ = z.Close()
		case "/discard":
			_, _ = io.Copy(io.Discard, r.Body)
		case "/hang":
			<-r.Context().Done()
		default:
			_, _ = io.WriteString(w, "ok")
		}
	})
}
