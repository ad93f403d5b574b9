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
// and the 42 s of docs/operating.md. A gate needs the 17 s that stand there.
func TestStopsElsewhere(t *testing.T) {
	const worker, gate = 20 + 42, 17
	for _, tt := range []struct {
		path, pattern string
		longest       int
	}{
		{"systemd/boxfleet-worker@.service", `(?m)^TimeoutStopSec=(\d+)$`, worker},
		{"systemd/boxfleet-gate.service", `(?m)^TimeoutStopSec=(\d+)$`, gate},
		{"compose/compose.yaml", `(?m)x-worker:[^§]*?stop_grace_period: (\d+)s$`, worker},
		{"compose/compose.yaml", `(?m)^  gate:[^§]*?stop_grace_period: (\d+)s$`, gate},
	} {
		m := regexp.MustCompile(tt.pattern).FindStringSubmatch(read(t, tt.path))
		if m == nil {
			t.Errorf("%s does not say how long a stop may take", tt.path)
			continue
		}
		if n, _ := strconv.Atoi(m[1]); n <= tt.longest {
			t.Errorf("%s kills after %d s, a stop may take %d", tt.path, n, tt.longest)
		}
	}
}

// A variable that no setting has would be ignored in silence.
func TestVariablesElsewhere(t *testing.T) {
	docs := read(t, "../docs/configuration.md")
	n := 0
	for _, path := range []string{"systemd/boxfleet-worker@.service", "systemd/boxfleet-gate.service", "compose/compose.yaml", "docker/Dockerfile"} {
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
	for path, text := range map[string]string{"worker": unit, "gate": read(t, "systemd/boxfleet-gate.service")} {
		for _, call := range []string{"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} {
			if !strings.Contains(text, call) {
				t.Errorf("the unit of the %s does not allow %s", path, call)
			}
		}
	}
	for _, not := range []string{"\nMemoryDenyWriteExecute=yes", "\nSystemCallFilter=~@privileged @resources", "\nProcSubset=pid"} {
		if strings.Contains(unit, not) {
			t.Errorf("a worker does not run with %s", strings.TrimSpace(not))
		}
	}
}

// Whatever a bug in the gate's reading of tenants' requests could use is taken
// away at least as far as from a worker.
func TestGateUnitIsAsHardAsTheWorkers(t *testing.T) {
	gate := read(t, "systemd/boxfleet-gate.service")
	_, hardening, ok := strings.Cut(read(t, "systemd/boxfleet-worker@.service"), "\nNoNewPrivileges=")
	if !ok {
		t.Fatal("the worker's unit has no NoNewPrivileges")
	}
	n := 0
	for line := range strings.Lines("NoNewPrivileges=" + hardening) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "[") {
			break
		} else if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		n++
		if !strings.Contains(gate, "\n"+line+"\n") {
			t.Errorf("the gate's unit has no %s", line)
		}
	}
	if n < 20 || !strings.Contains(gate, "\nMemoryDenyWriteExecute=yes\n") {
		t.Errorf("%d lines of hardening, and MemoryDenyWriteExecute should be among the gate's", n)
	}
	// Credentials come as copies that the service's user alone can read.
	for _, file := range regexp.MustCompile(`%d/(\S+)`).FindAllStringSubmatch(gate, -1) {
		if !strings.Contains(gate, "\nLoadCredential="+file[1]+":/etc/boxfleet/gate/") {
			t.Errorf("nothing loads %s", file[1])
		}
	}
}

// Without its profile the gate is not there, and keys of the authority are in
// no container: each mounts the directory of its own identity.
func TestComposeGate(t *testing.T) {
	text := read(t, "compose/compose.yaml")
	m := regexp.MustCompile(`(?ms)^  gate:\n(.*?)\n\n`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("no service gate")
	}
	for _, want := range []string{"profiles: [gate]", `command: ["gate"]`, "./identities/gate:/etc/boxfleet/gate:ro", "BOXFLEET_NATS_CREDS: /etc/boxfleet/gate/gate.creds"} {
		if !strings.Contains(m[1], want) {
			t.Errorf("the gate has no %s", want)
		}
	}
	for _, not := range []string{"S3", "PASSWORD", "identities/worker"} {
		if strings.Contains(m[1], not) {
			t.Errorf("the gate has %s", not)
		}
	}
	if whole := regexp.MustCompile(`\./(identities|authority)/?:`).FindString(text); whole != "" {
		t.Errorf("%s is mounted whole", whole)
	}
	for _, name := range []string{"NATS_CONF", "NATS_USER", "WORKER_CREDS"} {
		if !strings.Contains(text, "${"+name+"-") || !strings.Contains(read(t, "compose/.env.example"), "# "+name+"=") {
			t.Errorf("%s is not both in compose.yaml and in .env.example", name)
		}
	}
}
