package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"

	"boxfleet/jobs"
)

// report is what a profile measured. Times are milliseconds.
type report struct {
	Profile string  `json:"profile"`
	Tool    string  `json:"tool"`
	Jobs    int     `json:"jobs"`
	Wrong   int     `json:"wrong"` // results that are not what they must be
	Took    float64 `json:"took_s"`
	// FirstWrong says what was wrong with the first of them.
	FirstWrong string `json:"first_wrong,omitempty"`

	Rate       float64 `json:"jobs_per_s,omitempty"`
	SubmitRate float64 `json:"submitted_per_s,omitempty"`
	WorkerCPU  float64 `json:"worker_cpu_ms_per_job,omitempty"`
	ClientCPU  float64 `json:"client_cpu_ms_per_job,omitempty"`

	ResidentBefore int64 `json:"resident_before_bytes,omitempty"`
	Resident       int64 `json:"resident_bytes,omitempty"`
	FDsBefore      int   `json:"fds_before,omitempty"`
	FDs            int   `json:"fds,omitempty"`

	Soak  []soakSample `json:"soak,omitempty"`
	Scale []scaleLevel `json:"scale,omitempty"`
	// Grew says what grew that must not.
	Grew []string `json:"grew,omitempty"`

	Total  *quantiles           `json:"submit_to_result_ms,omitempty"`
	Phases map[string]quantiles `json:"phases_ms"`

	outcomes map[jobs.Outcome]int
	seen     map[string]bool
	total    *hdrhistogram.Histogram
	phases   map[string]*hdrhistogram.Histogram
}

type quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func newReport(n int) *report {
	return &report{
		Jobs: n, outcomes: map[jobs.Outcome]int{}, seen: make(map[string]bool, n),
		total: newHistogram(), phases: map[string]*hdrhistogram.Histogram{},
	}
}

// add checks and counts one result.
func (r *report) add(rec *jobs.Record) {
	res, why := rec.Result, ""
	switch {
	case r.seen[rec.ID]:
		why = "twice: " + rec.ID
	case res == nil:
		why = "no result: " + rec.ID
	case res.Outcome != jobs.Succeeded || res.ExitCode != 0:
		why = string(res.Outcome) + ": " + res.Error
	}
	if why != "" {
		if r.Wrong++; r.FirstWrong == "" {
			r.FirstWrong = why
		}
	}
	r.seen[rec.ID] = true
	if res == nil {
		return
	}
	r.outcomes[res.Outcome]++
	for name, v := range res.Phases {
		h := r.phases[name]
		if h == nil {
			h = newHistogram()
			r.phases[name] = h
		}
		_ = h.RecordValue(int64(v * 1000))
	}
}

func quantilesOf(h *hdrhistogram.Histogram) quantiles {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return quantiles{P50: at(50), P99: at(99), Max: float64(h.Max()) / 1000}
}

func (r *report) finish() {
	if r.total.TotalCount() > 0 {
		q := quantilesOf(r.total)
		r.Total = &q
	}
	r.Phases = map[string]quantiles{}
	for name, h := range r.phases {
		r.Phases[name] = quantilesOf(h)
	}
}

func (r *report) print(w io.Writer) {
	r.finish()
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	p("%s: %d jobs of %s, %d wrong, %.1f s\n", r.Profile, r.Jobs, r.Tool, r.Wrong, r.Took)
	if r.FirstWrong != "" {
		p("  first wrong result: %s\n", r.FirstWrong)
	}
	if r.Rate > 0 {
		p("  %.0f jobs/s end to end, %.0f jobs/s submitted\n", r.Rate, r.SubmitRate)
		p("  CPU per job: %.3f ms worker and queue, %.3f ms client\n", r.WorkerCPU, r.ClientCPU)
	}
	if r.Resident > 0 {
		p("  resident: %.1f MB before, %.1f MB after\n", float64(r.ResidentBefore)/1e6, float64(r.Resident)/1e6)
	}
	if r.FDs > 0 {
		p("  descriptors: %d before, %d after\n", r.FDsBefore, r.FDs)
	}
	if r.Total != nil {
		p("  submit to result: p50 %.2f ms, p99 %.2f ms, max %.2f ms\n", r.Total.P50, r.Total.P99, r.Total.Max)
	}
	printSoak(p, r.Soak)
	printScale(p, r.Scale)
	for _, g := range r.Grew {
		p("  GREW: %s\n", g)
	}
	if len(r.Phases) == 0 {
		return
	}
	p("  %-14s %10s %10s %10s  (ms)\n", "phase", "p50", "p99", "max")
	for _, name := range slices.Sorted(maps.Keys(r.Phases)) {
		q := r.Phases[name]
		p("  %-14s %10.3f %10.3f %10.3f\n", name, q.P50, q.P99, q.Max)
	}
}
