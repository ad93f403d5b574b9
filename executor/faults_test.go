package executor_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"boxfleet/artifacts"
	"boxfleet/executor"
	"boxfleet/internal/faultproxy"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// eventually waits for what happens in another goroutine and tells nobody.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// TestStoreFaults: while the store is away, refuses the worker or never
// answers, jobs wait; no attempt is burnt, nothing is lost, and all of them
// succeed once it is back.
func TestStoreFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault faultproxy.Fault
		sick  string
	}{
		{"away", faultproxy.Fault{Cut: true}, "unavailable"},
		{"refuses the credentials", faultproxy.Fault{Status: 403, Code: "SignatureDoesNotMatch"}, "credentials"},
		{"broken", faultproxy.Fault{Status: 503, Code: "SlowDown"}, "unavailable"},
		{"silent", faultproxy.Fault{Stall: true}, "unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{store: func(c *artifacts.Config) { c.Tries, c.StallTimeout = 1, 200*time.Millisecond }})
			r.alive(t)
			r.proxy.Set(c.fault)
			tree := r.tree(t, map[string]string{"a": "one"})
			fetch := r.submit(t, r.act(t, "say on", limits.RunOption{})) // needs its module
			noop := func() *jobs.Job { return &jobs.Job{Tool: r.guest(t, "noop")} }
			stage := noop()
			stage.Options.WorkDir = &limits.Mount{Source: tree}
			ids := []string{fetch, r.submit(t, stage)}
			eventually(t, "the worker knows", func() bool { return r.worker.Sick() != "" })
			if !strings.Contains(r.worker.Sick(), c.sick) {
				t.Errorf("sick: %q does not say %q", r.worker.Sick(), c.sick)
			}
			ids = append(ids, r.submit(t, noop())) // waits in the queue
			r.proxy.Set()
			for _, rec := range r.await(t, ids...) {
				want{outcome: jobs.Succeeded}.check(t, rec.Result)
				if rec.Result.Attempts != 1 { // the store's sickness is noted, and not counted
					t.Errorf("attempts %d, tries %v", rec.Result.Attempts, rec.Tries)
				}
			}
			if sick := r.worker.Sick(); sick != "" {
				t.Errorf("still sick: %s", sick)
			}
		})
	}
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, options{})
		r.proxy.Set(faultproxy.Fault{Delay: 50 * time.Millisecond})
		res := r.run(t, r.act(t, "cat a write b x", limits.RunOption{WorkDir: &limits.Mount{Source: r.tree(t, map[string]string{"a": "one"}), Mode: limits.ReadWrite}}))
		want{outcome: jobs.Succeeded, stdout: "one"}.check(t, res)
		same(t, "outputs", r.outputs(t, res), map[string]string{"b": "x"})
	})
	t.Run("module cut short, then whole", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, options{})
		r.proxy.Set(faultproxy.Fault{Match: faultproxy.Method(http.MethodGet, "/blobs/"), Times: 2, TruncateBody: true})
		want{outcome: jobs.Succeeded, stdout: "on\n"}.check(t, r.run(t, r.act(t, "say on", limits.RunOption{})))
	})
	t.Run("the manifest stored, the answer lost", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, options{})
		r.proxy.Set(faultproxy.Fault{Name: "lost", Match: faultproxy.Method(http.MethodPut, "manifest.json"), Times: 1, CutResponse: true})
		out := "s3://" + r.store.Bucket() + "/outputs/default/run/"
		res := r.run(t, r.act(t, "write f x random", limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite, Output: out}}))
		want{outcome: jobs.Succeeded}.check(t, res)
		same(t, "outputs", r.outputs(t, res), map[string]string{"f": "x"})
		if got := r.get(t, out+"f"); got != "x" || r.proxy.Count("lost") != 1 {
			t.Errorf("published %q, %d answers lost", got, r.proxy.Count("lost"))
		}
	})
	t.Run("the commit fails for a while", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, options{store: func(c *artifacts.Config) { c.Tries = 1 }})
		r.proxy.Set(faultproxy.Fault{Name: "cut", Match: faultproxy.Method(http.MethodPut, "manifest.json"), Times: 1, Cut: true})
		res := r.run(t, r.act(t, "write f x", limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite}}))
		want{outcome: jobs.Succeeded}.check(t, res)
		same(t, "outputs", r.outputs(t, res), map[string]string{"f": "x"})
		if r.proxy.Count("cut") != 1 || res.Attempts != 1 {
			t.Errorf("%d cuts, %d attempts", r.proxy.Count("cut"), res.Attempts)
		}
	})
}

