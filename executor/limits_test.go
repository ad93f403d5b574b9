package executor_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"boxfleet/executor"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// TestLimits holds every amount of a RunOption against a guest that goes over
// it, through the queue and the worker.
func TestLimits(t *testing.T) {
	t.Setenv("HOST_VARIABLE", "must not be seen")
	r := newRig(t, options{config: func(c *executor.Config) {
		c.Secrets = map[string]string{"token": "s3cr3t-value"}
	}})
	rw := func(o limits.RunOption) limits.RunOption {
		o.WorkDir = &limits.Mount{Mode: limits.ReadWrite}
		return o
	}
	for _, c := range []struct {
		name    string
		words   string
		options limits.RunOption
		want    want
	}{
		{"env is exact", "env", limits.RunOption{EnvVars: map[string]string{"B": "2", "A": "1", "EMPTY": ""}},
			want{outcome: jobs.Succeeded, stdout: "A=1\nB=2\nEMPTY=\n"}},
		{"no env is none", "env say end", limits.RunOption{}, want{outcome: jobs.Succeeded, stdout: "end\n"}},
		{"a secret is resolved", "len TOKEN len SECRET", limits.RunOption{EnvVars: map[string]string{"TOKEN": "secret://token"}},
			want{outcome: jobs.Succeeded, stdout: "12\n-1\n"}},
		{"a secret that is not allowed", "len TOKEN", limits.RunOption{EnvVars: map[string]string{"TOKEN": "secret://other"}},
			want{outcome: jobs.Denied, err: []string{"env_vars.TOKEN", `"other"`, "operator"}}},
		{"timeout of one that spins", "say on spin", limits.RunOption{WasmTimeout: limits.Duration(200 * time.Millisecond)},
			want{outcome: jobs.TimedOut, stdout: "on\n", err: []string{"200ms", "wasm_timeout"}}},
		{"timeout of one asleep for an hour", "say on sleep 3600", limits.RunOption{WasmTimeout: limits.Duration(200 * time.Millisecond)},
			want{outcome: jobs.TimedOut, stdout: "on\n", err: []string{"200ms"}}},
		{"memory that grows in its limit", "grow 16", limits.RunOption{WasmMaxMemorySize: 4 * limits.MiB}, want{outcome: jobs.Succeeded, stdout: "3\n"}},
		{"memory that grows over it", "grow 1000", limits.RunOption{WasmMaxMemorySize: 4 * limits.MiB}, want{outcome: jobs.Succeeded, stdout: "-1\n"}},
		{"stack in its limit", "recurse 500", limits.RunOption{}, want{outcome: jobs.Succeeded, stdout: "back\n"}},
		{"stack", "recurse 500", limits.RunOption{WasmMaxWasmStack: 16 * limits.KiB},
			want{outcome: jobs.StackOverflow, err: []string{"16KiB", "wasm_max_wasm_stack"}}},
		{"fuel", "say on burn 100000000", limits.RunOption{WasmFuel: 1_000_000},
			want{outcome: jobs.OutOfFuel, stdout: "on\n", err: []string{"1000000", "wasm_fuel"}}},
		{"stdout", "stdout 5000", limits.RunOption{MaxStdout: 4096},
			want{outcome: jobs.OutputLimit, stdout: strings.Repeat("x", 4096), err: []string{"stdout", "4KiB", "max_stdout"}}},
		{"stdout to the byte", "stdout 4096", limits.RunOption{MaxStdout: 4096},
			want{outcome: jobs.Succeeded, stdout: strings.Repeat("x", 4096)}},
		{"stderr", "stderr 5000", limits.RunOption{MaxStderr: 4096},
			want{outcome: jobs.OutputLimit, stderr: strings.Repeat("x", 4096), err: []string{"stderr", "4KiB", "max_stderr"}}},
		{"written bytes", "try fill f 100000 say on", rw(limits.RunOption{MaxWrittenBytes: 65536}),
			want{outcome: jobs.Succeeded, stdout: "errno 51\non\n", denial: "limit file system written_bytes 65536"}},
		{"files", "mkdir d files d 100", rw(limits.RunOption{MaxFiles: 10}),
			want{outcome: jobs.Succeeded, stdout: "9 files\n", denial: "limit file system files 10"}},
		{"open files", "write f x open f 100", rw(limits.RunOption{MaxOpenFiles: 8}),
			want{outcome: jobs.Succeeded, stdout: "8 open\n", denial: "limit file system open_files 8"}},
		{"exit code", "say on exit 7", limits.RunOption{}, want{outcome: jobs.Exited, exit: 7, stdout: "on\n", err: []string{"code 7"}}},
		{"trap", "say on trap", limits.RunOption{}, want{outcome: jobs.Trapped, stdout: "on\n", err: []string{"unreachable"}}},
		{"nothing mounted", "ls /", limits.RunOption{}, want{outcome: jobs.Exited, exit: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := r.run(t, r.act(t, c.words, c.options))
			c.want.check(t, res)
			if res.Worker != "w1" || res.Attempts != 1 {
				t.Errorf("worker %q, attempts %d", res.Worker, res.Attempts)
			}
		})
	}
	t.Run("initial memory over the limit", func(t *testing.T) {
		res := r.run(t, &jobs.Job{Tool: r.guest(t, "roomy"), Options: limits.RunOption{WasmMaxMemorySize: 32 * limits.MiB}})
		want{outcome: jobs.OutOfMemory, err: []string{"wasm_max_memory_size"}}.check(t, res)
	})
	t.Run("stdin inline and from the store", func(t *testing.T) {
		inline := r.act(t, "stdin", limits.RunOption{})
		inline.Stdin = &jobs.Stdin{Inline: "told"}
		want{outcome: jobs.Succeeded, stdout: "told"}.check(t, r.run(t, inline))
		stored := r.act(t, "stdin", limits.RunOption{})
		stored.Stdin = &jobs.Stdin{Source: r.put(t, "inputs/default/in", "stored")}
		want{outcome: jobs.Succeeded, stdout: "stored"}.check(t, r.run(t, stored))
		missing := r.act(t, "stdin", limits.RunOption{})
		missing.Stdin = &jobs.Stdin{Source: "s3://" + r.store.Bucket() + "/inputs/default/none"}
		want{outcome: jobs.Invalid, err: []string{"inputs/default/none", "not found"}}.check(t, r.run(t, missing))
	})
	t.Run("cache false compiles afresh", func(t *testing.T) {
		never := false
		job := r.act(t, "say on", limits.RunOption{Cache: &never})
		before := counter(t, "boxfleet.compiles")
		res := r.run(t, job)
		want{outcome: jobs.Succeeded, stdout: "on\n"}.check(t, res)
		if n := counter(t, "boxfleet.compiles") - before; n != 1 || res.CacheHit != "none" {
			t.Errorf("%d compilations, cache hit %q", n, res.CacheHit)
		}
		if res := r.run(t, r.act(t, "say on", limits.RunOption{})); res.CacheHit != "memory" {
			t.Errorf("the next one: cache hit %q", res.CacheHit)
		}
	})
	t.Run("deterministic", func(t *testing.T) {
		det := limits.RunOption{Deterministic: true, EnvVars: map[string]string{"C": "3", "A": "1", "B": "2"}}
		a, b := r.run(t, r.act(t, "env clock random", det)), r.run(t, r.act(t, "env clock random", det))
		want{outcome: jobs.Succeeded}.check(t, a)
		if string(a.Stdout) != string(b.Stdout) || a.FuelConsumed != b.FuelConsumed || a.PeakMemory != b.PeakMemory {
			t.Errorf("two runs differ: %q %d %d, %q %d %d", a.Stdout, a.FuelConsumed, a.PeakMemory, b.Stdout, b.FuelConsumed, b.PeakMemory)
		}
		if !strings.Contains(string(a.Stdout), "946684800.") {
			t.Errorf("the clock is not at the first second of 2000: %q", a.Stdout)
		}
		free := r.run(t, r.act(t, "env clock random", limits.RunOption{EnvVars: det.EnvVars}))
		if string(free.Stdout) == string(a.Stdout) {
			t.Error("a job that is not deterministic sees the same")
		}
	})
	r.alive(t)
}

