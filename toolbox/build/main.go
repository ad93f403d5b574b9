// Command build brings toolbox/dist up to date: every guest tool as a wasm
// module. It needs nothing but Go. Run it in the toolbox's folder:
//
//	go run ./build                 # all tools
//	go run ./build --only jq,grep  # some
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"boxfleet/toolbox/internal/dist"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", ".", "the toolbox's folder")
	only := flags.String("only", "", "comma-separated names of the tools to build; empty builds all")
	jobs := flags.Int("jobs", 2, "links at once, 1 or 2")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	cfg := dist.Config{Dir: *dir, Jobs: *jobs, Report: func(res dist.Result) { report(stdout, stderr, res) }}
	if *only != "" {
		cfg.Only = strings.Split(*only, ",")
	}
	results, err := dist.Build(ctx, cfg)
	if len(results) == 0 && err != nil {
		fmt.Fprintln(stderr, "build:", err)
	}
	if err != nil {
		return 1
	}
	return 0
}

func report(stdout, stderr io.Writer, res dist.Result) {
	switch {
	case res.Err != nil:
		fmt.Fprintf(stderr, "failed  %s: %v\n", res.Name, res.Err)
	case res.Fresh:
		fmt.Fprintf(stdout, "fresh   %-12s %s\n", res.Name, size(res.Size))
	default:
		fmt.Fprintf(stdout, "built   %-12s %s in %s\n", res.Name, size(res.Size), res.Took.Round(10*time.Millisecond))
	}
}

func size(n int64) string {
	if n < 100_000 {
		return fmt.Sprintf("%6d B ", n)
	}
	return fmt.Sprintf("%6.1f MB", float64(n)/1e6)
}
