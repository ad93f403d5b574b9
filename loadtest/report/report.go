// Package report holds what a load test measured: it records jobs as they end,
// keeps the outcome as JSON, prints it, compares two of them, and draws one as
// a web page. It knows nothing of how load is made.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"boxfleet/internal/strictjson"
)

// Format is the version of the report's JSON. A report of another one is
// refused instead of being compared wrongly.
const Format = 2

// Report is what a profile measured. Times are milliseconds unless their names
// say otherwise; CPU is milliseconds a job.
type Report struct {
	Format  int       `json:"format"`
	Profile string    `json:"profile"`
	Tool    string    `json:"tool"`
	Args    []string  `json:"args"` // the command line after the profile's name
	Program string    `json:"program"`
	Started time.Time `json:"started"`
	Machine Machine   `json:"machine"` // the client's
	Workers int       `json:"workers,omitempty"`
	Slots   int       `json:"slots,omitempty"` // of each worker; 0 is its default
	Took    float64   `json:"took_s"`

	Jobs       int            `json:"jobs"`
	Wrong      int            `json:"wrong"` // jobs that did not end as they must
	FirstWrong string         `json:"first_wrong,omitempty"`
	Outcomes   map[string]int `json:"outcomes,omitempty"`
	Attempts   int            `json:"attempts,omitempty"` // of all jobs together

	Rate       float64 `json:"jobs_per_s,omitempty"`
	SubmitRate float64 `json:"submitted_per_s,omitempty"`
	Asked      float64 `json:"asked_per_s,omitempty"` // open loop: arrivals
	// WorkerCPU is that of the fleet's own processes that are measured.
	WorkerCPU      float64 `json:"worker_cpu_ms_per_job,omitempty"`
	ClientCPU      float64 `json:"client_cpu_ms_per_job,omitempty"`
	ResidentBefore int64   `json:"resident_before_bytes,omitempty"`
	Resident       int64   `json:"resident_bytes,omitempty"`
	FDsBefore      int     `json:"fds_before,omitempty"`
	FDs            int     `json:"fds,omitempty"`

	// Total is from a job's submission to its result at the client; in an open
	// loop from when it was due, however late the client was.
	Total  *Quantiles           `json:"submit_to_result_ms,omitempty"`
	Late   *Quantiles           `json:"client_late_ms,omitempty"` // open loop: from due to sent
	Phases map[string]Quantiles `json:"phases_ms,omitempty"`

	Spectrum []SpectrumPoint `json:"spectrum,omitempty"`
	Makeup   []Makeup        `json:"makeup,omitempty"`
	Timeline []Tick          `json:"timeline,omitempty"`
	Marks    []Mark          `json:"marks,omitempty"`
	Cold     []ColdStage     `json:"cold,omitempty"`
	Scaling  []ScalePoint    `json:"scaling,omitempty"`
	Tools    []ToolLine      `json:"tools,omitempty"`
	Stall    []StallStage    `json:"stall,omitempty"`
	Soak     []SoakSample    `json:"soak,omitempty"`
	Backlog  []BacklogLevel  `json:"backlog,omitempty"`

	// Grew says what grew that must not.
	Grew []string `json:"grew,omitempty"`
	// Notes say what a reader of the figures must know.
	Notes []string `json:"notes,omitempty"`
}

// Machine is where the client ran.
type Machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	Go   string `json:"go"`
}

// ThisMachine describes the machine this process is on.
func ThisMachine() Machine {
	return Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
}

// Quantiles of a number of durations, in milliseconds.
type Quantiles struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// SpectrumPoint is one point of the latency's distribution.
type SpectrumPoint struct {
	Percentile float64 `json:"percentile"` // 0 to 100
	Latency    float64 `json:"latency_ms"`
}

// Makeup is what the jobs around one percentile of the latency spent their time
// on. Percentiles of phases do not add up to one of the whole; the means over
// jobs of about the same latency do.
type Makeup struct {
	Percentile float64            `json:"percentile"`
	Jobs       int                `json:"jobs"` // that the means are taken over
	Total      float64            `json:"total_ms"`
	Phases     map[string]float64 `json:"phases_ms"`
}

// Tick is one stretch of the run.
type Tick struct {
	At        float64 `json:"at_s"`
	Width     float64 `json:"width_s"`
	Submitted int     `json:"submitted"`
	Ended     int     `json:"ended"`
	Open      int     `json:"open"` // submitted and not ended when it was over
	P50       float64 `json:"p50_ms,omitempty"`
	P99       float64 `json:"p99_ms,omitempty"` // of the jobs that ended in it
}

// Mark is something that was done to the fleet meanwhile.
type Mark struct {
	At   float64 `json:"at_s"`
	For  float64 `json:"for_s"`
	What string  `json:"what"`
}

