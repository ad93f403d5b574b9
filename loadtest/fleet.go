package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/artifacts"
	"boxfleet/internal/fleet"
	"boxfleet/jobs"
	"boxfleet/loadtest/guest"
)

// target is the fleet under load, started by us or not.
type target struct {
	fc     *fleet.Context
	nc     *nats.Conn
	js     jetstream.JetStream
	client *jobs.Client
	store  *artifacts.Store
	stderr io.Writer

	// Of a fleet that is ours: the process of queue and store, which holds the
	// only worker as well when workers is empty and serversOnly is not set.
	servers     *process
	serversOnly bool
	workers     []*process
	program     string // the worker's
	codeKey     string // file with the key of shared compiled code, or nothing
	dir         string
	tmp         string // dir, when it goes with us
}

// layout says what a profile needs of a fleet that is started for it.
type layout struct {
	split    bool // workers are processes of their own
	noWorker bool // the profile starts workers itself; the streams are made
	share    bool // workers share compiled code through the store
}

func openFleet(ctx context.Context, o options, need layout, stderr io.Writer) (t *target, err error) {
	t = &target{stderr: stderr}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	if o.context != "" {
		if t.fc, err = fleet.Load(o.context); err != nil {
			return t, err
		}
	} else if err := t.start(ctx, o, need); err != nil {
		return t, err
	}
	conn := t.fc.Conn("boxfleet loadtest")
	conn.Wait = 10 * time.Second
	nc, js, err := jobs.Connect(ctx, conn)
	if err != nil {
		return t, err
	}
	t.nc, t.js = nc, js
	if t.client, err = jobs.NewClient(ctx, nc, js, t.fc.Tenant); err != nil {
		return t, err
	}
	t.store, err = artifacts.Open(t.fc.Store())
	return t, err
}

// start runs `worker dev` from the directory this program is in; with split or
// several workers, the servers are one process and each worker another.
func (t *target) start(ctx context.Context, o options, need layout) (err error) {
	if t.program, err = beside("worker"); err != nil {
		return err
	}
	if t.dir = o.data; t.dir == "" {
		if t.dir, err = os.MkdirTemp("", "boxfleet-loadtest-"); err != nil {
			return err
		}
		t.tmp = t.dir
	}
	t.serversOnly = need.split || need.noWorker || o.workers > 1
	args := []string{t.program, "dev", "--data", t.dir, "--no-current", "--log-level", "warn"}
	if o.syncAlways {
		args = append(args, "--sync-always")
	}
	if t.serversOnly {
		args = append(args, "--no-worker")
	} else if o.slots > 0 {
		args = append(args, "--slots", strconv.Itoa(o.slots))
	}
	t.servers = &process{name: "the fleet", stderr: t.stderr, ready: filepath.Join(t.dir, "ready.json"), args: args}
	if err := t.servers.start(ctx); err != nil {
		return err
	}
	if t.fc, err = fleet.Load(t.dir); err != nil {
		return err
	}
	if !t.serversOnly {
		return nil
	}
	if need.share {
		t.codeKey = filepath.Join(t.dir, "code.key")
		if err := os.WriteFile(t.codeKey, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
			return err
		}
	}
	if err := t.startWorkers(ctx, max(1, o.workers), o.slots); err != nil {
		return err
	}
	if need.noWorker { // one has made the streams
		return t.stopWorkers()
	}
	return nil
}

// workerDir is where the ith worker keeps its files, over restarts.
func (t *target) workerDir(i int) string { return filepath.Join(t.dir, "worker"+strconv.Itoa(i)) }

// newWorker prepares the ith worker; more flags win over ours.
func (t *target) newWorker(i, slots int, more ...string) *process {
	dir := t.workerDir(i)
	_ = os.MkdirAll(dir, 0o700) // or the worker says what is wrong
	args := []string{t.program, "run", "--name", "load" + strconv.Itoa(i), "--context", t.dir, "--log-level", "warn",
		"--cache-dir", filepath.Join(dir, "cache"), "--scratch-dir", filepath.Join(dir, "scratch")}
	if slots > 0 {
		args = append(args, "--slots", strconv.Itoa(slots))
	}
	if t.codeKey != "" {
		args = append(args, "--compile-cache-key-file", t.codeKey)
	}
	return &process{name: "worker " + strconv.Itoa(i), stderr: t.stderr, ready: filepath.Join(dir, "ready.json"), args: append(args, more...)}
}

// startWorkers starts n workers beside the servers.
func (t *target) startWorkers(ctx context.Context, n, slots int, more ...string) error {
	for range n {
		t.workers = append(t.workers, t.newWorker(len(t.workers), slots, more...))
	}
	return startAll(ctx, t.workers[len(t.workers)-n:])
}

// stopWorkers drains all workers beside the servers.
func (t *target) stopWorkers() error {
	list := t.workers
	t.workers = nil
	return stopAll(list)
}

// measured is the process of the worker that a profile looks into.
func (t *target) measured() *process {
	if len(t.workers) > 0 {
		return t.workers[len(t.workers)-1]
	}
	return t.servers
}

// usage adds up all processes of the fleet; zero when it is not ours.
func (t *target) usage() processUsage {
	u := t.servers.usage()
	for _, w := range t.workers {
		u = u.plus(w.usage())
	}
	return u
}

// scratch is where the measured worker keeps running jobs' files.
func (t *target) scratch() string { return filepath.Join(t.workerDir(0), "scratch") }

func (t *target) close() error {
	if t.nc != nil {
		t.nc.Close()
	}
	if t.store != nil {
		t.store.Close()
	}
	errs := []error{t.stopWorkers()}
	if t.servers != nil {
		errs = append(errs, t.servers.stop())
	}
	if t.tmp != "" {
		errs = append(errs, os.RemoveAll(t.tmp))
	}
	return errors.Join(errs...)
}

// codeFunctions makes [guest.Code] a module of about 250 KB: a small tool.
const codeFunctions = 2000

// module gives the bytes of what --tool names.
func module(tool string) ([]byte, error) {
	switch tool {
	case "noop":
		return guest.Noop, nil
	case "work":
		return guest.Work, nil
	case "big":
		return guest.Code(bigFunctions, 1, "code\n"), nil
	case "c250k":
		return guest.Padded(250 << 10), nil
	case "code":
		return guest.Code(codeFunctions, 1, "code\n"), nil
	}
	wasm, err := os.ReadFile(tool)
	if err != nil {
		return nil, fmt.Errorf("read the module: %w", err)
	}
	return wasm, nil
}

// push stores a module and pins it.
func (t *target) push(ctx context.Context, name string, wasm []byte) (jobs.Tool, error) {
	d, err := t.store.PutBlobBytes(ctx, wasm)
	return jobs.Tool{Name: name, Version: "0", Digest: d, Size: int64(len(wasm))}, err
}

// tree stores a directory of small files.
func (t *target) tree(ctx context.Context, files map[string][]byte) (source string, err error) {
	dir, err := os.MkdirTemp("", "boxfleet-tree-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
			return "", err
		}
	}
	d, _, err := t.store.PutTree(ctx, dir, artifacts.TreeOptions{})
	return string(d), err
}

// cpuProfile fetches a profile of the measured worker while the load runs.
func (t *target) cpuProfile(ctx context.Context, file string, d time.Duration) error {
	base := t.fc.HTTP
	if p := t.measured(); p != nil {
		base = p.http
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", base, max(1, int(d.Seconds()))), nil)
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
