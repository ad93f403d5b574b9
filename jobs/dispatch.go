package jobs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// lingerRung is how long a queue that was rung is waited for: the server tells
// the submitter that a job is stored a little before its consumers see it.
const lingerRung = 5 * time.Millisecond

// ringAgain is when a queue that was rung and had nothing is asked again: a
// busy server may need longer than lingerRung to find the job among others',
// and polls come round to one queue of thousands late.
var ringAgain = []time.Duration{50 * time.Millisecond, 250 * time.Millisecond, time.Second}

// dispatcher pulls jobs for a worker's free slots.
type dispatcher struct {
	w      *Worker
	work   context.Context // what the jobs run under; it outlives the fetching
	pull   *puller
	turns  *turns
	poll   *time.Ticker
	rescan *time.Ticker

	strange map[*queue]time.Time // rung for first, and never seen in a list
	echoes  []echo               // in no order
	again   *time.Timer          // for the first of them
}

// echo is a ring that is to be heard once more.
type echo struct {
	queue *queue
	at    time.Time
}

// dispatch is the one goroutine that pulls. It takes free slots first and
// then asks for as many jobs, so that no job waits in a worker that cannot
// start it while another could.
func (w *Worker) dispatch(ctx, work context.Context, ready func()) error {
	pull, err := newPuller(w.nc, w.cfg.Slots, func(m *nats.Msg) { _ = w.nak(m, 0) })
	if err != nil {
		return err
	}
	defer pull.close()
	d := &dispatcher{w: w, work: work, pull: pull, turns: newTurns(), strange: map[*queue]time.Time{}, poll: time.NewTicker(w.cfg.PollEvery), rescan: time.NewTicker(rescanEvery), again: time.NewTimer(time.Hour)}
	defer d.poll.Stop()
	defer d.rescan.Stop()
	defer d.again.Stop()
	d.turns.enter, d.turns.key = d.tenant, func(queue string) gate { return w.rates.of(queue) }
	select {
	case <-w.tenants.loaded: // a cap must be known before the first job starts
	case <-ctx.Done():
	}
	d.refresh(ctx)
	if ready != nil {
		ready()
	}
	return d.run(ctx)
}

func (d *dispatcher) run(ctx context.Context) error {
	w := d.w
	away := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		if w.Sick() != "" && !w.probe(ctx) {
			continue
		}
		slots := w.takeSlots(ctx)
		if slots == 0 {
			break
		}
		d.hear(ctx)
		used, err := d.round(slots)
		for range slots - used {
			w.free <- struct{}{}
		}
		switch {
		case w.nc.IsClosed():
			return nats.ErrConnectionClosed
		case err != nil:
			w.log.Warn("cannot ask for jobs, trying again", "error", err)
			sleep(ctx, away.NextBackOff())
			d.refresh(ctx)
			d.turns.heatAll()
			continue
		}
		away.Reset()
		if used == 0 {
			d.idle(ctx)
		}
	}
	return nil
}

// hear takes in what happened meanwhile, without waiting: a busy worker must
// notice other tenants' jobs as well as an idle one.
func (d *dispatcher) hear(ctx context.Context) {
	for {
		select {
		case name := <-d.w.woken:
			d.rung(name)
		case <-d.w.keeper.bell.c:
			d.belled()
		case <-d.again.C:
			d.echoed(time.Now())
		case <-d.poll.C:
			d.polled()
		case <-d.rescan.C:
			d.refresh(ctx)
		default:
			return
		}
	}
}

// idle waits until there may be something to do.
func (d *dispatcher) idle(ctx context.Context) {
	select {
	case <-ctx.Done():
	case name := <-d.w.woken:
		d.rung(name)
	case <-d.w.keeper.bell.c:
		d.belled()
	case <-d.again.C:
		d.echoed(time.Now())
	case <-d.poll.C:
		d.polled()
	case <-d.rescan.C:
		d.refresh(ctx)
	}
}

// Bounds on queues that no list has named, since a ring costs its sender
// nothing: how many are asked, and how long one may take to appear.
const (
	strangersAtMost = 256
	strangeFor      = 2 * time.Second
)

