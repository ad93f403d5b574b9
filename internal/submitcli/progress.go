package submitcli

import (
	"fmt"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bar is one progress bar on a terminal, or nothing at all elsewhere: a nil
// bar takes every call.
type bar struct {
	app *app
	all *mpb.Progress
	one *mpb.Bar

	mu    sync.Mutex
	total int64
	gone  bool
}

// countBar counts things whose number is told as it goes.
func (a *app) countBar(what string) *bar {
	return a.newBar(0, decor.Name(what+" "), decor.CountersNoUnit("%d / %d"))
}

// byteBar counts bytes.
func (a *app) byteBar(what string, total int64) *bar {
	if total < 1<<20 {
		return nil // done before it could be read
	}
	return a.newBar(total, decor.Name(what+" "), decor.CountersKibiByte("% .1f / % .1f"))
}

func (a *app) newBar(total int64, left, right decor.Decorator) *bar {
	if !a.terminal() {
		return nil
	}
	b := &bar{app: a, total: total, all: mpb.New(mpb.WithOutput(a.Stderr), mpb.WithWidth(40))}
	b.one = b.all.AddBar(total, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(left), mpb.AppendDecorators(right))
	a.setOverlay(b.all)
	return b
}

// set says how much of how much is done.
func (b *bar) set(done, total int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return
	}
	if int64(total) != b.total {
		b.total = int64(total)
		b.one.SetTotal(b.total, false)
	}
	b.one.SetCurrent(int64(done))
}

// Write counts bytes.
func (b *bar) Write(p []byte) (int, error) {
	if b != nil {
		b.one.IncrBy(len(p))
	}
	return len(p), nil
}

// done takes the bar off the screen, once.
func (b *bar) done() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return
	}
	b.gone = true
	b.app.setOverlay(nil)
	b.one.Abort(true)
	b.all.Wait()
}

// batchBar shows a batch: what was submitted, runs, is done and failed, and
// how fast. show gives the words, which change while total is fixed.
func (a *app) batchBar(total int, show func() string) *bar {
	if !a.terminal() || total == 0 {
		return nil
	}
	b := &bar{app: a, total: int64(total), all: mpb.New(mpb.WithOutput(a.Stderr), mpb.WithWidth(40))}
	b.one = b.all.AddBar(int64(total), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Percentage(decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return show() })))
	a.setOverlay(b.all)
	return b
}

// rate writes jobs a second.
func rate(n int, seconds float64) string {
	if seconds <= 0 {
		return "-"
	}
	r := float64(n) / seconds
	if r >= 10 {
		return fmt.Sprintf("%.0f/s", r)
	}
	return fmt.Sprintf("%.1f/s", r)
}
