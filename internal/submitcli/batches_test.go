package submitcli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// ended waits until the fleet has counted a batch up.
func (u *user) ended(batch string) *jobs.Batch {
	u.t.Helper()
	for b, err := range u.client.WatchBatch(u.t.Context(), batch) {
		if err != nil {
			u.t.Fatal(err)
		}
		if b.State == jobs.BatchEnded && b.Announced {
			return b
		}
	}
	u.t.Fatal("the watch ended")
	return nil
}

// failing ends jobs whose first argument is fail with exit code 4.
func failing(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
	if len(a.Job.Args) > 0 && a.Job.Args[0] == "fail" {
		return done(4, "", "no"), nil
	}
	return done(0, "", ""), nil
}

func TestBatchStatusAndList(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	told, err := u.f.nc.SubscribeSync("notify." + u.tenant + ".done")
	if err != nil {
		t.Fatal(err)
	}
	path := batchFile(t, u.tool(failing), `{"tool":"TOOL"}`, `{"tool":"TOOL","args":["fail"]}`, `{"tool":"TOOL"}`)
	id := strings.TrimSpace(u.submit("batch", path, "--batch-id", "mine", "--notify-subject", "notify."+u.tenant+".done",
		"--notify-url", "https://hooks.example.com/done", "--notify-secret", "secret://hook", "-q").out)
	if id != "mine" {
		t.Fatalf("the batch is %q", id)
	}
	u.ended("mine")
	if _, err := told.NextMsg(time.Minute); err != nil {
		t.Error(err)
	}
	u.submit("wait", "--batch", "mine").want(t, 1, "exited 4", "")
	var b jobs.Batch
	deadline := time.Now().Add(time.Minute)
	for b.Notice == nil || b.Notice.State == jobs.NoticePending {
		got := u.submit("batch", "status", "mine", "--json")
		if err := json.Unmarshal([]byte(got.out), &b); err != nil || got.code != 0 || time.Now().After(deadline) {
			t.Fatalf("%v: %+v", err, got)
		}
	}
	if b.State != jobs.BatchEnded || b.Total != 3 || b.Counts[jobs.Succeeded] != 2 || b.Counts[jobs.Exited] != 1 || b.Counted != nil {
		t.Errorf("the batch is %+v", b)
	}
	text := u.submit("batch", "status", "mine")
	for _, want := range []string{"ended", "exited", "https://hooks.example.com/done", "refused", "webhooks are not enabled"} {
		if !strings.Contains(text.out, want) {
			t.Errorf("the status %s does not say %q", text.out, want)
		}
	}
	list := u.submit("batches")
	if list.code != 0 || !strings.Contains(list.out, "mine") || !strings.Contains(list.out, "refused") {
		t.Errorf("the list is %+v", list)
	}
	u.submit("batches", "--limit", "0").want(t, 2, "", "--limit")
	u.submit("batch", "status", "nobody").want(t, 1, "", `batch "nobody" not found`)
	u.submit("batch", "status", "a.b").want(t, 2, "", "not 1 to 64")
	u.submit("batch", path, "--notify-url", "https://x").want(t, 2, "", "go together")
	u.submit("batch", path, "--notify-subject", "jobs.x", "--batch-id", "other").want(t, 2, "", "notify."+u.tenant)
	u.submit("batch", path, "--notify-url", "https://a:b@x", "--notify-secret", "secret://s", "--batch-id", "other").want(t, 2, "", "password")
}

// TestBatchLeftOpen: a submitter was killed. Whoever waits is told, and the
// batch can be closed, or the same file submitted again.
func TestBatchLeftOpen(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	b, err := u.client.OpenBatch(t.Context(), jobs.BatchSpec{ID: "killed", Fingerprint: "of a killed one"})
	if err != nil {
		t.Fatal(err)
	}
	name := u.tool(echo)
	one := func(yield func(jobs.JobWithContext, error) bool) {
		yield(jobs.JobWithContext{Ctx: t.Context(), Job: &jobs.Job{ID: "k1", Batch: "killed", Tool: jobs.Tool{Name: name, Version: "1.0.0", Digest: artifacts.DigestBytes([]byte(name)), Size: 1}}}, nil)
	}
	if err := b.SubmitMany(t.Context(), 0, iter.Seq2[jobs.JobWithContext, error](one), func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	u.submit("wait", "--batch", "killed", "--timeout", "2").want(t, 1, "k1 succeeded 0\n", "batch killed has not ended within --timeout 2")
	u.submit("batch", "status", "killed").want(t, 0, "open", "")
	u.submit("batch", "close", "killed").want(t, 0, "batch killed: closed with 1 job\n", "")
	if rec := u.ended("killed"); !rec.AllSucceeded() || rec.Total != 1 {
		t.Errorf("the batch ended as %+v", rec)
	}
	u.submit("wait", "--batch", "killed").want(t, 0, "k1 succeeded 0\n", "")
}

// TestMaxQueued: no more than the given number of jobs wait or run, and a group.
func TestMaxQueued(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	most := make(chan int, 10_000)
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		if n, err := u.client.QueueSize(ctx); err == nil {
			most <- n
		}
		return done(0, "", ""), nil
	})
	var lines []string
	for i := range 450 {
		lines = append(lines, fmt.Sprintf(`{"tool":"TOOL","args":["%d"]}`, i))
	}
	got := u.submit("batch", batchFile(t, tool, lines...), "--wait", "--max-queued", "50")
	if got.code != 0 || !strings.Contains(got.out, "succeeded  450") {
		t.Fatalf("%+v", got)
	}
	close(most)
	for n := range most {
		if n > 50+100 {
			t.Fatalf("%d jobs were queued at once", n)
		}
	}
	u.submit("batch", "x", "--max-queued", "-1").want(t, 2, "", "--max-queued")
}

func TestEventsCommand(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	path := batchFile(t, u.tool(failing), `{"id":"e1","tool":"TOOL"}`, `{"id":"e2","tool":"TOOL","args":["fail"]}`)
	u.submit("batch", path, "--batch-id", "ev", "-q").want(t, 0, "ev\n", "")
	got := u.submit("events", "--batch", "ev", "--until-ended", "--since", "1h")
	if got.code != 1 || got.err != "" {
		t.Errorf("%+v", got)
	}
	for _, want := range []string{"batch ev ended 2 of 2 ended succeeded 1 exited 1"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the events %s do not say %q", got.out, want)
		}
	}
	u.submit("events", "--job", "e1", "--until-ended").want(t, 0, "job e1 succeeded on test", "")
	js := u.submit("events", "--job", "e2", "--until-ended", "--json")
	var e jobs.Event
	if err := json.Unmarshal([]byte(js.out), &e); err != nil || js.code != 1 || e.Outcome != jobs.Exited || *e.ExitCode != 4 || e.Batch != "ev" {
		t.Errorf("%v %+v %+v", err, e, js)
	}
	u.submit("events", "--job", "e1", "--batch", "ev").want(t, 2, "", "not both")
	u.submit("events", "--until-ended").want(t, 2, "", "which end")
	u.submit("events", "--since", "yesterday").want(t, 2, "", "--since")
	u.submit("events", "--job", "nobody").want(t, 1, "", "not found")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_ = u.submitIn(ctx, strings.NewReader(""), "events") // ends with its context
}
