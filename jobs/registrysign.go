package jobs

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"boxfleet/artifacts"
)

// Signature is one party's word for a version of a tool: an Ed25519 signature
// (RFC 8032) of the manifest's signed text.
type Signature struct {
	// KeyID is the KeyID of the public key that verifies it.
	KeyID string `json:"key_id"`
	// Value is the 64 bytes of the signature.
	Value []byte    `json:"value"`
	At    time.Time `json:"at"`
}

// KeyID names a public key: the first 16 hex digits of its SHA-256.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// signedText is what a signature covers: the name, version and digest in the
// clear, and the hash of everything else that cannot change. Its first line
// keeps signatures of other things from being taken for one of these.
func (m *Manifest) signedText() []byte {
	fixed, err := json.Marshal(struct {
		Name        string           `json:"name"`
		Version     string           `json:"version"`
		Description string           `json:"description,omitempty"`
		Keywords    []string         `json:"keywords,omitempty"`
		Level       string           `json:"permission_level,omitempty"`
		InputSchema json.RawMessage  `json:"input_schema,omitempty"`
		Digest      artifacts.Digest `json:"digest"`
		Size        int64            `json:"size"`
		Kind        string           `json:"kind"`
		Imports     []string         `json:"imports,omitempty"`
		WASI        string           `json:"wasi,omitempty"`
		MinMemory   uint64           `json:"min_memory,omitempty"`
	}{m.Name, m.Version, m.Description, m.Keywords, m.Level, m.InputSchema, m.Digest, m.Size, m.Kind, m.Imports, m.WASI, m.MinMemory})
	if err != nil { // a schema that is not JSON; such a manifest cannot be stored either
		fixed = nil
	}
	sum := sha256.Sum256(fixed)
	return fmt.Appendf(nil, "boxfleet tool signature 1\nname %s\nversion %s\ndigest %s\nmanifest sha256:%x\n", m.Name, m.Version, m.Digest, sum)
}

// SameContent tells whether two manifests are the same in all that cannot
// change.
func (m *Manifest) SameContent(o *Manifest) bool { return bytes.Equal(m.signedText(), o.signedText()) }

// Sign makes a signature of the manifest.
func (m *Manifest) Sign(key ed25519.PrivateKey) Signature {
	public, _ := key.Public().(ed25519.PublicKey)
	return Signature{KeyID: KeyID(public), Value: ed25519.Sign(key, m.signedText()), At: time.Now().UTC()}
}

// SignedBy tells whether one of the manifest's signatures is by that key.
func (m *Manifest) SignedBy(key ed25519.PublicKey) bool {
	id, text := KeyID(key), m.signedText()
	for _, s := range m.Signatures {
		if s.KeyID == id && len(s.Value) == ed25519.SignatureSize && ed25519.Verify(key, text, s.Value) {
			return true
		}
	}
	return false
}

// SignTool signs a registered version. The manifest is read first, so the
// caller should have shown it to whoever signs.
func (c *Client) SignTool(ctx context.Context, name, version string, key ed25519.PrivateKey) (*Manifest, error) {
	m, err := c.Manifest(ctx, name, version)
	if err != nil {
		return nil, err
	}
	s := m.Sign(key)
	if err := c.putSignature(ctx, m, s); err != nil {
		return nil, err
	}
	m.Signatures = append(m.Signatures, s)
	c.audit(AuditEvent{Tenant: FleetAudit, Action: "tool.sign", Target: name + "@" + version + " by key " + s.KeyID})
	return m, nil
}

func (c *Client) putSignature(ctx context.Context, m *Manifest, s Signature) error {
	if !isKeyID(s.KeyID) || len(s.Value) != ed25519.SignatureSize {
		return errors.New("sign: this is no Ed25519 signature")
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if _, err := c.tools.Put(ctx, sigPrefix+s.KeyID+"."+toolKey(m.Name, m.Version), data); err != nil {
		return fmt.Errorf("sign %s@%s: %w", m.Name, m.Version, err)
	}
	return nil
}

func isKeyID(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 8
}
