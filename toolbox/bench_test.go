package toolbox

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"boxfleet/toolbox/internal/guest"
)

// BenchmarkStart shows what it takes to instantiate a compiled tool and get to
// its first line: --help, or nothing for a tool without.
func BenchmarkStart(b *testing.B) {
	for _, m := range manifests {
		if m.Name == "spin" || slices.Contains(elsewhere, m.Name) {
			continue
		}
		args := []string{"--help"}
		if slices.Contains(silent, m.Name) {
			args = nil
		}
		b.Run(m.Name, func(b *testing.B) {
			before := cpu(b)
			for b.Loop() {
				if _, err := runner.Run(context.Background(), guest.Command{Tool: m.Name, Args: args}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpu is the processor time that this process took so far. On a busy machine it
// says more than the clock.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkGrep searches the toolbox's own folder.
func BenchmarkGrep(b *testing.B) {
	for _, pattern := range []string{"nowhere to be found", "func [A-Z]\\w+\\("} {
		b.Run(pattern, func(b *testing.B) {
			for b.Loop() {
				command := guest.Command{Tool: "grep", Args: []string{"-rc", "--exclude-dir=dist", pattern, "/"}, Dir: "."}
				if _, err := runner.Run(context.Background(), command); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
