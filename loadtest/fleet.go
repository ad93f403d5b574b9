package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"boxfleet/artifacts"
	"boxfleet/internal/fleet"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// target is the fleet under load, started by us or not.
type target struct {
	fc     *fleet.Context
	nc     *nats.Conn
	client *jobs.Client
	store  *artifacts.Store
	tool   jobs.Tool
	files  func(n int) *limits.RunOption // options of a batch's nth job, or nil

	processes []*exec.Cmd // none when the fleet is not ours
	pid       int         // of the worker that is measured
	servers   int         // of the queue, when it is a process of its own
	http      string      // of that worker, when it is a process of its own
	dir       string      // of the fleet that is ours
	tmp       string
	stderr    io.Writer
}

func openFleet(ctx context.Context, o options, stderr io.Writer) (t *target, err error) {
	t = &target{}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	if o.context != "" {
		if t.fc, err = fleet.Load(o.context); err != nil {
			return t, err
		}
	} else if err := t.start(ctx, o, stderr); err != nil {
		return t, err
	}
	conn := t.fc.Conn("boxfleet loadtest")
	conn.Wait = 10 * time.Second
	nc, js, err := jobs.Connect(ctx, conn)
	if err != nil {
		return t, err
	}
	t.nc = nc
	if t.client, err = jobs.NewClient(ctx, nc, js, t.fc.Tenant); err != nil {
		return t, err
	}
	t.store, err = artifacts.Open(t.fc.Store())
	return t, err
}

// start runs `worker dev` from the directory this program is in; with split,
// the servers and the worker are two processes, and the worker alone is
// measured.
func (t *target) start(ctx context.Context, o options, stderr io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	worker := filepath.Join(filepath.Dir(self), "worker")
	dir := o.data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "boxfleet-loadtest-"); err != nil {
			return err
		}
		t.tmp = dir
	}
	ready := filepath.Join(dir, "ready.json")
	args := []string{"dev", "--data", dir, "--ready-file", ready, "--no-current", "--log-level", "warn"}
	t.dir, t.stderr = dir, stderr
	if o.syncAlways {
		args = append(args, "--sync-always")
	}
	if o.split || o.noWorker {
		args = append(args, "--no-worker")
	} else {
		args = append(args, o.workerFlags()...)
	}
	if err := t.spawn(ctx, ready, stderr, worker, args...); err != nil {
		return err
	}
	t.servers = t.pid
	if o.split || o.noWorker {
		if err := t.startWorker(ctx, o); err != nil {
			return err
		}
	}
	if o.noWorker { // it has made the streams
		if err := t.stopWorker(); err != nil {
			return err
		}
	}
	t.fc, err = fleet.Load(dir)
	return err
}

// workerFlags are the flags of the worker that is measured.
func (o options) workerFlags() []string {
	if o.slots == 0 {
		return nil
	}
	return []string{"--slots", strconv.Itoa(o.slots)}
}

// startWorker starts the worker that is measured as a process of its own.
func (t *target) startWorker(ctx context.Context, o options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ready := filepath.Join(t.dir, "ready.json")
	args := append([]string{"run", "--context", t.dir, "--ready-file", ready, "--log-level", "warn",
		"--cache-dir", filepath.Join(t.dir, "run-cache"), "--scratch-dir", t.scratch()}, o.workerFlags()...)
	if err := t.spawn(ctx, ready, t.stderr, filepath.Join(filepath.Dir(self), "worker"), args...); err != nil {
		return err
	}
	data, err := os.ReadFile(ready)
	if err != nil {
		return err
	}
	var said struct{ HTTP string }
	if err := json.Unmarshal(data, &said); err != nil {
		return fmt.Errorf("read the worker's ready file: %w", err)
	}
	t.http = said.HTTP
	return nil
}

// scratch is where the worker keeps running jobs' files.
func (t *target) scratch() string { return filepath.Join(t.dir, "run-scratch") }

// stopWorker drains the worker that startWorker started last.
func (t *target) stopWorker() error {
	last := len(t.processes) - 1
	p := t.processes[last]
	t.processes = t.processes[:last]
	t.pid = t.servers
	return errors.Join(p.Process.Signal(syscall.SIGTERM), p.Wait())
}

