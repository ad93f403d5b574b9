package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"boxfleet/internal/fleet"
	"boxfleet/internal/gate"
	"boxfleet/jobs"
)

// gateSettings are the settings of a worker that a gate has as well.
var gateSettings = []string{"context", "nats", "nats-user", "nats-password", "nats-creds", "nats-ca", "nats-cert", "nats-key", "nats-wait", "name", "http", "hardening", "log-level", "log-format"}

func gateCommand(stderr io.Writer) *cobra.Command {
	var readyFile string
	cmd := &cobra.Command{
		Use: "gate", Short: "Pass tenants' requests on to a fleet, and nothing else", Args: cobra.NoArgs,
		Long: "gate is the border between tenants and the fleet's NATS account: users of a tenant reach\n" +
			"nothing but the gate, which reads each request and passes on what the tenant may ask.\n" +
			"Run two or more; they share the requests and keep nothing. They need credentials of the\n" +
			"role gate (submit admin issue gate), and no object store.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags())
			if err != nil {
				return err
			}
			if s.natsURL == "" || s.context != "" {
				c, err := fleet.Load(s.context)
				if err != nil {
					return err
				}
				s.useNATS(c)
			}
			log, err := newLogger(stderr, s)
			if err != nil {
				return err
			}
			return serveGate(cmd.Context(), s, log, readyFile)
		},
	}
	settingFlags(cmd.Flags(), func(name string) bool { return slices.Contains(gateSettings, name) })
	cmd.Flags().StringVar(&readyFile, "ready-file", "", "file to write once requests are heard")
	return cmd
}

// serveGate passes requests on until a signal.
func serveGate(ctx context.Context, s *settings, log *slog.Logger, readyFile string) error {
	hard, err := startHardening(s, log)
	if err != nil {
		return err
	}
	if s.name == "" {
		s.name = strings.Replace(jobs.WorkerConfig{}.WithDefaults().Name, "worker", "gate", 1)
	}
	ctx, stop := untilSignal(ctx, func() {})
	defer stop()
	nc, _, err := jobs.Connect(ctx, jobs.ConnConfig{
		URL: s.natsURL, User: s.natsUser, Password: s.natsPassword, CredsFile: s.natsCreds,
		CAFile: s.natsCA, CertFile: s.natsCert, KeyFile: s.natsKey, Name: "boxfleet gate " + s.name, Wait: s.natsWait, Log: log,
	})
	if err != nil {
		return err
	}
	defer nc.Close()
	g := gate.New(nc, gate.Config{Name: s.name, Version: version, Log: log})
	h, err := listenHTTP(s.http, log)
	if err != nil {
		return err
	}
	defer h.close()
	h.mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		passed, refused := g.Counts()
		_, _ = fmt.Fprintf(w, "# TYPE boxfleet_gate_requests_total counter\nboxfleet_gate_requests_total{result=\"passed\"} %d\nboxfleet_gate_requests_total{result=\"refused\"} %d\n", passed, refused)
	})
	var openErr error
	err = g.Run(ctx, func() {
		if openErr = hard.open(s, readyFile, h.url()); openErr != nil {
			stop()
			return
		}
		h.gate.Store(nc)
		log.Info("passing requests on", "gate", s.name, "http", h.url())
	})
	if openErr != nil {
		return openErr
	}
	return err
}
