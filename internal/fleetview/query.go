package fleetview

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"boxfleet/jobs"
)

// Query chooses jobs. The zero value takes all; every field that is set must
// match.
type Query struct {
	States   []string // states, or outcomes
	Tool     string   // name, name@version or digest
	Batch    string
	Worker   string
	Priority string
	Labels   map[string]string
	// Text is a part of the id, tool, batch, worker, a label or the error, in
	// any case of letters.
	Text string
	// Limit is the most jobs of the answer; 0 for 100.
	Limit int
}

// Page is the answer to a Query.
type Page struct {
	Jobs  []Job `json:"jobs"` // newest first
	Found int   `json:"found"`
	// Older says that there are jobs which were not looked at; Waiting that
	// more wait than were.
	Older   bool `json:"older"`
	Waiting bool `json:"more_waiting"`
	Loaded  bool `json:"loaded"`
}

// Bounds on a Query's answer and on how much of the queue is read for it.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxWaiting   = 2000
	queuedFor    = time.Second // how long what was read is good enough
)

func (q *Query) takes(e *entry, text string) bool {
	switch {
	case len(q.States) > 0 && !slices.Contains(q.States, string(e.State)) && (e.Outcome == "" || !slices.Contains(q.States, string(e.Outcome))),
		q.Tool != "" && q.Tool != e.name && q.Tool != e.Tool && q.Tool != string(e.digest),
		q.Batch != "" && q.Batch != e.Batch,
		q.Worker != "" && q.Worker != e.Worker,
		q.Priority != "" && q.Priority != string(e.Priority):
		return false
	}
	for k, v := range q.Labels {
		if got, ok := e.labels[k]; !ok || got != v {
			return false
		}
	}
	if text == "" {
		return true
	}
	for _, s := range append([]string{e.ID, e.Tool, e.Batch, e.Worker, e.Error}, e.Job.Labels...) {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return false
}

// Find answers a Query from what the View knows and from the front of the
// queue.
func (v *View) Find(ctx context.Context, q Query) (Page, error) {
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	q.Limit = min(q.Limit, maxLimit)
	text := strings.ToLower(strings.TrimSpace(q.Text))
	waiting, more, err := v.waiting(ctx)
	if err != nil {
		return Page{}, err
	}
	page := Page{Waiting: more}
	var found []*entry
	v.mu.Lock()
	page.Older, page.Loaded = v.book.older, v.loaded
	for _, e := range v.book.known {
		if q.takes(e, text) {
			found = append(found, e)
		}
	}
	for _, e := range waiting {
		if _, known := v.book.known[e.ID]; !known && q.takes(e, text) {
			found = append(found, e)
		}
	}
	v.mu.Unlock() // entries are replaced, never changed
	slices.SortFunc(found, func(a, b *entry) int {
		if c := b.Submitted.Compare(a.Submitted); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	page.Found = len(found)
	page.Jobs = make([]Job, 0, min(q.Limit, len(found)))
	for _, e := range found[:min(q.Limit, len(found))] {
		page.Jobs = append(page.Jobs, e.Job)
	}
	return page, nil
}

// queuedPage is the front of the queue as it was read at a time.
type queuedPage struct {
	mu   sync.Mutex // one reads, others wait for it
	at   time.Time
	list []*entry
	more bool
}

// waiting gives the oldest of the tenant's jobs whose messages are stored.
func (v *View) waiting(ctx context.Context) ([]*entry, bool, error) {
	p := &v.queued
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < queuedFor {
		return p.list, p.more, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var list []*entry
	more := false
	for rec, err := range v.src.Client.Waiting(ctx) {
		if err != nil {
			return nil, false, err
		}
		if len(list) == maxWaiting {
			more = true
			break
		}
		list = append(list, headOf(rec).entry())
	}
	p.at, p.list, p.more = time.Now(), list, more
	return list, more, nil
}

// Seen gives what the View knows of a job's state; false when it knows nothing.
func (v *View) Seen(id string) (jobs.State, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e, ok := v.book.known[id]
	if !ok {
		return "", false
	}
	return e.State, true
}
