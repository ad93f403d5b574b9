package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"gopkg.in/yaml.v3"

	"boxfleet/artifacts"
	"boxfleet/executor"
	"boxfleet/executor/webhook"
	"boxfleet/internal/fleet"
	"boxfleet/internal/telemetry"
	"boxfleet/jobs"
)

// newLogger makes the process's logger.
func newLogger(w io.Writer, s *settings) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, &usageError{fmt.Errorf("log-level: %q is not debug, info, warn or error", s.logLevel)}
	}
	opts := &slog.HandlerOptions{Level: level}
	switch s.logFormat {
	case "text":
		return slog.New(telemetry.LogHandler(slog.NewTextHandler(w, opts))), nil
	case "json":
		return slog.New(telemetry.LogHandler(slog.NewJSONHandler(w, opts))), nil
	}
	return nil, &usageError{fmt.Errorf("log-format: %q is neither text nor json", s.logFormat)}
}

// fill sets what is empty.
func fill(to *string, from string) {
	if *to == "" {
		*to = from
	}
}

// useNATS takes the address of the queue from the context where the settings
// name none, and the credentials that belong to it.
func (s *settings) useNATS(c *fleet.Context) {
	if s.natsURL == "" {
		fill(&s.natsUser, c.NATS.User)
		fill(&s.natsPassword, c.NATS.Password)
		fill(&s.natsCreds, c.NATS.CredsFile)
		fill(&s.natsCA, c.NATS.CAFile)
		fill(&s.natsCert, c.NATS.CertFile)
		fill(&s.natsKey, c.NATS.KeyFile)
	}
	fill(&s.natsURL, c.NATS.URL)
}

// complete fills the fleet's addresses from the context where the settings
// name none.
func (s *settings) complete() error {
	var c *fleet.Context
	if s.natsURL == "" || s.s3Endpoint == "" || s.context != "" {
		var err error
		if c, err = fleet.Load(s.context); err != nil {
			return err
		}
	} else {
		c = &fleet.Context{}
	}
	s.useNATS(c)
	if s.s3Endpoint == "" {
		fill(&s.s3CA, c.S3.CAFile)
		fill(&s.s3AccessKey, c.S3.AccessKey)
		fill(&s.s3SecretKey, c.S3.SecretKey)
		if c.S3.Bucket != "" {
			s.s3Bucket = c.S3.Bucket
		}
		if c.S3.Region != "" {
			s.s3Region = c.S3.Region
		}
	}
	fill(&s.s3Endpoint, c.S3.Endpoint)
	fill(&s.otlp, c.OTLP)
	return s.directories()
}

// directories chooses places below the user's cache directory.
func (s *settings) directories() error {
	if s.cacheDir != "" && s.scratchDir != "" {
		return nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("choose a cache directory: %w; set cache-dir and scratch-dir", err)
	}
	if s.cacheDir == "" {
		s.cacheDir = filepath.Join(base, "boxfleet", "cache")
	}
	if s.scratchDir == "" {
		s.scratchDir = filepath.Join(base, "boxfleet", "scratch")
	}
	return nil
}

// executorConfig gives the sandbox's settings.
func (s *settings) executorConfig(log *slog.Logger) (executor.Config, error) {
	cfg := executor.Config{
		ScratchDir: s.scratchDir, MinFree: int64(s.minFree), CacheDir: s.cacheDir,
		CacheBytes: int64(s.cacheBytes), CompileCacheBytes: int64(s.compileCacheBytes), ModuleCacheBytes: int64(s.memoryCache),
		MaxModuleBytes: int64(s.moduleBytes), MaxInputBytes: int64(s.maxInput), MaxInputFiles: s.maxInputFiles,
		MaxOutputBytes: int64(s.maxOutput), MaxOutputFiles: s.maxOutputFiles, MemoryBudget: s.memoryBudget,
		Compilers: s.compilers, Ceilings: s.ceilings, AllowPrivateNetworks: s.allowPrivate,
		Permissions: s.permissions, RequireSigned: s.requireSigned, Log: log,
	}
	var rules []artifacts.Rule
	for _, text := range s.access {
		rule, err := artifacts.ParseRule(text)
		if err != nil {
			return cfg, &usageError{fmt.Errorf("access: %w", err)}
		}
		rules = append(rules, rule)
	}
	if rules == nil {
		rules = append(artifacts.DefaultRules(s.s3Bucket), artifacts.Rule{Pattern: s.s3Bucket + "/out/{tenant}/", Read: true})
	}
	var err error
	if cfg.Access, err = artifacts.NewAccess(s.s3Bucket, rules, s.s3Bucket+"/"+executor.CodePrefix); err != nil {
		return cfg, &usageError{fmt.Errorf("access: %w", err)}
	}
	if s.codeKeyFile != "" {
		if cfg.CodeKey, err = executor.ReadCodeKey(s.codeKeyFile); err != nil {
			return cfg, fmt.Errorf("compile-cache-key-file: %w", err)
		}
	}
	cfg.Secrets, err = readSecrets(s.secretsFile)
	return cfg, err
}

