package submitcli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

func (a *app) auditCommand() *cobra.Command {
	var f jobs.AuditFilter
	var since string
	var fleet bool
	cmd := &cobra.Command{
		Use: "audit", Short: "List who did what: submissions, cancels, changes, refusals", Args: cobra.NoArgs,
		Long: "audit lists what identities of the tenant did, and what was refused or denied, as long as\n" +
			"events are kept (24 hours or 1 GiB by default). What a gate or a worker tells is what it saw;\n" +
			"clients with the fleet's own credentials tell of themselves.",
		Example: "  submit audit --since 1h --action refused\n  submit audit --fleet --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.Since, err = pastTime("since", since); err != nil {
				return err
			}
			if fleet {
				f.Tenants = append(f.Tenants, jobs.FleetAudit)
			}
			return a.audit(cmd.Context(), f)
		},
	}
	cmd.Flags().StringVar(&f.User, "user", "", "of this user")
	cmd.Flags().StringVar(&f.Action, "action", "", "of this kind: job, job.cancel, schedule, tool, refused, ...")
	cmd.Flags().StringVar(&f.Job, "job", "", "about the job with this id")
	cmd.Flags().StringVar(&since, "since", "", "within this time, such as 2h, or since a date such as 2026-01-31T15:04:05Z")
	cmd.Flags().BoolVar(&fleet, "fleet", false, "about the fleet as a whole: its tools and tenants (for operators)")
	return cmd
}

func (a *app) audit(ctx context.Context, f jobs.AuditFilter) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"TIME", "WHO", "BY", "ACTION", "ABOUT", "REASON"}}
	for e, err := range client.Audit(ctx, f) {
		if err != nil {
			return err
		}
		if a.globals.json {
			if err := a.printLine(e); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{e.At.Format(time.RFC3339), plain(e.Tenant + "/" + e.User), plain(e.By), plain(e.Action), plain(about(e)), plain(e.Reason)})
	}
	if a.globals.json {
		return nil
	}
	return a.table(rows)
}

// about names what an event is about, in a few words.
func about(e *jobs.AuditEvent) string {
	const most = 3
	ids := e.Jobs
	text := strings.Join(ids[:min(len(ids), most)], " ")
	if n := len(ids) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	if e.Target != "" {
		text = strings.TrimSpace(text + " " + e.Target)
	}
	if len(ids) == 0 && e.Count > 1 {
		text += fmt.Sprintf(" (%d times)", e.Count)
	}
	return text
}
