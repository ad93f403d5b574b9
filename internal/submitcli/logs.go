package submitcli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

func (a *app) logsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs ID", Short: "Print what a job has written so far", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.logs(cmd.Context(), args[0], follow) },
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the job ends")
	return cmd
}

// logs prints a finished job's output from its result, and a running one's
// from the pieces that are kept.
func (a *app) logs(ctx context.Context, id string, follow bool) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	rec, err := client.Get(ctx, id)
	if err != nil {
		return wrongID(err)
	}
	out := a.newStreams()
	if rec.State == jobs.Done && rec.Result != nil {
		return out.finish(ctx, a, rec.Result)
	}
	if !follow {
		return client.LogSoFar(ctx, id, out.piece)
	}
	waiter, err := client.NewWaiter("", id)
	if err != nil {
		return err
	}
	defer waiter.Close()
	waiter.Expect(id)
	waiter.LookNow()
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	read := make(chan error, 1)
	go func() {
		err := client.LogHistory(reading, id, out.piece)
		if !errors.Is(err, errEnded) {
			stop(err) // the output is gone, or Ctrl-C
		}
		read <- err
	}()
	rec, err = waiter.Next(reading)
	stop(errEnded)
	readErr := <-read
	if err != nil {
		return err
	}
	if _, broken := errors.AsType[*outputError](readErr); broken {
		return readErr
	}
	return out.finish(ctx, a, rec.Result)
}

var errEnded = errors.New("the job has ended")
