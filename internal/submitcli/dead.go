package submitcli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
	"boxfleet/limits"
)

// deadFlags choose dead letters.
type deadFlags struct {
	job, tool, error, since, until string
	all, again                     bool
}

func (a *app) deadCommand() *cobra.Command {
	var f deadFlags
	cmd := &cobra.Command{Use: "dlq", Short: "Dead letters: jobs and messages that could not be run", Args: cobra.ArbitraryArgs, RunE: needCommand}
	list := &cobra.Command{
		Use: "list", Short: "List dead letters, oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.deadList(cmd.Context(), &f) },
	}
	show := &cobra.Command{
		Use: "show SEQ", Short: "Print one dead letter with its attempts and its message", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.deadShow(cmd.Context(), args[0]) },
	}
	replay := &cobra.Command{
		Use: "replay SEQ... | --all | FILTERS", Short: "Submit dead jobs again, under new ids",
		Long: "replay makes a new job of each chosen dead letter: the same work, under an id that names\n" +
			"the letter, with the dead job's id as replay_of. The letter stays until it is purged.\n" +
			"Replaying a letter twice finds the first replay; --again makes another one.",
		Args: deadArgs(&f), RunE: func(cmd *cobra.Command, args []string) error { return a.deadReplay(cmd.Context(), &f, args) },
	}
	purge := &cobra.Command{
		Use: "purge SEQ... | --all | FILTERS", Short: "Remove dead letters for good",
		Args: deadArgs(&f), RunE: func(cmd *cobra.Command, args []string) error { return a.deadPurge(cmd.Context(), &f, args) },
	}
	for _, c := range []*cobra.Command{list, replay, purge} {
		fs := c.Flags()
		fs.StringVar(&f.job, "job", "", "of the job with this id")
		fs.StringVar(&f.tool, "tool", "", "of this tool: NAME or NAME@VERSION")
		fs.StringVar(&f.error, "error", "", "whose error has this text, in any case")
		fs.StringVar(&f.since, "since", "", "died within this time, such as 2h, or since a date such as 2026-01-31T15:04:05Z")
		fs.StringVar(&f.until, "until", "", "died longer ago than this time, or before a date")
		if c != list {
			fs.BoolVar(&f.all, "all", false, "all of them")
		}
	}
	replay.Flags().BoolVar(&f.again, "again", false, "also those that were replayed before")
	cmd.AddCommand(list, show, replay, purge)
	return cmd
}

// filtered tells whether any filter is given.
func (f *deadFlags) filtered() bool {
	return f.job != "" || f.tool != "" || f.error != "" || f.since != "" || f.until != ""
}

func deadArgs(f *deadFlags) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0 && !f.all && !f.filtered():
			return fmt.Errorf("which dead letters? write: submit dlq %s SEQ..., --all, or a filter such as --tool NAME", cmd.Name())
		case len(args) > 0 && (f.all || f.filtered()):
			return errors.New("give numbers, or --all and filters, not both")
		}
		return nil
	}
}

func (f *deadFlags) filter() (jobs.DeadFilter, error) {
	out := jobs.DeadFilter{Job: f.job, Tool: f.tool, Error: f.error}
	var err error
	if out.Since, err = pastTime("since", f.since); err != nil {
		return out, err
	}
	out.Until, err = pastTime("until", f.until)
	return out, err
}

// pastTime reads a time that is given as a date, or as how long ago it was.
func pastTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := limits.ParseDuration(s); err == nil {
		return time.Now().Add(-time.Duration(d)), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usagef("--%s: %q is neither a duration such as 2h nor a date such as 2026-01-31T15:04:05Z", flag, s)
	}
	return t, nil
}

// deadLetters collects before it acts: a letter that a replay makes must not be
// replayed by the same command.
func (a *app) deadLetters(ctx context.Context, client *jobs.Client, f *deadFlags, args []string) ([]*jobs.DeadLetter, error) {
	list := []*jobs.DeadLetter{}
	for _, arg := range args {
		seq, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, usagef("%q is no sequence number; see: submit dlq list", arg)
		}
		d, err := client.DeadLetter(ctx, seq)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	if len(args) > 0 {
		return list, nil
	}
	filter, err := f.filter()
	if err != nil {
		return nil, err
	}
	for d, err := range client.DeadLetters(ctx) {
		if err != nil {
			return nil, err
		}
		if filter.Takes(d) {
			list = append(list, d)
		}
	}
	return list, nil
}

