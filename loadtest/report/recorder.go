package report

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"boxfleet/jobs"
)

// Elsewhere is the part of a latency that no phase accounts for: sending,
// acknowledging, announcing, and what lies between the phases.
const Elsewhere = "elsewhere"

// PhaseOrder lists the phases as a job passes them, and Elsewhere.
var PhaseOrder = []string{jobs.PhaseQueueWait, jobs.PhaseReuse, jobs.PhaseFetch, jobs.PhaseCompile, jobs.PhaseStage,
	jobs.PhaseInstantiate, jobs.PhaseRun, jobs.PhaseUpload, jobs.PhaseCommit, Elsewhere}

// Histogram is an HdrHistogram of microseconds from 1 µs to an hour, with three
// significant digits.
func Histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 3_600_000_000, 3) }

// QuantilesOf gives a histogram's quantiles in milliseconds.
func QuantilesOf(h *hdrhistogram.Histogram) Quantiles {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return Quantiles{Mean: h.Mean() / 1000, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1000}
}

// record puts a number of milliseconds into h; what is too long counts as the
// longest it can hold, never as nothing.
func record(h *hdrhistogram.Histogram, ms float64) {
	v := int64(math.Max(0, ms) * 1000)
	if h.RecordValue(v) != nil {
		_ = h.RecordValue(h.HighestTrackableValue())
	}
}

// Recorder collects jobs as they end. Submitted and Late may be called by any
// goroutine, everything else by one.
type Recorder struct {
	r     *Report
	start time.Time

	total     *hdrhistogram.Histogram
	phases    map[string]*hdrhistogram.Histogram
	samples   []sample
	rng       uint64
	ended     int
	latencies [][]float32 // of the jobs that ended, by bucket

	mu        sync.Mutex // guards what follows
	late      *hdrhistogram.Histogram
	submitted []int // by bucket
}

// sample is one job's latency and what it was made of.
type sample struct {
	total  float32
	phases [phaseCount]float32
}

// phaseCount is the number of phases, Elsewhere included: PhaseOrder's length, which
// a test compares.
const phaseCount = 10

const (
	// maxSamples bounds the jobs whose make-up is kept; of more a fair choice is.
	maxSamples = 100_000
	// bucket is the finest step of the timeline, of at most maxTicks ticks.
	bucket   = 100 * time.Millisecond
	maxTicks = 120
)

// NewRecorder begins a report; the clock of its timeline starts now.
func NewRecorder() *Recorder {
	return &Recorder{
		r: &Report{Format: Format, Machine: ThisMachine(), Outcomes: map[string]int{}}, start: time.Now(),
		total: Histogram(), late: Histogram(), phases: map[string]*hdrhistogram.Histogram{}, rng: 1,
	}
}

// Report is what is being recorded; it is whole after Finish.
func (c *Recorder) Report() *Report { return c.r }

// Begin starts the timeline's clock anew.
func (c *Recorder) Begin(now time.Time) { c.start = now }

// Since is the timeline's time at t, in seconds.
func (c *Recorder) Since(t time.Time) float64 { return t.Sub(c.start).Seconds() }

// Submitted counts n jobs that were submitted at t.
func (c *Recorder) Submitted(t time.Time, n int) {
	b := c.bucketOf(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.submitted) <= b {
		c.submitted = append(c.submitted, 0)
	}
	c.submitted[b] += n
}

// Late records how long after its time a job was sent.
func (c *Recorder) Late(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	record(c.late, ms(d))
}

// Wrong counts something that is not as it must be.
func (c *Recorder) Wrong(why string) {
	if c.r.Wrong++; c.r.FirstWrong == "" {
		c.r.FirstWrong = why
	}
}

// Ended records a job whose result came at t, so long after it was due.
func (c *Recorder) Ended(res *jobs.Result, t time.Time, latency time.Duration) {
	c.r.Jobs++
	c.ended++
	c.r.Outcomes[string(res.Outcome)]++
	c.r.Attempts += res.Attempts
	s := sample{total: float32(ms(latency))}
	record(c.total, ms(latency))
	rest := ms(latency)
	for i, name := range PhaseOrder {
		v, there := res.Phases[name]
		if name == Elsewhere {
			v = math.Max(0, rest)
		}
		rest -= v
		s.phases[i] = float32(v)
		if !there {
			continue
		}
		h := c.phases[name]
		if h == nil {
			h = Histogram()
			c.phases[name] = h
		}
		record(h, v)
	}
	c.keep(s)
	b := c.bucketOf(t)
	for len(c.latencies) <= b {
		c.latencies = append(c.latencies, nil)
	}
	c.latencies[b] = append(c.latencies[b], s.total)
}

