package submitcli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
	"boxfleet/limits"
)

func (a *app) scheduleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "schedule", Short: "Start a job again and again", Args: cobra.ArbitraryArgs, RunE: needCommand,
		Long: "Schedules are kept by the queue's server, which starts their jobs through whichever\n" +
			"worker is there.",
	}
	cmd.AddCommand(a.scheduleAddCommand(), a.scheduleListCommand(),
		a.scheduleVerb("remove", "Remove a schedule; jobs that it started go on", func(ctx context.Context, c *jobs.Client, name string) error {
			return c.RemoveSchedule(ctx, name)
		}),
		a.scheduleVerb("pause", "Keep a schedule from starting jobs", func(ctx context.Context, c *jobs.Client, name string) error {
			return c.PauseSchedule(ctx, name, true)
		}),
		a.scheduleVerb("resume", "Let a paused schedule start jobs again", func(ctx context.Context, c *jobs.Client, name string) error {
			return c.PauseSchedule(ctx, name, false)
		}),
		a.scheduleVerb("start", "Start a schedule's job now, beside its times", func(ctx context.Context, c *jobs.Client, name string) error {
			id, err := c.StartSchedule(ctx, name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.Stdout, id)
			return wroteOut(err)
		}))
	return cmd
}

type scheduleFlags struct {
	runFlags
	cron, zone, every, overlap string
}

// notForSchedules are flags of `run` that say something about one run.
var notForSchedules = []string{
	"id", "run-at", "delay", "expires-at", "after", "after-batch", "after-ended", "not-after",
	"idempotency-key", "idempotency-window",
}

func (a *app) scheduleAddCommand() *cobra.Command {
	var f scheduleFlags
	cmd := &cobra.Command{
		Use:   "add NAME TOOL [flags] [-- ARGS...]",
		Short: "Add a schedule, or replace the one with this name",
		Long: "add starts a job of TOOL at the times that --cron or --every say. The flags of\n" +
			"`submit run` say what the job may do. TOOL is pinned to the version it names now.",
		Example: "  submit schedule add nightly report --cron '30 4 * * 1-5' --tz Europe/Berlin -- --all\n" +
			"  submit schedule add probe fetch --every 10m --allowed-outbound-host https://example.com -- https://example.com/",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("which name and tool? write: submit schedule add NAME TOOL --cron CRON [flags] [-- ARGS...]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range notForSchedules {
				if cmd.Flags().Changed(name) {
					return usagef("--%s says something about one run; a schedule makes many", name)
				}
			}
			return a.scheduleAdd(cmd.Context(), &f, args[0], args[1], args[2:])
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.cron, "cron", "", "times as in crontab, five fields such as '*/5 * * * *', six with seconds first, or @hourly, @daily, ...")
	fs.StringVar(&f.zone, "tz", "", "time zone of --cron, such as Europe/Berlin; UTC when absent")
	fs.StringVar(&f.every, "every", "", "time between two starts, such as 10m")
	fs.StringVar(&f.overlap, "overlap", "", "when the last run has not ended: skip (the default) or allow")
	f.register(fs)
	for _, name := range notForSchedules {
		_ = fs.MarkHidden(name)
	}
	return cmd
}

func (a *app) scheduleAdd(ctx context.Context, f *scheduleFlags, name, ref string, args []string) error {
	r := &jobs.Recurring{Name: name, Cron: f.cron, TimeZone: f.zone, Overlap: f.overlap}
	var errs []error
	if (f.cron == "") == (f.every == "") {
		errs = append(errs, usagef("give either --cron or --every"))
	}
	for _, d := range []struct {
		flag, value string
		to          *limits.Duration
	}{{"every", f.every, &r.Every}, {"expires-in", f.when.expiresIn, &r.ExpiresIn}} {
		if err := duration(d.value, d.to); err != nil {
			errs = append(errs, usagef("--%s: %w", d.flag, bare(err)))
		}
	}
	for _, s := range f.outputs {
		if o, err := parseOutput(s); err == nil && o.dir != "" {
			errs = append(errs, usagef("--output %s: nobody is there to fetch what a schedule's jobs leave; fetch it later with: submit result ID --output-dir DIR", s))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	f.when.expiresIn = "" // counts from each start
	made := func(j *jobs.Job) *jobs.Recurring {
		pattern, one := *j, *r
		one.Job = &pattern
		return &one
	}
	f.instead = &delivery{
		check: func(ctx context.Context, c *jobs.Client, j *jobs.Job) error { return c.CheckSchedule(ctx, made(j)) },
		send: func(ctx context.Context, c *jobs.Client, j *jobs.Job) error {
			one := made(j)
			replaced, err := c.PutSchedule(ctx, one)
			if err != nil {
				return err
			}
			if a.globals.json {
				return a.printJSON(shownSchedule(one, c.Now(ctx)))
			}
			said := "added"
			if replaced {
				said = "replaced"
			}
			a.remark("schedule %s %s: %s, next about %s", one.Name, said, one.When(), whenAhead(one.Next(c.Now(ctx))))
			return nil
		},
	}
	return a.run(ctx, &f.runFlags, ref, args)
}

// scheduleView is a schedule as it is shown.
type scheduleView struct {
	*jobs.Recurring
	Next time.Time `json:"next,omitzero"`
}

func shownSchedule(r *jobs.Recurring, now time.Time) scheduleView {
	return scheduleView{r, r.Next(now)}
}

func (a *app) scheduleListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List schedules", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.scheduleList(cmd.Context()) },
	}
}

func (a *app) scheduleList(ctx context.Context) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	all, err := client.Schedules(ctx)
	if err != nil {
		return err
	}
	now := client.Now(ctx)
	if a.globals.json {
		views := []scheduleView{}
		for _, r := range all {
			views = append(views, shownSchedule(r, now))
		}
		return a.printJSON(views)
	}
	if len(all) == 0 {
		a.remark("no schedules")
		return nil
	}
	rows := [][]string{{"NAME", "WHEN", "NEXT", "TOOL", "OVERLAP"}}
	for _, r := range all {
		next := whenAhead(r.Next(now))
		if r.Paused {
			next = "paused"
		}
		rows = append(rows, []string{r.Name, r.When(), next, toolText(r.Job.Tool), r.Overlap})
	}
	return a.table(rows)
}

// scheduleVerb is a command that does something to one schedule.
func (a *app) scheduleVerb(verb, short string, do func(ctx context.Context, c *jobs.Client, name string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			return do(cmd.Context(), client, args[0])
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.scheduleNames(cmd), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// scheduleNames are for the shell's completion, which must not fail.
func (a *app) scheduleNames(cmd *cobra.Command) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	client, err := a.client(ctx)
	if err != nil {
		return nil
	}
	all, err := client.Schedules(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for _, r := range all {
		names = append(names, r.Name)
	}
	return names
}
