package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

type natsOptions struct {
	dir        string
	port       int
	user, pass string
	syncAlways bool
}

// natsServer is the embedded queue.
type natsServer struct{ s *natsserver.Server }

func startNATS(o natsOptions) (*natsServer, error) {
	port := o.port
	if port == 0 {
		port = natsserver.RANDOM_PORT
	}
	s, err := natsserver.NewServer(&natsserver.Options{
		ServerName: "boxfleet-dev", Host: "127.0.0.1", Port: port, Username: o.user, Password: o.pass,
		JetStream: true, StoreDir: o.dir, SyncAlways: o.syncAlways, NoSigs: true, NoLog: true,
		// A dev fleet may fill the disk it is on, but not take all memory.
		JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 1 << 40,
	})
	if err != nil {
		return nil, fmt.Errorf("start the NATS server: %w", err)
	}
	go s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("the NATS server does not come up on 127.0.0.1:%d; is the port taken? choose another with --nats-port, or 0 for any", o.port)
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, fmt.Errorf("the NATS server cannot keep its data in %s; can the directory be written, and is there room?", o.dir)
	}
	return &natsServer{s}, nil
}

// url is the server's address without credentials.
func (n *natsServer) url() string { return n.s.ClientURL() }

func (n *natsServer) close() {
	n.s.Shutdown()
	n.s.WaitForShutdown()
}

type s3Options struct {
	dir            string
	port           int
	access, secret string
	region         string
	log            *slog.Logger
}

// s3Server is the development object store: a process of its own, because it
// changes its directory and brings hundreds of packages.
type s3Server struct {
	endpoint string
	cmd      *exec.Cmd
	stdin    io.Closer // closing it ends the process
	exited   chan error
}

// devS3Binary finds devs3 beside this program, or where BOXFLEET_DEVS3 says.
func devS3Binary() (string, error) {
	if path := os.Getenv("BOXFLEET_DEVS3"); path != "" {
		return path, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), "devs3")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the development S3 server is not beside this program (%w); run `make build`, or set BOXFLEET_DEVS3", err)
	}
	return path, nil
}

func startS3(ctx context.Context, o s3Options) (*s3Server, error) {
	bin, err := devS3Binary()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, fmt.Errorf("start the S3 server: %w", err)
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	ready := filepath.Join(filepath.Dir(dir), ".s3-ready.json")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	cmd := exec.Command(bin, "--data", dir, "--listen", "127.0.0.1:"+strconv.Itoa(o.port),
		"--access", o.access, "--region", o.region, "--ready-file", ready, "--exit-on-stdin-close")
	cmd.Env = append(os.Environ(), "DEVS3_SECRET="+o.secret)
	cmd.Stderr = &lineLogger{log: o.log}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the S3 server: %w", err)
	}
	s := &s3Server{cmd: cmd, stdin: stdin, exited: make(chan error, 1)}
	go func() { s.exited <- cmd.Wait() }()
	if err := s.await(ctx, ready, o.port); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// await waits until the server has written where it listens.
func (s *s3Server) await(ctx context.Context, ready string, port int) error {
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		if data, err := os.ReadFile(ready); err == nil {
			var r struct {
				Endpoint string `json:"endpoint"`
			}
			if err := json.Unmarshal(data, &r); err != nil {
				return fmt.Errorf("read the S3 server's ready file: %w", err)
			}
			if _, err := url.Parse(r.Endpoint); err != nil || r.Endpoint == "" {
				return fmt.Errorf("the S3 server says it listens at %q", r.Endpoint)
			}
			s.endpoint = r.Endpoint
			return nil
		}
		select {
		case err := <-s.exited:
			s.exited <- err
			return fmt.Errorf("the S3 server ended at once (%v); see its message above; is port %d taken? choose another with --s3-port, or 0 for any", err, port)
		case <-limit.C:
			return errors.New("the S3 server does not come up within 30s")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-poll.C:
		}
	}
}

// watch ends the fleet when the server dies by itself.
func (s *s3Server) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	select {
	case err := <-s.exited:
		s.exited <- err
		cancel(fmt.Errorf("the S3 server ended by itself: %v", err))
	case <-ctx.Done():
	}
}

func (s *s3Server) close() {
	_ = s.stdin.Close()
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
}

// lineLogger passes a process's messages on.
type lineLogger struct{ log *slog.Logger }

func (l *lineLogger) Write(p []byte) (int, error) {
	l.log.Info("S3 server", "says", strings.TrimSpace(string(p)))
	return len(p), nil
}
