// Command submit runs WebAssembly tools on a boxfleet: one job at a time, or
// thousands from a file. docs/cli.md describes it.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"boxfleet/internal/fleet"
	"boxfleet/internal/submitcli"
	"boxfleet/internal/telemetry"
)

// version is set when a release is built.
var version string

func main() {
	ctx := untilSignal(context.Background())
	// Writing to a pipe that nobody reads gives an error instead of a signal,
	// so that a job whose output is not wanted any more can be canceled.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// untilSignal gives a context that ends at the first SIGINT or SIGTERM. The
// second one ends the process at once, however soon it comes.
func untilSignal(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		again := <-signals
		signal.Reset(again)
		_ = syscall.Kill(os.Getpid(), again.(syscall.Signal))
	}()
	return ctx
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return submitcli.Program{Stdin: stdin, Stdout: stdout, Stderr: stderr, Version: version, Telemetry: traces}.Run(ctx, args)
}

// traces sends the client's spans where OTEL_* variables say, or else to the
// fleet's own trace store, if its context names one.
func traces(ctx context.Context, f *fleet.Context) (func(context.Context) error, error) {
	t, err := telemetry.Setup(ctx, telemetry.Config{Service: "boxfleet-submit", Version: version, DefaultOTLP: f.OTLP})
	if err != nil {
		return nil, err
	}
	return t.Shutdown, nil
}
