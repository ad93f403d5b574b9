package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// These tests run the built programs as a user does: submit as a process,
// against `worker dev` with its real queue, store, worker and guests.
var (
	binaries string // directory of submit, worker and devs3
	fleetDir string // of the fleet
	worker   *exec.Cmd
)

func TestMain(m *testing.M) {
	code, err := withFleet(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withFleet(tests func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "submit-e2e-*")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binaries = dir
	for name, from := range map[string][2]string{"submit": {"../..", "./cmd/submit"}, "worker": {"../..", "./cmd/worker"}, "devs3": {"../../internal/devs3", "."}} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, name), from[1])
		build.Dir = from[0]
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if text, err := build.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("build %s: %w\n%s", name, err, text)
		}
	}
	fleetDir = filepath.Join(dir, "data")
	ready := filepath.Join(dir, "ready")
	worker = exec.Command(filepath.Join(dir, "worker"), "dev", "--data", fleetDir, "--no-current", "--ready-file", ready)
	var log bytes.Buffer
	worker.Stderr = &log
	if err := worker.Start(); err != nil {
		return 1, err
	}
	ended := make(chan error, 1)
	go func() { ended <- worker.Wait() }()
	defer func() {
		_ = worker.Process.Signal(syscall.SIGTERM)
		if werr := <-ended; werr != nil {
			err = errors.Join(err, fmt.Errorf("the worker ended badly: %w\n%s", werr, log.String()))
		}
	}()
	if err := waitFor(ready, ended); err != nil {
		return 1, fmt.Errorf("%w\n%s", err, log.String())
	}
	for _, tool := range []string{"probe", "spin", "noop"} {
		push := exec.Command(filepath.Join(dir, "submit"), "tool", "push", "--manifest", "../../toolbox/tools/"+tool+".json", "--wasm-dir", "../../toolbox/dist")
		push.Env = environment()
		if text, err := push.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("push %s (is the toolbox built? make toolbox): %w\n%s", tool, err, text)
		}
	}
	return tests(), nil
}

// waitFor waits for a file that is written when the fleet is up.
func waitFor(path string, ended <-chan error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(60 * time.Second)
	for {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the worker ended before it was ready: %w", err)
		case <-late:
			return errors.New("the worker was not ready within a minute")
		case <-tick.C:
		}
	}
}

// environment is this process's own without what would steer submit.
func environment() []string {
	env := []string{"BOXFLEET_CONTEXT=" + fleetDir}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "BOXFLEET_") && !strings.HasPrefix(e, "OTEL_") {
			env = append(env, e)
		}
	}
	return env
}

func command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(binaries, "submit"), args...)
	c.Env = environment()
	return c
}

type said struct {
	code     int
	out, err string
}

func submit(t *testing.T, stdin string, args ...string) said {
	t.Helper()
	c := command(t.Context(), args...)
	var out, errOut bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errOut
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return said{c.ProcessState.ExitCode(), out.String(), errOut.String()}
}

