package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"boxfleet/limits/netpolicy"
)

// Config makes a Client. The zero value denies everything.
type Config struct {
	Policy *netpolicy.Policy
	Limits Limits
	// RootCAs verify servers; nil means the system's. There is no way to skip verification.
	RootCAs *x509.CertPool
	// Resolver looks names up; nil means Go's own resolver with the system's configuration.
	Resolver *net.Resolver
}

// Client serves one job. It is safe for concurrent use. Close it.
type Client struct {
	policy   *netpolicy.Policy
	limits   Limits
	rootCAs  *x509.CertPool
	resolver *net.Resolver
	denials  denialLog

	start     sync.Once // makes the fields down to transport, at the first request that passes the policy
	base      context.Context
	stop      context.CancelCauseFunc
	transport *http.Transport

	requests, inFlight, up, down atomic.Int64
	spent                        atomic.Pointer[LimitError] // the first amount of bytes that ran out

	mu        sync.Mutex
	closed    bool
	conns     map[*conn]struct{}
	redirects map[string]int // where a redirect pointed -> hops so far

	// testDial stands in for the socket in this package's tests, below all checks but the last.
	testDial func(context.Context, *net.Dialer, netip.AddrPort) (net.Conn, error)
}

// Stats are what a job used.
type Stats struct {
	Requests  int64 // that passed the policy
	BytesUp   int64 // on the wire
	BytesDown int64
}

// New costs next to nothing: no goroutine and no transport until a request passes the policy.
func New(cfg Config) *Client {
	c := &Client{policy: cfg.Policy, limits: cfg.Limits.withDefaults(), rootCAs: cfg.RootCAs, resolver: cfg.Resolver}
	if c.resolver == nil {
		c.resolver = &net.Resolver{PreferGo: true}
	}
	return c
}

// Limits gives the limits in force.
func (c *Client) Limits() Limits { return c.limits }

func (c *Client) init() {
	c.start.Do(func() {
		c.base, c.stop = context.WithCancelCause(context.Background())
		var protocols http.Protocols
		protocols.SetHTTP1(true)
		c.transport = &http.Transport{
			Proxy:               nil,
			DialContext:         c.dial,
			TLSClientConfig:     &tls.Config{RootCAs: c.rootCAs, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(8)},
			TLSHandshakeTimeout: c.limits.Connect,
			DisableCompression:  true,
			// One connection per request: what was checked for this request is what it uses, a server cannot slip in
			// a response before it is asked (which net/http would also log), and nothing idles after the job. TLS
			// sessions are resumed, within the job.
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: c.limits.HeaderBytes,
			Protocols:              &protocols,
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns = make(map[*conn]struct{})
		if c.closed {
			c.stop(ErrClosed)
		}
	})
}

// Close ends every request and closes every connection. Bodies that are still read give an error.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	conns := make([]*conn, 0, len(c.conns))
	for conn := range c.conns {
		conns = append(conns, conn)
	}
	started := c.conns != nil
	c.mu.Unlock()
	if !started {
		return
	}
	c.stop(ErrClosed)
	for _, conn := range conns {
		conn.Close()
	}
	c.transport.CloseIdleConnections()
}

// Denials lists what was refused, at most 64 different ones, in the order of their first time.
func (c *Client) Denials() []Denial { return c.denials.snapshot() }

// Stats may be called at any time.
func (c *Client) Stats() Stats {
	return Stats{Requests: c.requests.Load(), BytesUp: c.up.Load(), BytesDown: c.down.Load()}
}

// room gives how many bytes may still pass in one direction.
func (c *Client) room(used *atomic.Int64, most int64, name string) (int64, error) {
	each := most - used.Load()
	both := c.limits.Bytes - c.up.Load() - c.down.Load()
	switch {
	case both <= 0:
		return 0, c.hitLimit(LimitBytes, c.limits.Bytes)
	case each <= 0:
		return 0, c.hitLimit(name, most)
	}
	return min(each, both), nil
}

func (c *Client) hitLimit(name string, most int64) error {
	err := &LimitError{name, most}
	c.spent.CompareAndSwap(nil, err)
	return err
}

// explain finds the error behind what the transport says: the job's amounts and the cause of a cancelled context say
// more than "connection broken".
func (c *Client) explain(ctx context.Context, target netpolicy.Target, err error) error {
	var denied *DeniedError
	var limit *LimitError
	switch {
	case errors.As(err, &denied):
	case errors.As(err, &limit):
	case c.spent.Load() != nil:
		limit = c.spent.Load()
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case c.base != nil && c.base.Err() != nil:
		return context.Cause(c.base)
	case strings.Contains(err.Error(), "server response headers exceeded"):
		// net/http has no type for it.
		limit = &LimitError{LimitHeader, c.limits.HeaderBytes}
	}
	switch {
	case denied != nil:
		c.denials.add(denied.Target, denied.Rule, denied.Reason)
		return denied
	case limit != nil:
		c.denials.add(target.Origin(), limit.Limit, limit.Error())
		return limit
	}
	return err
}
