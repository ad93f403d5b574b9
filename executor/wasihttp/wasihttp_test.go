package wasihttp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"boxfleet/executor/outbound"
	"boxfleet/limits/netpolicy"
)

func policy(t testing.TB, allow ...string) *netpolicy.Policy {
	t.Helper()
	p, err := netpolicy.Parse(allow, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.WithOptions(netpolicy.Options{AllowPrivate: true})
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// raw serves bytes without an HTTP library.
func raw(t testing.TB, write func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				write(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "http://" + l.Addr().String() + "/"
}

func TestGet(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen", r.Method+" "+r.RequestURI+" "+r.Header.Get("X-A")+r.UserAgent())
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, strings.Repeat("0123456789", 50_000))
	})
	g := newGuest(t, Config{Policy: policy(t, "*")})
	future, code := g.handle(g.request(0, s.URL+"/p?q=%20", "X-A", "v"))
	if code >= 0 {
		t.Fatalf("error-code %d", code)
	}
	response, code := g.await(future)
	if code >= 0 {
		t.Fatalf("error-code %d", code)
	}
	if status := g.must("[method]incoming-response.status", response); status != http.StatusTeapot {
		t.Errorf("status %d", status)
	}
	headers := g.must("[method]incoming-response.headers", response)
	if got := g.entries(headers); !strings.Contains(got, "x-seen: GET /p?q=%20 v") || !strings.Contains(got, "set-cookie: a=1\nset-cookie: b=2") {
		t.Errorf("headers %q", got)
	}
	g.must("[resource-drop]fields", headers)
	body, code := g.body(response)
	if len(body) != 500_000 || code >= 0 {
		t.Errorf("%d bytes, error-code %d", len(body), code)
	}
	// The response is given once.
	g.must("[method]future-incoming-response.get", future, retArea)
	if g.u8(retArea) != 1 || g.u8(retArea+8) != 1 {
		t.Error("the future gave its response twice")
	}
	g.must("[method]incoming-response.consume", response, retArea)
	if g.u8(retArea) != 1 {
		t.Error("the body was given twice")
	}
	g.must("[resource-drop]incoming-response", response)
	g.must("[resource-drop]future-incoming-response", future)
	stats := g.h.Stats()
	if stats.Handles != 0 || stats.Requests != 1 || stats.BytesDown < 500_000 || len(g.h.Denials()) != 0 {
		t.Errorf("got %+v, %+v", stats, g.h.Denials())
	}
}

