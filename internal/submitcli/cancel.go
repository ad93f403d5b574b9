package submitcli

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"boxfleet/jobs"
)

func (a *app) cancelCommand() *cobra.Command {
	var batch string
	var f listFlags
	cmd := &cobra.Command{
		Use: "cancel ID... | --batch BATCH | --label KEY=VALUE...", Short: "Cancel jobs that wait or run",
		Long: "cancel ends jobs: those that wait never run, those that run are stopped, and outputs of\n" +
			"neither are kept. --label and --tool choose from all jobs that have not ended.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(f.labels) > 0 || f.tool != "" {
				return a.cancelChosen(cmd.Context(), &f)
			}
			return a.cancel(cmd.Context(), args, batch)
		},
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(f.labels) == 0 && f.tool == "" {
			return idsOrBatch(&batch)(cmd, args)
		}
		if len(args) > 0 || batch != "" {
			return errors.New("give ids, --batch, or --label and --tool")
		}
		return nil
	}
	fs := cmd.Flags()
	fs.StringVar(&batch, "batch", "", "all jobs of a batch")
	fs.StringArrayVar(&f.labels, "label", nil, "all jobs with this label, KEY=VALUE; repeatable: jobs that have all of them")
	fs.StringVar(&f.tool, "tool", "", "all jobs of a tool: NAME, NAME@VERSION or sha256:DIGEST")
	return cmd
}

// cancelChosen cancels the jobs that labels and tool choose.
func (a *app) cancelChosen(ctx context.Context, f *listFlags) error {
	f.limit = 1 // of no meaning here
	want, err := f.filter()
	if err != nil {
		return err
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	want.states = []string{string(jobs.Scheduled), string(jobs.Held), string(jobs.Queued), string(jobs.Running), string(jobs.Retrying)}
	var open []string
	for rec, err := range want.find(ctx, client) {
		if err != nil {
			return err
		}
		open = append(open, rec.ID)
	}
	counts := map[jobs.CancelState]int{}
	if err := a.cancelAll(ctx, client, open, "", counts); err != nil {
		return err
	}
	a.remark("%d canceled in the queue, %d told to stop, %d ended meanwhile", counts[jobs.CanceledQueued], counts[jobs.CancelRequested], counts[jobs.AlreadyDone])
	return nil
}

// cancelAll cancels many jobs and counts what it found.
func (a *app) cancelAll(ctx context.Context, client *jobs.Client, ids []string, batch string, counts map[jobs.CancelState]int) error {
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, id := range ids {
		g.Go(func() error {
			what, err := client.Cancel(gctx, id)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			counts[what]++
			return a.cancelled(batch, id, what)
		})
	}
	return g.Wait()
}

func (a *app) cancel(ctx context.Context, ids []string, batch string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	counts := map[jobs.CancelState]int{}
	if batch != "" {
		found, err := client.CancelBatch(ctx, batch)
		var missing *jobs.NotFoundError
		if err != nil && !errors.As(err, &missing) {
			return err
		}
		if err == nil {
			return a.cancelledBatch(batch, map[jobs.CancelState]int{
				jobs.CanceledQueued: found.Queued, jobs.CancelRequested: found.Requested, jobs.AlreadyDone: found.Done,
			})
		}
	}
	open, err := a.members(ctx, client, ids, batch, func(rec *jobs.Record) error {
		counts[jobs.AlreadyDone]++
		return a.cancelled(batch, rec.ID, jobs.AlreadyDone)
	})
	if err != nil {
		return err
	}
	if err := a.cancelAll(ctx, client, open, batch, counts); err != nil {
		return err
	}
	if batch == "" {
		return nil
	}
	return a.cancelledBatch(batch, counts)
}

// cancelledBatch prints what became of a batch's jobs.
func (a *app) cancelledBatch(batch string, counts map[jobs.CancelState]int) error {
	if a.globals.json {
		return a.printLine(map[string]any{"batch": batch, "canceled": counts[jobs.CanceledQueued], "requested": counts[jobs.CancelRequested], "already_done": counts[jobs.AlreadyDone]})
	}
	_, err := fmt.Fprintf(a.Stdout, "batch %s: %d canceled in the queue, %d told to stop, %d ended already\n",
		batch, counts[jobs.CanceledQueued], counts[jobs.CancelRequested], counts[jobs.AlreadyDone])
	return wroteOut(err)
}

// cancelled prints what became of one job; of a batch only the sum is.
func (a *app) cancelled(batch, id string, what jobs.CancelState) error {
	if batch != "" {
		return nil
	}
	if a.globals.json {
		return a.printLine(map[string]any{"id": id, "state": what})
	}
	text := map[jobs.CancelState]string{
		jobs.CanceledQueued: "canceled", jobs.CancelRequested: "told to stop", jobs.AlreadyDone: "ended already",
	}[what]
	_, err := fmt.Fprintln(a.Stdout, id, text)
	return wroteOut(err)
}
