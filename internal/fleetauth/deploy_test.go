package fleetauth_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"boxfleet/internal/fleetauth"
	"boxfleet/internal/fleetauth/authtest"
)

// TestDeployedConfiguration: nats-server itself reads the configuration that
// operators are given, with an authority's part beside it.
func TestDeployedConfiguration(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile("../../deploy/nats/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	a, err := fleetauth.Init(filepath.Join(dir, "authority"), "prod")
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := os.ReadFile(a.ServerConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := authtest.Certificates(filepath.Join(dir, "tls")); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"nats.conf": text, "nats-accounts.conf": accounts} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir) // its paths are relative
	opts, err := server.ProcessConfigFile("nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if opts.TLSConfig == nil || !opts.JetStream || !opts.SyncAlways || len(opts.TrustedOperators) != 1 || opts.SystemAccount == "" {
		t.Errorf("options %+v; want TLS, JetStream with sync, and the authority", opts)
	}
	if opts.HTTPHost != "127.0.0.1" {
		t.Errorf("monitoring listens on %s", opts.HTTPHost)
	}
	// It opens again with what was kept, and not twice.
	if _, err := fleetauth.Open(filepath.Join(dir, "authority")); err != nil {
		t.Error(err)
	}
	if _, err := fleetauth.Init(filepath.Join(dir, "authority"), "prod"); err == nil {
		t.Error("an authority is replaced")
	}
	if err := os.Chmod(filepath.Join(dir, "authority", "operator.nk"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := fleetauth.Open(filepath.Join(dir, "authority")); err == nil {
		t.Error("a key that others can read is used")
	}
}

// TestComposedConfiguration: nats-server reads what compose gives it, and with
// identities lets in nobody else.
func TestComposedConfiguration(t *testing.T) {
	t.Setenv("NATS_PASSWORD", "password")
	plain, err := server.ProcessConfigFile("../../deploy/compose/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if plain.Host != "127.0.0.1" || !plain.SyncAlways || plain.Password != "password" {
		t.Errorf("options %+v; want loopback, sync and the password", plain)
	}
	text, err := os.ReadFile("../../deploy/compose/nats-identities.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a, err := fleetauth.Init(filepath.Join(dir, "authority"), "dev")
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := os.ReadFile(a.ServerConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(conf, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.ProcessConfigFile(conf); err == nil {
		t.Error("the server starts without the authority's part")
	}
	if err := os.Mkdir(filepath.Join(dir, "identities"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "identities", "nats-accounts.conf"), accounts, 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if opts.Host != "127.0.0.1" || !opts.JetStream || !opts.SyncAlways || len(opts.TrustedOperators) != 1 {
		t.Errorf("options %+v; want loopback, JetStream with sync, and the authority", opts)
	}
}
