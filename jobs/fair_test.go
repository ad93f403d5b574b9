package jobs

import (
	"context"
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
			turns.names[name].hot = false // b and c have low jobs only
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
	turns.heat(5)
	turns.add(consumerName("x", Low))
	turns.all[0].hot = false
	if list := turns.plan(4); len(list) != 0 {
		t.Errorf("planned %v", list)
	}
	turns.heat(5)
	if list := turns.plan(4); len(list) != 1 || list[0].share != 4 {
		t.Errorf("planned %v", list)
	}
}

func TestSplitConsumer(t *testing.T) {
	for _, tenant := range []string{"default", "a-b", "-", "q-q", "a-low"} {
		for _, p := range Priorities {
			if gotT, gotP := splitConsumer(consumerName(tenant, p)); gotT != tenant || gotP != p {
				t.Errorf("%s %s became %s %s", tenant, p, gotT, gotP)
			}
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
