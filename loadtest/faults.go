package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"boxfleet/internal/faultproxy"
	"boxfleet/jobs"
	"boxfleet/loadtest/report"
)

// faultsAckWait is how long a worker may be silent before its jobs are given to
// others: short, so that what takes a minute in production happens in the run.
const faultsAckWait = 3 * time.Second

// fault is one thing that is done to the fleet, at a share of the run's time.
type fault struct {
	what  string
	at    float64 // share of the duration at which it begins
	lasts time.Duration
	do    func(ctx context.Context) error // begins it
	undo  func(ctx context.Context) error // ends it
	met   func() string                   // says how it was met, or nil
}

// faultyFleet is a fleet of workers whose links can be broken.
type faultyFleet struct {
	*target
	queue, store []*faultproxy.TCP // of each worker
	broken       *faultproxy.HTTP  // between all workers and the store
}

// faults holds a steady load on a fleet while parts of it are broken, and shows
// what that costs the jobs. Every fourth job leaves a file, so that the store
// is needed too. What must hold is what holds without faults: every job ends
// once, with the result it must have.
func faults(ctx context.Context, t *target, o options) (r *report.Report, err error) {
	load, err := t.workload(ctx, o)
	if err != nil {
		return nil, err
	}
	if w, ok := load.(*workLoad); ok {
		w.filesEvery = 4
	}
	f := &faultyFleet{target: t}
	defer func() { err = errors.Join(err, f.closeLinks()) }()
	if err := f.open(ctx, o); err != nil {
		return nil, err
	}
	if err := t.warm(ctx, load, o.warm); err != nil {
		return nil, err
	}
	rec := report.NewRecorder()
	a := newAccount(load, rec)
	results := map[string]*jobs.Result{}
	a.also = func(_ int, rec *jobs.Record, _ time.Time, _ time.Duration) { results[rec.ID] = rec.Result }
	due := arrivals(o.rate, o.duration, o.even, o.seed)
	plan := f.plan(o)
	all, gctx := errgroup.WithContext(ctx)
	start := time.Now()
	all.Go(func() error { return t.openLoop(gctx, a, due, o.patience()) })
	marks := make([]report.Mark, 0, len(plan))
	all.Go(func() error { return carryOut(gctx, plan, start, o.duration, &marks) })
	if err := all.Wait(); err != nil {
		return nil, err
	}
	a.close()
	if err := t.compareRecords(ctx, results, rec); err != nil {
		return nil, err
	}
	r = rec.Finish()
	r.Marks = marks
	r.Asked = float64(len(due)) / o.duration.Seconds()
	r.Rate = ratePerSecond(r)
	return r, nil
}

// open starts the workers, each with links of its own.
func (f *faultyFleet) open(ctx context.Context, o options) error {
	s3, err := url.Parse(f.fc.S3.Endpoint)
	if err != nil {
		return err
	}
	nats := strings.TrimPrefix(f.fc.NATS.URL, "nats://")
	if f.broken, err = faultproxy.StartHTTP(s3.Host); err != nil {
		return err
	}
	var list []*process
	for i := range o.workers {
		q, err := faultproxy.StartTCP(nats)
		if err != nil {
			return err
		}
		f.queue = append(f.queue, q)
		s, err := faultproxy.StartTCP(f.broken.Addr())
		if err != nil {
			return err
		}
		f.store = append(f.store, s)
		fc := *f.fc
		fc.NATS.URL, fc.S3.Endpoint = "nats://"+q.Addr(), "http://"+s.Addr()
		if err := os.MkdirAll(f.workerDir(i), 0o700); err != nil {
			return err
		}
		path, err := fc.Save(f.workerDir(i))
		if err != nil {
			return err
		}
		// Its context is the one whose addresses are the links.
		list = append(list, f.newWorker(i, o.slots, "--context", path, "--ack-wait", faultsAckWait.String(), "--log-level", "error"))
	}
	f.workers = list
	return startAll(ctx, list)
}

func (f *faultyFleet) closeLinks() error {
	var errs []error
	// Workers first: they drain through the links.
	errs = append(errs, f.stopWorkers())
	for _, l := range append(f.queue, f.store...) {
		errs = append(errs, l.Close())
	}
	if f.broken != nil {
		errs = append(errs, f.broken.Close())
	}
	return errors.Join(errs...)
}

