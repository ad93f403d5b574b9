package submitcli

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"boxfleet/internal/fleetview"
	"boxfleet/internal/topview"
)

func (a *app) topCommand() *cobra.Command {
	var once bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use: "top", Short: "Show the fleet live in the terminal", Args: cobra.NoArgs,
		Long: "top shows workers, slots, queues by tenant and priority, rates, slow tools and recent failures as\n" +
			"they change; q leaves, p pauses, s sorts the tools. In a pipe, or with --once, it prints one picture\n" +
			"after having looked for --interval, and with --json all there is to know of it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < time.Second || interval > time.Hour {
				return usagef("--interval: %s; write 1s to 1h", interval)
			}
			return a.top(cmd.Context(), once, interval)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "print one picture and leave")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "time between two pictures")
	return cmd
}

func (a *app) top(ctx context.Context, once bool, interval time.Duration) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	view := fleetview.New(fleetview.Source{Conn: a.nc, Stream: a.js, Client: client})
	ctx, stop := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { view.Run(ctx) })
	defer looking.Wait()
	defer stop()
	in, isFile := a.Stdin.(*os.File)
	if !once && !a.globals.json && isFile && term.IsTerminal(int(in.Fd())) && a.drawsOnTerminal() {
		return topview.Run(ctx, view, topview.Options{In: in, Out: a.Stdout, Interval: interval})
	}
	snap, err := onePicture(ctx, view, interval)
	if err != nil {
		return err
	}
	if a.globals.json {
		return a.printJSON(snap)
	}
	return wroteOut(topview.Write(a.Stdout, snap))
}

// drawsOnTerminal tells whether standard output is one.
func (a *app) drawsOnTerminal() bool {
	f, ok := a.Stdout.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// pictureWait is how long the jobs there are may take to be read.
const pictureWait = 30 * time.Second

// onePicture looks for a while, so that queues, workers and what ended before
// are in the picture, and gives the newest.
func onePicture(ctx context.Context, view *fleetview.View, interval time.Duration) (*fleetview.Snapshot, error) {
	start := time.Now()
	for {
		snap, changed := view.Snapshot()
		seen := time.Since(start) >= interval && view.Loaded()
		if seen || time.Since(start) > pictureWait {
			return snap, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("look at the fleet: %w", context.Cause(ctx))
		case <-changed:
		}
	}
}
