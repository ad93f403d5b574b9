package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// These tests run the built programs as an agent's host does: `submit mcp` as a
// process, against this binary's fleet, and against `worker dev` with its real
// queue, store, worker and guests.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

// build makes a program once and gives its path.
func build(t testing.TB, names ...string) string {
	t.Helper()
	programs.once.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "mcp-*"); programs.err != nil {
			return
		}
		for name, from := range map[string][2]string{"submit": {"../..", "./cmd/submit"}, "worker": {"../..", "./cmd/worker"}, "devs3": {"../devs3", "."}} {
			build := exec.Command("go", "build", "-o", filepath.Join(programs.dir, name), from[1])
			build.Dir = from[0]
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
			if text, err := build.CombinedOutput(); err != nil {
				programs.err = fmt.Errorf("build %s: %w\n%s", name, err, text)
				return
			}
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, names[0])
}

func stopProcesses() error {
	if programs.dir == "" {
		return nil
	}
	return os.RemoveAll(programs.dir)
}

// environment is this process's own without what would steer submit.
func environment(dir string) []string {
	env := []string{"BOXFLEET_CONTEXT=" + dir}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "BOXFLEET_") && !strings.HasPrefix(e, "OTEL_") {
			env = append(env, e)
		}
	}
	return env
}

// started is `submit mcp` as a process.
type started struct {
	cmd *exec.Cmd
	err bytes.Buffer
}

func submitMCP(t testing.TB, contextDir string, args ...string) *started {
	s := &started{cmd: exec.Command(build(t, "submit"), append([]string{"mcp"}, args...)...)}
	s.cmd.Env = environment(contextDir)
	s.cmd.Stderr = &s.err
	return s
}

// overStdio connects an agent to a process of its own.
func overStdio(t *testing.T, version, contextDir string, args ...string) (*agent, *started) {
	t.Helper()
	s := submitMCP(t, contextDir, args...)
	a := dial(t, &sdk.CommandTransport{Command: s.cmd}, version)
	return a, s
}

func TestSubmitMCPOverStandardInputAndOutput(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	sleep := newSleeper()
	tool, sleeper := u.tool(echo), u.tool(sleep.run)
	for i, end := range []string{"end of input", "end of input during a call", "terminate during a call"} {
		s := submitMCP(t, theFleet.dir, "--tenant", u.client.Tenant(), "--keyword", u.keyword)
		in, err := s.cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		a := dial(t, &sdk.IOTransport{Reader: out, Writer: in}, versions[i%2])
		r, err := a.CallTool(t.Context(), callOf(tool, "hello"))
		if err != nil {
			t.Fatalf("%v\n%s", err, s.err.String())
		}
		wants(t, r, false, "hello")
		answered := make(chan error, 1)
		if end == "end of input" {
			answered <- nil
			_ = in.Close()
		} else {
			go func() {
				_, err := a.CallTool(t.Context(), callOf(sleeper))
				answered <- err
			}()
			id := <-sleep.started
			if end == "terminate during a call" {
				_ = s.cmd.Process.Signal(syscall.SIGTERM)
			} else {
				_ = in.Close()
			}
			sleep.canceled(t, u, id)
		}
		<-answered
		_ = a.Close() // reads what is left, so that Wait may close the pipe
		if err := s.cmd.Wait(); err != nil || s.err.Len() > 0 {
			t.Errorf("%s: the process ended with %v, and said %q", end, err, s.err.String())
		}
	}
}

func TestSubmitMCPOverHTTP(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	file := filepath.Join(t.TempDir(), "token")
	s := submitMCP(t, theFleet.dir, "--tenant", u.client.Tenant(), "--keyword", u.keyword, "--http", "127.0.0.1:0", "--token-file", file, "--json")
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var at struct{ URL, Token string }
	if err := json.NewDecoder(out).Decode(&at); err != nil {
		t.Fatalf("%v\n%s", err, s.err.String())
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info, err)
	}
	if data, _ := os.ReadFile(file); strings.TrimSpace(string(data)) != at.Token || len(at.Token) < 40 {
		t.Errorf("the file holds %q, the program says %q", data, at.Token)
	}
	conns := &http.Transport{}
	defer conns.CloseIdleConnections()
	a := dial(t, &sdk.StreamableClientTransport{Endpoint: at.URL, HTTPClient: &http.Client{Transport: bearer{conns, at.Token}}, MaxRetries: -1}, versions[0])
	r, err := a.CallTool(t.Context(), callOf(tool, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	wants(t, r, false, "hello")
	_ = a.Close()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the process ended with %v\n%s", err, s.err.String())
	}
}

