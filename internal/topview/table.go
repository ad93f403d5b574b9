package topview

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"boxfleet/jobs"
)

// column is one of a table; it is as wide as its cells, or takes what is left.
type column struct {
	name  string
	right bool // aligned to the right
	rest  bool // takes what is left of the width
}

// table aligns rows below their names, and cuts them at width.
func (l look) table(width int, columns []column, rows [][]string) []string {
	widths := make([]int, len(columns))
	used, rest := 0, -1
	for i, c := range columns {
		widths[i] = ansi.StringWidth(c.name)
		for _, r := range rows {
			widths[i] = max(widths[i], ansi.StringWidth(r[i]))
		}
		if c.rest {
			rest = i
			continue
		}
		used += widths[i]
	}
	if rest >= 0 {
		widths[rest] = max(4, min(widths[rest], width-used-2*(len(columns)-1)))
	}
	line := func(cells []string) string {
		parts := make([]string, len(cells))
		for i, cell := range cells {
			cell = ansi.Truncate(cell, widths[i], "…")
			pad := strings.Repeat(" ", max(0, widths[i]-ansi.StringWidth(cell)))
			if parts[i] = cell + pad; columns[i].right {
				parts[i] = pad + cell
			}
		}
		return ansi.Truncate(strings.TrimRight(strings.Join(parts, "  "), " "), width, "…")
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	out := []string{l.faint.Render(line(names))}
	for _, r := range rows {
		out = append(out, line(r))
	}
	return out
}

// look is how text is drawn; the zero value of its styles draws it plain.
type look struct {
	title, faint, good, warn, bad, note, accent lipgloss.Style
}

// newLook gives colours that can be read on light and dark ground.
func newLook(r *lipgloss.Renderer) look {
	colour := func(light, dark string) lipgloss.Style {
		return r.NewStyle().Foreground(lipgloss.AdaptiveColor{Light: light, Dark: dark})
	}
	return look{
		title: r.NewStyle().Bold(true), faint: colour("#5c6777", "#8b97a8"), good: colour("#1d8a5b", "#3dbd85"), warn: colour("#a86508", "#e2a54a"),
		bad: colour("#cc3443", "#f36d78"), note: colour("#6a43b8", "#a889ee"), accent: colour("#2a55e0", "#86a9ff"),
	}
}

// outcome draws an outcome in the colour of its group.
func (l look) outcome(o jobs.Outcome) string {
	text := strings.ReplaceAll(string(o), "_", " ")
	switch o {
	case jobs.Succeeded:
		return l.good.Render(text)
	case jobs.Failed:
		return l.bad.Render(text)
	case jobs.Exited, jobs.Trapped, jobs.Invalid:
		return l.warn.Render(text)
	case jobs.Canceled:
		return l.faint.Render(text)
	}
	return l.note.Render(text)
}

// meter draws a part of a whole.
func (l look) meter(part, whole, width int) string {
	full := 0
	if whole > 0 {
		full = min(width, (part*width+whole-1)/whole)
	}
	return l.accent.Render(strings.Repeat("█", full)) + l.faint.Render(strings.Repeat("░", width-full))
}

// spark draws numbers as a line of bars, the newest at the right.
func (l look) spark(values []float64, width int) string {
	if len(values) > width {
		values = values[len(values)-width:]
	}
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(values)))
	for _, v := range values {
		switch {
		case most == 0 || v <= 0:
			b.WriteRune(' ')
		default:
			b.WriteRune(bars[min(len(bars)-1, int(v/most*float64(len(bars)-1)+.5))])
		}
	}
	return l.accent.Render(b.String())
}

// roughly writes milliseconds with two or three digits.
func roughly(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.0fµs", ms*1000)
	case ms < 10:
		return fmt.Sprintf("%.2fms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0fms", ms)
	case ms < 60_000:
		return fmt.Sprintf("%.2fs", ms/1000)
	}
	return time.Duration(ms * float64(time.Millisecond)).Round(time.Second).String()
}

func ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return roughly(max(0, float64(now.Sub(t).Round(time.Second))/float64(time.Millisecond)))
}
