package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"boxfleet/limits"
)

func limited(id, key string, limit int) *Job {
	j := newJob(id)
	j.Concurrency = &Concurrency{Key: key, Limit: limit}
	return j
}

// TestKeyConcurrency: jobs of one key run so many at once as its limit says, in
// the whole fleet, while others pass; a newer limit replaces an older one.
func TestKeyConcurrency(t *testing.T) {
	f := newFleet(t)
	c := newCrowd(true)
	for i := range 2 {
		f.worker(fmt.Sprintf("w%d", i), c.handler, nil)
	}
	for i := range 12 {
		j := limited(numbered("k", i), "customer 17: data/*.csv", 2)
		j.Priority = Priorities[i%3] // one lane all the same
		f.submit(j)
	}
	f.eventually("the limit is reached", func() bool { return c.running(DefaultTenant) == 2 })
	f.submit(newJob("plain"), limited("other", "customer 18", 1))
	f.eventually("other jobs pass", func() bool { return c.running(DefaultTenant) == 4 })
	if _, err := f.tenant("another").Submit(f.ctx, limited("same", "customer 17: data/*.csv", 1)); err != nil {
		t.Fatal(err)
	}
	f.eventually("a key is a tenant's own", func() bool { return c.running("another") == 1 })
	f.submit(limited("newer", "customer 17: data/*.csv", 5))
	f.eventually("the newer limit is reached", func() bool { return c.running(DefaultTenant) == 7 })
	c.let()
	for i := range 12 {
		f.result(numbered("k", i))
	}
	f.result("newer")
	f.quiet()
	if most := c.mostOf(DefaultTenant); most != 7 {
		t.Errorf("%d ran at once, the limits allow 7", most)
	}
}

// TestKeysAreServedAtOnce: a key with one place goes through its jobs one after
// the other without waiting for polls in between: with them it would take
// longer than the test has. On a busy machine a pull may be answered too late.
func TestKeysAreServedAtOnce(t *testing.T) {
	f := newFleet(t)
	f.worker("w", succeed, func(c *WorkerConfig) { c.PollEvery = 10 * time.Second })
	for i := range 50 {
		f.submit(limited(numbered("k", i), "one", 1))
	}
	for i := range 50 {
		f.result(numbered("k", i))
	}
}

// TestKeyRate: jobs of a rated key start as fast as the rate allows and never
// faster, whoever starts them.
func TestKeyRate(t *testing.T) {
	f := newFleet(t)
	const limit, per = 4, 200 * time.Millisecond
	var mu sync.Mutex
	var starts []time.Time
	handler := func(ctx context.Context, a *Attempt) (*Result, error) {
		mu.Lock()
		defer mu.Unlock()
		if a.Job.Rate != nil {
			starts = append(starts, time.Now())
		}
		return &Result{Outcome: Succeeded}, nil
	}
	for i := range 2 {
		f.worker(fmt.Sprintf("w%d", i), handler, nil)
	}
	began := time.Now()
	for i := range 18 {
		j := newJob(numbered("r", i))
		j.Rate = &Rate{Key: "api", Limit: limit, Per: limits.Duration(per)}
		if i%2 == 0 { // a job has one key, with or without a concurrency
			j.Concurrency, j.Rate.Key = &Concurrency{Key: "api", Limit: 3}, ""
		}
		f.submit(j)
	}
	f.submit(newJob("plain"))
	f.result("plain")
	for i := range 18 {
		f.result(numbered("r", i))
	}
	mu.Lock()
	defer mu.Unlock()
	if len(starts) != 18 {
		t.Fatalf("%d starts", len(starts))
	}
	for i, at := range starts {
		if most := limit * (int(at.Sub(began)/per) + 1); i+1 > most {
			t.Errorf("%d starts within %s, at most %d", i+1, at.Sub(began), most)
		}
	}
}

