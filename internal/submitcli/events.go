package submitcli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
	"boxfleet/limits"
)

type eventFlags struct {
	job, batch, since string
	logs, untilEnded  bool
}

func (a *app) eventsCommand() *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use: "events [--job ID | --batch BATCH]", Short: "Follow what happens to jobs and batches", Args: cobra.NoArgs,
		Long: "events prints a line for each change, as it happens, until Ctrl-C: jobs that are handed\n" +
			"in, start, are tried again and end, and batches as they are counted. A job or batch that\n" +
			"is named is shown as it stands first.",
		Example: "  submit events --batch B --until-ended\n  submit events --logs --since 10m --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.events(cmd.Context(), &f) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.job, "job", "", "one job")
	fs.StringVar(&f.batch, "batch", "", "one batch and its jobs")
	fs.BoolVar(&f.logs, "logs", false, "also what guests write")
	fs.StringVar(&f.since, "since", "", "begin with what happened within this time, such as 90s or 2h, or since a date such as 2026-01-31T15:04:05Z")
	fs.BoolVar(&f.untilEnded, "until-ended", false, "leave when the job or batch has ended; exits with 1 if not all succeeded")
	return cmd
}

func (f *eventFlags) filter(now time.Time) (jobs.EventFilter, error) {
	out := jobs.EventFilter{Job: f.job, Batch: f.batch, Logs: f.logs}
	switch {
	case f.job != "" && f.batch != "":
		return out, usagef("give --job or --batch, not both")
	case f.job != "" && !jobs.ValidID(f.job):
		return out, usagef("--job: %q is not 1 to 64 letters, digits, - or _", f.job)
	case f.batch != "" && !jobs.ValidID(f.batch):
		return out, usagef("--batch: %q is not 1 to 64 letters, digits, - or _", f.batch)
	case f.untilEnded && f.job == "" && f.batch == "":
		return out, usagef("--until-ended needs --job or --batch: which end?")
	}
	if f.since == "" {
		return out, nil
	}
	var err error
	if d, derr := limits.ParseDuration(f.since); derr == nil {
		out.Since = now.Add(-time.Duration(d))
	} else if out.Since, err = time.Parse(time.RFC3339, f.since); err != nil {
		return out, usagef("--since: %q is neither a duration such as 2h nor a date such as 2026-01-31T15:04:05Z", f.since)
	}
	return out, nil
}

func (a *app) events(ctx context.Context, f *eventFlags) error {
	if _, err := f.filter(time.Now()); err != nil {
		return err
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	filter, err := f.filter(client.Now(ctx))
	if err != nil {
		return err
	}
	for e, err := range client.Events(ctx, filter) {
		if err != nil {
			if errors.Is(err, context.Canceled) && ctx.Err() != nil {
				return exitWith(exitInterrupted)
			}
			return err
		}
		if a.globals.json {
			err = a.printLine(e)
		} else {
			_, err = fmt.Fprintln(a.Stdout, eventText(e))
			err = wroteOut(err)
		}
		if err != nil {
			return err
		}
		if f.untilEnded && e.Kind == jobs.EventState && e.Job == f.job && e.State == string(jobs.Done) {
			return exitWith(unfinishedIf(e.Outcome != jobs.Succeeded))
		}
		if f.untilEnded && e.Kind == jobs.EventBatch && e.Batch == f.batch && e.State == string(jobs.BatchEnded) {
			return exitWith(unfinishedIf(e.Counts[jobs.Succeeded] != e.Total))
		}
	}
	return nil
}

// maxLogText is how much of a piece of output is shown on an event's line.
const maxLogText = 400

// eventText is an event on one line.
func eventText(e *jobs.Event) string {
	parts := []string{e.At.Local().Format("15:04:05.000")}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch e.Kind {
	case jobs.EventSubmitted:
		add("job %s %s", e.Job, e.State)
	case jobs.EventState:
		state := e.State
		if e.Outcome != "" {
			state = string(e.Outcome)
		}
		add("job %s %s", e.Job, state)
		if e.ExitCode != nil && e.Outcome != jobs.Succeeded {
			add("exit code %d", *e.ExitCode)
		}
		if e.Worker != "" {
			add("on %s", e.Worker)
		}
		if e.Attempt > 1 {
			add("attempt %d", e.Attempt)
		}
		if e.Error != "" {
			add("(%s)", e.Error)
		}
	case jobs.EventLog:
		data := e.Log.Data
		text := strings.TrimRight(string(data[:min(len(data), maxLogText)]), "\n")
		if !utf8.ValidString(text) {
			text = strings.ToValidUTF8(text, "\ufffd")
		}
		add("job %s %s: %s", e.Job, e.Log.Stream, strings.ReplaceAll(text, "\n", "\\n"))
		if len(data) > maxLogText {
			add("... (%d bytes)", len(data))
		}
	case jobs.EventBatch:
		add("batch %s %s", e.Batch, e.State)
		if e.State == string(jobs.BatchOpen) {
			add("%d ended", e.Ended)
		} else {
			add("%d of %d ended", e.Ended, e.Total)
		}
		for _, o := range jobs.Outcomes {
			if n := e.Counts[o]; n > 0 {
				add("%s %d", o, n)
			}
		}
	case jobs.EventSkipped:
		if e.Skipped > 0 {
			add("%d messages were dropped, because they came faster than they were read; submissions or output are missing here", e.Skipped)
		} else {
			add("the connection was lost; submissions or output may be missing here")
		}
	default:
		add("%s", e.Kind)
	}
	return plain(strings.Join(parts, " "))
}
