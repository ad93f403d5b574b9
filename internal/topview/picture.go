package topview

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"boxfleet/internal/fleetview"
)

// Sorts of the tools' table.
const (
	sortSlowest = iota
	sortMost
	sortFailed
	sorts
)

// plainRows are the rows of a table where there is no screen to fill.
const plainRows = 20

var sortNames = [sorts]string{"by p95", "by jobs", "by failures"}

// wide is from which width on two parts stand side by side.
const wide = 118

// picture draws a snapshot into lines of at most width columns; height 0 is no
// screen.
func (l look) picture(s *fleetview.Snapshot, width, height, sort int) []string {
	lines := l.head(s, width)
	// What is left of the screen is shared by four tables with a title, names and a gap each.
	rows := plainRows
	side := width
	two := width >= wide && height > 0
	if height > 0 {
		rows = max(2, (height-len(lines)-2)/2-3)
		if !two {
			rows = max(1, (height-len(lines)-2)/4-3)
		}
	}
	if two {
		side = (width - 4) / 2
	}
	parts := [][]string{l.workers(s, side, rows), l.queues(s, side, rows), l.tools(s, side, rows, sort), l.failures(s, side, rows)}
	if !two {
		for _, p := range parts {
			lines = append(append(lines, p...), "")
		}
		return lines[:len(lines)-1]
	}
	beside := func(a, b []string) {
		pad := lipgloss.NewStyle().Width(side)
		for i := range max(len(a), len(b)) {
			left, right := "", ""
			if i < len(a) {
				left = a[i]
			}
			if i < len(b) {
				right = b[i]
			}
			lines = append(lines, pad.Render(left)+"    "+right)
		}
		lines = append(lines, "")
	}
	beside(parts[0], parts[1])
	beside(parts[2], parts[3])
	return lines[:len(lines)-1]
}

func (l look) head(s *fleetview.Snapshot, width int) []string {
	state := l.good.Render("● live")
	if !s.Connected {
		state = l.bad.Render("● lost")
	}
	ended, bad := 0, 0
	for o, n := range s.Counts {
		ended += n
		if g := fleetview.GroupOf(o); g != fleetview.GroupOK && g != fleetview.GroupCanceled {
			bad += n
		}
	}
	fact := func(value, name string) string { return l.title.Render(value) + " " + l.faint.Render(name) }
	failed := fact(fmt.Sprint(bad), "failed")
	if bad > 0 {
		failed = l.bad.Render(fmt.Sprint(bad)) + " " + l.faint.Render("failed")
	}
	lines := []string{
		l.title.Render("boxfleet") + "  " + l.faint.Render("tenant ") + s.Tenant + "  " + state + "  " + l.faint.Render(s.At.Local().Format("15:04:05")),
		strings.Join([]string{
			fact(fmt.Sprintf("%.1f/s", s.Rate), "ended"), fact(fmt.Sprint(s.RunningAll), "running"), fact(fmt.Sprint(s.Waiting), "waiting"),
			l.meter(s.Busy, s.Slots, 12) + " " + fact(fmt.Sprintf("%d/%d", s.Busy, s.Slots), "slots"),
			fact(roughly(s.Total.P50), "p50"), fact(roughly(s.Total.P95), "p95"), fact(fmt.Sprint(ended), fmt.Sprintf("in %.0fs", s.Window)), failed,
		}, "   "),
	}
	if n := min(width, 120) - 10; n > 10 {
		var rate, depth []float64
		for _, x := range s.Series {
			sum := 0
			for _, c := range x.Ended {
				sum += c
			}
			rate = append(rate, float64(sum))
			if d := 0.0; x.Waiting != nil {
				depth = append(depth, float64(*x.Waiting))
			} else {
				depth = append(depth, d)
			}
		}
		lines = append(lines, l.faint.Render("ended/s   ")+l.spark(rate, n), l.faint.Render("waiting   ")+l.spark(depth, n))
	}
	for _, p := range s.Problems {
		lines = append(lines, l.warn.Render("! "+p))
	}
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], width, "…")
	}
	return append(lines, "")
}

