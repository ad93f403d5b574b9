package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"boxfleet/limits/netpolicy"
)

// maxRedirectMemory bounds how many redirects are remembered. Beyond it new ones are not, and only the number of
// requests ends the chain.
const maxRedirectMemory = 256

// Request is one request as the guest made it. The target is canonical and is what is connected to, whatever the
// guest wrote.
type Request struct {
	Method string
	Target netpolicy.Target
	Header http.Header // taken over; hop-by-hop fields and Host are an error
	// Body is sent until it ends; nil for none. If it has a Close method, that is called when the request is done.
	Body          io.Reader
	ContentLength int64 // of Body; -1 for unknown

	// Timeouts shorten those of Limits; zero leaves them.
	Connect, FirstByte, BetweenBytes time.Duration
}

// hopByHop are the fields that frame or route a message and so belong to the host (RFC 9110, section 7.6.1). Letting a
// guest write them is letting it write a second request into the first.
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Host": true, "Http2-Settings": true, "Expect": true,
}

// HopByHop says whether a field is the host's own business. The case of name does not matter.
func HopByHop(name string) bool { return hopByHop[http.CanonicalHeaderKey(name)] }

// Do sends one request and returns with the response's header section. It ends with ctx. The caller closes the body,
// which goes on obeying ctx, the limits and the policy. Redirects are returned, not followed.
func (c *Client) Do(ctx context.Context, r Request) (*http.Response, error) {
	target := r.Target
	if err := c.Check(target); err != nil {
		return nil, err
	}
	if err := c.checkMethod(r.Method, target); err != nil {
		return nil, err
	}
	hops, err := c.admit(target)
	if err != nil {
		return nil, c.explain(ctx, target, err)
	}
	x := &exchange{client: c, target: target, idle: shorter(r.BetweenBytes, c.limits.BetweenBytes)}
	resp, err := c.send(ctx, r, x)
	if err != nil {
		err = c.explain(x.ctx, target, err) // before end, which cancels x.ctx
		x.end()
		return nil, err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body.Close()
		x.end()
		return nil, ErrProtocol
	}
	c.noteRedirect(target, resp, hops)
	x.body = resp.Body
	resp.Body = x
	return resp, nil
}

// Check asks the policy about a target, as Do will, without sending anything. A refusal is a *DeniedError and is listed
// with the denials.
func (c *Client) Check(target netpolicy.Target) error {
	if d := c.policy.CheckURL(target); !d.Allowed {
		c.denials.add(target.Origin(), d.Rule, d.Reason)
		return &DeniedError{Target: target.Origin(), Rule: d.Rule, Reason: d.Reason}
	}
	return nil
}

// safeMethods are those of RFC 9110, section 9.2.1, that a host sends at all. Methods are case-sensitive: "get" is
// another one, and nobody knows what it does.
var safeMethods = map[string]bool{"GET": true, "HEAD": true, "OPTIONS": true}

// checkMethod refuses what changes things when the job may only read.
func (c *Client) checkMethod(method string, target netpolicy.Target) error {
	rule := c.limits.SafeMethods
	if rule == "" || safeMethods[method] {
		return nil
	}
	if len(method) > 32 {
		method = method[:32] + "..."
	}
	reason := fmt.Sprintf("the tool may read from the network only, by GET, HEAD and OPTIONS; %q may change things", method)
	c.denials.add(target.Origin(), rule, reason)
	return &DeniedError{Target: target.Origin(), Rule: rule, Reason: reason}
}

// admit counts the request. hops is how many redirects led to it.
func (c *Client) admit(target netpolicy.Target) (hops int, err error) {
	c.init()
	if limit := c.spent.Load(); limit != nil {
		return 0, limit
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, ErrClosed
	}
	key := target.Origin() + target.Path
	if hops = c.redirects[key]; hops > c.limits.Redirects {
		return 0, &LimitError{LimitRedirects, int64(c.limits.Redirects)}
	}
	if c.requests.Load() >= c.limits.Requests {
		return 0, &LimitError{LimitRequests, c.limits.Requests}
	}
	if c.inFlight.Load() >= int64(c.limits.Concurrent) {
		return 0, &LimitError{LimitConcurrent, int64(c.limits.Concurrent)}
	}
	delete(c.redirects, key)
	c.requests.Add(1)
	c.inFlight.Add(1)
	return hops, nil
}

