package jobs

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// lingerRung is how long a queue that was rung is waited for: the server tells
// the submitter that a job is stored a little before its consumers see it.
const lingerRung = 5 * time.Millisecond

// Bounds on looking at queues nobody rang for, so that a fleet of thousands of
// tenants costs its workers no more than one of dozens.
const (
	heatAtOnce  = 64
	rescanEvery = 10 * time.Second
	listAtMost  = 100 * time.Millisecond // a ring costs its sender nothing
)

// dispatcher pulls jobs for a worker's free slots.
type dispatcher struct {
	w      *Worker
	work   context.Context // what the jobs run under; it outlives the fetching
	pull   *puller
	turns  *turns
	poll   *time.Ticker
	rescan *time.Ticker

	refreshed time.Time // when the queues were last listed
	unlisted  bool      // a ring named a queue that is not known
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
	d := &dispatcher{w: w, work: work, pull: pull, turns: newTurns(), poll: time.NewTicker(w.cfg.PollEvery), rescan: time.NewTicker(rescanEvery)}
	defer d.poll.Stop()
	defer d.rescan.Stop()
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
			d.turns.heat(len(d.turns.all))
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
			d.rung(ctx, name)
		case <-d.poll.C:
			d.polled(ctx)
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
		d.rung(ctx, name)
	case <-d.poll.C:
		d.polled(ctx)
	case <-d.rescan.C:
		d.refresh(ctx)
	}
}

func (d *dispatcher) rung(ctx context.Context, name string) {
	if d.turns.names[name] == nil {
		if d.unlisted = time.Since(d.refreshed) < listAtMost; !d.unlisted {
			d.refresh(ctx)
		}
	}
	if q := d.turns.names[name]; q != nil {
		q.hot, q.rung = true, true
	}
}

func (d *dispatcher) polled(ctx context.Context) {
	if d.unlisted {
		d.refresh(ctx)
	}
	d.turns.heat(heatAtOnce)
}

// refresh takes in the queues of new tenants.
func (d *dispatcher) refresh(ctx context.Context) {
	for _, name := range d.w.consumers(ctx) {
		d.turns.add(name)
	}
	d.refreshed, d.unlisted = time.Now(), false
}

// round fills the slots from hot queues until they are used or every queue
// is empty. It returns how many jobs it started.
func (d *dispatcher) round(slots int) (used int, err error) {
	for used < slots {
		list := d.turns.plan(slots - used)
		if len(list) == 0 {
			return used, nil
		}
		for i, q := range list {
			n := q.share
			linger := time.Duration(0)
			if q.rung && used == 0 {
				linger = lingerRung
			}
			q.rung, q.share = false, 0
			got, err := d.pull.fetch(StreamJobs, q.name, n, linger, d.start)
			used += got
			switch {
			case errors.Is(err, nats.ErrNoResponders):
				q.hot = false // the consumer is gone, or its leader is changing
			case err != nil:
				for _, rest := range list[i+1:] {
					rest.share = 0
				}
				return used, err
			case got < n:
				q.hot = false
			}
		}
	}
	return used, nil
}

// start runs one job in a slot that was taken for it.
func (d *dispatcher) start(m *nats.Msg) {
	w := d.w
	w.wg.Add(1)
	go func() {
		s := &slot{w: w, held: true}
		defer func() { s.release(); w.wg.Done() }()
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
func (w *Worker) consumers(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := w.js.Stream(ctx, StreamJobs)
	if err != nil {
		w.log.Warn("cannot list the queues", "error", err)
		return nil
	}
	var names []string
	list := stream.ConsumerNames(ctx)
	for name := range list.Name() {
		if strings.HasPrefix(name, "q-") {
			names = append(names, name)
		}
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		w.log.Warn("cannot list the queues", "error", err)
	}
	return names
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
