package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of the chore that releases held jobs.
const (
	releaseEvery = time.Second // between looks at what stays silent
	releasePage  = 1000        // dependencies looked up in one turn, messages read at once
	releaseMost  = 20_000      // dependencies looked up in one turn when many are waited for
	releaseSubs  = 1000        // dependencies whose announcements are listened for one by one
	releaseAtOne = 16          // releases under way at once

	// UnknownAfter is how long a job without ExpiresAt waits for a job or batch
	// that nobody has heard of.
	UnknownAfter = time.Hour
)

// releaser moves jobs from the hold lane to where they wait for a worker, or
// ends them, when what they wait for has ended. Announcements make it quick,
// looking at the records makes it sure.
//
// All of its knowledge is read from the hold lane and the records, so another
// coordinator goes on where this one stopped. A release stores the job in its
// next lane before it removes it from this one; done twice, by two
// coordinators, it leaves two messages of a job, which its record fences.
type releaser struct {
	w     *Worker
	book  *batchBook
	jobs  *heldJobs
	next  uint64 // sequence from which the hold lane is to be read on
	hints chan *nats.Msg
	subs  map[dependency]*nats.Subscription
	all   *nats.Subscription  // to every announcement, when there is too much to listen for one by one
	due   map[dependency]bool // to be looked up now
	queue []dependency        // those to be looked up in turn
	seen  map[dependency]time.Time
}

// releaseHeld is the coordinator's chore.
func (w *Worker) releaseHeld(ctx context.Context) error {
	book, err := openBook(ctx, w.nc, w.js)
	if err != nil {
		return err
	}
	r := &releaser{
		w: w, book: book, jobs: newHeldJobs(), next: 1, hints: make(chan *nats.Msg, 4096), subs: map[dependency]*nats.Subscription{},
		due: map[dependency]bool{}, seen: map[dependency]time.Time{},
	}
	defer r.close()
	// A submission to the hold lane is seen as it is sent, a little before it
	// is stored: it only hurries the next reading.
	fresh, err := w.nc.ChanSubscribe("jobs.*."+string(laneHold)+".*", r.hints)
	if err != nil {
		return fmt.Errorf("listen for held jobs: %w", err)
	}
	defer func() { _ = fresh.Unsubscribe() }()
	return r.run(ctx)
}

func (r *releaser) close() {
	for _, s := range r.subs {
		_ = s.Unsubscribe()
	}
	if r.all != nil {
		_ = r.all.Unsubscribe()
	}
}

func (r *releaser) run(ctx context.Context) error {
	tick := time.NewTicker(releaseEvery)
	defer tick.Stop()
	for reconcile := true; ; {
		if err := r.turn(ctx, reconcile); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			reconcile = true
		case m := <-r.hints:
			r.hear(m)
			reconcile = false
			for more := true; more; {
				select {
				case m := <-r.hints:
					r.hear(m)
				default:
					more = false
				}
			}
		}
	}
}

// hear notes what an announcement is about. It may be anybody's: the record
// decides.
func (r *releaser) hear(m *nats.Msg) {
	if d, ok := announcedBy(m); ok && !strings.HasPrefix(m.Subject, "jobs.") && r.jobs.awaited[d] != nil {
		r.due[d] = true
	}
}

// turn reads what is new, looks up what is due, and acts.
func (r *releaser) turn(ctx context.Context, reconcile bool) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	now := r.w.now()
	if reconcile {
		r.jobs.expire(now)
		r.pickDue()
	}
	if err := r.lookUp(ctx, now); err != nil {
		return err
	}
	return r.act(ctx)
}

