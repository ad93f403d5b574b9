package tracestore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"

	"boxfleet/internal/telemetry"
	"boxfleet/internal/tracestore"
)

type answer struct {
	Spans []tracestore.Span `json:"spans"`
}

func get(t *testing.T, url string) (int, answer) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a answer
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode, a
}

// What the telemetry package sends over a socket is what the store gives back.
func TestRealExport(t *testing.T) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"} {
		t.Setenv(name, "")
	}
	mux := http.NewServeMux()
	tracestore.New().Register(mux)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	tel, err := telemetry.Setup(context.Background(), telemetry.Config{Service: "svc", DefaultOTLP: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, parent := otel.Tracer("t").Start(context.Background(), "parent")
	_, child := otel.Tracer("t").Start(ctx, "child")
	child.SetAttributes(attribute.String("k", "v"), attribute.Int("n", 7))
	child.End()
	parent.End()
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	code, got := get(t, srv.URL+"/traces/"+parent.SpanContext().TraceID().String())
	if code != http.StatusOK || len(got.Spans) != 2 {
		t.Fatalf("status %d, %d spans; want both", code, len(got.Spans))
	}
	byName := map[string]tracestore.Span{}
	for _, s := range got.Spans {
		byName[s.Name] = s
	}
	c, p := byName["child"], byName["parent"]
	if c.ParentID != p.SpanID || c.Service != "svc" || c.Attributes["k"] != "v" || c.Attributes["n"] != float64(7) || c.End < c.Start {
		t.Errorf("child = %+v, parent = %+v", c, p)
	}
}

func TestStoreRefuses(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	tracestore.New().Register(mux)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for _, tc := range []struct {
		name, contentType string
		body              []byte
		want              int
	}{
		{"JSON", "application/json", []byte("{}"), http.StatusUnsupportedMediaType},
		{"garbage", "application/x-protobuf", []byte("\xff\xff\xff"), http.StatusBadRequest},
		{"too large", "application/x-protobuf", bytes.Repeat([]byte{0}, 9<<20), http.StatusRequestEntityTooLarge},
	} {
		resp, err := http.Post(srv.URL+"/v1/traces", tc.contentType, bytes.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tc.want {
			t.Errorf("%s: status %d, want %d", tc.name, resp.StatusCode, tc.want)
		}
	}
	if code, _ := get(t, srv.URL+"/traces/"+fmt.Sprintf("%032d", 1)); code != http.StatusNotFound {
		t.Errorf("an unknown trace gave %d", code)
	}
}
