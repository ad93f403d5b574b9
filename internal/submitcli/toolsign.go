package submitcli

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"boxfleet/internal/toolkey"
	"boxfleet/jobs"
)

func (a *app) toolKeygenCommand() *cobra.Command {
	return &cobra.Command{
		Use: "keygen FILE", Short: "Make a key to sign tools with: FILE, and FILE.pub for operators", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			public, err := toolkey.Generate(args[0])
			if err != nil {
				return usage(plainPathError(err))
			}
			if a.globals.json {
				return a.printLine(map[string]string{"key_id": jobs.KeyID(public), "private": args[0], "public": args[0] + ".pub"})
			}
			_, err = fmt.Fprintf(a.Stdout, "%s\n", jobs.KeyID(public))
			a.remark("keep %s to yourself; give %s.pub to operators, for trusted-keys", args[0], args[0])
			return wroteOut(err)
		},
	}
}

func (a *app) toolSignCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "sign NAME@VERSION --key FILE", Short: "Sign a registered version",
		Long: "sign vouches for a version as it is registered: its name, version, module and manifest.\n" +
			"Look at it first with: submit tool inspect NAME@VERSION",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return usagef("which key? give --key FILE; make one with: submit tool keygen FILE")
			}
			private, err := toolkey.Private(key)
			if err != nil {
				return usage(plainPathError(err))
			}
			return a.onVersion(cmd.Context(), args[0], "signed", func(ctx context.Context, c *jobs.Client, name, version string) error {
				_, err := c.SignTool(ctx, name, version, private)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "file of the private key")
	return cmd
}

func (a *app) toolVerifyCommand() *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use: "verify TOOL --keys FILE.pub", Short: "Tell whether one of some keys has signed a tool",
		Long: "verify exits with 0 when one of the keys has signed the version, and with 1 otherwise.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var public []ed25519.PublicKey
			for _, path := range keys {
				list, err := toolkey.Public(path)
				if err != nil {
					return usage(plainPathError(err))
				}
				public = append(public, list...)
			}
			if len(public) == 0 {
				return usagef("which keys? give --keys FILE.pub")
			}
			return a.toolVerify(cmd.Context(), args[0], public)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "keys", nil, "PEM file of public keys; repeatable")
	return cmd
}

func (a *app) toolVerify(ctx context.Context, ref string, keys []ed25519.PublicKey) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	m, err := client.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !m.SignedBy(key) {
			continue
		}
		if a.globals.json {
			return a.printLine(map[string]any{"tool": m.Name + "@" + m.Version, "digest": m.Digest, "signed": true, "key_id": jobs.KeyID(key)})
		}
		_, err := fmt.Fprintf(a.Stdout, "%s@%s %s is signed by %s\n", m.Name, m.Version, m.Digest.Short(), jobs.KeyID(key))
		return wroteOut(err)
	}
	if a.globals.json {
		if err := a.printLine(map[string]any{"tool": m.Name + "@" + m.Version, "digest": m.Digest, "signed": false}); err != nil {
			return err
		}
		return exitWith(exitUnfinished)
	}
	return &exitError{exitUnfinished, fmt.Errorf("%s@%s: none of these keys has signed it%s", m.Name, m.Version, signers(m))}
}

// signers says who else has signed a version.
func signers(m *jobs.Manifest) string {
	if len(m.Signatures) == 0 {
		return "; nobody has"
	}
	return "; it has signatures of " + strings.Join(keyIDs(m), ", ") + ", unverified"
}

func keyIDs(m *jobs.Manifest) []string {
	var out []string
	for _, s := range m.Signatures {
		out = append(out, plain(s.KeyID)+" ("+s.At.Local().Format(time.DateOnly)+")")
	}
	return out
}
