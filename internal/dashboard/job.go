package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"boxfleet/internal/fleetview"
	"boxfleet/jobs"
)

// detail is what the page shows of one job.
type detail struct {
	fleetview.Job
	Expires   time.Time   `json:"expires,omitzero"`
	After     *jobs.After `json:"after,omitempty"`
	ReplayOf  string      `json:"replay_of,omitempty"`
	Digest    string      `json:"digest"`
	Size      int64       `json:"module_size"`
	Tries     []try       `json:"tries"`
	AllLabels [][2]string `json:"all_labels"`
	Result    *result     `json:"result,omitempty"`
}

type try struct {
	Number    int       `json:"number"`
	Worker    string    `json:"worker"`
	At        time.Time `json:"at"`
	Error     string    `json:"error"`
	Uncounted bool      `json:"uncounted"`
}

type result struct {
	Error      string        `json:"error"`
	ToolError  string        `json:"tool_error,omitempty"`
	Stdout     text          `json:"stdout"`
	Stderr     text          `json:"stderr"`
	Fuel       uint64        `json:"fuel"`
	PeakMemory uint64        `json:"peak_memory"`
	BytesIn    int64         `json:"bytes_in"`
	BytesOut   int64         `json:"bytes_out"`
	Phases     []phase       `json:"phases"`
	Attempts   int           `json:"attempts"`
	TraceID    string        `json:"trace_id"`
	CacheHit   string        `json:"cache_hit"`
	ReusedFrom string        `json:"reused_from,omitempty"`
	Outputs    []file        `json:"outputs"`
	OutputsAll int           `json:"outputs_all"`
	Deleted    []string      `json:"deleted"`
	Denials    []jobs.Denial `json:"denials"`
	Trap       *jobs.Trap    `json:"trap,omitempty"`
}

// text is an output stream as a page can show it.
type text struct {
	Text string `json:"text"`
	// Bytes are those of Text before it was made harmless; More says that there
	// are more in the store.
	Bytes int  `json:"bytes"`
	More  bool `json:"more"`
	// Binary says that they are no text.
	Binary bool `json:"binary"`
}

type phase struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
}

