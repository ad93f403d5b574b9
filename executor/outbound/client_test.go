package outbound

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"boxfleet/limits/netpolicy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lists are a job's three fields.
type lists struct{ allow, blockURL, blockNetworks []string }

func (l lists) policy(t testing.TB, o netpolicy.Options) *netpolicy.Policy {
	t.Helper()
	p, err := netpolicy.Parse(l.allow, l.blockURL, l.blockNetworks)
	if err != nil {
		t.Fatal(err)
	}
	return p.WithOptions(o)
}

var operatorLifts = netpolicy.Options{AllowPrivate: true}

func newClient(t testing.TB, cfg Config) *Client {
	t.Helper()
	c := New(cfg)
	t.Cleanup(c.Close)
	return c
}

// open reaches everything, loopback too.
func open(t testing.TB, l Limits) *Client {
	return newClient(t, Config{Policy: lists{allow: []string{"*"}}.policy(t, operatorLifts), Limits: l})
}

func get(t testing.TB, c *Client, url string) (*http.Response, error) {
	t.Helper()
	target, err := netpolicy.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(t.Context(), Request{Method: "GET", Target: target})
}

func readAll(t testing.TB, c *Client, url string) (string, *http.Response, error) {
	t.Helper()
	resp, err := get(t, c, url)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), resp, err
}

// server counts its connections.
type server struct {
	*httptest.Server
	conns atomic.Int64
}

func serve(t testing.TB, h http.HandlerFunc) *server {
	return serveWith(t, h, (*httptest.Server).Start)
}

func serveWith(t testing.TB, h http.HandlerFunc, start func(*httptest.Server)) *server {
	t.Helper()
	s := &server{Server: httptest.NewUnstartedServer(h)}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(s.Server)
	t.Cleanup(s.Server.Close)
	return s
}

// raw answers every connection with what write does, outside any HTTP library.
func raw(t testing.TB, write func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer c.Close()
				write(c)
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "http://" + l.Addr().String() + "/"
}

func readRequest(c net.Conn) { c.Read(make([]byte, 4096)) }

func TestDenyAllSendsNothing(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	dns := startDNS(t, map[string][][]string{"a.example.": {{"127.0.0.1"}}})
	for _, policy := range []*netpolicy.Policy{nil, lists{}.policy(t, operatorLifts)} {
		c := newClient(t, Config{Policy: policy, Resolver: dns.resolver()})
		for _, url := range []string{s.URL, "http://a.example/", "https://secret.a.example/"} {
			_, err := get(t, c, url)
			var denied *DeniedError
			if !errors.As(err, &denied) {
				t.Errorf("%s: got %v", url, err)
			}
		}
		if len(c.Denials()) != 3 {
			t.Errorf("got %+v", c.Denials())
		}
		if c.transport != nil {
			t.Error("a transport was made for nothing")
		}
	}
	if s.conns.Load() != 0 || dns.count() != 0 {
		t.Errorf("%d connections, %d DNS packets", s.conns.Load(), dns.count())
	}
}

func TestNamesThatNoRuleNamesAreNotLookedUp(t *testing.T) {
	dns := startDNS(t, nil)
	c := newClient(t, Config{Policy: lists{allow: []string{"https://ok.example", "*://10.0.0.0/8"}, blockURL: []string{"https://ok.example/no"}}.policy(t, operatorLifts), Resolver: dns.resolver()})
	for _, url := range []string{"https://c2VjcmV0.evil.example/", "http://ok.example/", "https://ok.example/no", "https://ok.example:444/"} {
		var denied *DeniedError
		if _, err := get(t, c, url); !errors.As(err, &denied) {
			t.Errorf("%s: got %v", url, err)
		}
	}
	if dns.count() != 0 {
		t.Errorf("%d DNS packets", dns.count())
	}
}

