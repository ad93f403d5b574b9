// Package storetest runs the development S3 server for tests and holds the
// conformance suite of what boxfleet needs from an object store.
//
// A test binary starts one server in TestMain and gives every test a bucket of
// its own:
//
//	var server *storetest.Server
//
//	func TestMain(m *testing.M) { os.Exit(storetest.Main(m, &server)) }
//
//	func TestX(t *testing.T) { store := server.Store(t) ... }
//
// The server is built from its module when the test starts. A server that cannot
// be built or started fails the tests; nothing is skipped.
package storetest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"boxfleet/artifacts"
)

// Server is a running development S3 server.
type Server struct {
	Addr      string // host:port
	AccessKey string
	SecretKey string

	dir    string
	data   string
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan struct{} // closed when the process has ended
	result error         // of the process, after exited
}

// Main starts a server, stores it in *server, runs the tests and returns the
// exit code.
func Main(m *testing.M, server **Server) int {
	s, err := Start("")
	if err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		return 1
	}
	*server = s
	code := m.Run()
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		return 1
	}
	return code
}

// Start builds and starts a server. With an empty data directory it uses one of
// its own, which Stop removes.
func Start(data string) (_ *Server, err error) {
	binary, err := build()
	if err != nil {
		return nil, err
	}
	s := &Server{AccessKey: "storetest", SecretKey: rand.Text(), data: data}
	if s.dir, err = os.MkdirTemp("", "storetest-*"); err != nil {
		return nil, err
	}
	if s.data == "" {
		s.data = filepath.Join(s.dir, "data")
	}
	defer func() {
		if err != nil {
			os.RemoveAll(s.dir)
		}
	}()
	return s, s.run(binary, "127.0.0.1:0")
}

func (s *Server) run(binary, listen string) error {
	secret, ready := filepath.Join(s.dir, "secret"), filepath.Join(s.dir, "ready.json")
	if err := os.WriteFile(secret, []byte(s.SecretKey), 0o600); err != nil {
		return err
	}
	_ = os.Remove(ready)
	s.cmd = exec.Command(binary, "--data", s.data, "--access", s.AccessKey, "--secret-file", secret,
		"--ready-file", ready, "--listen", listen, "--exit-on-stdin-close")
	s.cmd.Stderr = os.Stderr
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	s.stdin = stdin
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		defer close(s.exited)
		s.result = s.cmd.Wait()
	}()
	deadline := time.After(30 * time.Second)
	for {
		if b, err := os.ReadFile(ready); err == nil {
			var r struct{ Address string }
			if err := json.Unmarshal(b, &r); err != nil {
				return fmt.Errorf("ready file: %w", err)
			}
			s.Addr = r.Address
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the S3 server ended before it was ready: %w", s.result)
		case <-deadline:
			return errors.Join(errors.New("the S3 server was not ready within 30 s"), s.cmd.Process.Kill())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Stop ends the server and removes its own data.
func (s *Server) Stop() error {
	_ = s.stdin.Close()
	err := s.wait()
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Kill ends the server the hard way and keeps its data and address for Restart.
func (s *Server) Kill() error {
	err := s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.exited
	return err
}

// Restart starts a killed server again on the same address and data.
func (s *Server) Restart() error {
	binary, err := build()
	if err != nil {
		return err
	}
	return s.run(binary, s.Addr)
}

func (s *Server) wait() error {
	select {
	case <-s.exited:
		return s.result
	case <-time.After(15 * time.Second):
		return errors.Join(errors.New("the S3 server did not end within 15 s"), s.cmd.Process.Kill())
	}
}

// Config is a client's configuration for the server, with the given bucket.
func (s *Server) Config(bucket string) artifacts.Config {
	return artifacts.Config{Endpoint: s.Addr, AccessKey: s.AccessKey, SecretKey: artifacts.Secret(s.SecretKey), Bucket: bucket}
}

// Store returns a client with a new, empty bucket.
func (s *Server) Store(t testing.TB) *artifacts.Store {
	t.Helper()
	return s.StoreVia(t, s.Addr)
}

// StoreVia is Store through another address, such as a faulty proxy's. The
// bucket is made directly. Changes may be applied to the configuration.
func (s *Server) StoreVia(t testing.TB, addr string, change ...func(*artifacts.Config)) *artifacts.Store {
	t.Helper()
	cfg := s.Config("test-" + strings.ToLower(rand.Text()))
	direct := Open(t, cfg)
	if err := direct.EnsureBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg.Endpoint = addr
	for _, c := range change {
		c(&cfg)
	}
	return Open(t, cfg)
}

// Open opens a client that ends with the test.
func Open(t testing.TB, cfg artifacts.Config) *artifacts.Store {
	t.Helper()
	s, err := artifacts.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// build compiles the server and returns the binary's path. The go command does
// nothing when it is up to date; a lock keeps test binaries that run at once
// from building it together.
func build() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(bin, ".devs3-test.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	out := filepath.Join(bin, ".devs3-test")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = filepath.Join(root, "internal", "devs3")
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the S3 server: %w\n%s", err, msg)
	}
	return out, nil
}

// moduleRoot finds boxfleet's go.mod above the working directory, which for a
// test is its package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "internal", "devs3", "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no internal/devs3 above the working directory: run the test inside the repository")
		}
		dir = up
	}
}
