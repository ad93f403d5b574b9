package jobs

import (
	"fmt"
	"strings"
	"time"
)

// waitingOnACluster submits jobs that wait for a time, for others and for
// workers that make them, before the leaders go away; the returned function
// looks at what became of them.
func waitingOnACluster(f *testFleet, r *runs) (check func()) {
	started := time.Now()
	const n = 15
	for i := range n {
		j := newJob(numbered("timed", i))
		j.RunAt = f.client.Now(f.ctx).Add(time.Duration(1+i/3) * time.Second)
		f.submit(j, after(numbered("behind", i), j.ID))
	}
	if _, err := f.client.SubmitArray(f.ctx, array("array", 150), nil); err != nil {
		f.t.Fatal(err)
	}
	tick := recurring("tick")
	tick.Overlap = OverlapAllow
	f.put(tick)
	return func() {
		f.t.Helper()
		for i := range n {
			for _, id := range []string{numbered("timed", i), numbered("behind", i)} {
				if rec := f.result(id); rec.Result.Outcome != Succeeded {
					f.t.Errorf("%s: %+v", id, rec.Result)
				}
			}
		}
		for i := range 150 {
			if rec := f.result(fmt.Sprintf("array-%d", i)); rec.Result.Outcome != Succeeded {
				f.t.Errorf("%s: %+v", rec.ID, rec.Result)
			}
		}
		starts := func() (n int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for id := range r.n {
				if strings.HasPrefix(id, "tick-") {
					n++
				}
			}
			return n
		}
		f.eventually("the schedule has started a job", func() bool { return starts() > 0 })
		ticks, took := starts(), time.Since(started)
		if most := int(took/time.Second) + 2; ticks > most {
			f.t.Errorf("%d starts of a schedule in %s", ticks, took)
		}
		f.t.Logf("%d starts of a schedule of one second in %s", ticks, took.Round(time.Second))
	}
}