// Search domains of the worker's network are no business of a guest: exactly the name is asked for. (That shows only
// where the machine has such domains.)
func TestNamesAreAbsolute(t *testing.T) {
	dns := startDNS(t, nil)
	c := newClient(t, Config{Policy: lists{allow: []string{"*"}}.policy(t, netpolicy.Options{}), Resolver: dns.resolver()})
	for _, host := range []string{"single", "two.labels"} {
		var notFound *net.DNSError
		if _, err := get(t, c, "http://"+host+"/"); !errors.As(err, &notFound) || !notFound.IsNotFound {
			t.Errorf("%s: got %v", host, err)
		}
	}
	dns.mu.Lock()
	defer dns.mu.Unlock()
	for name := range dns.asked {
		if name != "single." && name != "two.labels." {
			t.Errorf("asked for %s", name)
		}
	}
}

func TestPrivateAddressesInEverySpelling(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	dns := startDNS(t, map[string][][]string{
		"rebind.example.": {{"127.0.0.1"}}, "mapped.example.": {{"::ffff:127.0.0.1"}}, "nat64.example.": {{"64:ff9b::7f00:1"}},
		"v6.example.": {{"::1"}}, "meta.example.": {{"169.254.169.254"}}, "zero.example.": {{"0.0.0.0"}}, "tunnel.example.": {{"2002:7f00:1::"}},
	})
	c := newClient(t, Config{Policy: lists{allow: []string{"*"}}.policy(t, netpolicy.Options{}), Resolver: dns.resolver(), Limits: Limits{Requests: 1000}})
	for _, host := range []string{
		"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
		"rebind.example", "REBIND.example.", "mapped.example", "nat64.example", "v6.example", "meta.example", "zero.example", "tunnel.example", "localhost",
	} {
		_, err := get(t, c, "http://"+host+port)
		var denied *DeniedError
		if !errors.As(err, &denied) || denied.Rule != "private" {
			t.Errorf("%s: got %v", host, err)
		}
	}
	if s.conns.Load() != 0 {
		t.Errorf("%d connections", s.conns.Load())
	}
}

// A name server that answers with a public address first and loopback after gets the public address dialled, and the
// next connection checks again.
func TestRebinding(t *testing.T) {
	secret := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "secret") })
	public := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "public")
	})
	dns := startDNS(t, map[string][][]string{"rebind.example.": {{"93.184.216.34"}, {"127.0.0.1"}}})
	c := newClient(t, Config{Policy: lists{allow: []string{"*"}}.policy(t, netpolicy.Options{}), Resolver: dns.resolver()})
	var dialled []string
	c.testDial = func(ctx context.Context, d *net.Dialer, addr netip.AddrPort) (net.Conn, error) {
		dialled = append(dialled, addr.String())
		return (&net.Dialer{}).DialContext(ctx, "tcp", public.Listener.Addr().String())
	}
	port := secret.URL[strings.LastIndexByte(secret.URL, ':'):]
	body, _, err := readAll(t, c, "http://rebind.example"+port)
	if err != nil || body != "public" || len(dialled) != 1 || dialled[0] != "93.184.216.34"+port {
		t.Fatalf("got %q, %v, dialled %v", body, err, dialled)
	}
	_, _, err = readAll(t, c, "http://rebind.example"+port)
	var denied *DeniedError
	if !errors.As(err, &denied) || denied.Address != "127.0.0.1" || len(dialled) != 1 {
		t.Errorf("got %v, dialled %v", err, dialled)
	}
	if secret.conns.Load() != 0 {
		t.Error("loopback was reached")
	}
}

func TestOnlyPassingAddressesAreDialled(t *testing.T) {
	dns := startDNS(t, map[string][][]string{"mixed.example.": {{"10.0.0.1", "93.184.216.34", "::1", "2606:4700::1", "127.0.0.1"}}})
	c := newClient(t, Config{Policy: lists{allow: []string{"*"}, blockNetworks: []string{"2606:4700::/32"}}.policy(t, netpolicy.Options{}), Resolver: dns.resolver()})
	var dialled []string
	c.testDial = func(_ context.Context, _ *net.Dialer, addr netip.AddrPort) (net.Conn, error) {
		dialled = append(dialled, addr.Addr().String())
		return nil, errors.New("refused")
	}
	if _, err := get(t, c, "http://mixed.example/"); err == nil {
		t.Fatal("no error")
	}
	if len(dialled) != 1 || dialled[0] != "93.184.216.34" {
		t.Errorf("dialled %v", dialled)
	}
}

