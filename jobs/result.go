package jobs

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"boxfleet/artifacts"
)

// Outcome is how a job ended.
type Outcome string

// The outcomes. Only Failed is the fleet's fault; all others are final
// results of the guest, its limits or the submitter's wishes.
const (
	Succeeded     Outcome = "succeeded"      // exit code 0
	Exited        Outcome = "exited"         // nonzero exit code
	Trapped       Outcome = "trapped"        // unreachable, out of bounds, ...
	TimedOut      Outcome = "timed_out"      // wasm_timeout passed
	OutOfFuel     Outcome = "out_of_fuel"    // wasm_fuel spent
	OutOfMemory   Outcome = "out_of_memory"  // initial memory over the limit
	StackOverflow Outcome = "stack_overflow" // wasm_max_wasm_stack passed
	OutputLimit   Outcome = "output_limit"   // stdout, stderr or collected outputs over their cap
	Denied        Outcome = "denied"         // asked for more than the operator grants
	Canceled      Outcome = "canceled"       // by a user
	Invalid       Outcome = "invalid"        // the job or its module cannot run here
	Failed        Outcome = "failed"         // infrastructure, attempts spent
)

// Outcomes lists all, in the order tables show them.
var Outcomes = []Outcome{Succeeded, Exited, Trapped, TimedOut, OutOfFuel, OutOfMemory,
	StackOverflow, OutputLimit, Denied, Canceled, Invalid, Failed}

// ExitCode is what `submit run` exits with for a job that the fleet ended:
// 125 and up, so that a guest's own codes stay apart. Succeeded and Exited
// have the guest's own code and give -1 here.
func (o Outcome) ExitCode() int {
	switch o {
	case Succeeded, Exited:
		return -1
	case Invalid:
		return 126
	case Denied:
		return 128
	case Trapped:
		return 129
	case Canceled:
		return 130
	case TimedOut:
		return 131
	case OutOfFuel:
		return 132
	case OutOfMemory:
		return 133
	case StackOverflow:
		return 134
	case OutputLimit:
		return 135
	default:
		return 125
	}
}

// Text is bytes that are usually text. In JSON it is a string when it is
// valid UTF-8 and {"base64": "..."} otherwise, so that nothing is lost.
type Text []byte

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.Valid(t) {
		return json.Marshal(string(t))
	}
	return json.Marshal(struct {
		Base64 []byte `json:"base64"`
	}{t})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		*t = Text(s)
		return nil
	}
	var b struct {
		Base64 []byte `json:"base64"`
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return err
	}
	*t = b.Base64
	return nil
}

// Denial is one thing the guest asked for and did not get.
type Denial struct {
	What   string `json:"what" jsonschema:"description=network; filesystem; limit or permission"`
	Target string `json:"target" jsonschema:"description=what was asked for; such as a URL"`
	Rule   string `json:"rule" jsonschema:"description=the rule that refused it"`
	Count  int    `json:"count" jsonschema:"description=how often"`
}

// InlineOutput is the most bytes of stdout, and of stderr, that a result
// carries itself; longer ones are objects named by StdoutKey and StderrKey.
const InlineOutput = 16 << 10

// Result is how a job ended and what it cost.
type Result struct {
	ID       string  `json:"id"`
	Outcome  Outcome `json:"outcome"`
	ExitCode int     `json:"exit_code" jsonschema:"description=the guest's exit code; -1 when it did not exit by itself"`
	Stdout   Text    `json:"stdout" jsonschema:"description=standard output; its first bytes when stdout_key is set"`
	Stderr   Text    `json:"stderr" jsonschema:"description=standard error; its first bytes when stderr_key is set"`
	// StdoutKey and StderrKey name objects that hold the whole stream.
	StdoutKey string `json:"stdout_key,omitempty" jsonschema:"description=s3:// address of the whole standard output"`
	StderrKey string `json:"stderr_key,omitempty" jsonschema:"description=s3:// address of the whole standard error"`

	FuelConsumed uint64 `json:"fuel_consumed" jsonschema:"description=executed operators"`
	PeakMemory   uint64 `json:"peak_memory" jsonschema:"description=bytes; all linear memories and tables at their highest"`
	BytesIn      int64  `json:"bytes_in,omitempty" jsonschema:"description=bytes staged for the run"`
	BytesOut     int64  `json:"bytes_out,omitempty" jsonschema:"description=bytes of collected outputs"`
	// Phases maps a phase (queue wait, fetch module, compile, stage,
	// instantiate, run, upload, commit) to milliseconds.
	Phases   map[string]float64     `json:"phases" jsonschema:"description=phase name to milliseconds"`
	Attempts int                    `json:"attempts"`
	Worker   string                 `json:"worker"`
	TraceID  string                 `json:"trace_id"`
	Outputs  []artifacts.OutputFile `json:"outputs" jsonschema:"description=collected files below their mount"`
	// OutputPrefix is the s3:// prefix the output paths are below.
	OutputPrefix string `json:"output_prefix,omitempty"`
	// Deleted are staged files of rw mounts that the guest removed.
	Deleted []string `json:"deleted,omitempty" jsonschema:"description=staged files that the guest removed"`
	Denials []Denial `json:"denials"`
	// CacheHit says where the module came from: memory, disk, fleet (compiled by another worker) or none.
	CacheHit string `json:"cache_hit,omitempty" jsonschema:"description=memory; disk; fleet (compiled by another worker) or none"`
	// ToolError is what the tool says went wrong, when its standard output is
	// an answer that says so (package toolresult). The outcome stays what it is:
	// such tools exit with 0.
	ToolError string `json:"tool_error,omitempty" jsonschema:"description=what the tool says went wrong; when its standard output is an answer with is_error or error"`
	// ReusedFrom is the equal job whose result this is, when it was answered
	// from the result cache.
	ReusedFrom string `json:"reused_from,omitempty" jsonschema:"description=id of the equal job whose result this is"`
	// Error says in one line why the outcome is what it is; empty on success.
	Error      string    `json:"error"`
	Trap       *Trap     `json:"trap,omitempty"`
	FinishedAt time.Time `json:"finished_at"`
}

// Trap tells where and why a guest trapped.
type Trap struct {
	Kind      string   `json:"kind" jsonschema:"description=such as unreachable or out of bounds memory access"`
	Functions []string `json:"functions,omitempty" jsonschema:"description=wasm functions on the stack; innermost first"`
}

// Phase names, also the names of the trace's spans.
const (
	PhaseQueueWait   = "queue wait"
	PhaseReuse       = "look up result"
	PhaseFetch       = "fetch module"
	PhaseCompile     = "compile"
	PhaseStage       = "stage"
	PhaseInstantiate = "instantiate"
	PhaseRun         = "run"
	PhaseUpload      = "upload"
	PhaseCommit      = "commit"
)
