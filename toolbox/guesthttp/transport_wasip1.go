package guesthttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"time"
	"unsafe"
)

// Transport is an http.RoundTripper over wasi:http. The zero value is ready and safe for use by several goroutines.
type Transport struct{}

// methods are the cases of wasi:http/types.method, before other.
var methods = map[string]uint32{
	"": 0, "GET": 0, "HEAD": 1, "POST": 2, "PUT": 3, "DELETE": 4, "CONNECT": 5, "OPTIONS": 6, "TRACE": 7, "PATCH": 8,
}

const otherMethod = 9

// hostsOwn are the fields that the host writes itself and refuses from guests.
var hostsOwn = map[string]bool{
	"Host": true, "Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "Content-Length": true,
}

// RoundTrip sends the request and returns with the response's header. An error of the host is an *Error.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	request, err := outgoing(req)
	if err != nil {
		return nil, err
	}
	var r ret
	var body uint32
	if req.Body != nil && req.Body != http.NoBody {
		requestBody(request, r.ptr())
		body = r.u32(4)
	}
	handle(request, 0, 0, r.ptr())
	if r.u8(0) != 0 {
		if body != 0 {
			outBodyDrop(body)
		}
		return nil, newError(r.u8(8))
	}
	future := r.u32(8)
	defer futureDrop(future)
	if body != 0 {
		if err := upload(ctx, body, req.Body); err != nil {
			return nil, err
		}
	}
	if err := wait(ctx, futureSubscribe(future)); err != nil {
		return nil, err
	}
	futureGet(future, r.ptr())
	if r.u8(16) != 0 {
		return nil, newError(r.u8(24))
	}
	return incoming(req, r.u32(24))
}

// outgoing makes the resource for a request, without its body.
func outgoing(req *http.Request) (uint32, error) {
	headers := fieldsNew()
	add := func(name, value string) error {
		var r ret
		np, nl := text(name)
		vp, vl := text(value)
		fieldsAppend(headers, np, nl, vp, vl, r.ptr())
		if r.u8(0) != 0 {
			return fmt.Errorf("header %q is refused by the host: %s", name, [...]string{"invalid syntax", "forbidden", "immutable"}[r.u8(1)%3])
		}
		return nil
	}
	var err error
	for name, values := range req.Header {
		for _, value := range values {
			if !hostsOwn[name] && err == nil {
				err = add(name, value)
			}
		}
	}
	if req.ContentLength > 0 && err == nil {
		err = add("Content-Length", strconv.FormatInt(req.ContentLength, 10))
	}
	if err != nil {
		fieldsDrop(headers)
		return 0, err
	}
	request := requestNew(headers)
	method, known := methods[req.Method]
	if !known {
		method = otherMethod
	}
	mp, ml := text(req.Method)
	scheme := uint32(2)
	switch req.URL.Scheme {
	case "http":
		scheme = 0
	case "https":
		scheme = 1
	}
	sp, sl := text(req.URL.Scheme)
	authority := req.URL.Host
	ap, al := text(authority)
	path := req.URL.RequestURI()
	pp, pl := text(path)
	switch {
	case requestSetMethod(request, method, mp, ml) != 0:
		err = fmt.Errorf("method %q is refused by the host", req.Method)
	case requestSetScheme(request, 1, scheme, sp, sl) != 0:
		err = fmt.Errorf("scheme %q is refused by the host", req.URL.Scheme)
	case requestSetAuthority(request, 1, ap, al) != 0:
		err = fmt.Errorf("authority %q is refused by the host", authority)
	case requestSetPath(request, 1, pp, pl) != 0:
		err = fmt.Errorf("path %q is refused by the host", path)
	}
	if err != nil {
		requestDrop(request)
		return 0, err
	}
	return request, nil
}

// upload sends the body and finishes it. A host that takes no more (its answer may be there already) is no error here:
// the response tells.
func upload(ctx context.Context, body uint32, from io.Reader) error {
	var r ret
	outBodyWrite(body, r.ptr())
	stream := r.u32(4)
	err := copyBody(ctx, stream, from)
	outputDrop(stream)
	if err != nil {
		outBodyDrop(body)
		if errors.Is(err, errHostTakesNoMore) {
			return nil
		}
		return err
	}
	outBodyFinish(body, 0, 0, r.ptr())
	return nil
}

var errHostTakesNoMore = errors.New("the host takes no more")

