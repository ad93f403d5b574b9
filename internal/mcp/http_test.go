package mcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"boxfleet/jobs"
)

const testToken = "a-token-of-this-test"

// bearer adds the token to every request.
type bearer struct {
	http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

// serveHTTP runs the server on a port of 127.0.0.1 and gives its address.
func (s *Server) serveHTTP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.ServeHTTP(ctx, l, HTTPConfig{Token: testToken}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return "http://" + l.Addr().String() + Path
}

// client gives the transport of an agent, and a function that drops its
// connections as a killed process does.
func httpTransport(t *testing.T, url string) (*sdk.StreamableClientTransport, func()) {
	conns := &http.Transport{}
	t.Cleanup(conns.CloseIdleConnections)
	killed, kill := context.WithCancel(context.Background())
	t.Cleanup(kill)
	return &sdk.StreamableClientTransport{
		Endpoint: url, MaxRetries: -1,
		HTTPClient: &http.Client{Transport: bearer{mortal{conns, killed}, testToken}},
	}, kill
}

// mortal ends its requests when killed ends.
type mortal struct {
	http.RoundTripper
	killed context.Context
}

func (m mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	context.AfterFunc(m.killed, cancel)
	return m.RoundTripper.RoundTrip(r.WithContext(ctx))
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		r := done(0, strings.Join(a.Job.Args, " "), "")
		return r, leave(ctx, r, a, map[string]string{"f": "left"})
	})
	hint := make(chan struct{}, 1)
	url := u.server(func(c *Config) { c.Changed = hint }).serveHTTP(t)
	for _, version := range versions {
		transport, _ := httpTransport(t, url)
		a := dial(t, transport, version)
		if got := a.InitializeResult().ProtocolVersion; got != "" && got != version {
			t.Errorf("the session speaks %s, want %s", got, version)
		}
		p := callOf(tool, "hello")
		p.SetProgressToken("x")
		r, err := a.CallTool(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, r, false, "hello")
		select {
		case m := <-a.progress:
			if !strings.HasPrefix(m, "queued") {
				t.Errorf("progress %q", m)
			}
		case <-time.After(20 * time.Second):
			t.Error("no progress was heard")
		}
		got, err := a.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: linksOf(r)["f"]})
		if err != nil || got.Contents[0].Text != "left" {
			t.Errorf("resource %v, %v", got, err)
		}
		u.tool(echo)
		hint <- struct{}{}
		select {
		case <-a.changed:
		case <-time.After(20 * time.Second):
			t.Errorf("%s: the agent heard of no change", version)
		}
		// Another session reads nothing of this one's.
		transport2, _ := httpTransport(t, url)
		other := dial(t, transport2, versions[0])
		if _, err := other.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: linksOf(r)["f"]}); err == nil {
			t.Error("another session can read it")
		}
	}
}

func TestHTTPClientThatIsGoneLeavesNoJob(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	sleep := newSleeper()
	tool := u.tool(sleep.run)
	s := u.server()
	url := s.serveHTTP(t)
	for _, version := range versions {
		for _, way := range []string{"canceled", "killed", "session deleted"} {
			if way == "session deleted" && version == versions[1] {
				continue // it has none
			}
			transport, kill := httpTransport(t, url)
			a := dial(t, transport, version)
			ctx, cancel := context.WithCancel(t.Context())
			answered := make(chan error, 1)
			go func() {
				_, err := a.CallTool(ctx, &sdk.CallToolParams{Name: tool})
				answered <- err
			}()
			id := <-sleep.started
			switch way {
			case "canceled":
				cancel()
			case "killed":
				kill()
			default:
				r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Mcp-Session-Id", a.ID())
				resp, err := transport.HTTPClient.Do(r)
				if err != nil || resp.StatusCode != http.StatusNoContent {
					t.Fatalf("delete the session: %v, %v", resp, err)
				}
				_ = resp.Body.Close()
			}
			sleep.canceled(t, u, id)
			cancel()
			if err := <-answered; err == nil {
				t.Errorf("%s, %s: the call was answered", version, way)
			}
		}
	}
}

