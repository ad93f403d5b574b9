package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// places counts a tenant's running jobs on this worker and, when an operator
// has capped the tenant, holds the right to run them: so many places of the
// tenant's document (seats), reserved before a job is pulled and renewed like
// a lease. A tenant without a cap costs two additions a job.
//
// The dispatcher takes places; a goroutine of its own, which lives only while
// there is something to do, talks to the server.
type places struct {
	k      *placeKeeper
	tenant string

	mu    sync.Mutex
	cap   int       // 0 for none
	shut  bool      // the settings cannot be read: nothing may start
	held  int       // places that may be used
	good  time.Time // until when, by this process's clock
	used  int       // jobs that run or are being pulled
	peak  int       // the most used by jobs since places were last given back
	want  int       // what the dispatcher would start if it could
	known bool      // jobs are known to be waiting
	hot   []string  // the queues it would pull from
	short bool      // the dispatcher had none when it wanted one
	over  bool      // more run than the cap allows: it was lowered
	renew bool      // it is time to write again
	idle  bool      // places were unused for a while
	rests bool      // a timer will see whether they still are
	busy  bool      // a goroutine works on it
	retry time.Time // when asking again is worth while, if nobody rings
	pause time.Duration
}

// Bounds on asking for places again that nobody had: a release is rung, so
// this is for workers that died.
const (
	firstPlaceRetry = 250 * time.Millisecond
	lastPlaceRetry  = 4 * time.Second
	keepIdlePlaces  = 100 * time.Millisecond
)

// take uses one place up for a job about to be pulled.
func (p *places) take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut || p.cap > 0 && (p.used >= p.held || time.Now().After(p.good)) {
		p.short = true
		return false
	}
	p.used++
	return true
}

// put gives back places of jobs that ended or did not come.
func (p *places) put(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= n
	if p.over { // what ends is not to be followed by another
		p.held = min(p.held, p.used)
	}
	if p.short && p.used < p.held {
		p.short = false
		p.k.bell.granted(p.tenant)
	}
	if p.cap > 0 && (p.held > p.used || p.over) {
		p.rest()
	}
}

// rest looks in a moment whether places are still unused: the next job may
// come at once. p.mu is held.
func (p *places) rest() {
	if p.rests {
		return
	}
	p.rests = true
	time.AfterFunc(keepIdlePlaces, func() {
		p.mu.Lock()
		p.rests, p.idle = false, true
		p.mu.Unlock()
		p.settleSoon()
	})
}

// pulled notes how many jobs came for places that were taken.
func (p *places) pulled(n int) {
	p.mu.Lock()
	capped := p.cap > 0
	if n > 0 {
		p.peak = max(p.peak, p.used)
	}
	p.mu.Unlock()
	if capped && n == 0 {
		p.later()
	}
}

// ask says that n jobs of the queues hot could start if there were places.
// known tells that jobs are waiting there; else that is looked up first. What
// is not urgent waits for its time.
func (p *places) ask(n int, hot []string, known, urgent bool) {
	p.mu.Lock()
	if p.cap > 0 && !p.shut && (known && urgent || !time.Now().Before(p.retry)) {
		p.want, p.hot, p.known = max(p.want, n), hot, p.known || known
	}
	p.mu.Unlock()
	p.settleSoon()
}

// configure takes in what the operator has set.
func (p *places) configure(s TenantSettings, readable bool) {
	p.mu.Lock()
	p.cap, p.shut = s.Concurrency, !readable
	p.renew, p.retry = p.held > 0 || p.used > 0 && p.cap > 0, time.Time{}
	p.mu.Unlock()
	p.settleSoon()
}

// beat renews what is held.
func (p *places) beat() {
	p.mu.Lock()
	p.renew = p.renew || p.held > 0 || p.cap > 0 && p.used > 0
	if p.held > p.used {
		p.rest()
	}
	p.mu.Unlock()
	p.settleSoon()
}

// settleSoon starts the goroutine if there is something to do and none works.
func (p *places) settleSoon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || p.want == 0 && !p.renew && !p.idle {
		return
	}
	p.busy = p.k.start(p.work)
}

