package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"boxfleet/jobs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// config is one run of the suite.
type config struct {
	seed     uint64
	jobs     int
	duration time.Duration
	workers  int
	ackWait  time.Duration
	quiet    time.Duration
	bin, dir string
	planOnly bool
}

func (c config) shape() shape {
	return shape{Seed: c.seed, Duration: c.duration, Workers: c.workers, AckWait: c.ackWait}
}

// run gives 0 when nothing was lost, doubled, wrong or left; 1 otherwise; 2 for
// a wrong command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c config
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Uint64Var(&c.seed, "seed", 0, "what is broken when is a function of it; 0 takes one from the clock")
	fs.IntVar(&c.jobs, "jobs", 20_000, "least number of jobs")
	fs.DurationVar(&c.duration, "duration", 4*time.Minute, "how long things are broken, at least once each")
	fs.IntVar(&c.workers, "workers", 3, "worker processes, at least 2")
	fs.DurationVar(&c.ackWait, "ack-wait", 3*time.Second, "the fleet's ack-wait; frozen workers are frozen for longer")
	fs.DurationVar(&c.quiet, "quiet", 90*time.Second, "a fleet in which nothing ends for so long has lost what is missing")
	fs.StringVar(&c.bin, "bin", "", "directory of worker, devs3 and nats-server; default this program's own")
	fs.StringVar(&c.dir, "dir", "", "directory for data and logs, kept; default a temporary one, kept only after a failure")
	fs.BoolVar(&c.planOnly, "plan", false, "print what would be broken when, and end")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if fs.NArg() > 0 || c.jobs < 1 || c.workers < 2 || c.duration <= 0 || c.ackWait < 2*time.Second {
		_, _ = fmt.Fprintf(stderr, "chaos: arguments %q, --jobs %d, --workers %d, --duration %s, --ack-wait %s: need no argument, a job, 2 workers, some time and 2s\n",
			fs.Args(), c.jobs, c.workers, c.duration, c.ackWait)
		return 2
	}
	if c.seed == 0 {
		c.seed = uint64(time.Now().UnixNano())
	}
	if c.planOnly {
		printPlan(stdout, newPlan(c.shape()))
		return 0
	}
	good, err := c.inDirectory(stdout, func() (bool, error) { return wreck(ctx, &c, stdout) })
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "chaos: seed %d: %v\n", c.seed, err)
		return 1
	}
	if !good {
		return 1
	}
	return 0
}

// inDirectory gives a run its directory, and keeps it when something is wrong.
func (c *config) inDirectory(stdout io.Writer, do func() (bool, error)) (good bool, err error) {
	if c.bin == "" {
		self, err := os.Executable()
		if err != nil {
			return false, err
		}
		c.bin = filepath.Dir(self)
	}
	keep := c.dir != ""
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return false, err
	}
	if keep {
		err = os.MkdirAll(c.dir, 0o700)
	} else {
		c.dir, err = os.MkdirTemp("", "boxfleet-chaos-")
	}
	if err != nil {
		return false, err
	}
	good, err = do()
	if good && err == nil && !keep {
		return good, os.RemoveAll(c.dir)
	}
	_, _ = fmt.Fprintf(stdout, "logs and data: %s\n", c.dir)
	return good, err
}

