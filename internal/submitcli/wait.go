package submitcli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"boxfleet/internal/batchfile"
	"boxfleet/jobs"
	"boxfleet/limits"
)

func (a *app) waitCommand() *cobra.Command {
	var batch, timeout string
	cmd := &cobra.Command{
		Use: "wait ID... | --batch BATCH", Short: "Wait for jobs to end",
		Long: "wait prints a line for each job as it ends: its id, outcome and exit code. It exits\n" +
			"with 0 when all succeeded and with 1 otherwise.",
		Args: idsOrBatch(&batch),
		RunE: func(cmd *cobra.Command, args []string) error { return a.wait(cmd.Context(), args, batch, timeout) },
	}
	cmd.Flags().StringVar(&batch, "batch", "", "all jobs of a batch")
	cmd.Flags().StringVar(&timeout, "timeout", "", "give up after this time: seconds, or 30s, 5m")
	return cmd
}

func idsOrBatch(batch *string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0 && *batch == "":
			return fmt.Errorf("which jobs? write: submit %s ID..., or --batch BATCH", cmd.Name())
		case len(args) > 0 && *batch != "":
			return errors.New("give ids or --batch, not both")
		case *batch != "" && !jobs.ValidID(*batch):
			return fmt.Errorf("--batch: %q is not 1 to 64 letters, digits, - or _", *batch)
		}
		return nil
	}
}

var errWaited = errors.New("the jobs have not ended within --timeout")

func (a *app) wait(ctx context.Context, ids []string, batch, timeout string) error {
	var d limits.Duration
	if err := duration(timeout, &d); err != nil {
		return usagef("--timeout: %w", err)
	}
	if d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(d), errWaited)
		defer cancel()
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	single := ""
	if len(ids) == 1 {
		single = ids[0]
	}
	if single != "" && !jobs.ValidID(single) {
		return usagef("job id %q is not 1 to 64 letters, digits, - or _", single)
	}
	failed := false
	show := func(rec *jobs.Record) error {
		failed = failed || rec.Result.Outcome != jobs.Succeeded || rec.Result.ToolError != ""
		return a.waited(rec.Result)
	}
	if batch != "" {
		found, err := a.waitBatch(ctx, client, batch, show)
		switch {
		case errors.Is(err, errWaited):
			return &exitError{exitUnfinished, fmt.Errorf("batch %s has not ended within --timeout %s", batch, timeout)}
		case err != nil:
			return err
		case found:
			rec, err := client.Batch(ctx, batch)
			if err != nil {
				return err
			}
			return exitWith(unfinishedIf(failed || rec.State == jobs.BatchEnded && !rec.AllSucceeded()))
		}
	}
	waiter, err := client.NewWaiter(batch, single)
	if err != nil {
		return err
	}
	defer waiter.Close()
	open, err := a.members(ctx, client, ids, batch, show)
	if err != nil {
		return err
	}
	for _, id := range open {
		waiter.Expect(id)
	}
	waiter.LookNow()
	for waiter.Left() > 0 {
		rec, err := waiter.Next(ctx)
		if errors.Is(err, errWaited) {
			return &exitError{exitUnfinished, fmt.Errorf("%s not ended within --timeout %s", count(waiter.Left(), "job"), timeout)}
		}
		if err != nil {
			return err
		}
		if err := show(rec); err != nil {
			return err
		}
	}
	return exitWith(unfinishedIf(failed))
}

// waited prints one ended job.
func (a *app) waited(r *jobs.Result) error {
	if a.globals.json {
		return a.printLine(inLists(r))
	}
	said := ""
	if r.ToolError != "" {
		said = " tool error: " + plain(r.ToolError)
	}
	_, err := fmt.Fprintf(a.Stdout, "%s %s %d%s\n", plain(r.ID), plain(string(r.Outcome)), r.ExitCode, said)
	return wroteOut(err)
}

// members finds the jobs that ids or a batch name. Ended ones are given to
// done as they are found; the others are returned.
func (a *app) members(ctx context.Context, client *jobs.Client, ids []string, batch string, done func(*jobs.Record) error) (open []string, err error) {
	if batch != "" {
		return a.batchMembers(ctx, client, batch, done)
	}
	for _, id := range ids {
		rec, err := client.Get(ctx, id)
		if err != nil {
			return nil, wrongID(err)
		}
		if rec.State == jobs.Done && rec.Result != nil {
			if err := done(rec); err != nil {
				return nil, err
			}
			continue
		}
		open = append(open, id)
	}
	return open, nil
}

// batchMembers finds a batch's jobs among the records and in the queue. Ids
// that were made from the batch's own id tell by themselves; other waiting
// jobs are looked at one by one.
func (a *app) batchMembers(ctx context.Context, client *jobs.Client, batch string, done func(*jobs.Record) error) (open []string, err error) {
	queued := map[string]bool{}
	ids, err := client.QueuedIDs(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		queued[id] = true
	}
	found := false
	for rec, err := range client.Records(ctx) {
		if err != nil {
			return nil, err
		}
		delete(queued, rec.ID)
		if rec.Batch != batch {
			continue
		}
		found = true
		if rec.State == jobs.Done && rec.Result != nil {
			if err := done(rec); err != nil {
				return nil, err
			}
			continue
		}
		open = append(open, rec.ID)
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for id := range queued {
		if _, derived := batchfile.DerivedLine(batch, id); derived {
			mu.Lock()
			open = append(open, id)
			mu.Unlock()
			continue
		}
		g.Go(func() error {
			rec, err := client.Get(gctx, id)
			var missing *jobs.NotFoundError
			if errors.As(err, &missing) {
				return nil
			}
			if err == nil && rec.Batch == batch {
				mu.Lock()
				open = append(open, id)
				mu.Unlock()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if !found && len(open) == 0 {
		return nil, &jobs.NotFoundError{Kind: "batch", Name: batch, Hint: "its results may be older than the time they are kept"}
	}
	return open, nil
}
