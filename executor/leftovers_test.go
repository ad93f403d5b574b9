package executor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/artifacts"
	"boxfleet/executor"
	"boxfleet/internal/faultproxy"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// keys lists the store's keys below a prefix.
func (r *rig) keys(t *testing.T, prefix string) (keys []string) {
	t.Helper()
	for o, err := range r.store.List(t.Context(), "", prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// runsOf tells a job's runs that have objects, and whether it has a manifest.
func (r *rig) runsOf(t *testing.T, id string) (runs []string, manifest bool) {
	t.Helper()
	for _, key := range r.keys(t, "out/default/"+id+"/") {
		parts := strings.SplitN(key, "/", 6)
		if len(parts) < 6 {
			manifest = manifest || parts[3] == "manifest.json"
			continue
		}
		if run := strings.Join(parts[:5], "/") + "/"; !slices.Contains(runs, run) {
			runs = append(runs, run)
		}
	}
	return runs, manifest
}

func (r *rig) statusBucket(t *testing.T) jetstream.KeyValue {
	t.Helper()
	kv, err := r.js.KeyValue(t.Context(), jobs.BucketStatus)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// giveAway makes another worker the holder of a job, as a redelivery would.
func (r *rig) giveAway(t *testing.T, id string) {
	t.Helper()
	kv := r.statusBucket(t)
	entry, err := kv.Get(t.Context(), "default."+id)
	if err != nil {
		t.Error(err)
		return
	}
	var rec jobs.Record
	if err := json.Unmarshal(entry.Value(), &rec); err != nil {
		t.Error(err)
		return
	}
	rec.Attempt++
	rec.Worker, rec.StartedAt = "another", time.Now().UTC()
	data, err := json.Marshal(rec)
	if err == nil {
		_, err = kv.Update(t.Context(), "default."+id, data, entry.Revision())
	}
	if err != nil {
		t.Error(err)
	}
}

var rw = limits.RunOption{WorkDir: &limits.Mount{Mode: limits.ReadWrite}}

// once gives a fault's match that calls do at the first request to a path.
func once(method, path string, do func()) func(*http.Request) bool {
	var first sync.Once
	match := faultproxy.Method(method, path)
	return func(req *http.Request) bool {
		if match(req) {
			first.Do(do)
		}
		return false
	}
}

// TestFencedRunLeavesNothing: a run that loses its job while it uploads
// removes its objects; one whose manifest stands keeps them.
func TestFencedRunLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path string
		runs       int
	}{
		{"while it uploads", "/files/", 0},
		{"while its manifest is stored", "manifest.json", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{})
			job := r.act(t, "write a one write b two", rw)
			job.ID = "fenced"
			r.proxy.Set(faultproxy.Fault{Match: once("PUT", c.path, func() { r.giveAway(t, job.ID) })})
			r.submit(t, job)
			eventually(t, "the attempt is dropped", func() bool {
				return r.worker.Active() == 0 && strings.Contains(r.logs.String(), "no longer this worker's")
			})
			var runs []string
			var manifest bool
			eventually(t, "its objects are judged", func() bool {
				runs, manifest = r.runsOf(t, job.ID)
				return len(runs) == c.runs
			})
			if manifest != (c.runs == 1) {
				t.Errorf("manifest %v, runs %q", manifest, runs)
			}
			if c.runs == 1 && len(r.keys(t, runs[0])) != 2 {
				t.Errorf("a run whose manifest stands lost objects: %q", r.keys(t, runs[0]))
			}
		})
	}
}