// TestWindow: whatever is asked for and returned when, no window of the rate's
// time sees more starts than its limit, and what is free can be had.
func TestWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, rate := range []keyRate{{1, limits.Duration(time.Second)}, {10, limits.Duration(time.Minute)}, {1000, limits.Duration(time.Hour)}, {3, limits.Duration(time.Millisecond)}} {
		per := time.Duration(rate.Per)
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		type start struct {
			at time.Time
			n  int
		}
		var kept []start
		w := &window{}
		total := 0
		for range 2000 {
			n, next := w.take(rate, 1+rng.IntN(rate.Limit), now)
			if n > 0 && rng.IntN(4) == 0 {
				back := rng.IntN(n + 1)
				w.back(back)
				n -= back
			}
			kept = append(kept, start{now, n})
			total += n
			sum := 0
			for i := len(kept) - 1; i >= 0 && now.Sub(kept[i].at) < per; i-- {
				sum += kept[i].n
			}
			if sum > rate.Limit {
				t.Fatalf("%+v: %d starts within %s", rate, sum, per)
			}
			if data, err := json.Marshal(w); err != nil || len(data) > maxWindow {
				t.Fatalf("a document of %d bytes, %v", len(data), err)
			}
			if !next.IsZero() {
				if wait := next.Sub(now); wait <= 0 || wait > per+2*rate.part() {
					t.Fatalf("%+v: asked to come again in %s", rate, wait)
				}
				if rng.IntN(2) == 0 {
					now = next
					continue
				}
			}
			now = now.Add(time.Duration(rng.Int64N(int64(per)/4 + 1)))
		}
		if total == 0 {
			t.Errorf("%+v: nothing was granted", rate)
		}
	}
	w := &window{Grants: []grants{{At: time.Now().Add(1000 * time.Hour).UnixMilli(), N: 5}}}
	if n, _ := w.take(keyRate{5, limits.Duration(time.Hour)}, 9, time.Now()); n != 5 {
		t.Errorf("starts of the future hold up those of now: %d", n)
	}
}

// TestIdleKeysAndTheirSubmitters: the coordinator removes keys that nobody
// uses, all the time and without any of the pauses that keep it from meeting
// submitters; no job is lost by that, and in the end nothing is left.
func TestIdleKeysAndTheirSubmitters(t *testing.T) {
	f := newFleet(t)
	w := f.worker("w", succeed, func(c *WorkerConfig) {
		c.tendEvery, c.keyIdle, c.keyForget = time.Millisecond, time.Nanosecond, time.Nanosecond
		c.leaseEvery = 20 * time.Millisecond
	})
	f.eventually("it coordinates", w.Coordinating)
	const each = 40
	var all sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		client := f.tenant("")
		all.Go(func() {
			for i := range each {
				if _, err := client.Submit(f.ctx, limited(numbered(name, i), "key "+name, 2)); err != nil {
					t.Error(err)
				}
				if i%8 == 0 {
					f.resultOf(client, numbered(name, i))
				}
			}
		})
	}
	all.Wait()
	for _, name := range []string{"a", "b"} {
		for i := range each {
			f.result(numbered(name, i))
		}
	}
	f.quiet()
	if n := strings.Count(w.logs.String(), "removed the queue of an idle key"); n < 2 {
		t.Errorf("queues were removed %d times", n)
	}
	kv, err := f.js.KeyValue(f.ctx, BucketKeys)
	if err != nil {
		t.Fatal(err)
	}
	f.eventually("nothing is left of the keys", func() bool {
		notes, err := readKeys(f.ctx, kv)
		names, err2 := w.consumers(f.ctx)
		return err == nil && err2 == nil && len(notes) == 0 && len(names) == 3
	})
}

