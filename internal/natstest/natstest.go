// Package natstest runs real NATS servers with JetStream for tests: embedded
// in the test process, on a socket of 127.0.0.1, with their data in a
// directory of the test. A server can be stopped and started again on the
// same port with the same data, as a crash and a restart look to its clients.
package natstest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startTimeout bounds how long a server may take to come up.
const startTimeout = 30 * time.Second

// Server is one NATS server.
type Server struct {
	opts server.Options
	s    *server.Server
}

// Options alter a server before it starts.
type Options struct {
	// User and Password are asked of clients when set.
	User, Password string
	// SyncAlways makes every write reach the disk before it is acknowledged.
	SyncAlways bool
}

// Start runs a server until the test ends.
func Start(t testing.TB) *Server { return StartWith(t, Options{}) }

// StartWith runs a server with options until the test ends.
func StartWith(t testing.TB, o Options) *Server {
	t.Helper()
	n, err := open(filepath.Join(t.TempDir(), "nats"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	return n
}

// Open runs a server with its data in dir, for callers without a test, such
// as TestMain and examples. Stop ends it.
func Open(dir string) (*Server, error) { return open(dir, Options{}) }

func open(dir string, o Options) (*Server, error) {
	n := &Server{opts: server.Options{
		ServerName: "test", Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: o.User, Password: o.Password,
		JetStream: true, StoreDir: dir, SyncAlways: o.SyncAlways, NoSigs: true, NoLog: true,
		JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 16 << 30,
	}}
	if err := n.Restart(); err != nil {
		return nil, err
	}
	return n, nil
}

// URL is the server's address, without credentials. It stays the same when
// the server is restarted.
func (n *Server) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.opts.Port) }

// Dir is where the server keeps its data.
func (n *Server) Dir() string { return n.opts.StoreDir }

// Stop ends the server; its data stays. Stopping twice is no error.
func (n *Server) Stop() {
	if n.s != nil {
		n.s.Shutdown()
		n.s.WaitForShutdown()
		n.s = nil
	}
}

// Restart starts a stopped server on the same port with the same data.
func (n *Server) Restart() error {
	if n.s != nil {
		return fmt.Errorf("the server on %s runs already", n.URL())
	}
	opts := n.opts // the server keeps what it is given
	s, err := server.NewServer(&opts)
	if err != nil {
		return fmt.Errorf("start a NATS server: %w", err)
	}
	go s.Start()
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		return fmt.Errorf("the NATS server on port %d does not come up", n.opts.Port)
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		return fmt.Errorf("the NATS server has no JetStream in %s", n.opts.StoreDir)
	}
	n.opts.Port = s.Addr().(*net.TCPAddr).Port
	n.s = s
	return nil
}

// Connect gives a connection that reconnects quickly and ends with the test.
func (n *Server) Connect(t testing.TB) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(n.URL(), nats.UserInfo(n.opts.Username, n.opts.Password), nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(10*time.Millisecond, 10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// FreePort gives a port of 127.0.0.1 that nothing listens on at the moment.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// TempDir makes a directory for Open, and gives the function that removes it.
func TempDir() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "natstest-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}
