package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"boxfleet/artifacts"
)

// Resolve pins a tool reference to the manifest of one version:
//
//	NAME, NAME@latest    the newest version that is not yanked
//	NAME@VERSION         that version, yanked or not
//	NAME@CHANNEL         the version that the channel points to
//	sha256:DIGEST        a registered version of that module
//
// A yanked version that was pinned comes with Yanked set: it runs, and the
// caller should say so. References to s3:// objects are resolved by the caller,
// who can read them.
func (c *Client) Resolve(ctx context.Context, ref string) (*Manifest, error) {
	if d, err := artifacts.ParseDigest(ref); err == nil {
		return c.resolveDigest(ctx, d)
	}
	name, version, pinned := strings.Cut(ref, "@")
	if pinned && version == ChannelLatest {
		pinned = false
	}
	if !ValidToolName(name) || pinned && !ValidToolVersion(version) {
		return nil, fmt.Errorf("tool reference %q: write NAME, NAME@VERSION, NAME@CHANNEL, sha256:DIGEST or s3://BUCKET/KEY.wasm", ref)
	}
	if !pinned {
		return c.newest(ctx, name)
	}
	m, err := c.Manifest(ctx, name, version)
	var missing *NotFoundError
	if !errors.As(err, &missing) {
		return m, err
	}
	a, aliasErr := c.Channel(ctx, name, version)
	switch {
	case errors.As(aliasErr, new(*NotFoundError)):
		return nil, err
	case aliasErr != nil:
		return nil, aliasErr
	}
	return c.Manifest(ctx, a.Name, a.Version)
}

func (c *Client) newest(ctx context.Context, name string) (*Manifest, error) {
	keys, err := toolKeys(ctx, c.tools)
	if err != nil {
		return nil, err
	}
	version := keys.newest(name)
	if version != "" {
		return c.Manifest(ctx, name, version)
	}
	if all := keys.versions[name]; len(all) > 0 {
		return nil, &NotFoundError{Kind: "tool", Name: name, Hint: fmt.Sprintf("all its versions are yanked; pin one if you must: %s@%s", name, all[len(all)-1])}
	}
	return nil, c.noTool(ctx, name)
}

// resolveDigest prefers a version that is not yanked, and the newest.
func (c *Client) resolveDigest(ctx context.Context, d artifacts.Digest) (*Manifest, error) {
	list, err := byDigest(ctx, c.tools, d)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, c.noTool(ctx, string(d))
	}
	best := &list[len(list)-1]
	for i := range slices.Backward(list) {
		if list[i].Yanked == nil {
			best = &list[i]
			break
		}
	}
	return best, nil
}