// TestEndedJobLeavesNothing: whoever ends a job removes what other runs of it
// uploaded, and its own objects when they are no outputs.
func TestEndedJobLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		fault   faultproxy.Fault
		outcome jobs.Outcome
		runs    int
	}{
		{"second attempt", faultproxy.Fault{Match: faultproxy.Method("PUT", "manifest.json"), Times: 1, Status: 503, Code: "SlowDown"}, jobs.Succeeded, 1},
		{"no second attempt", faultproxy.Fault{Match: faultproxy.Method("PUT", "manifest.json"), Status: 403, Code: "AccessDenied"}, jobs.Failed, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, options{store: func(c *artifacts.Config) { c.Tries = 1 }})
			r.proxy.Set(c.fault)
			job := r.act(t, "write a one write b two", rw)
			job.ID = "ended"
			res := r.run(t, job)
			if res.Outcome != c.outcome {
				t.Fatalf("outcome %s: %s", res.Outcome, res.Error)
			}
			var runs []string
			eventually(t, "only what counts is left", func() bool {
				runs, _ = r.runsOf(t, job.ID)
				return len(runs) == c.runs
			})
			if c.runs == 1 {
				same(t, "outputs", r.outputs(t, res), map[string]string{"a": "one", "b": "two"})
				if !strings.HasPrefix(res.OutputPrefix, "s3://"+r.store.Bucket()+"/"+runs[0]) {
					t.Errorf("the result names %s, left is %s", res.OutputPrefix, runs[0])
				}
			}
		})
	}
}

// TestCanceledJobLeavesNothing: a cancel that comes while outputs are uploaded.
func TestCanceledJobLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	job := r.act(t, "write a one", rw)
	job.ID = "canceled"
	r.proxy.Set(faultproxy.Fault{Match: once("PUT", "/files/", func() {
		if _, err := r.client.Cancel(t.Context(), job.ID); err != nil {
			t.Error(err)
		}
	})})
	if res := r.run(t, job); res.Outcome != jobs.Canceled {
		t.Fatalf("outcome %s", res.Outcome)
	}
	eventually(t, "nothing is left", func() bool { return len(r.keys(t, "out/")) == 0 })
}

