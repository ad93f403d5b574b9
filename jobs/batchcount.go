package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Pace of the counting. A list is looked at often while jobs of it end, and
// less and less often while none does.
const (
	countTick     = 250 * time.Millisecond // between two turns
	countSoon     = 400 * time.Millisecond // to the next look at a list in which something happened
	countSeldom   = 20 * time.Second       // at least, for a list in which nothing does
	countAfter    = 120 * time.Millisecond // between two looks, however much is announced
	countFew      = 8                      // lists of a batch that are all looked at often
	countAtOnce   = 24                     // lists looked at in one turn
	countWrite    = time.Second            // between two writes of a record that only show progress
	hintBelow     = 2000                   // jobs left from which on their ends are listened for
	maxHinted     = 512                    // batches that are listened for
	lostAfter     = time.Minute            // without news, before a job may be called forgotten
	canceledLead  = 2 * time.Second        // that the caller of a cancel has to do it himself
	canceledQuiet = 5 * time.Second        // after a cancel, until nothing more is expected to be listed
	strayAfter    = time.Minute            // how long a list may be older than its batch's record
)

// batchCounter is the chore that counts the ended jobs of batches, ends the
// batches and tells who wants to know.
//
// It holds no truth: a coordinator that takes over finds the lists that are
// not counted yet in the queue's stream and what is counted in the records.
type batchCounter struct {
	w        *Worker
	book     *batchBook
	keep     time.Duration // of the bucket: an open batch is written again before that
	open     map[string]*countedBatch
	next     uint64               // lists stored before are known
	strays   map[string]time.Time // lists without a batch
	bell     chan struct{}
	hinted   int
	notices  *noticer
	canceled map[string]*Client // by tenant, to cancel for
}

// countedBatch is a batch that has not ended.
type countedBatch struct {
	rec     *Batch
	rev     uint64
	written time.Time // by the server's clock
	wrote   time.Time // when this coordinator last wrote it
	lists   map[string]*list
	dirty   bool
	news    time.Time // when something of it last ended, or began
	quiet   time.Time // since when nothing was listed; for the end of a cancelled one
	hint    *nats.Subscription
	heard   atomic.Bool
}

// list is a members message that is not counted yet. Its ids are read when it
// is looked at, and not kept.
type list struct {
	subject string
	seq     uint64
	from    int
	ended   []ending // by position from from on
	left    int
	warm    bool // a job of it has been seen to run or end
	looked  time.Time
	due     time.Time
	pause   time.Duration
	news    time.Time // when something last ended
}

func (w *Worker) countBatches(ctx context.Context) error {
	book, err := openBook(ctx, w.nc, w.js)
	if err != nil {
		return err
	}
	status, err := book.kv.Status(ctx)
	if err != nil {
		return fmt.Errorf("count batches: %w", err)
	}
	c := &batchCounter{
		w: w, book: book, keep: status.TTL(), open: map[string]*countedBatch{}, next: 1, strays: map[string]time.Time{},
		bell: make(chan struct{}, 1), canceled: map[string]*Client{},
	}
	c.notices = newNoticer(w, book)
	defer c.notices.wait()
	defer c.close()
	return c.run(ctx)
}

func (c *batchCounter) run(ctx context.Context) error {
	// A list is heard of as it is stored, or a moment before.
	sub, err := c.w.nc.Subscribe("members.*.*.*", func(*nats.Msg) { c.ring() })
	if err != nil {
		return fmt.Errorf("count batches: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	watch, err := c.book.kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("count batches: %w", err)
	}
	defer stopWatch(watch)
	tick := time.NewTicker(countTick)
	defer tick.Stop()
	settled := false // all records were read
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case entry, ok := <-watch.Updates():
			switch {
			case !ok:
				return errors.New("count batches: the watch of their records ended")
			case entry == nil:
				settled = true
				c.ring()
			default:
				c.learn(entry)
			}
			continue
		case <-c.bell:
		case <-tick.C:
			if len(c.open) == 0 && len(c.strays) == 0 && n%20 != 0 {
				continue
			}
		}
		if !settled {
			continue
		}
		if err := c.turn(ctx); err != nil {
			return err
		}
	}
}

func (c *batchCounter) ring() {
	select {
	case c.bell <- struct{}{}:
	default:
	}
}

func (c *batchCounter) close() {
	for _, b := range c.open {
		c.deafen(b)
	}
}

