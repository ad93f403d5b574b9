package wasihttp

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"boxfleet/executor/outbound"
	"boxfleet/limits/netpolicy"
)

// hostileGuest is an entry of corpus.json; the README beside it explains the members.
type hostileGuest struct {
	Name     string
	Tries    string
	Allow    []string
	BlockURL []string `json:"block_url"`
	Private  bool
	Limits   struct {
		Requests, Bytes       int64
		Concurrent, Redirects int
	}
	Outcome string
	Exit    uint32
	Trap    string
	Denied  []string
	MaxHits *int64 `json:"max_hits"`
}

const corpusDir = "../testdata/hostile/net"

func readCorpus(t testing.TB) []hostileGuest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpusDir, "corpus.json"))
	if err != nil {
		t.Fatal(err)
	}
	var corpus struct{ Guests []hostileGuest }
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&corpus); err != nil {
		t.Fatal(err)
	}
	return corpus.Guests
}

// canary is the server that guests are let near.
type canary struct {
	hits, admin atomic.Int64
	hung        chan struct{} // a token per request to /hang
}

func (c *canary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.hits.Add(1)
	if strings.Contains(r.URL.Path, "admin") {
		c.admin.Add(1)
	}
	switch r.URL.Path {
	case "/redirect-out":
		http.Redirect(w, r, "http://denied.example/latest/meta-data/", http.StatusFound)
	case "/redirect-loop":
		http.Redirect(w, r, "/redirect-loop", http.StatusFound)
	case "/endless":
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	case "/gzip":
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.Copy(z, io.LimitReader(zeroes{}, 10<<20))
		z.Close()
	case "/discard":
		io.Copy(io.Discard, r.Body)
	case "/hang":
		c.hung <- struct{}{}
		<-r.Context().Done()
	default:
		io.WriteString(w, "ok")
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func compileHostile(t testing.TB, name string) wazero.CompiledModule {
	t.Helper()
	binary, err := os.ReadFile(filepath.Join(corpusDir, name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.rt.Module(wasi_snapshot_preview1.ModuleName) == nil {
		if _, err := wasi_snapshot_preview1.Instantiate(t.Context(), shared.rt); err != nil {
			t.Fatal(err)
		}
	}
	c, err := shared.rt.CompileModule(t.Context(), binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(t.Context()) })
	var imports []string
	for _, f := range c.ImportedFunctions() {
		module, _, _ := f.Import()
		imports = append(imports, module)
	}
	if err := Register(t.Context(), shared.rt, imports); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHostileCorpus(t *testing.T) {
	corpus := readCorpus(t)
	if len(corpus) < 15 {
		t.Fatalf("the corpus has %d guests", len(corpus))
	}
	for _, g := range corpus {
		t.Run(g.Name, func(t *testing.T) {
			// Twice at once: what one does is nothing to the other.
			compiled := compileHostile(t, g.Name)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { g.run(t, compiled) })
			}
			wg.Wait()
		})
	}
	sources, err := filepath.Glob(filepath.Join(corpusDir, "*.c"))
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) != len(corpus) {
		t.Errorf("%d sources, %d entries", len(sources), len(corpus))
	}
}

func (g hostileGuest) run(t *testing.T, compiled wazero.CompiledModule) {
	c := &canary{hung: make(chan struct{}, 8)}
	s := serve(t, c.ServeHTTP)
	authority := strings.TrimPrefix(s.URL, "http://")
	p, err := netpolicy.Parse(replaceAll(g.Allow, authority), replaceAll(g.BlockURL, authority), nil)
	if err != nil {
		t.Error(err)
		return
	}
	deadline := errors.New("deadline of the run")
	stop := newStopper(deadline)
	if g.Outcome == "timed_out" {
		go func() {
			if g.MaxHits != nil {
				<-c.hung
			} else {
				time.Sleep(20 * time.Millisecond) // nothing says that a guest sleeps; too early is right too
			}
			stop.stop()
		}()
	}
	h := New(Config{
		Policy: p.WithOptions(netpolicy.Options{AllowPrivate: g.Private}), Interrupter: stop,
		Limits: outbound.Limits{Requests: g.Limits.Requests, Bytes: g.Limits.Bytes, Concurrent: g.Limits.Concurrent, Redirects: g.Limits.Redirects},
	})
	ctx := h.Context(t.Context())
	mod, err := shared.rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithArgs("guest", authority))
	if mod != nil {
		mod.Close(ctx)
	}
	h.Close()

	var exit *sys.ExitError
	switch g.Outcome {
	case "exited":
		code := uint32(0) // wazero gives no error for it
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		if err != nil && exit == nil || code != g.Exit {
			t.Errorf("ended with %v, want exit code %d; a code is 1 + the line of the failed check %% 251", err, g.Exit)
		}
	case "trapped":
		wantTrap(t, err, g.Trap)
	case "timed_out":
		if !errors.Is(err, deadline) {
			t.Errorf("ended with %v", err)
		}
	default:
		t.Errorf("corpus.json has an unknown outcome %q", g.Outcome)
	}
	denials := h.Denials()
	for _, d := range denials {
		if !slices.ContainsFunc(g.Denied, func(rule string) bool { return strings.HasPrefix(d.Rule, rule) }) {
			t.Errorf("unexpected denial %+v", d)
		}
	}
	if len(g.Denied) > 0 && len(denials) == 0 {
		t.Error("nothing is listed as denied")
	}
	if c.admin.Load() != 0 {
		t.Error("/admin was reached")
	}
	if g.MaxHits != nil && c.hits.Load() > *g.MaxHits {
		t.Errorf("the server was reached %d times", c.hits.Load())
	}
	if h.table.live != 0 || h.fieldBytes != 0 || h.buffered != 0 {
		t.Errorf("left: %d handles, %d bytes of fields, %d of bodies", h.table.live, h.fieldBytes, h.buffered)
	}
}

func replaceAll(list []string, authority string) (out []string) {
	for _, entry := range list {
		out = append(out, strings.ReplaceAll(entry, "SERVER", authority))
	}
	return out
}