// TestCeilings: what is over a ceiling is denied, naming the field, what was
// asked and what is granted.
func TestCeilings(t *testing.T) {
	r := newRig(t, options{config: func(c *executor.Config) {
		c.Ceilings.Max = limits.Amounts{
			Timeout: limits.Duration(time.Second), Memory: 8 * limits.MiB, Stack: 64 * limits.KiB, Fuel: 1e6, Stdout: 100, Stderr: 100,
			WrittenBytes: 1000, Files: 10, OpenFiles: 4, OutboundBytes: 1000, OutboundRequests: 1,
		}
	}})
	for _, c := range []struct {
		options               limits.RunOption
		field, asked, granted string
	}{
		{limits.RunOption{WasmTimeout: limits.Duration(time.Minute)}, "wasm_timeout", "1m0s", "1s"},
		{limits.RunOption{WasmMaxMemorySize: limits.GiB}, "wasm_max_memory_size", "1GiB", "8MiB"},
		{limits.RunOption{WasmMaxWasmStack: limits.MiB}, "wasm_max_wasm_stack", "1MiB", "64KiB"},
		{limits.RunOption{WasmFuel: 1e9}, "wasm_fuel", "1000000000", "1000000"},
		{limits.RunOption{MaxStdout: 101}, "max_stdout", "101", "100"},
		{limits.RunOption{MaxStderr: 101}, "max_stderr", "101", "100"},
		{limits.RunOption{MaxWrittenBytes: 1001}, "max_written_bytes", "1001", "1000"},
		{limits.RunOption{MaxFiles: 11}, "max_files", "11", "10"},
		{limits.RunOption{MaxOpenFiles: 5}, "max_open_files", "5", "4"},
		{limits.RunOption{MaxOutboundBytes: 1001}, "max_outbound_bytes", "1001", "1000"},
		{limits.RunOption{MaxOutboundRequests: 2}, "max_outbound_requests", "2", "1"},
	} {
		t.Run(c.field, func(t *testing.T) {
			res := r.run(t, r.act(t, "say on", c.options))
			want{outcome: jobs.Denied, err: []string{c.field, c.asked, c.granted}}.check(t, res)
			if len(res.Stdout) > 0 {
				t.Errorf("it ran: %q", res.Stdout)
			}
		})
	}
	// The ceilings are also what a job gets that asks for nothing.
	want{outcome: jobs.OutputLimit}.check(t, r.run(t, r.act(t, "stdout 101", limits.RunOption{})))
	want{outcome: jobs.OutOfFuel}.check(t, r.run(t, r.act(t, "burn 100000000", limits.RunOption{})))
	want{outcome: jobs.Succeeded, stdout: "-1\n"}.check(t, r.run(t, r.act(t, "grow 1000", limits.RunOption{})))
}

