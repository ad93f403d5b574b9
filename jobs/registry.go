package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/artifacts"
	"boxfleet/limits/permission"
)

// Kinds of modules that a fleet runs.
const (
	KindCommand   = "wasip1-command"   // a core module that is a WASI 0.1 command
	KindComponent = "wasip2-component" // a WASI 0.2 component around such a module
)

// Manifest describes a registered tool. Name and version are immutable: a
// version once pushed keeps its digest, its level and everything else that
// stands in it. What may change stands beside it and is filled in when a
// manifest is read: whether the version is yanked, which channels point to it,
// and who has signed it.
type Manifest struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Description string   `json:"description,omitempty"`
	Keywords    []string `json:"keywords,omitempty"`
	// Level is a permission.Level; empty when nobody said.
	Level       string           `json:"permission_level,omitempty"`
	InputSchema json.RawMessage  `json:"input_schema,omitempty"`
	Digest      artifacts.Digest `json:"digest"`
	Size        int64            `json:"size"`
	Kind        string           `json:"kind"` // KindCommand or KindComponent
	Imports     []string         `json:"imports,omitempty"`
	// WASI is the version of WASI that the module asks for, such as 0.1 or
	// 0.2.3; empty when it imports nothing of it.
	WASI string `json:"wasi,omitempty"`
	// MinMemory is the size in bytes of its memories at the start.
	MinMemory uint64    `json:"min_memory,omitempty"`
	PushedAt  time.Time `json:"pushed_at"`

	Yanked     *Yank       `json:"yanked,omitempty"`
	Channels   []string    `json:"channels,omitempty"`
	Signatures []Signature `json:"signatures,omitempty"`
}

// Tool is the pinned reference to the manifest's module.
func (m *Manifest) Tool() Tool {
	return Tool{Name: m.Name, Version: m.Version, Digest: m.Digest, Size: m.Size}
}

// PermissionLevel is Level as package permission judges it.
func (m *Manifest) PermissionLevel() permission.Level { return permission.Level(m.Level) }

// ValidToolName tells whether s may name a tool: lower-case letters, digits
// and -, starting with a letter, at most 64.
func ValidToolName(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	})
}

// ValidToolVersion tells whether s may be a version: letters, digits, single
// dots, - and _, starting with a letter or digit, at most 64. "latest" is none:
// it always means the newest.
func ValidToolVersion(s string) bool {
	if s == "" || len(s) > 64 || !ValidID(s[:1]) || s[0] == '-' || s[0] == '_' || s == ChannelLatest {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '.' && !ValidID(string(r)) }) &&
		!strings.HasSuffix(s, ".") && !strings.Contains(s, "..")
}

// The tools bucket holds, by key:
//
//	NAME/VERSION                  the manifest, written once
//	digest.HEX.NAME/VERSION       empty: finds the manifests of a module
//	alias.NAME.CHANNEL            a channel's pointer, changed by compare-and-set
//	yank.NAME/VERSION             why a version is not to be chosen any more
//	sig.KEYID.NAME/VERSION        one signature
//
// A name holds no dot, so the first part before a dot tells them apart.
const (
	digestPrefix = "digest."
	aliasPrefix  = "alias."
	yankPrefix   = "yank."
	sigPrefix    = "sig."
)

func toolKey(name, version string) string { return name + "/" + version }

func digestKey(d artifacts.Digest, name, version string) string {
	return digestPrefix + d.Hex() + "." + toolKey(name, version)
}

func (m *Manifest) validate() error {
	switch {
	case !ValidToolName(m.Name):
		return fmt.Errorf("tool name %q: use 1 to 64 lower-case letters, digits and -, starting with a letter", m.Name)
	case !ValidToolVersion(m.Version):
		return fmt.Errorf("tool version %q: use letters, digits, dots, - and _, such as 1.0.0", m.Version)
	}
	if m.Level != "" {
		if _, err := permission.ParseLevel(m.Level); err != nil {
			return err
		}
	}
	_, err := artifacts.ParseDigest(string(m.Digest))
	return err
}

// VersionTakenError says that a version is registered with another module.
type VersionTakenError struct {
	Name, Version string
	Digest        artifacts.Digest // that it has
}

func (e *VersionTakenError) Error() string {
	return fmt.Sprintf("register %s@%s: this version exists with another module (%s); versions never change, push a new one", e.Name, e.Version, e.Digest.Short())
}

