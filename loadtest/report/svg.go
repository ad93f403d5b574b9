package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// drawing is an SVG picture in the making. Colours come from classes, so that
// the page's style decides them, in light and in dark.
type drawing struct {
	b    strings.Builder
	w, h float64
}

func newDrawing(w, h float64, label string) *drawing {
	d := &drawing{w: w, h: h}
	fmt.Fprintf(&d.b, `<svg viewBox="0 0 %s %s" role="img" aria-label="%s">`, num(w), num(h), template.HTMLEscapeString(label))
	return d
}

func (d *drawing) done() template.HTML {
	d.b.WriteString("</svg>")
	return template.HTML(d.b.String()) // every text in it went through HTMLEscapeString
}

// rect draws a rectangle; tip is what the pointer shows over it.
func (d *drawing) rect(class string, x, y, w, h float64, tip string) {
	fmt.Fprintf(&d.b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"`, template.HTMLEscapeString(class), num(x), num(y), num(math.Max(0, w)), num(math.Max(0, h)))
	if tip != "" {
		fmt.Fprintf(&d.b, ` data-tip="%s"`, template.HTMLEscapeString(tip))
	}
	d.b.WriteString("/>")
}

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&d.b, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, template.HTMLEscapeString(class), num(x1), num(y1), num(x2), num(y2))
}

// path draws a line through points; one alone is a dot.
func (d *drawing) path(class string, points [][2]float64) {
	if len(points) == 0 {
		return
	}
	fmt.Fprintf(&d.b, `<polyline class="%s" points="`, template.HTMLEscapeString(class))
	for _, p := range points {
		d.b.WriteString(num(p[0]) + "," + num(p[1]) + " ")
	}
	d.b.WriteString(`"/>`)
}

func (d *drawing) dot(class string, x, y, r float64) {
	fmt.Fprintf(&d.b, `<circle class="%s" cx="%s" cy="%s" r="%s"/>`, template.HTMLEscapeString(class), num(x), num(y), num(r))
}

// text writes at a point; anchor is start, middle or end.
func (d *drawing) text(class string, x, y float64, anchor, s string) {
	fmt.Fprintf(&d.b, `<text class="%s" x="%s" y="%s" text-anchor="%s">%s</text>`, template.HTMLEscapeString(class), num(x), num(y), anchor, template.HTMLEscapeString(s))
}

// num writes a coordinate with as many digits as one can see.
func num(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// axis maps values to pixels.
type axis struct {
	min, max float64 // of the values
	from, to float64 // in pixels
	log      bool
	ticks    []float64
	name     func(float64) string
}

// linear makes an axis from nothing to at least most.
func linear(most, from, to float64) *axis {
	a := &axis{from: from, to: to, name: short}
	if !(most > 0) { // a report may come from anywhere
		most = 0
	}
	most = math.Min(most, 1e15)
	step := niceStep(most / 4)
	a.max = step * math.Max(1, math.Ceil(most/step-1e-9))
	for v := 0.0; v <= a.max*(1+1e-9); v += step {
		a.ticks = append(a.ticks, v)
	}
	return a
}

// niceStep is the least of 1, 2, 2.5, 5 times a power of ten from v on.
func niceStep(v float64) float64 {
	if !(v > 1e-12) {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if m*p >= v*(1-1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// logarithmic makes an axis of whole decades around the values.
func logarithmic(least, most, from, to float64) *axis {
	least, most = within(least), math.Max(within(least), within(most))
	lo, hi := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most)-1e-9)
	if hi <= lo {
		hi = lo + 1
	}
	a := &axis{min: math.Pow(10, lo), max: math.Pow(10, hi), from: from, to: to, log: true, name: short}
	for e := lo; e <= hi; e++ {
		a.ticks = append(a.ticks, math.Pow(10, e))
		if hi-lo <= 2 && e < hi {
			a.ticks = append(a.ticks, 2*math.Pow(10, e), 5*math.Pow(10, e))
		}
	}
	return a
}

// within is a value that a logarithmic axis can show.
func within(v float64) float64 {
	if !(v > 1e-6) {
		return 1e-6
	}
	return math.Min(v, 1e15)
}

// at is the pixel of a value; values beyond the axis are at its end.
func (a *axis) at(v float64) float64 {
	lo, hi := a.min, a.max
	if a.log {
		lo, hi, v = math.Log10(lo), math.Log10(hi), math.Log10(math.Max(v, a.min))
	}
	share := (v - lo) / (hi - lo)
	return a.from + math.Max(0, math.Min(1, share))*(a.to-a.from)
}

// short writes a number for an axis.
func short(v float64) string {
	switch abs := math.Abs(v); {
	case abs >= 1e6:
		return trimmed(v/1e6, 1) + "M"
	case abs >= 1e4:
		return trimmed(v/1e3, 1) + "k"
	case abs >= 100 || v == 0:
		return trimmed(v, 0)
	case abs >= 1:
		return trimmed(v, 1)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

func trimmed(v float64, digits int) string {
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// millis writes a time in milliseconds so that it can be read.
func millis(v float64) string {
	switch {
	case v >= 1000:
		return trimmed(v/1000, 2) + " s"
	case v >= 100:
		return trimmed(v, 0) + " ms"
	case v >= 1:
		return trimmed(v, 2) + " ms"
	case v >= 0.001:
		return trimmed(v*1000, 1) + " µs"
	}
	return "0"
}
