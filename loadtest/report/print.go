package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Print writes the report for a terminal.
func (r *Report) Print(w io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	p("%s: %d jobs of %s, %d wrong, %.1f s\n", r.Profile, r.Jobs, r.Tool, r.Wrong, r.Took)
	if r.FirstWrong != "" {
		p("  first wrong: %s\n", r.FirstWrong)
	}
	if r.Attempts > r.Jobs {
		p("  attempts: %d for %d jobs\n", r.Attempts, r.Jobs)
	}
	if r.Asked > 0 {
		p("  asked for %.1f jobs/s; ", r.Asked)
	} else if r.Rate > 0 {
		p("  ")
	}
	if r.Rate > 0 {
		p("%.0f jobs/s end to end", r.Rate)
		if r.SubmitRate > 0 {
			p(", %.0f jobs/s submitted", r.SubmitRate)
		}
		p("\n")
	}
	if r.WorkerCPU > 0 {
		p("  CPU per job: %.3f ms fleet, %.3f ms client\n", r.WorkerCPU, r.ClientCPU)
	}
	if r.Resident > 0 {
		p("  resident: %.1f MB before, %.1f MB after\n", float64(r.ResidentBefore)/1e6, float64(r.Resident)/1e6)
	}
	if r.FDs > 0 {
		p("  descriptors: %d before, %d after\n", r.FDsBefore, r.FDs)
	}
	if r.Total != nil {
		p("  submit to result: %s\n", r.Total)
	}
	if r.Late != nil {
		p("  sent after due:   %s (counted in the latency)\n", r.Late)
	}
	printCold(p, r.Cold)
	printScaling(p, r.Scaling)
	printTools(p, r.Tools)
	for _, s := range r.Stall {
		p("  beside %-16s %6d jobs: %s\n", s.Name, s.Jobs, s.Total)
	}
	printSoak(p, r.Soak)
	printBacklog(p, r.Backlog)
	for _, m := range r.Marks {
		p("  at %6.1f s for %5.1f s: %s\n", m.At, m.For, m.What)
	}
	for _, g := range r.Grew {
		p("  GREW: %s\n", g)
	}
	for _, n := range r.Notes {
		p("  note: %s\n", n)
	}
	r.printMakeup(p)
	r.printPhases(p)
}

// String gives the quantiles in one line.
func (q Quantiles) String() string {
	return fmt.Sprintf("p50 %.2f, p90 %.2f, p99 %.2f, p99.9 %.2f, max %.2f ms", q.P50, q.P90, q.P99, q.P999, q.Max)
}

type printf func(format string, args ...any)

func (r *Report) printPhases(p printf) {
	if len(r.Phases) == 0 {
		return
	}
	p("  %-14s %10s %10s %10s %10s  (ms)\n", "phase", "p50", "p90", "p99", "max")
	for _, name := range phasesOf(r.Phases) {
		q := r.Phases[name]
		p("  %-14s %10.3f %10.3f %10.3f %10.3f\n", name, q.P50, q.P90, q.P99, q.Max)
	}
}

// phasesOf gives a map's phases in order, those of later versions at the end.
func phasesOf[V any](m map[string]V) (names []string) {
	for _, name := range PhaseOrder {
		if _, ok := m[name]; ok {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(PhaseOrder, name) {
			names = append(names, name)
		}
	}
	return names
}

func (r *Report) printMakeup(p printf) {
	for _, m := range r.Makeup {
		var parts []string
		for _, name := range PhaseOrder {
			if v := m.Phases[name]; v >= m.Total/50 && v > 0 {
				parts = append(parts, fmt.Sprintf("%s %.2f", name, v))
			}
		}
		p("  around p%g: %.2f ms = %s\n", m.Percentile, m.Total, strings.Join(parts, " + "))
	}
}

func printCold(p printf, stages []ColdStage) {
	if len(stages) == 0 {
		return
	}
	p("  %-16s %6s %10s %10s %10s %10s %10s %10s %10s  (ms, phases: means)\n", "caches", "jobs", "p50", "p99", "fetch", "compile", "instant.", "run", "rest")
	for _, s := range stages {
		rest := 0.0
		for name, v := range s.Phases {
			switch name {
			case "fetch module", "compile", "instantiate", "run":
			default:
				rest += v
			}
		}
		p("  %-16s %6d %10.2f %10.2f %10.2f %10.2f %10.3f %10.3f %10.2f\n", s.Name, s.Jobs, s.Total.P50, s.Total.P99,
			s.Phases["fetch module"], s.Phases["compile"], s.Phases["instantiate"], s.Phases["run"], rest)
	}
}

func printScaling(p printf, points []ScalePoint) {
	if len(points) == 0 {
		return
	}
	p("  %8s %6s %7s %9s %9s %10s %10s %10s\n", "workers", "slots", "jobs", "jobs/s", "of ideal", "CPU ms", "run p50", "run p99")
	for _, s := range points {
		ideal := "-"
		if s.Ideal > 0 {
			ideal = fmt.Sprintf("%.0f %%", 100*s.Rate/s.Ideal)
		}
		p("  %8d %6d %7d %9.1f %9s %10.3f %10.2f %10.2f\n", s.Workers, s.Slots, s.Jobs, s.Rate, ideal, s.WorkerCPU, s.Run.P50, s.Run.P99)
	}
}

func printTools(p printf, lines []ToolLine) {
	if len(lines) == 0 {
		return
	}
	p("  %-12s %6s %6s %10s %10s %10s %10s %10s  (ms)\n", "tool", "jobs", "wrong", "first", "p50", "p99", "instant.", "run")
	for _, l := range lines {
		p("  %-12s %6d %6d %10.1f %10.2f %10.2f %10.3f %10.3f\n", l.Tool, l.Jobs, l.Wrong, l.First, l.Total.P50, l.Total.P99, l.Phases["instantiate"], l.Phases["run"])
	}
}

func printSoak(p printf, samples []SoakSample) {
	if len(samples) == 0 {
		return
	}
	p("  %9s %9s %9s %11s %5s %6s %7s %8s %8s\n", "jobs", "heap MB", "RSS MB", "goroutines", "fds", "files", "queued", "B/record", "jobs/s")
	for _, s := range samples {
		p("  %9d %9.2f %9.1f %11d %5d %6d %7d %8d %8.0f\n", s.Jobs, float64(s.Heap)/1e6, float64(s.Resident)/1e6, s.Goroutines, s.FDs, s.Files, s.Queued, s.RecordBytes, s.Rate)
	}
}

func printBacklog(p printf, levels []BacklogLevel) {
	if len(levels) == 0 {
		return
	}
	p("  %9s %9s %7s %7s %8s %8s %7s %13s %13s %13s %15s\n", "queued", "submit/s", "start s", "jobs/s", "work ms", "queue ms", "RSS MB", "fetch p50/99", "waits p50/99", "ended p50/99", "newcomer p50/99")
	pair := func(q Quantiles) string { return fmt.Sprintf("%.2f/%.2f", q.P50, q.P99) }
	for _, l := range levels {
		p("  %9d %9.0f %7.2f %7.0f %8.3f %8.3f %7.1f %13s %13s %13s %15s\n", l.Queued, l.SubmitRate, l.Start, l.Rate, l.WorkerCPU, l.ServerCPU,
			float64(l.Resident)/1e6, pair(l.Fetch), pair(l.Queue), pair(l.Done), pair(l.NewTenant))
	}
}
