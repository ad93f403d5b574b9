package wasihttp

// inputStream is the contents of a response's body.
type inputStream struct {
	reader *bodyReader
	failed bool // the error was told; closed from now on
}

func (*inputStream) release(*Host) {}

// ready is called with mu held.
func (i *inputStream) ready() bool {
	return i.failed || i.reader.r < i.reader.w || i.reader.ended
}

// available gives how many bytes are there, or how the stream stands: ended is its end or a failure.
func (i *inputStream) available(h *Host) (n int, ended bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := i.reader
	if n = b.w - b.r; n > 0 && !i.failed {
		return n, false, nil
	}
	if i.failed {
		return 0, true, nil
	}
	return 0, b.ended, b.err
}

// take hands n bytes to use, which must not run the guest, and forgets them.
func (i *inputStream) take(h *Host, n int, use func([]byte)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := i.reader
	use(b.buf[b.r : b.r+n])
	b.r += n
	b.space.Broadcast()
}

// outputStream is the contents of a request's body.
type outputStream struct {
	body   *outgoingBody
	permit uint64 // what check-write gave
}

func (*outputStream) release(*Host) {}

// ready is called with mu held.
func (o *outputStream) ready() bool {
	n, closed := o.body.space()
	return n > 0 || closed
}

// ioError is wasi:io/error.error: why a stream failed.
type ioError struct{ code errorCode }

func (*ioError) release(*Host) {}

// putStreamError writes the err case of a result with a stream-error whose payload begins at at+offset. A nil error is
// closed.
func (c *call) putStreamError(at, offset uint32, err error) {
	c.put8(at, 1)
	if err == nil {
		c.put8(at+offset, 1)
		return
	}
	c.put8(at+offset, 0)
	c.put32(at+offset+4, c.add(&ioError{codeOf(err)}, 0))
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
	n, ended, err := i.available(c.h)
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
	n, ended, err := i.available(c.h)
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
	space, closed := o.body.space()
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
		space, closed := o.body.space()
		return uint64(space) >= n || closed
	})
	o.permit = 0
}

// write is result<_, stream-error>. The bytes are accepted when they are in the body's buffer; the network empties it.
func (c *call) write(o *outputStream, p []byte, ret uint32) {
	c.h.mu.Lock()
	_, closed := o.body.space()
	var err error
	if !closed {
		err = o.body.write(p)
	}
	c.h.mu.Unlock()
	if closed || err != nil {
		c.putStreamError(ret, 4, err)
		return
	}
	c.put8(ret, 0)
}

// flush has nothing to wait for: what was written is on its way as soon as there is a connection.
func flush(c *call, s []uint64) {
	o, ret := borrow[*outputStream](c, s[0]), c.ret(s[1], 4, 12)
	c.h.mu.Lock()
	_, closed := o.body.space()
	c.h.mu.Unlock()
	if closed {
		c.putStreamError(ret, 4, nil)
		return
	}
	c.put8(ret, 0)
}

// splice moves bytes from a response to a request inside the host.
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
	n, ended, err := i.available(c.h)
	if ended {
		i.failed = true
		c.putStreamError(ret, 8, err)
		return
	}
	n = int(min(uint64(n), space, want))
	var failure error
	i.take(c.h, n, func(b []byte) {
		if _, closed = o.body.space(); !closed { // the transport may have let go meanwhile
			failure = o.body.write(b)
		}
	})
	if closed || failure != nil {
		c.putStreamError(ret, 8, failure)
		return
	}
	c.put8(ret, 0)
	c.put64(ret+8, uint64(n))
}

var errorFunctions = []*function{
	{"[resource-drop]error", sig(i32), nil, drop[*ioError]},
	{"[method]error.to-debug-string", sig(i32, i32), nil, func(c *call, s []uint64) {
		e, ret := borrow[*ioError](c, s[0]), c.ret(s[1], 4, 8)
		c.putBytes(ret, []byte(e.code.String()))
	}},
}
