package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"boxfleet/jobs"
	"boxfleet/loadtest/report"
)

// Bounds that the backlog profile holds the fleet to.
const (
	maxCostGrowth    = 1.1
	maxBacklogMemory = 150 << 20 // bytes a worker may have resident
)

// backlogFleet is a queue of many tenants.
type backlogFleet struct {
	*target
	of      workload
	clients []*jobs.Client
	next    atomic.Int64 // counts submissions, to spread them
	ended   atomic.Int64
	done    []endedJob
}

// endedJob is a job that can be looked up.
type endedJob struct {
	client *jobs.Client
	id     string
}

// backlog grows the queue tenfold from level to level. At each level it keeps the
// queue at that length while a worker runs some thousand jobs of it, and
// measures what one costs.
func backlog(ctx context.Context, t *target, o options) (*report.Report, error) {
	load, err := t.workload(ctx, o)
	if err != nil {
		return nil, err
	}
	f := &backlogFleet{target: t, of: load}
	if err := f.openTenants(ctx, o); err != nil {
		return nil, err
	}
	sub, err := t.nc.Subscribe("done.>", func(*nats.Msg) { f.ended.Add(1) })
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	rec := report.NewRecorder()
	r := rec.Report()
	r.Jobs = o.jobs
	queued := 0
	// Almost empty is a queue of each tenant and priority with one job: queues
	// without any cost less, however long the others are.
	for level := min(max(1000, len(f.clients)*backlogChunk), o.jobs); ; level = min(level*10, o.jobs) {
		l := report.BacklogLevel{Queued: level}
		start := time.Now()
		if err := f.submit(ctx, level-queued); err != nil {
			return nil, err
		}
		l.SubmitRate = float64(level-queued) / time.Since(start).Seconds()
		queued = level
		if err := f.measure(ctx, o, &l); err != nil {
			return nil, err
		}
		if n, err := f.depth(ctx); err != nil {
			return nil, err
		} else if n < level*9/10-backlogUnderWay {
			rec.Wrong(fmt.Sprintf("the queue of %d shrank to %d while it was measured", level, n))
		}
		r.Backlog = append(r.Backlog, l)
		_, _ = fmt.Fprintf(t.stderr, "with %d queued: %.0f jobs/s, %.3f ms of CPU a job\n", l.Queued, l.Rate, l.Cost())
		if level >= o.jobs {
			break
		}
	}
	r.Grew = outgrew(r.Backlog)
	return rec.Finish(), nil
}

// outgrew says what depends on the length of the queue that must not.
func outgrew(levels []report.BacklogLevel) (what []string) {
	first := levels[0]
	for _, l := range levels {
		if l.Cost() > first.Cost()*maxCostGrowth {
			what = append(what, fmt.Sprintf("with %d queued a job costs %.3f ms of CPU, with %d %.3f ms", l.Queued, l.Cost(), first.Queued, first.Cost()))
		}
		if l.Resident > maxBacklogMemory {
			what = append(what, fmt.Sprintf("with %d queued the worker takes %d MB", l.Queued, l.Resident>>20))
		}
	}
	return what
}

// openTenants makes the streams, by a worker's start, and a client for every
// tenant, and its queues.
func (f *backlogFleet) openTenants(ctx context.Context, o options) error {
	if err := f.startWorkers(ctx, 1, o.slots); err != nil {
		return err
	}
	for i := range o.tenants {
		c, err := jobs.NewClient(ctx, f.nc, f.js, fmt.Sprintf("tenant%04d", i))
		if err != nil {
			return errors.Join(err, f.stopWorkers())
		}
		f.clients = append(f.clients, c)
	}
	err := f.openQueues(ctx)
	return errors.Join(err, f.stopWorkers())
}

