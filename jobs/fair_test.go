package jobs

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTurnsWithinATenant(t *testing.T) {
	turns := newTurns()
	for _, p := range Priorities {
		turns.add(consumerName("t-1", p))
		turns.add(consumerName("t-1", p)) // known already
	}
	got := map[string]int{}
	gap, longest := 0, 0
	for range 2100 {
		q := turns.pick()
		got[q.name]++
		if gap++; q.name == "q-t-1-low" {
			longest, gap = max(longest, gap), 0
		}
	}
	if got["q-t-1-high"] != 1600 || got["q-t-1-normal"] != 400 || got["q-t-1-low"] != 100 {
		t.Errorf("shares %v", got)
	}
	if longest > 21 {
		t.Errorf("low waited %d turns", longest)
	}
}

// TestTurnsBetweenTenants: whatever the others have waiting, and however few
// slots come free at a time, every tenant gets its turn.
func TestTurnsBetweenTenants(t *testing.T) {
	for _, slots := range []int{1, 3, 16} {
		turns := newTurns()
		for _, tenant := range []string{"a", "b", "c"} {
			for _, p := range Priorities {
				turns.add(consumerName(tenant, p))
			}
		}
		for _, name := range []string{"q-b-normal", "q-b-high", "q-c-normal", "q-c-high"} {
			turns.cool(turns.names[name]) // b and c have low jobs only
		}
		got := map[string]int{}
		given := 0
		for given < 3000 {
			for _, q := range turns.plan(slots) {
				got[q.name] += q.share
				given += q.share
				q.share = 0
			}
		}
		a := got["q-a-high"] + got["q-a-normal"] + got["q-a-low"]
		for _, n := range []int{a, got["q-b-low"], got["q-c-low"]} {
			if n < 950 || n > 1050 {
				t.Errorf("%d slots at a time: shares %v", slots, got)
				break
			}
		}
	}
}

func TestTurnsWithNothingHot(t *testing.T) {
	turns := newTurns()
	if q := turns.pick(); q != nil {
		t.Errorf("picked %v of nothing", q)
	}
	turns.poll(time.Now())
	turns.add(consumerName("x", Low))
	turns.cool(turns.all[0])
	if list := turns.plan(4); len(list) != 0 {
		t.Errorf("planned %v", list)
	}
	turns.poll(time.Now())
	if list := turns.plan(4); len(list) != 1 || list[0].share != 4 {
		t.Errorf("planned %v", list)
	}
}

// TestTurnsByWeight: shares follow the weights, in whatever portions slots
// come free, and also when they change.
func TestTurnsByWeight(t *testing.T) {
	turns := newTurns()
	want := map[string]int{"one": 1, "two": 2, "seven": 7, "ten": 10}
	turns.enter = func(tenant string) (int, gate) { return want[tenant], nil }
	for tenant := range want {
		turns.add(consumerName(tenant, Normal))
	}
	count := func(total int) map[string]int {
		got := map[string]int{}
		for given, slots := 0, 1; given < total; slots = slots%7 + 1 {
			for _, q := range turns.plan(slots) {
				got[q.line.tenant] += q.share
				given += q.share
				q.share = 0
			}
		}
		return got
	}
	check := func(got map[string]int) {
		t.Helper()
		for tenant, w := range want {
			if n := got[tenant]; n < w*98 || n > w*102 {
				t.Errorf("weights %v, shares %v", want, got)
				return
			}
		}
	}
	check(count(2000))
	want = map[string]int{"one": 10, "two": 2, "seven": 7, "ten": 1}
	for tenant, w := range want {
		turns.reweigh(turns.lines[tenant], w)
	}
	check(count(2000))
}

// TestSingleJobMeetsABacklog plays a worker of some slots in virtual time: one
// tenants have 100,000 jobs waiting, another comes with a single job now and
// then. It must start within one turn of each of them.
func TestSingleJobMeetsABacklog(t *testing.T) {
	for _, slots := range []int{1, 4, 64} {
		for _, backlogs := range []int{1, 5} { // tenants with 100,000 jobs each
			rng := rand.New(rand.NewPCG(1, uint64(slots)))
			turns := newTurns()
			waiting, left := map[*queue]int{}, 100_000*backlogs
			for i := range backlogs {
				waiting[turns.add(consumerName(numbered("big", i), Normal))] = 100_000
			}
			running, worst := 0, 0
			var small *queue
			since := 0
			for step := 0; step < 5000 && left > 1000*backlogs; step++ {
				if small == nil && rng.IntN(50) == 0 { // a job comes
					small = turns.add(consumerName("small", Priorities[rng.IntN(3)]))
					turns.heat(small)
					waiting[small] = 1
					since = 0
				}
				began := 0 // of others, in this turn
				for slots > running {
					list := turns.plan(slots - running)
					if len(list) == 0 {
						t.Fatal("nothing to do")
					}
					for _, q := range list {
						n := min(q.share, waiting[q])
						waiting[q] -= n
						running += n
						turns.refund(q, q.share-n)
						if q.share > n {
							turns.cool(q)
						}
						q.share = 0
						if q != small {
							began += n
						} else if n == 1 {
							worst = max(worst, since)
							small = nil
						}
					}
				}
				since += began
				left -= began
				if small != nil && since > slots*backlogs+backlogs {
					t.Fatalf("%d slots, %d backlogs, step %d: a single job saw %d others start", slots, backlogs, step, since)
				}
				if running > 0 {
					running -= 1 + rng.IntN(running) // some end
				}
			}
			// One turn of each of the others, when it has had its own already;
			// a slot's turn where there is one other.
			if worst > backlogs {
				t.Errorf("%d slots, %d backlogs: %d jobs of others were started first", slots, backlogs, worst)
			}
			t.Logf("%d slots, %d tenants with 100,000 jobs: at most %d of their jobs started before a newcomer's", slots, backlogs, worst)
		}
	}
}

