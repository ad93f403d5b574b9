package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"boxfleet/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestSignIsTheSpecs: the example of the Standard Webhooks specification's own
// reference libraries.
func TestSignIsTheSpecs(t *testing.T) {
	t.Parallel()
	n := notifier(t, Config{Hosts: []string{"*"}})
	key, err := n.key("secret://hook")
	if err != nil {
		t.Fatal(err)
	}
	got := Sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

func notifier(t *testing.T, cfg Config) *Notifier {
	t.Helper()
	cfg.Secrets = map[string]string{"hook": secret, "text": "not encoded", "bad": "whsec_%%%", "empty": ""}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func message(url string) *jobs.Notification {
	return &jobs.Notification{ID: "batch_1", Tenant: "default", Webhook: jobs.Webhook{URL: url, Secret: "secret://hook"}, Body: []byte(`{"type":"batch.ended"}`)}
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func trusting(s *httptest.Server) Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return Config{Hosts: []string{"https://127.0.0.1:*"}, AllowPrivate: true, RootCAs: pool}
}

func TestDelivers(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	got := make(chan *http.Request, 1)
	var body []byte
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		got <- r
		w.WriteHeader(http.StatusNoContent)
	})
	cfg := trusting(s)
	cfg.Now = func() time.Time { return at }
	n := notifier(t, cfg)
	m := message(s.URL + "/hook?token=a%20b")
	if err := n.Notify(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r := <-got
	key, _ := n.key("secret://hook")
	if r.Method != "POST" || r.RequestURI != "/hook?token=a%20b" || r.Header.Get("Content-Type") != "application/json" || string(body) != string(m.Body) {
		t.Errorf("the request is %s %s %v %q", r.Method, r.RequestURI, r.Header, body)
	}
	if r.Header.Get("webhook-id") != "batch_1" || r.Header.Get("webhook-timestamp") != "1700000000" || r.Header.Get("webhook-signature") != Sign(key, "batch_1", "1700000000", body) {
		t.Errorf("the request is signed by %v", r.Header)
	}
}

// TestAnswers: what an endpoint says decides whether there is another attempt.
func TestAnswers(t *testing.T) {
	t.Parallel()
	var metadata atomic.Int32
	trap := serve(t, func(http.ResponseWriter, *http.Request) { metadata.Add(1) })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/500":
			http.Error(w, "out\x1b[31m of\r\n order "+strings.Repeat("x", 10_000), 500)
		case "/410":
			w.WriteHeader(410)
		case "/404":
			w.WriteHeader(404)
		case "/redirect":
			http.Redirect(w, r, trap.URL+"/latest/meta-data/", http.StatusTemporaryRedirect)
		case "/gigabyte":
			w.WriteHeader(500)
			for range 1 << 14 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		case "/headers":
			w.Header().Set("X-Long", strings.Repeat("x", 100<<10))
		case "/cut":
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
		}
	})
	n := notifier(t, trusting(s))
	for path, want := range map[string]struct {
		class jobs.Class
		says  string
	}{
		"/ok":       {},
		"/500":      {jobs.ClassTransient, "answered 500: out"},
		"/404":      {jobs.ClassTransient, "answered 404"},
		"/410":      {jobs.ClassPermanent, "410"},
		"/redirect": {jobs.ClassTransient, "none is followed"},
		"/gigabyte": {jobs.ClassTransient, "answered 500"},
		"/headers":  {jobs.ClassTransient, "spent"},
		"/cut":      {jobs.ClassTransient, "EOF"},
	} {
		err := n.Notify(t.Context(), message(s.URL+path))
		if want.says == "" {
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			continue
		}
		if err == nil || jobs.Classify(err) != want.class || !strings.Contains(err.Error(), want.says) || strings.ContainsAny(err.Error(), "\x1b\r\n") || len(err.Error()) > 400 {
			t.Errorf("%s: %q, want class %s and %q", path, err, want.class, want.says)
		}
	}
	if metadata.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestHangingEndpoint: the attempt ends with its context, not with the
// endpoint's patience.
func TestHangingEndpoint(t *testing.T) {
	t.Parallel()
	reached, release := make(chan struct{}), make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { close(reached); <-release })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if err := notifier(t, trusting(s)).Notify(ctx, message(s.URL)); !errors.Is(err, context.Canceled) {
		t.Errorf("a hanging endpoint gives %v", err)
	}
}

// TestRefuses: what the operator's settings do not allow is never sent.
func TestRefuses(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var connected atomic.Int32
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connected.Add(1)
			_ = c.Close()
		}
	}()
	here := l.Addr().String()
	_, port, _ := net.SplitHostPort(here)
	for _, c := range []struct {
		name, url, secret string
		cfg               Config
		says              string
	}{
		{"another host", "https://" + here, "hook", Config{Hosts: []string{"https://hooks.example.com"}, AllowPrivate: true}, "allowed_outbound_hosts"},
		{"loopback", "https://" + here, "hook", Config{Hosts: []string{"*"}}, "private"},
		{"loopback by name", "https://localhost:" + port, "hook", Config{Hosts: []string{"*"}}, "private"},
		{"metadata service", "https://169.254.169.254/latest/meta-data/", "hook", Config{Hosts: []string{"*"}}, "private"},
		{"mapped address", "https://[::ffff:127.0.0.1]:" + port, "hook", Config{Hosts: []string{"*"}}, "private"},
		{"plain http", "http://" + here, "hook", Config{Hosts: []string{"*"}, AllowPrivate: true}, "plain http"},
		{"plain http elsewhere", "http://" + here, "hook", Config{Hosts: []string{"*", "http://hooks.example.com"}, AllowPrivate: true}, "operator"},
		{"no such secret", "https://" + here, "nobody", Config{Hosts: []string{"*"}, AllowPrivate: true}, "no \"nobody\""},
		{"empty secret", "https://" + here, "empty", Config{Hosts: []string{"*"}, AllowPrivate: true}, "no \"empty\""},
		{"bad secret", "https://" + here, "bad", Config{Hosts: []string{"*"}, AllowPrivate: true}, "not base64"},
		{"no address", "https://%zz/", "hook", Config{Hosts: []string{"*"}, AllowPrivate: true}, "address"},
	} {
		m := message(c.url)
		m.Webhook.Secret = "secret://" + c.secret
		err := notifier(t, c.cfg).Notify(t.Context(), m)
		var refused *jobs.RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want a refusal that says %q", c.name, err, c.says)
		}
		if err != nil && (strings.Contains(err.Error(), "MfKQ9r8G") || strings.Contains(err.Error(), "meta-data")) {
			t.Errorf("%s: the error %q holds a secret or a path", c.name, err)
		}
	}
	l.Close()
	<-accepted
	if n := connected.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	for _, hosts := range [][]string{nil, {"ftp://x"}, {"https://"}} {
		if _, err := New(Config{Hosts: hosts}); err == nil {
			t.Errorf("hosts %q are taken", hosts)
		}
	}
}

// TestPlainHTTPWhereAllowed: an operator may allow it by name.
func TestPlainHTTPWhereAllowed(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	n := notifier(t, Config{Hosts: []string{"http://127.0.0.1:*"}, AllowPrivate: true})
	m := message(s.URL)
	m.Webhook.Secret = "secret://text"
	if err := n.Notify(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}