// openQueues runs one job of each tenant and priority, so that all queues are
// there at every level.
func (f *backlogFleet) openQueues(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, c := range f.clients {
		g.Go(func() error {
			return c.SubmitMany(gctx, f.jobsOf(gctx, len(jobs.Priorities), 0), func(int, int) {})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for {
		switch n, err := f.depth(ctx); {
		case err != nil:
			return err
		case n == 0:
			return nil
		case !pause(ctx, 50*time.Millisecond):
			return context.Cause(ctx)
		}
	}
}

// jobsOf gives n jobs of one tenant, of all priorities in turn.
func (f *backlogFleet) jobsOf(ctx context.Context, n, from int) iter.Seq2[jobs.JobWithContext, error] {
	return func(yield func(jobs.JobWithContext, error) bool) {
		for i := range n {
			j := f.of.job(0)
			j.Priority = jobs.Priorities[(from+i)%len(jobs.Priorities)]
			if !yield(jobs.JobWithContext{Ctx: ctx, Job: j}, nil) {
				return
			}
		}
	}
}

// backlogChunk is how many jobs a tenant submits at a time, backlogSubmitters
// how many tenants do so at once.
const (
	backlogChunk      = 3  // one of each priority
	backlogUnderWay   = 20 // jobs that may be missing because they are running or being replaced
	backlogSubmitters = 16
)

// submit queues n jobs, some of each tenant in turn, so that the queues' jobs
// lie among each other as those of tenants at work do.
func (f *backlogFleet) submit(ctx context.Context, n int) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(backlogSubmitters)
	for left := n; left > 0; {
		part := min(backlogChunk, left)
		left -= part
		turn := int(f.next.Add(1))
		g.Go(func() error {
			c := f.clients[turn%len(f.clients)]
			return c.SubmitMany(gctx, f.jobsOf(gctx, part, turn/len(f.clients)), func(int, int) {})
		})
	}
	return g.Wait()
}

// backlogJobs is how many jobs are run at each level; backlogLooks how many
// requests a latency is taken from.
const (
	backlogJobs  = 3000
	backlogLooks = 200
)

// measure takes a level's figures. The latencies are taken while no worker
// runs: it is the queue's length that is to show, not the worker's load.
func (f *backlogFleet) measure(ctx context.Context, o options, l *report.BacklogLevel) error {
	if err := f.latencies(ctx, l); err != nil {
		return err
	}
	start := time.Now()
	if err := f.startWorkers(ctx, 1, o.slots); err != nil {
		return err
	}
	l.Start = time.Since(start).Seconds()
	return errors.Join(f.load(ctx, l, min(backlogJobs, o.jobs)), f.stopWorkers())
}

// load lets the worker run jobs, putting in as many as it takes out.
func (f *backlogFleet) load(ctx context.Context, l *report.BacklogLevel, measured int) error {
	run := func(n int) error {
		from := f.ended.Load()
		for filled := from; f.ended.Load() < from+int64(n); {
			if k := int(f.ended.Load() - filled); k >= backlogChunk {
				if err := f.submit(ctx, k); err != nil {
					return err
				}
				filled += int64(k)
			} else if !pause(ctx, 2*time.Millisecond) {
				return context.Cause(ctx)
			}
		}
		return nil
	}
	// A queue's first job is looked for from where the queue last ended; that
	// is paid once for all that wait, so every queue gives one before the
	// measurement.
	if err := run(max(measured/6, len(f.clients)*len(jobs.Priorities))); err != nil {
		return err
	}
	worker, server, start, from := f.measured().usage(), f.servers.usage(), time.Now(), f.ended.Load()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.newcomers(gctx, l) })
	g.Go(func() error { return run(measured) })
	if err := g.Wait(); err != nil {
		return err
	}
	n := float64(f.ended.Load() - from)
	after := f.measured().usage()
	l.Rate = n / time.Since(start).Seconds()
	l.WorkerCPU = ms(after.CPU-worker.CPU) / n
	l.ServerCPU = ms(f.servers.usage().CPU-server.CPU) / n
	l.Resident = after.Resident
	return nil
}

// latencies measures single requests: pulling a job (given back at once),
// asking for a job that waits, and for one that has ended.
func (f *backlogFleet) latencies(ctx context.Context, l *report.BacklogLevel) error {
	pull, waits, ended := report.Histogram(), report.Histogram(), report.Histogram()
	rng := rand.New(rand.NewPCG(1, uint64(l.Queued)))
	var ids []string
	var of []*jobs.Client
	for range backlogLooks {
		i := rng.IntN(len(f.clients))
		c, err := f.js.Consumer(ctx, jobs.StreamJobs, fmt.Sprintf("q-%s-%s", f.clients[i].Tenant(), jobs.Priorities[rng.IntN(len(jobs.Priorities))]))
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := timed(pull, func() error {
			batch, err := c.FetchNoWait(1)
			if err != nil {
				return err
			}
			for m := range batch.Messages() {
				if j, err := jobs.Decode(m.Data()); err == nil {
					ids, of = append(ids, j.ID), append(of, f.clients[i])
				}
				if err := m.Nak(); err != nil {
					return err
				}
			}
			return batch.Error()
		}); err != nil {
			return err
		}
	}
	for i, id := range ids {
		if err := timed(waits, func() error { _, err := of[i].Get(ctx, id); return err }); err != nil {
			return err
		}
	}
	for range backlogLooks {
		if len(f.done) == 0 {
			break
		}
		j := f.done[rng.IntN(len(f.done))]
		if err := timed(ended, func() error { _, err := j.client.Get(ctx, j.id); return err }); err != nil {
			return err
		}
	}
	l.Fetch, l.Queue, l.Done = report.QuantilesOf(pull), report.QuantilesOf(waits), report.QuantilesOf(ended)
	return nil
}

func timed(h *hdrhistogram.Histogram, do func() error) error {
	start := time.Now()
	err := do()
	_ = h.RecordValue(time.Since(start).Microseconds())
	return err
}

// newcomers submits single jobs, each of a tenant that never had one, and
// waits for each: the first turn of a tenant must not wait for others' many.
func (f *backlogFleet) newcomers(ctx context.Context, l *report.BacklogLevel) error {
	h := report.Histogram()
	for i := range 10 {
		c, err := jobs.NewClient(ctx, f.nc, f.js, fmt.Sprintf("newcomer-%d-%d", l.Queued, i))
		if err != nil {
			return err
		}
		w, err := c.NewWaiter("", "")
		if err != nil {
			return err
		}
		j := f.of.job(0)
		j.ID = jobs.NewID()
		w.Expect(j.ID)
		err = timed(h, func() error {
			if _, err := c.Submit(ctx, j); err != nil {
				return err
			}
			_, err := w.Next(ctx)
			return err
		})
		w.Close()
		if err != nil {
			return err
		}
		f.done = append(f.done, endedJob{c, j.ID})
	}
	l.NewTenant = report.QuantilesOf(h)
	return nil
}
