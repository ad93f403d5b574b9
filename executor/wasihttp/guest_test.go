package wasihttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"boxfleet/executor/outbound"
	"boxfleet/limits/netpolicy"
)

// goGuest compiles a program of the toolbox, once per test binary.
var goGuest = func() func(t testing.TB, pkg string) wazero.CompiledModule {
	var mu sync.Mutex
	compiled := map[string]wazero.CompiledModule{}
	return func(t testing.TB, pkg string) wazero.CompiledModule {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if c := compiled[pkg]; c != nil {
			return c
		}
		ctx := context.Background()
		out := filepath.Join(t.TempDir(), "guest.wasm")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
		cmd.Dir = filepath.Join("..", "..", "toolbox")
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, text)
		}
		cmd = exec.Command("go", "run", "./internal/precompile", shared.cacheDir, out)
		cmd.Env = append(os.Environ(), "GOFLAGS=")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("compile %s: %v\n%s", pkg, err, text)
		}
		binary, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if shared.rt.Module(wasi_snapshot_preview1.ModuleName) == nil {
			if _, err := wasi_snapshot_preview1.Instantiate(ctx, shared.rt); err != nil {
				t.Fatal(err)
			}
		}
		c, err := shared.rt.CompileModule(ctx, binary)
		if err != nil {
			t.Fatal(err)
		}
		var imports []string
		for _, f := range c.ImportedFunctions() {
			module, _, _ := f.Import()
			imports = append(imports, module)
		}
		if err := Register(ctx, shared.rt, imports); err != nil {
			t.Fatal(err)
		}
		compiled[pkg] = c
		return c
	}
}()

const testguest = "./guesthttp/testguest"

// runGuest runs a program to its end and gives what it printed, its exit code and the Host it had.
func runGuest(t testing.TB, pkg string, cfg Config, args ...string) (stdout string, code uint32, h *Host, err error) {
	t.Helper()
	c := goGuest(t, pkg)
	h = New(cfg)
	defer h.Close()
	ctx := h.Context(context.Background())
	var out bytes.Buffer
	mod, err := shared.rt.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithName("").WithArgs(append([]string{"guest"}, args...)...).
		WithStdout(&out).WithStderr(&out).WithSysWalltime().WithSysNanotime().WithSysNanosleep())
	if mod != nil {
		mod.Close(ctx)
	}
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		return out.String(), exit.ExitCode(), h, nil
	}
	return out.String(), 0, h, err
}

