//go:build rehearsal

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// TestRehearsalGate runs a fleet with identities by the job files: a NATS server
// with the accounts of an authority, a worker, two gates. A tenant submits
// through them while they are rolled and a node is drained; then its identity
// is revoked while the server runs.
func TestRehearsalGate(t *testing.T) {
	r := newRig(t)
	f, tenant := r.startGatedFleet()
	t.Cleanup(r.stopJobs)
	r.must("submit", f.submit("tool", "push", "../../../executor/testdata/guests/act.wasm", "--name", "act", "--version", "1.0.0", "--no-compile")...)

	n := 0
	job := func() error {
		n++
		want := fmt.Sprintf("number %d\n", n)
		out, err := r.command("submit", "run", "act", "--quiet", "--context", tenant, "--connect-timeout", "1m", "--", "say", strings.TrimSpace(want))
		if err == nil && out != want {
			err = fmt.Errorf("job %d printed %q", n, out)
		}
		return err
	}
	if err := job(); err != nil {
		t.Fatalf("a tenant's first job through the gate: %v", err)
	}
	if nodes := r.gates("1"); nodes["node-1"] != 1 || nodes["node-2"] != 1 {
		t.Fatalf("the gates run on %v, want one on each node", nodes)
	}

	// during submits one job after the other until what it is about has ended.
	during := func(what string, do func() error) {
		t.Helper()
		ended := make(chan error, 1)
		go func() { ended <- do() }()
		for before := n; ; {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				t.Logf("%s: %d jobs meanwhile", what, n-before)
				return
			default:
			}
			if err := job(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	during("another release of the gates", func() error {
		_, err := r.command("nomad", f.gate("release=2")...)
		return err
	})
	during("a drain", func() error {
		_, err := r.command("nomad", "node", "drain", "-enable", "-yes", "-deadline", "5m", r.node("node-2"))
		return err
	})
	r.eventually("two gates of the new release, none on the drained node", func() (bool, string) {
		nodes := r.gates("2")
		return nodes["node-1"] == 2 && nodes["node-2"] == 0, fmt.Sprint(nodes)
	})
	if err := job(); err != nil {
		t.Error(err)
	}
	stopped := 0
	for _, a := range r.allocations("boxfleet-gate") {
		for _, e := range a.TaskStates["gate"].Events {
			if e.Type == api.TaskTerminated {
				stopped++
				if e.ExitCode != 0 || e.Signal != 0 {
					t.Errorf("gate %s ended with code %d, signal %d", a.ID[:8], e.ExitCode, e.Signal)
				}
			}
		}
	}
	if stopped < 3 {
		t.Errorf("%d gates were stopped, want two by the update and one by the drain", stopped)
	}

	// Each role may what its program does.
	for _, a := range r.allocations("boxfleet-nats-1") {
		for line := range strings.Lines(r.must("nomad", "alloc", "logs", "-stderr", a.ID)) {
			if strings.Contains(line, "Violation") {
				t.Errorf("the server refused: %s", line)
			}
		}
	}

	r.must("submit", "admin", "revoke", "acme.ci", "--dir", f.authority())
	f.putServer()
	r.eventually("the revoked identity is refused", func() (bool, string) {
		out, err := r.command("submit", "list", "--context", tenant)
		return err != nil && strings.Contains(strings.ToLower(out), "authorization"), out
	})
	r.must("submit", f.submit("list")...)
}

func (f *testFleet) authority() string { return filepath.Join(f.dir, "authority") }

// putServer stores the accounts of the authority as they are now, and the
// server's certificate.
func (f *testFleet) putServer() {
	f.t.Helper()
	args := []string{"var", "put", "-force", "-out", "none", "nomad/jobs/boxfleet-nats-1", "nats_accounts=@" + filepath.Join(f.authority(), "nats-accounts.conf")}
	for _, name := range []string{"ca", "cert", "key"} {
		args = append(args, name+"=@"+filepath.Join(f.dir, name+".pem"))
	}
	f.must("nomad", args...)
}

// startGatedFleet gives the fleet with the operator's context, and a tenant's.
func (r *rig) startGatedFleet() (f *testFleet, tenant string) {
	r.t.Helper()
	f = &testFleet{rig: r, ports: map[string][3]int{"nats-1": {freePort(r.t), freePort(r.t), freePort(r.t)}}, storePort: freePort(r.t)}
	f.who = []string{"driver=raw_exec", "user=", "uid=" + strconv.Itoa(os.Getuid()), "gid=" + strconv.Itoa(os.Getgid())}
	r.must("submit", "admin", "init", "--dir", f.authority(), "--name", "rehearsal")
	for _, who := range [][]string{{"worker", "--user", "w"}, {"gate", "--user", "g"}, {"operator", "--user", "alice"}, {"submitter", "--tenant", "acme", "--user", "ci"}} {
		r.must("submit", append([]string{"admin", "issue", "--dir", f.authority()}, who...)...)
	}
	// Tenants have copies: an identity that is revoked has no file any more.
	if err := os.CopyFS(filepath.Join(r.dir, "given"), os.DirFS(filepath.Join(f.authority(), "creds"))); err != nil {
		r.t.Fatal(err)
	}
	creds := func(name string) string { return filepath.Join(r.dir, "given", name+".creds") }
	ca, cert, key := certificates(r.t)
	for name, data := range map[string]string{"ca": ca, "cert": cert, "key": key} {
		if err := os.WriteFile(filepath.Join(r.dir, name+".pem"), []byte(data), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	f.putServer()
	store := map[string]string{"s3_access_key": "boxfleet", "s3_secret_key": "store-secret"}
	f.put("boxfleet-s3", map[string]string{"secret_key": store["s3_secret_key"]})
	f.put("boxfleet-worker", store, map[string]string{"nats_creds": "@" + creds("worker-w"), "nats_ca": ca})
	f.put("boxfleet-queue", map[string]string{"nats_creds": "@" + creds("worker-w"), "nats_ca": ca})
	f.put("boxfleet-gate", map[string]string{"nats_creds": "@" + creds("gate-g"), "nats_ca": ca})

	r.must("nomad", f.nats("nats-1", "authority=true", "sync_always=true")...)
	r.must("nomad", "job", "run", "-var", "node=node-1", "-var", "devs3_path="+filepath.Join(r.bin, "devs3"),
		"-var", "data_dir="+filepath.Join(r.dir, "s3"), "-var", "port="+strconv.Itoa(f.storePort), "../s3.nomad.hcl")
	r.must("nomad", f.gate("release=1")...) // before there is a worker
	r.must("nomad", f.worker("release=1", "count=1", "replicas=1")...)
	r.must("nomad", append(set([]string{"job", "run"}, append(f.who, "worker_url=", "worker_path="+filepath.Join(r.bin, "worker"))...), "../queue.nomad.hcl")...)

	for name, id := range map[string]string{"context": "operator-alice", "acme": "acme.ci"} {
		data, err := json.Marshal(map[string]any{
			"nats": map[string]string{"url": fmt.Sprintf("tls://127.0.0.1:%d", f.ports["nats-1"][0]), "creds_file": creds(id), "ca_file": filepath.Join(r.dir, "ca.pem")},
			"s3":   map[string]string{"endpoint": fmt.Sprintf("http://127.0.0.1:%d", f.storePort), "access_key": "boxfleet", "secret_key": store["s3_secret_key"], "bucket": "boxfleet"},
		})
		if err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.dir, name+".json"), data, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	f.context = filepath.Join(r.dir, "context.json")
	return f, filepath.Join(r.dir, "acme.json")
}

// gate is the command that runs the gates.
func (f *testFleet) gate(vars ...string) []string {
	args := set([]string{"job", "run"}, append(f.who, vars...)...)
	args = set(args, "worker_path="+filepath.Join(f.bin, "worker"), "cpu=200", "memory_mb=256", "min_healthy_time=2s")
	return append(args, "../gate.nomad.hcl")
}

// gates counts the running gates of a release by node.
func (r *rig) gates(release string) map[string]int {
	r.t.Helper()
	out := map[string]int{}
	for _, a := range r.allocations("boxfleet-gate") {
		if a.ClientStatus == "running" && a.DesiredStatus == "run" && a.Job.Meta["release"] == release {
			out[a.NodeName]++
		}
	}
	return out
}
