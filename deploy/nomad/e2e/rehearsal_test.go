//go:build rehearsal

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// jobs is how many are submitted. Two workers of four slots run them for about
// a minute: long enough to be updated and drained meanwhile.
const jobs = 500

// TestRehearsal runs a fleet by the job files of this repository on real
// agents: three NATS servers with TLS, a store, two workers. While 500 jobs
// run, the workers are rolled to another release, a node is drained and a NATS
// server replaced. Every job must end, once, with its own output.
func TestRehearsal(t *testing.T) {
	r := newRig(t)
	start := time.Now()
	step := func(format string, args ...any) {
		t.Logf("%5.1f s  %s", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	step("two agents of %s", strings.TrimSpace(r.must("nomad", "version")))
	r.validate()
	step("every job file is valid for the server")

	f := r.startFleet()
	t.Cleanup(r.stopJobs)
	step("NATS cluster, store and workers are healthy")
	r.must("submit", f.submit("tool", "push", "../../../executor/testdata/guests/act.wasm", "--name", "act", "--version", "1.0.0", "--no-compile")...)

	batch := make(chan error, 1)
	file, results := f.batchFile(jobs)
	go func() {
		_, err := r.command("submit", f.submit("batch", file, "--wait", "--results", results, "--batch-id", "rehearsal")...)
		batch <- err
	}()
	f.ended(jobs / 10)
	step("a tenth of the jobs has ended: now another release")

	r.must("nomad", f.worker("release=2")...)
	step("the workers are of another release, %d jobs have ended", f.ended(0))
	if f.ended(0) == jobs {
		t.Error("the jobs ended before the update did: it was not in the middle")
	}

	nodes := r.workers("2")
	if len(nodes) != 2 || nodes["node-2"] == 0 {
		t.Fatalf("the workers run on %v, want one on each node", nodes)
	}
	r.must("nomad", "node", "drain", "-enable", "-yes", "-deadline", "5m", r.node("node-2"))
	r.eventually("node-2 is empty and its worker runs elsewhere", func() (bool, string) {
		n := r.workers("2")
		return n["node-1"] == 2 && n["node-2"] == 0, fmt.Sprint(n)
	})
	step("node-2 is drained, %d jobs have ended", f.ended(0))

	r.must("nomad", f.nats("nats-2", "memory_mb=1024")...)
	step("a NATS server is replaced, %d jobs have ended", f.ended(0))

	if err := <-batch; err != nil {
		t.Errorf("the batch: %v", err)
	}
	f.account(results)
	step("all %d jobs are accounted for", jobs)
	r.drainedInTime()

	f.dispatch()
	step("a dispatched batch has ended")
}

// validate asks the server about every job file as it is, and in the variants
// that the table of TestJobFiles has.
func (r *rig) validate() {
	for _, v := range variants {
		args := []string{"job", "validate", "-var-file", filepath.Join("..", strings.TrimSuffix(v.file, ".nomad.hcl")+".vars.hcl")}
		for _, set := range v.vars {
			args = append(args, "-var", set)
		}
		out, err := r.command("nomad", append(args, filepath.Join("..", v.file))...)
		if err != nil {
			r.t.Error(err)
		} else if strings.Contains(out, "Warning") {
			r.t.Errorf("%s %v: %s", v.file, v.vars, out)
		}
	}
	if r.t.Failed() {
		r.t.FailNow()
	}
}

// testFleet is the fleet that runs.
type testFleet struct {
	*rig
	context   string
	who       []string // variables of tasks that run as this user
	ports     map[string][3]int
	storePort int
}

func (r *rig) startFleet() *testFleet {
	r.t.Helper()
	f := &testFleet{rig: r, ports: map[string][3]int{}, storePort: freePort(r.t)}
	// The agents run tasks as themselves: root, or whoever runs the rehearsal.
	f.who = []string{"driver=raw_exec", "user=", "uid=" + strconv.Itoa(os.Getuid()), "gid=" + strconv.Itoa(os.Getgid())}
	ca, cert, key := certificates(r.t)
	accounts := "accounts { SYS { users = [{user: sys, password: sys-secret}] }, FLEET { jetstream: enabled, users = [{user: fleet, password: fleet-secret}] } }\nsystem_account: SYS\n"
	for _, name := range []string{"nats-1", "nats-2", "nats-3"} {
		f.ports[name] = [3]int{freePort(r.t), freePort(r.t), freePort(r.t)}
		f.put("boxfleet-"+name, map[string]string{"accounts": accounts, "ca": ca, "cert": cert, "key": key})
	}
	store := map[string]string{"s3_access_key": "boxfleet", "s3_secret_key": "store-secret"}
	user := map[string]string{"nats_user": "fleet", "nats_password": "fleet-secret", "nats_ca": ca}
	f.put("boxfleet-s3", map[string]string{"secret_key": store["s3_secret_key"]})
	f.put("boxfleet-worker", store, user)
	f.put("boxfleet-queue", user)
	url := fmt.Sprintf("tls://127.0.0.1:%d,tls://127.0.0.1:%d", f.ports["nats-1"][0], f.ports["nats-3"][0])
	endpoint := fmt.Sprintf("http://127.0.0.1:%d", f.storePort)
	f.put("boxfleet-batch", store, user, map[string]string{"nats_url": url, "s3_endpoint": endpoint})

	for name := range f.ports {
		// A server is healthy when it has joined the others: start them all.
		r.must("nomad", append([]string{"job", "run", "-detach"}, f.nats(name)[2:]...)...)
	}
	r.must("nomad", "job", "run", "-var", "node=node-1", "-var", "devs3_path="+filepath.Join(r.bin, "devs3"),
		"-var", "data_dir="+filepath.Join(r.dir, "s3"), "-var", "port="+strconv.Itoa(f.storePort), "../s3.nomad.hcl")
	for name := range f.ports {
		r.healthy("boxfleet-" + name)
	}
	r.must("nomad", f.worker("release=1")...)
	r.must("nomad", append(set([]string{"job", "run"}, append(f.who, "worker_url=", "worker_path="+filepath.Join(r.bin, "worker"))...), "../queue.nomad.hcl")...)

	caFile := filepath.Join(r.dir, "ca.pem")
	f.context = filepath.Join(r.dir, "context.json")
	context, err := json.Marshal(map[string]any{
		"nats": map[string]string{"url": url, "user": "fleet", "password": "fleet-secret", "ca_file": caFile},
		"s3":   map[string]string{"endpoint": endpoint, "access_key": "boxfleet", "secret_key": store["s3_secret_key"], "bucket": "boxfleet"},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for file, data := range map[string][]byte{caFile: []byte(ca), f.context: context} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	return f
}

// put stores a job's secrets.
func (f *testFleet) put(job string, items ...map[string]string) {
	f.t.Helper()
	args := []string{"var", "put", "-force", "-out", "none", "nomad/jobs/" + job}
	for _, m := range items {
		for k, v := range m {
			args = append(args, k+"="+v)
		}
	}
	f.must("nomad", args...)
}

func set(args []string, vars ...string) []string {
	for _, v := range vars {
		args = append(args, "-var", v)
	}
	return args
}

// nats is the command that runs one server.
func (f *testFleet) nats(server string, vars ...string) []string {
	var servers []string
	for name, p := range f.ports {
		servers = append(servers, fmt.Sprintf("%q = {node=\"node-1\", address=\"127.0.0.1\", client_port=%d, cluster_port=%d, monitor_port=%d}", name, p[0], p[1], p[2]))
	}
	args := set([]string{"job", "run"}, append(f.who, vars...)...)
	args = set(args, "server="+server, "servers={"+strings.Join(servers, ", ")+"}", "nats_server_url=",
		"nats_server_path="+filepath.Join(f.bin, "nats-server"), "data_dir="+filepath.Join(f.dir, "nats"))
	return append(args, "../nats.nomad.hcl")
}

// worker is the command that runs the workers.
func (f *testFleet) worker(vars ...string) []string {
	args := set([]string{"job", "run"}, append(f.who, vars...)...)
	args = set(args, "worker_path="+filepath.Join(f.bin, "worker"), "cache_dir="+filepath.Join(f.dir, "cache"),
		"slots=4", "cpu=500", "memory_mb=2048", "default_memory_mb=128", "disk_mb=500", "min_healthy_time=2s")
	return append(args, "../worker.nomad.hcl")
}

func (f *testFleet) submit(args ...string) []string {
	return append(args, "--context", f.context)
}

// healthy waits until a job's newest deployment has succeeded.
func (r *rig) healthy(job string) {
	r.t.Helper()
	r.eventually(job+" is healthy", func() (bool, string) {
		d, _, err := r.api.Jobs().LatestDeployment(job, nil)
		if err != nil || d == nil {
			return false, fmt.Sprint("no deployment ", err)
		}
		return d.Status == "successful", d.Status + ": " + d.StatusDescription
	})
}

// batchFile writes n jobs that sleep for a second and then print their number.
func (f *testFleet) batchFile(n int) (file, results string) {
	f.t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\": \"job-%d\", \"tool\": \"act\", \"args\": [\"sleep\", \"1\", \"say\", \"number %d\"]}\n", i, i)
	}
	file = filepath.Join(f.dir, "jobs.jsonl")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return file, filepath.Join(f.dir, "results.jsonl")
}

// ended waits until at least n jobs of the batch have, and gives how many.
func (f *testFleet) ended(n int) (ended int) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("%d jobs have ended", n), func() (bool, string) {
		out, err := f.command("submit", f.submit("batch", "status", "rehearsal", "--json", "--connect-timeout", "1m")...)
		if err != nil {
			return false, err.Error()
		}
		var b struct {
			Counts map[string]int `json:"counts"`
		}
		if err := json.Unmarshal([]byte(out), &b); err != nil {
			return false, fmt.Sprintf("%v in %s", err, out)
		}
		ended = 0
		for _, c := range b.Counts {
			ended += c
		}
		return ended >= n, fmt.Sprint(b.Counts)
	})
	return ended
}

