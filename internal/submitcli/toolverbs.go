package submitcli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

func (a *app) toolAliasCommand() *cobra.Command {
	var from string
	var remove bool
	cmd := &cobra.Command{
		Use: "alias NAME@CHANNEL VERSION", Short: "Point a channel of a tool, such as stable, to a version",
		Long: "alias makes or moves a channel: whoever runs NAME@CHANNEL gets the version it points to.\n" +
			"NAME@latest needs none: it is always the newest version that is not yanked.",
		Example: "  submit tool alias jq@stable 1.7.0\n  submit tool alias jq@stable 1.8.0 --from 1.7.0\n  submit tool alias jq@stable --remove",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, channel, ok := strings.Cut(args[0], "@")
			switch {
			case !ok:
				return usagef("%q: write NAME@CHANNEL", args[0])
			case remove && (len(args) == 2 || from != ""):
				return usagef("--remove takes NAME@CHANNEL alone")
			case remove:
				return a.toolUnalias(cmd.Context(), name, channel)
			case len(args) < 2:
				return usagef("which version? write: submit tool alias %s VERSION", args[0])
			}
			return a.toolAlias(cmd.Context(), name, channel, args[1], from)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "move it only if it points to this version now")
	cmd.Flags().BoolVar(&remove, "remove", false, "remove the channel")
	return cmd
}

func (a *app) toolAlias(ctx context.Context, name, channel, version, from string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	alias, err := client.MoveChannel(ctx, name, channel, version, from)
	if err != nil {
		return registryError(err)
	}
	if a.globals.json {
		return a.printLine(alias)
	}
	_, err = fmt.Fprintf(a.Stdout, "%s@%s is %s@%s\n", name, channel, name, version)
	return wroteOut(err)
}

func (a *app) toolUnalias(ctx context.Context, name, channel string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	if err := client.RemoveChannel(ctx, name, channel); err != nil {
		return registryError(err)
	}
	_, err = fmt.Fprintf(a.Stdout, "%s@%s removed\n", name, channel)
	return wroteOut(err)
}

func (a *app) toolYankCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "yank NAME@VERSION", Short: "Keep a version from being chosen; it still runs when it is pinned",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onVersion(cmd.Context(), args[0], "yanked", func(ctx context.Context, c *jobs.Client, name, version string) error {
				return c.Yank(ctx, name, version, reason)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who run it all the same")
	return cmd
}

func (a *app) toolUnyankCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unyank NAME@VERSION", Short: "Take a yank back", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onVersion(cmd.Context(), args[0], "unyanked", func(ctx context.Context, c *jobs.Client, name, version string) error {
				return c.Unyank(ctx, name, version)
			})
		},
	}
}

// onVersion does something to one version and says that it is done.
func (a *app) onVersion(ctx context.Context, ref, done string, do func(ctx context.Context, c *jobs.Client, name, version string) error) error {
	name, version, ok := strings.Cut(ref, "@")
	if !ok || !jobs.ValidToolName(name) || !jobs.ValidToolVersion(version) {
		return usagef("%q: write NAME@VERSION", ref)
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	if err := do(ctx, client, name, version); err != nil {
		return registryError(err)
	}
	if a.globals.json {
		m, err := client.Manifest(ctx, name, version)
		if err != nil {
			return err
		}
		return a.printLine(m)
	}
	_, err = fmt.Fprintf(a.Stdout, "%s@%s %s\n", name, version, done)
	return wroteOut(err)
}

// registryError tells what the user can mend from a fleet that fails: what the
// registry refuses comes without a cause, what NATS refuses with one.
func registryError(err error) error {
	var missing *jobs.NotFoundError
	switch {
	case errors.As(err, &missing):
		return err
	case errors.As(err, new(*jobs.ChannelMovedError)):
		return &exitError{exitUnfinished, err}
	case errors.As(err, new(*jobs.VersionTakenError)), errors.Unwrap(err) == nil && !errors.Is(err, context.Canceled) && !errors.Is(err, jobs.ErrNoFleet):
		return usage(err)
	}
	return err
}

func yankReason(y *jobs.Yank) string {
	if y.Reason == "" {
		return "no reason is given"
	}
	return y.Reason
}
