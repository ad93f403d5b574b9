package wasihttp

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"boxfleet/executor/outbound"
	"boxfleet/limits/netpolicy"
)

// outgoingRequest is the resource of that name. Options are nil until set.
type outgoingRequest struct {
	method    string
	scheme    *scheme
	authority *string
	path      *string
	headers   *fields
	body      *outgoingBody // once body was called
}

func (r *outgoingRequest) release(h *Host) {
	r.headers.release(h)
	if r.body != nil {
		r.body.abort(h, errRequestDropped)
	}
}

// scheme is the variant; other is only set for disc 2.
type scheme struct {
	disc  byte
	other string
}

func (s *scheme) String() string {
	switch {
	case s == nil, s.disc == 1:
		return "https"
	case s.disc == 0:
		return "http"
	}
	return s.other
}

// methods are the cases of the variant method, before other.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// requestOptions holds nanoseconds; nil is unset.
type requestOptions struct {
	connect, firstByte, betweenBytes *uint64
}

func (*requestOptions) release(*Host) {}

var requestFunctions = []*function{
	{"[resource-drop]outgoing-request", sig(i32), nil, drop[*outgoingRequest]},
	{"[constructor]outgoing-request", sig(i32), sig(i32), func(c *call, s []uint64) {
		f := own[*fields](c, s[0])
		s[0] = uint64(c.add(&outgoingRequest{method: "GET", headers: f}, 0))
	}},
	{"[method]outgoing-request.body", sig(i32, i32), nil, func(c *call, s []uint64) {
		r, ret := borrow[*outgoingRequest](c, s[0]), c.ret(s[1], 4, 8)
		if r.body != nil {
			c.put8(ret, 1)
			return
		}
		r.body = newOutgoingBody(c.h, contentLength(r.headers))
		c.put8(ret, 0)
		c.put32(ret+4, c.add(r.body, 0))
	}},
	{"[method]outgoing-request.method", sig(i32, i32), nil, func(c *call, s []uint64) {
		r, ret := borrow[*outgoingRequest](c, s[0]), c.ret(s[1], 4, 12)
		for i, m := range methods {
			if r.method == m {
				c.put8(ret, byte(i))
				return
			}
		}
		c.put8(ret, byte(len(methods)))
		c.putBytes(ret+4, []byte(r.method))
	}},
	{"[method]outgoing-request.set-method", sig(i32, i32, i32, i32), sig(i32), func(c *call, s []uint64) {
		r, disc := borrow[*outgoingRequest](c, s[0]), uint32(s[1])
		var method string
		switch {
		case disc < uint32(len(methods)):
			method = methods[disc]
		case disc == uint32(len(methods)):
			method = c.str(s[2], s[3])
		default:
			c.trap("%d is no case of method", disc)
		}
		s[0] = flag(!validToken(method))
		if s[0] == 0 {
			r.method = method
		}
	}},
	{"[method]outgoing-request.path-with-query", sig(i32, i32), nil, func(c *call, s []uint64) {
		r, ret := borrow[*outgoingRequest](c, s[0]), c.ret(s[1], 4, 12)
		c.putOptionString(ret, r.path)
	}},
	{"[method]outgoing-request.set-path-with-query", sig(i32, i32, i32, i32), sig(i32), func(c *call, s []uint64) {
		r := borrow[*outgoingRequest](c, s[0])
		path := c.optionString(s[1:])
		if path != nil {
			if _, err := netpolicy.NewTarget("http", "a", *path); err != nil {
				s[0] = flag(true)
				return
			}
		}
		r.path, s[0] = path, 0
	}},
	{"[method]outgoing-request.scheme", sig(i32, i32), nil, func(c *call, s []uint64) {
		r, ret := borrow[*outgoingRequest](c, s[0]), c.ret(s[1], 4, 16)
		if r.scheme == nil {
			c.put8(ret, 0)
			return
		}
		c.put8(ret, 1)
		c.put8(ret+4, r.scheme.disc)
		if r.scheme.disc == 2 {
			c.putBytes(ret+8, []byte(r.scheme.other))
		}
	}},
	{"[method]outgoing-request.set-scheme", sig(i32, i32, i32, i32, i32), sig(i32), func(c *call, s []uint64) {
		r := borrow[*outgoingRequest](c, s[0])
		var set *scheme
		if c.option(s[1]) {
			set = &scheme{disc: byte(s[2])}
			switch uint32(s[2]) {
			case 0, 1:
			case 2:
				if set.other = c.str(s[3], s[4]); !validScheme(set.other) {
					s[0] = flag(true)
					return
				}
			default:
				c.trap("%d is no case of scheme", uint32(s[2]))
			}
		}
		r.scheme, s[0] = set, 0
	}},
	{"[method]outgoing-request.authority", sig(i32, i32), nil, func(c *call, s []uint64) {
		r, ret := borrow[*outgoingRequest](c, s[0]), c.ret(s[1], 4, 12)
		c.putOptionString(ret, r.authority)
	}},
	{"[method]outgoing-request.set-authority", sig(i32, i32, i32, i32), sig(i32), func(c *call, s []uint64) {
		r := borrow[*outgoingRequest](c, s[0])
		authority := c.optionString(s[1:])
		if authority != nil {
			if _, err := netpolicy.NewTarget("http", *authority, "/"); err != nil {
				s[0] = flag(true)
				return
			}
		}
		r.authority, s[0] = authority, 0
	}},
	{"[method]outgoing-request.headers", sig(i32), sig(i32), func(c *call, s []uint64) {
		r := borrow[*outgoingRequest](c, s[0])
		s[0] = uint64(c.add(r.headers.view(), uint32(s[0])))
	}},

	{"[resource-drop]request-options", sig(i32), nil, drop[*requestOptions]},
	{"[constructor]request-options", nil, sig(i32), func(c *call, s []uint64) {
		s[0] = uint64(c.add(&requestOptions{}, 0))
	}},
	getTimeout("connect-timeout", func(o *requestOptions) **uint64 { return &o.connect }),
	setTimeout("connect-timeout", func(o *requestOptions) **uint64 { return &o.connect }),
	getTimeout("first-byte-timeout", func(o *requestOptions) **uint64 { return &o.firstByte }),
	setTimeout("first-byte-timeout", func(o *requestOptions) **uint64 { return &o.firstByte }),
	getTimeout("between-bytes-timeout", func(o *requestOptions) **uint64 { return &o.betweenBytes }),
	setTimeout("between-bytes-timeout", func(o *requestOptions) **uint64 { return &o.betweenBytes }),
}

