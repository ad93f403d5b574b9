package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// uniqueEntry is what the unique bucket keeps of an idempotency key.
type uniqueEntry struct {
	// Job is the id that submissions with the key stand for.
	Job string `json:"job"`
	// Stored says that the job's message is known to be stored. Until then its
	// first submitter may have died in between, and whoever comes next
	// submits it under the same id.
	Stored bool `json:"stored,omitempty"`
	// Until is when the key is forgotten; zero means never.
	Until time.Time `json:"until,omitzero"`
}

// uniqueKey is the bucket's key of an idempotency key, which may be any text.
func uniqueKey(tenant, key string) string {
	sum := sha256.Sum256([]byte(key))
	return tenant + "." + hex.EncodeToString(sum[:16])
}

// Reservation is what Reserve found.
type Reservation struct {
	// Known: the key was used before, and the job's id is now that of its
	// first use.
	Known bool
	// Stored: that job is known to be stored; submitting it again is of no use.
	Stored bool

	key   string // of the bucket; "" for a job without an idempotency key
	entry uniqueEntry
	rev   uint64
}

// Reserve binds the job to its idempotency key, before it is submitted: the
// first caller's id is kept, all later ones' jobs get that id. Submit and
// SubmitMany do it by themselves; call it to know the id before. A job
// without a key is left alone.
func (c *Client) Reserve(ctx context.Context, j *Job) (Reservation, error) {
	if j.IdempotencyKey == "" {
		return Reservation{}, nil
	}
	c.complete(j)
	if err := j.Validate(); err != nil {
		return Reservation{}, err // a key must not stand for a job that can never be stored
	}
	kv, err := c.uniqueBucket(ctx)
	if err != nil {
		return Reservation{}, err
	}
	r := Reservation{key: uniqueKey(c.tenant, j.IdempotencyKey), entry: uniqueEntry{Job: j.ID}}
	var opts []jetstream.KVCreateOpt
	if d := time.Duration(j.IdempotencyWindow); d > 0 {
		r.entry.Until = time.Now().Add(d).UTC()
		opts = append(opts, jetstream.KeyTTL(d.Round(time.Second)))
	}
	for range 16 {
		data, err := json.Marshal(r.entry)
		if err != nil {
			return Reservation{}, fmt.Errorf("encode idempotency key: %w", err)
		}
		r.rev, err = kv.Create(ctx, r.key, data, opts...)
		if err == nil {
			return r, nil
		}
		if !isConflict(err) {
			return Reservation{}, fmt.Errorf("reserve idempotency key %q: %w", j.IdempotencyKey, hintPublish(err))
		}
		old, err := kv.Get(ctx, r.key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue // its window ended just now
		}
		if err != nil {
			return Reservation{}, fmt.Errorf("read idempotency key %q: %w", j.IdempotencyKey, err)
		}
		if err := json.Unmarshal(old.Value(), &r.entry); err != nil || !ValidID(r.entry.Job) {
			return Reservation{}, fmt.Errorf("read idempotency key %q: its entry %q names no job", j.IdempotencyKey, shorten(string(old.Value()), 200))
		}
		r.rev = old.Revision()
		r.Known, r.Stored = r.entry.Job != j.ID || r.entry.Stored, r.entry.Stored
		j.ID = r.entry.Job
		return r, nil
	}
	return Reservation{}, fmt.Errorf("reserve idempotency key %q: it keeps changing; try again", j.IdempotencyKey)
}

func (c *Client) uniqueBucket(ctx context.Context) (jetstream.KeyValue, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unique == nil {
		kv, err := bindBucket(ctx, c.js, BucketUnique)
		if err != nil {
			return nil, err
		}
		c.unique = kv
	}
	return c.unique, nil
}

// confirm notes that the reservation's job is stored. If that fails the next
// submission of the key finds the job by its id; only when that job's record
// has expired by then does it run again.
func (c *Client) confirm(ctx context.Context, r Reservation) error {
	if r.key == "" || r.entry.Stored {
		return nil
	}
	r.entry.Stored = true
	data, err := json.Marshal(r.entry)
	if err != nil {
		return err
	}
	m := nats.NewMsg("$KV." + BucketUnique + "." + r.key)
	m.Data = data
	var opts []jetstream.PublishOpt
	opts = append(opts, jetstream.WithExpectLastSequencePerSubject(r.rev))
	if !r.entry.Until.IsZero() {
		left := time.Until(r.entry.Until).Round(time.Second)
		if left < time.Second {
			return nil
		}
		opts = append(opts, jetstream.WithMsgTTL(left))
	}
	if _, err = c.js.PublishMsg(ctx, m, opts...); err != nil && !isConflict(err) {
		return fmt.Errorf("note that a job is stored: %w", err)
	}
	return nil
}

// submitUnique is Submit for a job with an idempotency key.
func (c *Client) submitUnique(ctx context.Context, j *Job) (Receipt, error) {
	r, err := c.Reserve(ctx, j)
	if err != nil {
		return Receipt{}, err
	}
	if r.Known {
		receipt, err := c.known(ctx, j.ID, r)
		if receipt.Duplicate || err != nil {
			return receipt, err
		}
	}
	receipt, err := c.submit(ctx, j)
	if err != nil {
		return receipt, err
	}
	receipt.Duplicate = receipt.Duplicate || r.Known
	return receipt, c.confirm(ctx, r)
}

// reserveKnown is Reserve for jobs of many: it tells whether the key stands
// for a job that needs no more submitting.
func (c *Client) reserveKnown(ctx context.Context, j *Job) (r Reservation, duplicate bool, err error) {
	if r, err = c.Reserve(ctx, j); err != nil || !r.Known {
		return r, false, err
	}
	receipt, err := c.known(ctx, j.ID, r)
	return r, receipt.Duplicate, err
}

// known says what became of the job that an idempotency key stands for; the
// receipt is no duplicate's when the job was never stored.
func (c *Client) known(ctx context.Context, id string, r Reservation) (Receipt, error) {
	rec, err := c.Get(ctx, id)
	if _, missing := errors.AsType[*NotFoundError](err); missing {
		if !r.Stored {
			return Receipt{}, nil
		}
		return Receipt{ID: id, Duplicate: true, Expired: true}, nil
	}
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{ID: id, Duplicate: true, State: rec.State}, c.confirm(ctx, r)
}
