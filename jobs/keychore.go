package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// tendEvery is how often the coordinator looks after keys; each strayEvery-th
// time it also looks for jobs of a queue that nobody noted, if no more than
// maxStraySubjects jobs are stored: such a look costs as much as they are many.
const (
	tendEvery        = 30 * time.Second
	strayEvery       = 4
	maxStraySubjects = 20_000
)

// tendKeys removes the consumers of keys nobody uses, forgets such keys in the
// end, and makes consumers anew for jobs that have none.
//
// A consumer is removed in the server's sight of a submitter: the note of its
// key says so first, by compare-and-set, and a submitter looks at the note
// unless it did so a moment ago (keyBelief), long before a key counts as idle.
// What goes wrong all the same, because a submitter was frozen for so long
// between two steps, is healed: by workers when they are rung for a queue that
// is not there, and here.
func (w *Worker) tendKeys(ctx context.Context) error {
	kv, err := bindBucket(ctx, w.js, BucketKeys)
	if err != nil {
		return err
	}
	var bare map[string]bool
	for round := 1; ctx.Err() == nil; round++ {
		if !sleep(ctx, w.cfg.tendEvery) {
			return nil
		}
		if bare, err = w.tendOnce(ctx, kv, bare); err != nil {
			return err
		}
		if round%strayEvery == 0 {
			if err := w.findStrays(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// tendOnce looks at every key. Given the consumers of keys that the last look
// found without a note, it tells those of this one.
func (w *Worker) tendOnce(ctx context.Context, kv jetstream.KeyValue, bareBefore map[string]bool) (map[string]bool, error) {
	notes, err := readKeys(ctx, kv)
	if err != nil {
		return nil, err
	}
	names, err := w.consumers(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the queues: %w", err)
	}
	there := make(map[string]bool, len(names))
	bare := map[string]bool{}
	for _, name := range names {
		there[name] = true
		tenant, l := splitConsumer(name)
		if _, noted := notes[keyDocument(tenant, l)]; noted || !l.isKey() || !isQueue(name) {
			continue
		}
		bare[name] = true
		if !bareBefore[name] {
			continue // its note may be newer than the look at the notes
		}
		if err := w.tendBare(ctx, kv, name); err != nil && ctx.Err() == nil {
			w.log.Debug("cannot look after a queue that has no key, trying again", "queue", name, "error", err)
		}
	}
	for doc, n := range notes {
		if ctx.Err() != nil {
			return nil, nil
		}
		queue, ok := queueOfKey(doc)
		if !ok {
			continue
		}
		if err := w.tendKey(ctx, kv, doc, queue, n, there[queue]); err != nil && ctx.Err() == nil {
			w.log.Debug("cannot look after a key, trying again", "key", doc, "error", err)
		}
	}
	return bare, nil
}

// tendBare removes the consumer of a key that is forgotten: of a submitter that
// was frozen for so long that the key's note went between its two steps, the
// note and the consumer.
func (w *Worker) tendBare(ctx context.Context, kv jetstream.KeyValue, queue string) error {
	tenant, l := splitConsumer(queue)
	if note, _, err := readKey(ctx, kv, keyDocument(tenant, l)); err != nil || note != nil {
		return err
	}
	if n, err := w.queueLength(ctx, queue); err != nil || n > 0 {
		return err
	}
	return w.removeQueue(ctx, tenant, l)
}

// keyEntry is a key's note as it was read.
type keyEntry struct {
	note *keyNote
	rev  uint64
}

// readKeys gives all notes that can be read, by document.
func readKeys(ctx context.Context, kv jetstream.KeyValue) (map[string]keyEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*requestTimeout)
	defer cancel()
	watch, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	defer stopWatch(watch)
	notes := map[string]keyEntry{}
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read the keys: %w", context.Cause(ctx))
		case entry, ok := <-watch.Updates():
			if !ok || entry == nil {
				return notes, nil
			}
			if n, err := decodeKeyNote(entry.Value()); err == nil {
				notes[entry.Key()] = keyEntry{n, entry.Revision()}
			}
		}
	}
}

// tendKey looks after one key.
func (w *Worker) tendKey(ctx context.Context, kv jetstream.KeyValue, doc, queue string, e keyEntry, there bool) error {
	tenant, l := splitConsumer(queue)
	now := w.now()
	age := now.Sub(e.note.UsedAt)
	used := age < w.cfg.keyIdle || now.Before(e.note.Until)
	if !there {
		switch waiting, err := w.lastOf(ctx, tenant, l); {
		case err != nil:
			return err
		case waiting != nil:
			return w.heal(ctx, tenant, l)
		case used || age < w.cfg.keyForget:
			return nil
		}
		return kv.Purge(ctx, doc, jetstream.LastRevision(e.rev), jetstream.PurgeTTL(keyForget))
	}
	if used {
		return nil
	}
	if n, err := w.queueLength(ctx, queue); err != nil || n > 0 {
		return err
	}
	// Whoever submits from now on sees the note and makes the consumer again.
	next := *e.note
	next.Parked = true
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if _, err := kv.Update(ctx, doc, data, e.rev); err != nil {
		if isConflict(err) {
			return nil // it is in use
		}
		return err
	}
	if n, err := w.queueLength(ctx, queue); err != nil || n > 0 {
		return err
	}
	return w.removeQueue(ctx, tenant, l)
}

// removeQueue removes the consumer of a lane, and makes it again if a job came
// in the meantime.
func (w *Worker) removeQueue(ctx context.Context, tenant string, l lane) error {
	queue := consumerName(tenant, l)
	if err := w.js.DeleteConsumer(ctx, StreamJobs, queue); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	w.log.Debug("removed the queue of an idle key", "queue", queue)
	waiting, err := w.lastOf(ctx, tenant, l)
	if err == nil && waiting != nil {
		err = w.heal(ctx, tenant, l)
	}
	return err
}

// lastOf gives the last message that waits in a lane, or nil.
func (w *Worker) lastOf(ctx context.Context, tenant string, l lane) (*jetstream.RawStreamMsg, error) {
	stream, err := w.js.Stream(ctx, StreamJobs)
	if err != nil {
		return nil, err
	}
	m, err := stream.GetLastMsgForSubject(ctx, jobSubject(tenant, l, "*"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return m, err
}

// healAtOnce bounds how many queues a worker heals at once: a ring costs its
// sender nothing.
const healAtOnce = 4

// healSoon makes the consumer of a lane if jobs wait there.
func (w *Worker) healSoon(tenant string, l lane) {
	if w.healing.Add(1) > healAtOnce {
		w.healing.Add(-1)
		return
	}
	started := w.keeper.start(func(ctx context.Context) {
		defer w.healing.Add(-1)
		if err := w.heal(ctx, tenant, l); err != nil && ctx.Err() == nil {
			w.log.Debug("cannot make the queue of jobs that have none", "tenant", tenant, "lane", string(l), "error", err)
		}
	})
	if !started {
		w.healing.Add(-1)
	}
}

// heal makes the consumer of a lane if jobs wait there and have none, with the
// limit that the last of them names.
func (w *Worker) heal(ctx context.Context, tenant string, l lane) error {
	if _, err := w.queueLength(ctx, consumerName(tenant, l)); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	m, err := w.lastOf(ctx, tenant, l)
	if err != nil || m == nil {
		return err
	}
	w.queues.forget(tenant, l)
	switch j, bad := Decode(m.Data); {
	case bad == nil && j.Tenant == tenant && j.queueLane() == l:
		err = w.queues.prepare(ctx, j)
	case l.isKey(): // it is to be buried, and needs a worker for that
		err = w.queues.makeKey(ctx, tenant, l, &keyNote{})
	default:
		err = w.queues.ensure(ctx, tenant, Priority(l))
	}
	if err == nil {
		ringQueue(w.nc, tenant, l)
	}
	return err
}

// forget makes the next prepare look whether a consumer is there.
func (q *queueMaker) forget(tenant string, l lane) {
	q.mu.Lock()
	delete(q.made, consumerName(tenant, l))
	q.mu.Unlock()
}

// findStrays looks for jobs whose lanes have no consumers.
func (w *Worker) findStrays(ctx context.Context) error {
	stream, err := w.js.Stream(ctx, StreamJobs)
	if err != nil || stream.CachedInfo().State.NumSubjects > maxStraySubjects {
		return err
	}
	names, err := w.consumers(ctx)
	if err != nil {
		return fmt.Errorf("list the queues: %w", err)
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		seen[name] = true
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter("jobs.*.*.*"))
	if err != nil {
		return fmt.Errorf("list the jobs: %w", err)
	}
	for subject := range info.State.Subjects {
		tenant, l, _, ok := splitSubject(subject)
		name := consumerName(tenant, l)
		if !ok || !isQueue(name) || seen[name] {
			continue
		}
		seen[name] = true
		w.log.Warn("jobs waited at no queue; making it", "queue", name)
		if err := w.heal(ctx, tenant, l); err != nil {
			return err
		}
	}
	return nil
}
