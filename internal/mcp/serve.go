package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// maxLine is the largest message over standard input and output, in bytes.
const maxLine = 16 << 20

// endTime is how long a server waits at its end for calls to be canceled and
// answers to be written.
const endTime = 15 * time.Second

// Connect serves one client over a transport of the SDK, until the session is
// closed.
func (s *Server) Connect(ctx context.Context, t sdk.Transport) (*sdk.ServerSession, error) {
	return s.mcp.Connect(ctx, t, nil)
}

// ServeIO serves one client over a pair of streams, one message a line, until
// in ends (nil) or ctx does. Calls that run then are ended and their jobs
// canceled before it returns.
func (s *Server) ServeIO(ctx context.Context, in io.Reader, out io.Writer) error {
	session, err := s.Connect(ctx, &sdk.IOTransport{Reader: closer(in), Writer: writeCloser{out}, MaxLineLength: maxLine})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- session.Wait() }()
	select {
	case err = <-ended:
		s.Close()
		if err == nil || errors.Is(err, io.EOF) {
			return nil
		}
		return fmt.Errorf("the connection ends: the client sent what is no message (one line of JSON, at most %d bytes): %w", maxLine, err)
	case <-ctx.Done():
	}
	s.Close()
	closing := make(chan struct{})
	go func() {
		_ = session.Close()
		close(closing)
	}()
	select {
	case <-closing:
	case <-time.After(endTime):
	}
	return context.Cause(ctx)
}

func closer(r io.Reader) io.ReadCloser {
	if c, ok := r.(io.ReadCloser); ok {
		return c
	}
	return io.NopCloser(r)
}

// writeCloser leaves standard output open: others may still want to write.
type writeCloser struct{ io.Writer }

func (writeCloser) Close() error { return nil }

// ServeHTTP serves clients on a listener until ctx ends. Calls that run then
// are ended and their jobs canceled before it returns.
func (s *Server) ServeHTTP(ctx context.Context, l net.Listener, cfg HTTPConfig) error {
	if cfg.Token == "" {
		return errors.New("serve MCP over HTTP: no token; without one every program of this machine could call tools")
	}
	server := &http.Server{
		Handler: s.Handler(cfg), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		s.Close()
		return fmt.Errorf("serve MCP over HTTP: %w", err)
	case <-ctx.Done():
	}
	s.Close()
	for session := range s.mcp.Sessions() {
		_ = session.Close()
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer stop()
	if server.Shutdown(last) != nil {
		_ = server.Close()
	}
	<-failed
	return context.Cause(ctx)
}
