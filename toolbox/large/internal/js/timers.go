package js

import (
	"slices"
	"time"

	"github.com/dop251/goja"
)

// timers are what setTimeout asked for and has not been called yet.
type timers struct {
	last int64
	wait []timer // in the order they are due; of two due at once the older first
}

type timer struct {
	id   int64
	due  time.Time
	call func() error
}

// maxDelay keeps a delay within what a Duration can say; nobody waits so long.
const maxDelay = 1e12 // milliseconds

func (p *program) setTimeout(call goja.FunctionCall) goja.Value {
	callback, ok := goja.AssertFunction(call.Argument(0))
	if !ok {
		panic(p.vm.NewTypeError("setTimeout: want a function first"))
	}
	delay := min(max(call.Argument(1).ToFloat(), 0), maxDelay)
	if delay != delay { // not a number
		delay = 0
	}
	var args []goja.Value
	if len(call.Arguments) > 2 {
		args = slices.Clone(call.Arguments[2:])
	}
	t := &p.timers
	t.last++
	due := time.Now().Add(time.Duration(delay * float64(time.Millisecond)))
	at, _ := slices.BinarySearchFunc(t.wait, due, func(other timer, due time.Time) int {
		if other.due.After(due) {
			return 1
		}
		return -1
	})
	t.wait = slices.Insert(t.wait, at, timer{t.last, due, func() error {
		_, err := callback(goja.Undefined(), args...)
		return err
	}})
	return p.vm.ToValue(t.last)
}

func (t *timers) clear(id int64) {
	t.wait = slices.DeleteFunc(t.wait, func(w timer) bool { return w.id == id })
}

// run calls what is due until nothing waits any more.
func (t *timers) run() error {
	for len(t.wait) > 0 {
		next := t.wait[0]
		t.wait = t.wait[1:]
		if wait := time.Until(next.due); wait > 0 {
			time.Sleep(wait)
		}
		if err := next.call(); err != nil {
			return err
		}
	}
	return nil
}
