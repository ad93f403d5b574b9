package fleetview

import (
	"time"

	"boxfleet/jobs"
)

// Snapshot is the picture at one time. It is never changed once given.
type Snapshot struct {
	At     time.Time `json:"at"`
	Tenant string    `json:"tenant"`
	// Connected tells whether the queue can be reached now.
	Connected bool `json:"connected"`
	// Problems say what could not be seen, and why.
	Problems []string `json:"problems"`

	Workers []Worker `json:"workers"`
	Slots   int      `json:"slots"` // of all workers
	Busy    int      `json:"busy"`  // of these slots, as the workers last said

	// Queues are those of every tenant this identity may see.
	Queues []Queue `json:"queues"`
	// Waiting and Active are the tenant's own jobs: waiting for a worker, and
	// held by one or by its retry.
	Waiting int `json:"waiting"`
	Active  int `json:"active"`

	// Rate is how many of the tenant's jobs ended in a second, over the last
	// RateWindow; Counts are those of the last Window by outcome.
	Rate   float64              `json:"rate"`
	Window float64              `json:"window_seconds"`
	Counts map[jobs.Outcome]int `json:"counts"`

	// Total is from submission to the end; Phases are the parts of it, in the
	// order of a job's life. Both are of the jobs that Counts counts.
	Total  Spread    `json:"total"`
	Phases []Phase   `json:"phases"`
	Tools  []ToolUse `json:"tools"` // slowest first

	Failures []Job `json:"failures"` // newest first
	Ended    []Job `json:"ended"`    // newest first
	Running  []Job `json:"running"`  // longest first
	// RunningAll counts the tenant's jobs that run; Running lists some.
	RunningAll int      `json:"running_all"`
	Series     []Sample `json:"series"` // one a second, oldest first
	// Known is how many jobs' records are kept in this picture; Older says that
	// there are more, which only their ids find.
	Known int  `json:"known"`
	Older bool `json:"older"`
}

// Worker is a worker that gave a sign of life within the last 30 seconds.
type Worker struct {
	jobs.Presence
	Seen time.Time `json:"seen"`
	// Running are this tenant's jobs on it.
	Running int `json:"running"`
}

// Queue is one queue's depth.
type Queue struct {
	Tenant string `json:"tenant"`
	// Priority is high, normal or low, or keyed for all queues of concurrency
	// and rate keys together.
	Priority string `json:"priority"`
	Waiting  int    `json:"waiting"`
	Active   int    `json:"active"`
}

// Keyed is the priority of jobs that wait for their key's turn.
const Keyed = "keyed"

// Spread is how long something took, in milliseconds.
type Spread struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Phase is the spread of one phase.
type Phase struct {
	Name string `json:"name"`
	Spread
}

// ToolUse is what one tool was used for.
type ToolUse struct {
	Tool   string `json:"tool"`
	Jobs   int    `json:"jobs"`
	Failed int    `json:"failed"`
	// Run is the phase of that name.
	Run  Spread `json:"run"`
	Fuel uint64 `json:"fuel"`
}

// Job is what a list shows of a job.
type Job struct {
	ID       string        `json:"id"`
	State    jobs.State    `json:"state"`
	Outcome  jobs.Outcome  `json:"outcome,omitempty"`
	ExitCode *int          `json:"exit_code,omitempty"`
	Tool     string        `json:"tool"`
	Priority jobs.Priority `json:"priority"`
	Batch    string        `json:"batch,omitempty"`
	Worker   string        `json:"worker,omitempty"`
	Attempt  int           `json:"attempt,omitempty"`
	// Labels are key=value, sorted.
	Labels    []string  `json:"labels,omitempty"`
	Submitted time.Time `json:"submitted"`
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
	RunAt     time.Time `json:"run_at,omitzero"`
	// RunMS and TotalMS are milliseconds of the phase "run", and from
	// submission to the end.
	RunMS   float64 `json:"run_ms,omitempty"`
	TotalMS float64 `json:"total_ms,omitempty"`
	Error   string  `json:"error,omitempty"`

	CancelRequested bool `json:"cancel_requested,omitempty"`
}

// Sample is one second. What is not known of it is nil.
type Sample struct {
	Second  int64 `json:"t"` // Unix time
	Waiting *int  `json:"waiting"`
	Active  *int  `json:"active"`
	Busy    *int  `json:"busy"`
	Slots   *int  `json:"slots"`
	// Ended are jobs by group: OK, the guest's own failures, limits and
	// refusals, the fleet's failures, and canceled ones.
	Ended [Groups]int `json:"ended"`
	P50   float64     `json:"p50,omitempty"` // of Total, in milliseconds
	P95   float64     `json:"p95,omitempty"`
}

// Group is a kind of outcomes.
type Group int

// The groups of outcomes.
const (
	GroupOK       Group = iota
	GroupGuest          // exited, trapped
	GroupLimit          // a limit, or a refusal
	GroupFleet          // failed
	GroupCanceled       // by a user
	Groups
)

// GroupOf gives an outcome's group.
func GroupOf(o jobs.Outcome) Group {
	switch o {
	case jobs.Succeeded:
		return GroupOK
	case jobs.Exited, jobs.Trapped, jobs.Invalid:
		return GroupGuest
	case jobs.Failed:
		return GroupFleet
	case jobs.Canceled:
		return GroupCanceled
	}
	return GroupLimit
}
