package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's parts beside this file
	"encoding/base64"
	"fmt"
	"html/template"
	"os"
	"strings"
	"time"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// view is what the template shows.
type view struct {
	Title, Lead string
	Good        bool
	Verdict     string
	Facts       [][2]string // beneath the title
	Tiles       []tile
	Notes       []string
	Sections    []section
	Data        any // what the figures were made of

	CSS    template.CSS
	JS     template.JS
	Policy string
}

// tile is one of the large figures.
type tile struct{ Name, Value, Unit string }

// section is a heading with charts.
type section struct {
	Title, Text string
	Legend      []key
	Charts      []chart
	Tables      []table
}

// key is an entry of a legend.
type key struct{ Name, Class string }

// chart is a picture with a caption; Tab puts charts of one group behind
// buttons where there is a script.
type chart struct {
	Caption string
	Tab     string
	Half    bool // two of them stand side by side
	SVG     template.HTML
}

// table holds the figures that a chart shows.
type table struct {
	Name string
	Head []string
	Rows [][]string
}

// SavePage writes the report as one web page that needs nothing else.
func (r *Report) SavePage(file string) error { return save(file, r.Page) }

// Page draws the report as a web page.
func (r *Report) Page() ([]byte, error) {
	return (&view{
		Title: "Load test: " + r.Profile, Lead: fmt.Sprintf("%s of %s", counted(r.Jobs, "job"), r.Tool),
		Good: r.Good(), Verdict: r.verdict(), Facts: r.facts(), Tiles: r.tiles(),
		Notes: r.notes(), Sections: r.sections(), Data: r,
	}).render()
}

func save(file string, draw func() ([]byte, error)) error {
	data, err := draw()
	if err == nil {
		err = os.WriteFile(file, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// render fills the page in. Its policy lets it load nothing and run nothing but
// its own script, whatever texts the report holds.
func (v *view) render() ([]byte, error) {
	sum := sha256.Sum256([]byte(pageJS))
	v.CSS, v.JS = template.CSS(pageCSS), template.JS(pageJS) // our own files
	v.Policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("draw the page: %w", err)
	}
	return b.Bytes(), nil
}

func (r *Report) verdict() string {
	switch {
	case r.Wrong > 0:
		return fmt.Sprintf("%d wrong: %s", r.Wrong, r.FirstWrong)
	case len(r.Grew) > 0:
		return "something grew that must not"
	}
	return "every job ended once, with the result it must have"
}

func (r *Report) facts() (list [][2]string) {
	add := func(name, value string) { list = append(list, [2]string{name, value}) }
	add("measured", r.Started.Format(time.RFC3339)+fmt.Sprintf(", for %.1f s", r.Took))
	add("client", r.Machine.String())
	if r.Workers > 0 {
		slots := "its default of slots"
		if r.Slots > 0 {
			slots = counted(r.Slots, "slot")
		}
		add("fleet", fmt.Sprintf("its own, %s with %s each", counted(r.Workers, "worker"), slots))
	} else {
		add("fleet", "a running one")
	}
	add("program", r.Program)
	add("command", strings.TrimSpace("loadtest "+r.Profile+" "+strings.Join(r.Args, " ")))
	return list
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (r *Report) tiles() (list []tile) {
	add := func(name string, v float64, value, unit string) {
		if v > 0 {
			list = append(list, tile{name, value, unit})
		}
	}
	list = append(list, tile{"jobs", fmt.Sprint(r.Jobs), ""}, tile{"wrong", fmt.Sprint(r.Wrong), ""})
	add("throughput", r.Rate, short(r.Rate), "jobs/s")
	add("asked for", r.Asked, short(r.Asked), "jobs/s")
	add("submitted", r.SubmitRate, short(r.SubmitRate), "jobs/s")
	if q := r.Total; q != nil {
		for _, p := range []struct {
			name string
			v    float64
		}{{"latency p50", q.P50}, {"p99", q.P99}, {"p99.9", q.P999}} {
			value, unit, _ := strings.Cut(millis(p.v), " ")
			list = append(list, tile{p.name, value, unit})
		}
	}
	for _, c := range r.Cold {
		value, unit, _ := strings.Cut(millis(c.Total.P50), " ")
		add(c.Name+", p50", c.Total.P50, value, unit)
	}
	best := 0.0
	for _, p := range r.Scaling {
		best = max(best, p.Rate)
	}
	add("most", best, short(best), "jobs/s")
	add("CPU per job, fleet", r.WorkerCPU, trimmed(r.WorkerCPU, 3), "ms")
	add("resident after", float64(r.Resident), trimmed(float64(r.Resident)/1e6, 1), "MB")
	if r.Attempts > r.Jobs {
		list = append(list, tile{"attempts", fmt.Sprint(r.Attempts), ""})
	}
	return list
}

func (r *Report) notes() (list []string) {
	for _, g := range r.Grew {
		list = append(list, "grew: "+g)
	}
	return append(list, r.Notes...)
}
