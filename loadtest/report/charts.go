package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Sizes of a chart in the units of its viewBox, which the page scales.
const (
	chartWidth  = 880.0
	chartLeft   = 64.0
	chartRight  = 20.0
	chartTop    = 24.0
	chartBottom = 36.0
)

// series is one line of a chart.
type series struct {
	Name   string
	Class  string
	points [][2]float64
}

// lines describes a chart of lines over one horizontal axis.
type lines struct {
	label        string
	series       []series
	xName, yName string
	xLog, yLog   bool
	xTicks       []float64 // in order, instead of round numbers; the axis ends with them
	height       float64
	marks        []Mark // stretches of the horizontal axis
	xTick, yTick func(float64) string
	dots         bool
}

// draw gives the chart; nothing when there is nothing to draw.
func (l lines) draw() template.HTML {
	xMax, yMax, xMin, yMin := 0.0, 0.0, math.Inf(1), math.Inf(1)
	for _, s := range l.series {
		for _, p := range s.points {
			xMax, yMax = math.Max(xMax, p[0]), math.Max(yMax, p[1])
			if p[0] > 0 {
				xMin = math.Min(xMin, p[0])
			}
			if p[1] > 0 {
				yMin = math.Min(yMin, p[1])
			}
		}
	}
	if math.IsInf(xMin, 0) || math.IsInf(yMin, 0) {
		return ""
	}
	for _, m := range l.marks {
		xMax = math.Max(xMax, m.At+m.For)
	}
	if l.height == 0 {
		l.height = 240
	}
	d := newDrawing(chartWidth, l.height, l.label)
	bottom := l.height - chartBottom
	x, y := linear(xMax, chartLeft, chartWidth-chartRight), linear(yMax, bottom, chartTop)
	if l.xLog {
		x = logarithmic(xMin, xMax, chartLeft, chartWidth-chartRight)
	}
	if l.yLog {
		y = logarithmic(yMin, yMax, bottom, chartTop)
	}
	if n := len(l.xTicks); n > 1 && l.xTicks[0] > 0 && l.xTicks[0] < l.xTicks[n-1] {
		x.min, x.max, x.ticks = l.xTicks[0], l.xTicks[n-1], l.xTicks
	}
	if l.xTick != nil {
		x.name = l.xTick
	}
	if l.yTick != nil {
		y.name = l.yTick
	}
	if !l.xLog {
		x.max = math.Max(xMax, 1e-9) // the line ends where the chart does
	}
	l.frame(d, x, y, bottom)
	for i, m := range l.marks {
		left, right := x.at(m.At), x.at(m.At+m.For)
		d.rect("mark", left, chartTop, math.Max(2, right-left), bottom-chartTop, fmt.Sprintf("%s\nat %.1f s, for %.1f s", m.What, m.At, m.For))
		d.text("mark-name", left+3, chartTop+11, "start", fmt.Sprint(i+1))
	}
	for _, s := range l.series {
		var points [][2]float64
		for _, p := range s.points {
			points = append(points, [2]float64{x.at(p[0]), y.at(p[1])})
		}
		d.path("line "+s.Class, points)
		if l.dots || len(points) == 1 {
			for _, p := range points {
				d.dot("dot "+s.Class, p[0], p[1], 3.5)
			}
		}
	}
	l.strips(d, x, bottom)
	return d.done()
}

// frame draws grid and names.
func (l lines) frame(d *drawing, x, y *axis, bottom float64) {
	for _, v := range y.ticks {
		d.line("grid", chartLeft, y.at(v), chartWidth-chartRight, y.at(v))
		d.text("tick", chartLeft-8, y.at(v)+4, "end", y.name(v))
	}
	for _, v := range x.ticks {
		if v > x.max*(1+1e-9) {
			continue
		}
		d.text("tick", x.at(v), bottom+16, "middle", x.name(v))
	}
	d.line("base", chartLeft, bottom, chartWidth-chartRight, bottom)
	d.text("name", chartWidth-chartRight, l.height-4, "end", l.xName)
	d.text("name", 2, 10, "start", l.yName)
}

// strips lays invisible columns over the chart: the pointer finds there what
// all series are at that place.
func (l lines) strips(d *drawing, x *axis, bottom float64) {
	longest := l.series[0].points
	said := map[float64][]string{}
	for _, s := range l.series {
		if len(s.points) > len(longest) {
			longest = s.points
		}
		for _, p := range s.points {
			said[p[0]] = append(said[p[0]], s.Name+": "+l.value(p[1]))
		}
	}
	tick := short
	if l.xTick != nil {
		tick = l.xTick
	}
	for i, p := range longest {
		left, right := chartLeft, chartWidth-chartRight
		if i > 0 {
			left = (x.at(longest[i-1][0]) + x.at(p[0])) / 2
		}
		if i < len(longest)-1 {
			right = (x.at(p[0]) + x.at(longest[i+1][0])) / 2
		}
		tip := append([]string{l.xName + " " + tick(p[0])}, said[p[0]]...)
		d.rect("strip", left, chartTop, right-left, bottom-chartTop, strings.Join(tip, "\n"))
	}
}

func (l lines) value(v float64) string {
	if l.yTick != nil {
		return l.yTick(v)
	}
	return trimmed(v, 2)
}

// bar is one stacked bar.
type bar struct {
	name  string
	note  string // behind the bar
	parts map[string]float64
}

