package faultproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Fault is what to do to requests that match. The first fault that matches and
// is not used up applies. Of the actions, set those wanted; they take effect in
// the order of the fields.
type Fault struct {
	Name  string                   // for Count
	Match func(*http.Request) bool // nil matches all
	Times int                      // how often; 0 is always

	Delay        time.Duration       // wait before anything else
	Stall        bool                // never answer: hold the connection until the client leaves
	Cut          bool                // close the connection without forwarding
	Status       int                 // answer with this, without forwarding
	Code         string              // the S3 error code that goes with Status
	CutResponse  bool                // forward, then close instead of answering: done, but unheard
	Rewrite      func([]byte) []byte // change the answer's body
	TruncateBody bool                // announce the whole body, send half, close
}

// Method matches requests by method and, when given, part of the path.
func Method(method, path string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == method && (path == "" || bytes.Contains([]byte(r.URL.Path), []byte(path)))
	}
}

// HTTP forwards requests to one server, headers and signature unchanged.
type HTTP struct {
	target    string
	listener  net.Listener
	server    *http.Server
	transport *http.Transport
	served    chan struct{}

	mu       sync.Mutex
	faults   []*Fault
	used     map[string]int
	requests []string
}

// StartHTTP forwards to target (host:port) from a free port.
func StartHTTP(target string) (*HTTP, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &HTTP{
		target: target, listener: l, served: make(chan struct{}), used: map[string]int{},
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(l)
	}()
	return p, nil
}

// Addr is where the proxy listens.
func (p *HTTP) Addr() string { return p.listener.Addr().String() }

// Set replaces the faults; none makes the proxy faithful again.
func (p *HTTP) Set(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
	for _, f := range faults {
		p.faults = append(p.faults, &f)
	}
}

// Count is how often the fault of that name applied.
func (p *HTTP) Count(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used[name]
}

// Requests returns "METHOD /path" of what has come in since the last call.
func (p *HTTP) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests
	p.requests = nil
	return r
}

// Close ends the proxy and its connections.
func (p *HTTP) Close() error {
	err := p.server.Close()
	<-p.served
	p.transport.CloseIdleConnections()
	return err
}

func (p *HTTP) take(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r.Method+" "+r.URL.Path)
	for i, f := range p.faults {
		if f.Match != nil && !f.Match(r) {
			continue
		}
		p.used[f.Name]++
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				p.faults = append(p.faults[:i:i], p.faults[i+1:]...)
			}
		}
		return *f
	}
	return Fault{}
}

// ServeHTTP forwards one request, or does what a fault says.
func (p *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.take(r)
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		}
	}
	switch {
	case f.Stall:
		// The body must be read for the server to notice that the client left.
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case f.Cut:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		_, _ = io.Copy(io.Discard, r.Body)
		body := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>injected</Message></Error>`, f.Code)
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(f.Status)
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, body)
		}
		return
	}
	resp, err := p.forward(r)
	if err != nil {
		// What a dead server looks like to its client.
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	if f.CutResponse {
		_, _ = io.Copy(io.Discard, resp.Body)
		panic(http.ErrAbortHandler)
	}
	if err := answer(w, r, resp, f); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// answer sends the response on, changed as the fault says.
func answer(w http.ResponseWriter, r *http.Request, resp *http.Response, f Fault) error {
	var body io.Reader = resp.Body
	length := resp.ContentLength
	if f.Rewrite != nil || f.TruncateBody {
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if f.Rewrite != nil {
			b = f.Rewrite(b)
		}
		length = int64(len(b))
		if f.TruncateBody {
			b = b[:len(b)/2]
		}
		body = bytes.NewReader(b)
	}
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	if length >= 0 && r.Method != http.MethodHead {
		w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, body); err != nil {
		return err
	}
	if f.TruncateBody {
		_ = http.NewResponseController(w).Flush()
		return errors.New("cut")
	}
	return nil
}

func (p *HTTP) forward(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	out := r.Clone(ctx)
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = "http", p.target
	out.Host = r.Host // part of the signature
	if r.ContentLength == 0 {
		out.Body = nil
	}
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &cancelBody{resp.Body, cancel}
	return resp, nil
}

type cancelBody struct {
	io.ReadCloser
	cancel func()
}

func (b *cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