func TestPost(t *testing.T) {
	type seen struct {
		body, length string
		chunked      bool
	}
	got := make(chan seen, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got <- seen{string(body), r.Header.Get("Content-Length"), len(r.TransferEncoding) > 0}
	})
	const streams = "wasi:io/streams#[method]output-stream."
	write := func(g *guest, stream uint64, text string) {
		for len(text) > 0 {
			p := g.must(streams+"subscribe", stream)
			g.must("wasi:io/poll#[method]pollable.block", p)
			g.must("wasi:io/poll#[resource-drop]pollable", p)
			g.must(streams+"check-write", stream, retArea)
			n := min(int(g.u64(retArea+8)), len(text), 32<<10)
			if g.u8(retArea) != 0 || n == 0 {
				t.Fatal("stream is closed or gives no permit")
			}
			g.scratch = scratchStart
			ptr, l := g.text(text[:n])
			g.must(streams+"write", stream, ptr, l, retArea)
			if g.u8(retArea) != 0 {
				t.Fatal("write fails")
			}
			text = text[n:]
		}
		g.must(streams+"blocking-flush", stream, retArea)
	}
	finish := func(g *guest, body, stream uint64) int {
		g.must("wasi:io/streams#[resource-drop]output-stream", stream)
		g.must("[static]outgoing-body.finish", body, 0, 0, retArea)
		if g.u8(retArea) == 1 {
			return int(g.u8(retArea + 8))
		}
		return -1
	}
	start := func(g *guest, header ...string) (request, body, stream uint64) {
		request = g.request(2, s.URL+"/", header...)
		body = g.own("[method]outgoing-request.body", request)
		return request, body, g.own("[method]outgoing-body.write", body)
	}
	big := strings.Repeat("abcdefgh", 100_000)

	t.Run("streamed after handle", func(t *testing.T) {
		g := newGuest(t, Config{Policy: policy(t, "*")})
		request, body, stream := start(g)
		future, _ := g.handle(request)
		write(g, stream, big)
		if code := finish(g, body, stream); code >= 0 {
			t.Errorf("finish: error-code %d", code)
		}
		if _, code := g.await(future); code >= 0 {
			t.Errorf("error-code %d", code)
		}
		if r := <-got; r.body != big || !r.chunked {
			t.Errorf("%d bytes, chunked %v", len(r.body), r.chunked)
		}
	})
	t.Run("whole before handle", func(t *testing.T) {
		g := newGuest(t, Config{Policy: policy(t, "*")})
		request, body, stream := start(g)
		write(g, stream, "hello")
		finish(g, body, stream)
		future, _ := g.handle(request)
		if _, code := g.await(future); code >= 0 {
			t.Errorf("error-code %d", code)
		}
		if r := <-got; r.body != "hello" || r.length != "5" || r.chunked {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("content-length kept", func(t *testing.T) {
		g := newGuest(t, Config{Policy: policy(t, "*")})
		request, body, stream := start(g, "content-length", "5")
		future, _ := g.handle(request)
		write(g, stream, "hello")
		finish(g, body, stream)
		if _, code := g.await(future); code >= 0 {
			t.Errorf("error-code %d", code)
		}
		if r := <-got; r.body != "hello" || r.length != "5" {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("content-length broken short", func(t *testing.T) {
		g := newGuest(t, Config{Policy: policy(t, "*")})
		request, body, stream := start(g, "content-length", "9")
		future, _ := g.handle(request)
		write(g, stream, "hello")
		if code := finish(g, body, stream); code != codeRequestBodySize {
			t.Errorf("finish: error-code %d", code)
		}
		if _, code := g.await(future); code < 0 {
			t.Error("half a body was accepted")
		}
	})
	t.Run("content-length broken long", func(t *testing.T) {
		g := newGuest(t, Config{Policy: policy(t, "*")})
		request, body, stream := start(g, "content-length", "3")
		future, _ := g.handle(request)
		ptr, n := g.text("hello")
		g.must(streams+"blocking-write-and-flush", stream, ptr, n, retArea)
		if g.u8(retArea) != 1 || g.u8(retArea+4) != 0 {
			t.Error("more bytes than announced were taken")
		}
		finish(g, body, stream)
		if _, code := g.await(future); code < 0 {
			t.Error("a body that is too long was accepted")
		}
	})
	t.Run("dropped without finish", func(t *testing.T) {
		g := newGuest(t, Config{Policy: policy(t, "*")})
		request, body, stream := start(g)
		future, _ := g.handle(request)
		write(g, stream, "half")
		g.must("wasi:io/streams#[resource-drop]output-stream", stream)
		g.must("[resource-drop]outgoing-body", body)
		if _, code := g.await(future); code < 0 {
			t.Error("an unfinished body was accepted")
		}
	})
	t.Run("nonsense content-length", func(t *testing.T) {
		g := newGuest(t, Config{Policy: policy(t, "*")})
		for _, v := range []string{"-1", "+5", "5 ", "0x5", "99999999999999999999"} {
			if _, code := g.handle(g.request(2, s.URL+"/", "content-length", v)); code != codeRequestBodySize {
				t.Errorf("%q: error-code %d", v, code)
			}
		}
		if _, code := g.handle(g.request(2, s.URL+"/", "content-length", "5", "content-length", "6")); code != codeRequestBodySize {
			t.Errorf("two lengths: error-code %d", code)
		}
		if n := g.h.Stats().Handles; n != 0 {
			t.Errorf("%d handles left", n)
		}
	})
	t.Run("spliced from a response", func(t *testing.T) {
		g := newGuest(t, Config{Policy: policy(t, "*")})
		source := raw(t, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(big), big)
		})
		response, _ := g.get(source)
		in := g.own("[method]incoming-body.stream", g.own("[method]incoming-response.consume", response))
		request, body, stream := start(g)
		future, _ := g.handle(request)
		for {
			g.must(streams+"blocking-splice", stream, in, 1<<20, retArea)
			if g.u8(retArea) == 1 {
				break
			}
		}
		finish(g, body, stream)
		if _, code := g.await(future); code >= 0 {
			t.Errorf("error-code %d", code)
		}
		if r := <-got; r.body != big {
			t.Errorf("%d bytes", len(r.body))
		}
	})
}

func TestTrailers(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-End")
		io.WriteString(w, strings.Repeat("x", 200_000))
		w.Header().Set("X-End", "done")
	})
	g := newGuest(t, Config{Policy: policy(t, "*")})
	response, _ := g.get(s.URL + "/")
	body := g.own("[method]incoming-response.consume", response)
	trailers := g.must("[static]incoming-body.finish", body) // unread: the host reads to the end
	p := g.must("[method]future-trailers.subscribe", trailers)
	g.must("wasi:io/poll#[method]pollable.block", p)
	g.must("[method]future-trailers.get", trailers, retArea)
	if g.u8(retArea) != 1 || g.u8(retArea+8) != 0 || g.u8(retArea+16) != 0 || g.u8(retArea+24) != 1 {
		t.Fatal("no trailers")
	}
	if got := g.entries(uint64(g.u32(retArea + 28))); got != "x-end: done" {
		t.Errorf("got %q", got)
	}
}

func TestDenied(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was reached") })
	g := newGuest(t, Config{Policy: policy(t, "https://ok.example")})
	for range 3 {
		if _, code := g.handle(g.request(0, s.URL+"/")); code != codeRequestDenied {
			t.Errorf("error-code %d", code)
		}
	}
	d := g.h.Denials()
	if len(d) != 1 || d[0].Count != 3 || d[0].Target != s.URL || d[0].Rule != netpolicy.FieldAllow {
		t.Errorf("got %+v", d)
	}
	if g.h.base != nil || g.h.Stats().Handles != 0 {
		t.Error("a denied request left something behind")
	}

	// Allowed by name, refused by address.
	strict, err := netpolicy.Parse([]string{"*"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	g = newGuest(t, Config{Policy: strict})
	if _, code := g.handle(g.request(0, s.URL+"/")); code != codeRequestDenied {
		t.Errorf("error-code %d", code)
	}
	if _, code := g.get("http://localhost:1/"); code != codeDestinationIPProhibited {
		t.Errorf("error-code %d", code)
	}
	if d := g.h.Denials(); len(d) != 2 || d[0].Rule != "private" || d[1].Rule != "private" {
		t.Errorf("got %+v", d)
	}

	// A guest without a policy at all.
	g = newGuest(t, Config{})
	if _, code := g.handle(g.request(0, "https://example.com/")); code != codeRequestDenied {
		t.Errorf("error-code %d", code)
	}
}

func TestErrorCodes(t *testing.T) {
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unused.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.TLS = &tls.Config{}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	hold := func(c net.Conn) { io.Copy(io.Discard, c) }
	limits := outbound.Limits{Bytes: 256 << 10, HeaderBytes: 8 << 10, FirstByte: 100 * time.Millisecond, BetweenBytes: 100 * time.Millisecond}
	tests := []struct {
		name, url string
		code      int // of the response
		body      int // of the body, if there is a response
	}{
		{"refused", "http://" + unused.Addr().String() + "/", codeConnectionRefused, 0},
		{"unknown authority", secure.URL + "/", codeTLSCertificateError, 0},
		{"TLS to a plain server", strings.Replace(plain.URL, "http:", "https:", 1) + "/", codeTLSProtocolError, 0},
		{"closes at once", raw(t, func(c net.Conn) { c.Read(make([]byte, 4096)) }), codeConnectionTerminated, 0},
		{"never answers", raw(t, hold), codeResponseTimeout, 0},
		{"no HTTP", raw(t, func(c net.Conn) { c.Read(make([]byte, 4096)); io.WriteString(c, "what\r\n\r\n") }), codeProtocolError, 0},
		{"huge header", raw(t, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("b", 20<<10)+"\r\n\r\n")
		}), codeResponseHeaderSectionSize, 0},
		{"stalls", raw(t, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12")
			hold(c)
		}), -1, codeConnectionReadTimeout},
		{"ends early", raw(t, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12")
		}), -1, codeResponseIncomplete},
		{"endless", raw(t, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		}), -1, codeResponseBodySize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, Config{Policy: policy(t, "*"), Limits: limits})
			response, code := g.get(tt.url)
			if code != tt.code {
				t.Fatalf("error-code %d, want %d", code, tt.code)
			}
			if code < 0 {
				if _, code := g.body(response); code != tt.body {
					t.Errorf("body: error-code %d, want %d", code, tt.body)
				}
			}
		})
	}
	t.Run("amounts", func(t *testing.T) {
		g := newGuest(t, Config{Policy: policy(t, "*"), Limits: outbound.Limits{Requests: 1, HeaderBytes: 1 << 10}})
		if _, code := g.handle(g.request(0, plain.URL+"/", "x", strings.Repeat("y", 1<<10))); code != codeRequestHeaderSectionSize {
			t.Errorf("error-code %d", code)
		}
		if _, code := g.get(plain.URL + "/"); code >= 0 {
			t.Errorf("error-code %d", code)
		}
		if _, code := g.get(plain.URL + "/"); code != codeRequestDenied {
			t.Errorf("error-code %d", code)
		}
		if d := g.h.Denials(); len(d) != 1 || d[0].Rule != outbound.LimitRequests {
			t.Errorf("got %+v", d)
		}
	})
}