// readSecrets reads the operator's secrets. Others must not be able to read
// the file.
func readSecrets(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("secrets-file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("secrets-file %s can be read by others (mode %v); chmod it to 0600", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secrets-file: %w", err)
	}
	var secrets map[string]string
	if err := yaml.Unmarshal(data, &secrets); err != nil {
		return nil, fmt.Errorf("secrets-file %s is not a flat file of name: value", path) // the cause may quote a value
	}
	return secrets, nil
}

// node is a running worker with everything it holds.
type node struct {
	nc     *nats.Conn
	store  *artifacts.Store
	exec   *executor.Executor
	worker *jobs.Worker
}

// natsConn is how this process reaches the queue, under the given name.
func (s *settings) natsConn(name string, log *slog.Logger) jobs.ConnConfig {
	return jobs.ConnConfig{
		URL: s.natsURL, User: s.natsUser, Password: s.natsPassword, CredsFile: s.natsCreds,
		CAFile: s.natsCA, CertFile: s.natsCert, KeyFile: s.natsKey, Name: name, Wait: s.natsWait, Log: log,
	}
}

// openNode connects, prepares the sandbox and joins the queue.
func openNode(ctx context.Context, s *settings, log *slog.Logger) (_ *node, err error) {
	n := &node{}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	conn := s.natsConn("boxfleet worker "+s.name, log)
	n.store, err = artifacts.Open(artifacts.Config{
		Endpoint: s.s3Endpoint, Region: s.s3Region, AccessKey: s.s3AccessKey, SecretKey: artifacts.Secret(s.s3SecretKey), Bucket: s.s3Bucket,
		CAFile: s.s3CA,
	})
	if err != nil {
		return nil, &usageError{err}
	}
	cfg, err := s.executorConfig(log)
	if err != nil {
		return nil, err
	}
	trusted, err := s.readTrustedKeys()
	if err != nil {
		return nil, err
	}
	if n.exec, err = s.openExecutor(ctx, n.store, cfg); err != nil {
		return nil, err
	}
	var js jetstream.JetStream
	if n.nc, js, err = jobs.Connect(ctx, conn); err != nil {
		return nil, err
	}
	// The store may come later than the worker: then jobs wait, not the start.
	switch err := n.exec.CheckStore(ctx); {
	case errors.Is(err, artifacts.ErrInvalid):
		return nil, err
	case err != nil:
		log.Warn("the object store is not well; jobs wait until it is", "error", err)
	}
	queue, err := newQueueGauge(log)
	if err != nil {
		return nil, err
	}
	notifier, err := s.notifier(cfg.Secrets)
	if err != nil {
		return nil, err
	}
	n.worker, err = jobs.NewWorker(ctx, n.nc, js, n.exec, n.exec, jobs.WorkerConfig{
		Name: s.name, Slots: s.slots, MaxAttempts: s.maxAttempts, MaxRetryAge: s.maxRetryAge, Grace: s.grace, Version: version, Log: log,
		Probe:    n.exec.Probe,
		Topology: jobs.Topology{Replicas: s.replicas, ResultTTL: s.resultTTL, TenantConcurrency: s.tenantJobs, AckWait: s.ackWait},
		Chores:   append(s.chores(n), jobs.Chore{Name: "count the queue", Run: func(ctx context.Context) error { return queue.run(ctx, js) }}),
		Notifier: notifier,
	})
	if err != nil {
		return nil, err
	}
	return n, n.useRegistry(ctx, js, trusted)
}

// notifier tells webhooks of ended batches; without allowed hosts there is
// none, and what asks for one is refused.
func (s *settings) notifier(secrets map[string]string) (jobs.Notifier, error) {
	if len(s.webhookHosts) == 0 {
		return nil, nil
	}
	n, err := webhook.New(webhook.Config{Hosts: s.webhookHosts, AllowPrivate: s.webhookPrivate, Secrets: secrets})
	if err != nil {
		return nil, &usageError{fmt.Errorf("webhook-hosts: %w", err)}
	}
	return n, nil
}

// chores are what one worker does for all beside the queue's own.
func (s *settings) chores(n *node) []jobs.Chore {
	if s.sweepOutputsEvery <= 0 {
		return nil
	}
	return []jobs.Chore{n.exec.OutputChore(jobs.NewLedger(n.nc), s.sweepOutputsEvery, s.sweepOutputsAge)}
}

// close lets go of what openNode took, in the order of use.
func (n *node) close() {
	if n.nc != nil {
		n.nc.Close()
	}
	if n.exec != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_ = n.exec.Close(ctx)
		cancel()
	}
	if n.store != nil {
		n.store.Close()
	}
}

var errNotReady = errors.New("starting")
