package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// TestPlan: equal shapes give equal plans, other seeds give others, every kind
// is in every plan, and no two NATS nodes are away at once.
func TestPlan(t *testing.T) {
	t.Parallel()
	plans := map[string]bool{}
	for seed := range uint64(50) {
		for _, d := range []time.Duration{time.Second, 10 * time.Second, 4 * time.Minute} {
			s := shape{Seed: seed, Duration: d, Workers: 3, AckWait: 2 * time.Second}
			plan := newPlan(s)
			if !reflect.DeepEqual(plan, newPlan(s)) {
				t.Fatalf("%+v gives two plans", s)
			}
			var text bytes.Buffer
			printPlan(&text, plan)
			if plans[text.String()] {
				t.Errorf("%+v gives the plan of another shape", s)
			}
			plans[text.String()] = true
			checkPlan(t, s, plan)
		}
	}
}

func checkPlan(t *testing.T, s shape, plan []event) {
	t.Helper()
	found := map[kind]bool{}
	var node time.Duration // when the last NATS fault ends
	for i, e := range plan {
		found[e.Kind] = true
		if i > 0 && e.At < plan[i-1].At {
			t.Errorf("%+v: events out of order", s)
		}
		switch e.Kind {
		case natsKill, natsStop:
			if e.At < node || e.Target >= natsNodes {
				t.Errorf("%+v: node %d is taken away at %s, the last fault ends at %s", s, e.Target, e.At, node)
			}
			node = e.At + e.For
		case workerFreeze:
			if e.For <= s.AckWait {
				t.Errorf("%+v: a freeze of %s is shorter than the ack wait", s, e.For)
			}
		}
	}
	for _, k := range allKinds() {
		if !found[k] {
			t.Errorf("%+v: no %s", s, k)
		}
	}
}

// TestCheckNotices: the check refuses every result but the right one.
func TestCheckNotices(t *testing.T) {
	t.Parallel()
	k := &task{id: "x", number: 7, stdout: 50}
	in := []byte("some input of a job")
	file, out := expected(7, in, 50)
	result := func(file []byte) *jobs.Result {
		return &jobs.Result{Outputs: []artifacts.OutputFile{{Path: "result", Size: int64(len(file)), SHA256: artifacts.DigestBytes(file).Hex()}}}
	}
	if err := k.check(result(file), in, file, out); err != nil {
		t.Fatal(err)
	}
	other, otherOut := expected(8, in, 50)
	for name, err := range map[string]error{
		"no outputs":         k.check(&jobs.Result{}, in, file, out),
		"another job's":      k.check(result(other), in, other, out),
		"other bytes stored": k.check(result(file), in, other, out),
		"half of it":         k.check(result(file), in, file[:9], out),
		"another stdout":     k.check(result(file), in, file, otherOut),
		"no stdout":          k.check(result(file), in, file, nil),
	} {
		if err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// TestWatcherNotices: what counts as a second commit.
func TestWatcherNotices(t *testing.T) {
	t.Parallel()
	record := func(state, worker string) []byte {
		return []byte(`{"state":"` + state + `","v":1,"id":"j","tenant":"t","attempt":1,"worker":"` + worker + `","result":{"outcome":"succeeded","worker":"` + worker + `"}}`)
	}
	done := record("done", "a")
	for name, c := range map[string]struct {
		do  func(*watcher)
		bad bool
	}{
		"done once":              {func(w *watcher) { w.changed("t.j", 1, record("running", "a")); w.changed("t.j", 2, done) }, false},
		"announced twice":        {func(w *watcher) { w.announced(done); w.announced(done) }, false},
		"seen again":             {func(w *watcher) { w.changed("t.j", 2, done); w.changed("t.j", 2, done) }, false},
		"done twice":             {func(w *watcher) { w.changed("t.j", 2, done); w.changed("t.j", 3, done) }, true},
		"runs after it was done": {func(w *watcher) { w.changed("t.j", 2, done); w.changed("t.j", 3, record("running", "b")) }, true},
		"announced as another":   {func(w *watcher) { w.changed("t.j", 2, done); w.announced(record("done", "b")) }, true},
		"removed after it":       {func(w *watcher) { w.changed("t.j", 2, done); w.changed("t.j", 3, nil) }, true},
		"not a record":           {func(w *watcher) { w.changed("t.j", 2, []byte("{")) }, true},
		"never submitted":        {func(w *watcher) { w.changed("t.k", 2, done) }, true},
	} {
		w := &watcher{jobs: map[string]*seen{"t.j": {}}}
		c.do(w)
		if (len(w.twice) > 0) != c.bad {
			t.Errorf("%s: %q", name, w.twice)
		}
	}
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"loose"}, {"--jobs", "0"}, {"--workers", "1"}, {"--duration", "0s"}, {"--ack-wait", "1s"}, {"--seed", "x"}} {
		var out bytes.Buffer
		if code := run(context.Background(), args, &out, &out); code != 2 || out.Len() == 0 {
			t.Errorf("%q: exit %d, said %q", args, code, &out)
		}
	}
}

// TestShort is the suite itself in its short form: real processes, every kind
// of fault at least once.
func TestShort(t *testing.T) {
	t.Parallel()
	bin := binaries(t)
	var out bytes.Buffer
	code := run(t.Context(), []string{"--bin", bin, "--dir", t.TempDir(), "--seed", "20", "--jobs", "500", "--duration", "6s", "--ack-wait", "2s"}, &out, &out)
	t.Logf("%s", &out)
	if code != 0 {
		t.Fatalf("exit %d", code)
	}
}

// binaries builds what the suite starts into a directory of the repository
// that the next run finds again: the go command does nothing for a program
// that is up to date.
func binaries(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, "bin", ".chaos-test")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(bin, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string][2]string{
		"worker": {".", "./cmd/worker"}, "nats-server": {".", "github.com/nats-io/nats-server/v2"}, "devs3": {"internal/devs3", "."},
	} {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(bin, name), at[1])
		cmd.Dir = filepath.Join(root, at[0])
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, strings.TrimSpace(string(msg)))
		}
	}
	return bin
}