func (a *app) deadList(ctx context.Context, f *deadFlags) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	list, err := a.deadLetters(ctx, client, f, nil)
	if err != nil {
		return err
	}
	for _, d := range list {
		d.Message = nil // shown one at a time
	}
	if a.globals.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		a.remark("no dead letters")
		return nil
	}
	rows := [][]string{{"SEQ", "WHEN", "JOB", "TOOL", "ATTEMPT", "ERROR"}}
	for _, d := range list {
		rows = append(rows, []string{strconv.FormatUint(d.Seq, 10), ago(d.At), d.Job, d.Tool, strconv.Itoa(d.Attempt), d.Error})
	}
	return a.table(rows)
}

func (a *app) deadShow(ctx context.Context, arg string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	list, err := a.deadLetters(ctx, client, nil, []string{arg})
	if err != nil {
		return err
	}
	d := list[0]
	if a.globals.json {
		return a.printJSON(d)
	}
	rows := [][]string{{"seq", arg}, {"when", when(d.At)}, {"job", d.Job}, {"tool", d.Tool}, {"worker", d.Worker}, {"error", d.Error}}
	for _, t := range d.Tries {
		rows = append(rows, []string{fmt.Sprintf("attempt %d", t.Number), when(t.At) + " on " + t.Worker + ": " + t.Error})
	}
	if rec, err := client.Get(ctx, jobs.ReplayID(d.Job, d.Seq)); err == nil && rec.ReplayOf == d.Job {
		rows = append(rows, []string{"replayed as", rec.ID + " (" + state(rec) + ")"})
	}
	rows = append(rows, []string{"message", string(d.Message)})
	return a.table(rows)
}

// replayed is what a replay says of one letter.
type replayed struct {
	Seq      uint64     `json:"seq"`
	Job      string     `json:"job"`
	ReplayID string     `json:"replay_id,omitempty"`
	Before   bool       `json:"replayed_before"`
	State    jobs.State `json:"state,omitempty"`
	Error    string     `json:"error,omitempty"`
}

// deadReplay goes on after a letter that cannot be replayed: one unreadable
// message must not keep thousands of jobs dead.
func (a *app) deadReplay(ctx context.Context, f *deadFlags, args []string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	list, err := a.deadLetters(ctx, client, f, args)
	if err != nil {
		return err
	}
	done, before, failed := 0, 0, 0
	for _, d := range list {
		r := replayed{Seq: d.Seq, Job: d.Job}
		receipt, err := client.Replay(ctx, d, f.again)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && outage(err):
			return err
		case err != nil:
			failed++
			if r.Error = err.Error(); !a.globals.json {
				a.say("%s", plain(r.Error))
				continue
			}
		default:
			r.ReplayID, r.Before, r.State = receipt.ID, receipt.Duplicate, receipt.State
			if done++; r.Before {
				done, before = done-1, before+1
			}
		}
		if err := a.replayedOne(r); err != nil {
			return err
		}
	}
	if !a.globals.json {
		a.remark("%s replayed, %d replayed before, %d cannot be", count(done, "dead letter"), before, failed)
	}
	return exitWith(unfinishedIf(failed > 0))
}

func (a *app) replayedOne(r replayed) error {
	if a.globals.json {
		return a.printLine(r)
	}
	note := ""
	if r.Before {
		note = " (before)"
	}
	_, err := fmt.Fprintf(a.Stdout, "%d %s %s%s\n", r.Seq, plain(r.Job), r.ReplayID, note)
	return wroteOut(err)
}

func (a *app) deadPurge(ctx context.Context, f *deadFlags, args []string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	list, err := a.deadLetters(ctx, client, f, args)
	if err != nil {
		return err
	}
	for i, d := range list {
		if err := client.PurgeDead(ctx, d); err != nil {
			a.remark("%d of %s removed", i, count(len(list), "dead letter"))
			return err
		}
	}
	if a.globals.json {
		return a.printLine(map[string]any{"purged": len(list)})
	}
	_, err = fmt.Fprintf(a.Stdout, "%s removed\n", count(len(list), "dead letter"))
	return wroteOut(err)
}
