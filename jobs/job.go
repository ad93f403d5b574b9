package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nuid"

	"boxfleet/artifacts"
	"boxfleet/limits"
	"boxfleet/limits/netpolicy"
)

// WireVersion is the version of the job and result messages. A worker refuses
// a message of a later version instead of guessing.
const WireVersion = 1

// MaxJobSize is the largest encoded job in bytes. Bigger input travels by S3.
const MaxJobSize = 64 << 10

// DefaultTenant is the tenant of everyone who names none.
const DefaultTenant = "default"

// Priority orders a tenant's jobs.
type Priority string

// The three priorities, served by weight so that Low never starves.
const (
	High   Priority = "high"
	Normal Priority = "normal"
	Low    Priority = "low"
)

// Priorities lists all, most urgent first.
var Priorities = []Priority{High, Normal, Low}

// Tool is a resolved tool reference: what runs, pinned by digest.
type Tool struct {
	// Name and Version are for people; empty when submitted by digest or key.
	Name    string `json:"name,omitempty" jsonschema:"description=registered name"`
	Version string `json:"version,omitempty" jsonschema:"description=registered version"`
	// Digest is the SHA-256 of the module; a worker runs nothing else.
	Digest artifacts.Digest `json:"digest" jsonschema:"description=sha256:<64 hex digits> of the module"`
	// Size of the module in bytes.
	Size int64 `json:"size" jsonschema:"description=bytes of the module"`
}

// String is the tool as a person would name it.
func (t Tool) String() string {
	if t.Name == "" {
		return string(t.Digest)
	}
	return t.Name + "@" + t.Version
}

// Stdin is the guest's standard input: Inline text, or the Source of an object.
type Stdin struct {
	Inline string `json:"inline,omitempty" jsonschema:"description=the text itself"`
	// Source is s3://bucket/key or sha256:<digest> of an uploaded blob.
	Source string `json:"source,omitempty" jsonschema:"description=s3://bucket/key or sha256:<digest> of an uploaded blob"`
}

// UnmarshalJSON accepts a string (inline text) or the object form.
func (s *Stdin) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &s.Inline)
	}
	type plain Stdin
	dec := json.NewDecoder(bytes.NewReader(data)) // the outer decoder's strictness does not reach here
	dec.DisallowUnknownFields()
	return dec.Decode((*plain)(s))
}

// ObjectRef names an object: by content, or by bucket and key.
type ObjectRef struct {
	Digest      artifacts.Digest
	Bucket, Key string
}

// Object reads Source.
func (s *Stdin) Object() (ObjectRef, error) {
	rest, ok := strings.CutPrefix(s.Source, "s3://")
	if !ok {
		d, err := artifacts.ParseDigest(s.Source)
		return ObjectRef{Digest: d}, err
	}
	bucket, key, ok := strings.Cut(rest, "/")
	if !ok || bucket == "" || key == "" || strings.HasSuffix(key, "/") {
		return ObjectRef{}, fmt.Errorf("%q is not s3://bucket/key", s.Source)
	}
	return ObjectRef{Bucket: bucket, Key: key}, nil
}

// Retry is a job's own policy for attempts that failed.
type Retry struct {
	// MaxAttempts counts the first try; 0 means the worker's default.
	MaxAttempts int `json:"max_attempts,omitempty" jsonschema:"description=tries in all; 0 means the worker's default"`
	// OnExitCodes are exit codes of the guest that count as failed attempts
	// instead of results; none by default.
	OnExitCodes []int `json:"retry_on_exit_codes,omitempty" jsonschema:"description=exit codes that are tried again instead of being results"`
	// NotAfter is when no further attempt starts any more.
	NotAfter time.Time `json:"not_after,omitzero" jsonschema:"description=no further attempt starts after this time"`
}

