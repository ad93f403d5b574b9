package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"boxfleet/artifacts"
	"boxfleet/internal/faultproxy"
)

// Credentials of the object store, which listens on loopback for one run.
const (
	storeAccess = "chaos"
	storeSecret = "chaos-secret"
	storeBucket = "chaos"
)

// fleet is everything that runs.
type fleet struct {
	cfg     config
	log     *slog.Logger
	queue   *cluster
	s3      *process
	direct  string           // the store, with nothing between: host:port
	store   *artifacts.Store // the harness's own way to it
	broken  *faultproxy.HTTP // between all workers and the store
	workers []*worker
}

// worker is a supervised worker process with links of its own.
type worker struct {
	*process
	f       *fleet
	number  int
	links   [natsNodes]*faultproxy.TCP // to the NATS nodes
	s3      *faultproxy.TCP            // to the store
	http    string
	scratch string
	tmpfs   bool // scratch is a disk of its own, which can be filled

	restart  chan time.Duration // pauses before the next starts
	stopping chan struct{}
	stopped  chan struct{}
	byItself int // ends nobody asked for; read when the supervisor has ended
}

// startFleet starts the servers and the workers, and waits until jobs can run.
func startFleet(ctx context.Context, cfg config, log *slog.Logger) (f *fleet, err error) {
	f = &fleet{cfg: cfg, log: log}
	if err := f.startStore(ctx); err != nil {
		return f, err
	}
	if f.queue, err = startCluster(ctx, filepath.Join(cfg.bin, "nats-server"), cfg.dir); err != nil {
		return f, err
	}
	for i := range cfg.workers {
		w, err := f.newWorker(i)
		if err != nil {
			return f, err
		}
		f.workers = append(f.workers, w)
		go w.supervise()
	}
	for _, w := range f.workers {
		if err := until(ctx, w.name+" is ready", time.Minute, func() bool { return status(w.http+"/readyz") == 200 }); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *fleet) startStore(ctx context.Context) error {
	ready := filepath.Join(f.cfg.dir, "store.json")
	f.s3 = &process{
		name: "store", dir: f.cfg.dir, env: []string{"DEVS3_SECRET=" + storeSecret},
		args: []string{filepath.Join(f.cfg.bin, "devs3"), "--data", filepath.Join(f.cfg.dir, "objects"), "--access", storeAccess, "--ready-file", ready},
	}
	if err := f.s3.start(); err != nil {
		return err
	}
	var said struct{ Address string }
	err := until(ctx, "the object store is up", time.Minute, func() bool {
		data, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(data, &said) == nil
	})
	if err != nil {
		return err
	}
	f.direct = said.Address
	f.store, err = artifacts.Open(artifacts.Config{Endpoint: f.direct, AccessKey: storeAccess, SecretKey: storeSecret, Bucket: storeBucket})
	if err == nil {
		err = f.store.EnsureBucket(ctx)
	}
	if err == nil {
		f.broken, err = faultproxy.StartHTTP(f.direct)
	}
	return err
}

// newWorker prepares a worker and its links. The first one gets a scratch disk
// of its own where the system lets us make one.
func (f *fleet) newWorker(i int) (*worker, error) {
	name := "w" + strconv.Itoa(i+1)
	w := &worker{
		f: f, number: i, scratch: filepath.Join(f.cfg.dir, name, "scratch"),
		restart: make(chan time.Duration, 64), stopping: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := os.MkdirAll(w.scratch, 0o700); err != nil {
		return nil, err
	}
	if i == 0 {
		err := syscall.Mount("chaos", w.scratch, "tmpfs", 0, "size=64m,mode=0700")
		w.tmpfs = err == nil
		f.log.Info("scratch disk of the first worker", "own", w.tmpfs, "error", err)
	}
	var urls []string
	for n := range natsNodes {
		link, err := faultproxy.StartTCP(f.queue.client[n])
		if err != nil {
			return nil, err
		}
		w.links[n] = link
		urls = append(urls, "nats://"+link.Addr())
	}
	var err error
	if w.s3, err = faultproxy.StartTCP(f.broken.Addr()); err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	w.http = "http://" + addr
	w.process = &process{
		name: name, dir: f.cfg.dir, env: []string{"BOXFLEET_S3_SECRET_KEY=" + storeSecret},
		args: []string{
			filepath.Join(f.cfg.bin, "worker"), "run", "--name", name, "--http", addr,
			"--nats", strings.Join(urls, ","), "--nats-wait", "1m", "--replicas", strconv.Itoa(natsNodes), "--ack-wait", f.cfg.ackWait.String(),
			"--s3-endpoint", "http://" + w.s3.Addr(), "--s3-access-key", storeAccess, "--s3-bucket", storeBucket,
			"--scratch-dir", w.scratch, "--cache-dir", filepath.Join(f.cfg.dir, name, "cache"), "--scratch-min-free", diskReserve,
			"--slots", "8", "--grace", "10s", "--log-level", "info",
			"--sweep-outputs-every", "10s", "--sweep-outputs-age", "20s",
		},
	}
	return w, nil
}

// diskReserve is what must be free on the scratch disk; filling the disk
// leaves less.
const diskReserve = "8MiB"

// supervise starts the worker whenever it has ended, as an init system does.
func (w *worker) supervise() {
	defer close(w.stopped)
	for {
		if err := w.start(); err != nil {
			w.f.log.Error("cannot start a worker", "worker", w.name, "error", err)
		}
		select {
		case <-w.exited():
		case <-w.stopping:
			w.stop(40 * time.Second)
			return
		}
		wait := 300 * time.Millisecond
		select {
		case wait = <-w.restart:
		default:
			w.byItself++
			w.f.log.Warn("a worker ended by itself", "worker", w.name)
		}
		select {
		case <-time.After(wait):
		case <-w.stopping:
			return
		}
	}
}

// kill ends the worker as a crash does; it starts again after the pause.
func (w *worker) kill(restart time.Duration) {
	ended := w.exited()
	if ended == nil {
		return
	}
	select {
	case <-ended: // it is between two lives
		return
	default:
	}
	select {
	case w.restart <- restart:
	default:
	}
	_ = w.signal(syscall.SIGKILL)
	<-ended
}

// stopWorkers drains all workers.
func (f *fleet) stopWorkers() {
	for _, w := range f.workers {
		close(w.stopping)
	}
	for _, w := range f.workers {
		<-w.stopped
	}
}

// close ends whatever still runs.
func (f *fleet) close() error {
	var errs []error
	for _, w := range f.workers {
		select {
		case <-w.stopped:
		default:
			close(w.stopping)
			_ = w.signal(syscall.SIGKILL)
			<-w.stopped
		}
		for _, l := range append(w.links[:], w.s3) {
			errs = append(errs, l.Close())
		}
		if w.tmpfs {
			errs = append(errs, syscall.Unmount(w.scratch, syscall.MNT_DETACH))
		}
	}
	if f.queue != nil {
		f.queue.stop()
	}
	if f.broken != nil {
		errs = append(errs, f.broken.Close())
	}
	if f.store != nil {
		f.store.Close()
	}
	if f.s3 != nil {
		f.s3.stop(5 * time.Second)
	}
	return errors.Join(errs...)
}

// fillDisk leaves the first worker's jobs no room until free is called.
func (w *worker) fillDisk(restart time.Duration) (free func(), err error) {
	if !w.tmpfs {
		// Without a disk of its own: the worker is told to keep more free than
		// there is.
		was := w.args
		w.setReserve("1048576GiB")
		w.kill(restart)
		return func() { w.setArgs(was); w.kill(restart) }, nil
	}
	ballast := filepath.Join(w.scratch, "ballast")
	file, err := os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	block := make([]byte, 1<<20)
	for {
		if _, err = file.Write(block); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return nil, fmt.Errorf("fill the scratch disk: %w", err)
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			w.f.log.Error("cannot empty the scratch disk", "error", err)
		}
	}, nil
}

func (w *worker) setReserve(v string) {
	args := append([]string{}, w.args...)
	for i := range args {
		if args[i] == "--scratch-min-free" {
			args[i+1] = v
		}
	}
	w.setArgs(args)
}

func (w *worker) setArgs(args []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.args = args
}