func TestGoGuest(t *testing.T) {
	var together sync.WaitGroup
	together.Add(5)
	mux := http.NewServeMux()
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Test", r.Method)
		w.Header().Set("Trailer", "X-Trailer")
		io.WriteString(w, strings.Repeat("x", 300_000))
		w.Header().Set("X-Trailer", "end")
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/get", http.StatusFound) })
	mux.HandleFunc("/out", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://denied.example/", http.StatusFound)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/post", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, " ", r.ContentLength)
	})
	mux.HandleFunc("/together", func(w http.ResponseWriter, r *http.Request) {
		together.Done()
		together.Wait()
		io.WriteString(w, "ok")
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		c.EnableFullDuplex()
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "no")
		c.Flush()
		io.Copy(io.Discard, r.Body)
	})
	s := serve(t, mux.ServeHTTP)
	tests := []struct {
		name   string
		args   []string
		stdout string // a part of it
		code   uint32
	}{
		{"get", []string{"get", "/get"}, "200 GET 300000 end /get", 0},
		{"redirect", []string{"get", "/redirect"}, "200 GET 300000 end /get", 0},
		{"redirect to a denied host", []string{"get", "/out"}, "error-code HTTP-request-denied", 1},
		{"redirect loop", []string{"get", "/loop"}, "stopped after 10 redirects", 1},
		{"post", []string{"post", "/post", "200000"}, "200000 200000", 0},
		{"post nothing", []string{"post", "/post", "0"}, "0 0", 0},
		{"post of unknown length", []string{"post", "/post", "200000", "x"}, "200000 -1", 0},
		{"post by another goroutine", []string{"pipe", "/post"}, "100000 -1", 0},
		{"post to a server that answers first", []string{"post", "/early", "3000000"}, "no", 0},
		{"five at once", []string{"many", "/together", "5"}, "200  2  /together", 0},
		{"context", []string{"timeout", "/hang", "100"}, "deadline exceeded", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{tt.args[0], s.URL + tt.args[1]}, tt.args[2:]...)
			stdout, code, h, err := runGuest(t, testguest, Config{Policy: policy(t, s.URL)}, args...)
			if err != nil || code != tt.code || !strings.Contains(stdout, tt.stdout) {
				t.Errorf("got %q, code %d, %v", stdout, code, err)
			}
			if h.fieldBytes != 0 || h.buffered != 0 {
				t.Errorf("left: %d bytes of fields, %d of bodies", h.fieldBytes, h.buffered)
			}
			denied := strings.Contains(tt.stdout, "denied")
			if d := h.Denials(); denied != (len(d) == 1) || denied && d[0].Target != "http://denied.example:80" {
				t.Errorf("denials %+v", d)
			}
		})
	}
	t.Run("deadline", func(t *testing.T) {
		deadline := errors.New("deadline of the run")
		stop := newStopper(deadline)
		hung := raw(t, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			stop.stop()
			io.Copy(io.Discard, c)
		})
		if _, _, _, err := runGuest(t, testguest, Config{Policy: policy(t, "*"), Interrupter: stop}, "get", hung); !errors.Is(err, deadline) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no policy", func(t *testing.T) {
		stdout, code, h, err := runGuest(t, testguest, Config{}, "get", s.URL+"/get")
		if err != nil || code != 1 || !strings.Contains(stdout, "error-code HTTP-request-denied") || len(h.Denials()) != 1 {
			t.Errorf("got %q, code %d, %v, %+v", stdout, code, err, h.Denials())
		}
	})
}

func TestWebFetch(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<title>T</title><h1>Hello</h1><p>from <a href='/x'>here</a>")
	})
	stdout, code, _, err := runGuest(t, "./cmd/web-fetch", Config{Policy: policy(t, s.URL)}, "--url="+s.URL)
	want := `{"content":"# Hello\n\nfrom [here](` + s.URL + `/x)","is_error":false`
	if err != nil || code != 0 || !strings.HasPrefix(stdout, want) {
		t.Errorf("got %s, code %d, %v", stdout, code, err)
	}
	strict, err := netpolicy.Parse([]string{"*"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	stdout, code, h, err := runGuest(t, "./cmd/web-fetch", Config{Policy: strict}, "--url="+s.URL)
	if err != nil || code != 1 || !strings.Contains(stdout, `"is_error":true`) || !strings.Contains(stdout, "HTTP-request-denied") || len(h.Denials()) != 1 {
		t.Errorf("got %s, code %d, %v", stdout, code, err)
	}
}

// The overhead of one request: the same server asked by the host's own client, and by a guest through wasi:http.
func BenchmarkRequest(b *testing.B) {
	s := serve(b, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	limits := outbound.Limits{Requests: 1 << 40, Bytes: 1 << 50}
	b.Run("host", func(b *testing.B) {
		c := outbound.New(outbound.Config{Policy: policy(b, "*"), Limits: limits})
		defer c.Close()
		target, err := netpolicy.ParseURL(s.URL)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			resp, err := c.Do(b.Context(), outbound.Request{Method: "GET", Target: target})
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
	b.Run("guest", func(b *testing.B) {
		goGuest(b, testguest)
		b.ResetTimer()
		stdout, code, _, err := runGuest(b, testguest, Config{Policy: policy(b, "*"), Limits: limits}, "bench", s.URL, fmt.Sprint(b.N))
		if err != nil || code != 0 {
			b.Fatal(stdout, code, err)
		}
	})
	b.Run("driver", func(b *testing.B) {
		g := newGuest(b, Config{Policy: policy(b, "*"), Limits: limits})
		for b.Loop() {
			g.scratch = scratchStart
			response, _ := g.get(s.URL + "/")
			g.body(response)
			g.must("[resource-drop]incoming-response", response)
		}
	})
}

// What a job without network pays.
func BenchmarkNewClose(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		h := New(Config{})
		h.Context(b.Context())
		h.Close()
	}
}
