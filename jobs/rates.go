package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// rated bounds how many jobs of one key this worker may start: it takes starts
// from the key's window, some at a time, before jobs are pulled, and returns
// those that found no job. A key without a rate lets everything through.
type rated struct {
	k     *rateKeeper
	queue string // consumer
	doc   string // of the window

	mu     sync.Mutex
	rate   keyRate // zero for none
	have   int     // starts that may be used
	good   time.Time
	want   int       // what the dispatcher would start if it could
	sure   bool      // jobs are known to be waiting
	spare  bool      // starts were unused for a while
	rests  bool      // a timer will see whether they still are
	busy   bool      // a goroutine works on it
	waits  bool      // a timer will ask again
	misses int       // in a row: starts taken for a queue that had nothing
	quiet  time.Time // until when none are taken for a queue that may have nothing
}

// keepStarts is how long starts that were granted may be used. Later they
// would count in a time they were not granted in.
const keepStarts = time.Second

// take uses one start up.
func (r *rated) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rate.Limit == 0 {
		return true
	}
	if r.have == 0 || time.Now().After(r.good) {
		return false
	}
	r.have--
	return true
}

// put gives back starts that found no job.
func (r *rated) put(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rate.Limit == 0 {
		return
	}
	r.have += n
	r.rest()
}

// rest looks in a moment whether starts are left over. r.mu is held.
func (r *rated) rest() {
	if r.rests {
		return
	}
	r.rests = true
	time.AfterFunc(keepIdlePlaces, func() {
		r.mu.Lock()
		r.rests, r.spare = false, r.have > 0
		r.mu.Unlock()
		r.workSoon()
	})
}

// bound tells whether the key has a rate.
func (r *rated) bound() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rate.Limit > 0
}

// ask says that n jobs could start if they were let. sure tells that jobs are
// waiting; else that is looked up first.
func (r *rated) ask(n int, sure bool) {
	r.mu.Lock()
	if sure || time.Now().After(r.quiet) {
		r.want, r.sure = max(r.want, n), r.sure || sure
	}
	r.mu.Unlock()
	r.workSoon()
}

// pulled notes how many jobs came for the starts that were used up.
func (r *rated) pulled(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.misses++; n > 0 {
		r.misses = 0
	}
	r.quiet = time.Now().Add(min(firstPlaceRetry<<min(r.misses, 8), 2*lastPlaceRetry))
}

func (r *rated) workSoon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.busy && (r.want > 0 && !r.waits || r.spare) {
		r.busy = r.k.places.start(r.work)
	}
}

