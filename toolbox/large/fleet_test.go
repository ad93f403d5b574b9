package large

import (
	"bytes"
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

	"boxfleet/toolbox/internal/manifest"
)

const (
	// binaries is where `make build` puts the fleet's programs.
	binaries = "../../bin"
	// keep is where the worker's cache waits for the next run of the tests:
	// compiling the tools takes longer than all that is done with them.
	keep = "../dist/.worker-cache"
)

var (
	shared    *fleet // of all tests
	manifests []*manifest.Manifest
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
	if manifests, err = manifest.LoadAll("."); err != nil {
		return 1, err
	}
	dist, err := filepath.Abs("../dist")
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp(dist, ".fleet-*")
	if err != nil {
		return 1, fmt.Errorf("make the fleet's folder (make toolbox-large): %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// A cache belongs to one worker: who moves it has it. Without one, and when
	// another run has put its own back first, nothing is lost but time.
	cache := filepath.Join(dir, "data", "cache")
	if err := os.Mkdir(filepath.Dir(cache), 0o700); err != nil {
		return 1, err
	}
	_ = os.Rename(keep, cache)
	if shared, err = startFleet(dir); err != nil {
		return 1, err
	}
	defer func() {
		err = errors.Join(err, shared.stop())
		_ = os.Rename(cache, keep)
	}()
	if err := shared.push(); err != nil {
		return 1, err
	}
	return tests(), nil
}

// fleet is a `worker dev` in a directory of its own.
type fleet struct {
	dir   string
	cmd   *exec.Cmd
	log   bytes.Buffer
	ended chan error
}

// startFleet starts a fleet in dir, or starts again the one that was there.
func startFleet(dir string) (*fleet, error) {
	f := &fleet{dir: dir, ended: make(chan error, 1)}
	ready := filepath.Join(dir, "ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f.cmd = exec.Command(filepath.Join(binaries, "worker"), "dev", "--data", filepath.Join(dir, "data"), "--no-current", "--ready-file", ready)
	f.cmd.Env = f.environment()
	f.cmd.Stderr = &f.log
	if err := f.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the worker (make build): %w", err)
	}
	go func() { f.ended <- f.cmd.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for {
		if info, err := os.Stat(ready); err == nil && info.Size() > 0 {
			return f, nil
		}
		select {
		case err := <-f.ended:
			return nil, fmt.Errorf("the worker ended before it was ready: %w\n%s", err, f.log.String())
		case <-late:
			return nil, errors.Join(errors.New("the worker was not ready within a minute"), f.stop())
		case <-tick.C:
		}
	}
}

func (f *fleet) stop() error {
	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := <-f.ended; err != nil {
		return fmt.Errorf("the worker ended badly: %w\n%s", err, f.log.String())
	}
	return nil
}

// environment is this process's own without what would steer the programs.
func (f *fleet) environment() []string {
	env := []string{"BOXFLEET_CONTEXT=" + filepath.Join(f.dir, "data"), "BOXFLEET_QUIET=1"}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "BOXFLEET_") && !strings.HasPrefix(e, "OTEL_") {
			env = append(env, e)
		}
	}
	return env
}

func (f *fleet) submit(stdin string, args ...string) (stdout []byte, err error) {
	cmd := exec.Command(filepath.Join(binaries, "submit"), args...)
	cmd.Env = f.environment()
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	err = cmd.Run()
	if err != nil {
		err = fmt.Errorf("submit %.200q: %w\n%s", args, err, errOut.String())
	}
	return out.Bytes(), err
}

func (f *fleet) push() error {
	_, err := f.submit("", "tool", "push", "--all", "tools", "--wasm-dir", "../dist")
	if err != nil {
		return fmt.Errorf("push the tools (make toolbox-large): %w", err)
	}
	return nil
}

// result is the part of a job's result that tests look at.
type result struct {
	Line         int // of a batch
	Outcome      string
	ExitCode     int `json:"exit_code"`
	Stdout       string
	Stderr       string
	FuelConsumed uint64             `json:"fuel_consumed"`
	PeakMemory   int64              `json:"peak_memory"`
	Phases       map[string]float64 // milliseconds
	Outputs      []struct{ Path string }
	Error        string
}

// run runs a job and returns its result, however it ended.
func (f *fleet) run(t testing.TB, stdin string, args ...string) *result {
	t.Helper()
	if stdin != "" {
		args = append([]string{"--stdin", "-"}, args...)
	}
	out, err := f.submit(stdin, append([]string{"run", "--json"}, args...)...)
	var r result
	if json.Unmarshal(out, &r) != nil || r.Outcome == "" {
		t.Fatalf("no result: %v\n%s", err, out)
	}
	return &r
}

// program is the arguments of `submit run` for an input as JSON.
func program(tool string, input map[string]any, flags ...string) []string {
	text, err := json.Marshal(input)
	if err != nil {
		panic(err) // strings, booleans and lists of them
	}
	return append([]string{tool, "--input", string(text)}, flags...)
}

// stage copies files of the toolbox into a directory for a job.
func stage(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for at, from := range files {
		target := filepath.Join(dir, filepath.FromSlash(at))
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(target, os.DirFS(from))
		} else {
			var data []byte
			if data, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(target, data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
