package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// sections gives the charts of what the report holds.
func (r *Report) sections() (list []section) {
	for _, s := range []section{
		r.coldSection(), r.scalingSection(), r.makeupSection(), r.timelineSection(), r.spectrumSection(), r.toolsSection(), r.stallSection(),
		r.soakSection(), r.backlogSection(), r.phasesSection(),
	} {
		s.Charts = slices.DeleteFunc(s.Charts, func(c chart) bool { return c.SVG == "" })
		if len(s.Charts)+len(s.Tables) > 0 {
			list = append(list, s)
		}
	}
	return list
}

// phaseKeys is the legend of the phases that any of the bars has.
func phaseKeys(bars []bar) (keys []key) {
	for i, phase := range PhaseOrder {
		if slices.ContainsFunc(bars, func(b bar) bool { return b.parts[phase] > b.total()/1000 }) {
			keys = append(keys, key{phase, fmt.Sprintf("p%d", i)})
		}
	}
	return keys
}

func (r *Report) makeupSection() section {
	if len(r.Makeup) == 0 {
		return section{}
	}
	var bars []bar
	rows := table{Name: "Figures", Head: []string{"percentile", "jobs averaged", "latency"}}
	for _, m := range r.Makeup {
		bars = append(bars, bar{name: "p" + strconv.FormatFloat(m.Percentile, 'g', -1, 64), note: millis(m.Total), parts: m.Phases})
	}
	keys := phaseKeys(bars)
	for _, k := range keys {
		rows.Head = append(rows.Head, k.Name)
	}
	for i, m := range r.Makeup {
		row := []string{bars[i].name, fmt.Sprint(m.Jobs), millis(m.Total)}
		for _, k := range keys {
			row = append(row, millis(m.Phases[k.Name]))
		}
		rows.Rows = append(rows.Rows, row)
	}
	return section{
		Title: "Where the time goes",
		Text: "Latency from submission to result, by phase. Each bar is the mean of the jobs around that percentile, so that its parts add up; " +
			"“elsewhere” is what no phase accounts for: the way to the queue, claiming, committing, the way back.",
		Legend: keys,
		Charts: []chart{
			{Caption: "Time by phase", Tab: "time", SVG: stacked("latency percentiles by phase, in milliseconds", bars, false)},
			{Caption: "Share of each phase", Tab: "share", SVG: stacked("latency percentiles by phase, as shares", bars, true)},
		},
		Tables: []table{rows},
	}
}

func (r *Report) timelineSection() section {
	if len(r.Timeline) < 2 {
		return section{}
	}
	submitted, ended, open := series{Name: "submitted", Class: "s2"}, series{Name: "ended", Class: "s1"}, series{Name: "open", Class: "s4"}
	p50, p99 := series{Name: "p50", Class: "s1"}, series{Name: "p99", Class: "s3"}
	rows := table{Name: "Figures", Head: []string{"at", "submitted/s", "ended/s", "open", "p50", "p99"}}
	for _, t := range r.Timeline {
		if t.Width <= 0 {
			return section{}
		}
		a, b := float64(t.Submitted)/t.Width, float64(t.Ended)/t.Width
		submitted.points = append(submitted.points, [2]float64{t.At, a})
		ended.points = append(ended.points, [2]float64{t.At, b})
		open.points = append(open.points, [2]float64{t.At, float64(t.Open)})
		if t.Ended > 0 {
			p50.points = append(p50.points, [2]float64{t.At, t.P50})
			p99.points = append(p99.points, [2]float64{t.At, t.P99})
		}
		rows.Rows = append(rows.Rows, []string{seconds(t.At), short(a), short(b), fmt.Sprint(t.Open), millis(t.P50), millis(t.P99)})
	}
	s := section{
		Title: "Over time",
		Charts: []chart{
			{Caption: "Jobs a second", SVG: lines{label: "throughput over time", series: []series{submitted, ended}, xName: "seconds", yName: "jobs/s", marks: r.Marks}.draw()},
			{Caption: "Latency of the jobs that ended then", SVG: lines{label: "latency over time", series: []series{p50, p99}, xName: "seconds", yName: "latency", yLog: true, yTick: millis, marks: r.Marks}.draw()},
			{Caption: "Jobs submitted and not ended", SVG: lines{label: "open jobs over time", series: []series{open}, xName: "seconds", yName: "jobs", marks: r.Marks, height: 150}.draw()},
		},
		Legend: []key{{"submitted", "s2"}, {"ended, p50", "s1"}, {"p99", "s3"}, {"open", "s4"}},
		Tables: []table{rows},
	}
	if len(r.Marks) > 0 {
		marks := table{Name: "What was done to the fleet", Head: []string{"", "at", "for", "what"}}
		for i, m := range r.Marks {
			marks.Rows = append(marks.Rows, []string{fmt.Sprint(i + 1), seconds(m.At), seconds(m.For), m.What})
		}
		s.Text = "Shaded: parts of the fleet were broken, as the table below says."
		s.Tables = append([]table{marks}, s.Tables...)
	}
	return s
}