// TestKeysThatCannotBe: too many keys, keys whose lanes meet, and notes that
// cannot be read are said at submission.
func TestKeysThatCannotBe(t *testing.T) {
	f := newFleet(t)
	f.worker("w", succeed, nil)
	f.client.queues.max = 3
	for i := range 3 {
		f.submit(limited(numbered("j", i), numbered("key", i), 1))
	}
	refused := func(j *Job, want string) {
		t.Helper()
		if _, err := f.client.Submit(f.ctx, j); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	refused(limited("j-more", "key-more", 1), "3 keys in use")
	f.submit(limited("again", numbered("key", 1), 1), newJob("plain"))
	kv, err := f.js.KeyValue(f.ctx, BucketKeys)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, text string) {
		if _, err := kv.Put(f.ctx, keyDocument(DefaultTenant, keyLane(key)), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	put("meets", `{"key":"another","limit":1,"used_at":"2026-01-01T00:00:00Z"}`)
	refused(limited("j-meets", "meets", 1), "same hash")
	put("garbage", "\x00\xff")
	refused(limited("j-garbage", "garbage", 1), "read the key")
	if _, err := kv.PutString(f.ctx, "not.a-lane", "x"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"again", "plain", numbered("j", 0)} { // the worker goes on
		f.result(id)
	}
}

// TestLanesWithoutConsumers: jobs whose consumer somebody removed are found
// and run, with the limits they name, also when nobody rings for them.
func TestLanesWithoutConsumers(t *testing.T) {
	f := newFleet(t)
	rate := newJob("rated")
	rate.Rate = &Rate{Key: "r", Limit: 5, Per: limits.Duration(time.Second)}
	list := []*Job{newJob("plain"), limited("keyed", "k", 2), rate}
	f.submit(list...)
	kv, err := f.js.KeyValue(f.ctx, BucketKeys)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range list {
		if err := f.js.DeleteConsumer(f.ctx, StreamJobs, consumerName(DefaultTenant, j.queueLane())); err != nil {
			t.Fatal(err)
		}
		if l := j.queueLane(); l.isKey() {
			if err := kv.Purge(f.ctx, keyDocument(DefaultTenant, l)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := f.idleWorker("w", succeed, nil, nil) // makes the priorities' anew
	w.start(t)
	if err := w.findStrays(f.ctx); err != nil {
		t.Fatal(err)
	}
	for _, j := range list {
		f.result(j.ID)
	}
	c, err := f.js.Consumer(f.ctx, StreamJobs, consumerName(DefaultTenant, keyLane("k")))
	if err != nil || c.CachedInfo().Config.MaxAckPending != 2 {
		t.Errorf("the key's consumer: %v", err)
	}
	notes, err := readKeys(f.ctx, kv)
	if n := notes[keyDocument(DefaultTenant, keyLane("r"))].note; err != nil || n == nil || n.Rate.Limit != 5 {
		t.Errorf("notes %+v, %v", notes, err)
	}

	// And when a ring says so.
	if _, err := f.js.Publish(f.ctx, "jobs.hostile."+string(keyLane("x"))+".junk", []byte("no job")); err != nil {
		t.Fatal(err)
	}
	ringQueue(f.nc, "hostile", keyLane("x"))
	f.quiet()
	if len(f.tenantLetters("hostile")) != 1 {
		t.Error("what is no job was not buried")
	}
}

func (f *testFleet) tenantLetters(tenant string) []*DeadLetter {
	f.t.Helper()
	var all []*DeadLetter
	for d, err := range f.tenant(tenant).DeadLetters(f.ctx) {
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// TestKeysUnderACap: the tenant's cap holds over its keys and priorities
// together.
func TestKeysUnderACap(t *testing.T) {
	f := newFleet(t)
	if err := f.client.SetTenant(f.ctx, DefaultTenant, TenantSettings{Concurrency: 3}); err != nil {
		t.Fatal(err)
	}
	c := newCrowd(true)
	for i := range 2 {
		f.worker(fmt.Sprintf("w%d", i), c.handler, nil)
	}
	for i := range 12 {
		f.submit(newJob(numbered("p", i)), limited(numbered("k", i), numbered("key", i%4), 2))
	}
	f.eventually("the cap is reached", func() bool { return c.running(DefaultTenant) == 3 })
	c.let()
	f.quiet()
	if most := c.mostOf(DefaultTenant); most != 3 {
		t.Errorf("%d ran at once, the cap is 3", most)
	}
}

// TestNoteOfAJob: what a submission notes keeps the key until its jobs come.
func TestNoteOfAJob(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	j := limited("j", "k", 3)
	j.RunAt = at
	if n := j.note(); n.Until.Before(at) || n.Limit != 3 || n.Rate != (keyRate{}) || n.Key != "k" {
		t.Errorf("noted %+v", n)
	}
}

func FuzzKeyNote(f *testing.F) {
	for _, s := range []string{`{"key":"k","limit":3,"used_at":"2026-01-01T00:00:00Z"}`, `{"key":"k","rate":{"limit":5,"per":"1s"},"used_at":"2026-01-01T00:00:00Z"}`,
		`{}`, `{"key":""}`, `{"key":"k","limit":-1}`, `{"key":"k","rate":{"limit":1,"per":"0s"}}`, "null", "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := decodeKeyNote(data)
		if err != nil {
			return
		}
		w := &window{}
		if got, _ := w.take(n.Rate, 10, time.Unix(0, 0)); n.Rate.Limit > 0 && got == 0 {
			t.Fatalf("%q lets nothing through", data)
		}
	})
}

func FuzzWindow(f *testing.F) {
	for _, s := range []string{`{"grants":[{"at":1,"n":2}]}`, `{"grants":[{"at":9223372036854775807,"n":100000},{"at":-9223372036854775808,"n":1}]}`, `{}`, `{"grants":null}`, `{"grants":[{"n":-1}]}`} {
		f.Add([]byte(s))
	}
	rate := keyRate{Limit: 7, Per: limits.Duration(time.Minute)}
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := decodeWindow(data)
		if err != nil {
			return
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		got, next := w.take(rate, 3, now)
		switch {
		case got < 0 || got > 3:
			t.Fatalf("%q: granted %d", data, got)
		case got == 0 && (next.Before(now) || next.After(now.Add(time.Duration(rate.Per)+2*rate.part()+clockDoubt(AckWait)))):
			t.Fatalf("%q: come again at %s", data, next)
		}
	})
}
