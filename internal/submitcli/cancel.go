package submitcli

import (
	"context"
	"fmt"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"boxfleet/jobs"
)

func (a *app) cancelCommand() *cobra.Command {
	var batch string
	cmd := &cobra.Command{
		Use: "cancel ID... | --batch BATCH", Short: "Cancel jobs that wait or run",
		Args: idsOrBatch(&batch),
		RunE: func(cmd *cobra.Command, args []string) error { return a.cancel(cmd.Context(), args, batch) },
	}
	cmd.Flags().StringVar(&batch, "batch", "", "all jobs of a batch")
	return cmd
}

func (a *app) cancel(ctx context.Context, ids []string, batch string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	counts := map[jobs.CancelState]int{}
	open, err := a.members(ctx, client, ids, batch, func(rec *jobs.Record) error {
		counts[jobs.AlreadyDone]++
		return a.cancelled(batch, rec.ID, jobs.AlreadyDone)
	})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, id := range open {
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
	if err := g.Wait(); err != nil {
		return err
	}
	if batch == "" {
		return nil
	}
	if a.globals.json {
		return a.printLine(map[string]any{"batch": batch, "canceled": counts[jobs.CanceledQueued], "requested": counts[jobs.CancelRequested], "already_done": counts[jobs.AlreadyDone]})
	}
	_, err = fmt.Fprintf(a.Stdout, "batch %s: %d canceled in the queue, %d told to stop, %d ended already\n",
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