// part is a table with a title, and how many rows are not shown.
func (l look) part(title, empty string, width, rows int, columns []column, cells [][]string) []string {
	more := ""
	if n := len(cells); n > rows {
		more = l.faint.Render(fmt.Sprintf("  %d of %d", rows, n))
		cells = cells[:rows]
	}
	lines := []string{l.title.Render(title) + more}
	if len(cells) == 0 {
		return append(lines, l.faint.Render(ansi.Truncate(empty, width, "…")))
	}
	return append(lines, l.table(width, columns, cells)...)
}

func (l look) workers(s *fleetview.Snapshot, width, rows int) []string {
	var cells [][]string
	for _, w := range s.Workers {
		state := l.good.Render("well")
		if w.Sick != "" {
			state = l.bad.Render("sick: " + w.Sick)
		}
		cells = append(cells, []string{w.Name, l.meter(w.Active, w.Slots, 10), fmt.Sprintf("%d/%d", w.Active, w.Slots), fmt.Sprint(w.Finished), ago(s.At, w.Started), state})
	}
	return l.part("Workers", "no worker is alive; start one with: worker run", width, rows,
		[]column{{name: "NAME"}, {name: "BUSY"}, {name: "", right: true}, {name: "FINISHED", right: true}, {name: "UP", right: true}, {name: "STATE", rest: true}}, cells)
}

func (l look) queues(s *fleetview.Snapshot, width, rows int) []string {
	queues := slices.Clone(s.Queues)
	slices.SortStableFunc(queues, func(a, b fleetview.Queue) int { return cmp.Compare(b.Waiting+b.Active, a.Waiting+a.Active) })
	var cells [][]string
	for _, q := range queues {
		cells = append(cells, []string{q.Tenant, q.Priority, fmt.Sprint(q.Waiting), fmt.Sprint(q.Active)})
	}
	return l.part("Queues", "no queue has been used yet", width, rows,
		[]column{{name: "TENANT", rest: true}, {name: "PRIORITY"}, {name: "WAITING", right: true}, {name: "RUNNING", right: true}}, cells)
}

func (l look) tools(s *fleetview.Snapshot, width, rows, sort int) []string {
	tools := slices.Clone(s.Tools)
	slices.SortStableFunc(tools, func(a, b fleetview.ToolUse) int {
		switch sort {
		case sortMost:
			return cmp.Compare(b.Jobs, a.Jobs)
		case sortFailed:
			return cmp.Compare(b.Failed, a.Failed)
		}
		return cmp.Compare(b.Run.P95, a.Run.P95)
	})
	var cells [][]string
	for _, t := range tools {
		failed := fmt.Sprint(t.Failed)
		if t.Failed > 0 {
			failed = l.bad.Render(failed)
		}
		cells = append(cells, []string{t.Tool, fmt.Sprint(t.Jobs), failed, roughly(t.Run.P50), roughly(t.Run.P95), roughly(t.Run.Max)})
	}
	return l.part("Tools "+sortNames[sort], "no job ended lately", width, rows,
		[]column{{name: "TOOL", rest: true}, {name: "JOBS", right: true}, {name: "FAILED", right: true}, {name: "P50", right: true}, {name: "P95", right: true}, {name: "MAX", right: true}}, cells)
}

func (l look) failures(s *fleetview.Snapshot, width, rows int) []string {
	var cells [][]string
	for _, j := range s.Failures {
		cells = append(cells, []string{ago(s.At, j.Finished), ansi.Truncate(j.ID, 24, "…"), j.Tool, l.outcome(j.Outcome), j.Error})
	}
	return l.part("Recent failures", "no job has failed", width, rows,
		[]column{{name: "AGO", right: true}, {name: "JOB"}, {name: "TOOL"}, {name: "OUTCOME"}, {name: "WHY", rest: true}}, cells)
}
