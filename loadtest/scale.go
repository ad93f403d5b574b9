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
)

// Bounds that the scale profile holds the fleet to.
const (
	maxCostGrowth  = 1.1
	maxScaleMemory = 150 << 20 // bytes a worker may have resident
)

// scaleLevel is what jobs cost while so many wait. CPU is milliseconds a job,
// of the worker and of the process that holds the queue; latencies are
// milliseconds.
type scaleLevel struct {
	Queued     int       `json:"queued"`
	SubmitRate float64   `json:"submitted_per_s"` // while the queue grew to this level
	Start      float64   `json:"worker_start_s"`
	Rate       float64   `json:"jobs_per_s"`
	WorkerCPU  float64   `json:"worker_cpu_ms_per_job"`
	ServerCPU  float64   `json:"server_cpu_ms_per_job"`
	Resident   int64     `json:"worker_resident_bytes"`
	Fetch      quantiles `json:"fetch_ms"`    // one pull request for one job
	Queue      quantiles `json:"status_ms"`   // state of a job that waits
	Done       quantiles `json:"result_ms"`   // record of a job that has ended
	NewTenant  quantiles `json:"newcomer_ms"` // submit to result of another tenant's only job
}

// cost is CPU a job, of worker and server together.
func (l scaleLevel) cost() float64 { return l.WorkerCPU + l.ServerCPU }

// scaleFleet is a queue of many tenants.
type scaleFleet struct {
	*target
	js      jetstream.JetStream
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

// scale grows the queue tenfold from level to level. At each level it keeps the
// queue at that length while a worker runs some thousand jobs of it, and
// measures what one costs.
func scale(ctx context.Context, t *target, o options) (*report, error) {
	js, err := jetstream.New(t.nc)
	if err != nil {
		return nil, err
	}
	f := &scaleFleet{target: t, js: js}
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
	r := newReport(o.jobs)
	queued := 0
	for level := min(1000, o.jobs); ; level = min(level*10, o.jobs) {
		l := scaleLevel{Queued: level}
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
		} else if n < level*9/10-2*scaleChunk {
			r.Wrong, r.FirstWrong = r.Wrong+1, fmt.Sprintf("the queue of %d shrank to %d while it was measured", level, n)
		}
		r.Scale = append(r.Scale, l)
		_, _ = fmt.Fprintf(t.stderr, "with %d queued: %.0f jobs/s, %.3f ms of CPU a job\n", l.Queued, l.Rate, l.cost())
		if level >= o.jobs {
			break
		}
	}
	r.Grew = outgrew(r.Scale)
	return r, nil
}

// outgrew says what depends on the length of the queue that must not.
func outgrew(levels []scaleLevel) (what []string) {
	first := levels[0]
	for _, l := range levels {
		if l.cost() > first.cost()*maxCostGrowth {
			what = append(what, fmt.Sprintf("with %d queued a job costs %.3f ms of CPU, with %d %.3f ms", l.Queued, l.cost(), first.Queued, first.cost()))
		}
		if l.Resident > maxScaleMemory {
			what = append(what, fmt.Sprintf("with %d queued the worker takes %d MB", l.Queued, l.Resident>>20))
		}
	}
	return what
}

// openTenants makes the streams, by a worker's start, and a client for every
// tenant, and its queues.
func (f *scaleFleet) openTenants(ctx context.Context, o options) error {
	if err := f.startWorker(ctx, o); err != nil {
		return err
	}
	for i := range o.tenants {
		c, err := jobs.NewClient(ctx, f.nc, f.js, fmt.Sprintf("tenant%04d", i))
		if err != nil {
			return errors.Join(err, f.stopWorker())
		}
		f.clients = append(f.clients, c)
	}
	err := f.openQueues(ctx)
	return errors.Join(err, f.stopWorker())
}

// openQueues runs one job of each tenant and priority, so that all queues are
// there at every level.
func (f *scaleFleet) openQueues(ctx context.Context) error {
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
func (f *scaleFleet) jobsOf(ctx context.Context, n, from int) iter.Seq2[jobs.JobWithContext, error] {
	return func(yield func(jobs.JobWithContext, error) bool) {
		for i := range n {
			j := f.job("")
			j.Priority = jobs.Priorities[(from+i)%len(jobs.Priorities)]
			if !yield(jobs.JobWithContext{Ctx: ctx, Job: j}, nil) {
				return
			}
		}
	}
}

// scaleChunk is how many jobs a tenant submits at a time, and scaleSubmitters
// how many tenants do so at once.
const (
	scaleChunk      = 10
	scaleSubmitters = 16
)

// submit queues n jobs, some of each tenant in turn, so that the queues' jobs
// lie among each other as those of tenants at work do.
func (f *scaleFleet) submit(ctx context.Context, n int) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(scaleSubmitters)
	for left := n; left > 0; {
		part := min(scaleChunk, left)
		left -= part
		turn := int(f.next.Add(1))
		g.Go(func() error {
			c := f.clients[turn%len(f.clients)]
			return c.SubmitMany(gctx, f.jobsOf(gctx, part, turn/len(f.clients)), func(int, int) {})
		})
	}
	return g.Wait()
}

