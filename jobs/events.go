package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	// EventSubmitted: a job was handed in. It is a hint: one that was refused
	// is told too, and one that came while the follower was away is not.
	EventSubmitted EventKind = "submitted"
	// EventState: a job's record changed.
	EventState EventKind = "state"
	// EventLog: a guest wrote something.
	EventLog EventKind = "log"
	// EventBatch: a batch's record changed.
	EventBatch EventKind = "batch"
	// EventSkipped: the follower was too slow, or the connection was lost, and
	// submissions or output in between are missing. States are not: the newest
	// of each job comes all the same.
	EventSkipped EventKind = "skipped"
)

// Event is one change that a follower is told of.
type Event struct {
	Kind EventKind `json:"event" jsonschema:"enum=submitted,enum=state,enum=log,enum=batch,enum=skipped"`
	// At is when it happened, by the server's clock; when it was heard, for what
	// is not stored.
	At    time.Time `json:"at"`
	Job   string    `json:"job,omitempty"`
	Batch string    `json:"batch,omitempty"`
	// State of the job, or of the batch.
	State   string  `json:"state,omitempty"`
	Attempt int     `json:"attempt,omitempty"`
	Worker  string  `json:"worker,omitempty"`
	Outcome Outcome `json:"outcome,omitempty"`
	// ExitCode of the guest, when it exited.
	ExitCode *int      `json:"exit_code,omitempty"`
	Error    string    `json:"error,omitempty"`
	Log      *LogChunk `json:"log,omitempty"`
	// Total, Ended and Counts are a batch's.
	Total  int             `json:"total,omitempty"`
	Ended  int             `json:"ended,omitempty"`
	Counts map[Outcome]int `json:"counts,omitempty"`
	// Skipped is how many messages were dropped; 0 when nobody knows.
	Skipped int `json:"skipped,omitempty"`
}

// EventFilter says what to follow: one job, one batch and its jobs, or all of
// the tenant when both are empty.
type EventFilter struct {
	Job, Batch string
	// Logs adds what guests write.
	Logs bool
	// Since gives what happened from then on and is still known: the newest
	// state of each job, and the output that is kept. Zero: from now on.
	Since time.Time
}

// Events follows the tenant's jobs until ctx ends or the loop is left. A job or
// batch that is named is told of as it stands first. Nothing of it costs the
// queue's hot path a message: the records' changes are the events.
//
// Of one job, events come in order, each once. A follower that is slow may miss
// states that others have replaced since, never the newest.
func (c *Client) Events(ctx context.Context, f EventFilter) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for _, id := range []string{f.Job, f.Batch} {
			if id != "" && !ValidID(id) {
				yield(nil, fmt.Errorf("job id %q is not 1 to 64 letters, digits, - or _", id))
				return
			}
		}
		ctx, stop := context.WithCancelCause(ctx)
		e := &follower{c: c, f: f, ctx: ctx, stop: stop, out: make(chan *Event, 256), seen: newRecently(), mine: newRecently(), logged: map[string]int64{}}
		defer e.all.Wait()
		defer stop(nil)
		if err := e.start(); err != nil {
			if ctx.Err() != nil { // one that was started already has ended it, and says why
				err = context.Cause(ctx)
			}
			yield(nil, err)
			return
		}
		for {
			select {
			case ev := <-e.out:
				if !yield(ev, nil) {
					return
				}
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			}
		}
	}
}

// follower merges what several subscriptions tell.
type follower struct {
	c    *Client
	f    EventFilter
	ctx  context.Context
	stop context.CancelCauseFunc
	out  chan *Event
	all  sync.WaitGroup

	seen   *recently        // jobs whose submission is no news any more
	mine   *recently        // jobs known to belong to the batch that is followed
	logged map[string]int64 // end of the output that was given, by job, attempt and stream
}

