package submitcli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"boxfleet/internal/fleetauth"
	"boxfleet/limits"
)

// adminCommand makes and ends identities. It works on files only and talks to
// nobody.
func (a *app) adminCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "admin", Short: "Make and end the identities of a fleet, as an operator", Args: cobra.ArbitraryArgs, RunE: needCommand,
		Long: "admin keeps the authority of a fleet in a directory: who has its .nk files is the operator.\n" +
			"It writes credentials for users, and the part of nats-server's configuration that says who\n" +
			"may connect. docs/security.md tells how to set a fleet up with it.",
	}
	var dir string
	cmd.PersistentFlags().StringVar(&dir, "dir", "fleet-authority", "directory of the authority")

	var name string
	initialise := &cobra.Command{
		Use: "init", Short: "Make a new authority", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			auth, err := fleetauth.Init(dir, name)
			if err != nil {
				return err
			}
			a.remark("keep %s: who has its .nk files may do everything in the fleet", dir)
			_, err = fmt.Fprintln(a.Stdout, auth.ServerConfigFile())
			return wroteOut(err)
		},
	}
	initialise.Flags().StringVar(&name, "name", "fleet", "name of the fleet")

	var grant fleetauth.Grant
	var role, expires string
	issue := &cobra.Command{
		Use: "issue ROLE", Short: "Make an identity and write its credentials file", Args: cobra.ExactArgs(1), ValidArgs: roleNames(),
		Long: "issue makes an identity of a role and prints the name of its credentials file:\n\n" +
			"  submitter  a user of one tenant (--tenant); everything goes through the gate\n" +
			"  worker     runs jobs of all tenants\n" +
			"  gate       passes submitters' requests on\n" +
			"  operator   everything in the fleet's account\n" +
			"  system     the NATS servers' own account: monitoring, no jobs",
		Example: "  submit admin issue submitter --tenant acme --user ci --expires 90d\n  submit admin issue worker --user node-1",
		RunE: func(_ *cobra.Command, args []string) error {
			role = args[0]
			auth, err := fleetauth.Open(dir)
			if err != nil {
				return err
			}
			grant.Role = fleetauth.Role(role)
			if grant.Expires, err = lifetime(expires); err != nil {
				return usagef("--expires: %v", err)
			}
			if grant.User == "" {
				grant.User = role
			}
			out, err := auth.Issue(grant)
			if err != nil {
				return err
			}
			if a.globals.json {
				return a.printJSON(out)
			}
			_, err = fmt.Fprintln(a.Stdout, out.File)
			return wroteOut(err)
		},
	}
	// --tenant is everybody's flag; here it names the identity's.
	issue.Flags().StringVar(&grant.User, "user", "", "name of the user or machine; by default the role")
	issue.Flags().StringVar(&expires, "expires", "", "how long it is good for, such as 12h or 90d; for ever when absent")
	issue.Flags().StringSliceVar(&grant.Networks, "from", nil, "networks (CIDR) it may connect from; any when absent")
	issue.PreRun = func(*cobra.Command, []string) { grant.Tenant = a.globals.tenant }

	revoke := &cobra.Command{
		Use: "revoke NAME", Short: "End an identity: TENANT.USER, ROLE-USER or its public key", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			auth, err := fleetauth.Open(dir)
			if err != nil {
				return err
			}
			if _, err := auth.Revoke(args[0]); err != nil {
				return err
			}
			a.remark("it ends when every server has %s and has been reloaded (nats-server --signal reload)", auth.ServerConfigFile())
			return nil
		},
	}
	list := &cobra.Command{
		Use: "list", Short: "List the identities that were given out", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			auth, err := fleetauth.Open(dir)
			if err != nil {
				return err
			}
			if a.globals.json {
				return a.printJSON(auth.Issued())
			}
			rows := [][]string{{"ROLE", "TENANT", "USER", "ISSUED", "STATE", "PUBLIC KEY"}}
			for _, i := range auth.Issued() {
				rows = append(rows, []string{string(i.Role), i.Tenant, i.User, i.IssuedAt.Format(time.DateOnly), identityState(i, time.Now()), i.PublicKey})
			}
			return a.table(rows)
		},
	}
	var bucket string
	policy := &cobra.Command{
		Use: "s3-policy ROLE", Short: "Print the object store's policy for a role: submitter (--tenant), worker or operator", Args: cobra.ExactArgs(1), ValidArgs: roleNames(),
		Example: "  submit admin s3-policy submitter --tenant acme --bucket boxfleet",
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := fleetauth.S3Policy(fleetauth.Role(args[0]), a.globals.tenant, bucket)
			if err != nil {
				return err
			}
			data, err := p.Encode()
			if err != nil {
				return err
			}
			_, err = a.Stdout.Write(data)
			return wroteOut(err)
		},
	}
	policy.Flags().StringVar(&bucket, "bucket", "boxfleet", "bucket of the fleet")
	cmd.AddCommand(initialise, issue, revoke, list, policy)
	return cmd
}

func roleNames() []string {
	var out []string
	for _, r := range fleetauth.Roles {
		out = append(out, string(r))
	}
	return slices.Clip(out)
}

// lifetime reads a duration that may be given in days.
func lifetime(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	times := time.Duration(1)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		s, times = days+"h", 24
	}
	d, err := limits.ParseDuration(s)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%s is not ahead", s)
	}
	return time.Duration(d) * times, err
}

func identityState(i *fleetauth.Issued, now time.Time) string {
	switch {
	case i.RevokedAt != nil:
		return "revoked"
	case i.ExpiresAt == nil:
		return "in force"
	case i.ExpiresAt.Before(now):
		return "expired"
	}
	return "until " + i.ExpiresAt.Format(time.DateOnly)
}
