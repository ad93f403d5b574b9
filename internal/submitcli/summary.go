package submitcli

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"boxfleet/jobs"
)

// summary counts the results of a batch by outcome, with percentiles of two
// times: latency, from submission to the result being here by this machine's
// clock, and run, the guest's own time on the worker.
type summary struct {
	batch   string
	lines   int // jobs of the batch
	skipped int // bad lines
	reused  int // results that were there before
	seconds float64
	fuel    uint64
	errors  int // tools that say that their calls failed
	by      map[jobs.Outcome]*outcomeTimes
	all     outcomeTimes
}

type outcomeTimes struct{ latency, run *hdrhistogram.Histogram }

// Times are kept in microseconds, up to a day, to 3 significant digits.
func newTimes() outcomeTimes {
	h := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, (24 * time.Hour).Microseconds(), 3) }
	return outcomeTimes{latency: h(), run: h()}
}

func newSummary(batch string, lines, skipped int) *summary {
	return &summary{batch: batch, lines: lines, skipped: skipped, by: map[jobs.Outcome]*outcomeTimes{}, all: newTimes()}
}

func (s *summary) add(l leanResult, reused bool) {
	o := s.by[l.outcome]
	if o == nil {
		t := newTimes()
		o = &t
		s.by[l.outcome] = o
	}
	s.fuel += l.fuel
	if l.toolError {
		s.errors++
	}
	run := int64(l.runMS * 1000)
	latency := time.Since(l.submitted).Microseconds()
	if reused {
		s.reused++
		latency = l.finished.Sub(l.submitted).Microseconds()
	}
	for _, t := range []*outcomeTimes{o, &s.all} {
		record(t.latency, latency)
		record(t.run, run)
	}
}

// record keeps a value within what a histogram holds.
func record(h *hdrhistogram.Histogram, v int64) {
	_ = h.RecordValue(min(max(v, 0), h.HighestTrackableValue()))
}

type quantiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func quantilesOf(h *hdrhistogram.Histogram) quantiles {
	ms := func(v int64) float64 { return float64(v) / 1000 }
	return quantiles{ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(90)), ms(h.ValueAtQuantile(99)), ms(h.Max())}
}

type outcomeDocument struct {
	Jobs      int64     `json:"jobs"`
	LatencyMS quantiles `json:"latency_ms"`
	RunMS     quantiles `json:"run_ms"`
}

type summaryDocument struct {
	Batch         string                           `json:"batch"`
	Jobs          int                              `json:"jobs"`
	Succeeded     int64                            `json:"succeeded"`
	ToolErrors    int                              `json:"tool_errors"`
	Reused        int                              `json:"reused"`
	Skipped       int                              `json:"skipped"`
	Seconds       float64                          `json:"seconds"`
	JobsPerSecond float64                          `json:"jobs_per_second"`
	FuelConsumed  uint64                           `json:"fuel_consumed"`
	LatencyMS     quantiles                        `json:"latency_ms"`
	RunMS         quantiles                        `json:"run_ms"`
	Outcomes      map[jobs.Outcome]outcomeDocument `json:"outcomes"`
}

func (s *summary) document() summaryDocument {
	d := summaryDocument{
		Batch: s.batch, Jobs: s.lines, ToolErrors: s.errors, Reused: s.reused, Skipped: s.skipped, Seconds: s.seconds, FuelConsumed: s.fuel,
		LatencyMS: quantilesOf(s.all.latency), RunMS: quantilesOf(s.all.run), Outcomes: map[jobs.Outcome]outcomeDocument{},
	}
	for o, t := range s.by {
		d.Outcomes[o] = outcomeDocument{t.latency.TotalCount(), quantilesOf(t.latency), quantilesOf(t.run)}
	}
	d.Succeeded = d.Outcomes[jobs.Succeeded].Jobs
	if fresh := s.lines - s.reused; s.seconds > 0 && fresh > 0 {
		d.JobsPerSecond = float64(fresh) / s.seconds
	}
	return d
}

func (s *summary) print(w io.Writer) error {
	d := s.document()
	line := fmt.Sprintf("batch %s: %s in %s", s.batch, count(s.lines, "job"), roughly(time.Duration(s.seconds*float64(time.Second))))
	if d.JobsPerSecond > 0 {
		line += ", " + rate(s.lines-s.reused, s.seconds)
	}
	if s.reused > 0 {
		line += fmt.Sprintf(", %d from an earlier run", s.reused)
	}
	if s.errors > 0 {
		line += fmt.Sprintf(", %s of tools", count(s.errors, "error"))
	}
	if s.skipped > 0 {
		line += fmt.Sprintf(", %s skipped", count(s.skipped, "bad line"))
	}
	if _, err := fmt.Fprintln(w, line); err != nil {
		return wroteOut(err)
	}
	rows := [][]string{{"OUTCOME", "JOBS", "LATENCY P50", "P90", "P99", "MAX", "RUN P50", "P99"}}
	order := slices.Clone(jobs.Outcomes)
	for o := range d.Outcomes { // what a later worker may say
		if !slices.Contains(order, o) {
			order = append(order, o)
		}
	}
	for _, o := range order {
		t, ok := d.Outcomes[o]
		if !ok {
			continue
		}
		rows = append(rows, []string{string(o), fmt.Sprint(t.Jobs),
			inMS(t.LatencyMS.P50), inMS(t.LatencyMS.P90), inMS(t.LatencyMS.P99), inMS(t.LatencyMS.Max), inMS(t.RunMS.P50), inMS(t.RunMS.P99)})
	}
	return writeTable(w, rows)
}
