package submitcli

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

func sampleRecord() *jobs.Record {
	return &jobs.Record{
		State: jobs.Done, V: 1, ID: "b-1-0123456789abcdef", Tenant: "default", Batch: "b", Priority: jobs.Normal, Attempt: 1, Worker: "w",
		Labels: map[string]string{"k": "v <&> \u2028"}, SubmittedAt: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC),
		Result: &jobs.Result{
			ID: "b-1-0123456789abcdef", Outcome: jobs.Exited, ExitCode: 3, Stdout: jobs.Text("a\n\"b\"\x00"), Stderr: jobs.Text("\xff\xfe"),
			FuelConsumed: 1<<63 + 1, Phases: map[string]float64{"run": 1.25, "queue wait": 1e-7}, Attempts: 1,
			Outputs: []artifacts.OutputFile{{Path: "out/a", Size: 1, SHA256: "00"}}, FinishedAt: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
		},
	}
}

// sameLean compares the quick reading with that of a decoded record.
func sameLean(t *testing.T, raw []byte) {
	t.Helper()
	got, ok := leanOf(raw)
	if !ok {
		return
	}
	if !json.Valid(raw) {
		t.Fatalf("read, but it is no JSON: %q", raw)
	}
	if bytes.ContainsAny(got.result, "\n\r") || !json.Valid(got.result) || got.result[0] != '{' {
		t.Fatalf("the result is no JSON object on one line: %q", got.result)
	}
	var rec jobs.Record
	if err := json.Unmarshal(raw, &rec); err != nil {
		return // a field that is not looked at has another type than workers write
	}
	if rec.State != jobs.Done {
		t.Fatalf("state %q passed for done", rec.State)
	}
	want, err := lean(&rec)
	if err != nil {
		t.Fatal(err)
	}
	if got.outcome != want.outcome || !got.submitted.Equal(want.submitted) || !got.finished.Equal(want.finished) || got.runMS != want.runMS || got.fuel != want.fuel || got.toolError != want.toolError {
		t.Fatalf("read %+v, decoded %+v\n%q", got, want, raw)
	}
	var a, b jobs.Result
	if err := json.Unmarshal(got.result, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want.result, &b); err != nil {
		t.Fatal(err)
	}
	if a.Outputs == nil || a.Denials == nil {
		t.Errorf("a list is null in %q", got.result)
	}
	if d := cmp.Diff(b, a, cmpopts.EquateEmpty()); d != "" {
		t.Fatal(d)
	}
}

func TestLeanReadsWhatWorkersWrite(t *testing.T) {
	t.Parallel()
	full, bare := sampleRecord(), sampleRecord()
	bare.Result.Outputs, bare.Labels = nil, nil
	for _, rec := range []*jobs.Record{full, bare} {
		raw, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := leanOf(raw); !ok {
			t.Errorf("not read: %s", raw)
		}
		sameLean(t, raw)
	}
}

func TestLeanLeavesTheRest(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		``, `{}`, `null`, `[]`, `{"state":"done"}`, `{"state":"running","result":{"outcome":"succeeded"}}`,
		`{"state":"done","result":{"outcome":"succeeded","outputs":[],"denials":[]}} `, ` {"state":"done"}`, `{"state":"done","result":null}`,
		`{"state":"done","result":{"outcome":"succeeded","fuel_consumed":-1}}`, `{"state":"done","result":{"outcome":"succeeded","fuel_consumed":1.5}}`,
		`{"state":"done","result":{"outcome":"suc\u0063eeded"}}`, `{"state":"done","result":{"outcome":"succeeded","x":01}}`,
		`{"state":"done","result":{"outcome":"succeeded","x":tru}}`, `{"state":"done","result":{"outcome":"succeeded","x":"\x"}}`,
		`{"state":"done","result":{"outcome":"succeeded","finished_at":"soon"}}`, `{"state":"done","result":{"outcome":"succeeded"}`,
	} {
		if l, ok := leanOf([]byte(raw)); ok {
			t.Errorf("%s was read as %+v", raw, l)
		}
	}
}

// FuzzLean holds the quick reading to the decoder.
func FuzzLean(f *testing.F) {
	raw, err := json.Marshal(sampleRecord())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"state":"done","submitted_at":"2026-01-02T03:04:05Z","result":{"outcome":"succeeded","stdout":"","outputs":null,"denials":null,"phases":{"run":1e3}}}`))
	f.Add([]byte(`{"state":"done","state":"running","result":{"outcome":"succeeded","outcome":"exited"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) { sameLean(t, raw) })
}

func BenchmarkLean(b *testing.B) {
	raw, err := json.Marshal(sampleRecord())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := leanOf(raw); !ok {
			b.Fatal("not read")
		}
	}
}
