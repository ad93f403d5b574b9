package main

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"boxfleet/jobs"
	"boxfleet/loadtest/report"
)

// account knows which jobs are under way and what each must end as. Every job
// leaves it once: with its result, or as lost.
type account struct {
	load workload
	rec  *report.Recorder
	also func(n int, rec *jobs.Record, at time.Time, latency time.Duration) // hears of every result, or nil

	mu   sync.Mutex
	open map[string]entry // by job id
}

// entry is a job under way.
type entry struct {
	n   int
	due time.Time // when it was to be submitted, or was
}

func newAccount(load workload, rec *report.Recorder) *account {
	return &account{load: load, rec: rec, open: map[string]entry{}}
}

// add notes a job before it is submitted.
func (a *account) add(id string, n int, due time.Time) {
	a.mu.Lock()
	a.open[id] = entry{n, due}
	a.mu.Unlock()
}

// take takes a job out; false when it is not under way.
func (a *account) take(id string) (entry, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.open[id]
	delete(a.open, id)
	return e, ok
}

// ended checks and records a job whose result has just come. It gives its
// number and its latency.
func (a *account) ended(ctx context.Context, rec *jobs.Record) (n int, latency time.Duration) {
	now := time.Now()
	e, ok := a.take(rec.ID)
	if !ok {
		a.rec.Wrong("a result that nobody waits for: " + rec.ID)
		return -1, 0
	}
	if why := a.load.check(ctx, e.n, rec.Result); why != "" {
		a.rec.Wrong("job " + rec.ID + ": " + why)
	}
	a.rec.Ended(rec.Result, now, now.Sub(e.due))
	if a.also != nil {
		a.also(e.n, rec, now, now.Sub(e.due))
	}
	return e.n, now.Sub(e.due)
}

// close counts what never ended.
func (a *account) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, e := range a.open {
		a.rec.Wrong(fmt.Sprintf("no result: job %s, number %d", id, e.n))
	}
	clear(a.open)
}

// burstOf submits the jobs numbered from to from+n at once, as one batch, and
// waits for all of them.
func (t *target) burstOf(ctx context.Context, a *account, from, n int) (submitted time.Duration, err error) {
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
				j := a.load.job(from + i)
				j.ID, j.Batch = jobs.NewID(), batch
				a.add(j.ID, from+i, time.Now())
				if list = append(list, j.ID); len(list) == 256 {
					ids <- list
					list = nil
				}
				if !yield(jobs.JobWithContext{Ctx: ctx, Job: j}, nil) {
					return
				}
			}
		}
		stored := func(k, _ int) {
			a.rec.Submitted(time.Now(), k)
		}
		err := t.client.SubmitMany(ctx, iter.Seq2[jobs.JobWithContext, error](all), stored)
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
		a.ended(ctx, r)
	}
	return submitted, nil
}

// warm runs jobs that are not measured; they must succeed all the same.
func (t *target) warm(ctx context.Context, load workload, n int) error {
	rec := report.NewRecorder()
	if _, err := t.burstOf(ctx, newAccount(load, rec), 0, max(1, n)); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	if r := rec.Report(); r.Wrong > 0 {
		return fmt.Errorf("warm up: %d of %d jobs ended wrongly, the first: %s", r.Wrong, r.Jobs, r.FirstWrong)
	}
	return nil
}

// one runs the nth job alone and gives its result.
func (t *target) one(ctx context.Context, a *account, n int) (*jobs.Result, time.Duration, error) {
	j := a.load.job(n)
	j.ID = jobs.NewID()
	w, err := t.client.NewWaiter("", j.ID)
	if err != nil {
		return nil, 0, err
	}
	defer w.Close()
	w.Expect(j.ID)
	start := time.Now()
	a.add(j.ID, n, start)
	if _, err := t.client.Submit(ctx, j); err != nil {
		return nil, 0, err
	}
	a.rec.Submitted(start, 1)
	rec, err := w.Next(ctx)
	if err != nil {
		return nil, 0, err
	}
	_, took := a.ended(ctx, rec)
	return rec.Result, took, nil
}