func copyBody(ctx context.Context, stream uint32, from io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, readErr := from.Read(buf)
		for p := buf[:n]; len(p) > 0; {
			var r ret
			outputCheckWrite(stream, r.ptr())
			if r.u8(0) != 0 {
				return errHostTakesNoMore
			}
			room := int(min(r[1], uint64(len(p))))
			if room == 0 {
				if err := wait(ctx, outputSubscribe(stream)); err != nil {
					return err
				}
				continue
			}
			outputWrite(stream, unsafe.Pointer(&p[0]), uint32(room), r.ptr())
			if r.u8(0) != 0 {
				streamError(&r, 4)
				return errHostTakesNoMore
			}
			p = p[room:]
		}
		if errors.Is(readErr, io.EOF) {
			return nil
		}
		if readErr != nil {
			return readErr
		}
	}
}

// incoming makes the http.Response for a resource, which its body drops.
func incoming(req *http.Request, response uint32) (*http.Response, error) {
	status := int(responseStatus(response))
	headers := responseHeaders(response)
	header := entries(headers)
	fieldsDrop(headers)
	var r ret
	responseConsume(response, r.ptr())
	inBody := r.u32(4)
	inBodyStream(inBody, r.ptr())
	resp := &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Request: req, ContentLength: -1,
	}
	if n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		resp.ContentLength = n
	}
	resp.Body = &body{ctx: req.Context(), resp: resp, response: response, body: inBody, stream: r.u32(4)}
	return resp, nil
}

func entries(fields uint32) http.Header {
	var r ret
	offerList()
	fieldsEntries(fields, r.ptr())
	header := http.Header{}
	for list := bytesAt(r.u32(0), r.u32(4)*16); len(list) > 0; list = list[16:] {
		word := func(at int) uint32 { return *(*uint32)(unsafe.Pointer(&list[at])) }
		header.Add(string(bytesAt(word(0), word(4))), string(bytesAt(word(8), word(12))))
	}
	offer(nil)
	return header
}

// streamError reads a stream-error at the given place. It is io.EOF for closed.
func streamError(r *ret, at uintptr) error {
	if r.u8(at) != 0 {
		return io.EOF
	}
	handle := r.u32(at + 4)
	defer errorDrop(handle)
	var code ret
	httpErrorCode(handle, code.ptr())
	if code.u8(0) == 0 {
		return newError(255)
	}
	return newError(code.u8(8))
}

// body is a response's body.
type body struct {
	ctx                    context.Context
	resp                   *http.Response
	response, body, stream uint32
	err                    error // how it ended
	closed                 bool
}

// Read lets the host write straight into p.
func (b *body) Read(p []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	for {
		var r ret
		offer(p)
		inputRead(b.stream, uint64(len(p)), r.ptr())
		if r.u8(0) != 0 {
			b.err = streamError(&r, 4)
			if errors.Is(b.err, io.EOF) {
				b.readTrailers()
			}
			return 0, b.err
		}
		got := r.list(4)
		if len(got) > 0 {
			if &got[0] != &p[0] {
				copy(p, got)
			}
			offer(nil)
			return len(got), nil
		}
		if err := wait(b.ctx, inputSubscribe(b.stream)); err != nil {
			b.err = err
			return 0, err
		}
	}
}

// readTrailers fills in the response's trailers at the end of its body, where net/http has them too.
func (b *body) readTrailers() {
	inputDrop(b.stream)
	future := inBodyFinish(b.body)
	b.stream, b.body = 0, 0
	defer trailersDrop(future)
	if wait(b.ctx, trailersSubscribe(future)) != nil {
		return
	}
	var r ret
	trailersGet(future, r.ptr())
	if r.u8(0) == 1 && r.u8(8) == 0 && r.u8(16) == 0 && r.u8(24) == 1 {
		fields := r.u32(28)
		b.resp.Trailer = entries(fields)
		fieldsDrop(fields)
	}
}

// Close ends the response; the host stops reading from the server.
func (b *body) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.stream != 0 {
		inputDrop(b.stream)
		inBodyDrop(b.body)
	}
	responseDrop(b.response)
	return nil
}

// wait blocks until the pollable is ready, which it drops, or ctx is done. Other goroutines run meanwhile: the host waits
// in small pieces, between which they have their turn.
func wait(ctx context.Context, pollable uint32) error {
	defer pollableDrop(pollable)
	const longest = 50 * time.Millisecond
	for piece := time.Millisecond; ; piece = min(2*piece, longest) {
		runtime.Gosched()
		if pollableReady(pollable) != 0 {
			return nil
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if deadline, ok := ctx.Deadline(); ok {
			piece = max(0, min(piece, time.Until(deadline)))
		}
		timer := subscribeDuration(uint64(piece))
		list := &[2]uint32{pollable, timer}
		var r ret
		offer(make([]byte, 16))
		poll(unsafe.Pointer(list), 2, r.ptr())
		offer(nil)
		pollableDrop(timer)
	}
}
