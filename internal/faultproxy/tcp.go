package faultproxy

import (
	"io"
	"net"
	"sync"
	"time"
)

// TCP forwards connections to one address and can cut, refuse or freeze them.
type TCP struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	refuse  bool
	frozen  chan struct{} // closed when traffic may move
	latency time.Duration
	conns   map[net.Conn]struct{}
}

// StartTCP forwards to target (host:port) from a free port.
func StartTCP(target string) (*TCP, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	open := make(chan struct{})
	close(open)
	p := &TCP{target: target, listener: l, frozen: open, conns: map[net.Conn]struct{}{}}
	p.wg.Add(1)
	go p.accept()
	return p, nil
}

// Addr is where the proxy listens.
func (p *TCP) Addr() string { return p.listener.Addr().String() }

// Cut resets every connection there is. New ones work.
func (p *TCP) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		reset(c)
	}
}

// Refuse resets connections as soon as they are made, or stops doing so. Those
// there are stay: see Cut.
func (p *TCP) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Freeze holds all bytes back in both directions without closing anything, as a
// lost network does, until Thaw.
func (p *TCP) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.frozen:
		p.frozen = make(chan struct{})
	default:
	}
}

// Thaw ends Freeze.
func (p *TCP) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.frozen:
	default:
		close(p.frozen)
	}
}

// Latency delays every chunk in both directions from now on.
func (p *TCP) Latency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// Close ends the proxy and its connections.
func (p *TCP) Close() error {
	p.Thaw()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		reset(c)
	}
	p.mu.Unlock()
	err := p.listener.Close()
	p.wg.Wait()
	return err
}

func (p *TCP) accept() {
	defer p.wg.Done()
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse := p.refuse
		p.mu.Unlock()
		if refuse {
			reset(in)
			continue
		}
		p.wg.Add(1)
		go p.serve(in)
	}
}

func (p *TCP) serve(in net.Conn) {
	defer p.wg.Done()
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		reset(in)
		return
	}
	if !p.track(in, out) {
		return
	}
	defer p.forget(in, out)
	var both sync.WaitGroup
	for _, dir := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_ = p.pump(dir[1], dir[0])
			// Half-close, so that what the other side still sends arrives.
			if c, ok := dir[1].(*net.TCPConn); ok {
				_ = c.CloseWrite()
			}
		})
	}
	both.Wait()
}

// pump copies until either side ends.
func (p *TCP) pump(dst io.Writer, src io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			p.mu.Lock()
			frozen, latency := p.frozen, p.latency
			p.mu.Unlock()
			<-frozen
			if latency > 0 {
				time.Sleep(latency)
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

func (p *TCP) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.closed {
			reset(c)
			continue
		}
		p.conns[c] = struct{}{}
	}
	return !p.closed
}

func (p *TCP) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
		_ = c.Close()
	}
}

// reset closes with a RST instead of a FIN.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