func (c *Client) noteRedirect(from netpolicy.Target, resp *http.Response, hops int) {
	location := resp.Header.Get("Location")
	if resp.StatusCode < 300 || resp.StatusCode > 399 || location == "" {
		return
	}
	base, err := url.Parse(from.Origin() + from.Path)
	if err != nil {
		return
	}
	next, err := base.Parse(location)
	if err != nil {
		return
	}
	to, err := netpolicy.FromURL(next)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.redirects == nil {
		c.redirects = make(map[string]int)
	}
	if len(c.redirects) < maxRedirectMemory {
		c.redirects[to.Origin()+to.Path] = hops + 1
	}
}

func (c *Client) send(ctx context.Context, r Request, x *exchange) (*http.Response, error) {
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	x.unhook = context.AfterFunc(c.base, func() { x.cancel(ErrClosed) })
	req, err := httpRequest(x.ctx, r)
	if err != nil {
		return nil, err
	}
	firstByte := shorter(r.FirstByte, c.limits.FirstByte)
	var timer *time.Timer
	var mu sync.Mutex
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		mu.Lock()
		defer mu.Unlock()
		if timer == nil {
			timer = time.AfterFunc(firstByte, func() { x.cancel(&TimeoutError{PhaseFirstByte, firstByte}) })
		}
	}}
	reqCtx := httptrace.WithClientTrace(x.ctx, trace)
	reqCtx = context.WithValue(reqCtx, targetKey{}, r.Target)
	reqCtx = context.WithValue(reqCtx, connectTimeoutKey{}, shorter(r.Connect, c.limits.Connect))
	resp, err := c.transport.RoundTrip(req.WithContext(reqCtx))
	mu.Lock()
	defer mu.Unlock()
	if timer == nil {
		timer = time.NewTimer(0) // the answer came before the request was out: no timer any more
	}
	timer.Stop()
	return resp, err
}

func httpRequest(ctx context.Context, r Request) (*http.Request, error) {
	u, err := url.Parse(r.Target.Scheme + "://" + r.Target.HostPort() + r.Target.Path)
	if err != nil {
		return nil, &RequestError{"URL", "cannot be sent"}
	}
	if r.Method == http.MethodConnect || !validToken(r.Method) {
		return nil, &RequestError{"method", "is CONNECT, which would open a tunnel, or no token"}
	}
	header := r.Header
	if header == nil {
		header = http.Header{}
	}
	for name, values := range header {
		if HopByHop(name) {
			return nil, &RequestError{"header", name + " is the host's own"}
		}
		if !validToken(name) {
			return nil, &RequestError{"header", "has a name that is no token"}
		}
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x00") {
				return nil, &RequestError{"header", name + " has a line break or NUL"}
			}
		}
	}
	delete(header, "Content-Length") // ContentLength says it
	if _, has := header["User-Agent"]; !has {
		header["User-Agent"] = []string{""} // an empty value keeps Go's own away
	}
	req := &http.Request{
		Method: r.Method, URL: u, Host: r.Target.Authority(), Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if r.Body != nil && r.ContentLength != 0 {
		body, ok := r.Body.(io.ReadCloser)
		if !ok {
			body = io.NopCloser(r.Body)
		}
		req.Body, req.ContentLength = body, r.ContentLength
	}
	return req.WithContext(ctx), nil
}

// validToken is RFC 9110, section 5.6.2.
func validToken(s string) bool {
	if s == "" || len(s) > 1024 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return true
}

func shorter(a, b time.Duration) time.Duration {
	if a > 0 && a < b {
		return a
	}
	return b
}

// exchange is one request and its response's body.
type exchange struct {
	client *Client
	target netpolicy.Target
	idle   time.Duration
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	unhook func() bool
	once   sync.Once
}

// Read gives up when nothing came for the between-bytes timeout.
func (x *exchange) Read(p []byte) (int, error) {
	timer := time.AfterFunc(x.idle, func() { x.cancel(&TimeoutError{PhaseBetweenBytes, x.idle}) })
	n, err := x.body.Read(p)
	timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = x.client.explain(x.ctx, x.target, err)
	}
	return n, err
}

func (x *exchange) Close() error {
	// Cancelling first keeps Close from draining what the server goes on sending.
	x.end()
	return x.body.Close()
}

func (x *exchange) end() {
	x.once.Do(func() {
		x.unhook()
		x.cancel(context.Canceled)
		x.client.inFlight.Add(-1)
	})
}
