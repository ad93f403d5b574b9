package main

import (
	"context"
	"fmt"
	"iter"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"boxfleet/jobs"
)

type profileFunc func(context.Context, *target, options) (*report, error)

var profiles = map[string]profileFunc{"burst": burst, "single": single, "memory": memory, "soak": soak, "scale": scale}

func (t *target) job(batch string) *jobs.Job {
	return &jobs.Job{Batch: batch, Tool: t.tool}
}

// submitAll submits n jobs as one batch and waits for all of them.
func (t *target) submitAll(ctx context.Context, n int, each func(*jobs.Record)) (submitted time.Duration, err error) {
	batch := jobs.NewID()
	w, err := t.client.NewWaiter(batch, "")
	if err != nil {
		return 0, err
	}
	defer w.Close()
	start := time.Now()
	sent := make(chan error, 1)
	ids := make(chan []string, n/100+16)
	go func() {
		var list []string
		all := func(yield func(jobs.JobWithContext, error) bool) {
			for i := range n {
				j := t.job(batch)
				j.ID = jobs.NewID()
				if t.files != nil {
					if o := t.files(i); o != nil {
						j.Options = *o
					}
				}
				if list = append(list, j.ID); len(list) == 256 {
					ids <- list
					list = nil
				}
				if !yield(jobs.JobWithContext{Ctx: ctx, Job: j}, nil) {
					return
				}
			}
		}
		err := t.client.SubmitMany(ctx, iter.Seq2[jobs.JobWithContext, error](all), func(int, int) {})
		ids <- list
		close(ids)
		submitted = time.Since(start)
		sent <- err
	}()
	for list := range ids {
		for _, id := range list {
			w.Expect(id)
		}
	}
	if err := <-sent; err != nil {
		return 0, err
	}
	w.LookNow() // results that came before their id was expected
	for w.Left() > 0 {
		r, err := w.Next(ctx)
		if err != nil {
			return submitted, err
		}
		each(r)
	}
	return submitted, nil
}

// burst submits all jobs at once.
func burst(ctx context.Context, t *target, o options) (*report, error) {
	if _, err := t.submitAll(ctx, max(1, o.warm), func(*jobs.Record) {}); err != nil {
		return nil, fmt.Errorf("warm up: %w", err)
	}
	r := newReport(o.jobs)
	before, self := t.usage(), selfCPU()
	profiled := make(chan error, 1)
	if o.profileCPU != "" {
		go func() { profiled <- t.cpuProfile(ctx, o.profileCPU, time.Duration(o.jobs/2500+1)*time.Second) }()
	}
	start := time.Now()
	submitted, err := t.submitAll(ctx, o.jobs, r.add)
	if err != nil {
		return nil, err
	}
	took := time.Since(start)
	after := t.usage()
	r.Rate = float64(o.jobs) / took.Seconds()
	r.SubmitRate = float64(o.jobs) / submitted.Seconds()
	r.WorkerCPU = ms(after.CPU-before.CPU) / float64(o.jobs)
	r.ClientCPU = ms(selfCPU()-self) / float64(o.jobs)
	r.Resident, r.ResidentBefore = after.Resident, before.Resident
	if o.profileCPU != "" {
		if err := <-profiled; err != nil {
			return nil, err
		}
	}
	return r, nil
}

// single submits one job after the other.
func single(ctx context.Context, t *target, o options) (*report, error) {
	r := newReport(o.jobs)
	for i := range o.jobs + o.warm {
		j := t.job("")
		j.ID = jobs.NewID()
		w, err := t.client.NewWaiter("", j.ID)
		if err != nil {
			return nil, err
		}
		w.Expect(j.ID)
		start := time.Now()
		if _, err := t.client.Submit(ctx, j); err != nil {
			return nil, err
		}
		rec, err := w.Next(ctx)
		w.Close()
		if err != nil {
			return nil, err
		}
		if i >= o.warm {
			r.add(rec)
			_ = r.total.RecordValue(time.Since(start).Microseconds())
		}
	}
	return r, nil
}

// memory measures a worker at rest, before and after jobs.
func memory(ctx context.Context, t *target, o options) (*report, error) {
	if _, err := t.submitAll(ctx, 1, func(*jobs.Record) {}); err != nil {
		return nil, err
	}
	if !pause(ctx, 3*time.Second) {
		return nil, context.Cause(ctx)
	}
	before := t.usage()
	r := newReport(o.jobs)
	if _, err := t.submitAll(ctx, o.jobs, r.add); err != nil {
		return nil, err
	}
	if !pause(ctx, 8*time.Second) {
		return nil, context.Cause(ctx)
	}
	after := t.usage()
	r.ResidentBefore, r.Resident = before.Resident, after.Resident
	r.FDsBefore, r.FDs = before.FDs, after.FDs
	return r, nil
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// selfCPU is what this process used so far.
func selfCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 3_600_000_000, 3) }