func TestFields(t *testing.T) {
	g := newGuest(t, Config{})
	f := g.fields("Accept", "a", "ACCEPT", "b", "x-b", "\xff\tz")
	if got := g.entries(f); got != "accept: a\naccept: b\nx-b: \xff\tz" {
		t.Errorf("got %q", got)
	}
	change := func(fn, name string, args ...uint64) int {
		np, nl := g.text(name)
		g.must("[method]fields."+fn, append(append([]uint64{f, np, nl}, args...), retArea)...)
		if g.u8(retArea) == 0 {
			return -1
		}
		return int(g.u8(retArea + 1))
	}
	value := func(s string) []uint64 { p, n := g.text(s); return []uint64{p, n} }
	for _, name := range []string{"Host", "connection", "Transfer-Encoding", "upgrade", "TE", "proxy-authorization", "keep-alive", "Expect"} {
		if got := change("append", name, value("x")...); got != headerForbidden {
			t.Errorf("%s: %d", name, got)
		}
	}
	for _, name := range []string{"", "a b", "a:", "a\r\nb", "é", "a\x00"} {
		if got := change("append", name, value("x")...); got != headerInvalid {
			t.Errorf("%q: %d", name, got)
		}
	}
	for _, v := range []string{"a\r\nX: y", "a\n", "\x00", "\x7f", "a\r"} {
		if got := change("append", "x", value(v)...); got != headerInvalid {
			t.Errorf("%q: %d", v, got)
		}
	}
	// set replaces all values by a list of two.
	v1, v2 := value("one"), value("two")
	list := make([]byte, 16)
	for i, v := range append(v1, v2...) {
		list[4*i], list[4*i+1] = byte(v), byte(v>>8)
	}
	lp, _ := g.text(string(list))
	if got := change("set", "Accept", lp, 2); got != -1 {
		t.Errorf("set: %d", got)
	}
	if got := g.entries(f); got != "x-b: \xff\tz\naccept: one\naccept: two" {
		t.Errorf("got %q", got)
	}
	np, nl := g.text("aCCept")
	if g.must("[method]fields.has", f, np, nl) != 1 {
		t.Error("has: no")
	}
	copied := g.must("[method]fields.clone", f)
	if got := change("delete", "accept"); got != -1 || g.must("[method]fields.has", f, np, nl) != 0 || g.must("[method]fields.has", copied, np, nl) != 1 {
		t.Error("delete reaches the clone")
	}
	// The view of a request's headers cannot be changed.
	r := g.must("[constructor]outgoing-request", copied)
	f = g.must("[method]outgoing-request.headers", r)
	for _, fn := range []string{"append", "set"} {
		if got := change(fn, "x", append(value("x"), make([]uint64, 0)...)...); fn == "append" && got != headerImmutable {
			t.Errorf("%s: %d", fn, got)
		}
	}
	if got := change("delete", "accept"); got != headerImmutable {
		t.Errorf("delete: %d", got)
	}
	g.must("[resource-drop]fields", f)
	g.must("[resource-drop]outgoing-request", r)
}