// Job is one run of one tool with one RunOption, as it travels.
type Job struct {
	V        int      `json:"v" jsonschema:"description=version of the message"`
	ID       string   `json:"id" jsonschema:"description=1 to 64 letters; digits; - or _; unique within the tenant"`
	Tenant   string   `json:"tenant" jsonschema:"description=whose job it is"`
	Priority Priority `json:"priority" jsonschema:"enum=high,enum=normal,enum=low"`
	// Batch groups jobs that were submitted together; "" for a single job.
	Batch       string            `json:"batch,omitempty" jsonschema:"description=id of the batch it came with"`
	Tool        Tool              `json:"tool"`
	Args        []string          `json:"args,omitempty" jsonschema:"description=arguments after the program name"`
	Stdin       *Stdin            `json:"stdin,omitempty"`
	Options     limits.RunOption  `json:"options,omitzero"`
	Labels      map[string]string `json:"labels,omitempty" jsonschema:"description=free key and value pairs to filter by"`
	Retry       Retry             `json:"retry,omitzero"`
	SubmittedAt time.Time         `json:"submitted_at" jsonschema:"description=clock of the submitter"`
	// RunAt is when the job may start at the earliest; it is kept aside by the
	// server until then.
	RunAt time.Time `json:"run_at,omitzero" jsonschema:"description=when it may start at the earliest"`
	// ExpiresAt ends a job that has not started by then as Canceled.
	ExpiresAt time.Time `json:"expires_at,omitzero" jsonschema:"description=a job that has not started by then ends canceled"`
	// After holds the job until others have ended.
	After *After `json:"after,omitempty"`
	// Concurrency and Rate bound how many jobs of a key run at once and start
	// in a time, in the whole fleet.
	Concurrency *Concurrency `json:"concurrency,omitempty"`
	Rate        *Rate        `json:"rate,omitempty"`
	// IdempotencyKey makes submissions of the same key one job.
	IdempotencyKey string `json:"idempotency_key,omitempty" jsonschema:"description=submissions with the same key give the first one's job"`
	// IdempotencyWindow is how long the key is remembered; 0 means for ever.
	IdempotencyWindow limits.Duration `json:"idempotency_window,omitzero" jsonschema:"description=how long the key is remembered; for ever when absent"`
	// ReuseResult asks for the result of an equal deterministic job, if one
	// is known.
	ReuseResult bool `json:"reuse_result,omitempty" jsonschema:"description=answer from the result cache if an equal deterministic job has succeeded"`
	// ReplayOf is the id of the dead job this one replays.
	ReplayOf string `json:"replay_of,omitempty" jsonschema:"description=id of the dead job this one replays"`
	// CompileOnly makes a worker fetch and compile the tool and not run it.
	CompileOnly bool `json:"compile_only,omitempty" jsonschema:"description=fetch and compile the tool; do not run it"`
}

// After names what must have ended before a job starts: jobs, or batches.
type After struct {
	Jobs    []string `json:"jobs,omitempty" jsonschema:"description=ids of jobs"`
	Batches []string `json:"batches,omitempty" jsonschema:"description=ids of batches"`
	// When is succeeded (the default: another outcome cancels this job) or
	// ended.
	When string `json:"when,omitempty" jsonschema:"enum=succeeded,enum=ended,description=succeeded (default) or ended"`
}

// Concurrency is a key and how many jobs with it may run at once in the
// tenant.
type Concurrency struct {
	Key   string `json:"key" jsonschema:"description=1 to 256 bytes; jobs with an equal key share the limit"`
	Limit int    `json:"limit" jsonschema:"description=jobs at once"`
}

// Rate is how many jobs of a key may start in a time.
type Rate struct {
	// Key defaults to the concurrency's key.
	Key   string          `json:"key,omitempty" jsonschema:"description=1 to 256 bytes; defaults to the concurrency key"`
	Limit int             `json:"limit" jsonschema:"description=starts per time"`
	Per   limits.Duration `json:"per" jsonschema:"description=the time; such as 1s or 1m"`
}

// NewID gives a fresh job or batch id.
func NewID() string { return nuid.Next() }

// Bounds on the parts of a job that are not in its RunOption.
const (
	maxArgs   = 4096
	maxLabels = 64
)

