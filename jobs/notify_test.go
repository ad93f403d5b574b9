package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// postbox is a Notifier that says what a test tells it to.
type postbox struct {
	mu   sync.Mutex
	got  []*Notification
	says func(n int) error // by the number of messages so far
}

func (p *postbox) Notify(_ context.Context, n *Notification) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, n)
	return p.says(len(p.got))
}

func (p *postbox) all() []*Notification {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got
}

var hook = &Notify{Webhook: &Webhook{URL: "https://hooks.example.com/x", Secret: "secret://s"}}

// noticed waits until the notification of a batch is over.
func (f *testFleet) noticed(id string) *Notice {
	f.t.Helper()
	var last *Notice
	f.eventually("the notification of "+id+" is over", func() bool {
		b, err := f.client.Batch(f.ctx, id)
		if err == nil {
			last = b.Notice
		}
		return err == nil && last != nil && last.State != NoticePending
	})
	return last
}

func TestNotificationIsTriedAgain(t *testing.T) {
	f := newFleet(t)
	p := &postbox{says: func(n int) error {
		switch n {
		case 1:
			return errors.New("500: out of order")
		case 2:
			panic("the notifier is broken")
		}
		return nil
	}}
	// The first coordinator tries once and goes; the next one goes on.
	quick := func(c *WorkerConfig) { coordinator(c); c.Notifier, c.noticeFirst = p, 20*time.Millisecond }
	first := f.worker("first", succeed, func(c *WorkerConfig) { coordinator(c); c.Notifier, c.noticeFirst = p, 300*time.Millisecond })
	b := f.open(BatchSpec{ID: "b", Notify: hook})
	f.fill(b, 0, 3)
	f.closeBatch(b, 3)
	f.eventually("the first attempt failed", func() bool {
		rec, err := f.client.Batch(f.ctx, "b")
		return err == nil && rec.Notice != nil && rec.Notice.Attempts >= 1
	})
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	f.worker("second", succeed, quick)
	notice := f.noticed("b")
	if notice.State != NoticeDelivered || notice.Attempts < 3 || notice.Error != "" || !notice.NextAt.IsZero() {
		t.Errorf("the notice is %+v", notice)
	}
	got := p.all()
	for _, n := range got[1:] {
		if n.ID != got[0].ID || string(n.Body) != string(got[0].Body) {
			t.Errorf("attempts differ: %s %s, %s %s", got[0].ID, got[0].Body, n.ID, n.Body)
		}
	}
	var e BatchEvent
	if err := json.Unmarshal(got[0].Body, &e); err != nil || e.Type != EventBatchEnded || e.Data.Counts[Succeeded] != 3 {
		t.Errorf("the body %s is %+v, %v", got[0].Body, e, err)
	}
}

func TestNotificationEndsForGood(t *testing.T) {
	for _, c := range []struct {
		name  string
		with  Notifier
		state NoticeState
		says  string
	}{
		{"no operator's setting", nil, NoticeRefused, "not enabled"},
		{"refused", &postbox{says: func(int) error { return &RefusedError{"not this host"} }}, NoticeRefused, "not this host"},
		{"gone", &postbox{says: func(int) error { return Permanent(errors.New("410")) }}, NoticeFailed, "410"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t)
			f.worker("w", succeed, func(w *WorkerConfig) { coordinator(w); w.Notifier = c.with })
			f.closeBatch(f.open(BatchSpec{ID: "b", Notify: hook}), 0)
			n := f.noticed("b")
			if n.State != c.state || !strings.Contains(n.Error, c.says) || n.Attempts != 1 {
				t.Errorf("the notice is %+v, want %s that says %q", n, c.state, c.says)
			}
		})
	}
}

// TestNotificationGivesUp: the pauses grow, and a day after the batch's end
// there is no further attempt.
func TestNotificationGivesUp(t *testing.T) {
	t.Parallel()
	ended := time.Unix(1_700_000_000, 0)
	n, now := &Notice{State: NoticePending}, ended
	for n.State == NoticePending {
		n.outcome(errors.New(strings.Repeat("no ", 1000)), now, ended, noticeFirst)
		if n.State != NoticePending {
			break
		}
		pause := n.NextAt.Sub(now)
		if pause < noticeFirst/2 || pause > noticeMost*3/2 {
			t.Fatalf("attempt %d: a pause of %s", n.Attempts, pause)
		}
		now = n.NextAt
	}
	if n.State != NoticeFailed || n.Attempts < 24 || n.Attempts > 80 || now.After(ended.Add(noticeBudget)) {
		t.Errorf("given up after %d attempts at %s: %s", n.Attempts, now.Sub(ended), n.State)
	}
	if len(n.Error) > 2*maxNoticeError || !strings.Contains(n.Error, "given up") {
		t.Errorf("it says %q", n.Error)
	}
}
