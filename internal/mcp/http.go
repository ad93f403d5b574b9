package mcp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// HTTPConfig says who may talk to a server over HTTP.
type HTTPConfig struct {
	// Token is what a client shows as a bearer token. Required.
	Token string
	// AnyHost takes requests whose Host header names no loopback address, for
	// a server behind a proxy. Without it such a request is refused: it is
	// what a web page makes whose name was pointed at this machine.
	AnyHost bool
}

// Path is where the protocol is spoken.
const Path = "/mcp"

const (
	maxRequest     = 4 << 20 // bytes of a request's body
	sessionTimeout = time.Hour
	// firstStateless is the first version of the protocol without sessions:
	// every request stands for itself, and its end is the end of the call.
	firstStateless = "2026-07-28"
	// postHeader ties a call to the request it came with. A client's own is
	// taken off.
	postHeader = "Boxfleet-Mcp-Request"
)

// posts are the requests that are being answered, by the value of their
// postHeader.
type posts struct {
	mu   sync.Mutex
	open map[string]context.Context
}

func (p *posts) add(ctx context.Context) (id string, remove func()) {
	id = rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = map[string]context.Context{}
	}
	p.open[id] = ctx
	return id, func() {
		p.mu.Lock()
		delete(p.open, id)
		p.mu.Unlock()
	}
}

func (p *posts) get(id string) context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[id]
}

// Handler serves the streamable HTTP transport at [Path]. Clients of protocol
// versions with sessions and without are both served, each as its version
// demands.
func (s *Server) Handler(cfg HTTPConfig) http.Handler {
	get := func(*http.Request) *sdk.Server { return s.mcp }
	options := sdk.StreamableHTTPOptions{MaxRequestBodyBytes: maxRequest, SessionTimeout: sessionTimeout, DisableLocalhostProtection: cfg.AnyHost}
	sessions := sdk.NewStreamableHTTPHandler(get, &options)
	options.Stateless, options.PropagateRequestCancellation = true, true
	stateless := sdk.NewStreamableHTTPHandler(get, &options)

	mux := http.NewServeMux()
	mux.HandleFunc(Path, func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del(postHeader)
		switch {
		case r.Header.Get("Mcp-Protocol-Version") >= firstStateless:
			stateless.ServeHTTP(w, r)
			return
		case r.Method == http.MethodPost:
			id, remove := s.posts.add(r.Context())
			defer remove()
			r.Header.Set(postHeader, id)
		case r.Method == http.MethodDelete:
			s.calls.endSession(r.Header.Get("Mcp-Session-Id"))
		}
		sessions.ServeHTTP(w, r)
	})
	return guardHTTP(cfg, mux)
}

// untilLeft ends a call's context when the client drops the request that the
// answer would go to. Protocol versions with sessions let a client come back
// for it; this server keeps no answers for that, so nobody would read it.
func (s *Server) untilLeft(ctx context.Context, req *sdk.CallToolRequest) (context.Context, func()) {
	if req.Extra == nil {
		return ctx, func() {}
	}
	post := s.posts.get(req.Extra.Header.Get(postHeader))
	if post == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(post, func() { cancel(errGone) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// guardHTTP refuses requests of strangers: web pages first, whatever they
// know, then everyone without the token.
func guardHTTP(cfg HTTPConfig, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(cfg.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(code int, format string, args ...any) {
			http.Error(w, fmt.Sprintf(format, args...), code)
		}
		if origin := r.Header.Values("Origin"); len(origin) > 0 {
			refuse(http.StatusForbidden, "requests of web pages are not served (Origin %.100q)", origin[0])
			return
		}
		if !cfg.AnyHost && !loopbackHost(r.Host) {
			refuse(http.StatusForbidden, "Host %.100q is not this machine; connect to 127.0.0.1, or let the server take any host", r.Host)
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if !strings.EqualFold(scheme, "Bearer") || cfg.Token == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="boxfleet"`)
			refuse(http.StatusUnauthorized, "this needs the bearer token that the server was started with: Authorization: Bearer TOKEN")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loopbackHost tells whether a Host header names this machine itself.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// NewToken makes a bearer token nobody can guess.
func NewToken() string { return rand.Text() + rand.Text() }
