package wasihttp

import "errors"

// inputStream is the contents of a response's body or of a file, or standard input.
type inputStream struct {
	source
	failed bool // the error was told; closed from now on
}

// source is where an input stream's bytes come from.
type source interface {
	resource
	// ready tells whether there are bytes or an end. It is called with mu held.
	ready() bool
	// available gives how many bytes are there, or that they have ended and, if that is so, why. What more than want
	// bytes are for is the source's to know.
	available(h *Host, want uint64) (n int, ended bool, err error)
	// take hands n of the bytes that are available to use, which must not run the guest, and forgets them.
	take(h *Host, n int, use func([]byte))
}

// ready is called with mu held.
func (i *inputStream) ready() bool { return i.failed || i.source.ready() }

func (i *inputStream) available(h *Host, want uint64) (n int, ended bool, err error) {
	if i.failed {
		return 0, true, nil
	}
	return i.source.available(h, want)
}

// bodySource is a response's body, which belongs to the incoming-body and not to its stream.
type bodySource struct{ *bodyReader }

func (bodySource) release(*Host) {}

func (s bodySource) ready() bool { return s.r < s.w || s.ended }

func (s bodySource) available(h *Host, _ uint64) (n int, ended bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n = s.w - s.r; n > 0 {
		return n, false, nil
	}
	return 0, s.ended, s.err
}

func (s bodySource) take(h *Host, n int, use func([]byte)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	use(s.buf[s.r : s.r+n])
	s.r += n
	s.space.Broadcast()
}

// outputStream is the contents of a request's body or of a file, or standard output or error.
type outputStream struct {
	sink
	permit uint64 // what check-write gave
}

// sink is where an output stream's bytes go.
type sink interface {
	resource
	// room is how many bytes may be written now, or that nothing more can be. It is called with mu held.
	room() (n int, closed bool)
	// accept takes bytes for which there was room. It is called without mu.
	accept(h *Host, p []byte) (closed bool, err error)
}

// ready is called with mu held.
func (o *outputStream) ready() bool {
	n, closed := o.room()
	return n > 0 || closed
}

// bodySink is a request's body, which belongs to the outgoing-body and not to its stream.
type bodySink struct{ *outgoingBody }

func (bodySink) release(*Host) {}

func (s bodySink) room() (n int, closed bool) { return s.space() }

// accept looks again whether the body is open: the transport may have let go meanwhile.
func (s bodySink) accept(h *Host, p []byte) (closed bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, closed := s.space(); closed {
		return true, nil
	}
	return false, s.write(p)
}

// ioError is wasi:io/error.error: why a stream failed.
type ioError struct {
	code errorCode  // of a request or response
	file *fileError // or of a file
}

func (*ioError) release(*Host) {}

func newIOError(err error) *ioError {
	if file, ok := errors.AsType[*fileError](err); ok {
		return &ioError{file: file}
	}
	return &ioError{code: codeOf(err)}
}

func (e *ioError) String() string {
	if e.file != nil {
		return e.file.Error()
	}
	return e.code.String()
}

// putStreamError writes the err case of a result with a stream-error whose payload begins at at+offset. A nil error is
// closed.
func (c *call) putStreamError(at, offset uint32, err error) {
	c.put8(at, 1)
	if err == nil {
		c.put8(at+offset, 1)
		return
	}
	c.put8(at+offset, 0)
	c.put32(at+offset+4, c.add(newIOError(err), 0))
}

var streamFunctions = []*function{
	{"[resource-drop]input-stream", sig(i32), nil, drop[*inputStream]},
	{"[method]input-stream.read", sig(i32, i64, i32), nil, func(c *call, s []uint64) { c.read(s, false) }},
	{"[method]input-stream.blocking-read", sig(i32, i64, i32), nil, func(c *call, s []uint64) { c.read(s, true) }},
	{"[method]input-stream.skip", sig(i32, i64, i32), nil, func(c *call, s []uint64) { c.skip(s, false) }},
	{"[method]input-stream.blocking-skip", sig(i32, i64, i32), nil, func(c *call, s []uint64) { c.skip(s, true) }},
	{"[method]input-stream.subscribe", sig(i32), sig(i32), func(c *call, s []uint64) {
		i := borrow[*inputStream](c, s[0])
		s[0] = uint64(c.add(&pollable{ready: i.ready}, uint32(s[0])))
	}},

	{"[resource-drop]output-stream", sig(i32), nil, drop[*outputStream]},
	{"[method]output-stream.check-write", sig(i32, i32), nil, func(c *call, s []uint64) {
		o, ret := borrow[*outputStream](c, s[0]), c.ret(s[1], 8, 16)
		n, closed := c.checkWrite(o)
		if closed {
			c.putStreamError(ret, 8, nil)
			return
		}
		c.put8(ret, 0)
		c.put64(ret+8, n)
	}},
	{"[method]output-stream.write", sig(i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		o, ret := borrow[*outputStream](c, s[0]), c.ret(s[3], 4, 12)
		c.permitted(o, uint64(uint32(s[2])))
		c.write(o, c.view(s[1], s[2]), ret)
	}},
	{"[method]output-stream.blocking-write-and-flush", sig(i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		o, ret := borrow[*outputStream](c, s[0]), c.ret(s[3], 4, 12)
		c.waitForSpace(o, uint64(uint32(s[2])))
		c.write(o, c.view(s[1], s[2]), ret)
	}},
	{"[method]output-stream.flush", sig(i32, i32), nil, flush},
	{"[method]output-stream.blocking-flush", sig(i32, i32), nil, flush},
	{"[method]output-stream.subscribe", sig(i32), sig(i32), func(c *call, s []uint64) {
		o := borrow[*outputStream](c, s[0])
		s[0] = uint64(c.add(&pollable{ready: o.ready}, uint32(s[0])))
	}},
	{"[method]output-stream.write-zeroes", sig(i32, i64, i32), nil, func(c *call, s []uint64) {
		o, ret := borrow[*outputStream](c, s[0]), c.ret(s[2], 4, 12)
		c.permitted(o, s[1])
		c.write(o, make([]byte, s[1]), ret)
	}},
	{"[method]output-stream.blocking-write-zeroes-and-flush", sig(i32, i64, i32), nil, func(c *call, s []uint64) {
		o, ret := borrow[*outputStream](c, s[0]), c.ret(s[2], 4, 12)
		c.waitForSpace(o, s[1])
		c.write(o, make([]byte, s[1]), ret)
	}},
	{"[method]output-stream.splice", sig(i32, i32, i64, i32), nil, func(c *call, s []uint64) { c.splice(s, false) }},
	{"[method]output-stream.blocking-splice", sig(i32, i32, i64, i32), nil, func(c *call, s []uint64) { c.splice(s, true) }},
}