// ColdStage is one state of the caches, with every module run once in it.
type ColdStage struct {
	Name   string             `json:"name"`
	Jobs   int                `json:"jobs"`
	Cached map[string]int     `json:"cached"` // where workers say that modules came from
	Total  Quantiles          `json:"submit_to_result_ms"`
	Phases map[string]float64 `json:"phases_ms"` // mean of each
	P99    map[string]float64 `json:"phases_p99_ms"`
}

// ScalePoint is the throughput of one size of the fleet.
type ScalePoint struct {
	Workers   int       `json:"workers"`
	Slots     int       `json:"slots"` // of each
	Jobs      int       `json:"jobs"`
	Rate      float64   `json:"jobs_per_s"`
	Ideal     float64   `json:"ideal_per_s,omitempty"` // all slots always waiting, none computing
	WorkerCPU float64   `json:"worker_cpu_ms_per_job"`
	Run       Quantiles `json:"run_ms"`
}

// ToolLine is what one tool of a mix cost.
type ToolLine struct {
	Tool   string             `json:"tool"`
	Jobs   int                `json:"jobs"`
	Wrong  int                `json:"wrong"`
	First  float64            `json:"first_ms"` // the first job's latency, which compiles
	Total  Quantiles          `json:"submit_to_result_ms"`
	Phases map[string]float64 `json:"phases_ms"` // mean of each
}

// StallStage is what small jobs took, one after the other, beside something.
type StallStage struct {
	Name    string    `json:"name"`
	Jobs    int       `json:"jobs"`
	Modules int       `json:"modules,omitempty"` // large ones that were compiled meanwhile
	Total   Quantiles `json:"submit_to_result_ms"`
}

// SoakSample is what a worker holds between two rounds.
type SoakSample struct {
	Jobs       int   `json:"jobs"` // so far
	Heap       int64 `json:"heap_bytes"`
	Resident   int64 `json:"resident_bytes"`
	Goroutines int   `json:"goroutines"`
	FDs        int   `json:"fds"`
	Files      int   `json:"scratch_files"`
	Queued     int   `json:"queued"`
	// RecordBytes is the size of the status bucket by the records it holds:
	// the bucket itself grows until the oldest are too old.
	RecordBytes int64   `json:"bytes_per_record"`
	Rate        float64 `json:"jobs_per_s"`
}

// BacklogLevel is what jobs cost while so many wait. CPU is milliseconds a job,
// of the worker and of the process that holds the queue; latencies are
// milliseconds.
type BacklogLevel struct {
	Queued     int       `json:"queued"`
	SubmitRate float64   `json:"submitted_per_s"` // while the queue grew to this level
	Start      float64   `json:"worker_start_s"`
	Rate       float64   `json:"jobs_per_s"`
	WorkerCPU  float64   `json:"worker_cpu_ms_per_job"`
	ServerCPU  float64   `json:"server_cpu_ms_per_job"`
	Resident   int64     `json:"worker_resident_bytes"`
	Fetch      Quantiles `json:"fetch_ms"`    // one pull request for one job
	Queue      Quantiles `json:"status_ms"`   // state of a job that waits
	Done       Quantiles `json:"result_ms"`   // record of a job that has ended
	NewTenant  Quantiles `json:"newcomer_ms"` // submit to result of another tenant's only job
}

// Cost is CPU a job, of worker and server together.
func (l BacklogLevel) Cost() float64 { return l.WorkerCPU + l.ServerCPU }

// Good tells whether everything was as it must be.
func (r *Report) Good() bool { return r.Wrong == 0 && len(r.Grew) == 0 }

// Save writes the report as JSON.
func (r *Report) Save(file string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// maxReport bounds the file that [Load] reads.
const maxReport = 64 << 20

// Load reads a report that [Report.Save] wrote.
func Load(file string) (*Report, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read a report: %w", err)
	}
	if info.Size() > maxReport {
		return nil, fmt.Errorf("read the report %s: %d bytes are no report; at most %d", file, info.Size(), maxReport)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read a report: %w", err)
	}
	r, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("read the report %s: %w", file, err)
	}
	return r, nil
}

// Decode reads a report's JSON.
func Decode(data []byte) (*Report, error) {
	var head struct {
		Format  int    `json:"format"`
		Profile string `json:"profile"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	if head.Format != Format || head.Profile == "" {
		return nil, fmt.Errorf("format %d, profile %q: this program reads reports of format %d; make it again with `loadtest PROFILE --json FILE`", head.Format, head.Profile, Format)
	}
	var r Report
	if err := strictjson.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	return &r, r.check()
}

// check refuses what no load test measures, because it comes from a file.
func (r *Report) check() error {
	if r.Jobs < 0 || r.Wrong < 0 {
		return fmt.Errorf("%d jobs, %d wrong: a count is negative", r.Jobs, r.Wrong)
	}
	for _, n := range []int{len(r.Spectrum), len(r.Makeup), len(r.Timeline), len(r.Marks), len(r.Cold), len(r.Scaling), len(r.Tools), len(r.Stall), len(r.Soak), len(r.Backlog)} {
		if n > 10_000 {
			return errors.New("a table has more than 10,000 lines")
		}
	}
	return nil
}
