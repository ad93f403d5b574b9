package artifacts_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"boxfleet/artifacts"
	"boxfleet/internal/faultproxy"
)

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	good := artifacts.Config{Endpoint: "127.0.0.1:9000", AccessKey: "a", SecretKey: "hidden"}
	for _, tc := range []struct {
		name   string
		change func(*artifacts.Config)
		want   string // field named by the error; "" when it is good
	}{
		{"defaults", func(*artifacts.Config) {}, ""},
		{"url", func(c *artifacts.Config) { c.Endpoint = "http://127.0.0.1:9000/" }, ""},
		{"no endpoint", func(c *artifacts.Config) { c.Endpoint = "" }, "Endpoint"},
		{"other scheme", func(c *artifacts.Config) { c.Endpoint = "ftp://host" }, "Endpoint"},
		{"path", func(c *artifacts.Config) { c.Endpoint = "host:1/bucket" }, "Endpoint"},
		{"user", func(c *artifacts.Config) { c.Endpoint = "me@host:1" }, "Endpoint"},
		{"port alone", func(c *artifacts.Config) { c.Endpoint = ":9000" }, "Endpoint"},
		{"no access key", func(c *artifacts.Config) { c.AccessKey = "" }, "AccessKey"},
		{"no secret", func(c *artifacts.Config) { c.SecretKey = "" }, "SecretKey"},
		{"bucket", func(c *artifacts.Config) { c.Bucket = "Not_A_Bucket" }, "Bucket"},
		{"stall", func(c *artifacts.Config) { c.StallTimeout = -1 }, "StallTimeout"},
		{"tries", func(c *artifacts.Config) { c.Tries = -1 }, "Tries"},
		{"parallel", func(c *artifacts.Config) { c.Parallel = 1000 }, "Parallel"},
		{"parts", func(c *artifacts.Config) { c.MultipartAbove = 1 }, "MultipartAbove"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := good
			tc.change(&cfg)
			s, err := artifacts.Open(cfg)
			switch {
			case tc.want == "" && err != nil:
				t.Fatal(err)
			case tc.want == "":
				s.Close()
			case err == nil || !strings.Contains(err.Error(), "storage "+tc.want):
				t.Fatalf("error %v does not name %s", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "hidden") {
				t.Fatalf("error %q tells the secret", err)
			}
		})
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(verb, good); strings.Contains(out, "hidden") {
			t.Errorf("%s prints the secret: %s", verb, out)
		}
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	store := server.Store(t)
	if err := store.Ping(t.Context()); err != nil {
		t.Fatalf("empty bucket: %v", err)
	}
	put(t, store, "some", "thing")
	if err := store.Ping(t.Context()); err != nil {
		t.Fatalf("bucket with an object: %v", err)
	}

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, tc := range []struct {
		name   string
		change func(*artifacts.Config)
		kind   error
		words  []string
	}{
		{"wrong secret", func(c *artifacts.Config) { c.SecretKey = "wrong" }, artifacts.ErrCredentials, []string{"storetest", server.Addr}},
		{"unknown access key", func(c *artifacts.Config) { c.AccessKey = "nobody" }, artifacts.ErrCredentials, []string{"nobody"}},
		{"no bucket", func(c *artifacts.Config) { c.Bucket = "never-made" }, artifacts.ErrNotFound, []string{"never-made", "create it"}},
		{"nobody listens", func(c *artifacts.Config) { c.Endpoint = closed.Addr().String() }, artifacts.ErrUnavailable, []string{closed.Addr().String()}},
		{"wrong region", func(c *artifacts.Config) { c.Region = "eu-north-7" }, artifacts.ErrCredentials, []string{"eu-north-7"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := server.Config(store.Bucket())
			cfg.Tries = 1
			tc.change(&cfg)
			s, err := artifacts.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			// All of them are the operator's to mend: no job is given up for them.
			wantError(t, s.Ping(t.Context()), tc.kind, artifacts.Transient, tc.words...)
		})
	}
}

func TestWrongCredentialsAreNotTheTenants(t *testing.T) {
	t.Parallel()
	store := server.Store(t)
	put(t, store, "there", "x")
	cfg := server.Config(store.Bucket())
	cfg.SecretKey = "wrong"
	s, err := artifacts.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	ops := map[string]func() error{
		"get":    func() error { _, err := s.Get(ctx, "", "there", 10); return err },
		"stat":   func() error { _, err := s.Stat(ctx, "", "there"); return err },
		"put":    func() error { return s.Put(ctx, "", "there", nil) },
		"delete": func() error { return s.Delete(ctx, "", "there") },
		"blob":   func() error { _, err := s.PutBlobBytes(ctx, []byte("b")); return err },
		"prefix": func() error { _, err := s.DeletePrefix(ctx, "", "there/"); return err },
		"list": func() error {
			for _, err := range s.List(ctx, "", "") {
				return err
			}
			return nil
		},
	}
	for name, op := range ops {
		t.Run(name, func(t *testing.T) {
			wantError(t, op(), artifacts.ErrCredentials, artifacts.Transient)
		})
	}
	if b, err := store.Get(ctx, "", "there", 10); err != nil || string(b) != "x" {
		t.Fatalf("after all that: %q, %v", b, err)
	}
}

