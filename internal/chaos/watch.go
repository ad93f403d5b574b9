package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/jobs"
)

// seen is what was seen of one job's record.
type seen struct {
	done   uint64 // revision of the first finished record
	mark   string // which result it held
	poison bool
	ran    int // attempts whose worker was told to die
}

// watcher reads every change of every record as it happens, and every
// announcement of a finished one. A job that changes after it was done, or two
// announcements of different results, are a second commit.
type watcher struct {
	log    *slog.Logger
	poison func(worker string) // called when a poison job is seen to run

	mu    sync.Mutex
	jobs  map[string]*seen // by tenant.id
	done  int
	twice []string
	moved time.Time // when something last ended
}

// newWatcher watches until ctx ends.
func newWatcher(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, log *slog.Logger, poison func(string)) (*watcher, error) {
	w := &watcher{log: log, poison: poison, jobs: map[string]*seen{}, moved: time.Now()}
	kv, err := js.KeyValue(ctx, jobs.BucketStatus)
	if err != nil {
		return nil, err
	}
	changes, err := kv.WatchAll(ctx)
	if err != nil {
		return nil, err
	}
	sub, err := nc.Subscribe("done.>", func(m *nats.Msg) { w.announced(m.Data) })
	if err != nil {
		return nil, err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	go func() {
		defer func() { _ = changes.Stop(); _ = sub.Unsubscribe() }()
		for {
			select {
			case <-ctx.Done():
				return
			case e, open := <-changes.Updates():
				if !open {
					w.wrong("watch", "the watch on the records ended")
					return
				}
				if e != nil { // nil: all that was there has been given
					w.changed(e.Key(), e.Revision(), e.Value())
				}
			}
		}
	}()
	return w, nil
}

// expect notes a job that is about to be submitted.
func (w *watcher) expect(k *task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs[k.tenant+"."+k.id] = &seen{poison: k.poison}
}

// mark tells results of one job apart.
func mark(r *jobs.Record) string {
	return fmt.Sprintf("%s attempt %d on %s ended %s %s", r.Result.Outcome, r.Result.Attempts, r.Result.Worker, r.Result.FinishedAt.Format(time.RFC3339Nano), r.Result.OutputPrefix)
}

func (w *watcher) changed(key string, revision uint64, value []byte) {
	var r jobs.Record
	if len(value) > 0 {
		if err := json.Unmarshal(value, &r); err != nil {
			w.wrong(key, "a record that is not JSON: "+err.Error())
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.jobs[key]
	switch {
	case s == nil:
		w.twice = append(w.twice, key+": a record of a job nobody submitted")
	case s.done != 0 && revision > s.done:
		w.twice = append(w.twice, fmt.Sprintf("%s: revision %d (%s) came after the job was done at %d", key, revision, r.State, s.done))
	case r.State == jobs.Done && s.done == 0 && r.Result != nil:
		s.done = revision
		w.done++
		w.moved = time.Now()
		w.compare(key, s, mark(&r))
	case r.State == jobs.Running && s.poison && r.Attempt > s.ran:
		// Who takes it with its attempts spent, to bury it, runs it no more.
		s.ran = r.Attempt
		go w.poison(r.Worker)
	}
}

func (w *watcher) announced(data []byte) {
	var r jobs.Record
	if err := json.Unmarshal(data, &r); err != nil || r.State != jobs.Done || r.Result == nil {
		w.wrong("done", "an announcement that is no finished record: "+string(data[:min(len(data), 200)]))
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := r.Tenant + "." + r.ID
	if s := w.jobs[key]; s != nil {
		w.compare(key, s, mark(&r))
	}
}

// compare holds a result against the one that was seen first. w.mu is held.
func (w *watcher) compare(key string, s *seen, m string) {
	if s.mark == "" {
		s.mark = m
	}
	if s.mark != m {
		w.twice = append(w.twice, fmt.Sprintf("%s: committed as %q and as %q", key, s.mark, m))
	}
}

func (w *watcher) wrong(key, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.twice = append(w.twice, key+": "+what)
}

// progress gives how many jobs have ended, and when one last did.
func (w *watcher) progress() (done int, moved time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done, w.moved
}

// report logs the progress now and then.
func (w *watcher) report(ctx context.Context) {
	for pause(ctx, 5*time.Second) {
		done, _ := w.progress()
		w.log.Info("progress", "done", done, "some of the others", w.missing(3))
	}
}

// missing lists some jobs that have not ended.
func (w *watcher) missing(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for key, s := range w.jobs {
		if s.done == 0 {
			if list = append(list, key); len(list) == n {
				break
			}
		}
	}
	return strings.Join(list, " ")
}
