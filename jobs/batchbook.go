package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// batchBook reads and changes batch records. Clients and the coordinator share
// it.
type batchBook struct {
	nc *nats.Conn
	kv jetstream.KeyValue
}

func openBook(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) (*batchBook, error) {
	kv, err := bindBucket(ctx, js, BucketBatches)
	if err != nil {
		return nil, err
	}
	return &batchBook{nc: nc, kv: kv}, nil
}

// get reads a record from the bucket's leader. One that is not there is nil;
// the revision is then what the next write must expect.
func (b *batchBook) get(ctx context.Context, tenant, id string) (*Batch, uint64, error) {
	key := batchKey(tenant, id)
	w := &Worker{nc: b.nc}
	seq, header, data, err := w.storedMessage(ctx, "KV_"+BucketBatches, map[string]string{"last_by_subj": "$KV." + BucketBatches + "." + key})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read the record of batch %s: %w", id, hintPublish(err))
	case len(header) > 0 && len(data) == 0: // a delete marker
		return nil, seq, nil
	}
	rec, err := decodeBatch(key, data)
	return rec, seq, err
}

// put writes a record over a revision; errMoved when another one stands.
func (b *batchBook) put(ctx context.Context, rec *Batch, rev uint64) (uint64, error) {
	data, err := rec.encode()
	if err != nil {
		return 0, err
	}
	key := batchKey(rec.Tenant, rec.ID)
	if rev == 0 {
		rev, err = b.kv.Create(ctx, key, data)
	} else {
		rev, err = b.kv.Update(ctx, key, data, rev)
	}
	switch {
	case isConflict(err):
		return 0, errMoved
	case err != nil:
		return 0, fmt.Errorf("write the record of batch %s: %w", rec.ID, err)
	}
	return rev, nil
}

// errUnchanged is what a change gives when there is nothing to write.
var errUnchanged = errors.New("nothing to change")

// change reads a record, lets change alter it, and writes it, again and again
// until nobody comes in between. change gets nil when there is no record and
// gives the record to write, or errUnchanged.
func (b *batchBook) change(ctx context.Context, tenant, id string, change func(*Batch) (*Batch, error)) (*Batch, uint64, error) {
	for try := range 32 {
		old, rev, err := b.get(ctx, tenant, id)
		if err != nil {
			return nil, 0, err
		}
		next, err := change(old)
		if errors.Is(err, errUnchanged) {
			return old, rev, nil
		}
		if err != nil {
			return nil, 0, err
		}
		rev, err = b.put(ctx, next, rev)
		if err == nil {
			return next, rev, nil
		}
		if !errors.Is(err, errMoved) {
			return nil, 0, err
		}
		if !sleep(ctx, jitter(time.Duration(try+1)*5*time.Millisecond)) {
			return nil, 0, context.Cause(ctx)
		}
	}
	return nil, 0, fmt.Errorf("change the record of batch %s: it keeps changing; try again", id)
}

// batches gives the client's book, which is opened when it is first needed.
func (c *Client) batches(ctx context.Context) (*batchBook, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.book == nil {
		book, err := openBook(ctx, c.nc, c.js)
		if err != nil {
			return nil, err
		}
		c.book = book
	}
	return c.book, nil
}

// Batch gives a batch's record, or *NotFoundError.
func (c *Client) Batch(ctx context.Context, id string) (*Batch, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("batch id %q is not 1 to 64 letters, digits, - or _", id)
	}
	book, err := c.batches(ctx)
	if err != nil {
		return nil, err
	}
	b, _, err := book.get(ctx, c.tenant, id)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, noBatch(id)
	}
	return b, nil
}

func noBatch(id string) error {
	return &NotFoundError{Kind: "batch", Name: id, Hint: "its record may be older than the time it is kept; list batches with: submit batches"}
}
