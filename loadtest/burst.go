package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"boxfleet/jobs"
	"boxfleet/loadtest/report"
)

// burst submits all jobs at once.
func burst(ctx context.Context, t *target, o options) (*report.Report, error) {
	load, err := t.workload(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := t.warm(ctx, load, o.warm); err != nil {
		return nil, err
	}
	rec := report.NewRecorder()
	a := newAccount(load, rec)
	before, self := t.usage(), selfCPU()
	profiled := make(chan error, 1)
	if o.profileCPU != "" {
		go func() { profiled <- t.cpuProfile(ctx, o.profileCPU, time.Duration(o.jobs/2500+1)*time.Second) }()
	}
	start := time.Now()
	rec.Begin(start)
	submitted, err := t.burstOf(ctx, a, 0, o.jobs)
	if err != nil {
		return nil, err
	}
	took := time.Since(start)
	after := t.usage()
	a.close()
	r := rec.Finish()
	n := float64(o.jobs)
	r.Rate, r.SubmitRate = n/took.Seconds(), n/submitted.Seconds()
	r.WorkerCPU, r.ClientCPU = ms(after.CPU-before.CPU)/n, ms(selfCPU()-self)/n
	r.Resident, r.ResidentBefore = after.Resident, before.Resident
	if o.profileCPU != "" {
		if err := <-profiled; err != nil {
			return nil, err
		}
	}
	return r, nil
}

// single submits one job after the other.
func single(ctx context.Context, t *target, o options) (*report.Report, error) {
	load, err := t.workload(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := t.each(ctx, newAccount(load, report.NewRecorder()), o.warm); err != nil {
		return nil, err
	}
	rec := report.NewRecorder()
	a := newAccount(load, rec)
	before, self := t.usage(), selfCPU()
	if err := t.each(ctx, a, o.jobs); err != nil {
		return nil, err
	}
	a.close()
	r := rec.Finish()
	n := float64(o.jobs)
	r.WorkerCPU, r.ClientCPU = ms(t.usage().CPU-before.CPU)/n, ms(selfCPU()-self)/n
	return r, nil
}

// each runs n jobs one after the other.
func (t *target) each(ctx context.Context, a *account, n int) error {
	for i := range n {
		if _, _, err := t.one(ctx, a, i); err != nil {
			return err
		}
	}
	return nil
}

// memory measures a worker at rest, before and after jobs.
func memory(ctx context.Context, t *target, o options) (*report.Report, error) {
	if t.servers == nil {
		return nil, errors.New("memory looks into a worker's process: it needs a fleet of its own")
	}
	load, err := t.workload(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := t.warm(ctx, load, 1); err != nil {
		return nil, err
	}
	if !pause(ctx, 3*time.Second) {
		return nil, context.Cause(ctx)
	}
	worker := t.measured()
	before := worker.usage()
	rec := report.NewRecorder()
	a := newAccount(load, rec)
	if _, err := t.burstOf(ctx, a, 0, o.jobs); err != nil {
		return nil, err
	}
	a.close()
	if !pause(ctx, 8*time.Second) {
		return nil, context.Cause(ctx)
	}
	after := worker.usage()
	r := rec.Finish()
	r.ResidentBefore, r.Resident = before.Resident, after.Resident
	r.FDsBefore, r.FDs = before.FDs, after.FDs
	return r, nil
}

// idle waits until the queue is empty: the last acks are under way when the
// last results are known.
func (t *target) idle(ctx context.Context, within time.Duration) (queued int, err error) {
	for end := time.Now().Add(within); ; {
		n, err := t.depth(ctx)
		if err != nil || n == 0 || time.Now().After(end) {
			return n, err
		}
		if !pause(ctx, 20*time.Millisecond) {
			return n, context.Cause(ctx)
		}
	}
}

// depth is the number of messages in the queue, those being run included.
func (t *target) depth(ctx context.Context) (int, error) {
	s, err := t.js.Stream(ctx, jobs.StreamJobs)
	if err != nil {
		return 0, fmt.Errorf("look at the queue: %w", err)
	}
	return int(s.CachedInfo().State.Msgs), nil
}