// keep adds a sample, or puts it in the place of one by chance, so that every
// job has the same chance to be among those kept.
func (c *Recorder) keep(s sample) {
	if len(c.samples) < maxSamples {
		c.samples = append(c.samples, s)
		return
	}
	c.rng ^= c.rng << 13
	c.rng ^= c.rng >> 7
	c.rng ^= c.rng << 17
	if i := c.rng % uint64(c.ended); i < maxSamples {
		c.samples[i] = s
	}
}

func (c *Recorder) bucketOf(t time.Time) int { return max(0, int(t.Sub(c.start)/bucket)) }

// Finish works out the quantiles, the make-up and the timeline.
func (c *Recorder) Finish() *Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.r
	if c.total.TotalCount() > 0 {
		q := QuantilesOf(c.total)
		r.Total = &q
		r.Spectrum = spectrum(c.total)
		r.Makeup = makeup(c.samples)
	}
	if c.late.TotalCount() > 0 {
		q := QuantilesOf(c.late)
		r.Late = &q
	}
	if len(c.phases) > 0 {
		r.Phases = map[string]Quantiles{}
		for name, h := range c.phases {
			r.Phases[name] = QuantilesOf(h)
		}
	}
	r.Timeline = c.timeline()
	return r
}

// spectrum gives the percentiles at which the distribution is drawn: closer and
// closer to 100 %, as far as there are jobs to tell.
func spectrum(h *hdrhistogram.Histogram) (points []SpectrumPoint) {
	n := float64(h.TotalCount())
	for left := 1.0; left > 0.5/n; left *= math.Pow(0.1, 0.1) { // ten points a decade
		p := 100 * (1 - left)
		points = append(points, SpectrumPoint{Percentile: p, Latency: float64(h.ValueAtQuantile(p)) / 1000})
	}
	return points
}

// makeup takes the jobs around each percentile apart.
func makeup(samples []sample) (list []Makeup) {
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(a.total, b.total) })
	n := len(samples)
	for _, p := range []float64{50, 90, 99, 99.9} {
		above := (100 - p) / 100
		if float64(n)*above < 1-1e-6 { // nothing lies above: this is the maximum
			break
		}
		half := min(n/100, int(above*float64(n)/2))
		mid := min(n-1, int(float64(n)*p/100))
		band := samples[max(0, mid-half):min(n, mid+half+1)]
		m := Makeup{Percentile: p, Jobs: len(band), Phases: map[string]float64{}}
		for _, s := range band {
			m.Total += float64(s.total) / float64(len(band))
			for i, name := range PhaseOrder {
				m.Phases[name] += float64(s.phases[i]) / float64(len(band))
			}
		}
		list = append(list, m)
	}
	return list
}

// timeline joins buckets to at most maxTicks ticks.
func (c *Recorder) timeline() (ticks []Tick) {
	n := max(len(c.submitted), len(c.latencies))
	if n == 0 {
		return nil
	}
	step := (n + maxTicks - 1) / maxTicks
	open := 0
	for from := 0; from < n; from += step {
		t := Tick{At: (time.Duration(from) * bucket).Seconds(), Width: (time.Duration(step) * bucket).Seconds()}
		var all []float32
		for i := from; i < from+step; i++ {
			if i < len(c.submitted) {
				t.Submitted += c.submitted[i]
			}
			if i < len(c.latencies) {
				all = append(all, c.latencies[i]...)
			}
		}
		t.Ended = len(all)
		open += t.Submitted - t.Ended
		t.Open = max(0, open)
		if len(all) > 0 {
			slices.Sort(all)
			t.P50, t.P99 = nearest(all, 50), nearest(all, 99)
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// nearest is the percentile of sorted values by the nearest rank.
func nearest(sorted []float32, p float64) float64 {
	rank := int(math.Ceil(float64(len(sorted)) * p / 100))
	return float64(sorted[min(max(rank, 1), len(sorted))-1])
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Add counts another report's jobs, which were measured by themselves.
func (c *Recorder) Add(o *Report) {
	c.r.Jobs += o.Jobs
	c.r.Attempts += o.Attempts
	for name, n := range o.Outcomes {
		c.r.Outcomes[name] += n
	}
	for range o.Wrong {
		c.Wrong(o.FirstWrong)
	}
}
