package main

import (
	"context"
	"fmt"
	"time"

	"boxfleet/loadtest/report"
)

// scale measures the throughput of fleets of 1 to --workers worker processes
// with 1 to --slots slots each, doubling both. The jobs wait more than they
// compute, so that what does not scale is the fleet and not the machine's cores;
// --rounds makes them compute.
func scale(ctx context.Context, t *target, o options) (*report.Report, error) {
	load, err := t.workload(ctx, o)
	if err != nil {
		return nil, err
	}
	all := report.NewRecorder()
	r := all.Report()
	for _, workers := range doubling(o.workers) {
		for _, slots := range doubling(o.slots) {
			p, err := t.scalePoint(ctx, load, o, workers, slots, all)
			if err != nil {
				return nil, err
			}
			r.Scaling = append(r.Scaling, p)
			_, _ = fmt.Fprintf(t.stderr, "%d workers of %d slots: %.0f jobs/s\n", workers, slots, p.Rate)
		}
	}
	return all.Finish(), nil
}

// doubling gives 1, 2, 4 and so on up to n, and n.
func doubling(n int) (list []int) {
	for i := 1; i < n; i *= 2 {
		list = append(list, i)
	}
	return append(list, n)
}

// A size of the fleet is measured with so many jobs, or for so long by its ideal
// throughput: less shows how jobs begin and end. --jobs wins.
const (
	leastScaleJobs = 100
	leastScaleTime = 2 * time.Second
)

func (t *target) scalePoint(ctx context.Context, load workload, o options, workers, slots int, all *report.Recorder) (p report.ScalePoint, err error) {
	if err := t.startWorkers(ctx, workers, slots); err != nil {
		return p, err
	}
	p = report.ScalePoint{Workers: workers, Slots: slots, Jobs: o.jobs}
	if w, ok := load.(*workLoad); ok && w.wait > 0 {
		p.Ideal = float64(workers*slots) / w.wait.Seconds()
	}
	if p.Jobs == 0 {
		p.Jobs = max(leastScaleJobs, int(p.Ideal*leastScaleTime.Seconds()))
	}
	if err := t.warm(ctx, load, 4*workers*slots); err != nil {
		return p, err
	}
	rec := report.NewRecorder()
	a := newAccount(load, rec)
	before, start := t.usage(), time.Now()
	if _, err := t.burstOf(ctx, a, 0, p.Jobs); err != nil {
		return p, err
	}
	took := time.Since(start)
	p.WorkerCPU = ms(t.usage().CPU-before.CPU) / float64(p.Jobs)
	p.Rate = float64(p.Jobs) / took.Seconds()
	a.close()
	r := rec.Finish()
	p.Run = r.Phases["run"]
	all.Add(r)
	return p, t.stopWorkers()
}