func TestGolden(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := errors.Join(os.Mkdir(in, 0o755), os.WriteFile(filepath.Join(in, "a.txt"), []byte("hello\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	for name, tc := range map[string]struct {
		stdin string
		args  []string
		code  int
		out   string
		err   string // part of standard error; "" for none at all
	}{
		"arguments":           {"", []string{"run", "probe", "--", "args", "a b", "--", "-c"}, 0, "", ""},
		"exit code":           {"", []string{"run", "probe", "--", "exit", "42"}, 42, "", ""},
		"module of a file":    {"", []string{"run", "../../toolbox/dist/probe.wasm", "--work-dir", in, "--", "read", "/a.txt"}, 0, "hello\n", ""},
		"file in a mount":     {"", []string{"run", "probe", "--map-dir", in + "::/in", "--", "read", "/in/a.txt"}, 0, "hello\n", ""},
		"file at the root":    {"", []string{"run", "probe", "--work-dir", in, "--", "read", "/a.txt"}, 0, "hello\n", ""},
		"read-only":           {"", []string{"run", "probe", "--map-dir", in + "::/in", "--", "write", "/in/b", "x"}, 1, "", "Read-only"},
		"no such file":        {"", []string{"run", "probe", "--map-dir", in + "::/in", "--", "read", "/in/none"}, 1, "", "none"},
		"timeout":             {"", []string{"run", "spin", "--timeout", "100ms"}, 131, "", "timed out"},
		"fuel":                {"", []string{"run", "spin", "--fuel", "1e6"}, 132, "", "ran out of fuel"},
		"trap":                {"", []string{"run", "probe", "--", "trap"}, 129, "", "trapped"},
		"output limit":        {"", []string{"run", "probe", "--max-stdout", "1000", "--", "stdout", "2000"}, 135, "", "output limit"},
		"over the ceiling":    {"", []string{"run", "noop", "--timeout", "100h"}, 128, "", "wasm_timeout"},
		"no such tool":        {"", []string{"run", "probee"}, 127, "", "not found"},
		"a slip":              {"", []string{"run", "noop", "--fule", "1"}, 2, "", "did you mean --fuel?"},
		"a prefix of nothing": {"", []string{"run", "probe", "--work-dir", "s3://boxfleet/inputs/default/none/"}, 126, "", "nothing is under this prefix"},
		"level of the tool":   {"", []string{"run", "noop", "--work-dir", "s3://boxfleet/inputs/default/none/"}, 128, "", "level.none.files"},
	} {
		t.Run(name, func(t *testing.T) {
			got := submit(t, tc.stdin, tc.args...)
			if got.code != tc.code || tc.out != "" && got.out != tc.out || !strings.Contains(got.err, tc.err) || tc.err == "" && got.err != "" && !strings.Contains(got.err, "uploaded") {
				t.Errorf("code %d, want %d\nstdout %.500q, want %q\nstderr %.500q, want %q", got.code, tc.code, got.out, tc.out, got.err, tc.err)
			}
		})
	}
	got := submit(t, "", "run", "probe", "--output", "/out="+out, "--", "write", "/out/made", "by a guest")
	made, err := os.ReadFile(filepath.Join(out, "made"))
	if got.code != 0 || err != nil || string(made) != "by a guest" {
		t.Errorf("%+v; %q, %v", got, made, err)
	}
}

// TestRunJSONFollowsItsSchema holds what a real worker says to the published
// schema.
func TestRunJSONFollowsItsSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	s, err := c.Compile("../../docs/schema/result.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"run", "probe", "--json", "--", "exit", "3"}, {"run", "spin", "--json", "--fuel", "1000"}, {"run", "probe", "--json", "--", "trap"},
		{"run", "probe", "--json", "--output", "/out=" + t.TempDir(), "--", "write", "/out/x", "y"}, {"run", "noop", "--json", "--timeout", "100h"},
		{"run", "probe", "--json", "--max-stdout", "1MiB", "--", "stdout", "300000"},
	} {
		got := submit(t, "", args...)
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(got.out))
		if err == nil {
			err = s.Validate(v)
		}
		if err != nil {
			t.Errorf("%q: %v\n%+.2000v", args, err, got)
		}
	}
}

