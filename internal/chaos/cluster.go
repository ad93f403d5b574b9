package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const natsNodes = 3

// clusterTimeout bounds the wait for three healthy nodes.
const clusterTimeout = 60 * time.Second

// cluster is three nats-server processes.
type cluster struct {
	nodes   [natsNodes]*process
	client  [natsNodes]string // host:port
	monitor [natsNodes]string // http:// address
}

// startCluster starts the nodes and waits until they have elected leaders.
func startCluster(ctx context.Context, binary, dir string) (*cluster, error) {
	ports, err := freePorts(3 * natsNodes)
	if err != nil {
		return nil, err
	}
	var routes []string
	for i := range natsNodes {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[3*i]))
	}
	c := &cluster{}
	for i := range natsNodes {
		name := fmt.Sprintf("nats%d", i+1)
		// no_advertise: clients must not learn addresses around the proxies.
		conf := fmt.Sprintf(`server_name: %[1]s
listen: 127.0.0.1:%[2]d
http: 127.0.0.1:%[3]d
jetstream { store_dir: %[4]q, max_memory_store: 256M, max_file_store: 8G }
cluster { name: chaos, listen: 127.0.0.1:%[5]d, no_advertise: true, routes: [%[6]s] }
`, name, ports[3*i+1], ports[3*i+2], filepath.Join(dir, name), ports[3*i], strings.Join(routes, ", "))
		file := filepath.Join(dir, name+".conf")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return nil, err
		}
		c.client[i] = fmt.Sprintf("127.0.0.1:%d", ports[3*i+1])
		c.monitor[i] = fmt.Sprintf("http://127.0.0.1:%d", ports[3*i+2])
		c.nodes[i] = &process{name: name, dir: dir, args: []string{binary, "-c", file}}
		if err := c.nodes[i].start(); err != nil {
			return c, err
		}
	}
	return c, c.healthy(ctx)
}

// healthy waits until every node says that it and all its streams and
// consumers are up to date: only then another node may be taken away.
func (c *cluster) healthy(ctx context.Context) error {
	return until(ctx, "three healthy NATS nodes", clusterTimeout, func() bool {
		for _, m := range c.monitor {
			if status(m+"/healthz") != 200 {
				return false
			}
		}
		return true
	})
}

// url lists the nodes for a client that nothing stands between.
func (c *cluster) url() string {
	var urls []string
	for _, a := range c.client {
		urls = append(urls, "nats://"+a)
	}
	return strings.Join(urls, ",")
}

func (c *cluster) stop() {
	for _, n := range c.nodes {
		if n != nil {
			n.stop(10 * time.Second)
		}
	}
}

// freePorts gives ports of 127.0.0.1 that nothing listens on at the moment.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until all are known, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
