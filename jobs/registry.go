package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/artifacts"
)

// Manifest describes a registered tool. Name and version are immutable: a
// version once pushed keeps its digest.
type Manifest struct {
	Name        string           `json:"name"`
	Version     string           `json:"version"`
	Description string           `json:"description,omitempty"`
	Keywords    []string         `json:"keywords,omitempty"`
	Level       string           `json:"permission_level,omitempty"`
	InputSchema json.RawMessage  `json:"input_schema,omitempty"`
	Digest      artifacts.Digest `json:"digest"`
	Size        int64            `json:"size"`
	Kind        string           `json:"kind"` // wasip1-command
	Imports     []string         `json:"imports,omitempty"`
	PushedAt    time.Time        `json:"pushed_at"`
}

// Tool is the pinned reference to the manifest's module.
func (m *Manifest) Tool() Tool {
	return Tool{Name: m.Name, Version: m.Version, Digest: m.Digest, Size: m.Size}
}

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

// ValidToolVersion tells whether s may be a version: letters, digits, dots, -
// and _, starting with a letter or digit, at most 64.
func ValidToolVersion(s string) bool {
	if s == "" || len(s) > 64 || !ValidID(s[:1]) || s[0] == '-' || s[0] == '_' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '.' && !ValidID(string(r)) }) && !strings.HasSuffix(s, ".")
}

func toolKey(name, version string) string { return name + "/" + version }

// Register adds a tool version. The same digest again is no error; another
// digest under a known name and version is.
func (c *Client) Register(ctx context.Context, m Manifest) (created bool, err error) {
	switch {
	case !ValidToolName(m.Name):
		return false, fmt.Errorf("tool name %q: use 1 to 64 lower-case letters, digits and -, starting with a letter", m.Name)
	case !ValidToolVersion(m.Version):
		return false, fmt.Errorf("tool version %q: use letters, digits, dots, - and _, such as 1.0.0", m.Version)
	}
	if _, err := artifacts.ParseDigest(string(m.Digest)); err != nil {
		return false, err
	}
	m.PushedAt = time.Now().UTC()
	data, err := json.Marshal(m)
	if err != nil {
		return false, fmt.Errorf("encode the manifest of %s@%s: %w", m.Name, m.Version, err)
	}
	_, err = c.tools.Create(ctx, toolKey(m.Name, m.Version), data)
	if err == nil {
		return true, nil
	}
	if !isConflict(err) {
		return false, fmt.Errorf("register %s@%s: %w", m.Name, m.Version, err)
	}
	old, err := c.tool(ctx, m.Name, m.Version)
	if err != nil {
		return false, err
	}
	if old.Digest != m.Digest {
		return false, fmt.Errorf("register %s@%s: this version exists with another module (%s); versions never change, push a new one", m.Name, m.Version, old.Digest.Short())
	}
	return false, nil
}

func (c *Client) tool(ctx context.Context, name, version string) (*Manifest, error) {
	entry, err := c.tools.Get(ctx, toolKey(name, version))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, c.noTool(ctx, name+"@"+version)
	}
	if err != nil {
		return nil, fmt.Errorf("read tool %s@%s: %w", name, version, err)
	}
	var m Manifest
	if err := json.Unmarshal(entry.Value(), &m); err != nil {
		return nil, fmt.Errorf("read tool %s@%s: %w", name, version, err)
	}
	return &m, nil
}

func (c *Client) noTool(ctx context.Context, ref string) error {
	hint := "push one with: submit tool push FILE.wasm --name NAME --version VERSION"
	if all, err := c.Tools(ctx); err == nil && len(all) > 0 {
		names := make([]string, 0, len(all))
		for _, m := range all {
			names = append(names, m.Name+"@"+m.Version)
		}
		if len(names) > 12 {
			names = append(names[:12], "...")
		}
		hint = "registered: " + strings.Join(names, ", ")
	}
	return &NotFoundError{Kind: "tool", Name: ref, Hint: hint}
}

// Tools lists every registered version, by name and then oldest first.
func (c *Client) Tools(ctx context.Context) ([]Manifest, error) {
	watch, err := c.tools.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list tools: %w", err)
	}
	defer func() { _ = watch.Stop() }()
	var out []Manifest
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case entry, ok := <-watch.Updates():
			if !ok || entry == nil {
				slices.SortFunc(out, func(a, b Manifest) int {
					return cmp.Or(cmp.Compare(a.Name, b.Name), CompareVersions(a.Version, b.Version))
				})
				return out, nil
			}
			var m Manifest
			if err := json.Unmarshal(entry.Value(), &m); err != nil {
				return nil, fmt.Errorf("list tools: key %s: %w", entry.Key(), err)
			}
			out = append(out, m)
		}
	}
}

// Resolve pins a tool reference: `name@version`, `name` (its newest version)
// or `sha256:<digest>` of a registered module. References to s3:// objects
// are resolved by the caller, who can read them.
func (c *Client) Resolve(ctx context.Context, ref string) (*Manifest, error) {
	if d, err := artifacts.ParseDigest(ref); err == nil {
		all, err := c.Tools(ctx)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if all[i].Digest == d {
				return &all[i], nil
			}
		}
		return nil, c.noTool(ctx, ref)
	}
	name, version, pinned := strings.Cut(ref, "@")
	if !ValidToolName(name) || pinned && !ValidToolVersion(version) {
		return nil, fmt.Errorf("tool reference %q: write NAME, NAME@VERSION, sha256:DIGEST or s3://BUCKET/KEY.wasm", ref)
	}
	if pinned {
		return c.tool(ctx, name, version)
	}
	all, err := c.Tools(ctx)
	if err != nil {
		return nil, err
	}
	for i := len(all) - 1; i >= 0; i-- { // versions ascend within a name
		if all[i].Name == name {
			return &all[i], nil
		}
	}
	return nil, c.noTool(ctx, ref)
}

// CompareVersions orders versions as Semantic Versioning 2.0.0 does for those
// that follow it, and by their numbers and text otherwise.
func CompareVersions(a, b string) int {
	coreA, preA, hasPreA := strings.Cut(strings.TrimPrefix(a, "v"), "-")
	coreB, preB, hasPreB := strings.Cut(strings.TrimPrefix(b, "v"), "-")
	if c := compareDotted(coreA, coreB); c != 0 {
		return c
	}
	switch {
	case hasPreA && !hasPreB:
		return -1
	case !hasPreA && hasPreB:
		return 1
	}
	return cmp.Or(compareDotted(preA, preB), cmp.Compare(a, b))
}

func compareDotted(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		switch {
		case i >= len(as):
			return -1
		case i >= len(bs):
			return 1
		}
		x, errX := strconv.ParseUint(as[i], 10, 64)
		y, errY := strconv.ParseUint(bs[i], 10, 64)
		c := 0
		switch {
		case errX == nil && errY == nil:
			c = cmp.Compare(x, y)
		case errX == nil:
			c = -1 // numbers come before words
		case errY == nil:
			c = 1
		default:
			c = cmp.Compare(as[i], bs[i])
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
