package jobs

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// dependency is a job or a batch that held jobs wait for.
type dependency struct {
	tenant, id string
	batch      bool
}

func (d dependency) String() string {
	if d.batch {
		return "batch " + d.id
	}
	return "job " + d.id
}

// heldJob is what the coordinator keeps in mind of a job in the hold lane. The
// job itself is read again when it is released.
type heldJob struct {
	tenant, id string
	seq        uint64    // of its message
	at         time.Time // when that was stored
	expires    time.Time
	succeed    bool // what it waits for must have succeeded
	awaits     map[dependency]bool
	end        string // why it ends without being released; "" to release it
	wrong      bool   // the message is no job that belongs here
}

// readHeld reads a message of the hold lane.
func readHeld(m directMessage) *heldJob {
	tenant, _, id, _ := splitSubject(m.subject)
	h := &heldJob{tenant: tenant, id: id, seq: m.seq, at: m.at, awaits: map[dependency]bool{}}
	j, err := Decode(m.data)
	if err != nil || j.After == nil || j.subject(laneHold) != m.subject {
		h.wrong = true
		return h
	}
	h.expires, h.succeed = j.ExpiresAt, j.After.When != AfterEnded
	for _, id := range j.After.Jobs {
		h.awaits[dependency{tenant: tenant, id: id}] = true
	}
	for _, id := range j.After.Batches {
		h.awaits[dependency{tenant: tenant, id: id, batch: true}] = true
	}
	return h
}

func (h *heldJob) dependency() dependency { return dependency{tenant: h.tenant, id: h.id} }

// ending is what is known of a dependency.
type dependencyEnd struct {
	known     bool
	ended     bool
	succeeded bool
	how       string // of one that has ended otherwise
}

// heldJobs are all jobs of the hold lane and what they wait for. Only the
// coordinator's goroutine touches it.
type heldJobs struct {
	held    map[uint64]*heldJob     // by sequence
	byJob   map[dependency]*heldJob // the newest of each job
	awaited map[dependency]map[*heldJob]bool
	ready   map[*heldJob]bool // wait no more: to be released or ended
}

func newHeldJobs() *heldJobs {
	return &heldJobs{
		held: map[uint64]*heldJob{}, byJob: map[dependency]*heldJob{}, awaited: map[dependency]map[*heldJob]bool{},
		ready: map[*heldJob]bool{},
	}
}

// add takes a held job in and gives what nobody waited for before. A job that
// would wait for itself, by way of others, is ended: it can never start.
func (k *heldJobs) add(h *heldJob) (news []dependency) {
	k.held[h.seq] = h
	k.byJob[h.dependency()] = h
	if h.wrong || len(h.awaits) == 0 {
		k.ready[h] = true
		return nil
	}
	for d := range h.awaits {
		if k.awaited[d] == nil {
			k.awaited[d] = map[*heldJob]bool{}
			news = append(news, d)
		}
		k.awaited[d][h] = true
	}
	if way := k.cycle(h); way != nil {
		k.give(h, "it waits for itself: "+strings.Join(way, ", which waits for "))
	}
	return news
}

// maxCycleLook bounds the search for a cycle. A longer one stays until its
// jobs expire or are cancelled.
const maxCycleLook = 10_000

// cycle gives the way from a job back to itself, or nil. Only the job that
// closes a cycle can be awaited by one that is held already.
func (k *heldJobs) cycle(h *heldJob) []string {
	if len(k.awaited[h.dependency()]) == 0 {
		return nil
	}
	from := map[*heldJob]*heldJob{}
	queue := []*heldJob{h}
	for len(queue) > 0 && len(from) < maxCycleLook {
		at := queue[0]
		queue = queue[1:]
		for d := range at.awaits {
			next := k.byJob[d]
			switch {
			case d.batch || next == nil || from[next] != nil:
				continue
			case next == h:
				way := []string{h.dependency().String()}
				for ; at != h; at = from[at] {
					way = append([]string{at.dependency().String()}, way...)
				}
				return append([]string{h.dependency().String()}, way...)
			}
			from[next] = at
			queue = append(queue, next)
		}
	}
	return nil
}

// give marks a job as one that waits no more.
func (k *heldJobs) give(h *heldJob, end string) {
	if !k.ready[h] {
		h.end = end
		k.ready[h] = true
	}
}

// settle takes in what became of a dependency.
func (k *heldJobs) settle(d dependency, e dependencyEnd) {
	if !e.ended {
		return
	}
	for h := range maps.Clone(k.awaited[d]) {
		if h.succeed && !e.succeeded {
			k.give(h, fmt.Sprintf("%s, which it was to start after, %s", d, e.how))
			continue
		}
		k.fulfil(h, d)
		if len(h.awaits) == 0 {
			k.give(h, "")
		}
	}
}

// fulfil notes that h need not wait for d any more.
func (k *heldJobs) fulfil(h *heldJob, d dependency) {
	delete(h.awaits, d)
	delete(k.awaited[d], h)
	if len(k.awaited[d]) == 0 {
		delete(k.awaited, d)
	}
}

// forget drops a job that is no longer held.
func (k *heldJobs) forget(h *heldJob) {
	for d := range maps.Clone(h.awaits) {
		k.fulfil(h, d)
	}
	delete(k.held, h.seq)
	delete(k.ready, h)
	if k.byJob[h.dependency()] == h {
		delete(k.byJob, h.dependency())
	}
}

// expire gives the jobs whose time is over.
func (k *heldJobs) expire(now time.Time) {
	for _, h := range k.held {
		if expired(h.expires, now) {
			k.give(h, fmt.Sprintf("expired at %s, before what it was to start after had ended", stamp(h.expires)))
		}
	}
}

// unknown gives jobs back that wait for what nobody has heard of for long.
func (k *heldJobs) unknown(d dependency, now time.Time, patience time.Duration) {
	for h := range k.awaited[d] {
		if h.expires.IsZero() && now.Sub(h.at) >= patience {
			k.give(h, fmt.Sprintf("%s, which it was to start after, is not known: it was never submitted, or its result is no longer kept; it was waited for for %s", d, patience))
		}
	}
}

// oldest tells for how long the longest-waiting job has waited for d, among
// those that do not wait for ever anyway.
func (k *heldJobs) oldest(d dependency, now time.Time) time.Duration {
	longest := time.Duration(0)
	for h := range k.awaited[d] {
		if h.expires.IsZero() {
			longest = max(longest, now.Sub(h.at))
		}
	}
	return longest
}

// doneOf is where the end of a job is announced, whatever its batch.
func doneOf(d dependency) string { return "done." + d.tenant + ".*." + d.id }

// announcedBy reads such an announcement's subject.
func announcedBy(m *nats.Msg) (dependency, bool) {
	parts := strings.Split(m.Subject, ".")
	if len(parts) != 4 {
		return dependency{}, false
	}
	return dependency{tenant: parts[1], id: parts[3]}, true
}
