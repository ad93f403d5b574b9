package wasihttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// errRequestDropped ends the body of a request that was dropped and never sent.
var errRequestDropped = errors.New("request was dropped")

// errBodyIncomplete ends a request whose body was dropped without finish, as wasi:http demands.
var errBodyIncomplete = errors.New("body was dropped before it was finished")

// errBodyLength ends a request whose body is not what content-length said.
var errBodyLength = errors.New("body is not as long as content-length says")

// outgoingBody is a pipe from the guest to the transport. The guest's thread writes into it and never waits in here;
// the transport's goroutine reads. Fields are guarded by Host.mu.
type outgoingBody struct {
	h        *Host
	changed  *sync.Cond // on Host.mu: for the reader
	buf      []byte
	length   int64 // content-length, or negative
	written  int64
	finished bool
	gone     bool  // nobody reads any more
	sent     bool  // the transport has it, and Host.wg waits until it lets go
	err      error // the reader's end, instead of io.EOF

	streamTaken bool // only the guest's thread
}

func newOutgoingBody(h *Host, length int64) *outgoingBody {
	return &outgoingBody{h: h, length: length, changed: sync.NewCond(&h.mu)}
}

// release is a drop without finish.
func (b *outgoingBody) release(h *Host) { b.abort(h, errBodyIncomplete) }

// abort throws away what was not sent and makes the request fail, unless the transport is done with the body.
func (b *outgoingBody) abort(h *Host, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	h.buffered -= len(b.buf)
	b.buf = nil
	b.changed.Broadcast()
}

// send gives the length for the request: what content-length says, or all there is if the body is finished already,
// or -1 for chunks. From here on somebody must call Close: the transport promises to, also when it fails.
func (b *outgoingBody) send(length int64) int64 {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	b.sent = true
	b.h.wg.Add(1)
	b.h.waitOn(b.changed)
	if length < 0 && b.finished {
		return int64(len(b.buf))
	}
	return length
}

// Read is called by the transport.
func (b *outgoingBody) Read(p []byte) (int, error) {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	for len(b.buf) == 0 && !b.finished && b.err == nil && !b.gone && !b.h.closed {
		b.changed.Wait()
	}
	switch {
	case len(b.buf) > 0 && b.err == nil:
		n := copy(p, b.buf)
		b.buf = append(b.buf[:0], b.buf[n:]...)
		b.h.buffered -= n
		b.h.signal()
		return n, nil
	case b.err != nil:
		return 0, b.err
	case b.finished:
		return 0, io.EOF
	}
	return 0, ErrClosed
}

// Close is called by the transport when it needs no more, whether it was sent or not.
func (b *outgoingBody) Close() error {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	first := !b.gone
	b.gone = true
	b.h.buffered -= len(b.buf)
	b.buf = nil
	b.changed.Broadcast()
	b.h.signal()
	if b.sent && first {
		delete(b.h.waiting, b.changed)
		b.h.wg.Done() // last, as Host.Close may return from here on
	}
	return nil
}

// space is how much the guest may write now. closed says that it is over.
func (b *outgoingBody) space() (n int, closed bool) {
	if b.gone || b.err != nil || b.finished {
		return 0, true
	}
	return max(0, min(bodyBuffer-len(b.buf), maxBuffered-b.h.buffered)), false
}

// write takes bytes for which there is space. The error is errBodyLength when they are more than was announced.
func (b *outgoingBody) write(p []byte) error {
	if b.length >= 0 && b.written+int64(len(p)) > b.length {
		b.err = errBodyLength
		b.changed.Broadcast()
		return errBodyLength
	}
	b.buf = append(b.buf, p...)
	b.written += int64(len(p))
	b.h.buffered += len(p)
	b.changed.Broadcast()
	return nil
}

// finish says that nothing follows.
func (b *outgoingBody) finish() error {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	if b.length >= 0 && b.written != b.length {
		b.err = errBodyLength
	}
	b.finished = true
	b.changed.Broadcast()
	return b.err
}

// incomingBody is the resource of that name.
type incomingBody struct {
	reader      *bodyReader
	streamTaken bool
}

func (b *incomingBody) release(h *Host) { b.reader.close() }

// futureTrailers is the resource of that name.
type futureTrailers struct {
	reader *bodyReader
	taken  bool
}

func (f *futureTrailers) release(h *Host) { f.reader.close() }

// bodyReader reads a response's body ahead of the guest, into a buffer of fixed size: when it is full the server waits.
// One goroutine fills it, the guest's thread empties it. Fields are guarded by Host.mu.
type bodyReader struct {
	h      *Host
	resp   *http.Response
	cancel context.CancelCauseFunc
	space  *sync.Cond // on Host.mu: for the goroutine

	buf     []byte
	r, w    int // buf[r:w] is unread
	started bool
	discard bool // finish was called: read to the end for the trailers
	closed  bool
	ended   bool
	err     error // why it ended, nil for a proper end
}

var bodyBuffers = sync.Pool{New: func() any { return new([bodyBuffer]byte) }}

func newBodyReader(h *Host, resp *http.Response, cancel context.CancelCauseFunc) *bodyReader {
	return &bodyReader{h: h, resp: resp, cancel: cancel, space: sync.NewCond(&h.mu)}
}

// start begins to read; discard throws away what comes.
func (b *bodyReader) start(discard bool) {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	b.discard = b.discard || discard
	b.space.Broadcast()
	if b.started || b.closed {
		return
	}
	b.started = true
	b.h.wg.Add(1)
	b.h.waitOn(b.space)
	go b.fill()
}

