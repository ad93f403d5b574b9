package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// heard collects a follower's events.
type heard struct {
	mu   sync.Mutex
	all  []*Event
	stop context.CancelFunc
	done chan struct{}
	err  error
}

func (f *testFleet) follow(filter EventFilter) *heard {
	ctx, stop := context.WithCancel(f.ctx)
	h := &heard{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		for e, err := range f.client.Events(ctx, filter) {
			h.mu.Lock()
			if err != nil {
				h.err = err
			} else {
				h.all = append(h.all, e)
			}
			h.mu.Unlock()
		}
	}()
	f.t.Cleanup(func() { stop(); <-h.done })
	return h
}

// lines writes the events of a kind as short texts.
func (h *heard) lines(kinds ...EventKind) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, e := range h.all {
		if len(kinds) > 0 && !slices.Contains(kinds, e.Kind) {
			continue
		}
		switch e.Kind {
		case EventLog:
			out = append(out, fmt.Sprintf("%s log %s", e.Job, e.Log.Data))
		case EventBatch:
			out = append(out, fmt.Sprintf("batch %s %s %d/%d", e.Batch, e.State, e.Ended, e.Total))
		default:
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Job, e.State, e.Outcome)))
		}
	}
	return out
}

func (f *testFleet) hears(h *heard, want string, kinds ...EventKind) {
	f.t.Helper()
	f.eventually("the event "+want, func() bool { return slices.Contains(h.lines(kinds...), want) })
}

func TestEventsOfOneJob(t *testing.T) {
	f := newFleet(t)
	f.submit(newJob("other"), newJob("mine"))
	h := f.follow(EventFilter{Job: "mine", Logs: true})
	f.hears(h, "mine queued") // as it stands
	f.worker("w", func(ctx context.Context, a *Attempt) (*Result, error) {
		if a.Number == 1 {
			return nil, errBroken
		}
		a.Log("stdout", 0, []byte("hello"))
		return &Result{Outcome: Exited, ExitCode: 3}, nil
	}, nil)
	f.hears(h, "mine done exited")
	f.hears(h, "mine log hello")
	lines := h.lines(EventSubmitted, EventState)
	order := []string{"mine queued", "mine running", "mine retrying", "mine running", "mine done exited"}
	// A state that another replaced at once may be passed over; their order stays.
	at := 0
	for _, l := range lines {
		for at < len(order) && order[at] != l {
			at++
		}
		if at == len(order) {
			t.Fatalf("the events are %q", lines)
		}
		at++
	}
	h.mu.Lock()
	last := h.all[len(h.all)-1]
	h.mu.Unlock()
	if last.Kind == EventState && (last.ExitCode == nil || *last.ExitCode != 3 || last.Attempt != 2 || last.At.IsZero()) {
		t.Errorf("the last event is %+v", last)
	}

	// One who comes later is told how it ended.
	f.hears(f.follow(EventFilter{Job: "mine"}), "mine done exited")
	missing := f.follow(EventFilter{Job: "nobody"})
	<-missing.done
	if !errors.As(missing.err, new(*NotFoundError)) {
		t.Errorf("an unknown job gives %v", missing.err)
	}
}

