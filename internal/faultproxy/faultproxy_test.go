package faultproxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a server whose body names the request.
func backend(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.Host+" "+string(b))
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return l.Addr().String()
}

func TestHTTP(t *testing.T) {
	p, err := StartHTTP(backend(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	post := func() (int, string, error) {
		resp, err := client.Post("http://"+p.Addr()+"/path", "", strings.NewReader("sent"))
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}
	whole := "POST " + p.Addr() + " sent"

	for _, tc := range []struct {
		name   string
		fault  Fault
		status int
		body   string
		broken bool
	}{
		{"faithful", Fault{Match: Method("PUT", "")}, 200, whole, false},
		{"other path", Fault{Match: Method("POST", "elsewhere"), Cut: true}, 200, whole, false},
		{"delayed", Fault{Delay: time.Millisecond}, 200, whole, false},
		{"cut", Fault{Cut: true}, 0, "", true},
		{"cut response", Fault{CutResponse: true}, 0, "", true},
		{"truncated", Fault{TruncateBody: true}, 200, whole[:len(whole)/2], true},
		{"rewritten", Fault{Rewrite: func(b []byte) []byte { return append(b, '!') }}, 200, whole + "!", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.fault.Name = tc.name
			p.Set(tc.fault)
			status, body, err := post()
			if status != tc.status || body != tc.body || (err != nil) != tc.broken {
				t.Fatalf("got %d %q %v, want %d %q broken %v", status, body, err, tc.status, tc.body, tc.broken)
			}
		})
	}

	t.Run("status, twice", func(t *testing.T) {
		p.Set(Fault{Name: "busy", Status: 503, Code: "SlowDown", Times: 2})
		for i, want := range []int{503, 503, 200} {
			status, body, err := post()
			if status != want || err != nil || (want == 503) != strings.Contains(body, "<Code>SlowDown</Code>") {
				t.Fatalf("request %d: %d %q %v", i, status, body, err)
			}
		}
		if n := p.Count("busy"); n != 2 {
			t.Fatalf("applied %d times", n)
		}
	})

	t.Run("requests are remembered", func(t *testing.T) {
		p.Set()
		p.Requests()
		if _, _, err := post(); err != nil {
			t.Fatal(err)
		}
		if r := p.Requests(); len(r) != 1 || r[0] != "POST /path" {
			t.Fatalf("remembered %q", r)
		}
	})
}

// echo is a server that returns what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

func TestTCP(t *testing.T) {
	p, err := StartTCP(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ask := func(c net.Conn) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	c := dial()
	defer c.Close()
	if err := ask(c); err != nil {
		t.Fatal(err)
	}

	p.Freeze()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var ne net.Error
	if err := ask(c); !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatalf("frozen: %v", err)
	}
	p.Thaw()
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatalf("thawed: %v", err)
	}

	p.Latency(30 * time.Millisecond)
	before := time.Now()
	if err := ask(c); err != nil || time.Since(before) < 60*time.Millisecond {
		t.Fatalf("slow link answered after %v, %v", time.Since(before), err)
	}
	p.Latency(0)

	p.Cut()
	if err := ask(c); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("cut: %v", err)
	}
	p.Refuse(true)
	r := dial()
	defer r.Close()
	if err := ask(r); err == nil {
		t.Fatal("a refused connection works")
	}
	p.Refuse(false)
	again := dial()
	defer again.Close()
	if err := ask(again); err != nil {
		t.Fatalf("after refusing: %v", err)
	}
}