func getTimeout(name string, of func(*requestOptions) **uint64) *function {
	return &function{"[method]request-options." + name, sig(i32, i32), nil, func(c *call, s []uint64) {
		v, ret := *of(borrow[*requestOptions](c, s[0])), c.ret(s[1], 8, 16)
		if v == nil {
			c.put8(ret, 0)
			return
		}
		c.put8(ret, 1)
		c.put64(ret+8, *v)
	}}
}

func setTimeout(name string, of func(*requestOptions) **uint64) *function {
	return &function{"[method]request-options.set-" + name, sig(i32, i32, i64), sig(i32), func(c *call, s []uint64) {
		field := of(borrow[*requestOptions](c, s[0]))
		*field = nil
		if c.option(s[1]) {
			v := s[2]
			*field = &v
		}
		s[0] = 0
	}}
}

// duration turns wasi nanoseconds into a timeout for the client, where zero means its own. Zero itself becomes the
// shortest there is.
func duration(ns *uint64) time.Duration {
	if ns == nil {
		return 0
	}
	return time.Duration(max(1, min(*ns, uint64(time.Hour))))
}

// flag is the flat form of a bool, and of a result without payloads where true is the error.
func flag(is bool) uint64 {
	if is {
		return 1
	}
	return 0
}

func (c *call) optionString(s []uint64) *string {
	if !c.option(s[0]) {
		return nil
	}
	v := c.str(s[1], s[2])
	return &v
}

func (c *call) putOptionString(at uint32, v *string) {
	if v == nil {
		c.put8(at, 0)
		return
	}
	c.put8(at, 1)
	c.putBytes(at+4, []byte(*v))
}

