package submitcli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"boxfleet/artifacts"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// printJSON writes one indented JSON value.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return wroteOut(enc.Encode(v))
}

// printLine writes one JSON value on a line of its own.
func (a *app) printLine(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	return wroteOut(enc.Encode(v))
}

func wroteOut(err error) error {
	if err != nil {
		return fmt.Errorf("write standard output: %w", err)
	}
	return nil
}

// table prints rows in columns. Cells are cleaned of control characters.
func (a *app) table(rows [][]string) error { return writeTable(a.Stdout, rows) }

func writeTable(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			if cells[i] = plain(c); c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	return wroteOut(w.Flush())
}

// plain replaces control characters, so that text from a guest or another
// user cannot drive the terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return '\ufffd'
		}
		return r
	}, s)
}

// inLists gives a result its empty lists instead of null.
func inLists(r *jobs.Result) *jobs.Result {
	if r.Outputs == nil {
		r.Outputs = []artifacts.OutputFile{}
	}
	if r.Denials == nil {
		r.Denials = []jobs.Denial{}
	}
	if r.Phases == nil {
		r.Phases = map[string]float64{}
	}
	return r
}

func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return roughly(time.Since(t)) + " ago"
}

// roughly writes a duration with two or three significant digits.
func roughly(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return d.Round(time.Minute).String()
}

func inMS(ms float64) string { return roughly(time.Duration(ms * float64(time.Millisecond))) }

func size(n int64) string {
	if n < 0 {
		return "?"
	}
	if n < int64(limits.KiB) {
		return fmt.Sprintf("%d B", n)
	}
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	f := float64(n) / 1024
	i := 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// count writes "1 job", "2 jobs".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