func TestClass(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want artifacts.FailureClass
	}{
		{artifacts.ErrNotFound, artifacts.Permanent},
		{artifacts.ErrAccess, artifacts.Permanent},
		{artifacts.ErrDigestMismatch, artifacts.Permanent},
		{artifacts.ErrTooLarge, artifacts.Permanent},
		{artifacts.ErrInvalidName, artifacts.Permanent},
		{artifacts.ErrInvalid, artifacts.Permanent},
		{artifacts.ErrExists, artifacts.Permanent},
		{artifacts.ErrNoSpace, artifacts.Transient},
		{artifacts.ErrUnavailable, artifacts.Transient},
		{artifacts.ErrCredentials, artifacts.Transient},
		{artifacts.ErrLocked, artifacts.Transient},
		{context.Canceled, artifacts.Transient},
		{io.ErrUnexpectedEOF, artifacts.Transient},
		{errors.New("something new"), artifacts.Transient},
		{fmt.Errorf("stage: %w: %w", artifacts.ErrNotFound, artifacts.ErrUnavailable), artifacts.Transient},
	} {
		if got := artifacts.Class(fmt.Errorf("wrapped: %w", tc.err)); got != tc.want {
			t.Errorf("%v is %v, want %v", tc.err, got, tc.want)
		}
	}
}

func TestTransientFaultsAreRetried(t *testing.T) {
	t.Parallel()
	store, proxy := proxied(t)
	ctx := t.Context()
	put(t, store, "object", "content")
	ops := map[string]func() error{
		"put": func() error { return store.Put(ctx, "", "put", []byte("body")) },
		"get": func() error {
			b, err := store.Get(ctx, "", "object", 100)
			if err == nil && string(b) != "content" {
				err = fmt.Errorf("read %q", b)
			}
			return err
		},
		"stat": func() error { _, err := store.Stat(ctx, "", "object"); return err },
	}
	for _, fault := range []faultproxy.Fault{
		{Name: "busy", Status: 503, Code: "SlowDown", Times: 2},
		{Name: "internal", Status: 500, Code: "InternalError", Times: 2},
		{Name: "cut", Cut: true, Times: 2},
		{Name: "cut response", CutResponse: true, Times: 2},
	} {
		for name, op := range ops {
			t.Run(fault.Name+" "+name, func(t *testing.T) {
				before := proxy.Count(fault.Name)
				proxy.Set(fault)
				defer proxy.Set()
				if err := op(); err != nil {
					t.Fatal(err)
				}
				if n := proxy.Count(fault.Name) - before; n != 2 {
					t.Fatalf("the fault struck %d times", n)
				}
			})
		}
	}
}

func TestLastingFaults(t *testing.T) {
	t.Parallel()
	store, proxy := proxied(t, func(c *artifacts.Config) { c.Tries = 2; c.StallTimeout = 300 * time.Millisecond })
	ctx := t.Context()
	put(t, store, "object", repeat("content ", 1000))
	for _, tc := range []struct {
		fault faultproxy.Fault
		kind  error
		class artifacts.FailureClass
	}{
		{faultproxy.Fault{Name: "busy", Status: 503, Code: "SlowDown"}, artifacts.ErrUnavailable, artifacts.Transient},
		{faultproxy.Fault{Name: "cut", Cut: true}, artifacts.ErrUnavailable, artifacts.Transient},
		{faultproxy.Fault{Name: "truncated", TruncateBody: true}, artifacts.ErrUnavailable, artifacts.Transient},
		{faultproxy.Fault{Name: "stalled", Stall: true}, artifacts.ErrUnavailable, artifacts.Transient},
		{faultproxy.Fault{Name: "denied", Status: 403, Code: "AccessDenied"}, artifacts.ErrAccess, artifacts.Permanent},
		{faultproxy.Fault{Name: "expired", Status: 400, Code: "ExpiredToken"}, artifacts.ErrCredentials, artifacts.Transient},
		{faultproxy.Fault{Name: "clock", Status: 403, Code: "RequestTimeTooSkewed"}, artifacts.ErrCredentials, artifacts.Transient},
	} {
		t.Run(tc.fault.Name, func(t *testing.T) {
			proxy.Set(tc.fault)
			defer proxy.Set()
			_, err := store.Get(ctx, "", "object", 1<<20)
			wantError(t, err, tc.kind, tc.class, "object")
			if tc.fault.TruncateBody {
				return // a response to PUT has no body to truncate
			}
			wantError(t, store.Put(ctx, "", "object", []byte("x")), tc.kind, tc.class, "object")
		})
	}
	// A caller who gives up gets its own error back, and at once.
	proxy.Set(faultproxy.Fault{Stall: true})
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := store.Get(short, "", "object", 10); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, artifacts.ErrUnavailable) {
		t.Fatalf("after its deadline: %v", err)
	}
}

