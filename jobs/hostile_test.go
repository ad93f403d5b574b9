package jobs

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestMessagesThatAreNoJobs: each goes to the dead letters byte for byte, and
// the worker goes on.
func TestMessagesThatAreNoJobs(t *testing.T) {
	f := newFleet(t)
	good := newJob("good")
	f.client.complete(good)
	encoded, err := good.Encode()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, subject, data string
		record              bool // somebody may wait for the job: its record says Failed
	}{
		{"empty", "jobs.default.normal.empty", "", true},
		{"no JSON", "jobs.default.normal.nojson", "\x00\xff hello", true},
		{"another job's subject", "jobs.default.normal.thief", string(encoded), true},
		{"another tenant's subject", "jobs.victim.normal.good", string(encoded), false},
		{"another priority's subject", "jobs.default.high.good2", string(encoded), true},
		{"later version", "jobs.default.normal.later", strings.Replace(strings.Replace(string(encoded), `"v":1`, `"v":2`, 1), `"good"`, `"later"`, 1), true},
		{"unknown field", "jobs.default.normal.field", strings.Replace(strings.Replace(string(encoded), `{"v"`, `{"turbo":true,"v"`, 1), `"good"`, `"field"`, 1), true},
		{"two jobs", "jobs.default.normal.two", string(encoded) + string(encoded), true},
		{"oversize", "jobs.default.normal.huge", strings.Repeat("x", 600<<10), true},
		{"deep", "jobs.default.normal.deep", strings.Repeat("[", 60<<10), true},
		{"id that is no id", "jobs.default.normal.a b", "{}", false},
	}
	for _, tt := range tests {
		if tt.name == "id that is no id" {
			continue // a NATS client refuses a subject with a space
		}
		if _, err := f.js.PublishMsg(f.ctx, &nats.Msg{Subject: tt.subject, Data: []byte(tt.data)}); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
	}
	var r runs
	w := f.worker("w1", r.handler, nil)
	f.tenant("victim").ring(lane(Normal))
	if err := f.tenant("victim").ensure(f.ctx, Normal); err != nil {
		t.Fatal(err)
	}
	f.submit(newJob("after"))
	f.result("after")
	w.stop() // so that the rescan is not waited for
	f.worker("w2", r.handler, nil)
	f.quiet()

	found := map[string]*DeadLetter{}
	for _, client := range []*Client{f.client, f.tenant("victim")} {
		for d, err := range client.DeadLetters(f.ctx) {
			if err != nil {
				t.Fatal(err)
			}
			if found[d.Subject] != nil {
				t.Errorf("two letters of %s", d.Subject)
			}
			found[d.Subject] = d
		}
	}
	for _, tt := range tests[:len(tests)-1] {
		d := found[tt.subject]
		if d == nil {
			t.Errorf("%s: no dead letter", tt.name)
			continue
		}
		if want := tt.data[:min(len(tt.data), maxDeadMessage)]; string(d.Message) != want || d.Error == "" || len(d.Error) > maxErrorText+100 {
			t.Errorf("%s: letter of %d bytes, error of %d: %.200s", tt.name, len(d.Message), len(d.Error), d.Error)
		}
		if !tt.record {
			continue
		}
		id := tt.subject[strings.LastIndexByte(tt.subject, '.')+1:]
		rec, err := f.client.Get(f.ctx, id)
		if err != nil || rec.State != Done || rec.Result.Outcome != Failed || !strings.Contains(rec.Result.Error, "cannot be read") {
			t.Errorf("%s: record %+v, %v", tt.name, rec, err)
		}
	}
	if r.of("good") != 0 || r.of("after") != 1 {
		t.Errorf("runs %v", r.n)
	}
}

// TestUnreadableBesideARealJob: garbage on a queued job's subject does not end
// the job.
func TestUnreadableBesideARealJob(t *testing.T) {
	f := newFleet(t)
	if _, err := f.js.Publish(f.ctx, "jobs.default.normal.real", []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	f.submit(newJob("real"))
	f.worker("w1", succeed, func(c *WorkerConfig) { c.Slots = 1 })
	if rec := f.result("real"); rec.Result.Outcome != Succeeded {
		t.Errorf("%+v", rec.Result)
	}
	f.quiet()
}

// TestHostileSignals: anybody on the connection may ring and cancel; nothing
// of it may stop a worker.
func TestHostileSignals(t *testing.T) {
	f := newFleet(t)
	var r runs
	f.worker("w1", r.handler, nil)
	for range 300 {
		_ = f.nc.Publish("wake.nobody.nothing", []byte("x"))
		_ = f.nc.Publish("ctl.cancel.nobody.nothing", nil)
		_ = f.nc.Publish("wake.default.normal", nil)
	}
	f.submit(newJob("fine"))
	f.result("fine")
	if r.of("fine") != 1 {
		t.Errorf("ran %d times", r.of("fine"))
	}
}

// TestUnreadableRecord: a record of a later version, or a broken one, is left
// alone, keeps no slot, and the job runs once it is removed.
func TestUnreadableRecord(t *testing.T) {
	for _, bad := range []string{`{"v":99,"state":"running"}`, `{"v":1,"state":"done"}`, `garbage`} {
		f := newFleetIn(t)
		key := recordKey(DefaultTenant, "odd")
		if _, err := f.client.status.Put(f.ctx, key, []byte(bad)); err != nil {
			t.Fatal(err)
		}
		w := f.worker("w1", succeed, func(c *WorkerConfig) { impatient(c); c.Slots = 1 })
		f.submit(newJob("odd"))
		f.eventually("the worker says so", func() bool { return strings.Contains(w.logs.String(), "record cannot be read") })
		f.submit(newJob("next"))
		f.result("next")
		if err := f.client.status.Delete(f.ctx, key); err != nil {
			t.Fatal(err)
		}
		if rec := f.result("odd"); rec.Result.Outcome != Succeeded {
			t.Errorf("%s: %+v", bad, rec.Result)
		}
		f.quiet()
	}
}
