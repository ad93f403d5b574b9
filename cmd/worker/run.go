package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"boxfleet/internal/telemetry"
	"boxfleet/jobs"
)

func runCommand(stderr io.Writer) *cobra.Command {
	var readyFile string
	cmd := &cobra.Command{
		Use: "run", Short: "Join a fleet and run its jobs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags())
			if err != nil {
				return err
			}
			if err := s.complete(); err != nil {
				return err
			}
			log, err := newLogger(stderr, s)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), s, log, readyFile)
		},
	}
	settingFlags(cmd.Flags(), nil)
	cmd.Flags().StringVar(&readyFile, "ready-file", "", "file to write once jobs can run")
	return cmd
}

// serve runs a worker until a signal: telemetry, HTTP, the node, then in the
// reverse order.
func serve(ctx context.Context, s *settings, log *slog.Logger, readyFile string) error {
	hard, err := startHardening(s, log)
	if err != nil {
		return err
	}
	if s.name == "" { // telemetry and the queue must call it the same
		s.name = jobs.WorkerConfig{}.WithDefaults().Name
	}
	h, err := listenHTTP(s.http, log)
	if err != nil {
		return err
	}
	defer h.close()
	tel, err := telemetry.Setup(ctx, telemetry.Config{Service: "boxfleet-worker", Instance: s.name, Version: version, DefaultOTLP: s.otlp, Metrics: true, Log: log})
	if err != nil {
		return err
	}
	defer flush(tel, log)
	h.mux.Handle("GET /metrics", tel.Prometheus)

	ctx, stop := untilSignal(ctx, h.hurry)
	defer stop()
	n, err := openNode(ctx, s, log)
	if err != nil {
		return err
	}
	defer n.close()
	return n.work(ctx, h, log, func() error { return hard.open(s, readyFile, h.url()) })
}

// work runs the node's worker until ctx ends and it has drained. open is
// called once jobs could run, and before any does: its error ends the worker.
func (n *node) work(ctx context.Context, h *httpSide, log *slog.Logger, open func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer h.worker.Store(nil)
	h.draining.Store(n.worker)
	var openErr error
	err := n.worker.Run(ctx, func() {
		if openErr = open(); openErr != nil {
			cancel(openErr)
			return
		}
		h.worker.Store(n.worker)
		log.Info("taking jobs", "worker", n.worker.Name(), "http", h.url())
	})
	return errors.Join(openErr, err)
}

// writeReady tells whoever started the worker that jobs can run.
func writeReady(path, url string) error {
	if path == "" {
		return nil
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, fmt.Appendf(nil, "{\"http\": %q, \"pid\": %d}\n", url, os.Getpid()), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func flush(tel *telemetry.Telemetry, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil {
		log.Debug("the last telemetry could not be sent", "error", err)
	}
}