// TestMemoryBudget: a job that could never be admitted is denied and does not
// wait for ever.
func TestMemoryBudget(t *testing.T) {
	r := newRig(t, options{config: func(c *executor.Config) { c.MemoryBudget = 64 * limits.MiB }})
	res := r.run(t, r.act(t, "say on", limits.RunOption{WasmMaxMemorySize: 128 * limits.MiB}))
	want{outcome: jobs.Denied, err: []string{"wasm_max_memory_size", "128MiB", "64MiB"}}.check(t, res)
	want{outcome: jobs.Succeeded, stdout: "on\n"}.check(t, r.run(t, r.act(t, "say on", limits.RunOption{WasmMaxMemorySize: 64 * limits.MiB})))
}

// TestMemoryBudgetHolds: what runs at once never declares more than the budget
// together, though slots are free; small jobs share it, and a big one is not
// overtaken for ever.
func TestMemoryBudgetHolds(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{config: func(c *executor.Config) { c.MemoryBudget = 64 * limits.MiB }})
	declared := map[string]int64{} // by trace
	submit := func(size limits.Bytes) string {
		return r.submit(t, r.act(t, "sleep 1", limits.RunOption{WasmMaxMemorySize: size}))
	}
	ids := map[string]limits.Bytes{}
	for range 5 {
		ids[submit(24*limits.MiB)] = 24 * limits.MiB
	}
	ids[submit(64*limits.MiB)] = 64 * limits.MiB
	for range 5 {
		ids[submit(16*limits.MiB)] = 16 * limits.MiB
	}
	for id, rec := range r.await(t, slices.Collect(maps.Keys(ids))...) {
		want{outcome: jobs.Succeeded}.check(t, rec.Result)
		declared[rec.Result.TraceID] = int64(ids[id])
	}
	type edge struct {
		at time.Time
		by int64
	}
	var edges []edge
	for _, s := range spans.GetSpans() {
		if n, ours := declared[s.SpanContext.TraceID().String()]; ours && s.Name == jobs.PhaseRun {
			edges = append(edges, edge{s.StartTime, n}, edge{s.EndTime, -n})
		}
	}
	if len(edges) != 2*len(ids) {
		t.Fatalf("%d runs of %d jobs were traced", len(edges)/2, len(ids))
	}
	slices.SortFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	now, most := int64(0), int64(0)
	for _, e := range edges {
		now += e.by
		most = max(most, now)
	}
	if most > int64(64*limits.MiB) || most < int64(48*limits.MiB) {
		t.Errorf("at most %d bytes were declared at once, the budget is %d", most, 64*limits.MiB)
	}
}
