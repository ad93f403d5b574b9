package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"boxfleet/jobs"
)

// ended gives a result whose phases are given in milliseconds.
func ended(phases map[string]float64) *jobs.Result {
	return &jobs.Result{Outcome: jobs.Succeeded, Attempts: 1, Phases: phases}
}

func TestPhasesAreCounted(t *testing.T) {
	t.Parallel()
	if len(PhaseOrder) != phaseCount {
		t.Errorf("phaseCount is %d, there are %d phases", phaseCount, len(PhaseOrder))
	}
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	c := NewRecorder()
	start := time.Now()
	c.Begin(start)
	for i := range 1000 {
		at := start.Add(time.Duration(i) * 10 * time.Millisecond)
		c.Submitted(at, 1)
		c.Ended(ended(map[string]float64{jobs.PhaseQueueWait: 1, jobs.PhaseRun: float64(i) / 10}), at.Add(time.Second), time.Duration(i+20)*100*time.Microsecond)
	}
	r := c.Finish()
	if r.Jobs != 1000 || r.Attempts != 1000 || r.Outcomes["succeeded"] != 1000 || r.Wrong != 0 {
		t.Fatalf("report = %+v", r)
	}
	// 2 ms to 101.9 ms: half are at most 51.9 ms.
	if math.Abs(r.Total.P50-51.95) > 0.2 || math.Abs(r.Total.P99-100.95) > 0.2 || math.Abs(r.Total.Max-101.9) > 0.2 {
		t.Errorf("latency = %+v", r.Total)
	}
	var percentiles []float64
	for _, m := range r.Makeup {
		percentiles = append(percentiles, m.Percentile)
		sum := 0.0
		for _, v := range m.Phases {
			sum += v
		}
		if math.Abs(sum-m.Total) > 0.01 || math.Abs(m.Phases[Elsewhere]-1) > 0.01 {
			t.Errorf("around p%g: parts %v of %v", m.Percentile, m.Phases, m.Total)
		}
	}
	if !slices.Equal(percentiles, []float64{50, 90, 99, 99.9}) {
		t.Errorf("percentiles %v", percentiles)
	}
	submitted, done, most := 0, 0, 0
	for _, k := range r.Timeline {
		submitted, done, most = submitted+k.Submitted, done+k.Ended, max(most, k.Open)
	}
	if submitted != 1000 || done != 1000 || len(r.Timeline) > maxTicks || most < 100 || most > 110 || r.Timeline[len(r.Timeline)-1].Open != 0 {
		t.Errorf("timeline of %d ticks: %d submitted, %d ended, at most %d open", len(r.Timeline), submitted, done, most)
	}
	for i := 1; i < len(r.Spectrum); i++ {
		if a, b := r.Spectrum[i-1], r.Spectrum[i]; a.Percentile >= b.Percentile || a.Latency > b.Latency {
			t.Errorf("the distribution falls from %+v to %+v", a, b)
		}
	}
}

// A clock that jumped must not make a latency disappear, nor a phase negative.
func TestRecorderOddTimes(t *testing.T) {
	t.Parallel()
	c := NewRecorder()
	now := time.Now()
	for _, d := range []time.Duration{-time.Second, 0, 10 * time.Hour} {
		c.Submitted(now.Add(-time.Hour), 1)
		c.Ended(ended(map[string]float64{jobs.PhaseRun: -5, jobs.PhaseQueueWait: 1e9}), now, d)
	}
	r := c.Finish()
	if r.Jobs != 3 || r.Total.Max < 3_590_000 || r.Phases[jobs.PhaseQueueWait].Max < 3_590_000 {
		t.Errorf("total %+v, phases %+v: too long a time must count as the longest", r.Total, r.Phases)
	}
}

// More jobs than samples are kept: they stay a fair choice.
func TestRecorderKeepsAFairChoice(t *testing.T) {
	t.Parallel()
	c := NewRecorder()
	now := time.Now()
	const n = 3 * maxSamples
	for i := range n {
		c.Ended(ended(nil), now, time.Duration(i)*time.Microsecond)
	}
	if r := c.Finish(); len(c.samples) != maxSamples || math.Abs(r.Makeup[0].Total-n/2000) > n/2000*0.02 {
		t.Errorf("%d samples, the median one %v ms; want %v", len(c.samples), r.Makeup[0].Total, n/2000)
	}
}

