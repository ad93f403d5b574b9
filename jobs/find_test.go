package jobs

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// between is the status bucket with something that happens right after the
// first look at it.
type between struct {
	jetstream.KeyValue
	then func()
}

func (b *between) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	entry, err := b.KeyValue.Get(ctx, key)
	if b.then != nil {
		b.then()
		b.then = nil
	}
	return entry, err
}

// TestJobThatEndsBetweenTwoLooks: the job has no record yet when the records
// are looked at, and no message any more when the queue is.
func TestJobThatEndsBetweenTwoLooks(t *testing.T) {
	f := newFleetIn(t)
	real := f.client.status
	for _, id := range []string{"get", "cancel"} {
		f.client.status = &between{KeyValue: real, then: func() { f.finished(id) }}
		if id == "get" {
			if rec, err := f.client.Get(f.ctx, id); err != nil || rec.State != Done {
				t.Errorf("Get gave %+v, %v; want the finished record", rec, err)
			}
			continue
		}
		if state, err := f.client.Cancel(f.ctx, id); err != nil || state != AlreadyDone {
			t.Errorf("Cancel gave %q, %v; want %q", state, err, AlreadyDone)
		}
	}
}