func TestHTTPStrangersAreRefused(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	url := u.server().serveHTTP(t)
	hello := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`
	good := map[string]string{"Authorization": "Bearer " + testToken, "Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
	transport := &http.Transport{DisableKeepAlives: true}
	for _, c := range []struct {
		name string
		set  map[string]string // "" takes a header off
		host string
		path string
		body string
		code int
	}{
		{name: "everything right", code: 200},
		{name: "scheme in lower case", set: map[string]string{"Authorization": "bearer " + testToken}, code: 200},
		{name: "localhost", host: "localhost:1", code: 200},
		{name: "IPv6", host: "[::1]:1", code: 200},
		{name: "no token", set: map[string]string{"Authorization": ""}, code: 401},
		{name: "wrong token", set: map[string]string{"Authorization": "Bearer x" + testToken}, code: 401},
		{name: "half a token", set: map[string]string{"Authorization": "Bearer " + testToken[:5]}, code: 401},
		{name: "empty token", set: map[string]string{"Authorization": "Bearer "}, code: 401},
		{name: "another scheme", set: map[string]string{"Authorization": "Basic " + testToken}, code: 401},
		{name: "the token alone", set: map[string]string{"Authorization": testToken}, code: 401},
		{name: "token in the query", set: map[string]string{"Authorization": ""}, path: Path + "?token=" + testToken + "&access_token=" + testToken, code: 401},
		{name: "a web page", set: map[string]string{"Origin": "https://evil.example"}, code: 403},
		{name: "a web page of this machine", set: map[string]string{"Origin": "http://localhost:3000"}, code: 403},
		{name: "a file", set: map[string]string{"Origin": "null"}, code: 403},
		{name: "rebound name", host: "evil.example:80", code: 403},
		{name: "name that looks local", host: "localhost.evil.example", code: 403},
		{name: "another address", host: "10.0.0.1", code: 403},
		{name: "another path", path: "/", code: 404},
		{name: "another path of ours", path: "/mcp/../x", code: 307},
		{name: "no JSON", set: map[string]string{"Content-Type": "text/plain"}, code: 415},
		{name: "broken JSON", body: "{", code: 400},
		{name: "an unknown session", set: map[string]string{"Mcp-Session-Id": "x"}, code: 404},
		{name: "a call without a session", body: `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, code: 200}, // an error of the protocol
		{name: "a large body", body: `{"jsonrpc":"2.0","id":1,"method":"x","params":"` + strings.Repeat("x", maxRequest) + `"}`, code: 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := c.body
			if body == "" {
				body = hello
			}
			at := url
			if c.path != "" {
				at = strings.TrimSuffix(url, Path) + c.path
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range good {
				r.Header.Set(k, v)
			}
			for k, v := range c.set {
				r.Header.Del(k)
				if v != "" {
					r.Header.Set(k, v)
				}
			}
			if c.host != "" {
				r.Host = c.host
			}
			resp, err := transport.RoundTrip(r)
			if err != nil {
				if c.code == 413 && !errors.Is(err, context.Canceled) {
					return // the server hung up on a body it does not want
				}
				t.Fatal(err)
			}
			defer resp.Body.Close()
			said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
			if resp.StatusCode != c.code {
				t.Errorf("status %d, want %d: %.300s", resp.StatusCode, c.code, said)
			}
			if c.code == 401 && resp.Header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate header")
			}
			if bytes.Contains(said, []byte(testToken)) {
				t.Error("the token is in the answer")
			}
		})
	}
}

func TestHTTPNeedsAToken(t *testing.T) {
	t.Parallel()
	s := newUser(t).server()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := s.ServeHTTP(t.Context(), l, HTTPConfig{}); err == nil || !strings.Contains(err.Error(), "no token") {
		t.Errorf("served without a token: %v", err)
	}
}

func TestAnyHostServesBehindAProxy(t *testing.T) {
	t.Parallel()
	s := newUser(t).server()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s.Handler(HTTPConfig{Token: testToken, AnyHost: true}), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	body := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://%s%s", l.Addr(), Path), strings.NewReader(body))
	r.Host = "tools.example.com"
	r.Header = http.Header{"Authorization": {"Bearer " + testToken}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %s", resp.Status)
	}
}
