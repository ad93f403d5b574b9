package executor

import (
	"sync"
	"time"
)

// logEvery is how long a guest's output waits before it is sent to followers.
// A job that ends earlier sends nothing: its output is in the result.
const logEvery = 100 * time.Millisecond

// logPiece is the most bytes one message to followers carries.
const logPiece = 64 << 10

// capture keeps a guest's standard output or error up to a cap, and passes it
// on to followers now and then.
type capture struct {
	stream string
	limit  int
	send   func(stream string, offset int64, data []byte)

	mu    sync.Mutex
	buf   []byte
	sent  int
	over  bool
	timer *time.Timer
	done  bool
}

// outputLimitError stops a guest that wrote more than its cap.
type outputLimitError struct {
	stream string
	limit  int
}

func (e *outputLimitError) Error() string {
	return e.stream + " passed its limit of " + bytesText(e.limit) + "; ask for more with max_" + e.stream + ", or write to a file in an rw mount"
}

// StopGuest tells the WASI layer to end the run instead of giving an errno.
func (e *outputLimitError) StopGuest() bool { return true }

// Write keeps what fits. The first byte too many stops the guest, but what
// came before it is kept.
func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := c.limit - len(c.buf)
	if len(p) > room {
		c.buf = append(c.buf, p[:room]...)
		c.over = true
		return room, &outputLimitError{stream: c.stream, limit: c.limit}
	}
	c.buf = append(c.buf, p...)
	if c.timer == nil && !c.done {
		c.timer = time.AfterFunc(logEvery, c.flush)
	}
	return len(p), nil
}

// flush sends what was not sent yet and sets the next time.
func (c *capture) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = nil
	if c.done {
		return
	}
	for c.sent < len(c.buf) {
		piece := c.buf[c.sent:min(len(c.buf), c.sent+logPiece)]
		c.send(c.stream, int64(c.sent), piece)
		c.sent += len(piece)
	}
}

// finish ends the sending and gives all that was kept.
func (c *capture) finish() (data []byte, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
	if c.timer != nil {
		c.timer.Stop()
	}
	return c.buf, c.over
}