func TestRequestParts(t *testing.T) {
	g := newGuest(t, Config{})
	r := g.must("[constructor]outgoing-request", g.fields())
	set := func(part, v string) uint64 {
		p, n := g.text(v)
		return g.must("[method]outgoing-request.set-"+part, r, 1, p, n)
	}
	get := func(part string) (string, bool) {
		g.must("[method]outgoing-request."+part, r, retArea)
		if g.u8(retArea) == 0 {
			return "", false
		}
		return g.str(retArea + 4), true
	}
	for part, values := range map[string][2][]string{
		"authority":       {{"example.com", "example.com:8080", "[::1]:80", "EXAMPLE.com."}, {"", "a b", "a@b", "a/b", "a:99999", "é.com", "a\r\nb", "[::1"}},
		"path-with-query": {{"/", "/a?b=c", "?x", "", "/%2e%2e/"}, {"a", "/a b", "/a\r\nb", "/#x", "/%", "/é", "http://x/"}},
	} {
		for _, v := range values[0] {
			if set(part, v) != 0 {
				t.Errorf("%s %q is refused", part, v)
			} else if got, ok := get(part); !ok || got != v {
				t.Errorf("%s is %q, want %q", part, got, v)
			}
		}
		for _, v := range values[1] {
			if set(part, v) != 1 {
				t.Errorf("%s %q is taken", part, v)
			}
		}
		if g.must("[method]outgoing-request.set-"+part, r, 0, 0, 0) != 0 {
			t.Errorf("%s cannot be unset", part)
		}
		if _, ok := get(part); ok {
			t.Errorf("%s is still set", part)
		}
	}
	for v, want := range map[string]uint64{"PURGE": 0, "a b": 1, "": 1, "GET\r\n": 1} {
		p, n := g.text(v)
		if got := g.must("[method]outgoing-request.set-method", r, 9, p, n); got != want {
			t.Errorf("method %q: %d", v, got)
		}
	}
	g.must("[method]outgoing-request.method", r, retArea)
	if g.u8(retArea) != 9 || g.str(retArea+4) != "PURGE" {
		t.Error("method is not what was set")
	}
	p, n := g.text("gopher")
	if g.must("[method]outgoing-request.set-scheme", r, 1, 2, p, n) != 0 {
		t.Error("another scheme is refused")
	}
	g.must("[method]outgoing-request.scheme", r, retArea)
	if g.u8(retArea) != 1 || g.u8(retArea+4) != 2 || g.str(retArea+8) != "gopher" {
		t.Error("scheme is not what was set")
	}
	set("authority", "example.com")
	if _, code := g.handle(r); code != codeRequestURIInvalid {
		t.Errorf("gopher: error-code %d", code)
	}
	o := g.must("[constructor]request-options")
	for _, name := range []string{"connect", "first-byte", "between-bytes"} {
		g.must("[method]request-options."+name+"-timeout", o, retArea)
		if g.u8(retArea) != 0 {
			t.Errorf("%s is set", name)
		}
		g.must("[method]request-options.set-"+name+"-timeout", o, 1, 12345678901)
		g.must("[method]request-options."+name+"-timeout", o, retArea)
		if g.u8(retArea) != 1 || g.u64(retArea+8) != 12345678901 {
			t.Errorf("%s is not what was set", name)
		}
	}
}