// spawn starts one process of the fleet and waits until it says it is ready.
func (t *target) spawn(ctx context.Context, ready string, stderr io.Writer, program string, args ...string) error {
	_ = os.Remove(ready)
	cmd := exec.Command(program, args...)
	cmd.Stderr = stderr
	// The fleet goes with us, whatever happens to us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a fleet: %w; run `make build` first", err)
	}
	t.processes = append(t.processes, cmd)
	t.pid = cmd.Process.Pid
	deadline := time.Now().Add(60 * time.Second)
	for {
		if _, err := os.Stat(ready); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("the fleet did not come up within 60s")
		}
		if !pause(ctx, 20*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

func (t *target) close() error {
	if t.nc != nil {
		t.nc.Close()
	}
	if t.store != nil {
		t.store.Close()
	}
	var errs []error
	for _, p := range slices.Backward(t.processes) {
		errs = append(errs, p.Process.Signal(syscall.SIGTERM), p.Wait())
	}
	if t.tmp != "" {
		errs = append(errs, os.RemoveAll(t.tmp))
	}
	return errors.Join(errs...)
}

// noopModule is a command that returns at once:
// (module (memory 1) (export "memory" (memory 0)) (func (export "_start")))
var noopModule = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x04\x01\x60\x00\x00" +
	"\x03\x02\x01\x00" +
	"\x05\x03\x01\x00\x01" +
	"\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x00" +
	"\x0a\x04\x01\x02\x00\x0b")

// padded is the no-op with a passive data segment of n bytes: the size of a
// small tool without its work.
func padded(n int) []byte {
	leb := func(v int) []byte {
		var b []byte
		for ; v >= 0x80; v >>= 7 {
			b = append(b, byte(v)|0x80)
		}
		return append(b, byte(v))
	}
	seg := append([]byte{1, 1}, leb(n)...)
	seg = append(seg, bytes.Repeat([]byte("boxfleet"), n/8+1)[:n]...)
	code := bytes.Index(noopModule, []byte("\x0a\x04\x01\x02"))
	out := append([]byte{}, noopModule[:code]...)
	out = append(out, 12, 1, 1) // data count
	out = append(out, noopModule[code:]...)
	out = append(append(out, 11), leb(len(seg))...)
	return append(out, seg...)
}

// push stores the module and pins it.
func (t *target) push(ctx context.Context, tool string) error {
	var wasm []byte
	switch tool {
	case "noop":
		wasm = noopModule
	case "c250k":
		wasm = padded(250 << 10)
	default:
		var err error
		if wasm, err = os.ReadFile(tool); err != nil {
			return fmt.Errorf("read the module: %w", err)
		}
	}
	d, err := t.store.PutBlobBytes(ctx, wasm)
	if err != nil {
		return err
	}
	t.tool = jobs.Tool{Name: strings.TrimSuffix(filepath.Base(tool), ".wasm"), Version: "0", Digest: d, Size: int64(len(wasm))}
	return nil
}

// smallTree stores a directory of a few small files.
func (t *target) smallTree(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp(t.dir, "tree-")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte(name), 1000), 0o600); err != nil {
			return "", err
		}
	}
	d, _, err := t.store.PutTree(ctx, dir, artifacts.TreeOptions{})
	return string(d), err
}

// usage is what the worker's process used so far.
type processUsage struct {
	CPU      time.Duration
	Resident int64
	FDs      int
}

// usage reads the worker's /proc; zero when the fleet is not ours.
func (t *target) usage() processUsage { return usageOf(t.pid) }

func usageOf(pid int) (u processUsage) {
	if pid == 0 {
		return u
	}
	proc := "/proc/" + strconv.Itoa(pid)
	if data, err := os.ReadFile(proc + "/stat"); err == nil {
		f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+2:]))
		user, _ := strconv.ParseInt(f[11], 10, 64)
		sys, _ := strconv.ParseInt(f[12], 10, 64)
		u.CPU = time.Duration(user+sys) * 10 * time.Millisecond // clock ticks of 10 ms
	}
	if data, err := os.ReadFile(proc + "/status"); err == nil {
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "VmRSS:" {
				kb, _ := strconv.ParseInt(f[1], 10, 64)
				u.Resident = kb << 10
			}
		}
	}
	if fds, err := os.ReadDir(proc + "/fd"); err == nil {
		u.FDs = len(fds)
	}
	return u
}

// cpuProfile fetches a profile of the worker while the load runs.
func (t *target) cpuProfile(ctx context.Context, file string, d time.Duration) error {
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", t.fc.HTTP, max(1, int(d.Seconds())))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile the worker: %s", resp.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