// total is the bar's length.
func (b bar) total() (sum float64) {
	for _, name := range PhaseOrder {
		sum += b.parts[name]
	}
	return sum
}

const (
	barHeight = 26.0
	barStep   = 38.0
	barLeft   = 128.0
	barRight  = 96.0
)

// stacked draws bars of phases from left to right, on one scale, or each as
// shares of its own whole.
func stacked(label string, bars []bar, share bool) template.HTML {
	if len(bars) == 0 {
		return ""
	}
	most := 100.0
	if !share {
		most = 0
		for _, b := range bars {
			most = math.Max(most, b.total())
		}
	}
	h := barStep*float64(len(bars)) + 30
	d := newDrawing(chartWidth, h, label)
	x := linear(most, barLeft, chartWidth-barRight)
	x.max = math.Max(most, 1e-9)
	for _, v := range x.ticks {
		if v <= x.max*(1+1e-9) {
			d.line("grid", x.at(v), 0, x.at(v), h-24)
			unit := ""
			if share {
				unit = " %"
			}
			d.text("tick", x.at(v), h-8, "middle", x.name(v)+unit)
		}
	}
	if !share {
		d.text("name", chartWidth-2, h-8, "end", "ms")
	}
	for i, b := range bars {
		y := 4 + barStep*float64(i)
		whole := math.Max(b.total(), 1e-9)
		d.text("bar-name", barLeft-10, y+barHeight/2+4, "end", b.name)
		at := 0.0
		for k, phase := range PhaseOrder {
			v := b.parts[phase]
			if v <= 0 {
				continue
			}
			length := v
			if share {
				length = 100 * v / whole
			}
			d.rect(partClass(k, x.at(at+length)-x.at(at)), x.at(at), y, x.at(at+length)-x.at(at), barHeight,
				fmt.Sprintf("%s\n%s: %s (%.0f %%)", b.name, phase, millis(v), 100*v/whole))
			at += length
		}
		d.text("bar-note", x.at(at)+8, y+barHeight/2+4, "start", b.note)
	}
	return d.done()
}

// waterfall draws phases one below the other, each from where the last ended.
func waterfall(b bar, p99 map[string]float64) template.HTML {
	var names []string
	for _, name := range PhaseOrder {
		if b.parts[name] > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	const step, height = 20.0, 12.0
	h := step*float64(len(names)) + 26
	w := chartWidth / 2
	d := newDrawing(w, h, "waterfall of "+b.name)
	x := linear(b.total(), 92, w-84)
	x.max = math.Max(b.total(), 1e-9)
	for _, v := range x.ticks {
		if v <= x.max*(1+1e-9) {
			d.line("grid", x.at(v), 0, x.at(v), h-22)
			d.text("tick", x.at(v), h-8, "middle", x.name(v))
		}
	}
	at := 0.0
	for i, name := range names {
		v, y := b.parts[name], 2+step*float64(i)
		tip := fmt.Sprintf("%s: mean %s", name, millis(v))
		if q, ok := p99[name]; ok && q > 0 {
			tip += ", p99 " + millis(q)
		}
		d.text("row-name", 84, y+height-1, "end", name)
		if i > 0 {
			d.line("drop", x.at(at), y-step+height, x.at(at), y)
		}
		d.rect(partClass(phaseIndex(name), x.at(at+v)-x.at(at)), x.at(at), y, math.Max(1.5, x.at(at+v)-x.at(at)), height, tip)
		d.text("row-note", x.at(at+v)+6, y+height-1, "start", millis(v))
		at += v
	}
	return d.done()
}

// partClass is the class of a phase's part; a narrow one has no gap around it,
// which would be all that is seen of it.
func partClass(phase int, width float64) string {
	if width < 4 {
		return fmt.Sprintf("part p%d thin", phase)
	}
	return fmt.Sprintf("part p%d", phase)
}

func phaseIndex(name string) int {
	for i, n := range PhaseOrder {
		if n == name {
			return i
		}
	}
	return len(PhaseOrder) - 1
}

// ranges draws a median and a 99th percentile for each of a number of names, on
// a logarithmic scale.
func ranges(label string, names []string, of []Quantiles) template.HTML {
	least, most := math.Inf(1), 0.0
	for _, q := range of {
		if q.P50 > 0 {
			least = math.Min(least, q.P50)
		}
		most = math.Max(most, q.P99)
	}
	if math.IsInf(least, 0) || most <= 0 {
		return ""
	}
	const step = 26.0
	h := step*float64(len(names)) + 30
	d := newDrawing(chartWidth, h, label)
	x := logarithmic(least, most, barLeft, chartWidth-barRight)
	for _, v := range x.ticks {
		d.line("grid", x.at(v), 0, x.at(v), h-24)
		d.text("tick", x.at(v), h-8, "middle", millis(v))
	}
	for i, name := range names {
		y := 14 + step*float64(i)
		q := of[i]
		d.text("bar-name", barLeft-10, y+4, "end", name)
		d.line("range", x.at(q.P50), y, x.at(q.P99), y)
		d.dot("dot s1", x.at(q.P50), y, 5)
		d.dot("dot s2", x.at(q.P99), y, 5)
		d.rect("strip", barLeft, y-step/2, chartWidth-barLeft-barRight, step, fmt.Sprintf("%s\np50 %s\np99 %s", name, millis(q.P50), millis(q.P99)))
	}
	return d.done()
}
