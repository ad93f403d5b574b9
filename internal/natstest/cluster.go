package natstest

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster is three servers that replicate JetStream's data.
type Cluster struct{ Nodes [3]*Server }

// StartCluster runs three servers until the test ends. Each can be stopped
// and restarted by itself.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	dir := t.TempDir()
	var ports [3]int
	var routes []*url.URL
	for i := range ports {
		var err error
		if ports[i], err = FreePort(); err != nil {
			t.Fatal(err)
		}
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", ports[i])})
	}
	c := &Cluster{}
	started := make(chan error, len(c.Nodes))
	for i := range c.Nodes {
		name := fmt.Sprintf("n%d", i+1)
		n := &Server{opts: server.Options{
			ServerName: name, Host: "127.0.0.1", Port: server.RANDOM_PORT,
			JetStream: true, StoreDir: filepath.Join(dir, name), NoSigs: true, NoLog: true,
			JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 16 << 30,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		}}
		c.Nodes[i] = n
		t.Cleanup(n.Stop)
		go func() { started <- n.Restart() }()
	}
	for range c.Nodes {
		if err := <-started; err != nil {
			t.Fatal(err)
		}
	}
	c.WaitLeader(t)
	return c
}

// URL lists the addresses of all nodes.
func (c *Cluster) URL() string {
	var urls []string
	for _, n := range c.Nodes {
		urls = append(urls, n.URL())
	}
	return strings.Join(urls, ",")
}

// WaitLeader waits until the running nodes have elected JetStream's leader.
func (c *Cluster) WaitLeader(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	for time.Now().Before(deadline) {
		for _, n := range c.Nodes {
			if n.s != nil && n.s.JetStreamIsLeader() {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the cluster elects no leader")
}

// Leader is the running node that leads a stream of the global account, or
// nil.
func (c *Cluster) Leader(stream string) *Server {
	for _, n := range c.Nodes {
		if n.s != nil && n.s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
			return n
		}
	}
	return nil
}
