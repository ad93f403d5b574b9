package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/artifacts"
)

// keysAndValues is what the tools bucket held under some keys at one time.
type keysAndValues map[string][]byte

// snapshot reads all keys that match the filters; without filters, every key.
func snapshot(ctx context.Context, kv jetstream.KeyValue, filters ...string) (keysAndValues, error) {
	return read(ctx, kv, filters, jetstream.IgnoreDeletes())
}

func read(ctx context.Context, kv jetstream.KeyValue, filters []string, opts ...jetstream.WatchOpt) (keysAndValues, error) {
	if len(filters) == 0 {
		filters = []string{">"}
	}
	watch, err := kv.WatchFiltered(ctx, filters, opts...)
	if err != nil {
		return nil, err
	}
	defer stopWatch(watch)
	got := keysAndValues{}
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case entry, ok := <-watch.Updates():
			if !ok {
				return nil, errors.New("the connection to NATS was lost while the registry was read")
			}
			if entry == nil { // all that was there
				return got, nil
			}
			got[entry.Key()] = entry.Value()
		}
	}
}

// manifests puts the manifests together with what stands beside them, by name
// and then oldest first.
func (got keysAndValues) manifests() ([]Manifest, error) {
	var out []Manifest
	channels := map[string][]string{}
	signatures := map[string][]Signature{}
	for key, value := range got {
		kind, rest := splitToolKey(key)
		switch kind {
		case "":
			m, err := decodeManifest(key, value)
			if err != nil {
				return nil, err
			}
			out = append(out, *m)
		case aliasPrefix:
			a, err := decodeAlias(key, value)
			if err != nil {
				return nil, err
			}
			at := toolKey(a.Name, a.Version)
			channels[at] = append(channels[at], a.Channel)
		case sigPrefix:
			_, tool, _ := strings.Cut(rest, ".")
			var s Signature
			if err := json.Unmarshal(value, &s); err != nil {
				return nil, fmt.Errorf("read signature %s: %w", key, err)
			}
			signatures[tool] = append(signatures[tool], s)
		}
	}
	for i := range out {
		m := &out[i]
		key := toolKey(m.Name, m.Version)
		if value, ok := got[yankPrefix+key]; ok {
			m.Yanked = &Yank{}
			if err := json.Unmarshal(value, m.Yanked); err != nil {
				return nil, fmt.Errorf("read the yank of %s: %w", key, err)
			}
		}
		m.Channels, m.Signatures = channels[key], signatures[key]
		slices.Sort(m.Channels)
		slices.SortFunc(m.Signatures, func(a, b Signature) int { return cmp.Compare(a.KeyID, b.KeyID) })
	}
	slices.SortFunc(out, func(a, b Manifest) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), CompareVersions(a.Version, b.Version))
	})
	return out, nil
}

// splitToolKey gives the prefix of a key of the tools bucket, "" for a
// manifest's, and the rest.
func splitToolKey(key string) (kind, rest string) {
	for _, prefix := range []string{digestPrefix, aliasPrefix, yankPrefix, sigPrefix} {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			return prefix, rest
		}
	}
	return "", key
}

// keyList is which versions there are, without their manifests.
type keyList struct {
	versions map[string][]string // by name, oldest first
	yanked   map[string]bool     // by NAME/VERSION
}

func (l *keyList) names() []string { return slices.Sorted(maps.Keys(l.versions)) }

// newest is the highest version of a tool that is not yanked; "" when there is
// none.
func (l *keyList) newest(name string) string {
	for _, v := range slices.Backward(l.versions[name]) {
		if !l.yanked[toolKey(name, v)] {
			return v
		}
	}
	return ""
}

// toolKeys lists the versions of all tools; manifests stay where they are,
// because a large registry's are megabytes.
func toolKeys(ctx context.Context, kv jetstream.KeyValue) (*keyList, error) {
	got, err := read(ctx, kv, nil, jetstream.IgnoreDeletes(), jetstream.MetaOnly())
	if err != nil {
		return nil, fmt.Errorf("list tools: %w", err)
	}
	l := &keyList{versions: map[string][]string{}, yanked: map[string]bool{}}
	for key := range got {
		switch kind, rest := splitToolKey(key); kind {
		case "":
			if name, version, ok := strings.Cut(key, "/"); ok {
				l.versions[name] = append(l.versions[name], version)
			}
		case yankPrefix:
			l.yanked[rest] = true
		}
	}
	for _, list := range l.versions {
		slices.SortFunc(list, CompareVersions)
	}
	return l, nil
}

// Tools lists every registered version, by name and then oldest first.
func (c *Client) Tools(ctx context.Context) ([]Manifest, error) {
	got, err := snapshot(ctx, c.tools)
	if err != nil {
		return nil, fmt.Errorf("list tools: %w", err)
	}
	return got.manifests()
}

// ToolsByDigest lists every registered version of one module.
func (c *Client) ToolsByDigest(ctx context.Context, d artifacts.Digest) ([]Manifest, error) {
	return byDigest(ctx, c.tools, d)
}

func byDigest(ctx context.Context, kv jetstream.KeyValue, d artifacts.Digest) ([]Manifest, error) {
	index, err := snapshot(ctx, kv, digestPrefix+d.Hex()+".>")
	if err != nil {
		return nil, fmt.Errorf("look up %s in the registry: %w", d.Short(), err)
	}
	var filters []string
	for key := range index {
		tool := strings.TrimPrefix(key, digestPrefix+d.Hex()+".")
		filters = append(filters, tool, yankPrefix+tool, sigPrefix+"*."+tool)
	}
	if len(filters) == 0 {
		return nil, nil
	}
	got, err := snapshot(ctx, kv, filters...)
	if err != nil {
		return nil, fmt.Errorf("look up %s in the registry: %w", d.Short(), err)
	}
	list, err := got.manifests()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(m Manifest) bool { return m.Digest != d }), nil
}