type file struct {
	Path string `json:"path"` // as shown
	// Index names the file in a request: its path may hold what an address
	// cannot.
	Index  int    `json:"index"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Bounds on what one answer shows.
const (
	maxFiles   = 1000
	maxDeleted = 200
	maxDenials = 200
	maxFrames  = 64
)

var phaseOrder = []string{
	jobs.PhaseQueueWait, jobs.PhaseReuse, jobs.PhaseFetch, jobs.PhaseCompile, jobs.PhaseStage,
	jobs.PhaseInstantiate, jobs.PhaseRun, jobs.PhaseUpload, jobs.PhaseCommit,
}

func (s *Server) job(w http.ResponseWriter, r *http.Request) {
	id, ok := jobID(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	rec, err := s.cfg.Client.Get(ctx, id)
	if err != nil {
		failed(w, err)
		return
	}
	reply(w, newDetail(rec))
}

func newDetail(rec *jobs.Record) *detail {
	d := &detail{
		Job: fleetview.OfRecord(rec), Expires: rec.ExpiresAt, After: rec.After, ReplayOf: fleetview.Plain(rec.ReplayOf),
		Digest: fleetview.Plain(string(rec.Tool.Digest)), Size: rec.Tool.Size, Tries: []try{}, AllLabels: [][2]string{},
	}
	if a := d.After; a != nil {
		d.After = &jobs.After{Jobs: plainAll(a.Jobs, maxFiles), Batches: plainAll(a.Batches, maxFiles), When: fleetview.Plain(a.When)}
	}
	for _, t := range rec.Tries {
		d.Tries = append(d.Tries, try{t.Number, fleetview.Plain(t.Worker), t.At, fleetview.PlainText(t.Error), t.Uncounted})
	}
	for k, v := range rec.Labels {
		d.AllLabels = append(d.AllLabels, [2]string{fleetview.Plain(k), fleetview.Plain(v)})
	}
	slices.SortFunc(d.AllLabels, func(a, b [2]string) int { return bytes.Compare([]byte(a[0]), []byte(b[0])) })
	if rec.Result != nil && rec.State == jobs.Done {
		d.Result = newResult(rec.Result)
	}
	return d
}

func newResult(r *jobs.Result) *result {
	x := &result{
		Error: fleetview.PlainText(r.Error), ToolError: fleetview.PlainText(r.ToolError),
		Stdout: newText(r.Stdout, r.StdoutKey != ""), Stderr: newText(r.Stderr, r.StderrKey != ""),
		Fuel: r.FuelConsumed, PeakMemory: r.PeakMemory, BytesIn: r.BytesIn, BytesOut: r.BytesOut, Phases: []phase{}, Attempts: r.Attempts,
		TraceID: traceID(r.TraceID), CacheHit: fleetview.Plain(r.CacheHit), ReusedFrom: fleetview.Plain(r.ReusedFrom),
		Outputs: []file{}, OutputsAll: len(r.Outputs), Deleted: plainAll(r.Deleted, maxDeleted), Denials: []jobs.Denial{},
	}
	for _, name := range phaseOrder {
		if ms, ok := r.Phases[name]; ok {
			x.Phases = append(x.Phases, phase{name, ms})
		}
	}
	for i, f := range r.Outputs[:min(len(r.Outputs), maxFiles)] {
		x.Outputs = append(x.Outputs, file{fleetview.Plain(f.Path), i, f.Size, fleetview.Plain(f.SHA256)})
	}
	for _, d := range r.Denials[:min(len(r.Denials), maxDenials)] {
		x.Denials = append(x.Denials, jobs.Denial{What: fleetview.Plain(d.What), Target: fleetview.Plain(d.Target), Rule: fleetview.Plain(d.Rule), Count: d.Count})
	}
	if t := r.Trap; t != nil {
		x.Trap = &jobs.Trap{Kind: fleetview.Plain(t.Kind), Functions: plainAll(t.Functions, maxFrames)}
	}
	return x
}

// traceID passes on what is one: it becomes a part of addresses.
func traceID(s string) string {
	if len(s) != 32 || !jobs.ValidID(s) {
		return ""
	}
	return s
}

func plainAll(list []string, most int) []string {
	out := []string{}
	for _, s := range list[:min(len(list), most)] {
		out = append(out, fleetview.Plain(s))
	}
	return out
}

func newText(b []byte, more bool) text {
	return text{Text: fleetview.PlainText(string(b)), Bytes: len(b), More: more, Binary: bytes.IndexByte(b, 0) >= 0}
}

// indented writes JSON for people, and what is no JSON as it is.
func indented(data []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, data, "", "  ") != nil {
		return fleetview.PlainText(string(data))
	}
	return fleetview.PlainText(b.String())
}

func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	id, ok := jobID(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	rec, err := s.cfg.Client.Get(ctx, id)
	if err != nil {
		failed(w, err)
		return
	}
	spans, note := []Span{}, ""
	switch {
	case rec.Result == nil || traceID(rec.Result.TraceID) == "":
		note = "the job has no trace yet"
	case s.cfg.Trace == nil:
		note = "the fleet's context names no program that keeps traces"
	default:
		found, err := s.cfg.Trace(ctx, rec.Result.TraceID)
		if err != nil {
			note = err.Error()
		}
		for _, sp := range found {
			sp.ID, sp.Parent, sp.Name, sp.Status = fleetview.Plain(sp.ID), fleetview.Plain(sp.Parent), fleetview.Plain(sp.Name), fleetview.Plain(sp.Status)
			attributes := map[string]string{}
			for k, v := range sp.Attributes {
				attributes[fleetview.Plain(k)] = fleetview.Plain(v)
			}
			sp.Attributes = attributes
			spans = append(spans, sp)
		}
	}
	reply(w, map[string]any{"spans": spans, "note": fleetview.Plain(note)})
}