func TestTraceOfARealJob(t *testing.T) {
	if got := submit(t, "", "run", "noop", "--id", "traced"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	got := submit(t, "", "trace", "traced")
	for _, span := range []string{"submit", "queue wait", "instantiate", "run", "commit", "ack"} {
		if !strings.Contains(got.out, "─ "+span+" ") {
			t.Errorf("the trace has no span %q:\n%s%s", span, got.out, got.err)
		}
	}
}

// started waits until a job has a worker.
func started(t *testing.T, id string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		if got := submit(t, "", "status", id, "--json"); strings.Contains(got.out, `"state": "running"`) {
			return
		}
		select {
		case <-late:
			t.Fatalf("job %s does not start", id)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestCtrlC(t *testing.T) {
	c := command(t.Context(), "run", "spin", "--timeout", "60", "--id", "interrupted")
	var errOut bytes.Buffer
	c.Stderr = &errOut
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	started(t, "interrupted")
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if c.ProcessState.ExitCode() != 130 || !strings.Contains(errOut.String(), "canceling job interrupted") || !strings.Contains(errOut.String(), "was canceled") {
		t.Errorf("%v, %q", c.ProcessState, errOut.String())
	}
	if got := submit(t, "", "status", "interrupted"); !strings.Contains(got.out, "canceled") {
		t.Errorf("%+v", got)
	}
}

// TestCtrlCTwice stops the whole fleet, so that a cancel gets no answer: the
// second signal must not wait for one.
func TestCtrlCTwice(t *testing.T) {
	c := command(t.Context(), "run", "spin", "--timeout", "60", "--id", "twice")
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	started(t, "twice")
	if err := worker.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := func() {
		if err := worker.Process.Signal(syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
	defer goOn()
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var line [256]byte
	n, _ := stderr.Read(line[:]) // it has seen the first
	if !strings.Contains(string(line[:n]), "Ctrl-C again leaves at once") {
		t.Errorf("%q", line[:n])
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGINT {
		t.Errorf("%v, want it ended by the signal", c.ProcessState)
	}
	goOn()
	if got := submit(t, "", "cancel", "twice"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	submit(t, "", "wait", "twice")
}

func TestReaderGoesAway(t *testing.T) {
	c := command(t.Context(), "run", "probe", "--max-stdout", "8MiB", "--", "stdout", "4000000")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var some [10]byte
	if _, err := out.Read(some[:]); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 141 {
		t.Errorf("exit code %d, want 141", code)
	}
}

// TestBatchSurvivesItsClient kills the client in the middle of a batch and runs
// the same command again.
func TestBatchSurvivesItsClient(t *testing.T) {
	dir := t.TempDir()
	file, results := filepath.Join(dir, "jobs.jsonl"), filepath.Join(dir, "results.jsonl")
	var lines strings.Builder
	const n = 2000
	for i := range n {
		fmt.Fprintf(&lines, "{\"tool\":\"noop\",\"args\":[\"%d\"]}\n", i)
	}
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	first := command(t.Context(), "batch", file, "--wait", "--batch-id", "killed")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.After(30 * time.Second)
	for !strings.Contains(submit(t, "", "list", "--batch", "killed", "--limit", "1").out, "killed-") {
		select {
		case <-late:
			t.Fatal("the batch does not start")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	got := submit(t, "", "batch", file, "--batch-id", "killed", "--results", results)
	if got.code != 0 || !strings.Contains(got.out, "succeeded  2000") {
		t.Errorf("%+v", got)
	}
	data, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for l := range bytes.Lines(data) {
		var r struct{ Line, Attempts int }
		if err := json.Unmarshal(l, &r); err != nil || seen[r.Line] || r.Attempts != 1 {
			t.Errorf("%v: %s", err, l)
		}
		seen[r.Line] = true
	}
	if len(seen) != n {
		t.Errorf("%d results of %d", len(seen), n)
	}
}

func TestNoFleet(t *testing.T) {
	c := command(t.Context(), "list")
	c.Env = append(environment(), "BOXFLEET_CONTEXT=", "XDG_CONFIG_HOME="+t.TempDir())
	text, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() != 125 || !strings.Contains(string(text), "start one with `worker dev`") {
		t.Errorf("%v: %s", c.ProcessState, text)
	}
	c = command(t.Context(), "--nats-password", "wrong", "list")
	text, _ = c.CombinedOutput()
	if c.ProcessState.ExitCode() != 125 || !strings.Contains(string(text), "check the user and password") || strings.Contains(string(text), "wrong") {
		t.Errorf("%v: %s", c.ProcessState, text)
	}
}