// The last check is on the socket itself: even a resolver step that let a private address through would not connect.
func TestSocketIsCheckedToo(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := newClient(t, Config{Policy: lists{allow: []string{"*"}}.policy(t, netpolicy.Options{})})
	target, _ := netpolicy.ParseURL("http://ok.example/")
	d := net.Dialer{ControlContext: c.control(target)}
	_, err := d.DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	var denied *DeniedError
	if !errors.As(err, &denied) || s.conns.Load() != 0 {
		t.Errorf("got %v", err)
	}
}

func TestBlockedAddressWithPathIsHeldOnEveryRequest(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	dns := startDNS(t, map[string][][]string{"a.example.": {{"127.0.0.1"}}})
	c := newClient(t, Config{Policy: lists{allow: []string{"*"}, blockURL: []string{"http://127.0.0.1/secret"}}.policy(t, operatorLifts), Resolver: dns.resolver()})
	if body, _, err := readAll(t, c, "http://a.example"+port+"/open"); body != "ok" {
		t.Fatal(err)
	}
	var denied *DeniedError
	if _, _, err := readAll(t, c, "http://a.example"+port+"/secret"); !errors.As(err, &denied) {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	var proto atomic.Value
	s := serveWith(t, func(w http.ResponseWriter, r *http.Request) { proto.Store(r.Proto); io.WriteString(w, "tls") }, func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.StartTLS()
	})
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	dns := startDNS(t, map[string][][]string{"example.com.": {{"127.0.0.1"}}, "other.example.": {{"127.0.0.1"}}})
	policy := lists{allow: []string{"*"}}.policy(t, operatorLifts)

	c := newClient(t, Config{Policy: policy, RootCAs: pool, Resolver: dns.resolver()})
	if body, _, err := readAll(t, c, "https://example.com"+port); body != "tls" || proto.Load() != "HTTP/1.1" {
		t.Errorf("got %q, %v over %v", body, err, proto.Load())
	}
	if _, _, err := readAll(t, c, s.URL); err != nil {
		t.Errorf("by address: %v", err)
	}
	var name x509.HostnameError
	if _, err := get(t, c, "https://other.example"+port); !errors.As(err, &name) {
		t.Errorf("another name: %v", err)
	}
	var authority x509.UnknownAuthorityError
	if _, err := get(t, newClient(t, Config{Policy: policy}), s.URL); !errors.As(err, &authority) {
		t.Errorf("system roots: %v", err)
	}
}

func TestRedirects(t *testing.T) {
	secret := serve(t, func(http.ResponseWriter, *http.Request) {})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/out":
			http.Redirect(w, r, "http://localhost:1/x", http.StatusFound)
		default:
			http.Redirect(w, r, "/loop?"+r.URL.RawQuery+"x", http.StatusFound)
		}
	})
	c := newClient(t, Config{Policy: lists{allow: []string{"http://127.0.0.1:*"}}.policy(t, operatorLifts), Limits: Limits{Redirects: 5}})
	_, resp, err := readAll(t, c, s.URL+"/out")
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Fatalf("got %v", err)
	}
	var denied *DeniedError
	if _, err := get(t, c, resp.Header.Get("Location")); !errors.As(err, &denied) || secret.conns.Load() != 0 {
		t.Errorf("got %v", err)
	}
	// Whoever follows a loop, here this test, comes to its end.
	url := s.URL + "/loop"
	for hop := 0; ; hop++ {
		_, resp, err := readAll(t, c, url)
		var limit *LimitError
		if errors.As(err, &limit) {
			if limit.Limit != LimitRedirects || hop != 6 {
				t.Errorf("hop %d: %v", hop, err)
			}
			break
		}
		if err != nil || hop > 10 {
			t.Fatalf("hop %d: %v", hop, err)
		}
		url = s.URL + resp.Header.Get("Location")
	}
	// Asking again is no redirect.
	for range 10 {
		if _, _, err := readAll(t, c, s.URL+"/out"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRequestIsWhatTheGuestMade(t *testing.T) {
	type seen struct {
		host, uri string
		header    http.Header
		body      string
	}
	got := make(chan seen, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Host, r.RequestURI, r.Header, string(body)}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write([]byte("plain"))
		z.Close()
	})
	c := open(t, Limits{})
	target, _ := netpolicy.ParseURL(strings.Replace(s.URL, "127.0.0.1", "0x7f.1", 1) + "/a%2fb/../c?x=%41")
	resp, err := c.Do(t.Context(), Request{Method: "PATCH", Target: target, Header: http.Header{"X-A": {"1", "2"}}, Body: strings.NewReader("body"), ContentLength: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if !strings.HasPrefix(string(body), "\x1f\x8b") || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Error("gzip was decoded on the way")
	}
	r := <-got
	if r.host != s.Listener.Addr().String() || r.uri != "/a%2fb/../c?x=%41" || r.body != "body" {
		t.Errorf("got %+v", r)
	}
	delete(r.header, "Connection") // close, as every request has a connection of its own
	if len(r.header) != 2 || len(r.header["X-A"]) != 2 || r.header.Get("Content-Length") != "4" {
		t.Errorf("header was added to: %v", r.header)
	}
}

func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "proxy") })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "direct "+r.RequestURI) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	dns := startDNS(t, map[string][][]string{"a.example.": {{"127.0.0.1"}}}) // net/http never proxies loopback literals
	c := newClient(t, Config{Policy: lists{allow: []string{"*"}}.policy(t, operatorLifts), Resolver: dns.resolver()})
	if body, _, err := readAll(t, c, "http://a.example"+s.URL[strings.LastIndexByte(s.URL, ':'):]); body != "direct /" {
		t.Errorf("got %q, %v", body, err)
	}
	if proxy.conns.Load() != 0 {
		t.Error("the proxy was asked")
	}
}

