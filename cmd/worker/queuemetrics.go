package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"boxfleet/internal/telemetry"
	"boxfleet/jobs"
)

// queueMetricsCommand accepts every setting of a worker, so that both can share
// a file, and heeds those of NATS, of logs and http.
func queueMetricsCommand(stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use: "queue-metrics", Short: "Serve the length of the fleet's queue to Prometheus", Args: cobra.NoArgs,
		Long: "queue-metrics serves boxfleet_queue_jobs at /metrics of the address that --http names: how many jobs of all\n" +
			"tenants wait and run. A fleet's workers show the same, but an autoscaler that may take the last of them away needs\n" +
			"the number from a process that stays. It runs no jobs and needs no object store.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags())
			if err != nil {
				return err
			}
			if s.natsURL == "" {
				if err := s.complete(); err != nil {
					return err
				}
			}
			log, err := newLogger(stderr, s)
			if err != nil {
				return err
			}
			return queueMetrics(cmd.Context(), s, log)
		},
	}
	settingFlags(cmd.Flags(), nil)
	return cmd
}

// queueMetrics serves until a signal.
func queueMetrics(ctx context.Context, s *settings, log *slog.Logger) error {
	if s.http == "" {
		return &usageError{errors.New("http: empty; queue-metrics has nothing else to do than to listen")}
	}
	ctx, stop := untilSignal(ctx, func() {})
	defer stop()
	tel, err := telemetry.Setup(ctx, telemetry.Config{Service: "boxfleet-queue-metrics", Instance: s.name, Version: version, Metrics: true, Log: log})
	if err != nil {
		return err
	}
	defer flush(tel, log)
	gauge, err := newQueueGauge(log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.http)
	if err != nil {
		return fmt.Errorf("listen on http address %s: %w; choose another with --http, or port 0 for any", s.http, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", tel.Prometheus)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if gauge.current() == nil {
			http.Error(w, "the queue has not been counted yet, or not lately", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() {
		_ = server.Close()
		<-ended
	}()
	log.Info("serving the queue's length", "http", "http://"+l.Addr().String())

	nc, js, err := jobs.Connect(ctx, s.natsConn("boxfleet queue-metrics", log))
	if err != nil {
		return err
	}
	defer nc.Close()
	return gauge.run(ctx, js)
}
