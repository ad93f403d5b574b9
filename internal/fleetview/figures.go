package fleetview

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"boxfleet/jobs"
)

// spread sorts ms and gives its spread, by the nearest rank.
func spread(ms []float32) Spread {
	if len(ms) == 0 {
		return Spread{}
	}
	slices.Sort(ms)
	at := func(p float64) float64 {
		i := int(math.Ceil(p*float64(len(ms)))) - 1
		return round(float64(ms[max(0, i)]))
	}
	return Spread{N: len(ms), P50: at(.5), P95: at(.95), P99: at(.99), Max: round(float64(ms[len(ms)-1]))}
}

// round keeps microseconds: more digits are of no use and longer to send.
func round(ms float64) float64 { return math.Round(ms*1000) / 1000 }

// figures fills in what is computed of the jobs that ended lately.
func (b *book) figures(s *Snapshot, now time.Time) {
	s.Counts = map[jobs.Outcome]int{}
	total := make([]float32, 0, len(b.recent))
	phases := make([][]float32, len(phaseNames))
	type use struct {
		ToolUse
		run []float32
	}
	tools := map[string]*use{}
	for i := range b.recent {
		r := &b.recent[i]
		s.Counts[r.outcome]++
		total = append(total, r.total)
		for p, ms := range r.phases {
			if ms >= 0 {
				phases[p] = append(phases[p], ms)
			}
		}
		u := tools[r.tool]
		if u == nil {
			u = &use{ToolUse: ToolUse{Tool: r.tool}}
			tools[r.tool] = u
		}
		u.Jobs++
		u.Fuel += r.fuel
		if g := GroupOf(r.outcome); g != GroupOK && g != GroupCanceled {
			u.Failed++
		}
		if run := r.phases[runPhase]; run >= 0 {
			u.run = append(u.run, run)
		}
	}
	s.Total = spread(total)
	for i, name := range phaseNames {
		if len(phases[i]) > 0 {
			s.Phases = append(s.Phases, Phase{name, spread(phases[i])})
		}
	}
	for _, u := range tools {
		u.Run = spread(u.run)
		s.Tools = append(s.Tools, u.ToolUse)
	}
	slices.SortFunc(s.Tools, func(x, y ToolUse) int {
		return cmp.Or(cmp.Compare(y.Run.P95, x.Run.P95), strings.Compare(x.Tool, y.Tool))
	})
	s.Tools = s.Tools[:min(len(s.Tools), maxTools)]
	s.Window = recentFor.Seconds()
	if len(b.recent) >= maxRecent {
		s.Window = max(1, now.Sub(time.Unix(b.recent[0].at, 0)).Seconds())
	}
	n := 0
	for t := now.Add(-RateWindow).Unix(); t < now.Unix(); t++ {
		if sec := b.seconds[t]; sec != nil {
			for _, c := range sec.ended {
				n += c
			}
		}
	}
	s.Rate = math.Round(float64(n)/RateWindow.Seconds()*10) / 10
}

// series gives one sample for each of the last seconds that are over, with the
// gauges that were read in them.
func (b *book) series(gauges map[int64]gauge, now time.Time) []Sample {
	out := make([]Sample, 0, seriesCount)
	for t := now.Add(-seriesFor).Unix(); t < now.Unix(); t++ {
		out = append(out, b.sample(gauges, t))
	}
	return out
}

func (b *book) sample(gauges map[int64]gauge, t int64) Sample {
	x := Sample{Second: t}
	if g, ok := gauges[t]; ok {
		x.Waiting, x.Active, x.Busy, x.Slots = &g.waiting, &g.active, &g.busy, &g.slots
	}
	if sec := b.seconds[t]; sec != nil {
		x.Ended = sec.ended
		sp := spread(slices.Clone(sec.latency))
		x.P50, x.P95 = sp.P50, sp.P95
	}
	return x
}
