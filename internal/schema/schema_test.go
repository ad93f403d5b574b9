package schema_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"boxfleet/artifacts"
	"boxfleet/internal/batchfile"
	"boxfleet/internal/schema"
	"boxfleet/jobs"
	"boxfleet/limits"
)

const published = "../../docs/schema"

func TestPublishedSchemasAreCurrent(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, d := range schema.Documents {
		names[d.Name] = true
		want, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(published, d.Name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("docs/schema/%s is out of date; run: go generate ./internal/schema", d.Name)
		}
	}
	files, err := filepath.Glob(filepath.Join(published, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !names[filepath.Base(f)] {
			t.Errorf("%s is published and no longer made", f)
		}
	}
}

func compile(t *testing.T, name string) *validator.Schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(published, name))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("schema:///"+name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema:///" + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func check(t *testing.T, s *validator.Schema, text string) error {
	t.Helper()
	v, err := validator.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s.Validate(v)
}

// TestLines holds the schema of a batch line and the decoder to each other.
func TestLines(t *testing.T) {
	t.Parallel()
	s := compile(t, "batch-line.schema.json")
	for line, valid := range map[string]bool{
		`{"tool":"jq"}`: true,
		`{"tool":"jq","id":"a","args":["-r"],"input":{"x":1},"stdin":"text","labels":{"a":"b"},"priority":"low","retry":{"max_attempts":2}}`:                                 true,
		`{"tool":"jq","stdin":{"source":"s3://b/k"},"options":{"work_dir":"s3://b/p/","wasm_timeout":1.5,"wasm_max_memory_size":"64MiB"}}`:                                   true,
		`{"tool":"jq","options":{"map_dirs":[{"source":"s3://b/p/","guest":"/in","mode":"rw","output":"s3://b/o/"}],"block_url":"http://x/","env_vars":{"A":"secret://a"}}}`: true,
		`{"tool":"jq","options":{"block_url":["http://x/"],"wasm_timeout":"10s","wasm_fuel":18446744073709551615,"cache":false,"deterministic":true}}`:                       true,
		`{}`:                        false,
		`{"tool":1}`:                false,
		`{"tool":"jq","argz":[]}`:   false,
		`{"tool":"jq","input":[1]}`: false,
		`{"tool":"jq","options":{"wasm_fuel":-1}}`:       false,
		`{"tool":"jq","options":{"wasm_timeout":-1}}`:    false,
		`{"tool":"jq","options":{"map_dirs":{}}}`:        false,
		`{"tool":"jq","options":{"work_dir":{"a":"b"}}}`: false,
		`{"tool":"jq","stdin":{"inline":"a","x":1}}`:     false,
		`{"tool":"jq","labels":{"a":1}}`:                 false,
	} {
		err := check(t, s, line)
		if (err == nil) != valid {
			t.Errorf("schema on %s: %v, want valid %t", line, err, valid)
		}
		var l batchfile.Line
		// The mapping of input is for the tool's own schema to judge.
		if err := batchfile.Decode([]byte(line), &l); (err == nil) != valid && !strings.Contains(line, `"input":[`) {
			t.Errorf("decoder on %s: %v, want valid %t", line, err, valid)
		}
	}
}

// TestGoValues holds what the programs write to the schemas: every field set.
func TestGoValues(t *testing.T) {
	t.Parallel()
	yes := true
	digest := artifacts.DigestBytes([]byte("x"))
	j := jobs.Job{
		V: 1, ID: "a", Tenant: "default", Priority: jobs.High, Batch: "b", Tool: jobs.Tool{Name: "jq", Version: "1", Digest: digest, Size: 1},
		Args: []string{"x"}, Stdin: &jobs.Stdin{Inline: "x"}, Labels: map[string]string{"a": "b"}, Retry: jobs.Retry{MaxAttempts: 1, OnExitCodes: []int{3}, NotAfter: time.Now()}, SubmittedAt: time.Now(),
		RunAt: time.Now(), ExpiresAt: time.Now(), After: &jobs.After{Jobs: []string{"a"}, Batches: []string{"b"}, When: "ended"},
		Concurrency: &jobs.Concurrency{Key: "k", Limit: 1}, Rate: &jobs.Rate{Key: "k", Limit: 1, Per: 1},
		IdempotencyKey: "k", IdempotencyWindow: 1, ReuseResult: true, ReplayOf: "z", CompileOnly: true,
		Options: limits.RunOption{
			WorkDir: &limits.Mount{Source: string(digest), Mode: limits.ReadOnly}, MapDirs: []limits.Mount{{Guest: "/x", Mode: limits.ReadWrite, Output: "s3://b/o/"}},
			EnvVars: map[string]string{"A": "b"}, AllowedOutboundHosts: []string{"https://x"}, BlockURL: limits.StringList{"https://y"}, BlockNetworks: []string{"private"},
			WasmTimeout: 1, WasmMaxMemorySize: 1, WasmMaxWasmStack: 1, WasmFuel: 1, Cache: &yes, MaxStdout: 1, MaxStderr: 1, MaxWrittenBytes: 1,
			MaxFiles: 1, MaxOpenFiles: 1, MaxOutboundBytes: 1, MaxOutboundRequests: 1, Deterministic: true, AllowDangerous: true,
		},
	}
	r := jobs.Result{
		ID: "a", Outcome: jobs.Trapped, ExitCode: -1, Stdout: jobs.Text("text"), Stderr: jobs.Text("\xff"), StdoutKey: "s3://b/k", StderrKey: "s3://b/k",
		FuelConsumed: 1, PeakMemory: 1, BytesIn: 1, BytesOut: 1, Phases: map[string]float64{"run": 1}, Attempts: 1, Worker: "w", TraceID: "t",
		Outputs: []artifacts.OutputFile{{Path: "a", Size: 1, SHA256: digest.Hex()}}, OutputPrefix: "s3://b/p/", Deleted: []string{"b"}, Denials: []jobs.Denial{{What: "network", Target: "x", Rule: "y", Count: 1}},
		CacheHit: "memory", ToolError: "t", ReusedFrom: "r", Error: "e", Trap: &jobs.Trap{Kind: "unreachable", Functions: []string{"f"}}, FinishedAt: time.Now(),
	}
	for name, v := range map[string]any{"job.schema.json": j, "result.schema.json": r} {
		value := reflect.ValueOf(v)
		for i := range value.NumField() {
			if value.Field(i).IsZero() {
				t.Errorf("%s: set field %s in this test", name, value.Type().Field(i).Name)
			}
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(t, compile(t, name), string(text)); err != nil {
			t.Errorf("%s refuses what a program writes: %v\n%s", name, err, text)
		}
	}
}
