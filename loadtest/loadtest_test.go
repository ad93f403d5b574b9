package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"boxfleet/artifacts"
	"boxfleet/jobs"
	"boxfleet/loadtest/report"
)

// result gives a finished job's record.
func result(id string, res jobs.Result) *jobs.Record {
	return &jobs.Record{ID: id, State: jobs.Done, Result: &res}
}

func TestEveryJobIsAccounted(t *testing.T) {
	t.Parallel()
	load := &workLoad{run: "r"}
	good := jobs.Result{Outcome: jobs.Succeeded, Stdout: jobs.Text(load.text(0)), Attempts: 1}
	for name, c := range map[string]struct {
		ends  []*jobs.Record
		wrong int
		first string
	}{
		"right":             {[]*jobs.Record{result("a", good)}, 0, ""},
		"lost":              {nil, 1, "no result: job a, number 0"},
		"twice":             {[]*jobs.Record{result("a", good), result("a", good)}, 1, "a result that nobody waits for: a"},
		"nobody's":          {[]*jobs.Record{result("a", good), result("b", good)}, 1, "a result that nobody waits for: b"},
		"another's text":    {[]*jobs.Record{result("a", jobs.Result{Outcome: jobs.Succeeded, Stdout: jobs.Text(load.text(1))})}, 1, `job a: wrote "job 1 of run r", want "job 0 of run r"`},
		"failed":            {[]*jobs.Record{result("a", jobs.Result{Outcome: jobs.Failed, Error: "why"})}, 1, "job a: failed with exit code 0: why"},
		"a file nobody had": {[]*jobs.Record{result("a", jobs.Result{Outcome: jobs.Succeeded, Stdout: good.Stdout, Outputs: make([]artifacts.OutputFile, 1)})}, 1, "job a: 1 output files of job 0"},
	} {
		rec := report.NewRecorder()
		a := newAccount(load, rec)
		a.add("a", 0, time.Now())
		for _, r := range c.ends {
			a.ended(t.Context(), r)
		}
		a.close()
		if r := rec.Finish(); r.Wrong != c.wrong || r.FirstWrong != c.first {
			t.Errorf("%s: %d wrong, first %q; want %d, %q", name, r.Wrong, r.FirstWrong, c.wrong, c.first)
		}
	}
}

// A job that the client sent late is slow by as much: or a fleet that stalls
// would look fast for all those that could not be asked meanwhile.
func TestLatencyCountsFromDue(t *testing.T) {
	t.Parallel()
	rec := report.NewRecorder()
	load := &workLoad{run: "r"}
	a := newAccount(load, rec)
	a.add("a", 0, time.Now().Add(-10*time.Second))
	a.ended(t.Context(), result("a", jobs.Result{Outcome: jobs.Succeeded, Stdout: jobs.Text(load.text(0)), Phases: map[string]float64{jobs.PhaseRun: 2}}))
	r := rec.Finish()
	if r.Total.P50 < 9_990 || r.Makeup != nil || r.Phases[jobs.PhaseRun].P50 != 2 {
		t.Errorf("latency %+v, phases %+v; want 10 s and a run of 2 ms", r.Total, r.Phases)
	}
}

func TestArrivals(t *testing.T) {
	t.Parallel()
	even := arrivals(50, 2*time.Second, true, 1)
	if len(even) != 100 || even[0] != 0 || even[99] != 1980*time.Millisecond {
		t.Errorf("%d even arrivals, the last at %s; want 100 and 1.98s", len(even), even[len(even)-1])
	}
	random := arrivals(50, 20*time.Second, false, 1)
	if n := len(random); n < 850 || n > 1150 || !slices.IsSorted(random) || random[n-1] >= 20*time.Second {
		t.Errorf("%d random arrivals in order %t; want about 1,000", n, slices.IsSorted(random))
	}
	if !slices.Equal(random, arrivals(50, 20*time.Second, false, 1)) || slices.Equal(random, arrivals(50, 20*time.Second, false, 2)) {
		t.Error("the seed does not decide the arrivals")
	}
}

