package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Weights of the priorities: jobs a queue may give in one round. Low is at
// least one, so that it never starves.
var weights = map[Priority]int{High: 16, Normal: 4, Low: 1}

// queue is one consumer as the dispatcher sees it. Only the dispatch
// goroutine touches it.
type queue struct {
	name   string
	weight int
	credit int
	hot    bool // may have jobs
	rung   bool // a submitter said so a moment ago
}

// lingerRung is how long a queue that was rung is waited for: the server tells
// the submitter that a job is stored a little before its consumers see it.
const lingerRung = 5 * time.Millisecond

// dispatch is the one goroutine that pulls. It takes free slots first and
// then asks for as many jobs, so that no job waits in a worker that cannot
// start it while another could.
func (w *Worker) dispatch(ctx, work context.Context, ready func()) error {
	pull, err := newPuller(w.nc, w.cfg.Slots, func(m *nats.Msg) { _ = m.Nak() })
	if err != nil {
		return err
	}
	defer pull.close()
	queues := map[string]*queue{}
	var order []*queue
	refresh := func() {
		for _, name := range w.consumers(ctx) {
			if queues[name] == nil {
				q := &queue{name: name, weight: weightOf(name), hot: true}
				queues[name] = q
				order = append(order, q)
			}
		}
	}
	refresh()
	if ready != nil {
		ready()
	}
	poll := time.NewTicker(w.cfg.PollEvery)
	defer poll.Stop()
	rescan := time.NewTicker(10 * time.Second)
	defer rescan.Stop()
	away := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))

	for ctx.Err() == nil {
		if w.Sick() != "" && !w.probe(ctx) {
			continue
		}
		slots := w.takeSlots(ctx)
		if slots == 0 {
			break
		}
		used, err := w.round(work, pull, order, slots)
		for range slots - used {
			w.free <- struct{}{}
		}
		switch {
		case errors.Is(err, nats.ErrConnectionClosed):
			return err
		case err != nil:
			w.log.Warn("cannot ask for jobs, trying again", "error", err)
			sleep(ctx, away.NextBackOff())
			refresh()
			for _, q := range order {
				q.hot = true
			}
			continue
		}
		away.Reset()
		if used > 0 {
			continue
		}
		select { // every queue was empty
		case <-ctx.Done():
		case name := <-w.woken:
			for more := true; more; {
				if queues[name] == nil {
					refresh()
				}
				if q := queues[name]; q != nil {
					q.hot, q.rung = true, true
				}
				select {
				case name = <-w.woken:
				default:
					more = false
				}
			}
		case <-poll.C:
			for _, q := range order {
				q.hot = true
			}
		case <-rescan.C:
			refresh()
		}
	}
	return nil
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

// round asks hot queues for jobs by weighted round robin until the slots are
// filled or every queue is empty.
func (w *Worker) round(work context.Context, pull *puller, order []*queue, slots int) (used int, err error) {
	start := func(m *nats.Msg) {
		w.wg.Add(1)
		go func() {
			s := &slot{w: w, held: true}
			defer func() { s.release(); w.wg.Done() }()
			w.handle(work, m, s)
		}()
	}
	for used < slots {
		asked := false
		for _, q := range order {
			if !q.hot || used == slots {
				continue
			}
			if q.credit == 0 {
				q.credit = q.weight
			}
			n := min(slots-used, q.credit)
			linger := time.Duration(0)
			if q.rung && used == 0 {
				linger = lingerRung
			}
			q.rung = false
			got, err := pull.fetch(StreamJobs, q.name, n, linger, start)
			used += got
			asked = true
			if errors.Is(err, nats.ErrNoResponders) {
				q.hot = false // the consumer is gone
				continue
			}
			if err != nil {
				return used, err
			}
			if q.credit -= got; got < n {
				q.credit, q.hot = 0, false
			}
		}
		if !asked {
			break
		}
	}
	return used, nil
}

// consumers lists the queues of all tenants.
func (w *Worker) consumers(ctx context.Context) []string {
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

func weightOf(consumer string) int {
	p := Priority(consumer[strings.LastIndexByte(consumer, '-')+1:])
	return max(1, weights[p])
}

// probe waits a moment and asks whether the worker is well again.
func (w *Worker) probe(ctx context.Context) bool {
	if !sleep(ctx, time.Second) {
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

func encodeJSON(v any) ([]byte, error) { return json.Marshal(v) }