// read takes in the messages of the hold lane that it has not seen.
func (r *releaser) read(ctx context.Context) error {
	for {
		from := r.next
		_, err := directGet(ctx, r.w.nc, StreamJobs, directQuery{NextBy: "jobs.*." + string(laneHold) + ".*", Batch: releasePage, Seq: r.next}, func(m directMessage) error {
			r.next = m.seq + 1
			for _, d := range r.jobs.add(readHeld(m)) {
				r.listen(d)
				r.due[d] = true
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the held jobs: %w", err)
		}
		if r.next == from {
			return nil
		}
	}
}

// listen subscribes to the announcement of a dependency's end; beyond a bound
// to all of them.
func (r *releaser) listen(d dependency) {
	switch {
	case d.batch || r.all != nil || r.subs[d] != nil:
		return
	case len(r.subs) >= releaseSubs:
		r.all, _ = r.w.nc.ChanSubscribe("done.*.*.*", r.hints)
		return
	}
	if sub, err := r.w.nc.ChanSubscribe(doneOf(d), r.hints); err == nil {
		r.subs[d] = sub
	}
}

// pickDue takes the next dependencies in turn.
func (r *releaser) pickDue() {
	if len(r.queue) == 0 {
		for d := range r.jobs.awaited {
			r.queue = append(r.queue, d)
		}
	}
	// All of them within about ten turns, if they are not too many for that.
	n := min(max(releasePage, len(r.jobs.awaited)/10), releaseMost, len(r.queue))
	for _, d := range r.queue[:n] {
		if r.jobs.awaited[d] != nil {
			r.due[d] = true
		}
	}
	r.queue = r.queue[n:]
	if r.all != nil && len(r.jobs.awaited) < releaseSubs/2 {
		_ = r.all.Unsubscribe()
		r.all = nil
		for d := range r.jobs.awaited {
			r.listen(d)
		}
	}
	for d, sub := range r.subs {
		if r.jobs.awaited[d] == nil {
			_ = sub.Unsubscribe()
			delete(r.subs, d)
		}
	}
	for d := range r.seen {
		if r.jobs.awaited[d] == nil {
			delete(r.seen, d)
		}
	}
}

// lookUp learns what became of the dependencies that are due.
func (r *releaser) lookUp(ctx context.Context, now time.Time) error {
	var subjects []string
	byKey := map[string]dependency{}
	missing := map[dependency]bool{}
	for d := range r.due {
		missing[d] = true
		if !d.batch {
			key := recordKey(d.tenant, d.id)
			byKey[statusSubject(key)] = d
			subjects = append(subjects, statusSubject(key))
			continue
		}
		b, _, err := r.book.get(ctx, d.tenant, d.id)
		if err != nil {
			return err
		}
		if b != nil {
			delete(missing, d)
			r.jobs.settle(d, batchEnd(b))
		}
	}
	clear(r.due)
	err := lastOfEach(ctx, r.w.nc, "KV_"+BucketStatus, subjects, func(m directMessage) error {
		d, ok := byKey[m.subject]
		if !ok || len(m.data) == 0 {
			return nil
		}
		rec, err := decodeRecord(m.data)
		if err != nil {
			r.w.log.Debug("cannot read the record of a job that others wait for", "job", d.id, "error", err)
			return nil
		}
		delete(missing, d)
		r.jobs.settle(d, jobEnd(rec))
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up what held jobs wait for: %w", err)
	}
	return r.lookForUnknown(ctx, missing, now)
}

func jobEnd(rec *Record) dependencyEnd {
	e := dependencyEnd{known: true, ended: rec.State == Done}
	if e.ended {
		e.succeeded, e.how = rec.Result.Outcome == Succeeded, "ended "+string(rec.Result.Outcome)
	}
	return e
}

func batchEnd(b *Batch) dependencyEnd {
	e := dependencyEnd{known: true, ended: b.State == BatchEnded, succeeded: b.AllSucceeded()}
	if e.ended {
		e.how = fmt.Sprintf("ended with %d of %d jobs not succeeded", b.Total-b.Counts[Succeeded], b.Total)
	}
	return e
}

// lookForUnknown looks for dependencies without a record that were waited for
// for long: in the queue they are known, elsewhere they are given up.
func (r *releaser) lookForUnknown(ctx context.Context, missing map[dependency]bool, now time.Time) error {
	patience := r.w.cfg.unknownAfter
	for d := range missing {
		if r.jobs.oldest(d, now) < patience || now.Sub(r.seen[d]) < patience/10 {
			continue
		}
		r.seen[d] = now
		subject := jobSubject(d.tenant, "*", d.id)
		if d.batch {
			subject = "submit." + d.tenant + ".array." + d.id
		}
		_, _, _, err := r.w.storedMessage(ctx, StreamJobs, map[string]string{"last_by_subj": subject})
		switch {
		case err == nil:
			continue
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return err
		}
		// It may have ended between the two looks.
		if !d.batch {
			rec, _, err := r.w.readStatus(ctx, recordKey(d.tenant, d.id))
			if err != nil || rec != nil {
				continue
			}
		}
		r.jobs.unknown(d, now, patience)
	}
	return nil
}

// act releases or ends the jobs that wait no more. Those for which it fails
// are tried again.
func (r *releaser) act(ctx context.Context) error {
	if len(r.jobs.ready) == 0 {
		return nil
	}
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		gone   []*heldJob
		failed atomic.Pointer[error]
		turn   = make(chan struct{}, releaseAtOne)
	)
	for h := range r.jobs.ready {
		if ctx.Err() != nil {
			break
		}
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			err := r.w.letGo(ctx, h)
			if err != nil {
				failed.CompareAndSwap(nil, &err)
				return
			}
			mu.Lock()
			gone = append(gone, h)
			mu.Unlock()
		})
	}
	all.Wait()
	for _, h := range gone {
		r.jobs.forget(h)
	}
	if err := failed.Load(); err != nil && ctx.Err() == nil {
		r.w.log.Warn("cannot release all held jobs that wait no more, trying again", "error", *err)
	}
	return nil
}