func (b *bodyReader) fill() {
	defer b.h.wg.Done()
	defer b.resp.Body.Close()
	array := bodyBuffers.Get().(*[bodyBuffer]byte)
	b.h.mu.Lock()
	b.buf = array[:]
	for !b.closed && !b.h.closed && !b.ended {
		room := b.room()
		if room == nil {
			b.space.Wait()
			continue
		}
		b.h.mu.Unlock()
		n, err := b.resp.Body.Read(room)
		b.h.mu.Lock()
		b.w += n
		if err != nil {
			b.ended = true
			if !errors.Is(err, io.EOF) {
				b.err = err
			}
		}
		b.h.signal()
	}
	// What is unread stays for the guest, in a copy of its size; the buffer goes back.
	b.buf = append([]byte(nil), b.buf[b.r:b.w]...)
	b.r, b.w = 0, len(b.buf)
	bodyBuffers.Put(array)
	delete(b.h.waiting, b.space)
	b.h.mu.Unlock()
}

// room gives the part of the buffer to read into, or nil if it is full. What is unread moves to the front only when
// that makes a quarter of the buffer free, so that a guest that reads single bytes does not make the host copy.
func (b *bodyReader) room() []byte {
	switch {
	case b.discard, b.r == b.w:
		b.r, b.w = 0, 0
	case b.w == len(b.buf) && b.r >= len(b.buf)/4:
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	case b.w == len(b.buf):
		return nil
	}
	return b.buf[b.w:]
}

func (b *bodyReader) close() {
	b.h.mu.Lock()
	b.closed = true
	started := b.started
	b.space.Broadcast()
	b.h.mu.Unlock()
	b.cancel(context.Canceled)
	if !started {
		b.resp.Body.Close()
	}
}

var bodyFunctions = []*function{
	{"[resource-drop]outgoing-body", sig(i32), nil, drop[*outgoingBody]},
	{"[method]outgoing-body.write", sig(i32, i32), nil, func(c *call, s []uint64) {
		b, ret := borrow[*outgoingBody](c, s[0]), c.ret(s[1], 4, 8)
		if b.streamTaken {
			c.put8(ret, 1)
			return
		}
		b.streamTaken = true
		c.put8(ret, 0)
		c.put32(ret+4, c.add(&outputStream{sink: bodySink{b}}, uint32(s[0])))
	}},
	{"[static]outgoing-body.finish", sig(i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		ret := c.ret(s[3], 8, 40)
		ownable[*outgoingBody](c, s[0])
		trailers := &fields{}
		if c.option(s[1]) {
			trailers = own[*fields](c, s[2])
		}
		b := own[*outgoingBody](c, s[0])
		trailers.release(c.h)
		if len(trailers.list) > 0 { // the client sends none
			b.abort(c.h, errBodyIncomplete)
			c.put8(ret, 1)
			c.putErrorCode(ret+8, errorCode{code: codeRequestTrailerSectionSize})
			return
		}
		if err := b.finish(); errors.Is(err, errBodyLength) {
			c.put8(ret, 1)
			c.putErrorCode(ret+8, codeOf(err))
			return
		}
		c.put8(ret, 0)
	}},

	{"[resource-drop]incoming-body", sig(i32), nil, drop[*incomingBody]},
	{"[method]incoming-body.stream", sig(i32, i32), nil, func(c *call, s []uint64) {
		b, ret := borrow[*incomingBody](c, s[0]), c.ret(s[1], 4, 8)
		if b.streamTaken {
			c.put8(ret, 1)
			return
		}
		b.streamTaken = true
		b.reader.start(false)
		c.put8(ret, 0)
		c.put32(ret+4, c.add(&inputStream{source: bodySource{b.reader}}, uint32(s[0])))
	}},
	{"[static]incoming-body.finish", sig(i32), sig(i32), func(c *call, s []uint64) {
		b := own[*incomingBody](c, s[0])
		b.reader.start(true)
		s[0] = uint64(c.add(&futureTrailers{reader: b.reader}, 0))
	}},

	{"[resource-drop]future-trailers", sig(i32), nil, drop[*futureTrailers]},
	{"[method]future-trailers.subscribe", sig(i32), sig(i32), func(c *call, s []uint64) {
		f := borrow[*futureTrailers](c, s[0])
		s[0] = uint64(c.add(&pollable{ready: func() bool { return f.reader.ended }}, uint32(s[0])))
	}},
	{"[method]future-trailers.get", sig(i32, i32), nil, func(c *call, s []uint64) {
		f, ret := borrow[*futureTrailers](c, s[0]), c.ret(s[1], 8, 56)
		c.h.mu.Lock()
		ended, err := f.reader.ended, f.reader.err
		c.h.mu.Unlock()
		if !ended {
			c.put8(ret, 0)
			return
		}
		c.put8(ret, 1)
		if f.taken {
			c.put8(ret+8, 1)
			return
		}
		f.taken = true
		c.put8(ret+8, 0)
		if err != nil {
			c.put8(ret+16, 1)
			c.putErrorCode(ret+24, codeOf(err))
			return
		}
		c.put8(ret+16, 0)
		if len(f.reader.resp.Trailer) == 0 {
			c.put8(ret+24, 0)
			return
		}
		c.put8(ret+24, 1)
		c.put32(ret+28, c.add(c.fromHeader(f.reader.resp.Trailer), uint32(s[0])))
	}},
}