func TestGrowthIsNoticed(t *testing.T) {
	t.Parallel()
	flat := report.SoakSample{Heap: 10 << 20, Resident: 60 << 20, Goroutines: 30, FDs: 14, Files: 3, RecordBytes: 900}
	run := func(grow func(s *report.SoakSample, i int)) []report.SoakSample {
		var list []report.SoakSample
		for i := range soakRounds {
			s := flat
			grow(&s, i)
			list = append(list, s)
		}
		return list
	}
	for name, c := range map[string]struct {
		grow func(s *report.SoakSample, i int)
		want int
	}{
		"flat": {func(*report.SoakSample, int) {}, 0},
		"noise": {func(s *report.SoakSample, i int) {
			s.Goroutines += i % 3
			s.FDs += i % 2
			s.Resident += int64(i%5) << 20
		}, 0},
		"warms up":         {func(s *report.SoakSample, i int) { s.Heap -= int64(min(i, 1)) << 20 }, 0},
		"leaks goroutines": {func(s *report.SoakSample, i int) { s.Goroutines += i }, 1},
		"leaks files":      {func(s *report.SoakSample, i int) { s.Files += i / 10 }, 1},
		"leaks memory":     {func(s *report.SoakSample, i int) { s.Heap += int64(i) << 20; s.Resident += int64(2*i) << 20 }, 2},
		"leaves messages":  {func(s *report.SoakSample, i int) { s.Queued = i }, 1},
		"leaks FDs":        {func(s *report.SoakSample, i int) { s.FDs += i }, 1},
		"longer records":   {func(s *report.SoakSample, i int) { s.RecordBytes += int64(20 * i) }, 1},
	} {
		if got := grew(run(c.grow)); len(got) != c.want {
			t.Errorf("%s: %q, want %d", name, got, c.want)
		}
	}
	levels := []report.BacklogLevel{{Queued: 1000, WorkerCPU: 1, ServerCPU: 1}, {Queued: 10000, WorkerCPU: 1.1, ServerCPU: 1}, {Queued: 100000, WorkerCPU: 1.2, ServerCPU: 1.1, Resident: 160 << 20}}
	if got := outgrew(levels); len(got) != 2 {
		t.Errorf("%q, want a cost and a memory", got)
	}
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		nil, {"fast"}, {"burst", "--jobs", "-1"}, {"burst", "extra"}, {"burst", "--jobs", "x"}, {"soak", "--context", "x"},
		{"backlog", "--tenants", "0"}, {"scale", "--context", "x"}, {"faults", "--context", "x"}, {"steady", "--rate", "-3"},
		{"steady", "--rate", "NaN"}, {"steady", "--rate", "900000", "--duration", "1h"}, {"steady", "--duration", "0s"},
		{"steady", "--workers", "-1"}, {"steady", "--context", "x", "--workers", "2"}, {"mix", "--jobs", "5", "--rate", "5"},
		{"compare"}, {"compare", "a"}, {"compare", "a", "b", "c"}, {"compare", "a", "b", "--fail-over", "0.5"}, {"page", "a"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%q: exit %d, said %q; want 2 and a reason", args, code, errs.String())
		}
	}
}

func TestReportFilesAreNoLoad(t *testing.T) {
	t.Parallel()
	got := loading([]string{"--rate", "5", "--json", "a", "-html=b", "--tool", "json", "--even", "-json", "--html"})
	if want := []string{"--rate", "5", "--tool", "json", "--even"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// build makes the programs of a fleet with the Makefile's flags, so that what
// it compiled is used again.
func build(t *testing.T) (bin string) {
	t.Helper()
	bin = t.TempDir()
	for out, from := range map[string][]string{"worker": {"./cmd/worker", ".."}, "loadtest": {"./loadtest", ".."}, "devs3": {".", "../internal/devs3"}} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(bin, out), from[0])
		cmd.Dir = from[1]
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", out, err, msg)
		}
	}
	return bin
}

