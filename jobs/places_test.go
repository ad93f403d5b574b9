package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd counts jobs that run at once, by tenant.
type crowd struct {
	mu   sync.Mutex
	now  map[string]int
	most map[string]int
	all  int
	wait chan struct{} // jobs end when it is closed; nil: after a moment
}

func newCrowd(held bool) *crowd {
	c := &crowd{now: map[string]int{}, most: map[string]int{}}
	if held {
		c.wait = make(chan struct{})
	}
	return c
}

func (c *crowd) handler(ctx context.Context, a *Attempt) (*Result, error) {
	c.mu.Lock()
	c.now[a.Job.Tenant]++
	c.all++
	c.most[a.Job.Tenant] = max(c.most[a.Job.Tenant], c.now[a.Job.Tenant])
	wait := c.wait
	c.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
		}
	} else {
		time.Sleep(2 * time.Millisecond) // the guest's work
	}
	c.mu.Lock()
	c.now[a.Job.Tenant]--
	c.mu.Unlock()
	return &Result{Outcome: Succeeded}, nil
}

func (c *crowd) running(tenant string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now[tenant]
}

func (c *crowd) mostOf(tenant string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most[tenant]
}

// let ends the jobs that run; later ones end by themselves.
func (c *crowd) let() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.wait)
	c.wait = nil
}

