package artifacts

import (
	"context"
	"errors"
	"fmt"
)

// flight is one load that any number of callers wait for. The cache's mutex
// guards it until done is closed.
type flight struct {
	limit   int64
	waiters int
	cancel  context.CancelFunc
	done    chan struct{}

	entry   *entry // pinned once for every waiter
	fetched bool   // from the store, not only verified on disk
	err     error
}

// get returns the entry for key, pinned, and whether no request was made for it.
// When there is no intact one it calls
// load, once for all who ask meanwhile. The load runs in a context of its own,
// which ends when the last of them has gone: one caller's end is not another's.
//
// The limit is the caller's bound on the size of a blob; load is given it.
func (c *Cache) get(ctx context.Context, key entryKey, limit int64, load func(ctx context.Context, limit int64) (*entry, bool, error)) (e *entry, hit bool, err error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, false, errCacheClosed
		}
		if e := c.entries[key]; e != nil && c.intact(e) {
			e.pins++
			c.use(e)
			c.stats.Hits++
			c.mu.Unlock()
			return e, true, nil
		}
		f := c.flights[key]
		if f != nil && f.waiters == 0 {
			// Given up by all who waited, but not yet ended: not ours to join.
			c.mu.Unlock()
			select {
			case <-f.done:
				continue
			case <-ctx.Done():
				return nil, false, fmt.Errorf("wait for the cache: %w", context.Cause(ctx))
			}
		}
		joined := f != nil
		if joined {
			f.waiters++
			c.stats.Joined++
		} else {
			f = c.start(ctx, key, limit, load)
		}
		c.mu.Unlock()

		e, hit, err = c.await(ctx, f)
		if joined && limit > f.limit && errors.Is(err, ErrTooLarge) {
			continue // too large for whoever started it, perhaps not for us
		}
		return e, hit, err
	}
}

// intact says whether a verified entry's file is still what was verified. The
// mutex is held.
func (c *Cache) intact(e *entry) bool {
	if !e.verified {
		return false
	}
	if e.key.tree {
		return true // built by this process, of files nobody writes
	}
	now, err := identify(c.blobPath(e.key.digest))
	return err == nil && now == e.identity
}

// start begins a load. The mutex is held.
func (c *Cache) start(ctx context.Context, key entryKey, limit int64, load func(context.Context, int64) (*entry, bool, error)) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(c.stopped, cancel)
	f := &flight{limit: limit, waiters: 1, cancel: cancel, done: make(chan struct{})}
	c.flights[key] = f
	c.loads.Add(1)
	go func() {
		defer c.loads.Done()
		defer unlink()
		defer cancel()
		e, fetched, err := load(ctx, limit)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.flights, key)
		f.entry, f.fetched, f.err = e, fetched, err
		switch {
		case err != nil:
		case fetched:
			c.stats.Misses++
		default:
			c.stats.Hits++
		}
		if err == nil {
			// load returns the entry with one pin of its own.
			e.pins += f.waiters - 1
			c.use(e)
		}
		close(f.done)
	}()
	return f
}

// await waits for a flight or the end of ctx.
func (c *Cache) await(ctx context.Context, f *flight) (*entry, bool, error) {
	select {
	case <-f.done:
		return f.entry, !f.fetched, f.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiters--
	select {
	case <-f.done: // it ended just now and pinned its entry for us
		if f.err == nil {
			f.entry.pins--
		}
	default:
		if f.waiters == 0 {
			f.cancel()
		}
	}
	return nil, false, fmt.Errorf("wait for the cache: %w", context.Cause(ctx))
}