func TestSubmitMCPRefusesWhatIsUnsafeOrWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	short := filepath.Join(dir, "short")
	if err := errors.Join(os.WriteFile(open, []byte(NewToken()), 0o644), os.Chmod(open, 0o644), os.WriteFile(short, []byte("abc\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--http", "0.0.0.0:0"}, "--allow-remote"},
		{[]string{"--http", ":0"}, "--allow-remote"},
		{[]string{"--http", "example.com:80"}, "--allow-remote"},
		{[]string{"--http", "127.0.0.1"}, "no address"},
		{[]string{"--http", "127.0.0.1:0", "--token-file", open}, "chmod 600"},
		{[]string{"--http", "127.0.0.1:0", "--token-file", short}, "no token"},
		{[]string{"--token-file", short}, "for --http"},
		{[]string{"--tier", "most"}, `tier "most"`},
		{[]string{"--max-level", "dangerous"}, "consent"},
		{[]string{"--tool", "Not/A/Tool"}, "NAME"},
		{[]string{"--work-dir", "/none/at/all"}, "--work-dir"},
		{[]string{"--work-dir", ":rw"}, "name a directory"},
		{[]string{"--work-dir", "sha256:" + strings.Repeat("0", 64) + ":rw"}, "never changes"},
		{[]string{"--map-dir", dir + "::/x:rw"}, "only the changes of --work-dir"},
		{[]string{"--timeout", "0"}, "--timeout"},
		{[]string{"extra"}, "extra"},
	} {
		s := submitMCP(t, theFleet.dir, c.args...)
		out, err := s.cmd.Output()
		if code := s.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(s.err.String(), c.want) || len(out) > 0 {
			t.Errorf("%q: exit code %d (%v), %q; want 2 and %q", c.args, code, err, s.err.String(), c.want)
		}
	}
}

// realFleet is `worker dev` with some of the toolbox.
func realFleet(t testing.TB, tools ...string) string {
	t.Helper()
	dir := t.TempDir()
	data, ready := filepath.Join(dir, "data"), filepath.Join(dir, "ready")
	worker := exec.Command(build(t, "worker"), "dev", "--data", data, "--no-current", "--ready-file", ready, "--allow-private-networks", "--log-level", "warn")
	var log bytes.Buffer
	worker.Stderr = &log
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Wait() }()
	t.Cleanup(func() {
		_ = worker.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("the worker ended with %v\n%s", err, log.String())
		}
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); ; {
		if info, err := os.Stat(ready); err == nil && info.Size() > 0 {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the worker ended before it was ready: %v\n%s", err, log.String())
		case <-late:
			t.Fatalf("the worker was not ready within a minute\n%s", log.String())
		case <-tick.C:
		}
	}
	for _, tool := range tools {
		push := exec.Command(build(t, "submit"), "tool", "push", "--manifest", "../../toolbox/tools/"+tool+".json", "--wasm-dir", "../../toolbox/dist")
		push.Env = environment(data)
		if text, err := push.CombinedOutput(); err != nil {
			t.Fatalf("push %s (is the toolbox built? make toolbox): %v\n%s", tool, err, text)
		}
	}
	return data
}

func TestAnAgentWorksWithRealTools(t *testing.T) {
	t.Parallel()
	data := realFleet(t, "grep", "file-write", "noop")
	dir := directory(t, map[string]string{"notes.txt": "milk\nbread\n", "sub/more.txt": "bread\n"})
	a, s := overStdio(t, versions[1], data, "--work-dir", dir+":rw")
	names, _ := a.list()
	if diff := cmp.Diff([]string{searchName, "file-write", "grep", "noop"}, names); diff != "" {
		t.Fatalf("tools: %s\n%s", diff, s.err.String())
	}
	wants(t, a.call("file-write", args{"file_path": "sub/new.txt", "content": "more bread\n"}), false, "written sub/new.txt")
	if got := files(t, dir)["sub/new.txt"]; got != "more bread\n" {
		t.Errorf("the new file holds %q", got)
	}
	r := a.call("grep", args{"pattern": "^(more )?bread", "recursive": true, "path": []string{"."}})
	wants(t, r, false, "notes.txt:bread", "sub/more.txt:bread", "sub/new.txt:more bread")
	if meta := r.Meta[metaResult].(map[string]any); meta["fuel_consumed"].(float64) <= 0 {
		t.Errorf("meta %v", meta)
	}
	wants(t, a.call("grep", args{"pattern": "a(", "path": []string{"notes.txt"}}), true, "exited with code 2", "standard error")
	wants(t, a.call("grep", args{"pattern": "x", "stdin": "axb\n"}), false, "axb")
	wants(t, a.call("noop", nil), false, "wrote nothing")

	small, _ := overStdio(t, versions[0], data, "--work-dir", dir+":rw", "--tier", "read-only", "--max-memory", "1MiB")
	wants(t, small.call("file-write", args{"file_path": "x", "content": "x"}), true, "tier.read-only")
	wants(t, small.call("grep", args{"pattern": "x"}), true, "outcome out_of_memory")
}

func TestInputThatIsNoMessageEndsTheConnectionWithAReason(t *testing.T) {
	t.Parallel()
	s := submitMCP(t, theFleet.dir)
	s.cmd.Stdin = strings.NewReader("no message\n")
	out, _ := s.cmd.Output()
	if code := s.cmd.ProcessState.ExitCode(); code != 125 || len(out) > 0 || !strings.Contains(s.err.String(), "no message (one line of JSON") {
		t.Errorf("exit code %d, %q, %q", code, out, s.err.String())
	}
}
