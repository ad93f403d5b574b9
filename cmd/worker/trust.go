package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/internal/toolkey"
	"boxfleet/jobs"
	"boxfleet/limits/permission"
)

func level(at func(*settings) *permission.Level) func(*settings, string) error {
	return func(s *settings, v string) (err error) { *at(s), err = permission.ParseLevel(v); return err }
}

// tenantLevels reads TENANT=LEVEL or TENANT=TIER, with commas.
func tenantLevels(s *settings, v string) error {
	s.permissions.Tenants = map[string]permission.Ceiling{}
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		tenant, text, ok := strings.Cut(part, "=")
		if !ok || !jobs.ValidID(tenant) {
			return fmt.Errorf("%q: write TENANT=LEVEL or TENANT=TIER", part)
		}
		if _, twice := s.permissions.Tenants[tenant]; twice {
			return fmt.Errorf("tenant %s is named twice", tenant)
		}
		ceiling, err := permission.ParseCeiling(text)
		if err != nil {
			return fmt.Errorf("tenant %s: %w", tenant, err)
		}
		s.permissions.Tenants[tenant] = ceiling
	}
	return nil
}

// readTrustedKeys reads the keys whose signatures count.
func (s *settings) readTrustedKeys() ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for _, path := range s.trustedKeys {
		list, err := toolkey.Public(path)
		if err != nil {
			return nil, &usageError{fmt.Errorf("trusted-keys: %w", err)}
		}
		keys = append(keys, list...)
	}
	if s.requireSigned && len(keys) == 0 {
		return nil, &usageError{fmt.Errorf("require-signed: no trusted-keys are set, so nothing could run; name files of public keys, as submit tool keygen makes them")}
	}
	return keys, nil
}

// useRegistry lets the sandbox look modules up, by digest, in the fleet's
// registry.
func (n *node) useRegistry(ctx context.Context, js jetstream.JetStream, trusted []ed25519.PublicKey) error {
	registry, err := jobs.OpenRegistry(ctx, js, trusted)
	if err != nil {
		return err
	}
	n.exec.UseRegistry(registry)
	return nil
}