// Register adds a tool version. The same digest again is no error, and changes
// nothing; another digest under a known name and version is a
// *VersionTakenError. Signatures that m carries are stored with it, so that no
// worker sees the version without them; each must be of this very manifest.
func (c *Client) Register(ctx context.Context, m Manifest) (created bool, err error) {
	signatures := m.Signatures
	m.Yanked, m.Channels, m.Signatures = nil, nil, nil
	if err := m.validate(); err != nil {
		return false, err
	}
	key := toolKey(m.Name, m.Version)
	if _, err := c.Channel(ctx, m.Name, m.Version); err == nil {
		return false, fmt.Errorf("register %s@%s: %s is a channel of this tool; choose another version", m.Name, m.Version, m.Version)
	}
	old, err := c.storedManifest(ctx, m.Name, m.Version)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		m.PushedAt = time.Now().UTC()
		data, err := json.Marshal(m)
		if err != nil {
			return false, fmt.Errorf("encode the manifest of %s@%s: %w", m.Name, m.Version, err)
		}
		// What leads to the manifest comes first: a worker that finds the
		// version by its digest then knows its level and its signatures.
		if err := c.writeBeside(ctx, &m, signatures); err != nil {
			return false, err
		}
		if _, err = c.tools.Create(ctx, key, data); err == nil {
			c.audit(AuditEvent{Tenant: FleetAudit, Action: "tool.push", Target: m.Name + "@" + m.Version + " " + string(m.Digest)})
			return true, nil
		}
		if !isConflict(err) {
			return false, fmt.Errorf("register %s@%s: %w", m.Name, m.Version, err)
		}
		old, err = c.storedManifest(ctx, m.Name, m.Version) // somebody else was first
		if err != nil {
			return false, err
		}
	} else if err != nil {
		return false, err
	}
	if old.Digest != m.Digest {
		return false, &VersionTakenError{m.Name, m.Version, old.Digest}
	}
	if string(old.signedText()) != string(m.signedText()) {
		signatures = nil // they are of a manifest that is not the registered one
	}
	return false, c.writeBeside(ctx, old, signatures)
}

// writeBeside stores the index entry of a manifest, and its signatures.
func (c *Client) writeBeside(ctx context.Context, m *Manifest, signatures []Signature) error {
	if _, err := c.tools.Create(ctx, digestKey(m.Digest, m.Name, m.Version), nil); err != nil && !isConflict(err) {
		return fmt.Errorf("register %s@%s: %w", m.Name, m.Version, err)
	}
	for _, s := range signatures {
		if err := c.putSignature(ctx, m, s); err != nil {
			return err
		}
	}
	return nil
}

// storedManifest reads a manifest alone, or jetstream.ErrKeyNotFound.
func (c *Client) storedManifest(ctx context.Context, name, version string) (*Manifest, error) {
	entry, err := c.tools.Get(ctx, toolKey(name, version))
	if err != nil {
		return nil, fmt.Errorf("read tool %s@%s: %w", name, version, err)
	}
	return decodeManifest(entry.Key(), entry.Value())
}

func decodeManifest(key string, data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("read tool %s: %w", key, err)
	}
	if toolKey(m.Name, m.Version) != key {
		return nil, fmt.Errorf("read tool %s: its manifest is of %s@%s", key, m.Name, m.Version)
	}
	m.Yanked, m.Channels, m.Signatures = nil, nil, nil
	return &m, nil
}

// Manifest reads one version with all that stands beside it. A
// *NotFoundError says that there is none.
func (c *Client) Manifest(ctx context.Context, name, version string) (*Manifest, error) {
	got, err := snapshot(ctx, c.tools, toolKey(name, version), yankPrefix+toolKey(name, version), sigPrefix+"*."+toolKey(name, version), aliasPrefix+name+".*")
	if err != nil {
		return nil, fmt.Errorf("read tool %s@%s: %w", name, version, err)
	}
	list, err := got.manifests()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, c.noTool(ctx, name+"@"+version)
	}
	return &list[0], nil
}

// noTool says what is registered instead.
func (c *Client) noTool(ctx context.Context, ref string) error {
	hint := "push one with: submit tool push FILE.wasm --name NAME --version VERSION"
	if keys, err := toolKeys(ctx, c.tools); err == nil && len(keys.versions) > 0 {
		var names []string
		for _, name := range keys.names() {
			for _, version := range keys.versions[name] {
				names = append(names, name+"@"+version)
			}
		}
		if len(names) > 12 {
			names = append(names[:12], "...")
		}
		hint = "registered: " + strings.Join(names, ", ")
	}
	return &NotFoundError{Kind: "tool", Name: ref, Hint: hint}
}
