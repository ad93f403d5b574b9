package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ChannelLatest is the channel that every tool has: it is computed, never
// stored, and means the newest version that is not yanked.
const ChannelLatest = "latest"

// Alias is a channel of a tool: a name such as stable that points to one of
// its versions and can be moved.
type Alias struct {
	Name    string    `json:"name"`
	Channel string    `json:"channel"`
	Version string    `json:"version"`
	MovedAt time.Time `json:"moved_at"`
}

// ValidChannel tells whether s may be a channel: lower-case letters, digits
// and -, starting with a letter, at most 32, and not "latest".
func ValidChannel(s string) bool {
	return len(s) <= 32 && s != ChannelLatest && ValidToolName(s)
}

func decodeAlias(key string, data []byte) (*Alias, error) {
	var a Alias
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("read channel %s: %w", key, err)
	}
	if aliasPrefix+a.Name+"."+a.Channel != key {
		return nil, fmt.Errorf("read channel %s: it is of %s@%s", key, a.Name, a.Channel)
	}
	return &a, nil
}

// Channel reads where a channel points; a *NotFoundError when there is none.
func (c *Client) Channel(ctx context.Context, name, channel string) (*Alias, error) {
	a, _, err := c.channel(ctx, name, channel)
	return a, err
}

func (c *Client) channel(ctx context.Context, name, channel string) (*Alias, uint64, error) {
	key := aliasPrefix + name + "." + channel
	if !ValidToolName(name) || !ValidChannel(channel) {
		return nil, 0, &NotFoundError{Kind: "channel", Name: name + "@" + channel}
	}
	entry, err := c.tools.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, &NotFoundError{Kind: "channel", Name: name + "@" + channel}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read channel %s@%s: %w", name, channel, err)
	}
	a, err := decodeAlias(key, entry.Value())
	return a, entry.Revision(), err
}

// ChannelMovedError says that a channel points elsewhere than the caller
// believes.
type ChannelMovedError struct {
	Name, Channel string
	Version       string // where it points; "" when it does not exist
}

func (e *ChannelMovedError) Error() string {
	if e.Version == "" {
		return fmt.Sprintf("channel %s@%s does not exist; leave out from which version it moves", e.Name, e.Channel)
	}
	return fmt.Sprintf("channel %s@%s points to %s: somebody else moved it; look again", e.Name, e.Channel, e.Version)
}

// MoveChannel points a channel to a registered version that is not yanked,
// making the channel when it is not there. With from, it moves only a channel
// that points to that version; else the error is a *ChannelMovedError, as it is
// when somebody else moves it at the same time.
func (c *Client) MoveChannel(ctx context.Context, name, channel, version, from string) (*Alias, error) {
	switch {
	case !ValidToolName(name):
		return nil, fmt.Errorf("tool name %q: use 1 to 64 lower-case letters, digits and -, starting with a letter", name)
	case channel == ChannelLatest:
		return nil, fmt.Errorf("channel %q: it always means the newest version and cannot be moved; choose another name, such as stable", channel)
	case !ValidChannel(channel):
		return nil, fmt.Errorf("channel %q: use 1 to 32 lower-case letters, digits and -, starting with a letter, such as stable", channel)
	}
	m, err := c.Manifest(ctx, name, version)
	if err != nil {
		return nil, err
	}
	if m.Yanked != nil {
		return nil, fmt.Errorf("channel %s@%s: version %s is yanked (%s); choose another, or unyank it", name, channel, version, m.Yanked.text())
	}
	if _, err := c.tools.Get(ctx, toolKey(name, channel)); err == nil {
		return nil, fmt.Errorf("channel %q: %s has a version of this name; choose another", channel, name)
	}
	old, revision, err := c.channel(ctx, name, channel)
	missing := errors.As(err, new(*NotFoundError))
	if err != nil && !missing {
		return nil, err
	}
	if from != "" && (missing || old.Version != from) {
		moved := &ChannelMovedError{Name: name, Channel: channel}
		if old != nil {
			moved.Version = old.Version
		}
		return nil, moved
	}
	a := &Alias{Name: name, Channel: channel, Version: version, MovedAt: time.Now().UTC()}
	data, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	key := aliasPrefix + name + "." + channel
	if missing {
		_, err = c.tools.Create(ctx, key, data)
	} else {
		_, err = c.tools.Update(ctx, key, data, revision)
	}
	if isConflict(err) {
		moved := &ChannelMovedError{Name: name, Channel: channel, Version: "another version"}
		if now, _, err := c.channel(ctx, name, channel); err == nil {
			moved.Version = now.Version
		}
		return nil, moved
	}
	if err != nil {
		return nil, fmt.Errorf("move channel %s@%s: %w", name, channel, err)
	}
	c.audit(AuditEvent{Tenant: FleetAudit, Action: "tool.channel", Target: name + "@" + channel + " to " + version})
	return a, nil
}

// RemoveChannel removes a channel; a *NotFoundError when there is none.
func (c *Client) RemoveChannel(ctx context.Context, name, channel string) error {
	_, revision, err := c.channel(ctx, name, channel)
	if err != nil {
		return err
	}
	err = c.tools.Delete(ctx, aliasPrefix+name+"."+channel, jetstream.LastRevision(revision))
	if isConflict(err) {
		return &ChannelMovedError{Name: name, Channel: channel, Version: "another version"}
	}
	if err != nil {
		return fmt.Errorf("remove channel %s@%s: %w", name, channel, err)
	}
	return nil
}

// channelsOf lists the channels that point to a version.
func (c *Client) channelsOf(ctx context.Context, name, version string) ([]string, error) {
	m, err := c.Manifest(ctx, name, version)
	if err != nil {
		return nil, err
	}
	return m.Channels, nil
}

// atChannels writes channels as references.
func atChannels(name string, channels []string) string {
	out := make([]string, len(channels))
	for i, ch := range channels {
		out[i] = name + "@" + ch
	}
	return strings.Join(out, ", ")
}
