package fleetview

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// head is what a record is read for. Outputs and text stay undecoded: they may
// be most of it.
type head struct {
	State           jobs.State        `json:"state"`
	V               int               `json:"v"`
	ID              string            `json:"id"`
	Tenant          string            `json:"tenant"`
	Batch           string            `json:"batch"`
	Priority        jobs.Priority     `json:"priority"`
	Tool            jobs.Tool         `json:"tool"`
	Attempt         int               `json:"attempt"`
	Worker          string            `json:"worker"`
	CancelRequested bool              `json:"cancel_requested"`
	Labels          map[string]string `json:"labels"`
	SubmittedAt     time.Time         `json:"submitted_at"`
	StartedAt       time.Time         `json:"started_at"`
	RunAt           time.Time         `json:"run_at"`
	Tries           []jobs.Try        `json:"tries"`
	Result          *headResult       `json:"result"`
}

type headResult struct {
	Outcome      jobs.Outcome       `json:"outcome"`
	ExitCode     int                `json:"exit_code"`
	FuelConsumed uint64             `json:"fuel_consumed"`
	Phases       map[string]float64 `json:"phases"`
	Worker       string             `json:"worker"`
	Error        string             `json:"error"`
	ToolError    string             `json:"tool_error"`
	FinishedAt   time.Time          `json:"finished_at"`
}

func decodeHead(data []byte) (*head, error) {
	var h head
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, fmt.Errorf("decode a job record: %w", err)
	}
	if h.V != jobs.WireVersion || !jobs.ValidID(h.ID) {
		return nil, errors.New("decode a job record: it is none of this version")
	}
	if h.State == jobs.Done && h.Result == nil {
		return nil, fmt.Errorf("decode the record of job %s: it is done and has no result", h.ID)
	}
	return &h, nil
}

// Bounds on what a list keeps of a job: labels and errors come from others.
const (
	maxError  = 240
	maxLabel  = 80
	maxLabels = 8
	maxName   = 120
)

// entry is a job as the View keeps it.
type entry struct {
	Job
	digest artifacts.Digest
	name   string // of the tool, without its version
	labels map[string]string
}

func (h *head) entry() *entry {
	e := &entry{labels: h.Labels, digest: h.Tool.Digest, name: h.Tool.Name, Job: Job{
		ID: h.ID, State: h.State, Tool: toolText(h.Tool), Priority: jobs.Priority(Plain(short(string(h.Priority), maxName))), Batch: Plain(short(h.Batch, maxName)),
		Worker: Plain(short(h.Worker, maxName)), Attempt: h.Attempt, CancelRequested: h.CancelRequested,
		Labels: labelTexts(h.Labels), Submitted: h.SubmittedAt, Started: h.StartedAt, RunAt: h.RunAt,
	}}
	if n := len(h.Tries); n > 0 && h.State == jobs.Retrying {
		e.Error = Plain(short(h.Tries[n-1].Error, maxError))
	}
	if r := h.Result; r != nil && h.State == jobs.Done {
		e.Outcome, e.Finished, e.RunMS = jobs.Outcome(Plain(string(r.Outcome))), r.FinishedAt, r.Phases[jobs.PhaseRun]
		e.TotalMS = max(0, float64(r.FinishedAt.Sub(h.SubmittedAt))/float64(time.Millisecond))
		if r.ExitCode >= 0 {
			e.ExitCode = &r.ExitCode
		}
		e.Error = Plain(short(r.Error, maxError))
		if e.Error == "" && r.ToolError != "" {
			e.Error = Plain(short("the tool says: "+r.ToolError, maxError))
		}
		if e.Worker == "" {
			e.Worker = Plain(short(r.Worker, maxName))
		}
	}
	return e
}

func toolText(t jobs.Tool) string {
	switch {
	case t.Name == "" && t.Digest == "":
		return "unknown" // of a message that was no job
	case t.Name == "":
		return Plain(t.Digest.Short())
	}
	return Plain(short(t.String(), maxName))
}

func labelTexts(labels map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if len(out) == maxLabels {
			return append(out, fmt.Sprintf("and %d more", len(labels)-maxLabels))
		}
		out = append(out, Plain(short(k+"="+labels[k], maxLabel)))
	}
	return out
}

// OfRecord gives what a list shows of a record.
func OfRecord(r *jobs.Record) Job { return *headOf(r).entry().job() }

func (e *entry) job() *Job { return &e.Job }

func headOf(r *jobs.Record) *head {
	h := &head{
		State: r.State, V: r.V, ID: r.ID, Tenant: r.Tenant, Batch: r.Batch, Priority: r.Priority, Tool: r.Tool, Attempt: r.Attempt, Worker: r.Worker,
		CancelRequested: r.CancelRequested, Labels: r.Labels, SubmittedAt: r.SubmittedAt, StartedAt: r.StartedAt, RunAt: r.RunAt, Tries: r.Tries,
	}
	if x := r.Result; x != nil {
		h.Result = &headResult{x.Outcome, x.ExitCode, x.FuelConsumed, x.Phases, x.Worker, x.Error, x.ToolError, x.FinishedAt}
	}
	return h
}
