package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"boxfleet/jobs"
)

// httpSide serves health, readiness and metrics. It listens on loopback unless
// the operator says otherwise.
type httpSide struct {
	mux      *http.ServeMux
	server   *http.Server
	addr     net.Addr
	worker   atomic.Pointer[jobs.Worker] // while it takes jobs
	draining atomic.Pointer[jobs.Worker] // as long as it exists
	gate     atomic.Pointer[nats.Conn]   // of a gate, while it hears requests
}

// hurry ends the grace of a draining worker.
func (h *httpSide) hurry() {
	if w := h.draining.Load(); w != nil {
		w.Hurry()
	}
}

// listenHTTP opens addr; "" gives a side that serves nothing.
func listenHTTP(addr string, log *slog.Logger) (*httpSide, error) {
	h := &httpSide{mux: http.NewServeMux()}
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	h.mux.HandleFunc("GET /readyz", h.ready)
	if addr == "" {
		return h, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on http address %s: %w; choose another with --http, or port 0 for any", addr, err)
	}
	h.addr = l.Addr()
	if ap, err := netip.ParseAddrPort(h.addr.String()); err == nil && ap.Addr().IsLoopback() {
		// Profiles show memory contents: only for who is on the machine.
		h.mux.HandleFunc("/debug/pprof/", pprof.Index)
		h.mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		h.mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		h.mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	}
	h.server = &http.Server{Handler: h.mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go func() {
		if err := h.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("the http side ended", "error", err)
		}
	}()
	return h, nil
}

// url is the base address, or "".
func (h *httpSide) url() string {
	if h.addr == nil {
		return ""
	}
	return "http://" + h.addr.String()
}

// ready says whether jobs can run here, and if not, why.
func (h *httpSide) ready(w http.ResponseWriter, _ *http.Request) {
	state := struct {
		Ready  bool   `json:"ready"`
		Reason string `json:"reason,omitempty"`
		Worker string `json:"worker,omitempty"`
		Active int    `json:"active"`
	}{}
	switch worker, gate := h.worker.Load(), h.gate.Load(); {
	case gate != nil:
		if state.Ready = gate.IsConnected(); !state.Ready {
			state.Reason = "not connected to NATS"
		}
	case worker == nil:
		state.Reason = errNotReady.Error()
	default:
		state.Worker, state.Active, state.Reason = worker.Name(), worker.Active(), worker.Sick()
		state.Ready = state.Reason == ""
	}
	w.Header().Set("Content-Type", "application/json")
	if !state.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(state)
}

func (h *httpSide) close() {
	if h.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if h.server.Shutdown(ctx) != nil {
		_ = h.server.Close()
	}
}
