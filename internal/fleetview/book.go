package fleetview

import (
	"slices"
	"time"

	"boxfleet/jobs"
)

// Bounds on what a View keeps.
const (
	maxKnown    = 50_000           // jobs
	maxRecent   = 10_000           // ended jobs that the spreads are of
	recentFor   = 5 * time.Minute  // and how long ago they ended at the most
	seriesFor   = 10 * time.Minute // of samples
	maxShown    = 50               // failures, ended and running jobs in a snapshot
	maxTools    = 20               // in a snapshot
	maxLatency  = 128              // durations a sample's percentiles are of
	seriesCount = int(seriesFor / time.Second)
)

// RateWindow is the time that rates are averaged over.
const RateWindow = 10 * time.Second

// phaseNames are the phases in the order of a job's life.
var phaseNames = []string{
	jobs.PhaseQueueWait, jobs.PhaseReuse, jobs.PhaseFetch, jobs.PhaseCompile, jobs.PhaseStage,
	jobs.PhaseInstantiate, jobs.PhaseRun, jobs.PhaseUpload, jobs.PhaseCommit,
}

// runPhase is the place of "run" in phaseNames.
const runPhase = 6

// ended is a job that has ended lately.
type ended struct {
	at      int64 // Unix second
	outcome jobs.Outcome
	tool    string
	total   float32
	phases  [9]float32 // as phaseNames; -1 when it had none
	fuel    uint64
}

// second collects what ended in one second.
type second struct {
	ended   [Groups]int
	latency []float32
	seen    int
}

// book is what a View knows of the tenant's jobs. Its owner locks it.
type book struct {
	known   map[string]*entry
	order   []string // ids as they came, for forgetting
	older   bool
	running map[string]*entry
	recent  []ended // oldest first
	fails   []*entry
	done    []*entry
	seconds map[int64]*second
}

func newBook() *book {
	return &book{known: map[string]*entry{}, running: map[string]*entry{}, seconds: map[int64]*second{}}
}

// put takes a job's record, which was written at the given time, and forgets
// the oldest jobs.
func (b *book) put(h *head, at, now time.Time) {
	old := b.known[h.ID]
	e := h.entry()
	if old == nil {
		b.order = append(b.order, e.ID)
	}
	b.known[e.ID] = e
	switch e.State {
	case jobs.Running:
		b.running[e.ID] = e
	default:
		delete(b.running, e.ID)
	}
	if len(b.order) > maxKnown {
		b.older = true
		first := b.order[0]
		b.order = b.order[1:]
		delete(b.known, first)
		delete(b.running, first)
	}
	if e.State == jobs.Done && (old == nil || old.State != jobs.Done) {
		b.end(h, e, at, now)
	}
}

func (b *book) end(h *head, e *entry, at, now time.Time) {
	b.done = push(b.done, e)
	if g := GroupOf(e.Outcome); g != GroupOK && g != GroupCanceled {
		b.fails = push(b.fails, e)
	}
	if now.Sub(at) < seriesFor {
		s := b.seconds[at.Unix()]
		if s == nil {
			s = &second{}
			b.seconds[at.Unix()] = s
		}
		s.ended[GroupOf(e.Outcome)]++
		if s.seen++; len(s.latency) < maxLatency {
			s.latency = append(s.latency, float32(e.TotalMS))
		} else {
			s.latency[s.seen%maxLatency] = float32(e.TotalMS)
		}
	}
	if now.Sub(at) < recentFor {
		r := ended{at: at.Unix(), outcome: e.Outcome, tool: e.Tool, total: float32(e.TotalMS), fuel: h.Result.FuelConsumed}
		for i, name := range phaseNames {
			r.phases[i] = -1
			if ms, ok := h.Result.Phases[name]; ok {
				r.phases[i] = float32(ms)
			}
		}
		b.recent = append(b.recent, r)
	}
}

// push keeps the newest maxShown entries, newest last.
func push(list []*entry, e *entry) []*entry {
	if len(list) >= 2*maxShown {
		list = append(list[:0], list[len(list)-maxShown+1:]...)
	}
	return append(list, e)
}

// newest gives copies of the newest, newest first.
func newest(list []*entry) []Job {
	out := make([]Job, 0, maxShown)
	for i := len(list) - 1; i >= 0 && len(out) < maxShown; i-- {
		out = append(out, list[i].Job)
	}
	return out
}

// forget drops what is too old to be shown in figures.
func (b *book) forget(now time.Time) {
	from := now.Add(-recentFor).Unix()
	i := 0
	for i < len(b.recent) && (b.recent[i].at < from || len(b.recent)-i > maxRecent) {
		i++
	}
	if i > 0 {
		b.recent = append(b.recent[:0], b.recent[i:]...)
	}
	for t := range b.seconds {
		if t < now.Add(-seriesFor).Unix() {
			delete(b.seconds, t)
		}
	}
}

// longest gives the jobs that have run for the longest time.
func (b *book) longest() []Job {
	out := make([]Job, 0, len(b.running))
	for _, e := range b.running {
		out = append(out, e.Job)
	}
	slices.SortFunc(out, func(x, y Job) int { return x.Started.Compare(y.Started) })
	return out[:min(len(out), maxShown)]
}