// validScheme is RFC 3986, section 3.1. Only http and https lead anywhere.
func validScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		b := s[i] | 0x20
		if letter := 'a' <= b && b <= 'z'; !letter && (i == 0 || !(s[i] >= '0' && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// contentLength is what the guest's own field says; -1 if it says nothing, -2 if it says nonsense.
func contentLength(f *fields) int64 {
	values := f.get("content-length")
	if len(values) == 0 {
		return -1
	}
	n, err := strconv.ParseUint(string(values[0]), 10, 62)
	for _, v := range values[1:] {
		if string(v) != string(values[0]) {
			return -2
		}
	}
	if err != nil {
		return -2
	}
	return int64(n)
}

var handlerFunctions = []*function{
	// handle takes the request, and the options if any, whatever comes of it.
	{"handle", sig(i32, i32, i32, i32), nil, func(c *call, s []uint64) {
		ret := c.ret(s[3], 8, 40)
		options := &requestOptions{}
		borrow[*outgoingRequest](c, s[0])
		if c.option(s[1]) {
			options = own[*requestOptions](c, s[2])
		}
		c.detachChildren(s[0])
		r := own[*outgoingRequest](c, s[0])
		future, err := c.send(r, options)
		if err != nil {
			r.release(c.h)
			c.put8(ret, 1)
			c.putErrorCode(ret+8, codeOf(err))
			return
		}
		c.put8(ret, 0)
		c.put32(ret+8, c.add(future, 0))
	}},
}

// detachChildren lets views of a request's headers outlive it: handle is how their ownership ends, not a drop.
func (c *call) detachChildren(handle uint64) {
	request := c.slot(uint32(handle))
	if request.kids == 0 {
		return
	}
	for _, s := range c.h.table.slots {
		if s != nil && s.parent == request {
			s.parent = nil
			request.kids--
		}
	}
}

// send starts the request. Nothing has been sent when it returns an error.
func (c *call) send(r *outgoingRequest, options *requestOptions) (*futureResponse, error) {
	h := c.h
	var authority, path string
	if r.authority != nil {
		authority = *r.authority
	}
	if r.path != nil {
		path = *r.path
	}
	target, err := netpolicy.NewTarget(r.scheme.String(), authority, path)
	if err != nil {
		return nil, err
	}
	if h.client == nil {
		h.client = outbound.New(outbound.Config{Policy: h.cfg.Policy, Limits: h.cfg.Limits, RootCAs: h.cfg.RootCAs, Resolver: h.cfg.Resolver})
	}
	client := h.client
	if err := client.Check(target); err != nil {
		return nil, err
	}
	if r.headers.size > int(client.Limits().HeaderBytes) {
		return nil, &outbound.LimitError{Limit: limitRequestHeader, Max: client.Limits().HeaderBytes}
	}
	request := outbound.Request{
		Method: r.method, Target: target, Header: r.headers.header(),
		Connect: duration(options.connect), FirstByte: duration(options.firstByte), BetweenBytes: duration(options.betweenBytes),
	}
	length := contentLength(r.headers)
	switch {
	case length == -2, length > 0 && r.body == nil:
		return nil, &outbound.RequestError{Part: "body", Problem: "is not as long as content-length says"}
	case r.body != nil:
		request.Body, request.ContentLength = r.body, r.body.send(length)
		if request.ContentLength == 0 {
			r.body.Close() // nothing for the transport to see
		}
	}
	// The body belongs to its own handle now; dropping the request does not touch it.
	body := r.body
	r.body = nil
	r.release(h)

	h.startNetwork()
	ctx, cancel := context.WithCancelCause(h.base)
	future := &futureResponse{cancel: cancel}
	h.wg.Add(1)
	go func() {
		defer h.wg.Done()
		resp, err := client.Do(ctx, request)
		if err != nil && body != nil {
			body.Close() // the transport may never have seen it
		}
		future.resolve(h, resp, err)
	}()
	return future, nil
}

// futureResponse is future-incoming-response. Fields below mu's line are guarded by Host.mu.
type futureResponse struct {
	cancel context.CancelCauseFunc
	taken  bool // only the guest's thread

	done, dropped bool
	resp          *http.Response
	err           error
}

func (f *futureResponse) resolve(h *Host, resp *http.Response, err error) {
	h.mu.Lock()
	dropped := f.dropped || h.closed
	f.done, f.resp, f.err = true, resp, err
	if dropped {
		f.resp = nil
	}
	h.signal()
	h.mu.Unlock()
	if dropped && resp != nil {
		resp.Body.Close()
	}
}

// release ends the request, unless its response was taken.
func (f *futureResponse) release(h *Host) {
	if f.taken {
		return
	}
	h.mu.Lock()
	f.dropped = true
	resp := f.resp
	f.resp = nil
	h.mu.Unlock()
	f.cancel(context.Canceled)
	if resp != nil {
		resp.Body.Close()
	}
}