// work brings the document into line with what is wanted.
func (p *places) work(ctx context.Context) {
	for {
		p.mu.Lock()
		want, renew, idle, hot, known := p.want, p.renew, p.idle, p.hot, p.known
		p.want, p.renew, p.idle, p.known = 0, false, false, false
		if want == 0 && !renew && !idle || ctx.Err() != nil {
			p.busy = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		if want > 0 && !known && !p.k.pending(ctx, hot) {
			p.k.bell.empty(hot)
			want = 0
			if !renew && !idle {
				continue
			}
		}
		if err := p.settle(ctx, want, renew, idle); err != nil && ctx.Err() == nil {
			p.k.w.log.Debug("cannot change the places of a tenant; trying again", "tenant", p.tenant, "error", err)
			p.later()
			sleep(ctx, 100*time.Millisecond)
			p.mu.Lock()
			p.renew = p.renew || renew && p.held > 0
			if idle {
				p.rest()
			}
			p.mu.Unlock()
		}
	}
}

// later sets when asking again is worth while.
func (p *places) later() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause = min(max(2*p.pause, firstPlaceRetry), lastPlaceRetry)
	p.retry = time.Now().Add(p.pause/2 + jitter(p.pause/2))
}

// settle changes the document once.
func (p *places) settle(ctx context.Context, want int, renew, idle bool) error {
	k := p.k
	for {
		s, rev, err := readSeats(ctx, k.kv, p.tenant)
		if err != nil {
			return err
		}
		s.sweep(k.w.now(), k.ackWait)
		mine, others := s.Holders[k.holder].N, s.others(k.holder)
		began := time.Now()
		goal, held, capped := p.goal(want, others, idle)
		if goal == mine && held == mine && !renew || goal == 0 && mine == 0 {
			if want > 0 {
				p.answer(want)
			}
			return nil
		}
		if s.Holders[k.holder] = (seat{N: goal, Until: k.w.now().Add(k.ackWait)}); goal == 0 {
			delete(s.Holders, k.holder)
		}
		wctx, cancel := context.WithTimeout(ctx, k.ackWait/4)
		err = s.write(wctx, k.kv, p.tenant, rev)
		cancel()
		if isConflict(err) {
			if !sleep(ctx, jitter(2*time.Millisecond)) {
				return ctx.Err()
			}
			continue // p.goal has lowered what is lowered already
		}
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.held, p.good = goal, began.Add(k.ackWait*3/4)
		if p.over { // jobs may have ended while it was written: none is to follow them
			p.held = min(p.held, p.used)
		}
		granted := p.held > p.used
		p.mu.Unlock()
		switch {
		case goal > mine && granted:
			p.mu.Lock()
			p.pause, p.retry = 0, time.Time{}
			p.peak = max(p.peak, goal)
			p.rest() // the dispatcher may have no use for them any more
			p.mu.Unlock()
			k.bell.granted(p.tenant)
		case goal < mine && others+mine >= capped: // others may wait for these
			_ = k.w.nc.Publish(placesSubject(p.tenant), nil)
		}
		return nil
	}
}

// answer tells the dispatcher of places that are free after all, or sets when
// asking again is worth while.
func (p *places) answer(want int) {
	p.mu.Lock()
	free := p.held - p.used
	p.mu.Unlock()
	if free > 0 {
		p.k.bell.granted(p.tenant)
	}
	if free < want {
		p.later()
	}
}

// goal is how many places this worker is to hold when all others hold so many.
// Places that it is to give up are not used any more from now on; those it is
// to get may be used once they are written.
func (p *places) goal(want, others int, idle bool) (goal, held, capped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cap == 0 {
		p.held, p.over = 0, false
		return 0, 0, 0
	}
	keep := max(p.held, p.used)
	if idle {
		keep = p.peak
		if p.peak = 0; keep > p.used {
			p.rest()
		}
	}
	// What runs is said as it is, also above a cap that was lowered.
	goal = max(p.used, min(max(keep, p.used+want), p.cap-others))
	p.over = goal > p.cap-others
	p.held = min(p.held, goal)
	return goal, p.held, p.cap
}

// bell tells the dispatcher what others have found out for it.
type bell struct {
	c chan struct{}

	mu      sync.Mutex
	tenants []string // have places now, or may have
	empties []string // queues that have nothing to give
	keys    []string // queues whose rate lets more through
}

func newBell() *bell { return &bell{c: make(chan struct{}, 1)} }

func (b *bell) ring() {
	select {
	case b.c <- struct{}{}:
	default:
	}
}

func (b *bell) granted(tenant string) {
	b.mu.Lock()
	b.tenants = append(b.tenants, tenant)
	b.mu.Unlock()
	b.ring()
}