// start subscribes to everything before it reads what there is, so that nothing
// falls in between.
func (e *follower) start() error {
	id := orStar(e.f.Job)
	submitted, err := e.listen("jobs." + e.c.tenant + ".*." + id)
	if err != nil {
		return err
	}
	var logs *nats.Subscription
	if e.f.Logs {
		if logs, err = e.listen(logSubject(e.c.tenant, id)); err != nil {
			return err
		}
	}
	lost := e.c.nc.StatusChanged(nats.RECONNECTING)
	e.all.Go(func() {
		defer e.c.nc.RemoveStatusListener(lost)
		for {
			select {
			case <-e.ctx.Done():
				return
			case _, open := <-lost:
				if !open {
					return
				}
				e.tell(&Event{Kind: EventSkipped, At: time.Now().UTC()})
			}
		}
	})
	if e.f.Job == "" {
		e.all.Go(e.followBatches)
	}
	watch, err := e.watchRecords()
	if err != nil {
		return err
	}
	if err := e.present(); err != nil {
		stopWatch(watch)
		return err
	}
	e.all.Go(func() { e.followRecords(watch) })
	e.all.Go(func() { e.take(submitted, e.submission) })
	if logs != nil {
		e.all.Go(func() {
			if err := e.oldLogs(); err != nil {
				e.stop(err)
				return
			}
			e.take(logs, func(m *nats.Msg) { e.log(m.Subject, m.Data, time.Now().UTC()) })
		})
	}
	return nil
}

// tell hands an event to the follower, however long that takes.
func (e *follower) tell(ev *Event) {
	select {
	case e.out <- ev:
	case <-e.ctx.Done():
	}
}

// Bounds on what waits for a slow follower.
const (
	followMessages = 16 << 10
	followBytes    = 64 << 20
)