// work takes and returns starts while there is something to do.
func (r *rated) work(ctx context.Context) {
	for {
		r.mu.Lock()
		want, sure, spare := r.want, r.sure, 0
		if r.waits {
			want = 0
		} else {
			r.want, r.sure = 0, false
		}
		if r.spare {
			spare, r.have, r.spare = r.have, 0, false
		}
		rate := r.rate
		if want == 0 && spare == 0 || ctx.Err() != nil {
			r.busy = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		switch {
		case rate.Limit == 0:
			r.k.places.bell.reopened(r.queue)
			continue
		case spare == 0 && !sure && !r.k.places.pending(ctx, []string{r.queue}):
			r.k.places.bell.empty([]string{r.queue})
			continue
		}
		r.change(ctx, rate, want, spare)
	}
}

// change returns spare starts and takes wanted ones in one write.
func (r *rated) change(ctx context.Context, rate keyRate, want, spare int) {
	var granted int
	var next, began time.Time
	wctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := changeWindow(wctx, r.k.places.kv, r.doc, func(w *window) bool {
		w.back(spare)
		began = time.Now()
		granted, next = 0, time.Time{}
		if want > 0 {
			granted, next = w.take(rate, want, r.k.places.w.now())
		}
		return granted > 0 || spare > 0
	})
	r.mu.Lock()
	switch {
	case err != nil: // what was granted in an answer that is lost, is lost: too few start, not too many
		next = r.k.places.w.now().Add(100*time.Millisecond + jitter(time.Second))
	case granted > 0:
		if began.After(r.good) {
			r.have = 0
		}
		r.have += granted
		r.good = began.Add(keepStarts)
		r.rest()
	}
	if granted == 0 || err != nil {
		if want > 0 {
			r.askAgain(want, next.Sub(r.k.places.w.now()))
		}
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	r.k.places.bell.reopened(r.queue)
}

// askAgain sets a timer for when more is to be had. All workers wait for the
// same moment: they come one after the other. r.mu is held.
func (r *rated) askAgain(want int, d time.Duration) {
	r.want, r.sure = max(r.want, want), true
	if r.waits {
		return
	}
	r.waits = true
	time.AfterFunc(max(d, time.Millisecond)+jitter(20*time.Millisecond), func() {
		r.mu.Lock()
		r.waits = false
		r.mu.Unlock()
		r.workSoon()
	})
}

// configure sets the key's rate.
func (r *rated) configure(rate keyRate) {
	r.mu.Lock()
	changed := r.rate != rate
	if changed {
		r.rate, r.have = rate, 0
	}
	r.mu.Unlock()
	if changed {
		r.k.places.bell.reopened(r.queue)
	}
}

// rateKeeper has the rates of all keys, as the keys bucket notes them.
type rateKeeper struct {
	places *placeKeeper

	mu    sync.Mutex
	known map[string]keyRate // by consumer; a zero one is a key without a rate
	gates map[string]*rated  // by consumer, of those the dispatcher knows
}

func newRateKeeper(places *placeKeeper) *rateKeeper {
	return &rateKeeper{places: places, known: map[string]keyRate{}, gates: map[string]*rated{}}
}

// of gives a key's gate.
func (k *rateKeeper) of(queue string) *rated {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.gates[queue]
	if r == nil {
		tenant, l := splitConsumer(queue)
		r = &rated{k: k, queue: queue, doc: keyDocument(tenant, l), rate: k.known[queue]}
		k.gates[queue] = r
	}
	return r
}

// drop forgets the gate of a queue that is gone.
func (k *rateKeeper) drop(queue string) {
	k.mu.Lock()
	delete(k.gates, queue)
	k.mu.Unlock()
}

// knows tells whether the key's note has been seen.
func (k *rateKeeper) knows(queue string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.known[queue]
	return ok
}

// note takes in what a key's note says; nil when it was removed.
func (k *rateKeeper) note(queue string, rate *keyRate) {
	k.mu.Lock()
	r := k.gates[queue]
	if rate == nil {
		delete(k.known, queue)
		rate = &keyRate{}
	} else {
		k.known[queue] = *rate
	}
	k.mu.Unlock()
	if r != nil {
		r.configure(*rate)
	}
}

// unrated tells whether a job that has a rate was pulled before this worker
// heard of that: its note may be on its way, or lost.
func (w *Worker) unrated(ctx context.Context, j *Job) bool {
	if w.rates.knows(consumerName(j.Tenant, j.queueLane())) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Topology.ackWait/4)
	defer cancel()
	if err := w.queues.prepare(ctx, j); err != nil && ctx.Err() == nil {
		w.log.WarnContext(ctx, "cannot note the rate of a job's key; the job waits", "job", j.ID, "error", err)
	}
	return true
}

// watchKeys follows the keys bucket until ctx ends.
func (w *Worker) watchKeys(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.readKeys(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("cannot follow the rates of keys, trying again; what is known of them goes on to hold", "error", err)
		}
		sleep(ctx, time.Second)
	}
}

func (w *Worker) readKeys(ctx context.Context) error {
	kv, err := bindBucket(ctx, w.js, BucketKeys)
	if err != nil {
		return err
	}
	watch, err := kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer stopWatch(watch)
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, ok := <-watch.Updates():
			if !ok {
				return nil
			}
			if entry == nil {
				continue
			}
			queue, ok := queueOfKey(entry.Key())
			if !ok {
				continue
			}
			if entry.Operation() != jetstream.KeyValuePut {
				w.rates.note(queue, nil)
				continue
			}
			note, err := decodeKeyNote(entry.Value())
			if err != nil {
				w.log.Error("what is noted of a key cannot be read; jobs of a rate that it may have wait until it is removed or written anew", "key", entry.Key(), "bucket", BucketKeys, "error", err)
				continue
			}
			w.rates.note(queue, &note.Rate)
		}
	}
}