// TestKeysAndPriorities: however many keys a tenant uses, its high jobs keep
// their share, low ones do not starve, and the keys take turns.
func TestKeysAndPriorities(t *testing.T) {
	turns := newTurns()
	for _, p := range Priorities {
		turns.add(consumerName("t", p))
	}
	for i := range 1000 {
		turns.add(consumerName("t", keyLane(numbered("key", i))))
	}
	got := map[string]int{}
	for range 25 * 1000 {
		q := turns.pick()
		if q.class == classKeys {
			got["keys"]++
		}
		got[q.name]++
	}
	for name, want := range map[string]int{"keys": 4000, "q-t-high": 16000, "q-t-normal": 4000, "q-t-low": 1000} {
		if got[name] != want {
			t.Errorf("%s got %d turns, want %d", name, got[name], want)
		}
	}
	for i := range 1000 {
		if n := got[consumerName("t", keyLane(numbered("key", i)))]; n != 4 {
			t.Fatalf("key %d got %d turns, want 4", i, n)
		}
	}
	for i, q := range turns.all { // most have no more; the others go on
		if i >= 13 {
			turns.cool(q)
		}
	}
	clear(got)
	for range 2500 {
		got[turns.pick().name]++
	}
	if len(got) != 13 {
		t.Errorf("%d queues took part, want 13", len(got))
	}
}

// tokensOf is a gate with so many places.
type tokensOf struct{ n int }

func (g *tokensOf) take() bool { g.n--; return g.n >= 0 || g.refuse() }
func (g *tokensOf) refuse() bool {
	g.n = 0
	return false
}
func (g *tokensOf) put(n int) { g.n += n }

// TestGates: a tenant or key without places waits aside, takes no turns from
// others meanwhile, and goes on when places come.
func TestGates(t *testing.T) {
	turns := newTurns()
	key := turns.add(consumerName("a", keyLane("k")))
	plain := turns.add(consumerName("a", Normal))
	other := turns.add(consumerName("b", Normal))
	tenant, lane := &tokensOf{5}, &tokensOf{1}
	turns.lines["a"].gate = tenant
	key.gate = lane
	take := func(n int) map[*queue]int {
		got := map[*queue]int{}
		for _, q := range turns.plan(n) {
			got[q], q.share = q.share, 0
		}
		return got
	}
	if got := take(20); got[key] != 1 || got[plain] != 4 || got[other] != 15 {
		t.Errorf("got %d, %d and %d", got[key], got[plain], got[other])
	}
	if len(turns.blocked) != 1 || len(turns.closed) != 1 || tenant.n != 0 {
		t.Errorf("%d lines and %d queues wait, %d places left", len(turns.blocked), len(turns.closed), tenant.n)
	}
	turns.refund(plain, 2) // it had one job only
	turns.cool(plain)
	turns.unblock(turns.lines["a"])
	lane.n = 1
	turns.reopen(key)
	if got := take(10); got[key] != 1 || got[plain] != 0 || got[other] != 9 {
		t.Errorf("then %d, %d and %d", got[key], got[plain], got[other])
	}
	if tenant.n != 1 {
		t.Errorf("%d places left, want the one that nobody used", tenant.n)
	}
	for _, q := range []*queue{key, plain} {
		turns.drop(q)
	}
	if len(turns.lines)+len(turns.blocked)+len(turns.closed) != 1 || len(turns.names) != 1 {
		t.Error("a tenant without queues is still known")
	}
}

