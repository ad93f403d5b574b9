package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Notifier sends a notification to its webhook. An error of class
// ClassPermanent means that trying again is of no use; *RefusedError that the
// operator's settings do not let it be sent.
type Notifier interface {
	Notify(ctx context.Context, n *Notification) error
}

// Notification is one message to a webhook.
type Notification struct {
	// ID is the same in every attempt, so that a receiver can tell a repeated
	// message from a new one.
	ID      string
	Tenant  string
	Webhook Webhook
	Body    []byte // JSON
}

// RefusedError says that the operator's settings do not let a notification be
// sent.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// Pace of the notifications.
const (
	noticeBudget    = 24 * time.Hour // from the batch's end
	noticeFirst     = 5 * time.Second
	noticeMost      = time.Hour
	noticeTimeout   = 30 * time.Second // of one attempt
	noticesAtOnce   = 32
	noticesOfTenant = 4 // at once, so that one tenant's dead endpoints delay only its own
	noticeLook      = time.Second
)

// noticer sends the notifications of ended batches. What it has done so far is
// in their records, so that another coordinator goes on with it.
type noticer struct {
	w    *Worker
	book *batchBook
	ctx  context.Context
	stop context.CancelFunc
	all  sync.WaitGroup

	mu      sync.Mutex
	waiting map[string]*Batch // by key
	busy    map[string]bool
	tenants map[string]int // deliveries under way
}

func newNoticer(w *Worker, book *batchBook) *noticer {
	n := &noticer{w: w, book: book, waiting: map[string]*Batch{}, busy: map[string]bool{}, tenants: map[string]int{}}
	n.ctx, n.stop = context.WithCancel(context.Background())
	n.all.Go(n.run)
	return n
}

// wait ends the deliveries; those that are broken off are made again.
func (n *noticer) wait() {
	n.stop()
	n.all.Wait()
}

// offer notes that a batch's record may ask for a notification.
func (n *noticer) offer(rec *Batch) {
	key := batchKey(rec.Tenant, rec.ID)
	n.mu.Lock()
	defer n.mu.Unlock()
	if rec.Notice == nil || rec.Notice.State != NoticePending || rec.Notify == nil || rec.Notify.Webhook == nil {
		delete(n.waiting, key)
		return
	}
	n.waiting[key] = rec
}

func (n *noticer) run() {
	tick := time.NewTicker(noticeLook / 4)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		n.start()
	}
}

// start begins the deliveries that are due, as many as may be under way.
func (n *noticer) start() {
	now := n.w.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, rec := range n.waiting {
		if len(n.busy) >= noticesAtOnce {
			return
		}
		if n.busy[key] || rec.Notice.NextAt.After(now) || n.tenants[rec.Tenant] >= noticesOfTenant {
			continue
		}
		n.busy[key] = true
		n.tenants[rec.Tenant]++
		n.all.Go(func() {
			defer func() {
				n.mu.Lock()
				defer n.mu.Unlock()
				delete(n.busy, key)
				if n.tenants[rec.Tenant]--; n.tenants[rec.Tenant] == 0 {
					delete(n.tenants, rec.Tenant)
				}
			}()
			n.deliver(rec)
		})
	}
}

// deliver makes one attempt and writes down what became of it.
func (n *noticer) deliver(rec *Batch) {
	err := n.try(rec)
	if n.ctx.Err() != nil {
		return // broken off; whoever coordinates next tries again
	}
	now := n.w.now()
	next, _, werr := n.book.change(n.ctx, rec.Tenant, rec.ID, func(old *Batch) (*Batch, error) {
		if old == nil || old.Generation != rec.Generation || old.Notice == nil || old.Notice.State != NoticePending {
			return nil, errUnchanged
		}
		b := old.clone()
		b.Notice.outcome(err, now, b.EndedAt, n.w.cfg.noticeFirst)
		return b, nil
	})
	switch {
	case werr != nil:
		n.w.log.Warn("cannot note what became of a notification", "batch", rec.ID, "error", werr)
		sleep(n.ctx, noticeLook)
	case next != nil:
		n.offer(next)
		if next.Notice != nil && next.Notice.State != NoticePending {
			n.w.log.Info("notification", "tenant", rec.Tenant, "batch", rec.ID, "state", next.Notice.State, "attempts", next.Notice.Attempts, "error", next.Notice.Error)
		}
	}
	if next == nil {
		n.mu.Lock()
		delete(n.waiting, batchKey(rec.Tenant, rec.ID))
		n.mu.Unlock()
	}
}

func (n *noticer) try(rec *Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: stack()}
		}
	}()
	if err := rec.Notify.validate(rec.Tenant); err != nil {
		return &RefusedError{err.Error()}
	}
	if n.w.cfg.Notifier == nil {
		return &RefusedError{"webhooks are not enabled on this fleet; an operator enables them by the worker's setting webhook-hosts"}
	}
	body, err := json.Marshal(rec.event())
	if err != nil {
		return Permanent(err)
	}
	ctx, cancel := context.WithTimeout(n.ctx, noticeTimeout)
	defer cancel()
	return n.w.cfg.Notifier.Notify(ctx, &Notification{
		ID: fmt.Sprintf("batch_%s_%s_%d_%d", rec.Tenant, rec.ID, rec.Generation, rec.EndedAt.Unix()), Tenant: rec.Tenant, Webhook: *rec.Notify.Webhook, Body: body,
	})
}

// maxNoticeError bounds what a record keeps of an endpoint's fault.
const maxNoticeError = 512

// outcome notes how an attempt went and when the next one is.
func (n *Notice) outcome(err error, now, ended time.Time, first time.Duration) {
	n.Attempts++
	n.LastAt, n.NextAt, n.Error = now, time.Time{}, ""
	if err == nil {
		n.State = NoticeDelivered
		return
	}
	n.Error = shorten(err.Error(), maxNoticeError)
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		n.State = NoticeRefused
		return
	case Classify(err) == ClassPermanent:
		n.State = NoticeFailed
		return
	}
	n.NextAt = now.Add(noticePause(n.Attempts, first))
	if n.NextAt.After(ended.Add(noticeBudget)) {
		n.State, n.NextAt = NoticeFailed, time.Time{}
		n.Error = shorten(fmt.Sprintf("given up after %d attempts in %s; the last one: %s", n.Attempts, noticeBudget, n.Error), maxNoticeError)
	}
}

// noticePause grows from a few seconds to an hour, with jitter on both sides.
func noticePause(attempts int, first time.Duration) time.Duration {
	b := backoff.NewExponentialBackOff(backoff.WithInitialInterval(first), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.5), backoff.WithMaxInterval(noticeMost), backoff.WithMaxElapsedTime(0))
	d := b.NextBackOff()
	for range min(attempts, 32) - 1 {
		d = b.NextBackOff()
	}
	return d
}
