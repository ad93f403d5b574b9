// Package authtest runs a real nats-server for tests with what operators of a
// fleet give theirs: TLS, and the accounts and identities of an authority.
package authtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"boxfleet/internal/fleetauth"
	"boxfleet/jobs"
)

// Server is a NATS server with JetStream, TLS and identities.
type Server struct {
	*fleetauth.Authority
	// CA is the file of the authority that signed its certificate.
	CA  string
	dir string
	s   *server.Server
}

// Start runs a server until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	dir := t.TempDir()
	a, err := fleetauth.Init(filepath.Join(dir, "authority"), "test")
	if err != nil {
		t.Fatal(err)
	}
	n := &Server{Authority: a, dir: dir, CA: filepath.Join(dir, "ca.pem")}
	if err := Certificates(dir); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf(`
listen: "127.0.0.1:-1"
jetstream: { store_dir: %q, max_mem: 256MB, max_file: 16GB }
tls: { cert_file: %q, key_file: %q }
include "authority/nats-accounts.conf"
`, filepath.Join(dir, "js"), filepath.Join(dir, "server.pem"), filepath.Join(dir, "server-key.pem"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	if n.s, err = server.NewServer(opts); err != nil {
		t.Fatal(err)
	}
	go n.s.Start()
	t.Cleanup(func() { n.s.Shutdown(); n.s.WaitForShutdown() })
	if !n.s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server does not come up")
	}
	return n
}

// URL is the server's address.
func (n *Server) URL() string {
	return fmt.Sprintf("tls://127.0.0.1:%d", n.s.Addr().(*net.TCPAddr).Port)
}

// Reload makes the server read its configuration again.
func (n *Server) Reload(t testing.TB) {
	t.Helper()
	if err := n.s.Reload(); err != nil {
		t.Fatal(err)
	}
}

// Identity gives out an identity and returns its credentials file.
func (n *Server) Identity(t testing.TB, g fleetauth.Grant) string {
	t.Helper()
	for _, i := range n.Issued() {
		if i.Role == g.Role && i.Tenant == g.Tenant && i.User == g.User {
			return i.File
		}
	}
	i, err := n.Issue(g)
	if err != nil {
		t.Fatal(err)
	}
	return i.File
}

// Connect gives a connection as boxfleet's programs make theirs.
func (n *Server) Connect(t testing.TB, g fleetauth.Grant) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, js, err := jobs.Connect(context.Background(), jobs.ConnConfig{URL: n.URL(), CAFile: n.CA, CredsFile: n.Identity(t, g), Name: g.User})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, js
}

// Certificates writes into dir ca.pem and, signed by it, server.pem and
// server-key.pem for 127.0.0.1 and localhost.
func Certificates(dir string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, "ca.pem"), "CERTIFICATE", der); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey); err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, "server.pem"), "CERTIFICATE", der); err != nil {
		return err
	}
	if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, "server-key.pem"), "PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// NaiveIdentity gives out credentials with permissions as they are given, for
// tests of what permissions cannot do.
func (n *Server) NaiveIdentity(t testing.TB, name string, publish, subscribe []string) string {
	t.Helper()
	seed, err := os.ReadFile(filepath.Join(n.dir, "authority", "account.nk"))
	if err != nil {
		t.Fatal(err)
	}
	account, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.NewUserClaims(public)
	claims.Name = name
	claims.Pub.Allow.Add(publish...)
	claims.Sub.Allow.Add(subscribe...)
	token, err := claims.Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	key, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(token, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(n.dir, name+"-naive.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
