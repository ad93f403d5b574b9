package executor_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"boxfleet/executor"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// TestNetwork runs a guest that makes HTTP requests through wasi:http, against
// a real server, with and without what it needs. Error codes are those of
// wasi:http/types: 15 is HTTP-request-denied, 4 destination-IP-prohibited.
func TestNetwork(t *testing.T) {
	var asked atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/big" {
			_, _ = w.Write(make([]byte, 200_000))
			return
		}
		_, _ = fmt.Fprint(w, "hello")
	}))
	defer web.Close()
	_, port, err := net.SplitHostPort(web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	loopback, name := "127.0.0.1:"+port, "localhost:"+port
	open := newRig(t, options{config: func(c *executor.Config) { c.AllowPrivateNetworks = true }})
	closed := newRig(t, options{})
	for _, c := range []struct {
		name    string
		rig     *rig
		args    string
		options limits.RunOption
		stdout  string // of which a part
		denial  string
		asked   int64
	}{
		{"nothing is allowed by default", open, loopback + " /", limits.RunOption{}, "error code 15", "network http://" + loopback, 0},
		{"an allowed host", open, loopback + " / /big", limits.RunOption{AllowedOutboundHosts: []string{"http://127.0.0.1:*"}},
			"status 200, 5 bytes\nstatus 200, 200000 bytes\n", "", 2},
		{"by name", open, name + " /", limits.RunOption{AllowedOutboundHosts: []string{"http://localhost:*"}}, "status 200, 5 bytes", "", 1},
		{"another port", open, loopback + " /", limits.RunOption{AllowedOutboundHosts: []string{"http://127.0.0.1:1"}}, "error code 15", loopback, 0},
		{"another scheme", open, loopback + " /", limits.RunOption{AllowedOutboundHosts: []string{"https://127.0.0.1:*"}}, "error code 15", loopback, 0},
		{"block_url wins", open, loopback + " / /secret/x /sec%72et/", limits.RunOption{AllowedOutboundHosts: []string{"*"}, BlockURL: limits.StringList{"http://127.0.0.1/secret/"}},
			"status 200, 5 bytes\nerror code 15\nerror code 15\n", "/secret/", 1},
		{"block_networks", open, loopback + " /", limits.RunOption{AllowedOutboundHosts: []string{"*"}, BlockNetworks: []string{"127.0.0.0/8"}}, "error code", "127.0.0.0/8", 0},
		{"block_networks by name", open, name + " /", limits.RunOption{AllowedOutboundHosts: []string{"*"}, BlockNetworks: []string{"127.0.0.0/8", "::1"}}, "error code", name, 0},
		{"private is blocked unless the operator lifts it", closed, loopback + " /", limits.RunOption{AllowedOutboundHosts: []string{"*", "http://127.0.0.1:*"}}, "error code", "private", 0},
		{"private by name", closed, name + " /", limits.RunOption{AllowedOutboundHosts: []string{"http://localhost:*"}}, "error code", "private", 0},
		{"private in other spellings", closed, "2130706433:" + port + " /", limits.RunOption{AllowedOutboundHosts: []string{"*"}}, "", "", 0},
		{"mapped into IPv6", closed, "[::ffff:127.0.0.1]:" + port + " /", limits.RunOption{AllowedOutboundHosts: []string{"*"}}, "error code", "private", 0},
		{"requests", open, "-n 5 " + loopback + " /", limits.RunOption{AllowedOutboundHosts: []string{"*"}, MaxOutboundRequests: 3},
			"status 200, 5 bytes\nstatus 200, 5 bytes\nstatus 200, 5 bytes\nerror code", "request", 3},
		{"bytes", open, loopback + " /big", limits.RunOption{AllowedOutboundHosts: []string{"*"}, MaxOutboundBytes: 50_000}, "cut off", "bytes", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := asked.Load()
			res := c.rig.run(t, &jobs.Job{Tool: c.rig.guest(t, "fetch"), Args: strings.Fields(c.args), Options: c.options})
			want{outcome: jobs.Succeeded, denial: c.denial}.check(t, res)
			if !strings.Contains(string(res.Stdout), c.stdout) {
				t.Errorf("stdout %q does not say %q", res.Stdout, c.stdout)
			}
			if c.denial == "" && c.stdout != "" && len(res.Denials) != 0 {
				t.Errorf("denials %v", res.Denials)
			}
			if n := asked.Load() - before; n != c.asked {
				t.Errorf("the server was asked %d times, want %d", n, c.asked)
			}
		})
	}
	open.alive(t)
	closed.alive(t)
}