func (b *bell) empty(queues []string) {
	b.mu.Lock()
	b.empties = append(b.empties, queues...)
	b.mu.Unlock()
	b.ring()
}

// reopened says that a key's rate lets more jobs through.
func (b *bell) reopened(queue string) {
	b.mu.Lock()
	b.keys = append(b.keys, queue)
	b.mu.Unlock()
	b.ring()
}

func (b *bell) take() (tenants, empties, keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tenants, empties, keys = b.tenants, b.empties, b.keys
	b.tenants, b.empties, b.keys = nil, nil, nil
	return tenants, empties, keys
}

func placesSubject(tenant string) string { return "wake." + tenant + ".places" }

// placeKeeper has the places of all tenants of a worker.
type placeKeeper struct {
	w       *Worker
	kv      jetstream.KeyValue
	holder  string // differs from that of this worker's earlier life
	ackWait time.Duration
	bell    *bell

	mu      sync.Mutex
	ctx     context.Context // nil when nothing may be started any more
	all     map[string]*places
	working sync.WaitGroup
}

func newPlaceKeeper(w *Worker, kv jetstream.KeyValue) *placeKeeper {
	return &placeKeeper{w: w, kv: kv, holder: w.cfg.Name + "." + NewID()[:8], ackWait: w.cfg.Topology.ackWait, bell: newBell(), all: map[string]*places{}}
}

// of gives a tenant's places.
func (k *placeKeeper) of(tenant string) *places {
	k.mu.Lock()
	p := k.all[tenant]
	if p != nil {
		k.mu.Unlock()
		return p
	}
	p = &places{k: k, tenant: tenant}
	k.all[tenant] = p
	k.mu.Unlock()
	p.configure(k.w.tenants.of(tenant))
	return p
}

// configure gives tenants' places what is now set for them, or all when none
// is named. The dispatcher may be waiting for a slot, so it is not its task.
func (k *placeKeeper) configure(tenants ...string) {
	for _, p := range k.list() {
		if len(tenants) == 0 || slices.Contains(tenants, p.tenant) {
			p.configure(k.w.tenants.of(p.tenant))
		}
	}
}

// start runs f unless the worker is ending; it tells whether it did.
func (k *placeKeeper) start(f func(context.Context)) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx == nil || k.ctx.Err() != nil {
		return false
	}
	ctx := k.ctx
	k.working.Go(func() { f(ctx) })
	return true
}

// run renews what is held until ctx ends, then gives it back.
func (k *placeKeeper) run(ctx context.Context) {
	k.mu.Lock()
	k.ctx = ctx
	k.mu.Unlock()
	tick := time.NewTicker(k.w.cfg.heartbeatEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, p := range k.list() {
			p.beat()
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	k.mu.Lock()
	k.ctx = nil
	k.mu.Unlock()
	k.working.Wait()
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	for _, p := range k.list() {
		if p.leave() && p.settle(bye, 0, false, true) != nil {
			return // they come back by themselves
		}
	}
}

// leave makes places that are given up whatever the settings.
func (p *places) leave() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	had := p.held > 0
	p.peak, p.used = 0, 0 // nothing runs any more
	return had
}

func (k *placeKeeper) list() []*places {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]*places, 0, len(k.all))
	for _, p := range k.all {
		list = append(list, p)
	}
	return list
}

// pending tells whether any of the queues has jobs to give.
func (k *placeKeeper) pending(ctx context.Context, queues []string) bool {
	for _, name := range queues {
		if n, err := k.w.queueLength(ctx, name); err != nil || n > 0 {
			return n > 0 || !errors.Is(err, jetstream.ErrConsumerNotFound)
		}
	}
	return false
}

// queueLength is how many jobs of a queue wait or run.
func (w *Worker) queueLength(ctx context.Context, consumer string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	reply, err := w.nc.RequestWithContext(ctx, "$JS.API.CONSUMER.INFO."+StreamJobs+"."+consumer, nil)
	if err != nil {
		return 0, err
	}
	var info struct {
		Pending    uint64              `json:"num_pending"`
		AckPending uint64              `json:"num_ack_pending"`
		Error      *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(reply.Data, &info); {
	case err != nil:
		return 0, err
	case info.Error != nil && info.Error.ErrorCode == jetstream.JSErrCodeConsumerNotFound:
		return 0, jetstream.ErrConsumerNotFound
	case info.Error != nil:
		return 0, info.Error
	}
	// A job that is to be delivered again is among those that run.
	return info.Pending + info.AckPending, nil
}
