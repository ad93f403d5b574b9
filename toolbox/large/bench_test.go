package large

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkStart shows what it takes until a program's first line runs, by the
// phases of the jobs' results: on a worker that never saw the tool (cold-compile),
// on one that was started again and has the code on disk (cached-load), and on
// one that has it in memory (instantiate and run, medians; the time of an
// operation is that of all of `submit run`). On a busy machine the processor time
// of the fleet's process (cpu) says more than the clock.
func BenchmarkStart(b *testing.B) {
	for tool, hello := range map[string]map[string]any{
		"python":  {"command": "print(1)"},
		"js":      {"command": "1", "print": true},
		"yq":      {"null_input": true, "expression": "1"},
		"esbuild": nil,
	} {
		b.Run(tool, func(b *testing.B) {
			var args []string
			stdin := ""
			if hello == nil {
				args, stdin = []string{tool, "--", "--minify"}, "1"
			} else {
				args = program(tool, hello)
			}
			dir := b.TempDir()
			start := func() (f *fleet, first *result, used float64) {
				f, err := startFleet(dir)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.submit("", "tool", "push", "--manifest", "tools/"+tool+".json", "--wasm-dir", "../dist"); err != nil {
					b.Fatal(err)
				}
				before := cpu(b, f)
				first = f.run(b, stdin, args...)
				return f, first, cpu(b, f) - before
			}
			stop := func(f *fleet) {
				if err := f.stop(); err != nil {
					b.Error(err)
				}
			}
			f, cold, coldCPU := start()
			stop(f)
			f, cached, cachedCPU := start()
			defer stop(f)
			var instantiate, run []float64
			before := cpu(b, f)
			for b.Loop() {
				r := f.run(b, stdin, args...)
				if r.Outcome != "succeeded" {
					b.Fatalf("%+v", r)
				}
				instantiate, run = append(instantiate, r.Phases["instantiate"]), append(run, r.Phases["run"])
			}
			b.ReportMetric((cpu(b, f)-before)/float64(b.N), "cpu-ms/op")
			b.ReportMetric(cold.Phases["compile"], "cold-compile-ms")
			b.ReportMetric(coldCPU, "cold-cpu-ms")
			b.ReportMetric(cachedCPU, "cached-cpu-ms")
			b.ReportMetric(cached.Phases["compile"], "cached-load-ms")
			b.ReportMetric(median(instantiate), "instantiate-ms")
			b.ReportMetric(median(run), "run-ms")
			b.ReportMetric(float64(cold.FuelConsumed), "fuel")
		})
	}
}

// cpu is the processor time of the fleet's process so far, in milliseconds and
// in steps of ten. The object store is a process of its own.
func cpu(b *testing.B, f *fleet) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	// Fields 14 and 15, counted from behind the program's name, which may hold
	// spaces; in ticks, of which Linux has 100 a second.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks float64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return 10 * ticks
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