// The real thing, small: a fleet is started, loaded, checked and stopped.
func TestProfilesAgainstARealFleet(t *testing.T) {
	t.Parallel()
	bin := build(t)
	for _, c := range []struct {
		args  []string
		right func(r *report.Report) bool
	}{
		{[]string{"burst", "--jobs", "300", "--warm", "10"}, func(r *report.Report) bool {
			return r.Jobs == 300 && r.Rate > 0 && r.Phases[jobs.PhaseRun].Max > 0 && len(r.Makeup) > 0 && sumOf(r.Timeline) == [2]int{300, 300}
		}},
		{[]string{"single", "--jobs", "20", "--warm", "5", "--tool", "c250k"}, func(r *report.Report) bool {
			return r.Jobs == 20 && r.Total.Max > 0
		}},
		{[]string{"steady", "--rate", "50", "--duration", "2s", "--even", "--warm", "5"}, func(r *report.Report) bool {
			return r.Jobs == 100 && r.Asked == 50 && r.Late != nil && sumOf(r.Timeline) == [2]int{100, 100}
		}},
		{[]string{"cold", "--jobs", "2"}, func(r *report.Report) bool {
			return r.Jobs == 8 && len(r.Cold) == 4 && r.Cold[1].Cached["memory"] == 2 && r.Cold[2].Cached["disk"] == 2 && r.Cold[0].Phases[jobs.PhaseCompile] > 0
		}},
		{[]string{"mix", "--tools", "hello,resize", "--tools-dir", "../toolbox/dist", "--jobs", "6"}, func(r *report.Report) bool {
			return r.Jobs == 6 && len(r.Tools) == 2 && r.Tools[1].Jobs == 3 && r.Tools[1].First > 0
		}},
		{[]string{"scale", "--workers", "2", "--slots", "2", "--jobs", "10", "--wait", "5ms", "--rounds", "1000"}, func(r *report.Report) bool {
			return len(r.Scaling) == 4 && r.Scaling[3].Workers == 2 && r.Scaling[3].Slots == 2 && r.Scaling[3].Rate > 0
		}},
		{[]string{"faults", "--duration", "6s", "--rate", "30", "--workers", "2", "--warm", "5"}, func(r *report.Report) bool {
			return len(r.Marks) == 5 && r.Jobs > 100 && r.Phases[jobs.PhaseUpload].Max > 0
		}},
		{[]string{"stall", "--jobs", "5", "--warm", "5", "--tool", "code"}, func(r *report.Report) bool {
			return len(r.Stall) == 3 && r.Stall[0].Jobs == 5 && r.Stall[1].Jobs == 5 && r.Stall[2].Modules > 0 && len(r.Notes) > 2
		}},
		{[]string{"soak", "--jobs", "200"}, func(r *report.Report) bool {
			return len(r.Soak) == soakRounds && r.Soak[0].Heap > 0 && r.Soak[0].Goroutines > 0 && r.Soak[0].Files > 0
		}},
		{[]string{"backlog", "--jobs", "20", "--tenants", "2"}, func(r *report.Report) bool { // so few that draining them is no fault
			return len(r.Backlog) == 1 && r.Backlog[0].Cost() > 0 && r.Backlog[0].Fetch.Max > 0 && r.Backlog[0].NewTenant.Max > 0
		}},
	} {
		t.Run(c.args[0], func(t *testing.T) {
			file := filepath.Join(bin, c.args[0]+".json")
			cmd := exec.Command(filepath.Join(bin, "loadtest"), append(c.args, "--json", file)...)
			if msg, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("loadtest %s: %v\n%s", strings.Join(c.args, " "), err, msg)
			}
			r, err := report.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if r.Wrong != 0 || r.Profile != c.args[0] || !c.right(r) {
				t.Errorf("report = %+v", r)
			}
		})
	}
}

// sumOf gives the submitted and ended jobs of a timeline.
func sumOf(ticks []report.Tick) (n [2]int) {
	for _, k := range ticks {
		n[0] += k.Submitted
		n[1] += k.Ended
	}
	return n
}
