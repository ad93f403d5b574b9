package report

import (
	"fmt"
	"html/template"
	"math"
	"time"
)

// Page draws the comparison as a web page.
func (c *Comparison) Page() ([]byte, error) {
	good := c.B.Good() && c.A.Good()
	v := &view{
		Title: "Load tests compared: " + c.A.Profile, Lead: "A, then B; a ratio above 1 says that B's figure is the larger one.",
		Good: good, Verdict: c.verdict(), Notes: c.Warnings, Data: c,
		Facts: [][2]string{{"A", c.A.title()}, {"B", c.B.title()}},
	}
	t := table{Name: "Figures", Head: []string{"", "A", "B", "B by A", ""}}
	for _, l := range c.Lines {
		t.Rows = append(t.Rows, []string{l.Name, trimmed(l.A, 3) + " " + l.Unit, trimmed(l.B, 3) + " " + l.Unit, trimmed(l.Ratio(), 2), l.verdict()})
	}
	if len(c.Lines) > 0 {
		s := section{
			Title: "Figure by figure", Tables: []table{t}, Legend: []key{{"B is better", "p6"}, {"B is worse", "p3"}, {"about equal", "p0"}},
			Text:   "By how much B is better or worse, on a scale where twice and half are equally far from the middle. Repeat both before you believe a difference.",
			Charts: []chart{{Caption: "B against A", SVG: losses(c.Lines)}},
		}
		v.Sections = append(v.Sections, s)
	}
	a, b := c.A.makeupSection(), c.B.makeupSection()
	a.Title, b.Title = "A: where the time goes", "B: where the time goes"
	for _, s := range []section{a, b} {
		if len(s.Charts) > 0 {
			v.Sections = append(v.Sections, s)
		}
	}
	return v.render()
}

func (c *Comparison) verdict() string {
	if !c.A.Good() || !c.B.Good() {
		return fmt.Sprintf("wrong results: %d in A, %d in B", c.A.Wrong, c.B.Wrong)
	}
	return fmt.Sprintf("%d and %d jobs, none wrong", c.A.Jobs, c.B.Jobs)
}

// title says which report it is.
func (r *Report) title() string {
	return fmt.Sprintf("%s, %s, %s of %s", r.Started.Format(time.RFC3339), r.Program, counted(r.Jobs, "job"), r.Tool)
}

// losses draws how much better or worse each figure of B is.
func losses(of []Line) template.HTML {
	const step, far = 22.0, 2.0 // to the right and left: powers of two
	const left = 250.0
	h := step*float64(len(of)) + 30
	d := newDrawing(chartWidth, h, "B against A")
	mid, half := (left+chartWidth-70)/2, (chartWidth-70-left)/2
	for _, v := range []float64{-2, -1, 0, 1, 2} {
		x := mid + v/far*half
		class := "grid"
		name := "equal"
		switch {
		case v < 0:
			name = fmt.Sprintf("%g × better", math.Pow(2, -v))
		case v > 0:
			name = fmt.Sprintf("%g × worse", math.Pow(2, v))
		default:
			class = "base"
		}
		d.line(class, x, 0, x, h-24)
		d.text("tick", x, h-8, "middle", name)
	}
	for i, l := range of {
		y := 3 + step*float64(i)
		loss := l.Loss()
		at := math.Max(-far, math.Min(far, math.Log2(math.Max(loss, 1e-9))))
		class := "part p0"
		switch {
		case loss > noticeable:
			class = "part p3"
		case loss < 1/noticeable:
			class = "part p6"
		}
		d.text("row-name", left-10, y+12, "end", l.Name)
		x := mid + math.Min(0, at)/far*half
		d.rect(class, x, y, math.Max(2, math.Abs(at)/far*half), 14, fmt.Sprintf("%s\nA %s %s\nB %s %s", l.Name, trimmed(l.A, 3), l.Unit, trimmed(l.B, 3), l.Unit))
		d.text("row-note", chartWidth-4, y+12, "end", "× "+trimmed(l.Ratio(), 2))
	}
	return d.done()
}
