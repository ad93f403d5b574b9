package executor

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

// TestCompileQueue: who may compile next, and that turns are neither lost nor
// doubled.
func TestCompileQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newCompileQueue(1)
		var mu sync.Mutex
		running := map[string]*compileTurn{}
		enter := func(name string, small, ahead bool) *compileTurn {
			turn := newCompileTurn(ahead)
			turn.small = small
			go func() {
				if q.wait(t.Context(), turn) == nil {
					mu.Lock()
					defer mu.Unlock()
					running[name] = turn
				}
			}()
			synctest.Wait()
			return turn
		}
		check := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(running) != len(want) {
				t.Fatalf("%d compile, want %q: %v", len(running), want, running)
			}
			for _, name := range want {
				if running[name] == nil {
					t.Fatalf("%s does not compile: %v", name, running)
				}
			}
		}
		leave := func(name string) {
			t.Helper()
			mu.Lock()
			turn := running[name]
			delete(running, name)
			mu.Unlock()
			if turn == nil {
				t.Fatalf("%s does not compile", name)
			}
			q.leave(turn)
		}

		enter("large", false, false)
		check("large")
		enter("large-2", false, false)
		enter("ahead", true, true)
		check("large", "ahead") // nobody else wants the turn for small ones
		enter("small", true, false)
		enter("small-2", true, false)
		check("large", "ahead")
		leave("ahead")
		check("large", "small")
		leave("small")
		check("large", "small-2")
		leave("small-2")
		check("large") // never two large ones

		ahead := enter("large-ahead", false, true)
		enter("large-3", false, false)
		leave("large")
		check("large-2")
		q.hurry(ahead) // a job came for it
		leave("large-2")
		check("large-ahead") // it was there before large-3
		enter("small-3", true, false)
		enter("small-4", true, false)
		leave("large-ahead")
		check("large-3", "small-3")
		leave("large-3")
		check("small-3", "small-4") // a small one takes any turn
		leave("small-3")
		leave("small-4")
		if q.free != 1 || q.spare != 1 || len(q.waiting) != 0 {
			t.Errorf("left: %d and %d turns, %d waiting", q.free, q.spare, len(q.waiting))
		}
	})
}

// TestCompileQueueAbandoned: whoever leaves while it waits, even as its turn
// comes, takes no turn along.
func TestCompileQueueAbandoned(t *testing.T) {
	q := newCompileQueue(1)
	gone := errors.New("gone")
	var all sync.WaitGroup
	for i := range 400 {
		ctx, cancel := context.WithCancelCause(t.Context())
		all.Go(func() {
			turn := newCompileTurn(i%5 == 0)
			turn.small = i%2 == 0
			switch err := q.wait(ctx, turn); {
			case err == nil:
				q.leave(turn)
			case !errors.Is(err, gone):
				t.Error(err)
			}
		})
		if i%3 == 0 {
			all.Go(func() { cancel(gone) })
		} else {
			defer cancel(nil)
		}
	}
	all.Wait()
	if q.free != 1 || q.spare != 1 || len(q.waiting) != 0 {
		t.Errorf("left: %d and %d turns, %d waiting", q.free, q.spare, len(q.waiting))
	}
}