// letGo releases a held job or ends it.
func (w *Worker) letGo(ctx context.Context, h *heldJob) error {
	_, header, data, err := w.storedMessage(ctx, StreamJobs, map[string]uint64{"seq": h.seq})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // cancelled, or released by another coordinator
	}
	if err != nil {
		return err
	}
	if h.wrong {
		// Whatever it is, the workers know how to bury it.
		m := &nats.Msg{Subject: jobSubject(h.tenant, Normal, h.id), Data: data, Header: nats.Header{}}
		return w.moveOn(ctx, m, h, lane(Normal))
	}
	j, err := Decode(data)
	if err != nil {
		return err
	}
	rec, rev, err := w.readStatus(ctx, recordKey(h.tenant, h.id))
	switch {
	case err != nil:
		return err
	case rec != nil && rec.State == Done:
		return w.unstore(ctx, h.seq)
	case rec != nil: // another coordinator released it, and it has started
		there, err := w.inQueue(ctx, rec.Seq)
		if err != nil {
			return err
		}
		if there && rec.Seq != h.seq {
			return w.unstore(ctx, h.seq)
		}
	case h.end != "":
		return w.endHeld(ctx, h, j, rev)
	}
	l := j.readyLane(w.now())
	if err := w.queues.prepare(ctx, j); err != nil { // that of a key may be gone by now
		return err
	}
	m := j.routed(l, data)
	if old, err := nats.DecodeHeadersMsg(header); err == nil {
		for _, name := range []string{"traceparent", "tracestate"} {
			if v := headerCarrier(old).Get(name); v != "" {
				headerCarrier(m.Header).Set(name, v)
			}
		}
	}
	if err := w.moveOn(ctx, m, h, l); err != nil {
		return err
	}
	if l != laneSched {
		return nil
	}
	// A cancel that came between must not leave a schedule behind, which may
	// fire when nobody remembers the cancel any more.
	rec, _, err = w.readStatus(ctx, recordKey(h.tenant, h.id))
	if err != nil || rec == nil || rec.State != Done {
		return err
	}
	return w.purgeJob(ctx, h.tenant, h.id)
}

// moveOn stores a held job's message in its next lane, and only then removes
// the held one.
func (w *Worker) moveOn(ctx context.Context, m *nats.Msg, h *heldJob, l lane) error {
	m.Header.Set(jetstream.MsgIDHeader, h.tenant+"."+h.id+"."+string(l))
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := w.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("release job %s: %w", h.id, err)
	}
	_ = w.nc.Publish("wake."+h.tenant+"."+string(l), nil)
	return w.unstore(ctx, h.seq)
}

// endHeld ends a job that was held and will never start. rev is that of the
// record that is not there.
func (w *Worker) endHeld(ctx context.Context, h *heldJob, j *Job, rev uint64) error {
	rec := newRecord(j)
	rec.State = Done
	rec.Result = &Result{
		ID: j.ID, Outcome: Canceled, ExitCode: -1, Error: shorten(h.end, maxErrorText), Worker: w.cfg.Name,
		FinishedAt: w.now(), Phases: map[string]float64{},
	}
	data, err := rec.encode()
	if err != nil {
		return err
	}
	if _, err := w.putStatus(ctx, recordKey(h.tenant, h.id), data, rev); err != nil {
		return err // after a conflict the next turn reads who was first
	}
	w.announce(rec, data)
	return w.purgeJob(ctx, h.tenant, h.id)
}

// unstore removes one message of the queue. That it is gone already is well.
func (w *Worker) unstore(ctx context.Context, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	body := fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, seq)
	reply, err := w.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.DELETE."+StreamJobs, body)
	if err != nil {
		return fmt.Errorf("remove message %d of the queue: %w", seq, err)
	}
	var answer struct {
		Success bool                `json:"success"`
		Error   *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(reply.Data, &answer); {
	case err != nil:
		return fmt.Errorf("remove message %d of the queue: %w", seq, err)
	case answer.Success:
		return nil
	}
	if there, err := w.inQueue(ctx, seq); err == nil && !there {
		return nil
	}
	return fmt.Errorf("remove message %d of the queue: %w", seq, answer.Error)
}

// purgeJob removes all messages of a job that is Done.
func (w *Worker) purgeJob(ctx context.Context, tenant, id string) error {
	stream, err := w.js.Stream(ctx, StreamJobs)
	if err != nil {
		return err
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(jobSubject(tenant, "*", id))); err != nil {
		return fmt.Errorf("remove job %s from the queue: %w", id, err)
	}
	return nil
}
