// Package batchfile reads batch files: JSON Lines (https://jsonlines.org), one
// job a line. It decodes strictly, so that a slip in a field's name is an error
// with the line, the field and the name that was probably meant, and it gives
// jobs without an id one that is the same whenever the file is submitted again.
package batchfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"boxfleet/internal/strictjson"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// Line is one job of a batch file.
type Line struct {
	// ID identifies the job within the tenant; without one it gets an id made
	// from the batch, the line's number and what the job is.
	ID string `json:"id,omitempty" jsonschema:"description=1 to 64 letters; digits; - or _; derived from the line when absent"`
	// Tool is a tool reference.
	Tool string `json:"tool" jsonschema:"description=name; name@version; sha256:<digest> or s3://bucket/key.wasm"`
	// Args are the arguments after the program name.
	Args []string `json:"args,omitempty" jsonschema:"description=arguments after the program name"`
	// Input is mapped to arguments by the tool's input schema; they come
	// before Args.
	Input json.RawMessage `json:"input,omitempty" jsonschema:"description=JSON object mapped to arguments by the tool's input schema; they come before args"`
	// Stdin is inline text, or an object; a local file is uploaded.
	Stdin *jobs.Stdin `json:"stdin,omitempty"`
	// Options are what the job may do. Sources may be local directories.
	Options limits.RunOption `json:"options,omitzero"`
	// Labels are free key and value pairs.
	Labels map[string]string `json:"labels,omitempty" jsonschema:"description=free key and value pairs to filter by"`
	// Priority is high, normal or low.
	Priority jobs.Priority `json:"priority,omitempty" jsonschema:"enum=high,enum=normal,enum=low"`
	// Retry is the job's own policy for failed attempts.
	Retry jobs.Retry `json:"retry,omitzero"`
	// RunAt and ExpiresAt are when the job may start at the earliest and at
	// the latest.
	RunAt     time.Time `json:"run_at,omitzero" jsonschema:"description=when it may start at the earliest"`
	ExpiresAt time.Time `json:"expires_at,omitzero" jsonschema:"description=a job that has not started by then ends canceled"`
	// After holds the job until others have ended.
	After *jobs.After `json:"after,omitempty"`
	// Concurrency and Rate bound the jobs of one key.
	Concurrency *jobs.Concurrency `json:"concurrency,omitempty"`
	Rate        *jobs.Rate        `json:"rate,omitempty"`
	// IdempotencyKey makes submissions of the same key one job, for
	// IdempotencyWindow or for ever.
	IdempotencyKey    string          `json:"idempotency_key,omitempty" jsonschema:"description=submissions with the same key give the first one's job"`
	IdempotencyWindow limits.Duration `json:"idempotency_window,omitzero" jsonschema:"description=how long the key is remembered; for ever when absent"`
	// ReuseResult asks for the result of an equal deterministic job.
	ReuseResult bool `json:"reuse_result,omitempty" jsonschema:"description=answer from the result cache if an equal deterministic job has succeeded"`
}

// Decode reads one line strictly. Most lines are clean, and for them one
// decoding and a cheap look at the keys is enough; the rest is left to
// strictjson, which knows the words for what is wrong.
func Decode(data []byte, l *Line) error {
	if err := json.Unmarshal(data, l); err == nil && clean(data, lineShape) {
		return l.check()
	}
	*l = Line{}
	if err := strictjson.Unmarshal(data, l); err != nil {
		return err
	}
	return l.check()
}

func (l *Line) check() error {
	if l.Tool == "" {
		return &limits.FieldError{Field: "tool", Err: fmt.Errorf("missing: say which tool runs, such as \"tool\": \"jq\"")}
	}
	return nil
}

// MaxBatchID is the longest batch id; derived job ids start with it.
const MaxBatchID = 36

// idHash is how many hexadecimal digits end a derived id. They only have to
// tell versions of one line apart.
const idHash = 16

// DeriveID gives the id of a line without one: the batch, the line's number,
// and a hash over everything that makes the job what it is. identity holds what
// the line's text does not: the tool's digest and those of uploaded
// directories. The same line in the same place gives the same id, and a line
// that was edited, or whose tool or inputs changed, another.
func DeriveID(batch string, line int, text []byte, identity ...string) string {
	h := sha256.New()
	for _, s := range identity {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	h.Write(text)
	sum := h.Sum(nil)
	id := make([]byte, 0, len(batch)+28)
	id = append(append(id, batch...), '-')
	id = append(strconv.AppendInt(id, int64(line), 10), '-')
	return string(hex.AppendEncode(id, sum[:idHash/2]))
}

// DerivedLine gives the line number in an id that DeriveID made for the batch.
func DerivedLine(batch, id string) (line int, ok bool) {
	rest, ok := strings.CutPrefix(id, batch+"-")
	if !ok {
		return 0, false
	}
	num, hash, ok := strings.Cut(rest, "-")
	if !ok || len(hash) != idHash {
		return 0, false
	}
	if strings.ContainsFunc(hash, func(r rune) bool { return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f') }) {
		return 0, false
	}
	n, err := strconv.Atoi(num)
	if err != nil || n < 1 || strconv.Itoa(n) != num {
		return 0, false
	}
	return n, true
}