// ValidID tells whether s may be a job, batch or tenant id: one NATS subject
// token that is also harmless in an object key and on a terminal.
func ValidID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// Validate judges everything about the job that needs no worker. Errors are
// *limits.FieldError, joined.
func (j *Job) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &limits.FieldError{Field: field, Err: fmt.Errorf(format, args...)})
	}
	if j.V != WireVersion {
		bad("v", "%d is not a message version this program knows; it knows %d", j.V, WireVersion)
	}
	for _, id := range []struct{ field, value string }{{"id", j.ID}, {"tenant", j.Tenant}, {"batch", j.Batch}} {
		if id.value == "" && id.field == "batch" {
			continue
		}
		if !ValidID(id.value) {
			bad(id.field, "%q is not 1 to 64 letters, digits, - or _", id.value)
		}
	}
	if j.Priority != High && j.Priority != Normal && j.Priority != Low {
		bad("priority", "%q is no priority; write high, normal or low", j.Priority)
	}
	if _, err := artifacts.ParseDigest(string(j.Tool.Digest)); err != nil {
		bad("tool.digest", "%w", err)
	}
	if j.Tool.Size <= 0 {
		bad("tool.size", "%d is not the size of a module", j.Tool.Size)
	}
	if len(j.Args) > maxArgs {
		bad("args", "%d arguments; at most %d; pass long lists by a file", len(j.Args), maxArgs)
	}
	for i, a := range j.Args {
		if strings.Contains(a, "\x00") {
			bad(fmt.Sprintf("args[%d]", i), "%q has a NUL byte", a)
		}
	}
	if len(j.Labels) > maxLabels {
		bad("labels", "%d labels; at most %d", len(j.Labels), maxLabels)
	}
	if j.Retry.MaxAttempts < 0 {
		bad("retry.max_attempts", "%d is negative", j.Retry.MaxAttempts)
	}
	for _, code := range j.Retry.OnExitCodes {
		if code < 1 || code > 255 {
			bad("retry.retry_on_exit_codes", "%d is no exit code of a failure; write 1 to 255", code)
		}
	}
	errs = append(errs, j.validateWaiting()...)
	if s := j.Stdin; s != nil && s.Source != "" {
		if s.Inline != "" {
			bad("stdin", "has both inline text and a source; give one")
		}
		if _, err := s.Object(); err != nil {
			bad("stdin.source", "%w", err)
		}
	}
	errs = append(errs, inOptions(j.Options.Validate()), j.validateSources(), j.validatePolicy())
	return errors.Join(errs...)
}

func (j *Job) validateSources() error {
	var errs []error
	check := func(field string, m *limits.Mount) {
		if m.Source != "" {
			if _, err := artifacts.ParseSource(m.Source); err != nil {
				errs = append(errs, &limits.FieldError{Field: field + ".source", Err: err})
			}
		}
		if m.Output != "" {
			if _, err := artifacts.ParseSource(m.Output); err != nil {
				errs = append(errs, &limits.FieldError{Field: field + ".output", Err: err})
			}
		}
	}
	if j.Options.WorkDir != nil {
		check("options.work_dir", j.Options.WorkDir)
	}
	for i := range j.Options.MapDirs {
		check(fmt.Sprintf("options.map_dirs[%d]", i), &j.Options.MapDirs[i])
	}
	return errors.Join(errs...)
}

func (j *Job) validatePolicy() error {
	o := &j.Options
	if len(o.AllowedOutboundHosts)+len(o.BlockURL)+len(o.BlockNetworks) == 0 {
		return nil
	}
	if _, err := netpolicy.Parse(o.AllowedOutboundHosts, o.BlockURL, o.BlockNetworks); err != nil {
		return &limits.FieldError{Field: "options", Err: err}
	}
	return nil
}

// inOptions puts "options." before the fields of a RunOption's errors.
func inOptions(err error) error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, inOptions(e))
		}
		return errors.Join(out...)
	}
	if fe, ok := errors.AsType[*limits.FieldError](err); ok {
		return &limits.FieldError{Field: "options." + fe.Field, Err: fe.Err}
	}
	return err
}

// TooLargeError says that an encoded job is over MaxJobSize.
type TooLargeError struct {
	ID   string
	Size int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("job %s is %d bytes encoded, at most %d travel in a message; put large stdin or arguments into a file and pass it by --stdin FILE, --map-dir or an s3:// source", e.ID, e.Size, MaxJobSize)
}

// Encode gives the job's message, or *TooLargeError.
func (j *Job) Encode() ([]byte, error) {
	data, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("encode job %s: %w", j.ID, err)
	}
	if len(data) > MaxJobSize {
		return nil, &TooLargeError{ID: j.ID, Size: len(data)}
	}
	return data, nil
}

// Decode reads a job's message and validates it. Fields this version does not
// know are errors: a limit that is not understood must not be ignored.
func Decode(data []byte) (*Job, error) {
	if len(data) > MaxJobSize {
		return nil, fmt.Errorf("decode job: %d bytes, at most %d", len(data), MaxJobSize)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var j Job
	if err := dec.Decode(&j); err != nil {
		return nil, fmt.Errorf("decode job: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("decode job: more data after the job")
	}
	if err := j.Validate(); err != nil {
		return nil, fmt.Errorf("decode job: %w", err)
	}
	return &j, nil
}