// TestSickWorkerLeavesJobs: a worker whose disk is full, or whose credentials
// are wrong, gives its jobs back for another, uncounted.
func TestSickWorkerLeavesJobs(t *testing.T) {
	for _, c := range []struct {
		name   string
		config func(*executor.Config)
		store  func(*artifacts.Config)
		sick   string
	}{
		{"full disk", func(c *executor.Config) { c.MinFree = 1 << 60 }, nil, "no space left"},
		{"wrong secret", nil, func(c *artifacts.Config) { c.SecretKey = "wrong" }, "credentials refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sick := newRig(t, options{config: c.config, store: c.store})
			job := sick.act(t, "cat a", limits.RunOption{WorkDir: &limits.Mount{Source: sick.tree(t, map[string]string{"a": "one"})}})
			id := sick.submit(t, job)
			eventually(t, "the worker knows", func() bool { return sick.worker.Sick() != "" })
			if !strings.Contains(sick.worker.Sick(), c.sick) {
				t.Errorf("sick: %q does not say %q", sick.worker.Sick(), c.sick)
			}
			well := newRig(t, options{nats: sick.nats, bucket: sick.store, worker: func(c *jobs.WorkerConfig) { c.Name = "w2" }})
			rec := well.await(t, id)[id]
			want{outcome: jobs.Succeeded, stdout: "one"}.check(t, rec.Result)
			if rec.Result.Worker != "w2" || rec.Result.Attempts != 1 {
				t.Errorf("worker %s, attempts %d", rec.Result.Worker, rec.Result.Attempts)
			}
		})
	}
}

// TestCommitFence: of runs that finish the same job, the first manifest
// stands. Others adopt its result, lose their own objects and publish what it
// says.
func TestCommitFence(t *testing.T) {
	r := newRig(t, options{noWorker: true})
	out := "s3://" + r.store.Bucket() + "/outputs/default/run/"
	job := &jobs.Job{ID: "fenced", Tenant: "default", Options: limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite, Output: out}}}
	// run stores what a run of an attempt would have uploaded.
	run := func(number int, worker, nonce, content string) (*jobs.Attempt, *jobs.Result) {
		a := &jobs.Attempt{Job: job, Number: number, Worker: worker}
		prefix := r.put(t, a.OutputPrefix()+nonce+"/files/f", content)
		return a, &jobs.Result{
			ID: job.ID, Outcome: jobs.Succeeded, Worker: worker, Attempts: number, Stdout: jobs.Text(content),
			OutputPrefix: strings.TrimSuffix(prefix, "f"),
			Outputs:      []artifacts.OutputFile{{Path: "f", Size: int64(len(content)), SHA256: artifacts.DigestBytes([]byte(content)).Hex()}},
		}
	}
	type entry struct {
		a   *jobs.Attempt
		res *jobs.Result
	}
	var entries []entry
	for _, e := range []struct {
		number                 int
		worker, nonce, content string
	}{
		{1, "w1", "n1", "one"}, {1, "w1", "n2", "the same attempt again"}, {1, "w2", "n3", "its number on another worker"}, {2, "w2", "n4", "two"},
	} {
		a, res := run(e.number, e.worker, e.nonce, e.content)
		entries = append(entries, entry{a, res})
	}
	// All commit at once, and again, as after a lost answer.
	got := make([]*jobs.Result, len(entries))
	for range 2 {
		var wg sync.WaitGroup
		for i, e := range entries {
			wg.Go(func() {
				var err error
				if got[i], err = r.exec.Commit(t.Context(), e.a, e.res); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if t.Failed() {
		return
	}
	winner := string(got[0].Stdout)
	for i, res := range got {
		mine, err := json.Marshal(res)
		if err != nil {
			t.Fatal(err)
		}
		first, err := json.Marshal(got[0])
		if err != nil {
			t.Fatal(err)
		}
		if string(mine) != string(first) {
			t.Errorf("run %d has %s, the first %s", i, mine, first)
		}
	}
	same(t, "the outputs of the winner", r.outputs(t, got[0]), map[string]string{"f": winner})
	if published := r.get(t, out+"f"); published != winner {
		t.Errorf("published %q, committed %q", published, winner)
	}
	kept := 0
	for obj, err := range r.store.List(t.Context(), "", "out/default/fenced/") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(obj.Key, "/files/") {
			kept++
		}
	}
	if kept != 1 {
		t.Errorf("objects of %d runs are kept", kept)
	}
}

// TestPublishAfterCommit: nothing appears below a job's own prefix before its
// manifest stands, and what a trapped guest wrote never does.
func TestPublishAfterCommit(t *testing.T) {
	r := newRig(t, options{})
	out := "s3://" + r.store.Bucket() + "/outputs/default/run/"
	o := limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite, Output: out}}
	want{outcome: jobs.Trapped}.check(t, r.run(t, r.act(t, "write f x trap", o)))
	want{outcome: jobs.OutOfFuel}.check(t, r.run(t, r.act(t, "write f x spin", limits.RunOption{WorkDir: o.WorkDir, WasmFuel: 1e6})))
	for obj, err := range r.store.List(t.Context(), "", "out") { // out/ and outputs/
		t.Errorf("%s is stored (%v)", obj.Key, err)
	}
	r.proxy.Requests()
	want{outcome: jobs.Succeeded}.check(t, r.run(t, r.act(t, "write f x", o)))
	commit, publish := -1, -1
	for i, req := range r.proxy.Requests() {
		switch {
		case strings.HasSuffix(req, "/manifest.json") && commit < 0:
			commit = i
		case strings.Contains(req, "PUT") && strings.Contains(req, "/outputs/default/run/"):
			publish = i
		}
	}
	if commit < 0 || publish < commit {
		t.Errorf("the commit is request %d, publishing request %d", commit, publish)
	}
}
