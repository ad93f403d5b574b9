package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// tenantBook is what a worker knows of the tenants bucket. A watch keeps it
// true to within a moment.
type tenantBook struct {
	mu      sync.Mutex
	known   map[string]TenantSettings
	bad     map[string]bool     // settings that were never readable
	changed map[string]struct{} // since the dispatcher last asked
	loaded  chan struct{}       // closed once the bucket has been read
	once    sync.Once
	ring    func()
}

func newTenantBook(ring func()) *tenantBook {
	return &tenantBook{known: map[string]TenantSettings{}, bad: map[string]bool{}, changed: map[string]struct{}{}, loaded: make(chan struct{}), ring: ring}
}

// of gives a tenant's settings; readable is false when they are there and
// cannot be understood, and never could: then its jobs are not for this worker.
func (b *tenantBook) of(tenant string) (s TenantSettings, readable bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[tenant], !b.bad[tenant]
}

// takeChanged lists the tenants whose settings changed since the last call.
func (b *tenantBook) takeChanged() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	for tenant := range b.changed {
		list = append(list, tenant)
	}
	clear(b.changed)
	return list
}

// note takes in one document; data is nil when it was removed. The error says
// why it cannot be read; what was readable before goes on to hold.
func (b *tenantBook) note(tenant string, data []byte) error {
	s, err := TenantSettings{}, error(nil)
	if data != nil {
		s, err = decodeTenant(data)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, had := b.known[tenant]
	switch {
	case err != nil && had:
		return err
	case err != nil:
		b.bad[tenant] = true
	case data == nil:
		delete(b.known, tenant)
		delete(b.bad, tenant)
	default:
		b.known[tenant] = s
		delete(b.bad, tenant)
	}
	b.changed[tenant] = struct{}{}
	return err
}

// watchTenants keeps the book until ctx ends.
func (w *Worker) watchTenants(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.readTenants(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("cannot follow the tenants' settings, trying again; what is known of them goes on to hold", "error", err)
		}
		sleep(ctx, time.Second)
	}
}

// readTenants reads all settings, then follows their changes.
func (w *Worker) readTenants(ctx context.Context) error {
	kv, err := bindBucket(ctx, w.js, BucketTenants)
	if err != nil {
		return err
	}
	watch, err := kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer stopWatch(watch)
	book, seen := w.tenants, map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, ok := <-watch.Updates():
			switch {
			case !ok:
				return nil
			case entry == nil: // all that was there has been read
				book.forget(seen)
				seen = nil
				w.keeper.configure()
				book.once.Do(func() { close(book.loaded) })
			default:
				data := entry.Value()
				if entry.Operation() != jetstream.KeyValuePut {
					data = nil
				} else if data == nil {
					data = []byte{}
				}
				if err := book.note(entry.Key(), data); err != nil {
					w.log.Error("the settings of a tenant cannot be read; those it had before go on to hold, and if it had none, its jobs wait",
						"tenant", entry.Key(), "error", err, "fix", "submit tenant set "+entry.Key())
				}
				if seen != nil {
					seen[entry.Key()] = true
				}
				w.keeper.configure(entry.Key())
			}
			book.ring()
		}
	}
}

// forget drops the settings of tenants that a fresh reading did not show.
func (b *tenantBook) forget(except map[string]bool) {
	if except == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	drop := func(tenant string) {
		if !except[tenant] {
			delete(b.known, tenant)
			delete(b.bad, tenant)
			b.changed[tenant] = struct{}{}
		}
	}
	for tenant := range b.known {
		drop(tenant)
	}
	for tenant := range b.bad {
		drop(tenant)
	}
}
