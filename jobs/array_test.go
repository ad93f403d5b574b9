package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"boxfleet/limits"
)

func array(id string, count int) *Array {
	return &Array{ID: id, Count: count, Job: &Job{Tool: testTool, Args: []string{"--n={{index}}", "{{index:4}}", "{{other}}"}}}
}

// inChunks opens the batch of an array that is to be made in chunks smaller
// than usual, so that a test needs fewer jobs.
func (f *testFleet) inChunks(a *Array, chunk int) *OpenBatch {
	f.t.Helper()
	if err := f.client.CheckArray(a); err != nil {
		f.t.Fatal(err)
	}
	_, fingerprint, err := a.encode()
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := f.client.OpenBatch(f.ctx, BatchSpec{ID: a.ID, Fingerprint: fingerprint, Total: a.Count, Chunk: chunk})
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f *testFleet) ended(id string) *Batch {
	f.t.Helper()
	var b *Batch
	f.eventually("batch "+id+" ends", func() bool {
		var err error
		b, err = f.client.Batch(f.ctx, id)
		return err == nil && b.State == BatchEnded
	})
	return b
}

// An array becomes its jobs, each once, whoever makes them and however often,
// with the index where it stands in the pattern.
func TestArray(t *testing.T) {
	f := newFleet(t)
	var r runs
	var mu sync.Mutex
	args := map[string][]string{}
	h := func(ctx context.Context, a *Attempt) (*Result, error) {
		mu.Lock()
		args[a.Job.ID] = append(a.Job.Args, a.Job.Labels["part"], a.Job.Stdin.Inline, a.Job.Options.EnvVars["N"], a.Job.Options.MapDirs[0].Source)
		mu.Unlock()
		return r.handler(ctx, a)
	}
	const n = 250 // three chunks
	a := func() *Array {
		a := array("many", n)
		a.Job.Labels = map[string]string{"part": "p{{index}}"}
		a.Job.Stdin = &Stdin{Inline: "in {{index}}"}
		a.Job.Options = limits.RunOption{EnvVars: map[string]string{"N": "{{index}}"}, MapDirs: []limits.Mount{{Source: "s3://data/{{index:3}}/", Guest: "/in", Mode: "ro"}}}
		return a
	}
	f.inChunks(a(), 100)
	for range 2 {
		if got, err := f.client.SubmitArray(f.ctx, a(), nil); err != nil || got.ID != "many" || !got.Duplicate {
			t.Errorf("again: %+v, %v", got, err)
		}
	}
	other := a()
	other.Count++
	if _, err := f.client.SubmitArray(f.ctx, other, nil); err == nil || !strings.Contains(err.Error(), "another array") {
		t.Errorf("another array under the id: %v", err)
	}
	w := f.worker("w", h, func(c *WorkerConfig) { quick(c); c.Slots = 16 })
	b := f.ended("many")
	if b.Total != n || b.Counts[Succeeded] != n || !b.AllSucceeded() {
		t.Errorf("the batch: %+v", b)
	}
	// All of it once more, as by a worker that did not hear that it was done.
	again := a()
	if err := f.client.CheckArray(again); err != nil {
		t.Fatal(err)
	}
	_, p, err := decodeArray(mustEncode(t, again))
	if err != nil {
		t.Fatal(err)
	}
	ob, err := f.client.JoinBatch(f.ctx, "many")
	if err != nil {
		t.Fatal(err)
	}
	if err := expandChunk(f.ctx, ob, p, 0, 100); err != nil {
		t.Fatal(err)
	}
	f.eventually("the queue is empty but for lists", func() bool {
		ids, err := f.client.QueuedIDs(f.ctx)
		return err == nil && len(ids) == 0
	})
	_ = w.stop()
	for i := range n {
		id := fmt.Sprintf("many-%d", i)
		if got := r.of(id); got != 1 {
			t.Errorf("%s ran %d times", id, got)
		}
		want := fmt.Sprintf("[--n=%d %04d {{other}} p%d in %d %d s3://data/%03d/]", i, i, i, i, i, i)
		if got := fmt.Sprint(args[id]); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

func mustEncode(t *testing.T, a *Array) []byte {
	t.Helper()
	data, _, err := a.encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A worker dies after some chunks, the last of which it had only listed: the
// one that goes on makes what is missing and nothing twice.
func TestArrayGoesOn(t *testing.T) {
	f := newFleet(t)
	const n = 350
	a := array("go-on", n)
	if err := f.client.CheckArray(a); err != nil {
		t.Fatal(err)
	}
	_, p, err := decodeArray(mustEncode(t, a))
	if err != nil {
		t.Fatal(err)
	}
	b := f.inChunks(a, 100)
	if _, err := f.client.SubmitArray(f.ctx, a, nil); err != nil {
		t.Fatal(err)
	}
	if err := expandChunk(f.ctx, b, p, 0, 100); err != nil {
		t.Fatal(err)
	}
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = a.MemberID(100 + i)
	}
	list, err := b.list(100, ids)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.js.PublishMsg(f.ctx, list); err != nil { // and not its jobs
		t.Fatal(err)
	}
	w := f.idleWorker("w", succeed, nil, nil)
	for from, want := range map[int]bool{0: true, 100: false, 200: false, 300: false} {
		if got, err := w.isStored(f.ctx, b, from, n); err != nil || got != want {
			t.Errorf("the chunk from %d counts as stored: %v, %v", from, got, err)
		}
	}
	var r runs
	f.worker("other", r.handler, func(c *WorkerConfig) { quick(c); c.Slots = 16 })
	if b := f.ended("go-on"); b.Counts[Succeeded] != n {
		t.Errorf("%+v", b)
	}
	for i := range n {
		if got := r.of(a.MemberID(i)); got != 1 {
			t.Errorf("%s ran %d times", a.MemberID(i), got)
		}
	}
}

// What is wrong with an array is said when it is submitted; one that reaches a
// worker all the same becomes a dead letter and nobody's trouble.
func TestArrayRefused(t *testing.T) {
	f := newFleet(t)
	for name, tc := range map[string]struct {
		change func(*Array)
		want   string
	}{
		"none":          {func(a *Array) { a.Count = 0 }, "count"},
		"too many":      {func(a *Array) { a.Count = MaxArray + 1 }, "count"},
		"no job":        {func(a *Array) { a.Job = nil }, "job"},
		"long id":       {func(a *Array) { a.ID = strings.Repeat("a", maxArrayID+1) }, "id"},
		"odd index":     {func(a *Array) { a.Job.Args = []string{"{{index:x}}"} }, "{{index:N}}"},
		"wide index":    {func(a *Array) { a.Job.Args = []string{"{{index:999999999}}"} }, "{{index:N}}"},
		"open index":    {func(a *Array) { a.Job.Args = []string{"{{index"} }, "{{index:N}}"},
		"too long last": {func(a *Array) { a.Job.IdempotencyKey = strings.Repeat("k", 254) + "{{index}}" }, "index 1199"},
		"one key":       {func(a *Array) { a.Job.IdempotencyKey = "k" }, "would make all jobs of the array one"},
		"too large":     {func(a *Array) { a.Job.Args = []string{strings.Repeat("x", MaxJobSize)} }, "at most"},
		"too much":      {func(a *Array) { a.Count, a.Job.Args = 20_000, []string{strings.Repeat("x", 60_000)} }, "1024 MiB"},
		"other tenant":  {func(a *Array) { a.Tenant = "else" }, "tenant"},
		"grows":         {func(a *Array) { a.Job.Args = []string{strings.Repeat("{{index:18}}", 4000)} }, "index 0"},
	} {
		a := array("refused", 1200)
		tc.change(a)
		if _, err := f.client.SubmitArray(f.ctx, a, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	good := array("good", 3)
	if err := f.client.CheckArray(good); err != nil {
		t.Fatal(err)
	}
	data := mustEncode(t, good)
	for subject, body := range map[string]string{
		"submit.default.array.a": "no array", "submit.default.array.b": `{"v":1,"count":5}`, "submit.other.array.good": string(data),
		"submit.default.fire.c": `{"v":1}`, "submit.default.fire.d": string(data),
	} {
		if _, err := f.js.Publish(f.ctx, subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	f.worker("w", succeed, quick)
	f.eventually("all are dead letters", func() bool { return len(f.deadLetters())+len(lettersOf(f, "unknown")) == 5 })
	if _, err := f.client.SubmitArray(f.ctx, array("good", 3), nil); err != nil {
		t.Fatal(err)
	}
	if b := f.ended("good"); !b.AllSucceeded() {
		t.Errorf("%+v", b)
	}
	f.quiet()
}

func lettersOf(f *testFleet, tenant string) (all []*DeadLetter) {
	for d, err := range f.tenant(tenant).DeadLetters(f.ctx) {
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// A batch can be waited for, and an array of held jobs can wait.
func TestAfterBatch(t *testing.T) {
	f := newFleet(t)
	h := func(ctx context.Context, a *Attempt) (*Result, error) {
		if a.Job.ID == "mixed-1" {
			return &Result{Outcome: Exited, ExitCode: 1}, nil
		}
		return succeed(ctx, a)
	}
	f.worker("w", h, quick)
	waits := func(id, batch, when string) *Job {
		j := newJob(id)
		j.After = &After{Batches: []string{batch}, When: when}
		return j
	}
	f.submit(waits("s1", "good", ""), waits("s2", "mixed", ""), waits("s3", "mixed", AfterEnded))
	behind := array("behind", 5)
	behind.Job.After = &After{Batches: []string{"good"}}
	for _, a := range []*Array{behind, array("good", 3), array("mixed", 3)} {
		if _, err := f.client.SubmitArray(f.ctx, a, nil); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]Outcome{"s1": Succeeded, "s2": Canceled, "s3": Succeeded} {
		if rec := f.result(id); rec.Result.Outcome != want {
			t.Errorf("%s: %s %q, want %s", id, rec.Result.Outcome, rec.Result.Error, want)
		}
	}
	if rec := f.result("s2"); !strings.Contains(rec.Result.Error, "batch mixed") || !strings.Contains(rec.Result.Error, "1 of 3") {
		t.Errorf("s2 says %q", rec.Result.Error)
	}
	if b := f.ended("behind"); !b.AllSucceeded() {
		t.Errorf("%+v", b)
	}
}

func FuzzDecodeArray(f *testing.F) {
	for _, s := range []string{`{"v":1,"id":"a","tenant":"t","count":3,"job":{}}`, `{}`, `[]`, `{"v":1,"id":"a","tenant":"t","count":1,"job":{"v":1,"id":"a-{{index}}","tenant":"t","batch":"a","priority":"low","tool":{"digest":"sha256:` + strings.Repeat("ab", 32) + `","size":1},"args":["{{index:2}}"],"submitted_at":"2026-01-01T00:00:00Z"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, p, err := decodeArray(data)
		if err != nil {
			return
		}
		for _, i := range []int{0, a.Count / 2, a.Count - 1} {
			j, err := p.job(i)
			if err == nil && (j.ID != a.MemberID(i) || j.Tenant != a.Tenant || j.Batch != a.ID) {
				t.Errorf("index %d: job %s of %s in %s", i, j.ID, j.Tenant, j.Batch)
			}
		}
	})
}

func FuzzDecodeSchedule(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "@hourly", "@every 1s", "TZ=UTC * * * * *", "0 0 30 2 *", "1-59/7 0 1 JAN ?"} {
		data, err := json.Marshal(&Recurring{V: 1, Name: "n", Tenant: "t", Cron: s, Overlap: OverlapSkip, Job: &Job{V: 1, ID: patternID, Tenant: "t", Priority: Low, Tool: testTool, SubmittedAt: time.Unix(0, 0)}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecurring(data)
		if err != nil {
			return
		}
		if _, err := r.message(); err != nil {
			t.Errorf("a valid schedule has no message: %v", err)
		}
		if next := r.Next(time.Unix(1_700_000_000, 0)); !r.Paused && next.IsZero() && r.Cron != "" {
			t.Logf("%q has no next time from then on", r.Cron)
		}
	})
}