func TestEventsOfABatch(t *testing.T) {
	f := newFleet(t)
	b := f.open(BatchSpec{ID: "b"})
	h := f.follow(EventFilter{Batch: "b", Logs: true})
	f.hears(h, "batch b open 0/0")
	all := f.follow(EventFilter{})
	f.worker("w", func(ctx context.Context, a *Attempt) (*Result, error) {
		a.Log("stdout", 0, []byte("x"))
		return &Result{Outcome: Succeeded}, nil
	}, coordinator)
	f.submit(newJob("stranger"))
	f.fill(b, 0, 20)
	f.closeBatch(b, 20)
	f.hears(h, "batch b ended 20/20")
	f.hears(all, "stranger done succeeded")
	f.hears(all, "batch b ended 20/20")
	for i := range 20 {
		id := numbered("b", i)
		f.hears(h, id+" done succeeded")
	}
	seen := map[string]int{}
	for _, l := range h.lines(EventSubmitted, EventState) {
		seen[l]++
		if strings.Contains(l, "stranger") {
			t.Errorf("a job of no batch is told of: %s", l)
		}
		if seen[l] > 1 {
			t.Errorf("%s is told %d times", l, seen[l])
		}
	}
	missing := f.follow(EventFilter{Batch: "nobody"})
	<-missing.done
	if !errors.As(missing.err, new(*NotFoundError)) {
		t.Errorf("an unknown batch gives %v", missing.err)
	}
}

func TestEventsSince(t *testing.T) {
	f := newFleet(t)
	f.worker("w", func(ctx context.Context, a *Attempt) (*Result, error) {
		a.Log("stdout", 0, []byte("said by "+a.Job.ID))
		return &Result{Outcome: Succeeded}, nil
	}, nil)
	f.submit(newJob("early"))
	f.result("early")
	f.eventually("the output is stored", func() bool {
		found := false
		err := f.client.LogSoFar(f.ctx, "early", func(LogChunk) error { found = true; return nil })
		return err == nil && found
	})
	h := f.follow(EventFilter{Logs: true, Since: f.client.Now(f.ctx).Add(-time.Hour)})
	f.hears(h, "early done succeeded")
	f.hears(h, "early log said by early")
	f.submit(newJob("late"))
	f.hears(h, "late done succeeded")
	f.hears(h, "late log said by late")
	if n := len(h.lines(EventLog)); n != 2 {
		t.Errorf("%d pieces of output: %q", n, h.lines(EventLog))
	}
	// Nothing has happened since tomorrow.
	later := f.follow(EventFilter{Since: time.Now().Add(24 * time.Hour)})
	n := 0
	f.eventually("a job's end is told", func() bool { // once the follower listens
		n++
		f.submit(newJob(numbered("last", n)))
		return slices.ContainsFunc(later.lines(), func(l string) bool { return strings.HasPrefix(l, "last-") && strings.HasSuffix(l, " done succeeded") })
	})
	if slices.Contains(later.lines(), "early done succeeded") {
		t.Error("what happened before --since is told")
	}
}

// TestEventsSlowFollower does not read while more is said than is kept for it:
// it is told that something is missing, and of every job's end.
func TestEventsSlowFollower(t *testing.T) {
	f := newFleet(t)
	const n = 40
	f.worker("w", func(ctx context.Context, a *Attempt) (*Result, error) {
		for i := range 1000 {
			a.Log("stdout", int64(i), []byte("x"))
		}
		return &Result{Outcome: Succeeded}, nil
	}, nil)
	ctx, stop := context.WithCancel(f.ctx)
	defer stop()
	ended, skipped := map[string]bool{}, 0
	begun := make(chan struct{})
	var kicks sync.WaitGroup
	defer kicks.Wait()
	kicks.Go(func() { // until one is heard of
		for i := 0; ; i++ {
			_, _ = f.client.Submit(ctx, newJob(numbered("kick", i)))
			select {
			case <-begun:
				return
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	for e, err := range f.client.Events(ctx, EventFilter{Logs: true}) {
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-begun:
		default: // the loop body is where a slow reader spends its time
			close(begun)
			for i := range n - 1 {
				f.submit(newJob(numbered("s", i)))
			}
			for i := range n - 1 {
				f.result(numbered("s", i))
			}
		}
		switch e.Kind {
		case EventSkipped:
			skipped += e.Skipped
		case EventState:
			if e.State == string(Done) && strings.HasPrefix(e.Job, "s-") {
				ended[e.Job] = true
			}
		}
		if len(ended) == n-1 && skipped > 0 {
			break
		}
	}
}
