package submitcli

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

func (a *app) tenantCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tenant", Short: "Set tenants' shares and caps, as an operator", Args: cobra.ArbitraryArgs, RunE: needCommand,
		Long: "tenant sets how much of the fleet each tenant gets. Whoever may write the bucket\n\"tenants\" of the NATS account may do so: keep that to operators.",
	}
	var weight, concurrency int
	set := &cobra.Command{
		Use: "set NAME", Short: "Set a tenant's weight and cap; what is not given stays", Args: cobra.ExactArgs(1),
		Example: "  submit tenant set acme --weight 3 --concurrency 100",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.tenantSet(cmd.Context(), args[0], func(s *jobs.TenantSettings) error {
				w, c := cmd.Flags().Changed("weight"), cmd.Flags().Changed("concurrency")
				if !w && !c {
					return usagef("give --weight, --concurrency or both")
				}
				if w {
					s.Weight = weight
				}
				if c {
					s.Concurrency = concurrency
				}
				return nil
			})
		},
	}
	set.Flags().IntVar(&weight, "weight", 0, "share of slots against other tenants with jobs waiting, 1 to 1000; 0 is the default, 1")
	set.Flags().IntVar(&concurrency, "concurrency", 0, "jobs that run at once in the whole fleet; 0 for no cap")
	cmd.AddCommand(set, &cobra.Command{
		Use: "list", Short: "List tenants that have settings", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.tenantList(cmd.Context()) },
	}, &cobra.Command{
		Use: "show NAME", Short: "Show a tenant's settings, and how many of its jobs run if it is capped", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.tenantShow(cmd.Context(), args[0]) },
	}, &cobra.Command{
		Use: "remove NAME", Short: "Forget a tenant's settings: weight 1 and no cap", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			return client.RemoveTenant(cmd.Context(), args[0])
		},
	})
	return cmd
}

func (a *app) tenantSet(ctx context.Context, name string, change func(*jobs.TenantSettings) error) error {
	var s jobs.TenantSettings
	if err := change(&s); err != nil { // before anything is asked of the fleet
		return err
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	e, err := client.TenantSettings(ctx, name)
	if _, none := errors.AsType[*jobs.NotFoundError](err); err != nil && !none {
		return err
	}
	// Settings that cannot be read are replaced: that is how they are mended.
	if err := change(&e.Settings); err != nil {
		return err
	}
	return client.SetTenant(ctx, name, e.Settings)
}

func (a *app) tenantList(ctx context.Context) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	list, err := client.Tenants(ctx)
	if err != nil {
		return err
	}
	if a.globals.json {
		if list == nil {
			list = []jobs.TenantEntry{}
		}
		return a.printJSON(list)
	}
	if len(list) == 0 {
		a.remark("no tenant has settings: all weigh 1 and have no cap")
		return nil
	}
	rows := [][]string{{"TENANT", "WEIGHT", "CONCURRENCY", "RUNNING", "ERROR"}}
	for _, e := range list {
		rows = append(rows, append([]string{e.Tenant}, tenantColumns(e)...))
	}
	return a.table(rows)
}

// tenantColumns are weight, cap, places in use and error as people read them.
func tenantColumns(e jobs.TenantEntry) []string {
	concurrency, running := "no cap", ""
	if e.Settings.Concurrency > 0 {
		concurrency, running = strconv.Itoa(e.Settings.Concurrency), strconv.Itoa(e.Running)
	}
	return []string{strconv.Itoa(max(1, e.Settings.Weight)), concurrency, running, e.Error}
}

func (a *app) tenantShow(ctx context.Context, name string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	e, err := client.TenantSettings(ctx, name)
	if err != nil {
		return err
	}
	if a.globals.json {
		return a.printJSON(e)
	}
	rows := [][]string{{"tenant", e.Tenant}}
	for i, what := range []string{"weight", "concurrency", "running", "error"} {
		if v := tenantColumns(e)[i]; v != "" {
			rows = append(rows, []string{what, v})
		}
	}
	return a.table(rows)
}