func (e *follower) listen(subject string) (*nats.Subscription, error) {
	sub, err := e.c.nc.SubscribeSync(subject)
	if err == nil {
		err = sub.SetPendingLimits(followMessages, followBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("follow %s: %w", subject, err)
	}
	context.AfterFunc(e.ctx, func() { _ = sub.Unsubscribe() })
	return sub, nil
}

// take gives a subscription's messages to each, and tells when some were
// dropped.
func (e *follower) take(sub *nats.Subscription, each func(*nats.Msg)) {
	dropped := 0
	for {
		m, err := sub.NextMsgWithContext(e.ctx)
		switch {
		case e.ctx.Err() != nil:
			return
		case errors.Is(err, nats.ErrSlowConsumer):
			if n, err := sub.Dropped(); err == nil && n > dropped {
				e.tell(&Event{Kind: EventSkipped, At: time.Now().UTC(), Skipped: n - dropped})
				dropped = n
			}
		case err != nil:
			e.stop(fmt.Errorf("follow %s: %w", sub.Subject, err))
			return
		default:
			each(m)
		}
	}
}

// submission tells of a job that is handed in, unless more is known of it.
func (e *follower) submission(m *nats.Msg) {
	tenant, l, id, ok := splitSubject(m.Subject)
	if !ok || tenant != e.c.tenant {
		return
	}
	var j struct {
		Batch string `json:"batch"`
	}
	if json.Unmarshal(m.Data, &j) != nil || !e.wants(id, j.Batch) || !e.seen.add(id) {
		return
	}
	e.tell(&Event{Kind: EventSubmitted, At: time.Now().UTC(), Job: id, Batch: j.Batch, State: string(l.state())})
}

// wants tells whether a job is followed, and keeps in mind which belong to the
// batch that is.
func (e *follower) wants(id, batch string) bool {
	switch {
	case e.f.Job != "":
		return id == e.f.Job
	case e.f.Batch == "":
		return true
	case batch != e.f.Batch:
		return false
	}
	e.mine.add(id)
	return true
}

// watchRecords watches the records of what is followed.
func (e *follower) watchRecords() (jetstream.KeyWatcher, error) {
	opts := []jetstream.WatchOpt{jetstream.IgnoreDeletes()}
	key := recordKey(e.c.tenant, orStar(e.f.Job))
	from := uint64(0)
	if !e.f.Since.IsZero() {
		var err error
		if from, err = e.c.seqAt(e.ctx, "KV_"+BucketStatus, statusSubject(key), e.f.Since); err != nil {
			return nil, err
		}
	}
	switch {
	case from > 0:
		opts = append(opts, jetstream.ResumeFromRevision(from))
	case e.f.Job == "": // of one that is named, the newest state is news
		opts = append(opts, jetstream.UpdatesOnly())
	}
	watch, err := e.c.status.Watch(e.ctx, key, opts...)
	if err != nil {
		return nil, fmt.Errorf("follow jobs: %w", hintPublish(err))
	}
	return watch, nil
}

// present tells of the job that is named while it waits in the queue and has no
// record, or that there is no such job.
func (e *follower) present() error {
	if e.f.Job == "" {
		return nil
	}
	rec, rev, err := e.c.find(e.ctx, e.f.Job)
	if err != nil {
		return err
	}
	if rev == 0 && e.seen.add(e.f.Job) {
		e.tell(&Event{Kind: EventSubmitted, At: rec.SubmittedAt, Job: rec.ID, Batch: rec.Batch, State: string(rec.State)})
	}
	return nil
}

func (e *follower) followRecords(watch jetstream.KeyWatcher) {
	defer stopWatch(watch)
	for {
		select {
		case <-e.ctx.Done():
			return
		case entry, ok := <-watch.Updates():
			if !ok {
				e.stop(errors.New("follow jobs: the watch of their records ended"))
				return
			}
			if entry != nil {
				e.record(entry)
			}
		}
	}
}

func (e *follower) record(entry jetstream.KeyValueEntry) {
	rec, err := decodeRecord(entry.Value())
	if err != nil || !e.wants(rec.ID, rec.Batch) {
		return
	}
	e.seen.add(rec.ID)
	ev := &Event{Kind: EventState, At: entry.Created().UTC(), Job: rec.ID, Batch: rec.Batch, State: string(rec.State), Attempt: rec.Attempt, Worker: rec.Worker}
	if n := len(rec.Tries); n > 0 && rec.State == Retrying {
		ev.Error = rec.Tries[n-1].Error
	}
	if r := rec.Result; r != nil && rec.State == Done {
		ev.Outcome, ev.Error = r.Outcome, r.Error
		if r.ExitCode >= 0 {
			ev.ExitCode = &r.ExitCode
		}
	}
	e.tell(ev)
}

func (e *follower) followBatches() {
	id, opts := e.f.Batch, []jetstream.WatchOpt{jetstream.IgnoreDeletes()}
	if id == "" {
		id, opts = "*", append(opts, jetstream.UpdatesOnly())
	}
	known := false
	for u, err := range e.c.watchBatches(e.ctx, id, opts...) {
		switch {
		case e.ctx.Err() != nil:
			return
		case err != nil:
			e.stop(err)
			return
		case u.all && !known && e.f.Batch != "":
			e.stop(noBatch(id))
			return
		case u.rec == nil:
			continue
		}
		known = true
		b := u.rec
		e.tell(&Event{Kind: EventBatch, At: u.at.UTC(), Batch: b.ID, State: string(b.State), Total: b.Total, Ended: b.Ended(), Counts: b.Counts})
	}
}

// log tells of a piece of output, once.
func (e *follower) log(subject string, data []byte, at time.Time) {
	parts := strings.Split(subject, ".")
	var chunk LogChunk
	if len(parts) != 4 || json.Unmarshal(data, &chunk) != nil || len(chunk.Data) == 0 {
		return
	}
	id := parts[2]
	if e.f.Batch != "" && !e.mine.has(id) {
		return
	}
	key := fmt.Sprintf("%s %d %s", id, chunk.Attempt, chunk.Stream)
	end := chunk.Offset + int64(len(chunk.Data))
	if end <= e.logged[key] {
		return
	}
	if len(e.logged) >= recentlyMost {
		clear(e.logged)
	}
	e.logged[key] = end
	e.tell(&Event{Kind: EventLog, At: at, Job: id, Batch: e.f.Batch, Attempt: chunk.Attempt, Log: &chunk})
}

// oldLogs tells of the output since the time that was asked for.
func (e *follower) oldLogs() error {
	if e.f.Since.IsZero() {
		return nil
	}
	subject := logSubject(e.c.tenant, orStar(e.f.Job))
	next, err := e.c.seqAt(e.ctx, StreamEvents, subject, e.f.Since)
	for err == nil && next > 0 {
		var pending uint64
		last := uint64(0)
		pending, err = directGet(e.ctx, e.c.nc, StreamEvents, directQuery{NextBy: subject, Seq: next, Batch: 64}, func(m directMessage) error {
			last = m.seq
			e.log(m.subject, m.data, m.at)
			return nil
		})
		if pending == 0 || last == 0 {
			break
		}
		next = last + 1
	}
	return err
}

// recently is a set that forgets: of many keys the older half goes.
type recently struct {
	mu       sync.Mutex
	new, old map[string]struct{}
}

// recentlyMost bounds half of such a set.
const recentlyMost = 1 << 16

func newRecently() *recently { return &recently{new: map[string]struct{}{}} }

// add tells whether the key was not in the set.
func (r *recently) add(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in(key) {
		return false
	}
	if len(r.new) >= recentlyMost {
		r.new, r.old = map[string]struct{}{}, r.new
	}
	r.new[key] = struct{}{}
	return true
}

func (r *recently) has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.in(key)
}

func (r *recently) in(key string) bool {
	if _, ok := r.new[key]; ok {
		return true
	}
	_, ok := r.old[key]
	return ok
}
