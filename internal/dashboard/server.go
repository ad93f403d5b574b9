package dashboard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"boxfleet/artifacts"
	"boxfleet/internal/fleetview"
	"boxfleet/jobs"
)

// Config is what a dashboard shows and who may do what. View, Client and Key
// must be set.
type Config struct {
	View   *fleetview.View
	Client *jobs.Client
	// Store gives outputs; without one they are listed and not served.
	Store *artifacts.Store
	// Trace gives the spans of a job's trace, if anybody keeps them.
	Trace func(ctx context.Context, traceID string) ([]Span, error)
	// TraceURL is the address of a trace in another program, with {trace_id}.
	TraceURL string

	// Key is the secret of the session; NewSecret makes one.
	Key string
	// Token is the secret of actions; "" allows none.
	Token string

	// Fleet and Version are shown.
	Fleet, Version string
	// Log is told of actions and of refused requests; nil for nobody.
	Log *slog.Logger
}

// Span is one span of a trace; times are Unix nanoseconds.
type Span struct {
	ID         string            `json:"id"`
	Parent     string            `json:"parent"`
	Name       string            `json:"name"`
	Start      int64             `json:"start"`
	End        int64             `json:"end"`
	Status     string            `json:"status,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// NewSecret gives 130 random bits as text.
func NewSecret() string { return rand.Text() }

// maxStreams bounds the connections that are kept open for events.
const maxStreams = 64

// Server is the dashboard.
type Server struct {
	cfg     Config
	files   fs.FS
	streams atomic.Int64
}

// New makes a dashboard.
func New(cfg Config) (*Server, error) {
	if cfg.Key == "" {
		return nil, errors.New("a dashboard needs a key")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, files: assets()}, nil
}

// Listen opens a port of a loopback address and of nothing else: the page is
// plain HTTP, and behind it are the fleet's credentials.
func Listen(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%q is no address; write 127.0.0.1:PORT", addr)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
		return nil, fmt.Errorf("%q is not a loopback address: the page is not encrypted and acts with your credentials; listen on 127.0.0.1 and reach it from elsewhere through ssh -L", addr)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("listen for the dashboard: %w; choose another port with --listen, or 0 for any", err)
	}
	return l, nil
}

// URL is the address to open: it holds the key.
func (s *Server) URL(l net.Listener) string {
	return "http://" + l.Addr().String() + "/?key=" + s.cfg.Key
}

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(), BaseContext: func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(patience) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(l)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the dashboard: %w", err)
}

// Handler gives every route behind the guard.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /assets/{file}", s.asset)

	mux.HandleFunc("GET /api/session", s.session)
	mux.HandleFunc("GET /api/overview", s.overview)
	mux.HandleFunc("GET /api/stream", s.stream)
	mux.HandleFunc("GET /api/jobs", s.listJobs)
	mux.HandleFunc("GET /api/jobs/{id}", s.job)
	mux.HandleFunc("GET /api/jobs/{id}/events", s.jobEvents)
	mux.HandleFunc("GET /api/jobs/{id}/trace", s.trace)
	mux.HandleFunc("GET /api/jobs/{id}/output/{stream}", s.wholeOutput)
	mux.HandleFunc("GET /api/jobs/{id}/files/{path...}", s.outputFile)
	mux.HandleFunc("GET /api/dead", s.listDead)
	mux.HandleFunc("GET /api/dead/{seq}", s.deadLetter)
	mux.HandleFunc("GET /api/tools", s.tools)
	mux.HandleFunc("GET /api/batches", s.batches)
	mux.HandleFunc("GET /api/batches/{id}", s.batch)
	mux.HandleFunc("GET /api/schedules", s.schedules)

	mux.HandleFunc("POST /api/unlock", s.unlock)
	mux.HandleFunc("POST /api/jobs/{id}/cancel", s.cancelJob)
	mux.HandleFunc("POST /api/batches/{id}/cancel", s.cancelBatch)
	mux.HandleFunc("POST /api/dead/replay", s.replayDead)
	mux.HandleFunc("POST /api/dead/purge", s.purgeDead)
	mux.HandleFunc("POST /api/schedules/{name}/{what}", s.changeSchedule)
	return s.guard(mux)
}
