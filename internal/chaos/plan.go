package main

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// kind is a kind of fault.
type kind string

const (
	workerKill   kind = "worker-kill"   // SIGKILL; started again
	workerFreeze kind = "worker-freeze" // SIGSTOP for longer than the ack wait, SIGCONT
	natsKill     kind = "nats-kill"     // SIGKILL of one node; started again
	natsStop     kind = "nats-stop"     // SIGTERM of one node; started again
	natsCut      kind = "nats-cut"      // a worker's connections to NATS are reset and refused
	natsSilence  kind = "nats-silence"  // a worker's connections to NATS carry nothing
	storeCut     kind = "store-cut"     // a worker's connections to the store are reset and refused
	storeError   kind = "store-error"   // the store answers some requests with 503
	storeSlow    kind = "store-slow"    // the store answers some requests late
	storeBroken  kind = "store-broken"  // the store closes some connections without an answer
	storeUnheard kind = "store-unheard" // the store does what it is asked, and the answer is lost
	storeShort   kind = "store-short"   // the store sends half of some bodies
	diskFull     kind = "disk-full"     // a worker's scratch disk has no room
	poison       kind = "poison"        // a job whose worker is killed whenever it runs
)

// lanes are the faults that come one after the other; lanes overlap. NATS
// nodes share one lane so that never two are away.
var lanes = [][]kind{
	{workerKill, workerFreeze},
	{natsKill, natsStop},
	{natsCut, storeCut, natsSilence},
	{storeError, storeSlow, storeBroken, storeUnheard, storeShort},
	{diskFull},
	{poison},
}

// event is one fault.
type event struct {
	At     time.Duration // after the load has begun
	For    time.Duration // how long it lasts
	Kind   kind
	Target int    // which worker or NATS node
	Seed   uint64 // for what the fault decides by itself
}

// shape are the parts of a run that a plan depends on.
type shape struct {
	Seed     uint64
	Duration time.Duration
	Workers  int
	AckWait  time.Duration
}

// newPlan makes the schedule: every kind once, in an order of the seed's, then
// more of them until the duration is over. Equal shapes give equal plans.
func newPlan(s shape) []event {
	var plan []event
	for l, kinds := range lanes {
		rng := rand.New(rand.NewPCG(s.Seed, uint64(l)))
		between := func(a, b time.Duration) time.Duration { return a + time.Duration(rng.Int64N(int64(b-a)+1)) }
		at := between(s.Duration/50, s.Duration/12)
		var order []int
		for n := 0; ; n++ {
			if len(order) == 0 {
				order = rng.Perm(len(kinds))
			}
			e := event{At: at, Kind: kinds[order[0]], Seed: rng.Uint64()}
			order = order[1:]
			long := time.Duration(0) // what the next fault of the lane must wait for
			switch e.Kind {
			case workerKill:
				e.Target, e.For = rng.IntN(s.Workers), between(100*time.Millisecond, time.Second)
			case workerFreeze:
				e.Target, e.For = rng.IntN(s.Workers), s.AckWait*3/2+between(0, s.AckWait)
			case natsKill, natsStop:
				// The rest of the wait for a healthy cluster is the fault's own.
				e.Target, e.For = rng.IntN(natsNodes), between(500*time.Millisecond, 2*time.Second)
			case natsCut, storeCut, natsSilence:
				e.Target, e.For = rng.IntN(s.Workers), between(s.AckWait/3, s.AckWait*3/2)
			case diskFull:
				e.Target, e.For = 0, between(s.AckWait, 2*s.AckWait)
			case poison:
				long = 3 * s.AckWait // its attempts wait for the server to notice each death
			default:
				e.For = between(s.AckWait/2, s.AckWait)
			}
			// The first of each kind comes in any case, however short the run.
			if at >= s.Duration && n >= len(kinds) {
				break
			}
			plan = append(plan, e)
			// Long runs leave the fleet time to work between a lane's faults.
			rest := min(max(s.Duration/15, s.AckWait/2), 5*s.AckWait)
			at += e.For + long + between(rest/4, rest)
		}
	}
	slices.SortStableFunc(plan, func(a, b event) int { return cmp.Compare(a.At, b.At) })
	return plan
}

func printPlan(w io.Writer, plan []event) {
	for _, e := range plan {
		_, _ = fmt.Fprintf(w, "%9.3fs  %-14s target %d  for %.3fs\n", e.At.Seconds(), e.Kind, e.Target, e.For.Seconds())
	}
}

// allKinds lists the kinds in the order of the lanes.
func allKinds() []kind { return slices.Concat(lanes...) }
