package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/jobs"
	"boxfleet/limits/metering"
)

func TestModulesAreCommands(t *testing.T) {
	t.Parallel()
	for name, wasm := range map[string][]byte{"noop": noopModule, "padded": padded(250 << 10), "padded little": padded(3)} {
		info, err := metering.Inspect(wasm)
		if err != nil || !info.IsCommand() {
			t.Errorf("%s: %v; want a module with _start", name, err)
		}
	}
	if n := len(padded(250 << 10)); n < 250<<10 || n > 251<<10 {
		t.Errorf("the padded module has %d bytes", n)
	}
}

func TestReportCountsWrongResults(t *testing.T) {
	t.Parallel()
	r := newReport(3)
	good := &jobs.Result{Outcome: jobs.Succeeded, Phases: map[string]float64{jobs.PhaseRun: 2}}
	r.add(&jobs.Record{ID: "a", Result: good})
	r.add(&jobs.Record{ID: "a", Result: good}) // twice
	r.add(&jobs.Record{ID: "b", Result: &jobs.Result{Outcome: jobs.Failed, Error: "why"}})
	r.add(&jobs.Record{ID: "c"}) // no result
	if r.Wrong != 3 || r.FirstWrong != "twice: a" {
		t.Errorf("%d wrong, first %q; want 3, the first a second result of a", r.Wrong, r.FirstWrong)
	}
	r.finish()
	if q := r.Phases[jobs.PhaseRun]; q.P50 < 1.99 || q.P50 > 2.01 {
		t.Errorf("p50 of run = %v ms, want 2", q.P50)
	}
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"fast"}, {"burst", "--jobs", "0"}, {"burst", "extra"}, {"burst", "--jobs", "x"}} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), args, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%q: exit %d, said %q; want 2 and a reason", args, code, errs.String())
		}
	}
}

// The real thing, small: a fleet is started, loaded, checked and stopped.
func TestProfilesAgainstARealFleet(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	for out, build := range map[string][]string{"worker": {"./cmd/worker", ".."}, "loadtest": {"./loadtest", ".."}, "devs3": {".", "../internal/devs3"}} {
		// With the Makefile's flags, so that what it compiled is used again.
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(bin, out), build[0])
		cmd.Dir = build[1]
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", out, err, msg)
		}
	}
	for _, args := range [][]string{{"burst", "--jobs", "300", "--warm", "10"}, {"single", "--jobs", "20", "--warm", "5", "--tool", "c250k"}} {
		file := filepath.Join(bin, args[0]+".json")
		cmd := exec.Command(filepath.Join(bin, "loadtest"), append(args, "--json", file)...)
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("loadtest %s: %v\n%s", strings.Join(args, " "), err, msg)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r report
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		if r.Wrong != 0 || r.Profile != args[0] || r.Phases[jobs.PhaseRun].Max == 0 {
			t.Errorf("report = %+v", r)
		}
	}
}
