package executor

import (
	"context"
	"slices"
	"sync"
)

// smallModule is the size in bytes up to which a module is small to the
// compiler: those that people write tools with take a second or two, engines of
// languages ten times as long.
const smallModule = 4 << 20

// compileQueue bounds how much compiles at once. There are some turns for
// modules of any size, and one more for small ones, so that a large module
// never holds up small ones for as long as it takes. Modules that jobs wait for
// come before those that are compiled ahead of their first job; otherwise turns
// go by arrival.
type compileQueue struct {
	mu      sync.Mutex
	free    int // turns for any module
	spare   int // turns for small ones
	waiting []*compileTurn
}

// compileTurn is one module's place in the queue.
type compileTurn struct {
	small bool // set before it waits
	ahead bool // no job waits for it; guarded by compileQueue.mu
	spare bool // it has one of the turns for small ones; guarded likewise
	ready chan struct{}
}

func newCompileQueue(turns int) *compileQueue { return &compileQueue{free: turns, spare: 1} }

func newCompileTurn(ahead bool) *compileTurn {
	return &compileTurn{ahead: ahead, ready: make(chan struct{})}
}

// wait returns when the module's turn has come; leave ends it. On an error it
// has none.
func (q *compileQueue) wait(ctx context.Context, t *compileTurn) error {
	q.mu.Lock()
	q.waiting = append(q.waiting, t)
	q.grant()
	q.mu.Unlock()
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	i := slices.Index(q.waiting, t)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	if i < 0 { // it came at the same time
		q.leave(t)
	}
	return context.Cause(ctx)
}

// hurry says that a job waits for the module now.
func (q *compileQueue) hurry(t *compileTurn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.ahead = false
}

// leave ends a turn that has come.
func (q *compileQueue) leave(t *compileTurn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.spare {
		q.spare++
	} else {
		q.free++
	}
	q.grant()
}

// grant gives turns to those that wait, as long as there are any.
func (q *compileQueue) grant() {
	for {
		i := q.next(false)
		if i < 0 {
			i = q.next(true)
		}
		if i < 0 {
			return
		}
		t := q.waiting[i]
		q.waiting = slices.Delete(q.waiting, i, i+1)
		if t.spare = t.small && q.spare > 0; t.spare {
			q.spare--
		} else {
			q.free--
		}
		close(t.ready)
	}
}

// next is the first of those that wait which may have a turn now, or -1.
func (q *compileQueue) next(ahead bool) int {
	return slices.IndexFunc(q.waiting, func(t *compileTurn) bool {
		return t.ahead == ahead && (q.free > 0 || t.small && q.spare > 0)
	})
}
