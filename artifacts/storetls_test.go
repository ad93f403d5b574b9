package artifacts_test

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/artifacts"
)

// TestStoreTLS: the real S3 server behind TLS whose certificate the system's
// authorities have not signed.
func TestStoreTLS(t *testing.T) {
	cfg := server.Config("tls-bucket")
	behind, err := url.Parse(cfg.WithDefaults().Endpoint)
	if err != nil || behind.Host == "" {
		behind = &url.URL{Scheme: "http", Host: cfg.WithDefaults().Endpoint}
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.Out.Host = r.In.Host // requests are signed for it
	}}
	front := httptest.NewTLSServer(proxy)
	defer front.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(ca, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Endpoint, cfg.Tries = front.URL, 1

	open := func(ca string) (*artifacts.Store, error) {
		cfg := cfg
		cfg.CAFile = ca
		return artifacts.Open(cfg)
	}
	s, err := open("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.EnsureBucket(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for gave %v; want a certificate error", err)
	}
	if s, err = open(ca); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.EnsureBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	d, err := s.PutBlobBytes(t.Context(), []byte("over TLS"))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if _, err := s.GetBlob(t.Context(), d, 1<<20, &got); err != nil || got.String() != "over TLS" {
		t.Errorf("read back %q, %v", got.String(), err)
	}
	for name, file := range map[string]string{"missing": ca + ".no", "not PEM": writeFile(t, "hello")} {
		if _, err := open(file); err == nil || !strings.Contains(err.Error(), "CAFile") {
			t.Errorf("%s: opening gave %v; want an error that names CAFile", name, err)
		}
	}
	if _, err := open(writeFile(t, "x")); !errors.Is(err, artifacts.ErrInvalid) {
		t.Errorf("a file without certificates gave %v; want ErrInvalid", err)
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
