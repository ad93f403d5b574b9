// Package telemetry sets up OpenTelemetry for boxfleet's programs: traces and
// metrics by OTLP (gRPC or HTTP) as the standard OTEL_* variables say, and
// metrics for Prometheus.
//
// With no collector configured nothing is exported, nothing blocks and nothing
// is logged: the global providers stay the no-op ones.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Config says what a program wants.
type Config struct {
	// Service is the service.name; Instance the service.instance.id.
	Service, Instance, Version string
	// DefaultOTLP is the base URL of an OTLP/HTTP endpoint for traces, used
	// when no OTEL_* variable names one; "" means no export.
	DefaultOTLP string
	// Metrics turns metrics on: /metrics, and OTLP when configured.
	Metrics bool
	Log     *slog.Logger
}

// Telemetry is what Setup started.
type Telemetry struct {
	// Prometheus serves /metrics; nil without Config.Metrics.
	Prometheus http.Handler
	stop       []func(context.Context) error
}

// Shutdown sends what is buffered and ends the exporters.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var errs []error
	for _, f := range t.stop {
		errs = append(errs, f(ctx))
	}
	return errors.Join(errs...)
}

// Setup installs the global providers.
func Setup(ctx context.Context, cfg Config) (*Telemetry, error) {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	otel.SetErrorHandler(&quietHandler{log: log})
	res, err := resource.New(ctx, resource.WithFromEnv(), resource.WithAttributes(
		attribute.String("service.name", envOr("OTEL_SERVICE_NAME", cfg.Service)),
		attribute.String("service.instance.id", cfg.Instance),
		attribute.String("service.version", cfg.Version)))
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("describe this program to OpenTelemetry: %w", err)
	}
	t := &Telemetry{}
	if err := t.traces(ctx, cfg, res); err != nil {
		return nil, err
	}
	if cfg.Metrics {
		if err := t.metrics(ctx, res); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *Telemetry) traces(ctx context.Context, cfg Config, res *resource.Resource) error {
	var exporter sdktrace.SpanExporter
	var err error
	delay := time.Duration(0)
	switch {
	case os.Getenv("OTEL_SDK_DISABLED") == "true":
		return nil
	case configured("TRACES"):
		exporter, err = autoexport.NewSpanExporter(ctx)
	case cfg.DefaultOTLP != "":
		delay = 200 * time.Millisecond // the local trace store is looked at right after a run
		exporter, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimSuffix(cfg.DefaultOTLP, "/")+"/v1/traces"))
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("set up trace export: %w; check the OTEL_* variables", err)
	}
	if autoexport.IsNoneSpanExporter(exporter) {
		return nil
	}
	var opts []sdktrace.BatchSpanProcessorOption
	if delay > 0 {
		opts = append(opts, sdktrace.WithBatchTimeout(delay))
	}
	// No sampler option: the SDK reads OTEL_TRACES_SAMPLER, and follows the
	// submitter's decision otherwise.
	tp := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(exporter, opts...))
	otel.SetTracerProvider(tp)
	t.stop = append(t.stop, tp.Shutdown)
	return nil
}

func (t *Telemetry) metrics(ctx context.Context, res *resource.Resource) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry))
	if err != nil {
		return fmt.Errorf("set up /metrics: %w", err)
	}
	opts := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(exporter)}
	if configured("METRICS") && os.Getenv("OTEL_SDK_DISABLED") != "true" {
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return fmt.Errorf("set up metric export: %w; check the OTEL_* variables", err)
		}
		if !autoexport.IsNoneMetricReader(reader) {
			opts = append(opts, sdkmetric.WithReader(reader))
		}
	}
	mp := sdkmetric.NewMeterProvider(opts...)
	otel.SetMeterProvider(mp)
	t.stop = append(t.stop, mp.Shutdown)
	t.Prometheus = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return nil
}

// configured tells whether the environment names an exporter for a signal
// (TRACES or METRICS). The SDK's own default, localhost:4317, is not assumed:
// a program that nobody configured must not knock on a port every few seconds.
func configured(signal string) bool {
	if exp := os.Getenv("OTEL_" + signal + "_EXPORTER"); exp != "" {
		return true
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// quietHandler logs the SDK's own errors at most every 30 seconds: a collector
// that is away must not fill the log.
type quietHandler struct {
	log  *slog.Logger
	last atomic.Int64
}

func (h *quietHandler) Handle(err error) {
	now := time.Now().Unix()
	if last := h.last.Load(); now-last >= 30 && h.last.CompareAndSwap(last, now) {
		h.log.Warn("telemetry cannot be sent; jobs are not affected", "error", err)
	}
}
