package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/limits"
)

func recurring(name string) *Recurring {
	return &Recurring{Name: name, Every: limits.Duration(time.Second), Job: &Job{Tool: testTool, Labels: map[string]string{"k": "v"}}}
}

func (f *testFleet) put(r *Recurring) bool {
	f.t.Helper()
	replaced, err := f.client.PutSchedule(f.ctx, r)
	if err != nil {
		f.t.Fatal(err)
	}
	return replaced
}

// A schedule starts one job a time however many workers there are, through a
// restart of the server; it is replaced whole, paused, started by hand and
// removed.
func TestSchedule(t *testing.T) {
	f := newFleet(t)
	var r runs
	for i := range 3 {
		f.worker(fmt.Sprintf("w%d", i), r.handler, quick)
	}
	if f.put(recurring("tick")) {
		t.Error("the first one replaced another")
	}
	count := func() (n int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for id := range r.n {
			if strings.HasPrefix(id, "tick-") {
				n++
			}
		}
		return n
	}
	start := time.Now()
	f.eventually("it starts twice", func() bool { return count() >= 2 })
	f.srv.Stop()
	if err := f.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	before := count()
	f.eventually("it starts after a restart", func() bool { return count() > before })
	if n, most := count(), int(time.Since(start)/time.Second)+2; n > most {
		t.Errorf("%d starts in %s", n, time.Since(start))
	}
	for id, n := range r.n {
		if n != 1 {
			t.Errorf("%s ran %d times", id, n)
		}
	}

	hourly := recurring("tick")
	hourly.Every, hourly.Cron, hourly.TimeZone = 0, "30 4 * * 1-5", "Europe/Berlin"
	if !f.put(hourly) {
		t.Error("the second one replaced nothing")
	}
	all, err := f.client.Schedules(f.ctx)
	if err != nil || len(all) != 1 || all[0].Cron != hourly.Cron || all[0].Paused {
		t.Fatalf("%+v, %v", all, err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	if next := all[0].Next(time.Now()).In(berlin); next.Hour() != 4 || next.Minute() != 30 || next.Weekday() == time.Saturday || next.Weekday() == time.Sunday {
		t.Errorf("it starts next at %s", next)
	}
	for _, pause := range []bool{true, true, false} {
		if err := f.client.PauseSchedule(f.ctx, "tick", pause); err != nil {
			t.Fatal(err)
		}
		if s, err := f.client.Schedule(f.ctx, "tick"); err != nil || s.Paused != pause || s.Next(time.Now()).IsZero() != pause {
			t.Errorf("pause %v: %+v, %v", pause, s, err)
		}
	}
	id, err := f.client.StartSchedule(f.ctx, "tick")
	if err != nil {
		t.Fatal(err)
	}
	var rec *Record
	f.eventually("the one started by hand ends", func() bool {
		rec, err = f.client.Get(f.ctx, id)
		return err == nil && rec.State == Done
	})
	if rec.Labels[LabelSchedule] != "tick" || rec.Labels["k"] != "v" {
		t.Errorf("its labels are %v", rec.Labels)
	}
	if err := f.client.RemoveSchedule(f.ctx, "tick"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{f.client.RemoveSchedule(f.ctx, "tick"), f.client.PauseSchedule(f.ctx, "tick", true)} {
		if _, missing := errors.AsType[*NotFoundError](err); !missing {
			t.Errorf("of a schedule that is gone: %v", err)
		}
	}
	f.quiet()
}

// A firing that comes twice, from two leaders of the stream, makes one job;
// firings that nobody took are replaced by newer ones.
func TestFiringTwiceIsOne(t *testing.T) {
	f := newFleet(t)
	s := recurring("twice")
	f.put(s)
	f.eventually("it fires three times without a worker", func() bool {
		stream, err := f.js.Stream(f.ctx, StreamJobs)
		return err == nil && stream.CachedInfo().State.LastSeq >= 4
	})
	stream, err := f.js.Stream(f.ctx, StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(f.ctx, jetstream.WithSubjectFilter("submit.*.fire.*"))
	if err != nil || info.State.Subjects["submit.default.fire.twice"] != 1 {
		t.Errorf("firings that wait: %v, %v; want one", info.State.Subjects, err)
	}
	m, err := stream.GetLastMsgForSubject(f.ctx, "submit.default.fire.twice")
	if err != nil || m.Header.Get(headerScheduleNext) == "" {
		t.Fatalf("the server puts no next time on a firing: %v, %v", m, err)
	}
	if err := f.client.PauseSchedule(f.ctx, "twice", true); err != nil {
		t.Fatal(err)
	}
	var r runs
	w := f.idleWorker("w", r.handler, nil, quick)
	for seq := range 2 { // the same firing, stored twice
		one, err := newFiring(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}, m.Sequence+uint64(seq), m.Time)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.submitFiring(f.ctx, one); err != nil {
			t.Fatal(err)
		}
	}
	w.start(t)
	f.eventually("the queue is empty but for the schedule", func() bool {
		ids, err := f.client.QueuedIDs(f.ctx)
		return err == nil && len(ids) == 0
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, n := range r.n {
		if n != 1 {
			t.Errorf("%s ran %d times", id, n)
		}
	}
	if len(r.n) == 0 || len(r.n) > 2 { // the firing above, and one that waited, if it was another
		t.Errorf("the jobs %v", r.n)
	}
}

// With overlap skip nothing starts while the last run goes on; with allow it
// does. A firing that is delivered again is its own turn.
func TestOverlap(t *testing.T) {
	f := newFleet(t)
	var mu sync.Mutex
	running, most := map[string]int{}, map[string]int{}
	release := make(chan struct{})
	h := func(ctx context.Context, a *Attempt) (*Result, error) {
		name := a.Job.Labels[LabelSchedule]
		mu.Lock()
		running[name]++
		most[name] = max(most[name], running[name])
		mu.Unlock()
		select {
		case <-release:
		case <-ctx.Done():
		}
		mu.Lock()
		running[name]--
		mu.Unlock()
		return succeed(ctx, a)
	}
	f.worker("w", h, func(c *WorkerConfig) { quick(c); c.Slots = 64 })
	peak := func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return most[name]
	}
	f.put(recurring("skip"))
	f.eventually("one starts", func() bool { return peak("skip") == 1 })
	allow := recurring("allow")
	allow.Overlap = OverlapAllow
	f.put(allow)
	f.eventually("two runs of one overlap", func() bool { return peak("allow") >= 2 && peak("skip") == 1 })
	more := peak("allow") + 2
	f.eventually("more time passes for both", func() bool { return peak("allow") >= more })
	if n := peak("skip"); n != 1 {
		t.Errorf("%d runs at once of a schedule that skips", n)
	}
	if _, err := f.client.StartSchedule(f.ctx, "skip"); err != nil {
		t.Fatal(err)
	}
	f.eventually("one that is started by hand starts all the same", func() bool { return peak("skip") == 2 })
	for _, name := range []string{"allow", "skip"} {
		if err := f.client.RemoveSchedule(f.ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	f.quiet()
}

// TestScheduleRefused holds what cannot be a schedule against what is said of
// it, and what can against what the server says.
func TestScheduleRefused(t *testing.T) {
	f := newFleet(t)
	for _, tc := range []struct {
		change func(*Recurring)
		want   string
	}{
		{func(r *Recurring) { r.Name = "a.b" }, "name"},
		{func(r *Recurring) { r.Name = strings.Repeat("n", maxRecurringName+1) }, "name"},
		{func(r *Recurring) { r.Cron = "* * * * *" }, "either"},
		{func(r *Recurring) { r.Every = 0 }, "either"},
		{func(r *Recurring) { r.Every = limits.Duration(1500 * time.Millisecond) }, "every"},
		{func(r *Recurring) { r.Every, r.Cron = 0, "* * *" }, "cron"},
		{func(r *Recurring) { r.Every, r.Cron = 0, "61 * * * *" }, "cron"},
		{func(r *Recurring) { r.Every, r.Cron = 0, "0 0 30 2 *" }, "never comes"},
		{func(r *Recurring) { r.Every, r.Cron = 0, "TZ=UTC 0 0 1 1 *" }, "cron"},
		{func(r *Recurring) { r.Every, r.Cron = 0, "@every 1s" }, "cron"},
		{func(r *Recurring) { r.Every, r.Cron, r.TimeZone = 0, "@daily", "Mars/Olympus" }, "time_zone"},
		{func(r *Recurring) { r.Every, r.Cron, r.TimeZone = 0, "@daily", "Local" }, "time_zone"},
		{func(r *Recurring) { r.TimeZone = "UTC" }, "time_zone"},
		{func(r *Recurring) { r.Overlap = "queue" }, "overlap"},
		{func(r *Recurring) { r.ExpiresIn = limits.Duration(400 * 24 * time.Hour) }, "expires_in"},
		{func(r *Recurring) { r.Job = nil }, "job"},
		{func(r *Recurring) { r.Job.RunAt = time.Now() }, "job.run_at"},
		{func(r *Recurring) { r.Job.After = &After{Jobs: []string{"a"}} }, "job.after"},
		{func(r *Recurring) { r.Job.IdempotencyKey = "k" }, "job.idempotency_key"},
		{func(r *Recurring) { r.Job.Labels = map[string]string{LabelSchedule: "x"} }, "job.labels"},
		{func(r *Recurring) { r.Job.Args = []string{strings.Repeat("x", MaxJobSize)} }, "at most"},
	} {
		r := recurring("refused")
		tc.change(r)
		if _, err := f.client.PutSchedule(f.ctx, r); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", r, err, tc.want)
		}
	}
	for i, s := range []string{"*/5 * * * *", "0 9-17/2 * JAN-jun mon,WED", "15 */5 * * * *", "@hourly", "@midnight", "@yearly", "0 0 29 2 *", "? * ? * ?", "5/15 0 1,15 * *"} {
		for _, zone := range []string{"", "America/New_York"} {
			r := recurring(fmt.Sprint("taken", i))
			r.Every, r.Cron, r.TimeZone = 0, s, zone
			if _, err := f.client.PutSchedule(f.ctx, r); err != nil {
				t.Errorf("the server does not take %q in %q: %v", s, zone, err)
			}
		}
	}
	if all, err := f.client.Schedules(f.ctx); err != nil || len(all) != 9 {
		t.Errorf("%d schedules, %v", len(all), err)
	}
	data, err := json.Marshal(recurring("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeRecurring(append(data, '1')); err == nil {
		t.Error("data after a schedule is taken")
	}
}
