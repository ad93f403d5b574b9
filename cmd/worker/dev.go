package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"boxfleet/artifacts"
	"boxfleet/internal/fleet"
	"boxfleet/internal/telemetry"
	"boxfleet/internal/tracestore"
	"boxfleet/jobs"
)

// devOptions are the flags of `worker dev` beyond the settings.
type devOptions struct {
	data               string
	natsPort, s3Port   int
	noWorker           bool
	syncAlways         bool
	readyFile          string
	noCurrent          bool
	stdout             io.Writer
	log                *slog.Logger
	user, pass         string
	s3Access, s3Secret string
}

// devSettings are the settings that make sense for a fleet on one machine; its
// addresses and directories are its own.
func devSettings(name string) bool {
	switch name {
	case "context", "nats", "nats-user", "nats-password", "nats-creds", "nats-ca", "nats-cert", "nats-key", "nats-wait",
		"s3-endpoint", "s3-access-key", "s3-secret-key", "replicas", "scratch-dir", "cache-dir", "otlp":
		return false
	}
	return true
}

func devCommand(stdout, stderr io.Writer) *cobra.Command {
	o := &devOptions{stdout: stdout}
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a whole fleet on this machine: queue, object store and one worker", Args: cobra.NoArgs,
		Long: "dev starts an embedded nats-server with JetStream on disk, a development S3 server and one worker, all on\n" +
			"loopback, and makes them the current context, so that `submit` needs no flags. Data stay under --data.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags())
			if err != nil {
				return err
			}
			if s.natsWait == 0 {
				s.natsWait = time.Minute
			}
			if o.log, err = newLogger(stderr, s); err != nil {
				return err
			}
			return dev(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	settingFlags(f, devSettings)
	f.StringVar(&o.data, "data", "boxfleet-data", "directory for everything that is kept")
	f.IntVar(&o.natsPort, "nats-port", 0, "port of the NATS server; 0 takes any free one")
	f.IntVar(&o.s3Port, "s3-port", 0, "port of the S3 server; 0 takes any free one")
	f.BoolVar(&o.noWorker, "no-worker", false, "only the servers, for workers started beside them")
	f.BoolVar(&o.syncAlways, "sync-always", false, "let JetStream sync every write to disk before it is acknowledged")
	f.BoolVar(&o.noCurrent, "no-current", false, "do not make this fleet the current context")
	f.StringVar(&o.readyFile, "ready-file", "", "file to write once jobs can run")
	return cmd
}

// dev starts everything in order, serves until a signal, and stops everything
// in the reverse order.
func dev(ctx context.Context, s *settings, o *devOptions) error {
	hard, err := startHardening(s, o.log)
	if err != nil {
		return err
	}
	lock, err := lockData(o.data)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := o.credentials(s); err != nil {
		return err
	}

	if s.name == "" { // telemetry and the queue must call it the same
		s.name = jobs.WorkerConfig{}.WithDefaults().Name
	}
	h, err := listenHTTP(s.http, o.log)
	if err != nil {
		return err
	}
	defer h.close()
	tracestore.New().Register(h.mux)
	s.otlp = h.url()
	tel, err := telemetry.Setup(ctx, telemetry.Config{Service: "boxfleet-worker", Instance: s.name, Version: version, DefaultOTLP: s.otlp, Metrics: true, Log: o.log})
	if err != nil {
		return err
	}
	defer flush(tel, o.log)
	h.mux.Handle("GET /metrics", tel.Prometheus)
	ctx, stop := untilSignal(ctx, h.hurry)
	defer stop()

	queue, err := startNATS(natsOptions{
		dir: filepath.Join(o.data, "nats"), port: o.natsPort, user: o.user, pass: o.pass, syncAlways: o.syncAlways,
	})
	if err != nil {
		return err
	}
	defer queue.close()
	store, err := startS3(ctx, s3Options{
		dir: filepath.Join(o.data, "s3"), port: o.s3Port, access: o.s3Access, secret: o.s3Secret, region: s.s3Region, log: o.log,
	})
	if err != nil {
		return err
	}
	defer store.close()

	fc := &fleet.Context{
		NATS: fleet.NATS{URL: queue.url(), User: o.user, Password: o.pass},
		S3:   fleet.S3{Endpoint: store.endpoint, Region: s.s3Region, AccessKey: o.s3Access, SecretKey: o.s3Secret, Bucket: s.s3Bucket},
		HTTP: h.url(), OTLP: h.url(),
	}
	path, err := fc.Save(o.data)
	if err == nil && !o.noCurrent {
		err = fleet.MakeCurrent(path)
	}
	if err != nil {
		return err
	}
	o.print(fc, path)
	if o.noWorker {
		return serversOnly(ctx, fc, s, o, store)
	}

	s.natsURL, s.natsUser, s.natsPassword = fc.NATS.URL, o.user, o.pass
	s.s3Endpoint, s.s3AccessKey, s.s3SecretKey = fc.S3.Endpoint, o.s3Access, o.s3Secret
	s.cacheDir, s.scratchDir = filepath.Join(o.data, "cache"), filepath.Join(o.data, "scratch")
	n, err := openNode(ctx, s, o.log)
	if err != nil {
		return err
	}
	defer n.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go store.watch(ctx, cancel)
	err = n.work(ctx, h, o.log, func() error { return hard.open(s, o.readyFile, h.url(), o.data) })
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// serversOnly keeps the servers up for workers started beside them.
func serversOnly(ctx context.Context, fc *fleet.Context, s *settings, o *devOptions, store *s3Server) error {
	st, err := artifacts.Open(fc.Store())
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.EnsureBucket(ctx); err != nil {
		return err
	}
	if err := writeReady(o.readyFile, fc.HTTP); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go store.watch(ctx, cancel)
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (o *devOptions) print(fc *fleet.Context, path string) {
	_, _ = fmt.Fprintf(o.stdout, "queue    %s\nstore    %s (bucket %s)\nhttp     %s\ncontext  %s\n", fc.NATS.URL, fc.S3.Endpoint, fc.S3.Bucket, fc.HTTP, path)
}

// credentials keeps those of an earlier start, so that other contexts made of
// them stay good, and makes new ones otherwise.
func (o *devOptions) credentials(s *settings) error {
	old, err := fleet.Load(filepath.Join(o.data, fleet.FileName))
	if err == nil && old.NATS.Password != "" && old.S3.SecretKey != "" {
		o.user, o.pass, o.s3Access, o.s3Secret = old.NATS.User, old.NATS.Password, old.S3.AccessKey, old.S3.SecretKey
		return nil
	}
	o.user, o.s3Access = "boxfleet", "boxfleet"
	o.pass, o.s3Secret = randomSecret(), randomSecret()
	return nil
}

func randomSecret() string {
	var b [20]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// lockData makes the data directory and keeps other fleets out of it.
func lockData(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w; choose another with --data", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data directory %s cannot be written: %w; choose another with --data", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("the data directory %s is in use by another `worker dev`; stop it or choose another with --data", dir)
	}
	return f, nil
}
