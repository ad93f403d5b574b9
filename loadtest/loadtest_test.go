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

func TestGrowthIsNoticed(t *testing.T) {
	t.Parallel()
	flat := soakSample{Heap: 10 << 20, Resident: 60 << 20, Goroutines: 30, FDs: 14, Files: 3, RecordBytes: 900}
	run := func(grow func(s *soakSample, i int)) []soakSample {
		var list []soakSample
		for i := range soakRounds {
			s := flat
			grow(&s, i)
			list = append(list, s)
		}
		return list
	}
	for name, c := range map[string]struct {
		grow func(s *soakSample, i int)
		want int
	}{
		"flat":             {func(*soakSample, int) {}, 0},
		"noise":            {func(s *soakSample, i int) { s.Goroutines += i % 3; s.FDs += i % 2; s.Resident += int64(i%5) << 20 }, 0},
		"warms up":         {func(s *soakSample, i int) { s.Heap -= int64(min(i, 1)) << 20 }, 0},
		"leaks goroutines": {func(s *soakSample, i int) { s.Goroutines += i }, 1},
		"leaks files":      {func(s *soakSample, i int) { s.Files += i / 10 }, 1},
		"leaks memory":     {func(s *soakSample, i int) { s.Heap += int64(i) << 20; s.Resident += int64(2*i) << 20 }, 2},
		"leaves messages":  {func(s *soakSample, i int) { s.Queued = i }, 1},
		"leaks FDs":        {func(s *soakSample, i int) { s.FDs += i }, 1},
		"longer records":   {func(s *soakSample, i int) { s.RecordBytes += int64(20 * i) }, 1},
	} {
		if got := grew(run(c.grow)); len(got) != c.want {
			t.Errorf("%s: %q, want %d", name, got, c.want)
		}
	}
	levels := []scaleLevel{{Queued: 1000, WorkerCPU: 1, ServerCPU: 1}, {Queued: 10000, WorkerCPU: 1.1, ServerCPU: 1}, {Queued: 100000, WorkerCPU: 1.2, ServerCPU: 1.1, Resident: 160 << 20}}
	if got := outgrew(levels); len(got) != 2 {
		t.Errorf("%q, want a cost and a memory", got)
	}
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"fast"}, {"burst", "--jobs", "0"}, {"burst", "extra"}, {"burst", "--jobs", "x"}, {"soak", "--context", "x"}, {"scale", "--tenants", "0"}} {
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
	for _, args := range [][]string{
		{"burst", "--jobs", "300", "--warm", "10"}, {"single", "--jobs", "20", "--warm", "5", "--tool", "c250k"},
		{"soak", "--jobs", "200"}, {"scale", "--jobs", "20", "--tenants", "2"}, // so few that draining them is no fault
	} {
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
		if r.Wrong != 0 || r.Profile != args[0] || args[0] != "scale" && r.Phases[jobs.PhaseRun].Max == 0 {
			t.Errorf("report = %+v", r)
		}
		if args[0] == "soak" && (len(r.Soak) != soakRounds || r.Soak[0].Heap == 0 || r.Soak[0].Goroutines == 0 || r.Soak[0].Files == 0) {
			t.Errorf("soak = %+v", r.Soak)
		}
		if args[0] == "scale" && (len(r.Scale) != 1 || r.Scale[0].cost() == 0 || r.Scale[0].Fetch.Max == 0 || r.Scale[0].NewTenant.Max == 0) {
			t.Errorf("scale = %+v", r.Scale)
		}
	}
}
