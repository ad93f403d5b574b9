package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/limits"
)

// MaxKeys is how many concurrency and rate keys a tenant may have in use at
// once. Each is a consumer, on a cluster a raft group of its own.
const MaxKeys = 1000

// Times in the life of a key. A submitter may rely on what it saw of a key for
// keyBelief; the consumer goes when nobody has used the key for keyIdle, and
// the key is forgotten after keyForget.
const (
	keyBelief = 10 * time.Second
	keyTouch  = time.Minute
	keyIdle   = 10 * time.Minute
	keyForget = 2 * time.Hour
)

// keyNote is the document of one key in the keys bucket: what its jobs are
// bounded by, as the newest submission has it.
type keyNote struct {
	Key string `json:"key"`
	// Limit of its concurrency; 0 when it has a rate only.
	Limit int `json:"limit,omitempty"`
	// Rate of its starts; zero when it has a concurrency only.
	Rate keyRate `json:"rate,omitzero"`
	// UsedAt is when a submitter last looked, about.
	UsedAt time.Time `json:"used_at"`
	// Until is when the last job that waits for its time comes, at least.
	Until time.Time `json:"until,omitzero"`
	// Parked says that the key's consumer is removed, or about to be.
	Parked bool `json:"parked,omitempty"`
}

// keyRate is how many jobs may start in a time; zero for no bound.
type keyRate struct {
	Limit int             `json:"limit,omitempty"`
	Per   limits.Duration `json:"per,omitempty"`
}

const maxKeyNote = 4 << 10 // bytes

func decodeKeyNote(data []byte) (*keyNote, error) {
	if len(data) > maxKeyNote {
		return nil, fmt.Errorf("%d bytes, at most %d", len(data), maxKeyNote)
	}
	n := &keyNote{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(n); err != nil {
		return nil, err
	}
	per := time.Duration(n.Rate.Per)
	switch {
	case n.Key == "" || len(n.Key) > maxKey:
		return nil, fmt.Errorf("the key has %d bytes", len(n.Key))
	case n.Limit < 0 || n.Limit > maxLimit:
		return nil, fmt.Errorf("limit %d", n.Limit)
	case n.Rate.Limit < 0 || n.Rate.Limit > maxLimit || n.Rate.Limit > 0 && (per < time.Millisecond || per > maxRatePer):
		return nil, fmt.Errorf("rate %d in %s", n.Rate.Limit, per)
	}
	return n, nil
}

// keyDocument is the name of a key's note in the keys bucket and of its starts
// in the places bucket.
func keyDocument(tenant string, l lane) string { return tenant + "." + string(l) }

// note is what the job says of its key.
func (j *Job) note() keyNote {
	n := keyNote{Key: j.laneKey()}
	if j.Concurrency != nil {
		n.Limit = j.Concurrency.Limit
	}
	if j.Rate != nil {
		n.Rate = keyRate{Limit: j.Rate.Limit, Per: j.Rate.Per}
	}
	if !j.RunAt.IsZero() {
		n.Until = j.RunAt.Add(time.Hour)
	}
	return n
}

// queueMaker makes the consumers at which jobs wait, before the first job
// does: a message without a consumer would be found late.
type queueMaker struct {
	js  jetstream.JetStream
	now func() time.Time // the fleet's
	max int              // MaxKeys, unless a test has another

	mu    sync.Mutex
	keys  jetstream.KeyValue // bound at its first use
	made  map[string]madeQueue
	count map[string]keyCount // by tenant
}

// madeQueue is what was last seen of a consumer.
type madeQueue struct {
	note keyNote
	at   time.Time
}

// keyCount is how many keys a tenant had when they were last counted.
type keyCount struct {
	n  int
	at time.Time
}

// maxMade bounds what a long-lived submitter remembers.
const maxMade = 16 << 10

func newQueueMaker(js jetstream.JetStream, now func() time.Time) *queueMaker {
	return &queueMaker{js: js, now: now, max: MaxKeys, made: map[string]madeQueue{}, count: map[string]keyCount{}}
}

// ensure makes the consumer of a tenant's priority.
func (q *queueMaker) ensure(ctx context.Context, tenant string, p Priority) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	name := consumerName(tenant, p)
	if _, ok := q.made[name]; ok {
		return nil
	}
	_, err := q.js.Consumer(ctx, StreamJobs, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		err = createConsumer(ctx, q.js, tenant, p)
	}
	if err != nil {
		return q.failed(tenant, err)
	}
	q.remember(name, madeQueue{})
	return nil
}

func (q *queueMaker) failed(tenant string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return ErrNoFleet
	}
	return fmt.Errorf("prepare the queue of tenant %s: %w", tenant, hintJetStream(err))
}

// remember notes what was seen; q.mu is held.
func (q *queueMaker) remember(name string, m madeQueue) {
	if len(q.made) >= maxMade {
		clear(q.made)
	}
	q.made[name] = m
}