// TestCapOfATenant: with several workers that have more slots together than
// the cap, the cap is reached and never exceeded, over all priorities; others
// are not held up by it; and it counts what ran before it was set, can be
// raised, lowered and removed while jobs run.
func TestCapOfATenant(t *testing.T) {
	f := newFleet(t)
	capped := f.tenant("capped-1")
	if err := f.client.SetTenant(f.ctx, "capped-1", TenantSettings{Concurrency: 5}); err != nil {
		t.Fatal(err)
	}
	c := newCrowd(true)
	for i := range 3 {
		f.worker(fmt.Sprintf("w%d", i), c.handler, nil)
	}
	n := 0
	submit := func(k int) {
		for range k {
			j := newJob(numbered("j", n))
			j.Priority = Priorities[n%3]
			if _, err := capped.Submit(f.ctx, j); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	submit(40)
	f.eventually("the cap is reached", func() bool { return c.running("capped-1") == 5 })
	f.submit(newJob("other"))
	f.eventually("another tenant's job runs", func() bool { return c.running(DefaultTenant) == 1 })
	if e, err := f.client.TenantSettings(f.ctx, "capped-1"); err != nil || e.Running != 5 {
		t.Errorf("shown: %+v, %v", e, err)
	}
	c.let()
	f.eventually("all have run", func() bool { ids, err := capped.QueuedIDs(f.ctx); return err == nil && len(ids) == 0 })
	if most := c.mostOf("capped-1"); most != 5 {
		t.Errorf("%d jobs ran at once, the cap is 5", most)
	}

	// Removed, then set again while more run than it allows.
	if err := f.client.RemoveTenant(f.ctx, "capped-1"); err != nil {
		t.Fatal(err)
	}
	hold := func() { c.mu.Lock(); c.wait = make(chan struct{}); c.mu.Unlock() }
	hold()
	submit(20)
	f.eventually("all slots are used", func() bool { return c.running("capped-1") == 12 })
	if err := f.client.SetTenant(f.ctx, "capped-1", TenantSettings{Concurrency: 2}); err != nil {
		t.Fatal(err)
	}
	f.eventually("what runs is counted", func() bool {
		e, err := f.client.TenantSettings(f.ctx, "capped-1")
		return err == nil && e.Running == 12
	})
	c.mu.Lock()
	first := c.wait
	c.wait = make(chan struct{})
	c.mu.Unlock()
	close(first)
	f.eventually("the twelve have ended, and two run", func() bool { return c.running("capped-1") == 2 })
	c.mu.Lock()
	c.most["capped-1"] = 0
	c.mu.Unlock()
	if err := f.client.SetTenant(f.ctx, "capped-1", TenantSettings{Concurrency: 4}); err != nil {
		t.Fatal(err)
	}
	f.eventually("the raised cap is reached", func() bool { return c.running("capped-1") == 4 })
	c.let()
	f.eventually("all have run", func() bool { ids, err := capped.QueuedIDs(f.ctx); return err == nil && len(ids) == 0 })
	if most := c.mostOf("capped-1"); most != 4 {
		t.Errorf("%d jobs ran at once, the raised cap is 4", most)
	}
	f.eventually("places are given back", func() bool { e, err := f.client.TenantSettings(f.ctx, "capped-1"); return err == nil && e.Running == 0 })
}

// TestPlacesOfASilentWorker: they come back, with its jobs, and not before.
func TestPlacesOfASilentWorker(t *testing.T) {
	f := newFleet(t)
	if err := f.client.SetTenant(f.ctx, DefaultTenant, TenantSettings{Concurrency: 2}); err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	started := make(chan struct{}, 8)
	f.worker("silent", func(ctx context.Context, a *Attempt) (*Result, error) {
		started <- struct{}{}
		<-goOn
		return &Result{Outcome: Succeeded}, nil
	}, func(c *WorkerConfig) { impatient(c); c.heartbeatEvery, c.Slots = time.Hour, 2 })
	t.Cleanup(func() { close(goOn) }) // before the worker is stopped
	for i := range 6 {
		f.submit(newJob(numbered("j", i)))
	}
	recv(t, "a job runs", started)
	recv(t, "another runs", started)
	c := newCrowd(false)
	f.worker("well", c.handler, impatient)
	for i := range 6 {
		f.result(numbered("j", i))
	}
	if most := c.mostOf(DefaultTenant); most > 2 {
		t.Errorf("%d ran at once on the second worker, the cap is 2", most)
	}
	if len(started) != 0 {
		t.Error("the silent worker started more without places")
	}
}

// TestUnreadableSettings: a tenant whose settings cannot be read waits until
// they are mended, alone; one that had readable ones keeps them.
func TestUnreadableSettings(t *testing.T) {
	f := newFleet(t)
	kv, err := f.js.KeyValue(f.ctx, BucketTenants)
	if err != nil {
		t.Fatal(err)
	}
	put := func(tenant, text string) {
		t.Helper()
		if _, err := kv.Put(f.ctx, tenant, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	put("odd", `{"concurrency": 5, "cap_of_tomorrow": 1}`)
	put("fine", `{"concurrency": 1}`)
	c := newCrowd(true)
	w := f.worker("w", c.handler, nil)
	put("fine", "\xff\x00{")
	odd, fine := f.tenant("odd"), f.tenant("fine")
	for i := range 3 {
		for _, client := range []*Client{odd, fine} {
			if _, err := client.Submit(f.ctx, newJob(numbered("j", i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.submit(newJob("other"))
	f.eventually("others run", func() bool { return c.running("fine") == 1 && c.running(DefaultTenant) == 1 })
	if n := c.running("odd"); n != 0 {
		t.Errorf("%d jobs of a tenant run whose cap is not understood", n)
	}
	list, err := f.client.Tenants(f.ctx)
	if err != nil || len(list) != 2 || list[0].Error == "" || list[1].Error == "" || list[1].Tenant != "odd" {
		t.Errorf("listed %+v, %v", list, err)
	}
	if err := f.client.SetTenant(f.ctx, "odd", TenantSettings{Concurrency: 2}); err != nil {
		t.Fatal(err)
	}
	f.eventually("mended", func() bool { return c.running("odd") == 2 })
	c.let()
	f.quiet()
	if n := c.mostOf("fine"); n != 1 {
		t.Errorf("%d ran at once; the cap that was readable is 1", n)
	}
	if logs := w.logs.String(); !containsAll(logs, "cap_of_tomorrow", "submit tenant set odd") {
		t.Errorf("logged %s", logs)
	}
}

func TestSeats(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &seats{Holders: map[string]seat{
		"well":    {2, now.Add(20 * time.Second)},
		"late":    {3, now.Add(-time.Second)}, // a clock may be off so much
		"dead":    {5, now.Add(-time.Minute)},
		"none":    {0, now.Add(time.Minute)},
		"dreamer": {1, now.Add(1000 * time.Hour)},
	}}
	s.sweep(now, 30*time.Second)
	if s.others("") != 6 || s.others("well") != 4 || len(s.Holders) != 3 {
		t.Errorf("left %+v", s.Holders)
	}
	if until := s.Holders["dreamer"].Until; until.After(now.Add(time.Minute)) {
		t.Errorf("places are held until %s", until)
	}
	for _, bad := range []string{"", "[]", `{"holders":{"a":{"n":-1}}}`, `{"holders":{"a":{"n":1e9}}}`, `{"holders":{"a":{"n":9999999999999999999}}}`} {
		if s, err := decodeSeats([]byte(bad)); err == nil {
			t.Errorf("%q became %+v", bad, s)
		}
	}
}

func TestTenantSettingsThatCannotBe(t *testing.T) {
	f := newFleet(t)
	for _, s := range []TenantSettings{{Concurrency: -1}, {Weight: MaxWeight + 1}, {Concurrency: MaxConcurrency + 1}} {
		if err := f.client.SetTenant(f.ctx, "t", s); err == nil {
			t.Errorf("%+v was stored", s)
		}
	}
	for _, tenant := range []string{"", "a.b", "*", ">", "a b"} {
		if err := f.client.SetTenant(f.ctx, tenant, TenantSettings{Weight: 2}); err == nil {
			t.Errorf("settings of %q were stored", tenant)
		}
	}
	if err := f.client.RemoveTenant(f.ctx, "nobody"); err != nil {
		t.Error(err)
	}
}

// FuzzTenantSettings: whatever is in the bucket, settings that pass are ones
// that a worker can keep to, and come out as they went in.
func FuzzTenantSettings(f *testing.F) {
	for _, s := range []string{`{}`, `{"concurrency":3,"weight":2}`, `{"concurrency":-1}`, `{"weight":1e3}`, `null`, `{"a":1}`, `{}{}`, "\xff", `{"concurrency":1,"concurrency":0}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeTenant(data)
		if err != nil {
			return
		}
		if err := s.Validate(); err != nil {
			t.Fatalf("%q passed as %+v: %v", data, s, err)
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeTenant(again); err != nil || back != s {
			t.Fatalf("%+v came back as %+v, %v", s, back, err)
		}
	})
}

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
