package fleetview

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/jobs"
)

// Times between looks at what does not tell of its changes.
const (
	queuesEvery     = time.Second
	manyQueuesEvery = 5 * time.Second // with more than manyQueues of them, or when a look is slow
	slowLook        = 100 * time.Millisecond
	workersEvery    = time.Second
	lookTimeout     = 5 * time.Second
	deniedEvery     = time.Minute // until what was refused is asked again
	manyQueues      = 256         // what one answer of the server holds
)

// pollQueues reads the depths of all queues, or of the tenant's own where the
// identity may not list them. A tenant's credentials may not: asking all the
// same would be a refusal in the tenant's audit log.
func (v *View) pollQueues(ctx context.Context) {
	var notBefore time.Time // of listing all
	gated := jobs.IdentityOf(v.src.Conn).Gated()
	for {
		queues, err := []Queue(nil), error(nil)
		began := time.Now()
		all := !gated && began.After(notBefore)
		if all {
			if queues, err = v.allQueues(ctx); err != nil && ctx.Err() == nil && v.src.Conn.IsConnected() {
				notBefore, all = time.Now().Add(deniedEvery), false
			}
		}
		if !all {
			queues, err = v.ownQueues(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		v.problem("queues", err)
		every := queuesEvery
		if err == nil {
			v.setQueues(queues)
		}
		// Own queues of keys are asked for one by one.
		if len(queues) > manyQueues || !all && time.Since(began) > slowLook {
			every = manyQueuesEvery
		}
		if !pause(ctx, every) {
			return
		}
	}
}

func (v *View) setQueues(queues []Queue) {
	slices.SortFunc(queues, func(a, b Queue) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), cmp.Compare(rank(a.Priority), rank(b.Priority)))
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.queues, v.now.waiting, v.now.active = queues, 0, 0
	for _, q := range queues {
		if q.Tenant == v.Tenant() {
			v.now.waiting += q.Waiting
			v.now.active += q.Active
		}
	}
}

// rank orders priorities, and what is none after them.
func rank(p string) int {
	if i := slices.Index(jobs.Priorities, jobs.Priority(p)); i >= 0 {
		return i
	}
	return len(jobs.Priorities)
}

// allQueues reads every queue of the fleet. Their names are known from
// docs/queue.md; what each takes is in its filter, jobs.<tenant>.<lane>.*.
func (v *View) allQueues(ctx context.Context) ([]Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	stream, err := v.src.Stream.Stream(ctx, jobs.StreamJobs)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, jobs.ErrNoFleet
	}
	if err != nil {
		return nil, fmt.Errorf("open the queue: %w", err)
	}
	type key struct{ tenant, priority string }
	sum := map[key]*Queue{}
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		parts := strings.Split(info.Config.FilterSubject, ".")
		if len(parts) != 4 || parts[0] != "jobs" || !jobs.ValidID(parts[1]) || !strings.HasPrefix(info.Name, "q-") {
			continue // the coordinator's own
		}
		k := key{parts[1], parts[2]}
		if rank(k.priority) == len(jobs.Priorities) {
			k.priority = Keyed
		}
		q := sum[k]
		if q == nil {
			q = &Queue{Tenant: k.tenant, Priority: k.priority}
			sum[k] = q
		}
		q.Waiting += int(info.NumPending)
		q.Active += info.NumAckPending
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list the queues: %w", err)
	}
	out := make([]Queue, 0, len(sum))
	for _, q := range sum {
		out = append(out, *q)
	}
	return out, nil
}

func (v *View) ownQueues(ctx context.Context) ([]Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	depths, err := v.src.Client.Depths(ctx)
	if err != nil {
		return nil, err
	}
	keyed, used, err := v.src.Client.KeyedDepth(ctx)
	if ctx.Err() == nil {
		v.problem("queues of keys", err) // the others are shown all the same
	}
	if err == nil && used {
		depths = append(depths, keyed)
	}
	out := make([]Queue, 0, len(depths))
	for _, d := range depths {
		out = append(out, Queue{Tenant: v.Tenant(), Priority: string(d.Priority), Waiting: d.Pending, Active: d.Active})
	}
	return out, nil
}

// aliveFor is how long a sign of life counts: the age limit of their bucket.
const aliveFor = 30 * time.Second

// errNoWorkers: the bucket is kept in memory, so a server that runs alone and
// is restarted has none until a worker starts.
var errNoWorkers = errors.New("their bucket is not there; a worker makes it when it starts")

// pollWorkers reads the workers' signs of life.
func (v *View) pollWorkers(ctx context.Context) {
	heard := time.Now()
	for {
		workers, err := v.readWorkers(ctx)
		if ctx.Err() != nil {
			return
		}
		v.problem("workers", err)
		every := workersEvery
		if err != nil && v.src.Conn.IsConnected() {
			every = deniedEvery
			if errors.Is(err, errNoWorkers) {
				every = retryEvery
			}
		}
		switch {
		case err == nil:
			heard = time.Now()
			v.setWorkers(workers)
		case time.Since(heard) > aliveFor:
			v.setWorkers(nil) // nobody knows of any
		}
		if !pause(ctx, every) {
			return
		}
	}
}

func (v *View) readWorkers(ctx context.Context) ([]Worker, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	kv, err := v.src.Stream.KeyValue(ctx, jobs.BucketWorkers)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, errNoWorkers
	}
	if err != nil {
		return nil, fmt.Errorf("open the workers' bucket: %w", err)
	}
	watch, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read the workers' bucket: %w", err)
	}
	defer stopWatch(watch)
	var out []Worker
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read the workers' bucket: %w", context.Cause(ctx))
		case u, open := <-watch.Updates():
			if !open || u == nil {
				return out, nil
			}
			w := Worker{Seen: u.Created().UTC()}
			if json.Unmarshal(u.Value(), &w.Presence) != nil {
				continue
			}
			w.Name, w.Version, w.Sick = Plain(short(w.Name, maxName)), Plain(short(w.Version, maxName)), Plain(short(w.Sick, maxError))
			w.Slots, w.Active = max(0, w.Slots), max(0, w.Active)
			out = append(out, w)
		}
	}
}

func (v *View) setWorkers(workers []Worker) {
	slices.SortFunc(workers, func(a, b Worker) int { return strings.Compare(a.Name, b.Name) })
	v.mu.Lock()
	defer v.mu.Unlock()
	v.workers, v.now.slots, v.now.busy = workers, 0, 0
	for _, w := range workers {
		v.now.slots += w.Slots
		v.now.busy += min(w.Active, w.Slots) // one more may be on its way in or out
	}
}