func TestSupported(t *testing.T) {
	tests := map[string]bool{
		"wasi:http/types@0.2.0": true, "wasi:http/types@0.2.12": true, "wasi:io/poll@0.2.31": true, "wasi:random/random@0.2.1": true,
		"wasi:http/types": false, "wasi:http/types@0.2": false, "wasi:http/types@0.2.": false, "wasi:http/types@0.2.01": false, "wasi:http/types@0.2.32": false,
		"wasi:http/types@0.2.0-rc-2023-11-10": false, "wasi:http/types@0.3.0": false, "wasi:http/types@1.2.0": false, "wasi:http/types@0.2.-1": false, "wasi:http/types@0.2.+1": false,
		"wasi:http/incoming-handler@0.2.0": false, "wasi:sockets/tcp@0.2.0": true, "wasi:filesystem/types@0.2.0": true, "wasi:keyvalue/store@0.2.0": false, "wasi_snapshot_preview1": false, "": false, "@0.2.0": false,
	}
	for name, want := range tests {
		if Supported(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestRegisterIsSafeAtOnce(t *testing.T) {
	driver(t, "honest")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := Register(t.Context(), shared.rt, []string{"env", "wasi:http/types@0.2.9", "wasi:io/poll@0.2.9", "wasi:http/types@0.2.3"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if shared.rt.Module("wasi:http/types@0.2.9") == nil || shared.rt.Module("env") != nil {
		t.Error("modules are not what was asked for")
	}
}

// closing ends a wait in the guest's thread as an Interrupter does for a deadline.
type stopper struct {
	done chan struct{}
	once sync.Once
	err  error
}

func newStopper(err error) *stopper { return &stopper{done: make(chan struct{}), err: err} }

func (s *stopper) stop()                 { s.once.Do(func() { close(s.done) }) }
func (s *stopper) Done() <-chan struct{} { return s.done }
func (s *stopper) Check() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

func TestEveryWaitEndsAtTheDeadline(t *testing.T) {
	deadline := errors.New("deadline of the run")
	waiting := make(chan struct{}, 3) // one for each request
	url := raw(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1")
		io.Copy(io.Discard, c)
	})
	connected := make(chan struct{}, 2)
	silent := raw(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		connected <- struct{}{}
		io.Copy(io.Discard, c)
	})
	deaf := raw(t, func(c net.Conn) {
		c.(*net.TCPConn).SetReadBuffer(4096)
		connected <- struct{}{}
		<-t.Context().Done()
	})
	stream := func(g *guest) uint64 {
		response, _ := g.get(url)
		s := g.own("[method]incoming-body.stream", g.own("[method]incoming-response.consume", response))
		g.must("wasi:io/streams#[method]input-stream.blocking-read", s, 1, retArea)
		waiting <- struct{}{}
		return s
	}
	tests := []struct {
		name string
		run  func(g *guest) error
	}{
		{"poll on a future", func(g *guest) error {
			future, _ := g.handle(g.request(0, silent))
			p := g.must("[method]future-incoming-response.subscribe", future)
			<-connected
			waiting <- struct{}{}
			lp, _ := g.text(string([]byte{byte(p), 0, 0, 0}))
			_, err := g.call("wasi:io/poll#poll", lp, 1, retArea)
			return err
		}},
		{"blocking-read", func(g *guest) error {
			_, err := g.call("wasi:io/streams#[method]input-stream.blocking-read", stream(g), 10, retArea)
			return err
		}},
		{"blocking-skip", func(g *guest) error {
			_, err := g.call("wasi:io/streams#[method]input-stream.blocking-skip", stream(g), 10, retArea)
			return err
		}},
		{"an hour's timer", func(g *guest) error {
			p := g.must("wasi:clocks/monotonic-clock#subscribe-duration", 3600e9)
			waiting <- struct{}{}
			_, err := g.call("wasi:io/poll#[method]pollable.block", p)
			return err
		}},
		{"a timer beyond all time", func(g *guest) error {
			p := g.must("wasi:clocks/monotonic-clock#subscribe-instant", 1<<64-1)
			waiting <- struct{}{}
			_, err := g.call("wasi:io/poll#[method]pollable.block", p)
			return err
		}},
		{"blocking-write to a deaf server", func(g *guest) error {
			request := g.request(2, deaf)
			s := g.own("[method]outgoing-body.write", g.own("[method]outgoing-request.body", request))
			g.handle(request)
			<-connected
			waiting <- struct{}{}
			for {
				if _, err := g.call("wasi:io/streams#[method]output-stream.blocking-write-zeroes-and-flush", s, 4096, retArea); err != nil {
					return err
				}
			}
		}},
		{"blocking-write before handle", func(g *guest) error {
			s := g.own("[method]outgoing-body.write", g.own("[method]outgoing-request.body", g.request(2, deaf)))
			waiting <- struct{}{}
			for {
				if _, err := g.call("wasi:io/streams#[method]output-stream.blocking-write-zeroes-and-flush", s, 4096, retArea); err != nil {
					return err
				}
			}
		}},
		{"a loop of calls", func(g *guest) error {
			waiting <- struct{}{}
			for {
				if _, err := g.call("wasi:clocks/monotonic-clock#now"); err != nil {
					return err
				}
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stop := newStopper(deadline)
			g := newGuest(t, Config{Policy: policy(t, "*"), Interrupter: stop, Limits: outbound.Limits{Bytes: 1 << 30}})
			go func() { <-waiting; stop.stop() }()
			if err := tt.run(g); !errors.Is(err, deadline) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTimers(t *testing.T) {
	g := newGuest(t, Config{})
	soon := g.must("wasi:clocks/monotonic-clock#subscribe-duration", 1e6)
	late := g.must("wasi:clocks/monotonic-clock#subscribe-duration", 3600e9)
	past := g.must("wasi:clocks/monotonic-clock#subscribe-instant", 0)
	if g.must("wasi:io/poll#[method]pollable.ready", past) != 1 || g.must("wasi:io/poll#[method]pollable.ready", late) != 0 {
		t.Errorf("readiness is wrong: %d %d", g.must("wasi:io/poll#[method]pollable.ready", past), g.must("wasi:io/poll#[method]pollable.ready", late))
	}
	lp, _ := g.text(string([]byte{byte(late), 0, 0, 0, byte(soon), 0, 0, 0, byte(late), 0, 0, 0}))
	g.must("wasi:io/poll#poll", lp, 3, retArea)
	if list := g.u32(retArea); g.u32(retArea+4) != 1 || g.u32(list) != 1 {
		t.Errorf("%d ready", g.u32(retArea+4))
	}
	a := g.must("wasi:clocks/monotonic-clock#now")
	if b := g.must("wasi:clocks/monotonic-clock#now"); b < a {
		t.Error("time goes back")
	}
	g.must("wasi:clocks/wall-clock#now", retArea)
	if got := int64(g.u64(retArea)); got < 1e9 || g.u32(retArea+8) >= 1e9 {
		t.Errorf("wall clock says %d", got)
	}
}

func TestClocksAndRandomAreTheWorkers(t *testing.T) {
	ticks := uint64(0)
	g := newGuest(t, Config{
		Wall:      func() time.Time { return time.Unix(42, 7) },
		Monotonic: func() uint64 { ticks++; return ticks },
		Rand:      strings.NewReader(strings.Repeat("r", 1000)),
	})
	g.must("wasi:clocks/wall-clock#now", retArea)
	if g.u64(retArea) != 42 || g.u32(retArea+8) != 7 || g.must("wasi:clocks/monotonic-clock#now") != 1 {
		t.Error("clocks are others")
	}
	g.must("wasi:random/random#get-random-bytes", 5, retArea)
	if g.str(retArea) != "rrrrr" || g.must("wasi:random/insecure#get-insecure-random-u64") != 0x7272727272727272 {
		t.Error("randomness is another")
	}
}

func TestCloseUnderWay(t *testing.T) {
	waiting := make(chan struct{}, 3) // one for each request
	url := raw(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n1")
		waiting <- struct{}{}
		io.Copy(io.Discard, c)
	})
	g := newGuest(t, Config{Policy: policy(t, "*"), Interrupter: newStopper(nil)})
	response, code := g.get(url)
	if code >= 0 {
		t.Fatal(code)
	}
	<-waiting
	g.own("[method]incoming-body.stream", g.own("[method]incoming-response.consume", response))
	request := g.request(2, url)
	g.own("[method]outgoing-body.write", g.own("[method]outgoing-request.body", request))
	g.handle(request)
	g.handle(g.request(0, url))
	g.close() // TestMain's goleak finds what is left
	if g.h.table.live != 0 || g.h.fieldBytes != 0 || g.h.buffered != 0 {
		t.Errorf("left: %d handles, %d bytes of fields, %d of bodies", g.h.table.live, g.h.fieldBytes, g.h.buffered)
	}
	g.h.Close()
}