// A transfer that moves may take longer than the stall timeout.
func TestSlowIsNotStalled(t *testing.T) {
	t.Parallel()
	p, err := faultproxy.StartTCP(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	store := server.StoreVia(t, p.Addr(), func(c *artifacts.Config) { c.StallTimeout = 250 * time.Millisecond; c.Tries = 1 })
	defer store.Close()
	body := repeat("x", 1<<20)
	put(t, store, "slow", body)
	p.Latency(20 * time.Millisecond) // per chunk of 32 KiB at most
	before := time.Now()
	b, err := store.Get(t.Context(), "", "slow", 2<<20)
	if err != nil || string(b) != body {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if took := time.Since(before); took < 500*time.Millisecond {
		t.Fatalf("took only %v: the link was not slow", took)
	}
}

func TestLostCommitResponse(t *testing.T) {
	t.Parallel()
	store, proxy := proxied(t)
	ctx := t.Context()
	mine := artifacts.Manifest{Job: "j", Attempt: 3, Worker: "w"}
	// The write happens and its answer is lost: the retry meets its own object.
	proxy.Set(faultproxy.Fault{Name: "lost", Match: faultproxy.Method("PUT", "manifest"), CutResponse: true, Times: 1})
	m, committed, err := store.CommitManifest(ctx, "", "j/manifest.json", mine)
	if err != nil || !committed || m.Attempt != 3 || proxy.Count("lost") != 1 {
		t.Fatalf("%+v, committed %v, %v, lost %d", m, committed, err, proxy.Count("lost"))
	}
	// Every answer is lost: the caller cannot know, and asking again tells.
	proxy.Set(faultproxy.Fault{Match: faultproxy.Method("PUT", "manifest"), CutResponse: true})
	other := artifacts.Manifest{Job: "k", Attempt: 1, Worker: "w"}
	if _, committed, err := store.CommitManifest(ctx, "", "k/manifest.json", other); err == nil && !committed {
		t.Fatal("its own manifest was taken for another's")
	}
	proxy.Set()
	if _, committed, err := store.CommitManifest(ctx, "", "k/manifest.json", other); err != nil || !committed {
		t.Fatalf("asked again: committed %v, %v", committed, err)
	}
}

// A server, or something before it, that does not know the condition is found
// out. Stripping the header would break the signature, so the proxy turns the
// refusal into the success that such a server reports.
func TestStoreWithoutConditionalPut(t *testing.T) {
	t.Parallel()
	store, proxy := proxied(t)
	puts := faultproxy.Method("PUT", "")
	proxy.Set(faultproxy.Fault{Name: "honest", Match: puts, Times: 1}, faultproxy.Fault{Name: "lie", Match: puts, Status: http.StatusOK})
	wantError(t, store.CheckConditionalPut(t.Context()), artifacts.ErrInvalid, artifacts.Permanent, "committed twice", store.Endpoint())
	if proxy.Count("lie") != 1 {
		t.Error("the proxy did not lie")
	}
}

func TestForeignManifest(t *testing.T) {
	t.Parallel()
	store := server.Store(t)
	for name, body := range map[string]string{"garbage": "not json", "version": `{"version":9}`, "empty": ""} {
		put(t, store, name, body)
		if _, committed, err := store.CommitManifest(t.Context(), "", name, artifacts.Manifest{Job: "j"}); committed || !errors.Is(err, artifacts.ErrInvalid) {
			t.Errorf("over %s: committed %v, %v", name, committed, err)
		}
	}
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	store, proxy := proxied(t)
	proxy.Requests()
	for _, key := range []string{"", repeat("k", 1025), "a\x00b", "\xff\xfe"} {
		wantError(t, store.Put(t.Context(), "", key, nil), artifacts.ErrInvalidName, artifacts.Permanent)
		_, err := store.Get(t.Context(), "", key, 1)
		wantError(t, err, artifacts.ErrInvalidName, artifacts.Permanent)
	}
	if r := proxy.Requests(); len(r) != 0 {
		t.Fatalf("requests were made: %q", r)
	}
}

// TestConditionalPutProbeUnheard: the probe's first request arrives and its
// answer does not; that its repetition is refused is the proof.
func TestConditionalPutProbeUnheard(t *testing.T) {
	t.Parallel()
	store, proxy := proxied(t)
	proxy.Set(faultproxy.Fault{Name: "unheard", Match: faultproxy.Method("PUT", "probes/"), Times: 1, CutResponse: true})
	if err := store.CheckConditionalPut(t.Context()); err != nil {
		t.Error(err)
	}
	if proxy.Count("unheard") != 1 {
		t.Error("every answer was heard")
	}
	for o := range store.List(t.Context(), "", "probes/") {
		t.Errorf("%s stayed", o.Key)
	}
}