// rung takes a submitter's word that a queue has jobs. A queue that is not
// known yet is asked without looking whether it exists: the server says so if
// it does not, and listing thousands for one that is new would cost more.
func (d *dispatcher) rung(name string) {
	q := d.turns.names[name]
	if q == nil {
		if len(d.strange) >= strangersAtMost {
			return // the next listing finds it
		}
		q = d.turns.add(name)
		d.strange[q] = time.Now()
	}
	if _, sure := q.line.hotQueues(0); !sure { // else it is known to wait for places
		d.turns.unblock(q.line)
	}
	d.turns.heat(q)
	d.turns.enliven(q, time.Now())
	q.rung, q.sure, q.echoes = true, true, 0
}

// later has a queue that was rung, and gave nothing, asked again. Each ring has
// as many echoes as ringAgain has times, and a queue that waits for one is not
// noted twice.
func (d *dispatcher) later(q *queue, now time.Time) {
	if q.echoes >= len(d.w.cfg.ringAgain) || slices.ContainsFunc(d.echoes, func(e echo) bool { return e.queue == q }) {
		return
	}
	d.echoes = append(d.echoes, echo{q, now.Add(d.w.cfg.ringAgain[q.echoes])})
	q.echoes++
	d.schedule(now)
}

// schedule sets the timer for the first echo.
func (d *dispatcher) schedule(now time.Time) {
	next := time.Hour
	for _, e := range d.echoes {
		next = min(next, e.at.Sub(now))
	}
	d.again.Reset(max(0, next))
}

// echoed asks queues again whose time has come.
func (d *dispatcher) echoed(now time.Time) {
	d.echoes = slices.DeleteFunc(d.echoes, func(e echo) bool {
		due := !e.at.After(now)
		if q := e.queue; due && !q.hot && d.turns.names[q.name] == q {
			d.turns.heat(q)
			q.rung = true
		}
		return due
	})
	d.schedule(now)
}

// polled looks at queues nobody rang for, and asks again for places.
func (d *dispatcher) polled() {
	d.turns.poll(time.Now())
	for _, l := range d.turns.blocked {
		l.asked = false
	}
	for _, q := range d.turns.closed {
		q.asked = false
	}
	d.askGates(1, false)
}

// askedAtOnce bounds how many queues are looked at before places are taken.
const askedAtOnce = 16

// askGates asks for places of the tenants, and starts of the keys, that had
// none when their turn came.
func (d *dispatcher) askGates(n int, urgent bool) {
	for _, l := range d.turns.blocked {
		if l.asked {
			continue
		}
		l.asked = true
		if hot, sure := l.hotQueues(askedAtOnce); len(hot) > 0 {
			l.gate.(*places).ask(n, hot, sure, urgent)
		}
	}
	for _, q := range d.turns.closed {
		if !q.asked {
			q.asked = true
			q.gate.(*rated).ask(n, q.eager)
		}
	}
}

// tenant gives what counts for a tenant's jobs.
func (d *dispatcher) tenant(name string) (weight int, g gate) {
	s, _ := d.w.tenants.of(name)
	return max(1, s.Weight), d.w.keeper.of(name)
}

// belled takes in what was found out for the dispatcher.
func (d *dispatcher) belled() {
	t := d.turns
	for _, tenant := range d.w.tenants.takeChanged() {
		if l := t.lines[tenant]; l != nil {
			s, _ := d.w.tenants.of(tenant)
			t.reweigh(l, max(1, s.Weight))
		}
	}
	tenants, empties, keys := d.w.keeper.bell.take()
	for _, tenant := range tenants {
		if l := t.lines[tenant]; l != nil {
			t.unblock(l)
		}
	}
	for _, name := range empties {
		if q := t.names[name]; q != nil && !q.sure && !q.eager {
			t.cool(q)
			t.open(q)
		}
	}
	for _, name := range keys {
		if q := t.names[name]; q != nil {
			t.reopen(q)
			q.rung = true // the server may need a moment to see that there is room
		}
	}
}

// refresh takes in the queues of new tenants and keys, and forgets those that
// are gone.
func (d *dispatcher) refresh(ctx context.Context) {
	names, err := d.w.consumers(ctx)
	if err != nil {
		d.w.log.Warn("cannot list the queues", "error", err)
		return
	}
	for _, q := range d.turns.all {
		q.missed++
	}
	for _, name := range names {
		q := d.turns.add(name)
		q.missed = 0
		delete(d.strange, q)
	}
	for i := len(d.turns.all) - 1; i >= 0; i-- { // drop moves the last one
		q := d.turns.all[i]
		if _, strange := d.strange[q]; q.missed > 1 && !strange { // one list may lack what moved between its pages
			d.drop(q)
		}
	}
}

