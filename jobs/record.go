package jobs

import (
	"encoding/json"
	"fmt"
	"time"
)

// State is where a job is in its life.
type State string

// The states. Queued jobs usually have no record: the message itself is the
// proof. See the package documentation for the diagram.
const (
	Scheduled State = "scheduled" // waiting for its time
	Held      State = "held"      // waiting for other jobs
	Queued    State = "queued"
	Running   State = "running"
	Retrying  State = "retrying" // waiting for its next attempt
	Done      State = "done"
)

// Try is one attempt that did not end the job.
type Try struct {
	Number int       `json:"number"`
	Worker string    `json:"worker"`
	At     time.Time `json:"at"`
	Error  string    `json:"error"`
	// Uncounted tries failed for reasons that are not the job's.
	Uncounted bool `json:"uncounted,omitempty"`
}

// Record is the truth about a job: one key in the status bucket, changed by
// compare-and-set only. State stands first so that a watcher can tell a
// finished record without decoding it.
type Record struct {
	State    State    `json:"state"`
	V        int      `json:"v"`
	ID       string   `json:"id"`
	Tenant   string   `json:"tenant"`
	Batch    string   `json:"batch,omitempty"`
	Priority Priority `json:"priority"`
	Tool     Tool     `json:"tool"`
	// Attempt counts how often a worker took the job. It only grows, so that
	// no two attempts share an output prefix. Together with Worker and
	// StartedAt it is the fence: whoever they name may commit.
	Attempt int    `json:"attempt"`
	Worker  string `json:"worker,omitempty"`
	// Uncounted is how many of the attempts were given back for reasons that
	// are not the job's: its budget of attempts does not pay for them.
	Uncounted int `json:"uncounted,omitempty"`
	// Seq is the stream sequence of the message that attempt holds.
	Seq             uint64            `json:"seq,omitempty"`
	CancelRequested bool              `json:"cancel_requested,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	SubmittedAt     time.Time         `json:"submitted_at"`
	StartedAt       time.Time         `json:"started_at,omitzero"`
	RunAt           time.Time         `json:"run_at,omitzero"`
	ExpiresAt       time.Time         `json:"expires_at,omitzero"`
	After           *After            `json:"after,omitempty"`
	Tries           []Try             `json:"tries,omitempty"`
	ReplayOf        string            `json:"replay_of,omitempty"`
	Result          *Result           `json:"result,omitempty"`
}

// Bounds on the history a record keeps.
const (
	maxTries     = 16
	maxTryError  = 1 << 10 // bytes
	maxErrorText = 8 << 10 // bytes of a result's or dead letter's error
)

func (r *Record) encode() ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode the record of job %s: %w", r.ID, err)
	}
	return data, nil
}

func decodeRecord(data []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("decode a job record: %w", err)
	}
	if r.V != WireVersion {
		return nil, fmt.Errorf("decode the record of job %s: version %d, this program knows %d", r.ID, r.V, WireVersion)
	}
	if r.State == Done && r.Result == nil {
		return nil, fmt.Errorf("decode the record of job %s: it is done and has no result", r.ID)
	}
	return &r, nil
}

// recordKey is the record's key in the status bucket.
func recordKey(tenant, id string) string { return tenant + "." + id }

// newRecord starts the record of a job.
func newRecord(j *Job) *Record {
	return &Record{
		State: Queued, V: WireVersion, ID: j.ID, Tenant: j.Tenant, Batch: j.Batch, Priority: j.Priority,
		Tool: j.Tool, Labels: j.Labels, RunAt: j.RunAt, ExpiresAt: j.ExpiresAt, After: j.After, SubmittedAt: j.SubmittedAt, ReplayOf: j.ReplayOf,
	}
}

// counted is how many attempts the job's budget has paid for.
func (r *Record) counted() int { return r.Attempt - r.Uncounted }

// heldBy tells whether r still names the attempt that wrote o as the job's
// holder.
func (r *Record) heldBy(o *Record) bool {
	return r.State == Running && r.Attempt == o.Attempt && r.Worker == o.Worker && r.StartedAt.Equal(o.StartedAt)
}

// addTry notes why the current attempt did not end the job, once.
func (r *Record) addTry(err error, now time.Time) {
	if n := len(r.Tries); n > 0 && r.Tries[n-1].Number == r.Attempt {
		return
	}
	r.Tries = append(r.Tries, Try{Number: r.Attempt, Worker: r.Worker, At: now.UTC(), Error: shorten(err.Error(), maxTryError)})
	if len(r.Tries) > maxTries {
		r.Tries = append(r.Tries[:1], r.Tries[len(r.Tries)-maxTries+1:]...)
	}
}

// shorten cuts text at about n bytes: an error may quote a whole hostile job.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + fmt.Sprintf("... (%d bytes in all)", len(s))
}