// plan says what is broken when. The same options give the same plan.
func (f *faultyFleet) plan(o options) []fault {
	rng := rand.New(rand.NewPCG(o.seed, 1))
	some := func() int { return rng.IntN(len(f.workers)) }
	killed, frozen, cut, away := some(), some(), some(), some()
	length := min(2*time.Second, o.duration/20)
	share := 3 + rng.IntN(4)
	var mu sync.Mutex // the proxy asks from many goroutines
	lucky := func(*http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(share) == 0
	}
	return []fault{
		{
			what: fmt.Sprintf("worker %d killed, and started again", killed), at: 0.10, lasts: length,
			do:   func(context.Context) error { f.workers[killed].kill(); return nil },
			undo: func(ctx context.Context) error { return f.workers[killed].start(ctx) },
		},
		{
			what: fmt.Sprintf("worker %d frozen, for longer than the ack wait", frozen), at: 0.30, lasts: faultsAckWait * 3 / 2,
			do:   func(context.Context) error { return f.workers[frozen].cmd.Process.Signal(syscall.SIGSTOP) },
			undo: func(context.Context) error { return f.workers[frozen].cmd.Process.Signal(syscall.SIGCONT) },
		},
		{
			what: fmt.Sprintf("worker %d cut off from the queue", cut), at: 0.55, lasts: length,
			do:   func(context.Context) error { f.queue[cut].Refuse(true); f.queue[cut].Cut(); return nil },
			undo: func(context.Context) error { f.queue[cut].Refuse(false); return nil },
		},
		{
			what: fmt.Sprintf("worker %d cut off from the store", away), at: 0.70, lasts: length,
			do:   func(context.Context) error { f.store[away].Refuse(true); f.store[away].Cut(); return nil },
			undo: func(context.Context) error { f.store[away].Refuse(false); return nil },
		},
		{
			what: fmt.Sprintf("the store answers 503 to one request in %d", share), at: 0.85, lasts: length,
			do: func(context.Context) error {
				f.broken.Set(faultproxy.Fault{Name: "busy", Match: lucky, Status: http.StatusServiceUnavailable, Code: "SlowDown"})
				return nil
			},
			undo: func(context.Context) error { f.broken.Set(); return nil },
			met:  func() string { return fmt.Sprintf(" (%d requests met it)", f.broken.Count("busy")) },
		},
	}
}

// carryOut does one fault after the other, each at its time or when the last is
// over.
func carryOut(ctx context.Context, plan []fault, start time.Time, d time.Duration, marks *[]report.Mark) error {
	for _, e := range plan {
		if !pause(ctx, time.Until(start.Add(time.Duration(e.at*float64(d))))) {
			return context.Cause(ctx)
		}
		began := time.Now()
		if err := e.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", e.what, err)
		}
		waited := pause(ctx, e.lasts)
		if err := e.undo(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("end of: %s: %w", e.what, err)
		}
		if !waited {
			return context.Cause(ctx)
		}
		m := report.Mark{At: began.Sub(start).Seconds(), For: time.Since(began).Seconds(), What: e.what}
		if e.met != nil {
			m.What += e.met()
		}
		*marks = append(*marks, m)
	}
	return nil
}

// compareRecords reads the records of all jobs once the queue is empty: what
// was announced is what is kept, nothing more and nothing else.
func (t *target) compareRecords(ctx context.Context, announced map[string]*jobs.Result, rec *report.Recorder) error {
	if n, err := t.idle(ctx, time.Minute); err != nil {
		return err
	} else if n > 0 {
		rec.Wrong(fmt.Sprintf("%d messages are left in the queue", n))
	}
	left := len(announced)
	for r, err := range t.client.Records(ctx) {
		if err != nil {
			return fmt.Errorf("read the records: %w", err)
		}
		res, ok := announced[r.ID]
		if !ok {
			continue // of the warm-up
		}
		left--
		switch {
		case r.State != jobs.Done:
			rec.Wrong(fmt.Sprintf("job %s was announced as ended and its record is %s", r.ID, r.State))
		case !sameResult(r.Result, res):
			rec.Wrong(fmt.Sprintf("job %s was announced with another result than its record has", r.ID))
		}
	}
	if left > 0 {
		rec.Wrong(fmt.Sprintf("%d jobs were announced and have no record", left))
	}
	return nil
}

// sameResult tells whether two results are of the same attempt and say the
// same.
func sameResult(a, b *jobs.Result) bool {
	return a.Outcome == b.Outcome && a.Attempts == b.Attempts && a.Worker == b.Worker && string(a.Stdout) == string(b.Stdout) &&
		len(a.Outputs) == len(b.Outputs) && a.FinishedAt.Equal(b.FinishedAt)
}
