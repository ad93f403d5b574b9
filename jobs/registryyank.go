package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Yank says that a version is not to be chosen any more. It still runs when it
// is pinned, by version or by digest, so that what works today works tomorrow.
type Yank struct {
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

func (y *Yank) text() string {
	if y.Reason == "" {
		return "no reason is given"
	}
	return y.Reason
}

// Yank marks a version: neither its name alone nor latest chooses it. It
// refuses while a channel points to the version, because whoever follows the
// channel pinned nothing. Yanking again replaces the reason.
func (c *Client) Yank(ctx context.Context, name, version, reason string) error {
	channels, err := c.channelsOf(ctx, name, version)
	if err != nil {
		return err
	}
	if len(channels) > 0 {
		return fmt.Errorf("yank %s@%s: %s still points to it; move the channel first", name, version, atChannels(name, channels))
	}
	data, err := json.Marshal(Yank{Reason: reason, At: time.Now().UTC()})
	if err != nil {
		return err
	}
	if _, err := c.tools.Put(ctx, yankPrefix+toolKey(name, version), data); err != nil {
		return fmt.Errorf("yank %s@%s: %w", name, version, err)
	}
	c.audit(AuditEvent{Tenant: FleetAudit, Action: "tool.yank", Target: name + "@" + version, Reason: reason})
	return nil
}

// Unyank takes a yank back; on a version that is not yanked it does nothing.
func (c *Client) Unyank(ctx context.Context, name, version string) error {
	if _, err := c.Manifest(ctx, name, version); err != nil {
		return err
	}
	err := c.tools.Delete(ctx, yankPrefix+toolKey(name, version))
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("unyank %s@%s: %w", name, version, err)
	}
	c.audit(AuditEvent{Tenant: FleetAudit, Action: "tool.unyank", Target: name + "@" + version})
	return nil
}