// wreck is one run: start, break while jobs run, settle, account.
func wreck(ctx context.Context, c *config, stdout io.Writer) (good bool, err error) {
	logFile, err := os.Create(filepath.Join(c.dir, "chaos.log"))
	if err != nil {
		return false, err
	}
	defer logFile.Close()
	log := slog.New(slog.NewTextHandler(logFile, nil))
	plan := newPlan(c.shape())
	_, _ = fmt.Fprintf(stdout, "chaos: seed %d, %d faults planned over %s, at least %d jobs\n", c.seed, len(plan), c.duration, c.jobs)
	printPlan(logFile, plan)

	f, err := startFleet(ctx, *c, log)
	defer func() { err = errors.Join(err, f.close()) }()
	if err != nil {
		return false, err
	}
	nc, js, err := jobs.Connect(ctx, jobs.ConnConfig{URL: f.queue.url(), Name: "chaos", Wait: time.Minute, Log: log})
	if err != nil {
		return false, err
	}
	defer nc.Close()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()

	rng := rand.New(rand.NewPCG(c.seed, 1<<32))
	l := &load{f: f, clients: map[string]*jobs.Client{}, tasks: &tasks{rng: rng, run: "c" + jobs.NewID()[:6], tenants: []string{"anna", "ben", "carla", "dora"}, inputs: 16}}
	b := &breaker{f: f, load: l, happened: map[kind]int{}}
	if l.watch, err = newWatcher(watching, nc, js, log, b.killPoisoned); err != nil {
		return false, err
	}
	for _, tenant := range l.tasks.tenants {
		if l.clients[tenant], err = jobs.NewClient(ctx, nc, js, tenant); err != nil {
			return false, err
		}
	}
	if err := l.pushInputs(ctx, rng); err != nil {
		return false, err
	}

	go l.watch.report(watching)
	started := time.Now()
	over := make(chan struct{})
	go func() { defer close(over); b.run(ctx, plan) }()
	err = l.run(ctx, c.jobs, over)
	<-over
	if err := errors.Join(append(b.errs, err)...); err != nil {
		return false, err
	}
	broken := time.Since(started)
	all := append(l.all, b.poisons...)
	left, err := settled(ctx, js, l.watch, len(all), c.quiet)
	if err != nil {
		return false, err
	}
	took := time.Since(started)
	f.stopWorkers()
	d := &auditor{f: f, load: l, watch: l.watch, ledger: jobs.NewLedger(nc), js: js}
	a, err := d.run(ctx, all)
	if err != nil {
		return false, err
	}
	a.Left = left
	if n := settleSpaces(f); n > 0 {
		a.Wrong = append(a.Wrong, fmt.Sprintf("%d workspaces are left on the workers' disks", n))
	}
	printResult(stdout, &a, b, l, f, broken, took)
	return a.good() && b.complete(stdout), nil
}

// settleSpaces counts what drained workers left on their disks.
func settleSpaces(f *fleet) (n int) {
	for _, w := range f.workers {
		left, _ := os.ReadDir(filepath.Join(w.scratch, "jobs"))
		n += len(left)
	}
	return n
}

// complete tells whether every kind of fault really happened.
func (b *breaker) complete(stdout io.Writer) bool {
	good := true
	for _, k := range allKinds() {
		if b.happened[k] == 0 {
			_, _ = fmt.Fprintf(stdout, "  NOT SEEN: %s; the run shows nothing about it\n", k)
			good = false
		}
	}
	return good
}

func printResult(w io.Writer, a *account, b *breaker, l *load, f *fleet, broken, took time.Duration) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	p("  things broke for %.0f s; all done after %.0f s (%.0f jobs/s)\n", broken.Seconds(), took.Seconds(), float64(a.Accepted)/took.Seconds())
	for _, k := range slices.Sorted(maps.Keys(b.happened)) {
		p("  %-14s %5d\n", k, b.happened[k])
	}
	byItself := 0
	for _, w := range f.workers {
		byItself += w.byItself
	}
	p("  accepted %d, submissions made again %d, jobs of several attempts %d, poison jobs buried %d, workers that ended by themselves %d\n",
		a.Accepted, l.refused.Load(), a.Retried, a.Buried, byItself)
	p("  lost %d, committed twice %d, wrong %d, left in the queue %d\n", len(a.Lost), len(a.Twice), len(a.Wrong), a.Left)
	p("  orphans: %d before the sweep, %d after it (%d objects in %.1f s)\n", a.Before, len(a.Orphans), a.Swept.Objects, a.SweepTook.Seconds())
	for name, list := range map[string][]string{"lost": a.Lost, "twice": a.Twice, "wrong": a.Wrong, "orphan": a.Orphans} {
		for _, line := range list[:min(len(list), 10)] {
			p("  %s: %s\n", name, line)
		}
	}
}