// wait blocks until ready, which is called with mu held.
func (c *call) wait(ready func() bool) {
	c.waitUntil(noTime, ready)
}

// read is result<list<u8>, stream-error>.
func (c *call) read(s []uint64, block bool) {
	i, want, ret := borrow[*inputStream](c, s[0]), s[1], c.ret(s[2], 4, 12)
	if block && want > 0 {
		c.wait(i.ready)
	}
	n, ended, err := i.available(c.h, want)
	if ended {
		i.failed = true
		c.putStreamError(ret, 4, err)
		return
	}
	n = int(min(uint64(n), want))
	ptr := c.alloc(1, uint64(n))
	if n > 0 {
		i.take(c.h, n, func(b []byte) { c.put(ptr, b) })
	}
	c.put8(ret, 0)
	c.put32(ret+4, ptr)
	c.put32(ret+8, uint32(n))
}

// skip is result<u64, stream-error>.
func (c *call) skip(s []uint64, block bool) {
	i, want, ret := borrow[*inputStream](c, s[0]), s[1], c.ret(s[2], 8, 16)
	if block && want > 0 {
		c.wait(i.ready)
	}
	n, ended, err := i.available(c.h, want)
	if ended {
		i.failed = true
		c.putStreamError(ret, 8, err)
		return
	}
	n = int(min(uint64(n), want))
	i.take(c.h, n, func([]byte) {})
	c.put8(ret, 0)
	c.put64(ret+8, uint64(n))
}

func (c *call) checkWrite(o *outputStream) (n uint64, closed bool) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	space, closed := o.room()
	o.permit = uint64(space)
	return o.permit, closed
}

func (c *call) permitted(o *outputStream, n uint64) {
	if n > o.permit {
		c.trap("write of %d bytes, but check-write permitted %d", n, o.permit)
	}
	o.permit -= n
}

func (c *call) waitForSpace(o *outputStream, n uint64) {
	if n > maxBlocking {
		c.trap("blocking write of %d bytes; at most %d are allowed", n, maxBlocking)
	}
	c.wait(func() bool {
		space, closed := o.room()
		return uint64(space) >= n || closed
	})
	o.permit = 0
}

// write is result<_, stream-error>. Bytes of a body are accepted when they are in its buffer; the network empties it.
func (c *call) write(o *outputStream, p []byte, ret uint32) {
	if closed, err := o.accept(c.h, p); closed || err != nil {
		c.putStreamError(ret, 4, err)
		return
	}
	c.put8(ret, 0)
}

// flush has nothing to wait for: what was written to a body is on its way as soon as there is a connection, and what was
// written elsewhere is there.
func flush(c *call, s []uint64) {
	o, ret := borrow[*outputStream](c, s[0]), c.ret(s[1], 4, 12)
	c.h.mu.Lock()
	_, closed := o.room()
	c.h.mu.Unlock()
	if closed {
		c.putStreamError(ret, 4, nil)
		return
	}
	c.put8(ret, 0)
}

// splice moves bytes from one stream to another inside the host.
func (c *call) splice(s []uint64, block bool) {
	o, i, want, ret := borrow[*outputStream](c, s[0]), borrow[*inputStream](c, s[1]), s[2], c.ret(s[3], 8, 16)
	if block && want > 0 {
		c.wait(func() bool { return o.ready() && i.ready() })
	}
	space, closed := c.checkWrite(o)
	o.permit = 0
	if closed {
		c.putStreamError(ret, 8, nil)
		return
	}
	n, ended, err := i.available(c.h, want)
	if ended {
		i.failed = true
		c.putStreamError(ret, 8, err)
		return
	}
	n = int(min(uint64(n), space, want))
	// Not handed over inside take, as both ends may need mu.
	var piece []byte
	i.take(c.h, n, func(b []byte) { piece = append(piece, b...) })
	if closed, err = o.accept(c.h, piece); closed || err != nil {
		c.putStreamError(ret, 8, err)
		return
	}
	c.put8(ret, 0)
	c.put64(ret+8, uint64(n))
}

var errorFunctions = []*function{
	{"[resource-drop]error", sig(i32), nil, drop[*ioError]},
	{"[method]error.to-debug-string", sig(i32, i32), nil, func(c *call, s []uint64) {
		e, ret := borrow[*ioError](c, s[0]), c.ret(s[1], 4, 8)
		c.putBytes(ret, []byte(e.String()))
	}},
}