// prepare makes the consumer that a job will wait at, and notes what bounds
// its key. Of several limits for one key, that of the newest submission holds.
func (q *queueMaker) prepare(ctx context.Context, j *Job) error {
	l := j.queueLane()
	if !l.isKey() {
		return q.ensure(ctx, j.Tenant, j.Priority)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	name, want, now := consumerName(j.Tenant, l), j.note(), q.now()
	m, seen := q.made[name]
	if seen && time.Since(m.at) < keyBelief && m.note.Limit == want.Limit && m.note.Rate == want.Rate && !m.note.Until.Before(want.Until) {
		return nil
	}
	began := time.Now()
	note, err := q.write(ctx, j.Tenant, l, want, now)
	if err != nil {
		return err
	}
	if err := q.makeKey(ctx, j.Tenant, l, note); err != nil {
		return q.failed(j.Tenant, err)
	}
	q.remember(name, madeQueue{note: *note, at: began})
	return nil
}

// write brings a key's note up to date. q.mu is held.
func (q *queueMaker) write(ctx context.Context, tenant string, l lane, want keyNote, now time.Time) (*keyNote, error) {
	if q.keys == nil {
		var err error
		if q.keys, err = bindBucket(ctx, q.js, BucketKeys); err != nil {
			return nil, err
		}
	}
	doc := keyDocument(tenant, l)
	for {
		note, rev, err := readKey(ctx, q.keys, doc)
		if err != nil {
			return nil, err
		}
		switch {
		case note == nil:
			if err := q.mayAdd(ctx, tenant); err != nil {
				return nil, err
			}
			note = &keyNote{}
		case note.Key != want.Key:
			return nil, keyError("%q and %q have the same hash; choose another key", want.Key, note.Key)
		}
		next := want
		next.UsedAt = note.UsedAt
		if now.Sub(note.UsedAt) > keyTouch {
			next.UsedAt = now
		}
		if note.Until.After(next.Until) {
			next.Until = note.Until
		}
		if rev != 0 && next == *note {
			return note, nil
		}
		data, err := json.Marshal(next)
		if err != nil {
			return nil, err
		}
		if rev == 0 {
			_, err = q.keys.Create(ctx, doc, data)
		} else {
			_, err = q.keys.Update(ctx, doc, data, rev)
		}
		switch {
		case isConflict(err):
			if !sleep(ctx, jitter(5*time.Millisecond)) {
				return nil, context.Cause(ctx)
			}
			continue
		case err != nil:
			return nil, fmt.Errorf("note the key %q: %w", want.Key, hintJetStream(err))
		}
		if c, ok := q.count[tenant]; ok && rev == 0 {
			q.count[tenant] = keyCount{n: c.n + 1, at: c.at}
		}
		return &next, nil
	}
}

func keyError(format string, args ...any) error {
	return &limits.FieldError{Field: "concurrency.key", Err: fmt.Errorf(format, args...)}
}

// readKey gives a key's note and its revision; nil and 0 when there is none.
func readKey(ctx context.Context, kv jetstream.KeyValue, doc string) (*keyNote, uint64, error) {
	entry, err := kv.Get(ctx, doc)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the key %s: %w", doc, err)
	}
	note, err := decodeKeyNote(entry.Value())
	if err != nil {
		return nil, 0, fmt.Errorf("read the key %s: %w", doc, err)
	}
	return note, entry.Revision(), nil
}

// mayAdd counts a tenant's keys. The count is as old as the belief in it, so
// that a few more than the most may come to be.
func (q *queueMaker) mayAdd(ctx context.Context, tenant string) error {
	c, ok := q.count[tenant]
	if !ok || time.Since(c.at) > keyBelief {
		list, err := q.keys.ListKeysFiltered(ctx, tenant+".*")
		if err != nil {
			return fmt.Errorf("count the keys of tenant %s: %w", tenant, err)
		}
		c = keyCount{at: time.Now()}
		for range list.Keys() {
			c.n++
		}
		if len(q.count) > maxMade {
			clear(q.count)
		}
		q.count[tenant] = c
	}
	if c.n >= q.max {
		return keyError("tenant %s has %d keys in use, at most %d at once; a key is free again %s after its last job; use fewer, for instance a hash of them modulo some number",
			tenant, c.n, q.max, keyForget)
	}
	return nil
}

// makeKey makes or changes the consumer of a key.
func (q *queueMaker) makeKey(ctx context.Context, tenant string, l lane, note *keyNote) error {
	have, err := q.js.Consumer(ctx, StreamJobs, consumerName(tenant, l))
	if err == nil && (note.Limit == 0 || have.CachedInfo().Config.MaxAckPending == note.Limit) {
		return nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	stream, err := q.js.Stream(ctx, StreamJobs)
	if err != nil {
		return err
	}
	t := topologyOf(stream.CachedInfo().Config)
	cfg := t.laneConfig(tenant, l)
	if note.Limit > 0 {
		cfg.MaxAckPending = note.Limit // the server keeps to it, whatever workers do
	}
	if have == nil {
		if _, err = stream.CreateConsumer(ctx, cfg); !errors.Is(err, jetstream.ErrConsumerExists) {
			return err
		}
	}
	_, err = stream.UpdateConsumer(ctx, cfg)
	return err
}

// prepare makes the queue that a job will wait at.
func (c *Client) prepare(ctx context.Context, j *Job) error { return c.queues.prepare(ctx, j) }

// ensure makes the tenant's queue of a priority.
func (c *Client) ensure(ctx context.Context, p Priority) error {
	return c.queues.ensure(ctx, c.tenant, p)
}

// ring tells idle workers of a job's queue. It is a hint: a lost one costs a
// poll interval.
func (c *Client) ring(l lane) { ringQueue(c.nc, c.tenant, l) }

func ringQueue(nc *nats.Conn, tenant string, l lane) {
	_ = nc.Publish(via(nc, wakeSubject(tenant, l)), nil)
}

// queueOfKey gives the consumer of a key's document.
func queueOfKey(doc string) (string, bool) {
	tenant, l, ok := strings.Cut(doc, ".")
	name := consumerName(tenant, l)
	return name, ok && lane(l).isKey() && isQueue(name)
}
