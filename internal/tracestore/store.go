// Package tracestore is the small trace collector inside `worker dev`: it
// takes OTLP over HTTP, keeps the newest traces in memory, and gives them back
// as JSON for `submit trace`. It is for one machine; a fleet has a real
// collector.
package tracestore

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Bounds of the store: what a stream of traces can make it hold.
const (
	maxTraces    = 2048
	maxSpans     = 256     // of one trace
	maxBody      = 8 << 20 // of one export
	maxAttribute = 1 << 10 // bytes of one attribute's text
)

// Span is one span as `submit trace` reads it.
type Span struct {
	TraceID    string         `json:"trace_id"`
	SpanID     string         `json:"span_id"`
	ParentID   string         `json:"parent_id,omitempty"`
	Name       string         `json:"name"`
	Service    string         `json:"service,omitempty"`
	Start      uint64         `json:"start_unix_nano"`
	End        uint64         `json:"end_unix_nano"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Status     string         `json:"status,omitempty"`
}

// Store keeps the newest traces.
type Store struct {
	mu     sync.Mutex
	traces map[string][]Span
	order  []string // trace ids, oldest first
}

// New makes an empty store.
func New() *Store { return &Store{traces: map[string][]Span{}} }

// Register adds the store's routes: POST /v1/traces and GET /traces/{id}.
func (s *Store) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/traces", s.receive)
	mux.HandleFunc("GET /traces/{id}", s.get)
}

func (s *Store) receive(w http.ResponseWriter, r *http.Request) {
	if ct := r.Header.Get("Content-Type"); ct != "application/x-protobuf" {
		http.Error(w, "want OTLP as application/x-protobuf, got "+strconv.Quote(ct), http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "read the export: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	var req collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &req); err != nil {
		http.Error(w, "not an OTLP trace export: "+err.Error(), http.StatusBadRequest)
		return
	}
	for _, rs := range req.ResourceSpans {
		service := ""
		for _, a := range rs.GetResource().GetAttributes() {
			if a.Key == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, sp := range ss.Spans {
				s.add(convert(sp, service))
			}
		}
	}
	out, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(out)
}

func convert(sp *otlp.Span, service string) Span {
	out := Span{
		TraceID: hex.EncodeToString(sp.TraceId), SpanID: hex.EncodeToString(sp.SpanId), ParentID: hex.EncodeToString(sp.ParentSpanId),
		Name: sp.Name, Service: service, Start: sp.StartTimeUnixNano, End: sp.EndTimeUnixNano,
	}
	if st := sp.GetStatus(); st.GetCode() == otlp.Status_STATUS_CODE_ERROR {
		out.Status = "error: " + clip(st.GetMessage())
	}
	for _, a := range sp.Attributes {
		if out.Attributes == nil {
			out.Attributes = map[string]any{}
		}
		out.Attributes[a.Key] = value(a.GetValue())
	}
	return out
}

func value(v *common.AnyValue) any {
	switch x := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return clip(x.StringValue)
	case *common.AnyValue_IntValue:
		return x.IntValue
	case *common.AnyValue_BoolValue:
		return x.BoolValue
	case *common.AnyValue_DoubleValue:
		return x.DoubleValue
	}
	return clip(v.String())
}

func clip(s string) string { return s[:min(len(s), maxAttribute)] }

func (s *Store) add(sp Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spans, known := s.traces[sp.TraceID]
	if !known {
		if len(s.order) == maxTraces {
			delete(s.traces, s.order[0])
			s.order = s.order[1:]
		}
		s.order = append(s.order, sp.TraceID)
	}
	if len(spans) < maxSpans {
		s.traces[sp.TraceID] = append(spans, sp)
	}
}

func (s *Store) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	spans := s.traces[r.PathValue("id")]
	s.mu.Unlock()
	if spans == nil {
		http.Error(w, "no such trace; only the newest are kept, and only sampled ones", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Spans []Span `json:"spans"`
	}{spans})
}
