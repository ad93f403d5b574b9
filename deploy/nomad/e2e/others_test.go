package e2e

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The ways without Nomad wait as long for a drain: the standard grace of 20 s
// and the 42 s of docs/operating.md.
func TestStopsElsewhere(t *testing.T) {
	for path, pattern := range map[string]string{
		"systemd/boxfleet-worker@.service": `(?m)^TimeoutStopSec=(\d+)$`,
		"compose/compose.yaml":             `(?m)x-worker:[^§]*?stop_grace_period: (\d+)s$`,
	} {
		m := regexp.MustCompile(pattern).FindStringSubmatch(read(t, path))
		if m == nil {
			t.Errorf("%s does not say how long a stop may take", path)
			continue
		}
		if n, _ := strconv.Atoi(m[1]); n <= 20+42 {
			t.Errorf("%s kills a worker after %d s, a drain may take 62", path, n)
		}
	}
}

// A variable that no setting has would be ignored in silence.
func TestVariablesElsewhere(t *testing.T) {
	docs := read(t, "../docs/configuration.md")
	n := 0
	for _, path := range []string{"systemd/boxfleet-worker@.service", "compose/compose.yaml", "docker/Dockerfile"} {
		for _, name := range regexp.MustCompile(`\bBOXFLEET_[A-Z0-9_]+`).FindAllString(read(t, path), -1) {
			n++
			if !strings.Contains(docs, "| `"+name+"` |") {
				t.Errorf("%s: %s is no setting's variable", path, name)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d variables were looked at", n)
	}
}

// What the worker's own hardening needs must not be filtered away, and it
// must be able to compile: systemd 252 knows no @sandbox and ignores it.
func TestUnitLetsTheWorkerHardenItself(t *testing.T) {
	unit := read(t, "systemd/boxfleet-worker@.service")
	for _, call := range []string{"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} {
		if !strings.Contains(unit, call) {
			t.Errorf("the unit does not allow %s", call)
		}
	}
	for _, not := range []string{"\nMemoryDenyWriteExecute=yes", "\nSystemCallFilter=~@privileged @resources", "\nProcSubset=pid"} {
		if strings.Contains(unit, not) {
			t.Errorf("a worker does not run with %s", strings.TrimSpace(not))
		}
	}
}