// drop forgets a queue that is gone. If jobs wait there all the same, somebody
// removed it in the wrong moment.
func (d *dispatcher) drop(q *queue) {
	d.turns.drop(q)
	d.w.rates.drop(q.name)
	d.w.healSoon(q.line.tenant, q.lane)
}

// round fills the slots from hot queues until they are used or every queue
// is empty. It returns how many jobs it started.
func (d *dispatcher) round(slots int) (used int, err error) {
	for used < slots {
		list := d.turns.plan(slots - used)
		d.askGates(slots-used, true)
		if len(list) == 0 {
			return used, nil
		}
		asks := make([]*ask, len(list))
		for i, q := range list {
			counts := q.line.gate.(*places)
			asks[i] = &ask{consumer: q.name, n: q.share, each: func(m *nats.Msg) { d.start(m, q.name, counts) }}
			if q.rung {
				asks[i].linger = lingerRung
			}
			q.rung, q.share = false, 0
		}
		err := d.pull.fetchAll(StreamJobs, asks)
		for i, a := range asks {
			used += a.got
			if e := d.answered(list[i], a); err == nil {
				err = e
			}
		}
		if err != nil {
			return used, err
		}
	}
	return used, nil
}

// answered takes in what came of asking a queue.
func (d *dispatcher) answered(q *queue, a *ask) error {
	d.turns.refund(q, a.n-a.got)
	q.line.gate.(*places).pulled(a.got)
	if a.got > 0 {
		q.sure = a.got == a.n
		d.turns.enliven(q, time.Now())
		delete(d.strange, q)
	}
	if r, ok := q.gate.(*rated); ok && r.bound() {
		r.pulled(a.got)
	}
	switch {
	case errors.Is(a.err, nats.ErrNoResponders): // the consumer is gone, or its leader is changing
		if q.sure { // somebody rang, so there may be jobs
			d.w.healSoon(q.line.tenant, q.lane)
		}
		d.turns.cool(q)
		if a.linger > 0 {
			d.later(q, time.Now())
		}
		if since, strange := d.strange[q]; strange && time.Since(since) > strangeFor {
			delete(d.strange, q)
			d.drop(q)
		}
	case a.err != nil:
		return a.err
	case a.got < a.n:
		d.turns.cool(q)
		if a.got == 0 && a.linger > 0 {
			d.later(q, time.Now())
		}
	}
	return nil
}

// start runs one job of a queue in a slot that was taken for it; the job is one
// of counts.
func (d *dispatcher) start(m *nats.Msg, queue string, counts *places) {
	w := d.w
	_, l := splitConsumer(queue)
	w.wg.Add(1)
	go func() {
		s := &slot{w: w, held: true}
		defer func() {
			counts.put(1)
			if l.isKey() { // the server may have kept the next one back for it
				w.keeper.bell.reopened(queue)
			}
			s.release()
			w.wg.Done()
		}()
		w.handle(d.work, m, s)
	}()
}

// takeSlots waits for one free slot and takes all that are free.
func (w *Worker) takeSlots(ctx context.Context) int {
	select {
	case <-ctx.Done():
		return 0
	case <-w.free:
	}
	n := 1
	for {
		select {
		case <-w.free:
			n++
		default:
			return n
		}
	}
}

// consumers lists the queues of all tenants.
func (w *Worker) consumers(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := w.js.Stream(ctx, StreamJobs)
	if err != nil {
		return nil, err
	}
	var names []string
	list := stream.ConsumerNames(ctx)
	for name := range list.Name() {
		if isQueue(name) {
			names = append(names, name)
		}
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, err
	}
	return names, nil
}

// probe waits a moment and asks whether the worker is well again.
func (w *Worker) probe(ctx context.Context) bool {
	if !sleep(ctx, w.cfg.probeEvery) {
		return false
	}
	pctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := w.cfg.Probe(pctx); err != nil {
		reason := err.Error()
		w.sick.Store(&reason)
		return false
	}
	w.recovered()
	return true
}

// sleep waits for d or the end of ctx; it tells whether the time passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