// account holds the results against what was submitted.
func (f *testFleet) account(results string) {
	f.t.Helper()
	file, err := os.Open(results)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	seen, workers, again := map[string]bool{}, map[string]int{}, 0
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var res struct {
			ID, Outcome, Stdout, Worker, Error string
			Attempts                           int
		}
		if err := json.Unmarshal(lines.Bytes(), &res); err != nil {
			f.t.Fatalf("%v in %s", err, lines.Text())
		}
		number := strings.TrimPrefix(res.ID, "job-")
		if res.Outcome != "succeeded" || res.Stdout != "awake\nnumber "+number+"\n" {
			f.t.Errorf("job %s: %s, printed %q: %s", res.ID, res.Outcome, res.Stdout, res.Error)
		}
		if seen[res.ID] {
			f.t.Errorf("job %s has two results", res.ID)
		}
		seen[res.ID] = true
		workers[res.Worker]++
		if res.Attempts > 1 {
			again++
		}
	}
	if lines.Err() != nil || len(seen) != jobs {
		f.t.Errorf("%d of %d jobs have a result (%v)", len(seen), jobs, lines.Err())
	}
	if len(workers) < 3 {
		f.t.Errorf("only %v ran jobs: nothing was replaced under them", workers)
	}
	f.t.Logf("jobs by worker: %v; %d ran more than once", workers, again)
}