// full gives a report with everything in it.
func full() *Report {
	c := NewRecorder()
	start := time.Now()
	c.Begin(start)
	for i := range 300 {
		at := start.Add(time.Duration(i) * 20 * time.Millisecond)
		c.Submitted(at, 1)
		c.Late(time.Millisecond)
		c.Ended(ended(map[string]float64{jobs.PhaseQueueWait: 1, jobs.PhaseRun: float64(i%7) + 0.5}), at.Add(50*time.Millisecond), time.Duration(20+i%30)*time.Millisecond)
	}
	r := c.Finish()
	q := Quantiles{Mean: 4, P50: 3, P90: 5, P99: 9, P999: 10, Max: 11}
	phases := map[string]float64{jobs.PhaseFetch: 10, jobs.PhaseCompile: 250, jobs.PhaseRun: 0.2, Elsewhere: 3}
	r.Profile, r.Tool, r.Program, r.Args = "steady", "work", "v1", []string{"--rate", "50"}
	r.Started, r.Took, r.Workers, r.Slots, r.Rate, r.Asked, r.SubmitRate = start, 6, 2, 8, 49.5, 50, 50
	r.WorkerCPU, r.ClientCPU, r.ResidentBefore, r.Resident, r.FDsBefore, r.FDs = 0.5, 0.1, 30e6, 35e6, 14, 15
	r.Marks = []Mark{{At: 1, For: 2, What: "a worker killed"}}
	r.Cold = []ColdStage{{Name: "new to the fleet", Jobs: 2, Cached: map[string]int{"none": 2}, Total: q, Phases: phases, P99: phases}, {Name: "in memory", Jobs: 2, Cached: map[string]int{"": 2}, Total: q, Phases: map[string]float64{}}}
	r.Scaling = []ScalePoint{{Workers: 1, Slots: 1, Jobs: 10, Rate: 48, Ideal: 50, Run: q}, {Workers: 1, Slots: 2, Rate: 90, Ideal: 100}, {Workers: 2, Slots: 2, Rate: 150, Ideal: 200}}
	r.Tools = []ToolLine{{Tool: "jq", Jobs: 10, First: 3000, Total: q, Phases: phases}, {Tool: "wc", Jobs: 10, Total: q, Phases: phases}}
	r.Stall = []StallStage{{Name: "alone", Jobs: 10, Total: q}, {Name: "a compilation", Jobs: 10, Modules: 1, Total: q}}
	r.Soak = []SoakSample{{Jobs: 10, Heap: 2e6, Resident: 3e7, Goroutines: 30, FDs: 14}, {Jobs: 20, Heap: 2e6, Resident: 3e7, Goroutines: 31, FDs: 14}}
	r.Backlog = []BacklogLevel{{Queued: 1000, WorkerCPU: 0.4, ServerCPU: 0.3, Fetch: q}, {Queued: 10000, WorkerCPU: 0.4, ServerCPU: 0.3, Fetch: q}}
	r.Notes, r.Grew = []string{"a note"}, []string{"something grew"}
	return r
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "r.json")
	r := full()
	if err := r.Save(file); err != nil {
		t.Fatal(err)
	}
	got, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	var a, b strings.Builder
	r.Print(&a)
	got.Print(&b)
	if a.String() != b.String() || !strings.Contains(a.String(), "a worker killed") || !strings.Contains(a.String(), "GREW: something grew") {
		t.Errorf("saved:\n%s\nloaded:\n%s", a.String(), b.String())
	}
	for name, text := range map[string]string{
		"empty": "", "no report": `{"format": 2}`, "an older one": `{"profile": "burst"}`, "a later one": `{"format": 3, "profile": "burst"}`,
		"unknown figure": `{"format": 2, "profile": "burst", "speed": 3}`, "negative": `{"format": 2, "profile": "burst", "jobs": -1}`,
		"too long": `{"format": 2, "profile": "burst", "marks": [` + strings.Repeat("{},", 10_000) + `{}]}`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, want an error with the file's name", name, err)
		}
	}
}

// wellFormed reads every picture of a page as XML.
func wellFormed(page []byte) (pictures int, err error) {
	for rest := page; ; {
		i := bytes.Index(rest, []byte("<svg"))
		if i < 0 {
			return pictures, nil
		}
		end := bytes.Index(rest[i:], []byte("</svg>"))
		if end < 0 {
			return pictures, errors.New("a picture without its end")
		}
		d := xml.NewDecoder(bytes.NewReader(rest[i : i+end+6]))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				return pictures, fmt.Errorf("%w in %.300s", err, rest[i:])
			}
		}
		pictures++
		rest = rest[i+end:]
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	page, err := full().Page()
	if err != nil {
		t.Fatal(err)
	}
	n, err := wellFormed(page)
	if err != nil || n != 17 {
		t.Errorf("%d pictures, %v; want 17", n, err)
	}
	for _, heading := range []string{"The cold start, taken apart", "Scaling", "Where the time goes", "Over time", "Distribution", "Tools", "Small jobs beside a large module", "What a worker holds", "What a job costs while others wait", "Phases"} {
		if !bytes.Contains(page, []byte("<h2>"+heading+"</h2>")) {
			t.Errorf("no section %q", heading)
		}
	}
	for _, out := range []string{"http:", "https:", "src=", "@import", "url("} {
		if bytes.Contains(page, []byte(out)) {
			t.Errorf("the page holds %q: it must need nothing else", out)
		}
	}
	if bytes.Contains(page, []byte("NaN")) || bytes.Contains(page, []byte("ZgotmplZ")) {
		t.Error("the page holds what is no figure")
	}
}

