package wasihttp

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"boxfleet/executor/outbound"
	"boxfleet/executor/sandboxfs"
	"boxfleet/limits/netpolicy"
)

// Bounds of what one instance may hold in the host.
const (
	DefaultHandles = 4096
	maxFieldBytes  = 4 << 20  // all fields resources together, with 32 bytes per field for the list itself
	maxString      = 1 << 20  // one string or field value
	maxPollList    = 16 << 10 // pollables of one call
	maxBuffered    = 1 << 20  // bytes written to request bodies that the network has not taken yet, together
	bodyBuffer     = 64 << 10 // one body
	maxBlocking    = 4096     // wasi:io: what one blocking-write-and-flush takes
)

// Interrupter tells a run when to stop. Check gives nil or the error to stop with; Done closes at the latest then.
type Interrupter interface {
	Check() error
	Done() <-chan struct{}
}

// Config makes a Host. The zero value denies every request.
type Config struct {
	Policy   *netpolicy.Policy
	Limits   outbound.Limits
	Handles  int            // most live handles; zero means DefaultHandles
	RootCAs  *x509.CertPool // nil: the system's
	Resolver *net.Resolver  // nil: Go's, with the system's configuration

	Interrupter Interrupter      // nil: only the context of the guest's call ends waits
	Wall        func() time.Time // nil: the system's clock
	Monotonic   func() uint64    // nanoseconds; nil: the system's clock
	Rand        io.Reader        // nil: crypto/rand

	Program Program       // of wasi:cli
	FS      *sandboxfs.FS // of wasi:filesystem; nil: no directories. The caller closes it, after the Host.
}

// Host is the host's side of one instance. Only the guest's thread calls into it; the network works beside it.
type Host struct {
	cfg   Config
	call  call
	busy  atomic.Bool // a host call is running
	table table

	fieldBytes int
	stdin      stdin
	scratch    []byte      // of piece
	roots      []*openFile // of the mounts, as far as they were asked for

	// Made at the first request; the guest's thread alone sets them.
	client *outbound.Client
	base   context.Context // of everything on the network
	stop   context.CancelCauseFunc
	wg     sync.WaitGroup
	wake   chan struct{} // one token: something may have become ready

	// mu guards what the network's goroutines and the guest's thread share: futures and bodies.
	mu       sync.Mutex
	closed   bool
	buffered int
	waiting  map[*sync.Cond]struct{} // what the network's goroutines may wait on; Close wakes them all
}

type hostKey struct{}

// New costs one allocation and starts nothing.
func New(cfg Config) *Host {
	h := &Host{cfg: cfg, stdin: stdin{r: cfg.Program.Stdin}}
	if h.cfg.Handles <= 0 {
		h.cfg.Handles = DefaultHandles
	}
	if h.cfg.Rand == nil {
		h.cfg.Rand = rand.Reader
	}
	return h
}

// Context returns a context with which to instantiate and call the guest.
func (h *Host) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, hostKey{}, h)
}

// Close ends every request, closes every connection, forgets every handle and waits for what it started. Call it when
// the guest has returned.
func (h *Host) Close() {
	h.mu.Lock()
	h.closed = true
	for c := range h.waiting {
		c.Broadcast()
	}
	h.mu.Unlock()
	if h.base != nil {
		h.stop(ErrClosed)
	}
	h.table.clear(h)
	for _, root := range h.roots {
		if root != nil {
			root.release(h)
		}
	}
	h.roots = nil
	h.fieldBytes = 0 // a trap may have left fields half made, without a handle
	if h.client != nil {
		h.client.Close()
	}
	h.wg.Wait()
}

// Denials lists what was refused to the guest.
func (h *Host) Denials() []outbound.Denial {
	if h.client == nil {
		return nil
	}
	return h.client.Denials()
}

// Stats is what the guest used.
type Stats struct {
	outbound.Stats
	Handles     int // live
	PeakHandles int
}

// Stats may be called when the guest is not running.
func (h *Host) Stats() Stats {
	s := Stats{Handles: h.table.live, PeakHandles: h.table.peak}
	if h.client != nil {
		s.Stats = h.client.Stats()
	}
	return s
}

// startNetwork is called before the first request that the policy lets pass.
func (h *Host) startNetwork() {
	if h.base != nil {
		return
	}
	h.base, h.stop = context.WithCancelCause(context.Background())
	h.wake = make(chan struct{}, 1)
	done := h.done()
	if done == nil {
		return
	}
	h.wg.Add(1)
	go func() {
		defer h.wg.Done()
		select {
		case <-done:
			h.stop(ErrInterrupted)
		case <-h.base.Done():
		}
	}()
}

// done is asked for only when something may wait: it may cost the Interrupter a timer, and before the run has begun it may
// not know its deadline.
func (h *Host) done() <-chan struct{} {
	if h.cfg.Interrupter == nil {
		return nil
	}
	return h.cfg.Interrupter.Done()
}

// waitOn is called with mu held.
func (h *Host) waitOn(c *sync.Cond) {
	if h.waiting == nil {
		h.waiting = make(map[*sync.Cond]struct{})
	}
	h.waiting[c] = struct{}{}
}

// signal wakes a waiting guest to look again.
func (h *Host) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *Host) monotonic() uint64 {
	if h.cfg.Monotonic != nil {
		return h.cfg.Monotonic()
	}
	return uint64(time.Since(processStart)) + 1
}

func (h *Host) wall() time.Time {
	if h.cfg.Wall != nil {
		return h.cfg.Wall()
	}
	return time.Now()
}

var processStart = time.Now()