// TestSweepOutputs: what a sweep removes, and what it must leave, by the
// state of the job's record and manifest.
func TestSweepOutputs(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{}) // its worker runs nothing: it makes the buckets
	kv := r.statusBucket(t)
	url := func(key string) string { return "s3://" + r.store.Bucket() + "/" + key }
	named := func(prefix string) *jobs.Result {
		return &jobs.Result{Outcome: jobs.Succeeded, OutputPrefix: url(prefix + "files/")}
	}
	type place struct {
		record   any // *jobs.Record, or text
		manifest any // *jobs.Result, or text
		left     []string
	}
	// Every job has the runs 1/a (a file and a long stdout) and 2/b (a file).
	a, b := "1/a/", "2/b/"
	both := []string{"1/a/files/x", "1/a/stdio/stdout", "2/b/files/x"}
	onlyA, onlyB := both[:2], both[2:]
	cases := map[string]place{
		"running":          {record: jobs.Record{State: jobs.Running}, left: both},
		"retrying":         {record: jobs.Record{State: jobs.Retrying}, left: both},
		"waiting":          {record: jobs.Record{State: jobs.Queued}, left: both},
		"done-a":           {record: a, manifest: a, left: onlyA},
		"done-b":           {record: b, manifest: b, left: onlyB},
		"done-both":        {record: a, manifest: b, left: both},
		"done-none":        {record: jobs.Record{State: jobs.Done, Result: &jobs.Result{Outcome: jobs.Canceled}}},
		"done-stdout":      {record: jobs.Record{State: jobs.Done, Result: &jobs.Result{StdoutKey: url("out/default/done-stdout/1/a/stdio/stdout")}}, left: onlyA},
		"done-elsewhere":   {record: jobs.Record{State: jobs.Done, Result: named("out/default/running/1/a/")}, left: both},
		"gone":             {},
		"gone-a":           {manifest: a, left: onlyA},
		"record-garbage":   {record: "{", left: both},
		"record-version":   {record: jobs.Record{State: jobs.Done, V: 99, Result: &jobs.Result{}}, left: both},
		"record-no-result": {record: jobs.Record{State: jobs.Done}, left: both},
		"manifest-garbage": {manifest: "{", left: both},
		"manifest-version": {manifest: `{"version": 99}`, left: both},
		"manifest-empty":   {manifest: `{"version": 1, "result": {}}`, left: both},
		"manifest-other":   {manifest: "out/default/running/1/a/", left: both},
		"manifest-result":  {manifest: `{"version": 1, "result": "text"}`, left: both},
	}
	for id, c := range cases {
		job := "out/default/" + id + "/"
		for _, key := range both {
			r.put(t, job+key, "x")
		}
		full := func(run string) string {
			if strings.HasPrefix(run, "out/") {
				return run
			}
			return job + run
		}
		switch rec := c.record.(type) {
		case nil:
		case string:
			if rec != "{" {
				data, err := json.Marshal(jobs.Record{State: jobs.Done, V: jobs.WireVersion, ID: id, Tenant: "default", Result: named(full(rec))})
				if err != nil {
					t.Fatal(err)
				}
				rec = string(data)
			}
			if _, err := kv.PutString(t.Context(), "default."+id, rec); err != nil {
				t.Fatal(err)
			}
		case jobs.Record:
			rec.ID, rec.Tenant = id, "default"
			if rec.V == 0 {
				rec.V = jobs.WireVersion
			}
			data, err := json.Marshal(rec)
			if err == nil {
				_, err = kv.Put(t.Context(), "default."+id, data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if text, ok := c.manifest.(string); ok {
			if !strings.HasPrefix(text, "{") {
				res, err := json.Marshal(named(full(text)))
				if err != nil {
					t.Fatal(err)
				}
				text = fmt.Sprintf(`{"version": 1, "job": %q, "result": %s}`, id, res)
			}
			r.put(t, job+"manifest.json", text)
		}
	}
	// Keys that boxfleet never writes.
	strange := []string{
		"out/default/x", "out/default/running/0/a/files/x", "out/default/running/01/a/files/x", "out/default/running/one/a/files/x",
		"out/de fault/j/1/a/x", "out/default/j.b/1/a/x", "out/default/j/1/x", "out/default/j/other.json", "out/default/j/99999999999/a/x",
	}
	for _, key := range strange {
		r.put(t, key, "x")
	}
	cfg := executor.SweepConfig{Store: r.store, Records: jobs.NewLedger(r.nc), Older: time.Hour}
	sweep := func(cfg executor.SweepConfig) executor.SweepReport {
		t.Helper()
		report, err := executor.SweepOutputs(t.Context(), cfg)
		if err != nil {
			t.Error(err)
		}
		return report
	}
	before := r.keys(t, "out/")
	if report := sweep(cfg); report.Removed != 0 || report.Young == 0 || !slices.Equal(before, r.keys(t, "out/")) {
		t.Errorf("a sweep removed young objects: %+v", report)
	}

	// What the store will not tell must not count as gone.
	r.proxy.Set(faultproxy.Fault{Match: faultproxy.Method("GET", "manifest.json"), Status: 403, Code: "AccessDenied"})
	store := server.Config(r.store.Bucket())
	store.Endpoint, store.Tries = r.proxy.Addr(), 1
	refused, err := artifacts.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	if report := sweep(executor.SweepConfig{Store: refused, Records: cfg.Records}); report.Removed != 0 || report.Unknown == 0 {
		t.Errorf("without manifests: %+v", report)
	}
	r.nc2(t, func(l *jobs.Ledger) { // and what NATS will not tell neither
		if report := sweep(executor.SweepConfig{Store: r.store, Records: l}); report.Removed != 0 || report.Unknown == 0 {
			t.Errorf("without records: %+v", report)
		}
	})
	if !slices.Equal(before, r.keys(t, "out/")) {
		t.Fatal("a sweep that could not read removed objects")
	}

	// Two at once.
	cfg.Older = 0
	var reports [2]executor.SweepReport
	var both2 sync.WaitGroup
	for i := range reports {
		both2.Go(func() { reports[i] = sweep(cfg) })
	}
	both2.Wait()
	for id, c := range cases {
		var left []string
		for _, key := range r.keys(t, "out/default/"+id+"/") {
			if key = strings.TrimPrefix(key, "out/default/"+id+"/"); key != "manifest.json" && !slices.Contains(strange, "out/default/"+id+"/"+key) {
				left = append(left, key)
			}
		}
		slices.Sort(left)
		if !slices.Equal(left, c.left) {
			t.Errorf("%s: %q is left, want %q", id, left, c.left)
		}
	}
	for _, key := range strange {
		r.get(t, url(key))
	}
	if reports[0].Strange != len(strange) || reports[0].Unknown == 0 {
		t.Errorf("%+v", reports[0])
	}
	if again := sweep(cfg); again.Removed != 0 {
		t.Errorf("a third sweep found more: %+v", again)
	}
}

// nc2 gives a ledger whose connection is gone.
func (r *rig) nc2(t *testing.T, do func(*jobs.Ledger)) {
	t.Helper()
	nc, _, err := jobs.Connect(t.Context(), jobs.ConnConfig{URL: r.nats, Wait: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	do(jobs.NewLedger(nc))
}

// TestSweepWhileJobsRun: a sweep that has no patience at all takes nothing
// from jobs that are uploading, committing or finished.
func TestSweepWhileJobsRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{})
	ctx, stop := context.WithCancel(t.Context())
	var sweeps sync.WaitGroup
	sweeps.Go(func() {
		for ctx.Err() == nil {
			if report, err := executor.SweepOutputs(ctx, executor.SweepConfig{Store: r.store, Records: jobs.NewLedger(r.nc)}); err == nil && report.Removed > 0 {
				t.Errorf("a sweep removed %d objects of jobs that need them", report.Removed)
			}
		}
	})
	defer sweeps.Wait()
	defer stop()
	var ids []string
	for range 60 {
		ids = append(ids, r.submit(t, r.act(t, "write a one write b two fill c 100000 stdout 300000", rw)))
	}
	for id, rec := range r.await(t, ids...) {
		if rec.Result.Outcome != jobs.Succeeded {
			t.Fatalf("%s: %s %s", id, rec.Result.Outcome, rec.Result.Error)
		}
		for _, f := range rec.Result.Outputs {
			if body := r.get(t, rec.Result.OutputPrefix+f.Path); artifacts.DigestBytes([]byte(body)).Hex() != f.SHA256 {
				t.Errorf("%s: %s is not what was collected", id, f.Path)
			}
		}
		if len(r.get(t, rec.Result.StdoutKey)) != 300000 {
			t.Errorf("%s: its stdout is not whole", id)
		}
	}
}

// TestWorkersSweep: the worker that coordinates sweeps by itself, and takes
// nothing that counts.
func TestWorkersSweep(t *testing.T) {
	t.Parallel()
	r := newRig(t, options{noWorker: true})
	orphan := r.put(t, "out/default/dead/1/run/files/x", "x")
	r.startWorker(t, options{worker: func(c *jobs.WorkerConfig) {
		c.Chores = []jobs.Chore{r.exec.OutputChore(jobs.NewLedger(r.nc), 50*time.Millisecond, 0)}
	}}, slog.New(slog.NewTextHandler(r.logs, nil)))
	res := r.run(t, r.act(t, "write a one", rw))
	eventually(t, "the orphan is gone", func() bool {
		return !slices.Contains(r.keys(t, "out/"), strings.TrimPrefix(orphan, "s3://"+r.store.Bucket()+"/"))
	})
	eventually(t, "another sweep", func() bool { return strings.Count(r.logs.String(), "swept the outputs") > 1 })
	same(t, "outputs", r.outputs(t, res), map[string]string{"a": "one"})
}
