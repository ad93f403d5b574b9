package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"boxfleet/limits/netpolicy"
)

// maxAddresses is how many addresses of one name are tried.
const maxAddresses = 8

type targetKey struct{}
type connectTimeoutKey struct{}

// dial resolves the target of the request in ctx once, holds every address against the policy, and connects to one
// that passed: by address, so that no second lookup can give another answer.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	target, ok := ctx.Value(targetKey{}).(netpolicy.Target)
	if !ok {
		return nil, errors.New("dial without a target")
	}
	timeout, _ := ctx.Value(connectTimeoutKey{}).(time.Duration)
	// The transport lets a dial go on after its request ended. Not beyond the job.
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, &TimeoutError{PhaseConnect, timeout})
	defer cancel()
	defer context.AfterFunc(c.base, cancel)()

	addrs, err := c.resolve(ctx, target)
	if err != nil {
		return nil, connectErr(ctx, err)
	}
	dialer := net.Dialer{ControlContext: c.control(target)}
	var errs []error
	for i, addr := range addrs {
		conn, err := c.dialAddr(ctx, &dialer, netip.AddrPortFrom(addr, target.Port), len(addrs)-i)
		if err == nil {
			return c.track(conn), nil
		}
		errs = append(errs, err)
	}
	return nil, connectErr(ctx, errors.Join(errs...))
}

// dialAddr gives each address its share of what is left of the timeout, as one that never answers must not use it up.
func (c *Client) dialAddr(ctx context.Context, dialer *net.Dialer, addr netip.AddrPort, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	if c.testDial != nil {
		return c.testDial(ctx, dialer, addr)
	}
	return dialer.DialContext(ctx, "tcp", addr.String())
}

func connectErr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// resolve gives the addresses of the target that the policy lets pass, and an error if there are none.
func (c *Client) resolve(ctx context.Context, target netpolicy.Target) ([]netip.Addr, error) {
	var found []netip.Addr
	switch {
	case target.Addr.IsValid():
		found = []netip.Addr{target.Addr}
	case target.Name == "localhost" || strings.HasSuffix(target.Name, ".localhost"):
		// Never a question for a name server (RFC 6761, section 6.3).
		found = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	default:
		// The trailing dot keeps search domains of the worker's network out of it.
		var err error
		if found, err = c.resolver.LookupNetIP(ctx, "ip", target.Name+"."); err != nil {
			return nil, err
		}
	}
	var passed []netip.Addr
	var denied *DeniedError
	for _, addr := range found {
		if d := c.policy.CheckDial(target, addr); !d.Allowed {
			if denied == nil {
				denied = &DeniedError{target.Origin(), addr.String(), d.Rule, d.Reason}
			}
			continue
		}
		passed = append(passed, addr.Unmap())
	}
	if len(passed) == 0 && denied != nil {
		return nil, denied
	}
	if len(passed) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: target.Name, IsNotFound: true}
	}
	return passed[:min(len(passed), maxAddresses)], nil
}

// control asks the policy on the very address that the socket is about to connect to.
func (c *Client) control(target netpolicy.Target) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		addr, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if d := c.policy.CheckDial(target, addr.Addr()); !d.Allowed {
			return &DeniedError{target.Origin(), addr.Addr().String(), d.Rule, d.Reason}
		}
		return nil
	}
}

// conn counts what passes on the wire and ends at the job's amounts.
type conn struct {
	net.Conn
	client *Client
	once   sync.Once
}

func (c *Client) track(inner net.Conn) net.Conn {
	tracked := &conn{Conn: inner, client: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		inner.Close()
	} else {
		c.conns[tracked] = struct{}{}
	}
	return tracked
}

func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return c.Conn.Read(p)
	}
	room, err := c.client.room(&c.client.down, c.client.limits.BytesDown, LimitBytesDown)
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), room)])
	c.client.down.Add(int64(n))
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	room, err := c.client.room(&c.client.up, c.client.limits.BytesUp, LimitBytesUp)
	if err == nil && room < int64(len(p)) {
		err = c.client.hitLimit(LimitBytesUp, c.client.limits.BytesUp)
	}
	if err != nil {
		return 0, err
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.client.limits.BetweenBytes)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.client.up.Add(int64(n))
	return n, err
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.client.mu.Lock()
		delete(c.client.conns, c)
		c.client.mu.Unlock()
	})
	return c.Conn.Close()
}