func seconds(v float64) string { return trimmed(v, 1) + " s" }

func (r *Report) spectrumSection() section {
	if len(r.Spectrum) < 2 {
		return section{}
	}
	line := series{Name: "latency", Class: "s1"}
	for _, p := range r.Spectrum {
		if p.Percentile < 100 {
			line.points = append(line.points, [2]float64{100 / (100 - p.Percentile), p.Latency})
		}
	}
	return section{
		Title: "Distribution",
		Text:  "One in so many jobs took at least as long.",
		Charts: []chart{{Caption: "Latency by rarity", SVG: lines{
			label: "latency distribution", series: []series{line}, xName: "one job in", yName: "latency", xLog: true, yLog: true, yTick: millis,
		}.draw()}},
	}
}

func (r *Report) coldSection() section {
	if len(r.Cold) == 0 {
		return section{}
	}
	var bars []bar
	rows := table{Name: "Figures", Head: []string{"caches", "jobs", "p50", "p99", "modules came from"}}
	s := section{
		Title: "The cold start, taken apart",
		Text: "Every module is new to the fleet, and runs once in each state of the caches, alone. Above on one scale; below each on its own, every phase " +
			"from where the last one ended. Means over the modules.",
	}
	for _, c := range r.Cold {
		bars = append(bars, bar{name: c.Name, note: millis(c.Total.Mean), parts: c.Phases})
		from := ""
		for _, k := range slices.Sorted(maps.Keys(c.Cached)) {
			name := k
			if name == "" {
				name = "nowhere"
			}
			from += fmt.Sprintf("%s %d ", name, c.Cached[k])
		}
		rows.Rows = append(rows.Rows, []string{c.Name, fmt.Sprint(c.Jobs), millis(c.Total.P50), millis(c.Total.P99), from})
	}
	s.Charts = append(s.Charts, chart{Caption: "Submission to result, mean", SVG: stacked("cold start by state of the caches", bars, false)})
	for i, c := range r.Cold {
		s.Charts = append(s.Charts, chart{Caption: c.Name + ", " + millis(c.Total.Mean), Half: true, SVG: waterfall(bars[i], c.P99)})
	}
	s.Legend, s.Tables = phaseKeys(bars), []table{rows}
	return s
}