func TestOneConnectionPerRequest(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	a, b := open(t, Limits{}), open(t, Limits{})
	for range 5 {
		for _, c := range []*Client{a, b} {
			if _, _, err := readAll(t, c, s.URL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := s.conns.Load(); n != 10 {
		t.Errorf("%d connections for ten requests", n)
	}
}

func TestRefusedRequests(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := open(t, Limits{})
	target, _ := netpolicy.ParseURL(s.URL)
	for _, r := range []Request{
		{Method: "CONNECT"}, {Method: ""}, {Method: "GET / HTTP/1.1\r\nX:"}, {Method: "G T"},
		{Header: http.Header{"Host": {"evil"}}}, {Header: http.Header{"transfer-encoding": {"chunked"}}}, {Header: http.Header{"Connection": {"upgrade"}}},
		{Header: http.Header{"X": {"a\r\nContent-Length: 0\r\n\r\nGET /smuggled HTTP/1.1"}}}, {Header: http.Header{"X\r\nY": {"a"}}}, {Header: http.Header{"X": {"a\x00"}}}, {Header: http.Header{"": {"a"}}},
	} {
		r.Target = target
		if r.Header != nil {
			r.Method = "GET"
		}
		_, err := c.Do(t.Context(), r)
		var bad *RequestError
		if !errors.As(err, &bad) {
			t.Errorf("%+v: got %v", r, err)
		}
	}
	if s.conns.Load() != 0 {
		t.Error("something was sent")
	}
	if c.inFlight.Load() != 0 {
		t.Errorf("%d requests left in flight", c.inFlight.Load())
	}
}

func TestHostileServers(t *testing.T) {
	forever := func(c net.Conn, piece string) {
		for {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
		}
	}
	block := func(c net.Conn) { io.Copy(io.Discard, c) } // until the client hangs up
	short := Limits{Bytes: 1 << 20, HeaderBytes: 16 << 10, FirstByte: 150 * time.Millisecond, BetweenBytes: 150 * time.Millisecond}
	tests := []struct {
		name   string
		server func(net.Conn)
		limit  string // expected LimitError
		phase  string // expected TimeoutError
		fails  bool   // any error will do
		body   string // or success with this
	}{
		{name: "never answers", server: block, phase: "first byte"},
		{name: "drips its header", server: func(c net.Conn) {
			readRequest(c)
			for {
				if _, err := io.WriteString(c, "H"); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}, fails: true},
		{name: "drips a long header", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "A: b\r\n"); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}, phase: "first byte"},
		{name: "endless header", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			forever(c, "A: "+strings.Repeat("b", 500)+"\r\n")
		}, limit: LimitHeader},
		{name: "one huge field", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nA: ")
			forever(c, strings.Repeat("b", 4096))
		}, limit: LimitHeader},
		{name: "endless informational responses", server: func(c net.Conn) {
			readRequest(c)
			forever(c, "HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("x", 200)+"\r\n\r\n")
		}, fails: true},
		{name: "endless body", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			forever(c, strings.Repeat("b", 4096))
		}, limit: LimitBytes},
		{name: "chunks of one byte with huge extensions", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			forever(c, "1;"+strings.Repeat("x", 2000)+"\r\na\r\n")
		}, fails: true},
		{name: "chunk of an absurd size", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n")
			forever(c, strings.Repeat("b", 4096))
		}, limit: LimitBytes},
		{name: "endless trailers", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
			forever(c, "A: "+strings.Repeat("b", 500)+"\r\n")
		}, fails: true},
		{name: "stalls in the body", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
			block(c)
		}, phase: "between bytes"},
		{name: "ends in the body", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
		}, fails: true},
		{name: "two lengths", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")
		}, fails: true},
		{name: "length and chunks", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
		}, body: "ok"},
		{name: "a second response nobody asked for", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}, body: "ok"},
		{name: "switches protocols", server: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			forever(c, "raw")
		}, fails: true},
		{name: "no HTTP", server: func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n"); block(c) }, fails: true},
		{name: "HTTP/2 preface", server: func(c net.Conn) { readRequest(c); io.WriteString(c, "\x00\x00\x12\x04\x00\x00\x00\x00\x00"); block(c) }, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := open(t, short)
			body, _, err := readAll(t, c, raw(t, tt.server))
			var limit *LimitError
			var timeout *TimeoutError
			switch {
			case tt.body != "":
				if body != tt.body || err != nil {
					t.Errorf("got %q, %v", body, err)
				}
			case tt.limit != "":
				if !errors.As(err, &limit) || limit.Limit != tt.limit {
					t.Errorf("got %v", err)
				}
				if d := c.Denials(); len(d) != 1 || d[0].Rule != tt.limit {
					t.Errorf("denials %+v", d)
				}
			case tt.phase != "":
				if !errors.As(err, &timeout) || timeout.Phase != tt.phase {
					t.Errorf("got %v", err)
				}
			case err == nil:
				t.Errorf("got %q without error", body)
			}
			if down := c.Stats().BytesDown; down > short.Bytes {
				t.Errorf("%d bytes received", down)
			}
		})
	}
}

