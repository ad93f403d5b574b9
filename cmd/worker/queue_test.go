package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/artifacts"
	"boxfleet/internal/natstest"
	"boxfleet/jobs"
)

// tryGet gives the body of a page, or "" while there is none.
func tryGet(url string) (code int, body string) {
	res, err := http.Get(url)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	data, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(data)
}

// queued gives what a metrics page says of the queue, as "state priority n".
func queued(page string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(page) {
		labels, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || !strings.HasPrefix(labels, "boxfleet_queue_jobs{") {
			continue
		}
		label := func(name string) string {
			_, rest, _ := strings.Cut(labels, name+`="`)
			text, _, _ := strings.Cut(rest, `"`)
			return text
		}
		out[label("state")+" "+label("priority")] = value
	}
	return out
}

// eventually polls until ok, for as long as a slow machine may need.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestQueueMetrics: the length of the queue is known while no worker is, over
// all tenants; and unknown, not zero, as long as nobody could count it.
func TestQueueMetrics(t *testing.T) {
	srv := natstest.Start(t)
	nc, js := srv.Connect(t)
	port, err := natstest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	out := &output{}
	cmd := command(t, nil, "queue-metrics", "--nats", srv.URL(), "--http", strings.TrimPrefix(url, "http://"))
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("ended with %v\n%s", err, out)
			}
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			t.Errorf("does not end\n%s", out)
		}
	})
	eventually(t, "listening", func() bool { code, _ := tryGet(url + "/healthz"); return code == 200 })
	eventually(t, "the missing queue is said", func() bool { return strings.Contains(out.String(), "cannot be counted") })
	if code, _ := tryGet(url + "/readyz"); code != 503 {
		t.Errorf("without a queue /readyz is %d", code)
	}
	if _, page := tryGet(url + "/metrics"); len(queued(page)) > 0 {
		t.Errorf("without a queue it counts %v", queued(page))
	}

	if err := (jobs.Topology{}).Ensure(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	submit := func(tenant string, change func(*jobs.Job), n int) {
		client, err := jobs.NewClient(t.Context(), nc, js, tenant)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			j := &jobs.Job{ID: jobs.NewID(), Tool: jobs.Tool{Digest: artifacts.Digest("sha256:" + strings.Repeat("a", 64)), Size: 1}}
			change(j)
			if _, err := client.Submit(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
	}
	submit("a-b", func(j *jobs.Job) { j.Priority = jobs.High }, 3)
	submit("b", func(j *jobs.Job) { j.Priority = jobs.High }, 1)
	submit("b", func(j *jobs.Job) {}, 2)
	submit("b", func(j *jobs.Job) { j.Concurrency = &jobs.Concurrency{Key: "k", Limit: 1} }, 5)
	submit("b", func(j *jobs.Job) { j.RunAt = time.Now().Add(time.Hour) }, 7) // no work yet

	// An array is made into jobs by workers: it must wake the first one.
	client, err := jobs.NewClient(t.Context(), nc, js, "a-b")
	if err != nil {
		t.Fatal(err)
	}
	array := &jobs.Array{ID: "arr", Count: 100, Job: &jobs.Job{Tool: jobs.Tool{Digest: artifacts.Digest("sha256:" + strings.Repeat("a", 64)), Size: 1}}}
	if _, err := client.SubmitArray(t.Context(), array, nil); err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateOrUpdateConsumer(t.Context(), jobs.StreamJobs, jetstream.ConsumerConfig{
		Durable: "expand", FilterSubjects: []string{"submit.*.array.*", "submit.*.fire.*", "submit.*.start.*"}, AckPolicy: jetstream.AckExplicitPolicy,
	}) // as a worker's start makes it
	if err != nil {
		t.Fatal(err)
	}

	// One of them is a worker's.
	cons, err := js.Consumer(t.Context(), jobs.StreamJobs, "q-a-b-high")
	if err != nil {
		t.Fatal(err)
	}
	if batch, err := cons.Fetch(1); err != nil {
		t.Fatal(err)
	} else if m := <-batch.Messages(); m == nil {
		t.Fatal("no job was fetched", batch.Error())
	}

	want := "map[pending high:3 pending keyed:5 pending low:0 pending normal:2 pending unmade:1 running high:1 running keyed:0 running low:0 running normal:0 running unmade:0]"
	var got string
	eventually(t, "counted", func() bool {
		_, page := tryGet(url + "/metrics")
		got = fmt.Sprint(queued(page))
		return got != "map[]"
	})
	// The first count may have come between two submissions.
	for range 3 {
		if got == want {
			break
		}
		last := got
		eventually(t, "counted again, after "+last, func() bool {
			_, page := tryGet(url + "/metrics")
			got = fmt.Sprint(queued(page))
			return got != last
		})
	}
	if got != want {
		t.Errorf("the queue is %s\nwant         %s", got, want)
	}
	if code, _ := tryGet(url + "/readyz"); code != 200 {
		t.Errorf("/readyz is %d", code)
	}
}

// TestOldCountIsNotShown: an autoscaler that acts on an old number takes
// workers from jobs, or keeps them for none.
func TestOldCountIsNotShown(t *testing.T) {
	g := &queueGauge{}
	totals := []jobs.QueueTotal{{Queue: "high", Pending: 1}}
	g.latest.Store(&queueCount{at: time.Now(), totals: totals})
	if len(g.current()) != 1 {
		t.Error("a fresh count is not shown")
	}
	g.latest.Store(&queueCount{at: time.Now().Add(-countQueueFor), totals: totals})
	if len(g.current()) != 0 {
		t.Error("an old count is shown")
	}

	// A worker that ceases to coordinate shows nothing from then on.
	srv := natstest.Start(t)
	_, js := srv.Connect(t)
	if err := (jobs.Topology{}).Ensure(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.run(ctx, js) }()
	eventually(t, "counted", func() bool { return len(g.current()) > 0 })
	cancel()
	if err := <-done; err != nil || g.current() != nil {
		t.Errorf("after its end: %v, %v", err, g.current())
	}
}

// TestFreeCacheDirectory: workers started alike keep their caches apart, one
// that comes later takes over the cache of one that has ended, and one of them
// counts the queue for all.
func TestFreeCacheDirectory(t *testing.T) {
	srv := natstest.Start(t)
	cfg := server.Config("free-cache")
	dir := t.TempDir()
	worker := func(name string) *process {
		return start(t, []string{"BOXFLEET_S3_SECRET_KEY=" + string(cfg.SecretKey)}, "run", "--nats", srv.URL(), "--name", name,
			"--s3-endpoint", cfg.Endpoint, "--s3-access-key", cfg.AccessKey, "--s3-bucket", cfg.Bucket,
			"--cache-dir", filepath.Join(dir, "{free}"), "--scratch-dir", t.TempDir(), "--http", "127.0.0.1:0")
	}
	used := func() string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	}
	a := worker("a")
	if used() != "0" {
		t.Errorf("the first worker uses %s", used())
	}
	b := worker("b")
	if used() != "0 1" {
		t.Errorf("two workers use %s", used())
	}
	counts := func(p *process) bool { _, page := tryGet(p.ready.HTTP + "/metrics"); return len(queued(page)) > 0 }
	eventually(t, "the coordinator counts", func() bool { return counts(a) || counts(b) })
	if counts(a) && counts(b) {
		t.Error("both workers count the queue")
	}
	a.stop(t)
	eventually(t, "the other one counts", func() bool { return counts(b) })
	c := worker("c")
	if used() != "0 1" {
		t.Errorf("a third worker, after the first has ended, uses %s", used())
	}
	b.stop(t)
	c.stop(t)
}
