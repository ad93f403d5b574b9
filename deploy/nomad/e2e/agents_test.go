//go:build rehearsal

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// patience bounds every wait; a healthy machine needs a small part of it.
const patience = 8 * time.Minute

// rig is two Nomad agents on loopback, and the programs that they run.
type rig struct {
	t    *testing.T
	dir  string
	bin  string // where make build puts the programs
	addr string
	api  *api.Client
}

// agentConfig is what both agents have. Fingerprinting clouds and looking for
// updates would leave the machine.
const agentConfig = `
name = %q
data_dir = %q
bind_addr = "127.0.0.1"
advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}
disable_update_check = true
log_level = "WARN"
ports {
  http = %d
  rpc  = %d
  serf = %d
}
server {
  enabled = %t
  bootstrap_expect = %d
}
client {
  enabled = true
  servers = ["127.0.0.1:%d"]
  network_interface = "lo"
  cpu_total_compute = 16000
  memory_total_mb = 32000
  max_kill_timeout = "5m"
  options = {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"
  }
}
plugin "raw_exec" {
  config {
    enabled = true
  }
}
`

func newRig(t *testing.T) *rig {
	t.Helper()
	bin, err := filepath.Abs("../../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nomad", "worker", "submit", "devs3", "nats-server"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			t.Fatalf("%v: run `make nomad-e2e`, which builds it", err)
		}
	}
	// Not below t.TempDir: what tasks write belongs to other processes, which
	// must have ended first. A failed rehearsal leaves it to look at.
	dir, err := os.MkdirTemp("", "boxfleet-nomad-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unmountBelow(dir)
		if t.Failed() {
			t.Logf("logs and data are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	http, rpc, serf := freePort(t), freePort(t), freePort(t)
	r := &rig{t: t, dir: dir, bin: bin, addr: fmt.Sprintf("http://127.0.0.1:%d", http)}
	if r.api, err = api.NewClient(&api.Config{Address: r.addr}); err != nil {
		t.Fatal(err)
	}
	r.agent("node-1", fmt.Sprintf(agentConfig, "node-1", filepath.Join(dir, "node-1"), http, rpc, serf, true, 1, rpc))
	r.agent("node-2", fmt.Sprintf(agentConfig, "node-2", filepath.Join(dir, "node-2"), freePort(t), freePort(t), freePort(t), false, 0, rpc))
	r.eventually("both nodes are ready", func() (bool, string) {
		nodes, _, err := r.api.Nodes().List(nil)
		if err != nil {
			return false, err.Error()
		}
		ready := 0
		for _, n := range nodes {
			if n.Status == "ready" && n.Drivers["raw_exec"] != nil && n.Drivers["raw_exec"].Healthy {
				ready++
			}
		}
		return ready == 2, fmt.Sprintf("%d are", ready)
	})
	return r
}

// agent starts one and ends it with the test. Tasks of a client outlive its
// agent, so the jobs are stopped before (see stopJobs).
func (r *rig) agent(name, config string) {
	r.t.Helper()
	file := filepath.Join(r.dir, name+".hcl")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		r.t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(r.dir, name+".log"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(r.bin, "nomad"), "agent", "-config", file)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	r.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
}

// stopJobs ends all jobs and waits until no task is left.
func (r *rig) stopJobs() {
	list, _, err := r.api.Jobs().List(nil)
	if err != nil {
		r.t.Errorf("list the jobs: %v", err)
		return
	}
	// The workers first: they give their jobs back to a queue that answers.
	for _, last := range []bool{false, true} {
		for _, j := range list {
			if serves := strings.HasPrefix(j.ID, "boxfleet-nats") || j.ID == "boxfleet-s3"; serves == last {
				if _, _, err := r.api.Jobs().Deregister(j.ID, false, nil); err != nil {
					r.t.Errorf("stop %s: %v", j.ID, err)
				}
			}
		}
		r.eventually("tasks have ended", func() (bool, string) {
			allocs, _, err := r.api.Allocations().List(nil)
			if err != nil {
				return false, err.Error()
			}
			var left []string
			for _, a := range allocs {
				serves := strings.HasPrefix(a.JobID, "boxfleet-nats") || a.JobID == "boxfleet-s3"
				if (a.ClientStatus == "running" || a.ClientStatus == "pending") && (last || !serves) {
					left = append(left, a.JobID+" "+a.ClientStatus)
				}
			}
			return len(left) == 0, strings.Join(left, ", ")
		})
	}
}

// command runs a program to its end and gives what it said.
func (r *rig) command(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, name), args...)
	cmd.Env = append(os.Environ(), "NOMAD_ADDR="+r.addr, "HOME="+r.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (r *rig) must(name string, args ...string) string {
	r.t.Helper()
	out, err := r.command(name, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// eventually polls; state says how it stands in the message of a failure.
func (r *rig) eventually(what string, ok func() (done bool, state string)) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		done, state := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not within %s; %s", what, patience, state)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// unmountBelow takes away the file systems of secrets that an agent of root
// leaves behind when it ends.
func unmountBelow(dir string) {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return // not Linux, so nothing is mounted
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			_ = syscall.Unmount(f[1], 0)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// certificates makes an authority and a certificate of this machine's
// loopback address, as PEM.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rehearsal"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, serverKey := newKey(), newKey()
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "nats"}, NotBefore: from, NotAfter: to,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, server, authority, serverKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		var b bytes.Buffer
		if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	return encode("CERTIFICATE", caDER), encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER)
}

// exitCode is that of a program that ended by itself.
func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}
