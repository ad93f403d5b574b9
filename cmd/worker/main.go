// Command worker runs jobs: `worker run` joins a fleet, `worker dev` is a whole
// fleet on one machine, `worker meter` shows what metering does to a module.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "dev"

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes of the worker.
const (
	exitFailed = 1 // it could not start or go on
	exitUsage  = 2 // the command line or a setting is wrong
)

// usageError says that the user's command, not the system, is wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:   "worker",
		Short: "Run WebAssembly jobs in default-deny sandboxes",
		Long: "worker runs boxfleet jobs.\n\n" +
			"  worker dev    a whole fleet on this machine: queue, object store, one worker\n" +
			"  worker run    a worker of an existing fleet\n" +
			"  worker gate   the border between tenants and an existing fleet\n" +
			"  worker meter  what metering does to one module",
		SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(runCommand(stderr), devCommand(stdout, stderr), meterCommand(stdout), queueMetricsCommand(stderr), settingsCommand(stdout), gateCommand(stderr), manualCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[guestExit](err); ok {
		return int(code) & 0xff
	}
	_, _ = fmt.Fprintf(stderr, "worker: %v\n", err)
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// untilSignal gives a context that ends at the first SIGINT or SIGTERM;
// hurry is called at the second, and the third ends the process as usual.
func untilSignal(ctx context.Context, hurry func()) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer signal.Stop(signals)
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-signals:
			}
			switch n {
			case 0:
				cancel()
			default:
				hurry()
				return // Stop gives the next signal its usual effect
			}
		}
	}()
	return ctx, func() { cancel(); close(done) }
}