// TestPollOfThousands: a poll costs the same with 10,000 queues as with 100,
// reaches each in the end, and those with something happening at once.
func TestPollOfThousands(t *testing.T) {
	turns := newTurns()
	for i := range 10_000 {
		turns.cool(turns.add(consumerName(numbered("t", i), Normal)))
	}
	now := time.Now()
	busy := turns.all[7777]
	turns.enliven(busy, now)
	polls, reached := 0, map[*queue]bool{}
	for len(reached) < len(turns.all) {
		if polls++; polls > len(turns.all) {
			t.Fatalf("%d queues reached after %d polls", len(reached), polls)
		}
		turns.poll(now)
		asked := turns.plan(1000)
		if len(asked) > livelyAtOnce+quietAtOnce {
			t.Fatalf("a poll asks %d queues", len(asked))
		}
		if !busy.hot {
			t.Fatal("a busy queue was not asked")
		}
		for _, q := range asked {
			reached[q] = true
			turns.refund(q, q.share)
			turns.cool(q)
			q.share = 0
		}
	}
	if turns.poll(now.Add(2 * livelyFor)); len(turns.alive) != 0 || busy.listed {
		t.Error("a queue stays among the lively for ever")
	}
}

func TestSplitConsumer(t *testing.T) {
	for _, tenant := range []string{"default", "a-b", "-", "q-q", "a-low"} {
		for _, l := range []lane{"high", "normal", "low", keyLane("x"), keyLane("a-b")} {
			if gotT, gotL := splitConsumer(consumerName(tenant, l)); gotT != tenant || gotL != l || !isQueue(consumerName(tenant, l)) {
				t.Errorf("%s %s became %s %s", tenant, l, gotT, gotL)
			}
		}
	}
	for _, name := range []string{"", "q-", "q--low", "q-a-", "q-a-sched", "q-a-k_", "q-a-k_ABCDEF01234567890123", "q-a-k_" + strings.Repeat("a", 21), "q-a.b-low", "a-low", "array", "q-a b-low"} {
		if isQueue(name) {
			t.Errorf("%q passes for a queue", name)
		}
	}
}

// TestNewTenantIsServedByABusyWorker: one tenant has far more than the worker
// can do; another's first job ever does not wait behind it.
func TestNewTenantIsServedByABusyWorker(t *testing.T) {
	f := newFleet(t)
	var mu sync.Mutex
	var order []string
	step := make(chan struct{})
	f.worker("w1", func(ctx context.Context, a *Attempt) (*Result, error) {
		<-step
		mu.Lock()
		order = append(order, a.Job.Tenant+"/"+string(a.Job.Priority))
		mu.Unlock()
		return &Result{Outcome: Succeeded}, nil
	}, func(c *WorkerConfig) { c.Slots = 1 })
	for i := range 60 {
		f.submit(newJob(numbered("many", i)))
	}
	low := newJob("low")
	low.Priority = Low
	f.submit(low)
	step <- struct{}{}
	step <- struct{}{} // it is busy with the first tenant now
	small := f.tenant("small")
	if _, err := small.Submit(f.ctx, newJob("one")); err != nil {
		t.Fatal(err)
	}
	for range 30 { // the ring may take a moment to be heard, 30 jobs of 10 ms are time enough
		step <- struct{}{}
		time.Sleep(10 * time.Millisecond)
	}
	close(step)
	f.resultOf(small, "one")
	f.result("low")
	f.quiet()
	mu.Lock()
	defer mu.Unlock()
	at := func(what string) int {
		for i, o := range order {
			if o == what {
				return i
			}
		}
		return -1
	}
	if i := at("small/normal"); i < 0 || i > 32 {
		t.Errorf("the small tenant's job was number %d", i)
	}
	if i := at("default/low"); i < 0 || i > 32 {
		t.Errorf("the low job was number %d of %d", i, len(order))
	}
}

// TestRungTooEarly: a ring whose job comes a little later than the worker asked
// for it, as on a busy server, is not forgotten until the next poll.
func TestRungTooEarly(t *testing.T) {
	f := newFleet(t)
	again := make([]time.Duration, 1000)
	for i := range again {
		again[i] = 20 * time.Millisecond
	}
	f.worker("w", succeed, func(c *WorkerConfig) { c.PollEvery, c.ringAgain = time.Hour, again })
	f.submit(newJob("first")) // its queue is made
	f.result("first")
	j := newJob("late")
	f.client.complete(j)
	data, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	asks, err := f.nc.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT." + StreamJobs + "." + consumerName(j.Tenant, j.queueLane()))
	if err != nil {
		t.Fatal(err)
	}
	ringQueue(f.nc, j.Tenant, j.queueLane())
	if _, err := asks.NextMsg(patience); err != nil {
		t.Fatalf("the worker did not ask: %v", err)
	}
	if err := asks.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * lingerRung) // until it has heard that there is nothing
	if _, err := f.js.PublishMsg(f.ctx, j.routed(j.queueLane(), data)); err != nil {
		t.Fatal(err)
	}
	f.result("late")
}
