package fleetview_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"boxfleet/internal/fleetview"
	"boxfleet/internal/fleetview/fleetviewtest"
	"boxfleet/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// evil is text that would drive a terminal, reorder a line or close a tag.
const evil = "\x1b[2Jred\x07\u202egnp.exe</script>\n\u2066x"

func TestPicture(t *testing.T) {
	t.Parallel()
	f := fleetviewtest.Start(t)
	hold := make(chan struct{})
	f.Play("fails", func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		_, end := a.Begin(ctx, jobs.PhaseRun)
		<-time.After(2 * time.Millisecond) // a run that takes time
		end(nil)
		return &jobs.Result{Outcome: jobs.Trapped, ExitCode: -1, Error: "trap: " + evil}, nil
	})
	f.Play("waits", func(ctx context.Context, _ *jobs.Attempt) (*jobs.Result, error) {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		return &jobs.Result{Outcome: jobs.Succeeded}, nil
	})
	j := fleetviewtest.Job("before", "fails")
	j.Labels = map[string]string{"who": evil}
	f.Submit(j)
	waiter, err := f.Client.NewWaiter("", "before")
	if err != nil {
		t.Fatal(err)
	}
	defer waiter.Close()
	waiter.Expect("before")
	waiter.LookNow()
	if _, err := waiter.Next(t.Context()); err != nil {
		t.Fatal(err)
	}

	v := f.Watch() // what ended before it looked is in the picture too
	s := f.Until(v, "the job of before", func(s *fleetview.Snapshot) bool { return len(s.Failures) == 1 && len(s.Workers) == 1 })
	if got := s.Failures[0]; got.ID != "before" || got.Outcome != jobs.Trapped || got.RunMS <= 0 || got.RunMS > got.TotalMS || strings.ContainsAny(got.Error, "\x1b\x07\n\u202e\u2066") || !strings.Contains(got.Error, "</script>") {
		t.Errorf("the failure is %+v", got)
	}
	if got := s.Failures[0].Labels; len(got) != 1 || strings.ContainsAny(got[0], "\x1b\u202e\n") {
		t.Errorf("labels %q", got)
	}
	if w := s.Workers[0]; w.Name != "bench" || w.Slots != 4 {
		t.Errorf("the worker is %+v", w)
	}
	if s.Tools[0].Tool != "fails@1.0.0" || s.Tools[0].Failed != 1 || s.Tools[0].Run.N != 1 || s.Tools[0].Run.P50 <= 0 || s.Counts[jobs.Trapped] != 1 {
		t.Errorf("tools %+v, counts %v", s.Tools, s.Counts)
	}

	for i := range 7 {
		f.Submit(fleetviewtest.Job(fmt.Sprintf("job-%d", i), "waits"))
	}
	s = f.Until(v, "four running and three waiting", func(s *fleetview.Snapshot) bool { return s.RunningAll == 4 && s.Waiting == 3 })
	if len(s.Running) != 4 || s.Workers[0].Running != 4 || s.Slots != 4 {
		t.Errorf("running %d, on the worker %d of %d slots", len(s.Running), s.Workers[0].Running, s.Slots)
	}
	found := func(q fleetview.Query) string {
		t.Helper()
		p, err := v.Find(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, j := range p.Jobs {
			ids = append(ids, j.ID+" "+string(j.State))
		}
		return fmt.Sprintf("%d: %s", p.Found, strings.Join(ids, ", "))
	}
	for _, c := range []struct {
		name, want string
		q          fleetview.Query
	}{
		{"waiting", "3: job-6 queued, job-5 queued, job-4 queued", fleetview.Query{States: []string{"queued"}}},
		{"outcome", "1: before done", fleetview.Query{States: []string{"trapped", "denied"}}},
		{"tool", "1: before done", fleetview.Query{Tool: "fails"}},
		{"tool and version", "1: before done", fleetview.Query{Tool: "fails@1.0.0"}},
		{"label", "1: before done", fleetview.Query{Labels: map[string]string{"who": evil}}},
		{"no such label", "0: ", fleetview.Query{Labels: map[string]string{"who": "x"}}},
		{"text", "1: job-3 running", fleetview.Query{Text: "JOB-3"}},
		{"limit", "8: job-6 queued, job-5 queued", fleetview.Query{Limit: 2}},
		{"priority", "0: ", fleetview.Query{Priority: "low"}},
		{"worker", "4: job-3 running, job-2 running, job-1 running, job-0 running", fleetview.Query{Worker: "bench", States: []string{"running"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := found(c.q); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
	close(hold)
	f.Until(v, "all ended", func(s *fleetview.Snapshot) bool { return s.Counts[jobs.Succeeded] == 7 && s.RunningAll == 0 })
	sum := 0
	s = f.Until(v, "their seconds", func(s *fleetview.Snapshot) bool {
		sum = 0
		for _, x := range s.Series {
			sum += x.Ended[fleetview.GroupOK]
		}
		return sum == 7
	})
	if s.Rate <= 0 || s.Total.N != 8 {
		t.Errorf("rate %v of %d jobs", s.Rate, s.Total.N)
	}
}

// TestOtherTenants: the jobs are one tenant's, the queues are all.
func TestOtherTenants(t *testing.T) {
	t.Parallel()
	f := fleetviewtest.Start(t)
	other := f.Tenant("other")
	v := f.Watch()
	if _, err := other.Submit(t.Context(), fleetviewtest.Job("theirs", "ok")); err != nil {
		t.Fatal(err)
	}
	f.Submit(fleetviewtest.Job("ours", "ok"))
	s := f.Until(v, "the end of ours", func(s *fleetview.Snapshot) bool { return len(s.Ended) == 1 })
	if s.Ended[0].ID != "ours" || s.Known != 1 {
		t.Errorf("the picture of one tenant holds %+v", s.Ended)
	}
	f.Until(v, "the other's queue", func(s *fleetview.Snapshot) bool {
		for _, q := range s.Queues {
			if q.Tenant == "other" && q.Priority == "normal" {
				return true
			}
		}
		return false
	})
	if p, err := v.Find(t.Context(), fleetview.Query{Text: "theirs"}); err != nil || p.Found != 0 {
		t.Errorf("another tenant's job is found: %+v, %v", p, err)
	}
}

// TestHostileRecords: what is in the buckets and is no record, or lies, changes
// nothing.
func TestHostileRecords(t *testing.T) {
	t.Parallel()
	f := fleetviewtest.Start(t)
	status, err := f.Stream.KeyValue(t.Context(), jobs.BucketStatus)
	if err != nil {
		t.Fatal(err)
	}
	workers, err := f.Stream.KeyValue(t.Context(), jobs.BucketWorkers)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{
		`{`, `null`, `[]`, `{"v":1,"id":"../../x","tenant":"default","state":"done","result":{}}`, `{"v":1,"id":"a","tenant":"other","state":"running"}`,
		`{"v":9,"id":"b","tenant":"default"}`, `{"v":1,"id":"c","tenant":"default","state":"done"}`,
		`{"v":1,"id":"d","tenant":"default","state":"done","result":{"phases":{"run":1e999}}}`,
	} {
		if _, err := status.PutString(t.Context(), fmt.Sprintf("default.x%d", i), text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := status.PutString(t.Context(), "default.fine", `{"state":"done","v":1,"id":"fine","tenant":"default","tool":{"name":"`+strings.Repeat("n", 5000)+`"},"submitted_at":"2026-01-01T00:00:00Z","result":{"outcome":"ex\u001b[31m","exit_code":300,"finished_at":"1999-01-01T00:00:00Z","phases":{"run":-5},"error":"`+strings.Repeat("ä", 4000)+`"}}`); err != nil {
		t.Fatal(err)
	}
	if _, err := workers.PutString(t.Context(), "liar", `{"name":"\u001b[2J`+strings.Repeat("w", 999)+`","slots":-4,"active":-1,"sick":"\u202e"}`); err != nil {
		t.Fatal(err)
	}
	v := f.Watch()
	s := f.Until(v, "the one record and both workers", func(s *fleetview.Snapshot) bool { return s.Known >= 1 && len(s.Workers) == 2 })
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if s.Known != 1 || s.Ended[0].ID != "fine" || strings.Contains(string(data), `\u001b`) || strings.Contains(string(data), "\u202e") {
		t.Errorf("known %d, picture %.2000s", s.Known, data)
	}
	if j := s.Ended[0]; len(j.Tool) > 200 || len(j.Error) > 300 || j.TotalMS != 0 {
		t.Errorf("a job is kept with a tool of %d and an error of %d bytes, %v ms", len(j.Tool), len(j.Error), j.TotalMS)
	}
	if s.Slots != 4 || s.Busy != 0 {
		t.Errorf("%d of %d slots busy", s.Busy, s.Slots)
	}
}

// TestOutage: a server that goes away and comes back is a problem in the
// picture, and then none.
func TestOutage(t *testing.T) {
	t.Parallel()
	f := fleetviewtest.Start(t)
	v := f.Watch()
	f.Submit(fleetviewtest.Job("one", "ok"))
	f.Until(v, "the first job", func(s *fleetview.Snapshot) bool { return s.Known == 1 })
	f.Server.Stop()
	s := f.Until(v, "the loss", func(s *fleetview.Snapshot) bool { return !s.Connected })
	if len(s.Problems) == 0 || s.Known != 1 {
		t.Errorf("without the server: problems %q, %d jobs known", s.Problems, s.Known)
	}
	if err := f.Server.Restart(); err != nil {
		t.Fatal(err)
	}
	f.Until(v, "the server", func(s *fleetview.Snapshot) bool {
		return s.Connected && !strings.Contains(strings.Join(s.Problems, "\n"), "jobs:")
	})
	f.Submit(fleetviewtest.Job("two", "ok"))
	f.Until(v, "the second job", func(s *fleetview.Snapshot) bool { return s.Known == 2 })
}
