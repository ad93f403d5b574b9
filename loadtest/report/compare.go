package report

import (
	"fmt"
	"io"
	"math"
	"slices"
)

// Comparison is two reports side by side.
type Comparison struct {
	A, B  *Report
	Lines []Line
	// Warnings say why the two may not be comparable.
	Warnings []string
}

// Line is one figure of both.
type Line struct {
	Name       string
	Unit       string
	A, B       float64
	MoreIsGood bool
}

// Ratio is B by A; 1 when both are nothing, +Inf when only A is.
func (l Line) Ratio() float64 {
	switch {
	case l.A == l.B:
		return 1
	case l.A == 0:
		return math.Inf(1)
	}
	return l.B / l.A
}

// Loss is by how much B is worse: 2 is half as good, below 1 is better.
func (l Line) Loss() float64 {
	r := l.Ratio()
	if !l.MoreIsGood {
		return r
	}
	return 1 / r
}

// verdict says whether B's figure is noticeably another.
func (l Line) verdict() string {
	switch loss := l.Loss(); {
	case loss > noticeable:
		return "worse"
	case loss < 1/noticeable:
		return "better"
	}
	return ""
}

// Compare puts the figures that both reports have side by side.
func Compare(a, b *Report) *Comparison {
	c := &Comparison{A: a, B: b}
	warn := func(differ bool, format string, args ...any) {
		if differ {
			c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
		}
	}
	warn(a.Profile != b.Profile, "the profiles differ: %s and %s", a.Profile, b.Profile)
	warn(a.Tool != b.Tool, "the tools differ: %s and %s", a.Tool, b.Tool)
	warn(a.Asked != b.Asked, "the loads differ: %.1f and %.1f jobs/s were asked for", a.Asked, b.Asked)
	warn(a.Workers != b.Workers || a.Slots != b.Slots, "the fleets differ: %d workers of %d slots and %d of %d", a.Workers, a.Slots, b.Workers, b.Slots)
	warn(a.Machine != b.Machine, "the machines differ: %s and %s", a.Machine, b.Machine)
	warn(!slices.Equal(a.Args, b.Args), "the command lines differ: %q and %q", a.Args, b.Args)
	warn(a.Jobs < 1000 || b.Jobs < 1000, "few jobs (%d and %d): high percentiles are a handful of jobs", a.Jobs, b.Jobs)

	c.more("throughput", "jobs/s", a.Rate, b.Rate)
	c.more("submitted", "jobs/s", a.SubmitRate, b.SubmitRate)
	c.less("fleet CPU per job", "ms", a.WorkerCPU, b.WorkerCPU)
	c.less("client CPU per job", "ms", a.ClientCPU, b.ClientCPU)
	c.less("resident", "MB", float64(a.Resident)/1e6, float64(b.Resident)/1e6)
	if a.Total != nil && b.Total != nil {
		c.quantiles("submit to result", *a.Total, *b.Total)
	}
	for _, phase := range phasesOf(a.Phases) {
		if q, ok := b.Phases[phase]; ok {
			c.quantiles(phase, a.Phases[phase], q)
		}
	}
	for _, s := range a.Cold {
		for _, o := range b.Cold {
			if s.Name == o.Name {
				c.quantiles("caches "+s.Name, s.Total, o.Total)
			}
		}
	}
	for _, s := range a.Scaling {
		for _, o := range b.Scaling {
			if s.Workers == o.Workers && s.Slots == o.Slots {
				c.more(fmt.Sprintf("%d x %d slots", s.Workers, s.Slots), "jobs/s", s.Rate, o.Rate)
			}
		}
	}
	for _, s := range a.Tools {
		for _, o := range b.Tools {
			if s.Tool == o.Tool {
				c.quantiles("tool "+s.Tool, s.Total, o.Total)
			}
		}
	}
	for _, s := range a.Stall {
		for _, o := range b.Stall {
			if s.Name == o.Name {
				c.quantiles("beside "+s.Name, s.Total, o.Total)
			}
		}
	}
	for _, s := range a.Backlog {
		for _, o := range b.Backlog {
			if s.Queued == o.Queued {
				c.less(fmt.Sprintf("CPU with %d queued", s.Queued), "ms", s.Cost(), o.Cost())
			}
		}
	}
	return c
}

func (c *Comparison) more(name, unit string, a, b float64) { c.line(Line{name, unit, a, b, true}) }
func (c *Comparison) less(name, unit string, a, b float64) { c.line(Line{name, unit, a, b, false}) }

func (c *Comparison) line(l Line) {
	if l.A != 0 || l.B != 0 {
		c.Lines = append(c.Lines, l)
	}
}

func (c *Comparison) quantiles(name string, a, b Quantiles) {
	for _, q := range []struct {
		name string
		a, b float64
	}{{"p50", a.P50, b.P50}, {"p99", a.P99, b.P99}} {
		if max(q.a, q.b) >= leastTime {
			c.less(name+" "+q.name, "ms", q.a, q.b)
		}
	}
}

// leastTime is the shortest time, in milliseconds, that is compared: the
// histograms count microseconds, and 1 µs against 2 µs is no difference.
const leastTime = 0.01

// Worse gives the figures of which B is worse by more than the ratio, and
// wrong results, of which none may be new.
func (c *Comparison) Worse(ratio float64) (list []Line) {
	if c.B.Wrong > c.A.Wrong {
		list = append(list, Line{Name: "wrong results", A: float64(c.A.Wrong), B: float64(c.B.Wrong)})
	}
	for _, l := range c.Lines {
		if l.Loss() > ratio {
			list = append(list, l)
		}
	}
	return list
}

// String says what the machine is.
func (m Machine) String() string {
	return fmt.Sprintf("%s/%s, %d cores, %s", m.OS, m.Arch, m.CPUs, m.Go)
}

// Print writes the comparison for a terminal.
func (c *Comparison) Print(w io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	for _, warning := range c.Warnings {
		p("note: %s\n", warning)
	}
	p("%-30s %12s %12s %8s\n", c.A.Profile, "A", "B", "B by A")
	if c.A.Wrong+c.B.Wrong > 0 {
		p("%-30s %12d %12d\n", "wrong", c.A.Wrong, c.B.Wrong)
	}
	for _, l := range c.Lines {
		p("%-30s %12.3f %12.3f %8.2f  %s\n", l.Name+" ("+l.Unit+")", l.A, l.B, l.Ratio(), l.verdict())
	}
}

// noticeable is the ratio from which on a difference is called one. It is no
// statistical test: repeat both runs before believing it.
const noticeable = 1.1

// SavePage writes the comparison as one web page that needs nothing else.
func (c *Comparison) SavePage(file string) error { return save(file, c.Page) }