// workers counts the healthy workers of a release by node.
func (r *rig) workers(release string) map[string]int {
	r.t.Helper()
	out := map[string]int{}
	for _, a := range r.allocations("boxfleet-worker") {
		if a.TaskGroup == "workers" && a.ClientStatus == "running" && a.Job.Meta["release"] == release {
			out[a.NodeName]++
		}
	}
	return out
}

func (r *rig) allocations(job string) (out []*api.Allocation) {
	r.t.Helper()
	list, _, err := r.api.Jobs().Allocations(job, true, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, stub := range list {
		a, _, err := r.api.Allocations().Info(stub.ID, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func (r *rig) node(name string) string {
	r.t.Helper()
	nodes, _, err := r.api.Nodes().List(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, n := range nodes {
		if n.Name == name {
			return n.ID
		}
	}
	r.t.Fatalf("no node %s", name)
	return ""
}

// drainedInTime: every worker that was told to stop has ended by itself, with
// exit code 0. Nomad kills one that takes longer than kill_timeout.
func (r *rig) drainedInTime() {
	r.t.Helper()
	stopped := 0
	for _, a := range r.allocations("boxfleet-worker") {
		if a.TaskGroup != "workers" || a.ClientStatus == "running" {
			continue
		}
		stopped++
		for _, e := range a.TaskStates["worker"].Events {
			if e.Type == api.TaskTerminated && (e.ExitCode != 0 || e.Signal != 0) {
				r.t.Errorf("worker %s on %s ended with code %d, signal %d", a.ID[:8], a.NodeName, e.ExitCode, e.Signal)
			}
		}
	}
	if stopped < 3 {
		r.t.Errorf("%d workers were stopped, want two by the update and one by the drain", stopped)
	}
}

// dispatch starts a batch the way of those who dispatch by Nomad.
func (f *testFleet) dispatch() {
	f.t.Helper()
	f.must("nomad", append(set([]string{"job", "run"}, append(f.who, "submit_path="+filepath.Join(f.bin, "submit"))...), "../dispatch.nomad.hcl")...)
	payload := filepath.Join(f.dir, "dispatched.jsonl")
	if err := os.WriteFile(payload, []byte("{\"id\": \"d-1\", \"tool\": \"act\", \"args\": [\"say\", \"from a dispatch\"]}\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	out := f.must("nomad", "job", "dispatch", "-detach", "-meta", "priority=high", "boxfleet-batch", payload)
	_, id, ok := strings.Cut(out, "Dispatched Job ID = ")
	if !ok {
		f.t.Fatalf("no id in %s", out)
	}
	id, _, _ = strings.Cut(id, "\n")
	f.eventually("the dispatched job ends", func() (bool, string) {
		allocs := f.allocations(strings.TrimSpace(id))
		for _, a := range allocs {
			switch a.ClientStatus {
			case "complete":
				text := f.must("nomad", "alloc", "fs", a.ID, "alloc/results.jsonl")
				if !strings.Contains(text, "from a dispatch") {
					f.t.Errorf("its results are %s", text)
				}
				return true, ""
			case "failed":
				f.t.Fatalf("it failed: %s", f.must("nomad", "alloc", "logs", "-stderr", a.ID))
			}
		}
		return false, fmt.Sprintf("%d allocations", len(allocs))
	})
}