// learn takes in a record as the watch gives it.
func (c *batchCounter) learn(entry jetstream.KeyValueEntry) {
	key := entry.Key()
	if entry.Operation() != jetstream.KeyValuePut {
		c.forget(key)
		return
	}
	rec, err := decodeBatch(key, entry.Value())
	if err != nil {
		c.w.log.Error("a batch's record cannot be read; it is not counted", "batch", key, "error", err)
		c.forget(key)
		return
	}
	c.take(rec, entry.Revision(), entry.Created())
}

// take notes what a record says. One with nothing left to do is let go.
func (c *batchCounter) take(rec *Batch, rev uint64, written time.Time) *countedBatch {
	key := batchKey(rec.Tenant, rec.ID)
	b := c.open[key]
	if b != nil && rev < b.rev {
		return b
	}
	if rec.State == BatchEnded && rec.Announced {
		c.notices.offer(rec)
		c.forget(key)
		return nil
	}
	if b == nil {
		b = &countedBatch{lists: map[string]*list{}, quiet: time.Now(), news: time.Now()}
		c.open[key] = b
	}
	if b.rec != nil && (b.rec.Generation != rec.Generation || b.rec.CancelRequested != rec.CancelRequested) {
		b.quiet = time.Now()
		for _, l := range b.lists {
			l.due = b.quiet
		}
	}
	if b.rec == nil || b.rec.State != rec.State || b.rec.Generation != rec.Generation {
		b.dirty = true // closing may be all that was missing
	}
	b.rec, b.rev, b.written = rec, rev, written
	return b
}

func (c *batchCounter) forget(key string) {
	if b := c.open[key]; b != nil {
		c.deafen(b)
		delete(c.open, key)
	}
}

