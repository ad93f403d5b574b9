package large

import (
	"slices"
	"testing"
)

// BenchmarkStart shows what it takes until a program's first line runs, by the
// phases of the jobs' results: on a worker that never saw the tool (cold-compile),
// on one that was started again and has the code on disk (cached-load), and on
// one that has it in memory (instantiate and run, medians; the time of an
// operation is that of all of `submit run`).
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
			start := func() (f *fleet, first *result) {
				f, err := startFleet(dir)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.submit("", "tool", "push", "--manifest", "tools/"+tool+".json", "--wasm-dir", "../dist"); err != nil {
					b.Fatal(err)
				}
				return f, f.run(b, stdin, args...)
			}
			stop := func(f *fleet) {
				if err := f.stop(); err != nil {
					b.Error(err)
				}
			}
			f, cold := start()
			stop(f)
			f, cached := start()
			defer stop(f)
			var instantiate, run []float64
			for b.Loop() {
				r := f.run(b, stdin, args...)
				if r.Outcome != "succeeded" {
					b.Fatalf("%+v", r)
				}
				instantiate, run = append(instantiate, r.Phases["instantiate"]), append(run, r.Phases["run"])
			}
			b.ReportMetric(cold.Phases["compile"], "cold-compile-ms")
			b.ReportMetric(cached.Phases["compile"], "cached-load-ms")
			b.ReportMetric(median(instantiate), "instantiate-ms")
			b.ReportMetric(median(run), "run-ms")
			b.ReportMetric(float64(cold.FuelConsumed), "fuel")
		})
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
