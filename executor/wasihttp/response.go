package wasihttp

import (
	"context"
	"net/http"
)

// incomingResponse is the resource of that name.
type incomingResponse struct {
	resp     *http.Response
	headers  *fields
	cancel   context.CancelCauseFunc
	consumed bool
}

func (r *incomingResponse) release(h *Host) {
	r.headers.release(h)
	if !r.consumed {
		r.cancel(context.Canceled)
		r.resp.Body.Close()
	}
}

var responseFunctions = []*function{
	{"[resource-drop]future-incoming-response", sig(i32), nil, drop[*futureResponse]},
	{"[method]future-incoming-response.subscribe", sig(i32), sig(i32), func(c *call, s []uint64) {
		f := borrow[*futureResponse](c, s[0])
		s[0] = uint64(c.add(&pollable{ready: func() bool { return f.done }}, uint32(s[0])))
	}},
	{"[method]future-incoming-response.get", sig(i32, i32), nil, func(c *call, s []uint64) {
		f, ret := borrow[*futureResponse](c, s[0]), c.ret(s[1], 8, 56)
		c.h.mu.Lock()
		done, resp, err := f.done, f.resp, f.err
		c.h.mu.Unlock()
		if !done {
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
		c.put32(ret+24, c.add(&incomingResponse{resp: resp, headers: c.fromHeader(resp.Header), cancel: f.cancel}, 0))
	}},

	{"[resource-drop]incoming-response", sig(i32), nil, drop[*incomingResponse]},
	{"[method]incoming-response.status", sig(i32), sig(i32), func(c *call, s []uint64) {
		s[0] = uint64(borrow[*incomingResponse](c, s[0]).resp.StatusCode)
	}},
	{"[method]incoming-response.headers", sig(i32), sig(i32), func(c *call, s []uint64) {
		r := borrow[*incomingResponse](c, s[0])
		s[0] = uint64(c.add(r.headers.view(), uint32(s[0])))
	}},
	{"[method]incoming-response.consume", sig(i32, i32), nil, func(c *call, s []uint64) {
		r, ret := borrow[*incomingResponse](c, s[0]), c.ret(s[1], 4, 8)
		if r.consumed {
			c.put8(ret, 1)
			return
		}
		r.consumed = true
		c.put8(ret, 0)
		c.put32(ret+4, c.add(&incomingBody{newBodyReader(c.h, r.resp, r.cancel), false}, 0))
	}},
}

// serverFunctions are the half of wasi:http/types for guests that serve requests. Nothing here makes such a guest, so
// no handle of these types exists and using one is a trap. They are there because bindings generators may import the
// whole interface.
var serverFunctions = []*function{
	absent("[resource-drop]incoming-request", 1),
	absent("[method]incoming-request.method", 2),
	absent("[method]incoming-request.path-with-query", 2),
	absent("[method]incoming-request.scheme", 2),
	absent("[method]incoming-request.authority", 2),
	absent("[method]incoming-request.headers", 1, i32),
	absent("[method]incoming-request.consume", 2),
	absent("[resource-drop]outgoing-response", 1),
	absent("[constructor]outgoing-response", 1, i32),
	absent("[method]outgoing-response.status-code", 1, i32),
	absent("[method]outgoing-response.set-status-code", 2, i32),
	absent("[method]outgoing-response.headers", 1, i32),
	absent("[method]outgoing-response.body", 2),
	absent("[resource-drop]response-outparam", 1),
	// result<outgoing-response, error-code> in flat form has one i64, of HTTP-request-body-size.
	{"[static]response-outparam.set", sig(i32, i32, i32, i32, i64, i32, i32, i32, i32), nil, noServer},
}

func absent(name string, params int, results ...byte) *function {
	return absentFor(name, noServer, params, results...)
}

// absentFor makes a function that takes only handles of a type that nothing has.
func absentFor(name string, run func(c *call, s []uint64), params int, results ...byte) *function {
	f := &function{name: name, results: results, run: run}
	for range params {
		f.params = append(f.params, i32)
	}
	return f
}

func noServer(c *call, _ []uint64) { c.trap("this host serves no requests, it only makes them") }