// turn looks for new lists, looks at those that are due, and writes what was
// found.
func (c *batchCounter) turn(ctx context.Context) error {
	if err := c.findLists(ctx); err != nil {
		return err
	}
	now := time.Now()
	var due []*list
	of := map[*list]*countedBatch{}
	for _, b := range c.open {
		heard := b.heard.Swap(false)
		for _, l := range b.lists {
			if heard {
				l.due = earlier(l.due, l.looked.Add(l.weigh(countAfter)))
			}
			if l.left > 0 && !l.due.After(now) {
				due = append(due, l)
				of[l] = b
			}
		}
	}
	slices.SortFunc(due, func(a, b *list) int { return a.due.Compare(b.due) })
	for _, l := range due[:min(len(due), countAtOnce)] {
		if err := c.look(ctx, of[l], l); err != nil {
			return err
		}
	}
	for key, b := range c.open {
		if err := c.settle(ctx, key, b); err != nil {
			return err
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// findLists reads the lists that were stored since the last time.
func (c *batchCounter) findLists(ctx context.Context) error {
	for subject, since := range c.strays {
		if time.Since(since) < strayAfter/10 {
			continue
		}
		delete(c.strays, subject)
		if err := c.found(ctx, subject, 0, time.Time{}); err != nil {
			return err
		}
	}
	for {
		q := directQuery{NextBy: "members.*.*.*", Seq: c.next, Batch: 64}
		seen := c.next
		pending, err := directGet(ctx, c.w.nc, StreamJobs, q, func(m directMessage) error {
			c.next = m.seq + 1
			return c.found(ctx, m.subject, m.seq, m.at)
		})
		if err != nil {
			return fmt.Errorf("find the lists of batches: %w", err)
		}
		if pending == 0 || c.next == seen {
			return nil
		}
	}
}

// found takes a list in, or removes one that is of no use any more. Without a
// sequence it is one that had no batch when it was found first.
func (c *batchCounter) found(ctx context.Context, subject string, seq uint64, at time.Time) error {
	tenant, id, generation, from, n, ok := splitMembers(subject)
	if !ok {
		return c.purge(ctx, subject)
	}
	b := c.open[batchKey(tenant, id)]
	if b == nil || b.rec.Generation < generation {
		rec, rev, err := c.book.get(ctx, tenant, id)
		if err != nil {
			return err
		}
		switch {
		case rec == nil && (seq == 0 || c.w.now().Sub(at) > strayAfter):
			return c.purge(ctx, subject)
		case rec == nil:
			c.strays[subject] = time.Now()
			return nil
		case rec.State == BatchEnded:
			return c.late(ctx, rec, subject, generation)
		}
		b = c.take(rec, rev, c.w.now())
	}
	if b.rec.Generation != generation || b.rec.Counted.covers(from, from+n) {
		return c.purge(ctx, subject)
	}
	if old := b.lists[subject]; old != nil { // stored twice; one is enough
		return nil
	}
	now := time.Now()
	l := &list{subject: subject, seq: seq, from: from, ended: make([]ending, n), left: n, due: now.Add(countSoon / 2), pause: countSoon, news: now}
	for i := range l.ended {
		if b.rec.Counted.has(from + i) {
			l.left-- // by an overlapping list
		}
	}
	b.lists[subject], b.dirty, b.quiet = l, true, now
	// The first ones may have ended by now; the others' turn comes as jobs of
	// theirs are started.
	if len(b.lists) > countFew {
		l.due = now.Add(countSeldom / 4)
	}
	c.listen(b)
	return nil
}

// late is a list of a batch that has ended: only a cancelled one may get such.
func (c *batchCounter) late(ctx context.Context, rec *Batch, subject string, generation int) error {
	if rec.CancelRequested && rec.Generation == generation {
		ids, err := c.read(ctx, &list{subject: subject})
		if err != nil {
			return err
		}
		if err := c.cancelAll(ctx, rec.Tenant, ids); err != nil {
			return err
		}
	}
	return c.purge(ctx, subject)
}

func (c *batchCounter) purge(ctx context.Context, subject string) error {
	stream, err := c.w.js.Stream(ctx, StreamJobs)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		return fmt.Errorf("remove a list of a batch: %w", err)
	}
	return nil
}

// listen hears of the ends of a batch's jobs once few are left, so that the
// batch ends when its last job does and not at the next look. What is not
// announced is found by looking.
func (c *batchCounter) listen(b *countedBatch) {
	left := 0
	for _, l := range b.lists {
		left += l.left
	}
	switch {
	case left > hintBelow || left == 0:
		c.deafen(b)
		return
	case b.hint != nil || c.hinted >= maxHinted:
		return
	}
	sub, err := c.w.nc.Subscribe(doneSubject(b.rec.Tenant, b.rec.ID, "*"), func(*nats.Msg) {
		if !b.heard.Swap(true) {
			time.AfterFunc(countAfter/2, c.ring) // more will have ended by then
		}
	})
	if err == nil {
		b.hint = sub
		c.hinted++
	}
}

func (c *batchCounter) deafen(b *countedBatch) {
	if b.hint != nil {
		_ = b.hint.Unsubscribe()
		b.hint = nil
		c.hinted--
	}
}

// badList says that a list is none, and never will be.
type badList struct{ err error }

func (e *badList) Error() string { return e.err.Error() }
func (e *badList) Unwrap() error { return e.err }

// errGone says that a list was removed: another coordinator counted it.
var errGone = errors.New("the list is gone")

// read gives the ids of a list.
func (c *batchCounter) read(ctx context.Context, l *list) ([]string, error) {
	var ids []string
	err := lastOfEach(ctx, c.w.nc, StreamJobs, []string{l.subject}, func(m directMessage) error {
		list, all, err := decodeMembers(m.data)
		if err != nil {
			return &badList{err}
		}
		_, _, generation, from, n, _ := splitMembers(l.subject)
		if list.Generation != generation || list.From != from || len(all) != n {
			return &badList{fmt.Errorf("the list on %s says it is another one", l.subject)}
		}
		ids = all
		return nil
	})
	if err == nil && ids == nil {
		err = errGone
	}
	return ids, err
}

// look asks for the records of a list's jobs that have not ended yet.
func (c *batchCounter) look(ctx context.Context, b *countedBatch, l *list) error {
	now := time.Now()
	l.looked = now
	ids, err := c.read(ctx, l)
	if _, bad := errors.AsType[*badList](err); bad {
		c.w.log.Error("a list of a batch's members cannot be read; it is removed", "subject", l.subject, "error", err)
		delete(b.lists, l.subject)
		return c.purge(ctx, l.subject)
	}
	switch {
	case errors.Is(err, errGone):
		// A lagging replica may have answered; the record tells for sure.
		l.later(now, countSeldom)
		return c.refresh(ctx, b)
	case err != nil:
		return err
	}
	canceled := b.rec.CancelRequested
	ended, seen, missing, err := c.ask(ctx, b, l, ids, !l.warm && !canceled)
	if err != nil {
		return err
	}
	if seen && !l.warm && !canceled { // the few that were asked for are not all
		l.warm = true
		more := 0
		if more, _, missing, err = c.ask(ctx, b, l, ids, false); err != nil {
			return err
		}
		ended += more
	}
	if ended > 0 {
		b.dirty, l.news, b.news, l.pause = true, now, now, l.weigh(countSoon)
		c.warmNext(b, l, now)
		c.listen(b)
	}
	l.later(now, b.patience(now))
	switch {
	case canceled && l.left > 0 && now.Sub(b.quiet) < canceledLead:
		l.due = now.Add(countSoon)
	case canceled && l.left > 0:
		l.due = now.Add(countSoon)
		if err := c.cancelAll(ctx, b.rec.Tenant, l.unfinished(ids)); err != nil {
			return err
		}
		if now.Sub(b.quiet) > canceledQuiet {
			return c.findLost(ctx, b, l, ids, missing, endingOf(Canceled))
		}
	case b.rec.State == BatchClosed && now.Sub(l.news) > lostAfter:
		return c.findLost(ctx, b, l, ids, missing, forgotten)
	}
	return nil
}

// weigh makes a pause longer for a list of which much is left: looking at it
// costs more, and a moment less matters less.
func (l *list) weigh(d time.Duration) time.Duration { return d + d*time.Duration(l.left)/250 }

// later sets the time of the next look.
func (l *list) later(now time.Time, most time.Duration) {
	l.due = now.Add(l.pause)
	l.pause = min(2*l.pause, most)
}

// patience is the longest pause between two looks at a list of the batch.
func (b *countedBatch) patience(now time.Time) time.Duration {
	if len(b.lists) <= countFew && now.Sub(b.news) < countSeldom {
		return 5 * countSoon
	}
	return max(countSeldom, time.Duration(len(b.lists))*10*time.Millisecond)
}

// unfinished gives the ids whose jobs have not ended.
func (l *list) unfinished(ids []string) []string {
	var out []string
	for i, id := range ids {
		if l.ended[i] == unfinished {
			out = append(out, id)
		}
	}
	return out
}

// warmNext looks soon at the list after one in which jobs end.
func (c *batchCounter) warmNext(b *countedBatch, l *list, now time.Time) {
	var next *list
	for _, o := range b.lists {
		if o.left > 0 && o.from > l.from && (next == nil || o.from < next.from) {
			next = o
		}
	}
	if next != nil && next.due.After(now.Add(countSoon)) {
		next.due, next.pause = now.Add(countSoon), countSoon
	}
}

// probed is how many jobs of a list of which nothing is known are asked for.
const probed = 4

// ask reads the records of a list's unfinished jobs, or of a few of them. It
// says how many have ended, whether there was a record of any, and which have
// none.
func (c *batchCounter) ask(ctx context.Context, b *countedBatch, l *list, ids []string, few bool) (ended int, seen bool, missing []int, err error) {
	at := make(map[string][]int, len(ids)) // positions; an id may stand at several
	var subjects []string
	step := 1
	if few {
		step = max(1, len(ids)/probed)
	}
	for i := 0; i < len(ids); i += step {
		if l.ended[i] != unfinished || b.rec.Counted.has(l.from+i) {
			continue
		}
		s := statusSubject(recordKey(b.rec.Tenant, ids[i]))
		if at[s] == nil {
			subjects = append(subjects, s)
		}
		at[s] = append(at[s], i)
	}
	err = lastOfEach(ctx, c.w.nc, "KV_"+BucketStatus, subjects, func(m directMessage) error {
		if len(m.data) == 0 { // a delete marker
			return nil
		}
		positions := at[m.subject]
		delete(at, m.subject)
		seen = seen || len(positions) > 0
		outcome, done, err := endedAs(m.data)
		if err != nil {
			c.w.log.Warn("a job's record cannot be read; its batch waits for it", "subject", m.subject, "error", err)
			return nil
		}
		if !done {
			return nil
		}
		for _, i := range positions {
			l.ended[i] = endingOf(outcome)
			l.left--
			ended++
		}
		return nil
	})
	if err != nil {
		return 0, false, nil, fmt.Errorf("read the records of a batch: %w", err)
	}
	for _, positions := range at {
		missing = append(missing, positions...)
	}
	return ended, seen, missing, nil
}

// outcomeHead stands in a finished record's JSON before its id, as workers and
// clients write it. Quotes within a text are escaped, so no text can hold it.
var outcomeHead = []byte(`"result":{"id":"`)

// endedAs tells whether a record is that of an ended job, and how it ended,
// without decoding all of it where that can be helped.
func endedAs(record []byte) (Outcome, bool, error) {
	if !bytes.HasPrefix(record, doneHead) {
		return "", false, nil
	}
	if _, rest, ok := bytes.Cut(record, outcomeHead); ok {
		if _, rest, ok = bytes.Cut(rest, []byte(`","outcome":"`)); ok {
			if text, _, ok := bytes.Cut(rest, []byte(`"`)); ok && slices.Contains(Outcomes, Outcome(text)) {
				return Outcome(text), true, nil
			}
		}
	}
	var head struct {
		State  State `json:"state"`
		Result *struct {
			Outcome Outcome `json:"outcome"`
		} `json:"result"`
	}
	if err := json.Unmarshal(record, &head); err != nil {
		return "", false, err
	}
	if head.State != Done || head.Result == nil {
		return "", false, errors.New("a finished record without a result")
	}
	return head.Result.Outcome, true, nil
}

// findLost looks for jobs that have neither a record nor a message: their
// records were kept for as long as records are, and nobody counted them, or
// their submitter died before it sent them. The queue is asked first, and both
// by their leaders: a job's message goes only when its record says that it has
// ended.
func (c *batchCounter) findLost(ctx context.Context, b *countedBatch, l *list, ids []string, missing []int, as ending) error {
	for _, i := range missing {
		_, _, _, err := c.w.storedMessage(ctx, StreamJobs, map[string]string{"last_by_subj": "jobs." + b.rec.Tenant + ".*." + ids[i]})
		if err == nil {
			return nil // it waits, and so will the others
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
		rec, _, err := c.w.readStatus(ctx, recordKey(b.rec.Tenant, ids[i]))
		switch {
		case err != nil:
			return err
		case rec != nil: // news of it, which the next look finds
			return nil
		}
		l.ended[i] = as
		l.left--
		b.dirty, l.warm = true, true
	}
	return nil
}

// cancelAll cancels jobs of a batch that is cancelled. The one who asked for it
// does the same, and may be gone.
func (c *batchCounter) cancelAll(ctx context.Context, tenant string, ids []string) error {
	client := c.canceled[tenant]
	if client == nil {
		var err error
		if client, err = NewClient(ctx, c.w.nc, c.w.js, tenant); err != nil {
			return err
		}
		c.canceled[tenant] = client
	}
	_, err := client.cancelEach(ctx, ids)
	return err
}

// cancelEach cancels several jobs at once and counts what was found. Jobs that
// nobody knows are passed over.
func (c *Client) cancelEach(ctx context.Context, ids []string) (map[CancelState]int, error) {
	states := make([]CancelState, len(ids))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for i, id := range ids {
		g.Go(func() error {
			state, err := c.cancel(gctx, id)
			if err == nil && state == AlreadyDone {
				state, err = c.howDone(gctx, id)
			}
			if _, unknown := errors.AsType[*NotFoundError](err); unknown {
				return nil
			}
			states[i] = state
			return err
		})
	}
	err := g.Wait()
	counts := map[CancelState]int{}
	for _, s := range states {
		if s != "" {
			counts[s]++
		}
	}
	return counts, err
}

// howDone tells jobs that ended by themselves from those that somebody else
// has just cancelled, which several do who cancel a batch.
func (c *Client) howDone(ctx context.Context, id string) (CancelState, error) {
	rec, err := c.Get(ctx, id)
	switch {
	case err != nil:
		return "", err
	case rec.Result == nil || rec.Result.Outcome != Canceled:
		return AlreadyDone, nil
	case rec.Attempt > 0:
		return CancelRequested, nil
	}
	return CanceledQueued, nil
}

// refresh reads a batch's record again.
func (c *batchCounter) refresh(ctx context.Context, b *countedBatch) error {
	key := batchKey(b.rec.Tenant, b.rec.ID)
	rec, rev, err := c.book.get(ctx, b.rec.Tenant, b.rec.ID)
	switch {
	case err != nil:
		return err
	case rec == nil:
		c.forget(key)
		return nil
	}
	if b = c.take(rec, rev, c.w.now()); b == nil {
		return nil
	}
	for subject, l := range b.lists {
		if rec.Counted.covers(l.from, l.from+len(l.ended)) {
			delete(b.lists, subject)
		}
	}
	return nil
}