func (r *Report) scalingSection() section {
	if len(r.Scaling) == 0 {
		return section{}
	}
	byWorkers := map[int]*series{}
	var order []int
	ideal := series{Name: "ideal", Class: "s0"}
	rows := table{Name: "Figures", Head: []string{"workers", "slots each", "jobs", "jobs/s", "of ideal", "CPU per job", "run p50", "run p99"}}
	for _, p := range r.Scaling {
		s := byWorkers[p.Workers]
		if s == nil {
			s = &series{Name: counted(p.Workers, "worker"), Class: fmt.Sprintf("s%d", 1+len(order)%6)}
			byWorkers[p.Workers], order = s, append(order, p.Workers)
		}
		places := float64(p.Workers * p.Slots)
		s.points = append(s.points, [2]float64{places, p.Rate})
		share := "–"
		if p.Ideal > 0 {
			share = fmt.Sprintf("%.0f %%", 100*p.Rate/p.Ideal)
			if !slices.ContainsFunc(ideal.points, func(q [2]float64) bool { return q[0] == places }) {
				ideal.points = append(ideal.points, [2]float64{places, p.Ideal})
			}
		}
		rows.Rows = append(rows.Rows, []string{fmt.Sprint(p.Workers), fmt.Sprint(p.Slots), fmt.Sprint(p.Jobs), short(p.Rate), share, millis(p.WorkerCPU), millis(p.Run.P50), millis(p.Run.P99)})
	}
	var all []series
	var keys []key
	if len(ideal.points) > 1 {
		slices.SortFunc(ideal.points, func(a, b [2]float64) int { return int(a[0] - b[0]) })
		all, keys = append(all, ideal), append(keys, key{"ideal: every slot always waiting for its job", "s0"})
	}
	for _, n := range order {
		s := *byWorkers[n]
		slices.SortFunc(s.points, func(a, b [2]float64) int { return int(a[0] - b[0]) })
		all, keys = append(all, s), append(keys, key{s.Name, s.Class})
	}
	var ticks []float64
	for _, s := range all {
		for _, p := range s.points {
			ticks = append(ticks, p[0])
		}
	}
	slices.Sort(ticks)
	return section{
		Title: "Scaling", Legend: keys, Tables: []table{rows},
		Text: "Throughput by the number of places: workers times slots. All run on one machine with the queue and the client, so that its cores end the line.",
		Charts: []chart{{Caption: "Jobs a second", SVG: lines{
			label: "scaling curve", series: all, xName: "workers × slots", yName: "jobs/s", xLog: true, yLog: true, dots: true, xTicks: slices.Compact(ticks),
		}.draw()}},
	}
}

func (r *Report) toolsSection() section {
	if len(r.Tools) == 0 {
		return section{}
	}
	var names []string
	var of []Quantiles
	var bars []bar
	rows := table{Name: "Figures", Head: []string{"tool", "jobs", "wrong", "first job", "p50", "p99", "instantiate", "run"}}
	for _, t := range r.Tools {
		names, of = append(names, t.Tool), append(of, t.Total)
		bars = append(bars, bar{name: t.Tool, parts: t.Phases})
		bars[len(bars)-1].note = millis(bars[len(bars)-1].total())
		rows.Rows = append(rows.Rows, []string{t.Tool, fmt.Sprint(t.Jobs), fmt.Sprint(t.Wrong), millis(t.First), millis(t.Total.P50), millis(t.Total.P99), millis(t.Phases["instantiate"]), millis(t.Phases["run"])})
	}
	keys := append(phaseKeys(bars), key{"p50", "s1"}, key{"p99", "s2"})
	return section{
		Title: "Tools", Legend: keys, Tables: []table{rows},
		Text: "The tools' jobs run among each other. The first job of each, alone, compiled the tool.",
		Charts: []chart{
			{Caption: "Submission to result, p50 to p99", SVG: ranges("latency by tool", names, of)},
			{Caption: "Phases at the worker, mean", SVG: stacked("phases by tool", bars, false)},
		},
	}
}

func (r *Report) stallSection() section {
	if len(r.Stall) == 0 {
		return section{}
	}
	var names []string
	var of []Quantiles
	rows := table{Name: "Figures", Head: []string{"beside", "small jobs", "modules compiled", "p50", "p90", "p99", "max"}}
	for _, s := range r.Stall {
		names, of = append(names, s.Name), append(of, s.Total)
		rows.Rows = append(rows.Rows, []string{s.Name, fmt.Sprint(s.Jobs), fmt.Sprint(s.Modules), millis(s.Total.P50), millis(s.Total.P90), millis(s.Total.P99), millis(s.Total.Max)})
	}
	return section{
		Title: "Small jobs beside a large module", Tables: []table{rows}, Legend: []key{{"p50", "s1"}, {"p99", "s2"}},
		Text:   "One small job after the other: alone, beside a process that keeps a core busy, and beside the compilation of a module that nothing has cached.",
		Charts: []chart{{Caption: "Submission to result, p50 to p99", SVG: ranges("latency of small jobs", names, of)}},
	}
}

