package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"boxfleet/jobs"
	"boxfleet/loadtest/report"
)

// steady submits jobs at a rate that does not depend on how the fleet does, as
// users do, and measures each from the moment it was due. A client that waits
// for one answer before it sends the next question would ask less of a fleet
// that stalls, and leave out of its figures what the others had to wait
// (coordinated omission).
func steady(ctx context.Context, t *target, o options) (*report.Report, error) {
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
	due := arrivals(o.rate, o.duration, o.even, o.seed)
	if err := t.openLoop(ctx, a, due, o.patience()); err != nil {
		return nil, err
	}
	after := t.usage()
	a.close()
	r := rec.Finish()
	n := float64(len(due))
	r.Asked = n / o.duration.Seconds()
	r.Rate = ratePerSecond(r)
	r.WorkerCPU, r.ClientCPU = ms(after.CPU-before.CPU)/n, ms(selfCPU()-self)/n
	r.Resident, r.ResidentBefore = after.Resident, before.Resident
	judgeSteady(r)
	return r, nil
}

// judgeSteady says when the figures are not those of the load that was asked
// for.
func judgeSteady(r *report.Report) {
	if r.Late != nil && r.Total != nil && r.Late.P99 > r.Total.P99/2 {
		r.Notes = append(r.Notes, fmt.Sprintf("the client itself was late (p99 %.1f ms): it is the client that is slow, or its machine", r.Late.P99))
	}
	if n := len(r.Timeline); n >= 4 && r.Rate < 0.9*r.Asked {
		r.Notes = append(r.Notes, fmt.Sprintf("the fleet did %.0f of %.0f jobs/s: it is overloaded, and latencies grow for as long as the load lasts", r.Rate, r.Asked))
	}
}

// ratePerSecond is the jobs that ended by the time from the first submission to
// the last result.
func ratePerSecond(r *report.Report) float64 {
	for i := len(r.Timeline) - 1; i >= 0; i-- {
		if t := r.Timeline[i]; t.Ended > 0 {
			return float64(r.Jobs) / (t.At + t.Width)
		}
	}
	return 0
}

// arrivals gives the times, from the start, at which jobs are due: at random
// with the rate's mean (a Poisson process, as of many users who know nothing of
// each other), or in even steps.
func arrivals(rate float64, d time.Duration, even bool, seed uint64) (due []time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 0))
	step := float64(time.Second) / rate
	for at := 0.0; at < float64(d); {
		due = append(due, time.Duration(at))
		if even {
			at = float64(len(due)) * step
		} else {
			at += rng.ExpFloat64() * step
		}
	}
	return due
}

// maxSending bounds the submissions that wait for the queue's answer at once.
// Beyond it the client is late, which is counted.
const maxSending = 1024

// openLoop submits a job at each of the times and waits for all results, for as
// long as patience after the last submission. What has no result then stays in
// the account.
func (t *target) openLoop(ctx context.Context, a *account, due []time.Duration, patience time.Duration) error {
	batch := jobs.NewID()
	w, err := t.client.NewWaiter(batch, "")
	if err != nil {
		return err
	}
	defer w.Close()
	all, sending := errgroup.WithContext(ctx)
	waiting, enough := context.WithCancelCause(sending)
	defer enough(nil)
	start := time.Now()
	a.rec.Begin(start)
	all.Go(func() error {
		if err := t.send(sending, a, w, batch, start, due); err != nil {
			return err
		}
		timer := time.AfterFunc(patience, func() { enough(errNoPatience) })
		context.AfterFunc(waiting, func() { timer.Stop() })
		return nil
	})
	all.Go(func() error {
		defer enough(nil)
		for range due {
			r, err := w.Next(waiting)
			if errors.Is(err, errNoPatience) {
				return nil
			}
			if err != nil {
				return err
			}
			a.ended(waiting, r)
		}
		return nil
	})
	return all.Wait()
}

var errNoPatience = errors.New("the last results have not come in time")

// send submits the jobs, each by itself at its time.
func (t *target) send(ctx context.Context, a *account, w *jobs.Waiter, batch string, start time.Time, due []time.Duration) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(maxSending)
	for n, at := range due {
		when := start.Add(at)
		if wait := time.Until(when); wait > 0 && !pause(gctx, wait) {
			break
		}
		g.Go(func() error {
			j := a.load.job(n)
			j.ID, j.Batch = jobs.NewID(), batch
			a.add(j.ID, n, when)
			w.Expect(j.ID)
			now := time.Now()
			a.rec.Late(now.Sub(when))
			_, err := t.client.Submit(gctx, j)
			a.rec.Submitted(now, 1)
			return err
		})
	}
	return errors.Join(g.Wait(), context.Cause(ctx))
}