// Whatever texts a report holds, they stay texts.
func TestPageOfHostileTexts(t *testing.T) {
	t.Parallel()
	evil := `</script><script>alert(1)</script><img src=x onerror=alert(1)>"'` + "`${x}"
	r := full()
	r.Profile, r.Tool, r.Program, r.FirstWrong, r.Wrong, r.Args = evil, evil, evil, evil, 1, []string{evil}
	r.Marks[0].What, r.Tools[0].Tool, r.Notes, r.Grew, r.Cold[0].Name, r.Cold[0].Cached = evil, evil, []string{evil}, []string{evil}, evil, map[string]int{evil: 1}
	r.Phases[evil] = Quantiles{P50: 1}
	compared := Compare(r, full())
	for name, draw := range map[string]func() ([]byte, error){"report": r.Page, "comparison": compared.Page} {
		page, err := draw()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wellFormed(page); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if bytes.Contains(page, []byte("<img")) || bytes.Count(page, []byte("<script")) != 2 || bytes.Count(page, []byte("</script>")) != 2 {
			t.Errorf("%s: a text became part of the page", name)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	a, b := full(), full()
	b.Rate, b.WorkerCPU, b.Total.P99 = a.Rate/2, a.WorkerCPU/2, a.Total.P99*3
	c := Compare(a, b)
	got := map[string]string{}
	for _, l := range c.Lines {
		if v := l.verdict(); v != "" {
			got[l.Name] = v
		}
	}
	want := map[string]string{"throughput": "worse", "fleet CPU per job": "better", "submit to result p99": "worse"}
	if !maps.Equal(got, want) {
		t.Errorf("verdicts %v, want %v", got, want)
	}
	if worse := c.Worse(2.5); len(worse) != 1 || worse[0].Name != "submit to result p99" {
		t.Errorf("worse by more than 2.5: %+v", worse)
	}
	if same := Compare(a, a).Worse(1); len(same) != 0 {
		t.Errorf("a report is worse than itself: %+v", same)
	}
	b.Wrong, b.Slots, b.Profile = 1, 4, "burst"
	c = Compare(a, b)
	if worse := c.Worse(100); len(worse) != 1 || worse[0].Name != "wrong results" {
		t.Errorf("%+v, want the wrong results", worse)
	}
	if text := strings.Join(c.Warnings, "\n"); !strings.Contains(text, "profiles differ") || !strings.Contains(text, "fleets differ") || !strings.Contains(text, "few jobs") {
		t.Errorf("warnings: %s", text)
	}
	var out strings.Builder
	c.Print(&out)
	if !strings.Contains(out.String(), "throughput (jobs/s)") {
		t.Errorf("printed: %s", out.String())
	}
}

func TestAxes(t *testing.T) {
	t.Parallel()
	for _, most := range []float64{0, 1e-300, 0.03, 1, 7, 99, 12345, 1e15, math.MaxFloat64, math.Inf(1), math.NaN(), -4} {
		a := linear(most, 0, 100)
		if n := len(a.ticks); n < 1 || n > 12 || a.at(0) != 0 || a.at(math.Inf(1)) != 100 {
			t.Errorf("up to %g: %d ticks, from %g to %g", most, n, a.at(0), a.at(math.Inf(1)))
		}
		l := logarithmic(most, most, 0, 100)
		if n := len(l.ticks); n < 2 || n > 30 {
			t.Errorf("around %g: %d ticks", most, n)
		}
	}
}

func FuzzPage(f *testing.F) {
	var b bytes.Buffer
	r := full()
	file := filepath.Join(f.TempDir(), "r.json")
	if err := r.Save(file); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":2,"profile":"x","timeline":[{"width_s":0},{"width_s":-1,"at_s":1e308,"ended":3,"p50_ms":1e300}],"spectrum":[{"percentile":1e9,"latency_ms":-1},{"percentile":-5}]}`))
	f.Add([]byte(`{"format":2,"profile":"x","scaling":[{"workers":-9,"slots":3,"jobs_per_s":1e308},{"workers":9223372036854775807,"slots":9}],"makeup":[{"percentile":1e300,"total_ms":-1e308,"phases_ms":{"run":1e308,"compile":-1e308}}]}`))
	f.Add([]byte(`{"format":2,"profile":"<","tools":[{"submit_to_result_ms":{"p50":1e-300,"p99":1e300}}],"cold":[{"phases_ms":{"run":1e308}}],"marks":[{"at_s":1e308,"for_s":1e308}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decode(data)
		if err != nil {
			return
		}
		b.Reset()
		r.Print(&b)
		for _, draw := range []func() ([]byte, error){r.Page, Compare(r, r).Page} {
			page, err := draw()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := wellFormed(page); err != nil {
				t.Fatal(err)
			}
		}
	})
}