func (f *scaleFleet) depth(ctx context.Context) (int, error) {
	s, err := f.js.Stream(ctx, jobs.StreamJobs)
	if err != nil {
		return 0, err
	}
	return int(s.CachedInfo().State.Msgs), nil
}

// scaleJobs is how many jobs are run at each level; scaleLooks how many
// requests a latency is taken from.
const (
	scaleJobs  = 3000
	scaleLooks = 200
)

// measure takes a level's figures. The latencies are taken while no worker
// runs: it is the queue's length that is to show, not the worker's load.
func (f *scaleFleet) measure(ctx context.Context, o options, l *scaleLevel) error {
	if err := f.latencies(ctx, l); err != nil {
		return err
	}
	start := time.Now()
	if err := f.startWorker(ctx, o); err != nil {
		return err
	}
	l.Start = time.Since(start).Seconds()
	return errors.Join(f.load(ctx, l, min(scaleJobs, o.jobs)), f.stopWorker())
}

// load lets the worker run jobs, putting in as many as it takes out.
func (f *scaleFleet) load(ctx context.Context, l *scaleLevel, measured int) error {
	run := func(n int) error {
		from := f.ended.Load()
		for filled := from; f.ended.Load() < from+int64(n); {
			if k := int(f.ended.Load() - filled); k >= scaleChunk {
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
	worker, server, start, from := f.usage(), usageOf(f.servers), time.Now(), f.ended.Load()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.newcomers(gctx, l) })
	g.Go(func() error { return run(measured) })
	if err := g.Wait(); err != nil {
		return err
	}
	n := float64(f.ended.Load() - from)
	after := f.usage()
	l.Rate = n / time.Since(start).Seconds()
	l.WorkerCPU = ms(after.CPU-worker.CPU) / n
	l.ServerCPU = ms(usageOf(f.servers).CPU-server.CPU) / n
	l.Resident = after.Resident
	return nil
}

// latencies measures single requests: pulling a job (given back at once),
// asking for a job that waits, and for one that has ended.
func (f *scaleFleet) latencies(ctx context.Context, l *scaleLevel) error {
	pull, waits, ended := newHistogram(), newHistogram(), newHistogram()
	rng := rand.New(rand.NewPCG(1, uint64(l.Queued)))
	var ids []string
	var of []*jobs.Client
	for range scaleLooks {
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
	for range scaleLooks {
		if len(f.done) == 0 {
			break
		}
		j := f.done[rng.IntN(len(f.done))]
		if err := timed(ended, func() error { _, err := j.client.Get(ctx, j.id); return err }); err != nil {
			return err
		}
	}
	l.Fetch, l.Queue, l.Done = quantilesOf(pull), quantilesOf(waits), quantilesOf(ended)
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
func (f *scaleFleet) newcomers(ctx context.Context, l *scaleLevel) error {
	h := newHistogram()
	for i := range 10 {
		c, err := jobs.NewClient(ctx, f.nc, f.js, fmt.Sprintf("newcomer-%d-%d", l.Queued, i))
		if err != nil {
			return err
		}
		w, err := c.NewWaiter("", "")
		if err != nil {
			return err
		}
		j := f.job("")
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
	l.NewTenant = quantilesOf(h)
	return nil
}

func printScale(p func(string, ...any), levels []scaleLevel) {
	if len(levels) == 0 {
		return
	}
	p("  %9s %9s %7s %7s %8s %8s %7s %13s %13s %13s %15s\n", "queued", "submit/s", "start s", "jobs/s", "work ms", "queue ms", "RSS MB", "fetch p50/99", "waits p50/99", "ended p50/99", "newcomer p50/99")
	pair := func(q quantiles) string { return fmt.Sprintf("%.2f/%.2f", q.P50, q.P99) }
	for _, l := range levels {
		p("  %9d %9.0f %7.2f %7.0f %8.3f %8.3f %7.1f %13s %13s %13s %15s\n", l.Queued, l.SubmitRate, l.Start, l.Rate, l.WorkerCPU, l.ServerCPU,
			float64(l.Resident)/1e6, pair(l.Fetch), pair(l.Queue), pair(l.Done), pair(l.NewTenant))
	}
}
