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
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"boxfleet/artifacts"
	"boxfleet/artifacts/storetest"
	"boxfleet/internal/fleet"
	"boxfleet/jobs"
)

// server is the object store of tests that run `worker run`; `worker dev`
// starts its own from the same program.
var server *storetest.Server

// TestMain runs the tests, or is the worker: the program under test is this
// binary in another process.
func TestMain(m *testing.M) {
	if os.Getenv("WORKER_TEST_PROGRAM") == "1" {
		main()
	}
	dir, err := filepath.Abs("../../bin/.devs3-test") // built by storetest
	if err == nil {
		err = os.Setenv("BOXFLEET_DEVS3", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(storetest.Main(m, &server))
}

// command is the worker with clean settings: nothing of the user who runs the
// tests.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	home := t.TempDir()
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "BOXFLEET_") && !strings.HasPrefix(v, "OTEL_") && !strings.HasPrefix(v, "XDG_") && !strings.HasPrefix(v, "HOME=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "WORKER_TEST_PROGRAM=1", "HOME="+home, "BOXFLEET_DEVS3="+os.Getenv("BOXFLEET_DEVS3"))
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// fails runs a worker that must not start, and gives what it says.
func fails(t *testing.T, code int, env []string, args ...string) string {
	t.Helper()
	out, err := command(t, env, args...).CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != code {
		t.Fatalf("worker %q: %v, want exit code %d\n%s", args, err, code, out)
	}
	return string(out)
}

// says checks the parts of a message.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%.2000q does not say %q", text, part)
		}
	}
}

// process is a running worker.
type process struct {
	cmd    *exec.Cmd
	out    *output
	exited chan error
	ready  struct {
		HTTP string `json:"http"`
		PID  int    `json:"pid"`
	}
}

// start runs a worker until it is ready.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	p := &process{cmd: command(t, env, append(args, "--ready-file", file)...), out: &output{}, exited: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			<-p.exited
		}
	})
	deadline := time.After(time.Minute)
	for {
		if data, err := os.ReadFile(file); err == nil {
			if err := json.Unmarshal(data, &p.ready); err != nil {
				t.Fatal(err)
			}
			return p
		}
		select {
		case err := <-p.exited:
			p.exited <- err
			t.Fatalf("the worker ended at once: %v\n%s", err, p.out)
		case <-deadline:
			t.Fatalf("the worker is not ready within a minute\n%s", p.out)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// stop ends a worker as an init system does.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ended(t)
}

func (p *process) ended(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.exited:
		p.exited <- err
		if err != nil {
			t.Errorf("the worker ended with %v\n%s", err, p.out)
		}
	case <-time.After(time.Minute):
		t.Fatalf("the worker does not end\n%s", p.out)
	}
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// user submits jobs to a fleet.
type user struct {
	client *jobs.Client
	store  *artifacts.Store
	nc     *nats.Conn
	act    jobs.Tool
}

func connect(t *testing.T, contextPath string) *user {
	t.Helper()
	fc, err := fleet.Load(contextPath)
	if err != nil {
		t.Fatal(err)
	}
	conn := fc.Conn("test")
	conn.Wait = 10 * time.Second
	nc, js, err := jobs.Connect(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	u := &user{store: storetest.Open(t, fc.Store()), nc: nc}
	if u.client, err = jobs.NewClient(t.Context(), nc, js, ""); err != nil {
		t.Fatal(err)
	}
	wasm, err := os.ReadFile("../../executor/testdata/guests/act.wasm")
	if err != nil {
		t.Fatal(err)
	}
	d, err := u.store.PutBlobBytes(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	u.act = jobs.Tool{Name: "act", Version: "1", Digest: d, Size: int64(len(wasm))}
	return u
}

func (u *user) job(words string) *jobs.Job {
	return &jobs.Job{ID: jobs.NewID(), Tool: u.act, Args: strings.Fields(words)}
}

func (u *user) submit(t *testing.T, ctx context.Context, j *jobs.Job) string {
	t.Helper()
	if _, err := u.client.Submit(ctx, j); err != nil {
		t.Fatal(err)
	}
	return j.ID
}

// result waits for a job's end.
func (u *user) result(t *testing.T, id string) *jobs.Result {
	t.Helper()
	w, err := u.client.NewWaiter("", id)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Expect(id)
	w.LookNow()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rec, err := w.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Result
}

// running waits until a job runs and has said something.
func (u *user) running(t *testing.T, id string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		rec, err := u.client.Get(t.Context(), id)
		if err == nil && rec.State == jobs.Running {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("job %s does not start: %v %v", id, rec, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