func TestAmounts(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "ok")
	})
	target, _ := netpolicy.ParseURL(s.URL)
	var limit *LimitError

	t.Run("requests", func(t *testing.T) {
		c := open(t, Limits{Requests: 3})
		for range 3 {
			if _, _, err := readAll(t, c, s.URL); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := readAll(t, c, s.URL); !errors.As(err, &limit) || limit.Limit != LimitRequests {
			t.Errorf("got %v", err)
		}
		if c.Stats().Requests != 3 || c.Denials()[0].Rule != LimitRequests {
			t.Errorf("got %+v, %+v", c.Stats(), c.Denials())
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		c := open(t, Limits{Concurrent: 2})
		var bodies []io.Closer
		for range 2 {
			resp, err := get(t, c, s.URL)
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, resp.Body)
		}
		if _, err := get(t, c, s.URL); !errors.As(err, &limit) || limit.Limit != LimitConcurrent {
			t.Errorf("got %v", err)
		}
		for range 2 { // closing twice gives one place back
			bodies[0].Close()
		}
		if resp, err := get(t, c, s.URL); err != nil {
			t.Error(err)
		} else if _, err := get(t, c, s.URL); !errors.As(err, &limit) {
			t.Errorf("got %v", err)
		} else {
			resp.Body.Close()
		}
		bodies[1].Close()
	})
	t.Run("bytes sent", func(t *testing.T) {
		c := open(t, Limits{BytesUp: 64 << 10})
		_, err := c.Do(t.Context(), Request{Method: "POST", Target: target, Body: endless{}, ContentLength: -1})
		if !errors.As(err, &limit) || limit.Limit != LimitBytesUp {
			t.Errorf("got %v", err)
		}
		if up := c.Stats().BytesUp; up > 64<<10 {
			t.Errorf("%d bytes sent", up)
		}
	})
	t.Run("server that never reads", func(t *testing.T) {
		c := open(t, Limits{BetweenBytes: 100 * time.Millisecond})
		url := raw(t, func(c net.Conn) {
			c.(*net.TCPConn).SetReadBuffer(4096)
			<-t.Context().Done()
		})
		target, _ := netpolicy.ParseURL(url)
		if _, err := c.Do(t.Context(), Request{Method: "POST", Target: target, Body: endless{}, ContentLength: -1}); err == nil {
			t.Error("no error")
		}
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestDenialsAreBounded(t *testing.T) {
	c := newClient(t, Config{})
	for i := range 1000 {
		target := netpolicy.Target{Scheme: "http", Addr: netip.AddrFrom4([4]byte{1, 1, byte(i >> 8), byte(i)}), Port: 80, Path: "/?secret"}
		for range 2 {
			c.Do(t.Context(), Request{Target: target})
		}
	}
	d := c.Denials()
	if len(d) != maxDenials+1 || d[0].Count != 2 || d[maxDenials].Count != 2*(1000-maxDenials) {
		t.Errorf("%d denials, first %+v, last %+v", len(d), d[0], d[len(d)-1])
	}
	for _, one := range d {
		if strings.Contains(one.Target+one.Reason, "secret") {
			t.Errorf("a query in %+v", one)
		}
	}
}

func TestEndOfTheJob(t *testing.T) {
	started := make(chan struct{}, 8)
	url := raw(t, func(c net.Conn) {
		readRequest(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1")
		started <- struct{}{}
		io.Copy(io.Discard, c)
	})
	target, _ := netpolicy.ParseURL(url)
	t.Run("context", func(t *testing.T) {
		c := open(t, Limits{})
		why := errors.New("deadline of the job")
		ctx, cancel := context.WithCancelCause(t.Context())
		resp, err := c.Do(ctx, Request{Method: "GET", Target: target})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		<-started
		cancel(why)
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("close", func(t *testing.T) {
		c := open(t, Limits{})
		resp, err := c.Do(t.Context(), Request{Method: "GET", Target: target})
		if err != nil {
			t.Fatal(err)
		}
		<-started
		c.Close()
		c.Close()
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		resp.Body.Close()
		if _, err := c.Do(t.Context(), Request{Method: "GET", Target: target}); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.conns) != 0 {
			t.Errorf("%d connections left", len(c.conns))
		}
	})
	t.Run("connect", func(t *testing.T) {
		dns := startDNS(t, map[string][][]string{"a.example.": {{"127.0.0.1"}}})
		c := newClient(t, Config{Policy: lists{allow: []string{"*"}}.policy(t, operatorLifts), Resolver: dns.resolver(), Limits: Limits{Connect: 50 * time.Millisecond}})
		c.testDial = func(ctx context.Context, _ *net.Dialer, _ netip.AddrPort) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var timeout *TimeoutError
		if _, err := get(t, c, "http://a.example/"); !errors.As(err, &timeout) || timeout.Phase != "connect" {
			t.Errorf("got %v", err)
		}
	})
}

// Two hundred requests at once through one client, some denied: nothing is miscounted.
func TestManyAtOnce(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	c := open(t, Limits{Requests: 150, Concurrent: 1000})
	var wg sync.WaitGroup
	var ok, refused atomic.Int64
	for range 200 {
		wg.Go(func() {
			_, _, err := readAll(t, c, s.URL)
			var limit *LimitError
			switch {
			case err == nil:
				ok.Add(1)
			case errors.As(err, &limit):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ok.Load() != 150 || refused.Load() != 50 || c.inFlight.Load() != 0 {
		t.Errorf("%d ok, %d refused, %d in flight", ok.Load(), refused.Load(), c.inFlight.Load())
	}
}

func BenchmarkNewClose(b *testing.B) {
	policy := lists{}.policy(b, netpolicy.Options{})
	b.ReportAllocs()
	for b.Loop() {
		New(Config{Policy: policy}).Close()
	}
}