func (r *Report) soakSection() section {
	if len(r.Soak) < 2 {
		return section{}
	}
	s := section{Title: "What a worker holds", Text: "After each round the worker is idle and its heap collected. Flat is right."}
	rows := table{Name: "Figures", Head: []string{"jobs", "heap MB", "resident MB", "goroutines", "descriptors", "files", "queued", "bytes a record", "jobs/s"}}
	for i, c := range []struct {
		name  string
		value func(SoakSample) float64
	}{
		{"heap, MB", func(s SoakSample) float64 { return float64(s.Heap) / 1e6 }},
		{"resident, MB", func(s SoakSample) float64 { return float64(s.Resident) / 1e6 }},
		{"goroutines", func(s SoakSample) float64 { return float64(s.Goroutines) }},
		{"descriptors", func(s SoakSample) float64 { return float64(s.FDs) }},
	} {
		l := series{Name: c.name, Class: fmt.Sprintf("s%d", i+1)}
		for _, sample := range r.Soak {
			l.points = append(l.points, [2]float64{float64(sample.Jobs), c.value(sample)})
		}
		s.Charts = append(s.Charts, chart{Caption: c.name, SVG: lines{label: c.name, series: []series{l}, xName: "jobs", height: 150}.draw()})
	}
	for _, v := range r.Soak {
		rows.Rows = append(rows.Rows, []string{fmt.Sprint(v.Jobs), trimmed(float64(v.Heap)/1e6, 2), trimmed(float64(v.Resident)/1e6, 1), fmt.Sprint(v.Goroutines),
			fmt.Sprint(v.FDs), fmt.Sprint(v.Files), fmt.Sprint(v.Queued), fmt.Sprint(v.RecordBytes), short(v.Rate)})
	}
	s.Tables = []table{rows}
	return s
}

func (r *Report) backlogSection() section {
	if len(r.Backlog) == 0 {
		return section{}
	}
	worker, server := series{Name: "worker", Class: "s1"}, series{Name: "queue", Class: "s2"}
	rows := table{Name: "Figures", Head: []string{"queued", "submitted/s", "worker starts in", "jobs/s", "worker CPU", "queue CPU", "resident", "fetch p50, p99", "newcomer p50, p99"}}
	for _, l := range r.Backlog {
		worker.points = append(worker.points, [2]float64{float64(l.Queued), l.WorkerCPU})
		server.points = append(server.points, [2]float64{float64(l.Queued), l.ServerCPU})
		rows.Rows = append(rows.Rows, []string{fmt.Sprint(l.Queued), short(l.SubmitRate), seconds(l.Start), short(l.Rate), millis(l.WorkerCPU), millis(l.ServerCPU),
			trimmed(float64(l.Resident)/1e6, 1) + " MB", millis(l.Fetch.P50) + ", " + millis(l.Fetch.P99), millis(l.NewTenant.P50) + ", " + millis(l.NewTenant.P99)})
	}
	return section{
		Title: "What a job costs while others wait", Tables: []table{rows}, Legend: []key{{"worker", "s1"}, {"queue", "s2"}},
		Charts: []chart{{Caption: "CPU of a job by the length of the queue", SVG: lines{
			label: "cost by queue length", series: []series{worker, server}, xName: "jobs queued", yName: "CPU", xLog: true, yTick: millis, dots: true,
		}.draw()}},
	}
}

func (r *Report) phasesSection() section {
	if len(r.Phases) == 0 {
		return section{}
	}
	t := table{Name: "Quantiles of every phase by itself", Head: []string{"phase", "mean", "p50", "p90", "p99", "p99.9", "max"}}
	for _, name := range phasesOf(r.Phases) {
		q := r.Phases[name]
		t.Rows = append(t.Rows, []string{name, millis(q.Mean), millis(q.P50), millis(q.P90), millis(q.P99), millis(q.P999), millis(q.Max)})
	}
	return section{Title: "Phases", Tables: []table{t}}
}
