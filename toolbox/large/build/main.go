// Command build brings the large tools up to date in the toolbox's dist: those
// built from Go, and python, which npm downloads once. Run it in this folder:
//
//	go run ./build                # all
//	go run ./build --only python  # some
//
// On a terminal it says what it does; otherwise, and with --quiet, only what it
// built and what failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"boxfleet/toolbox/internal/dist"
	"boxfleet/toolbox/large/internal/python"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", ".", "the folder of the large tools")
	out := flags.String("out", "", "where modules go; empty is dist beside the folder")
	only := flags.String("only", "", "comma-separated names of the tools to build; empty builds all")
	quiet := flags.Bool("quiet", !isTerminal(stdout), "say only what was built and what failed")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *out == "" {
		*out = filepath.Join(*dir, "..", "dist")
	}
	cfg := dist.Config{
		Dir: *dir, Out: *out, Set: "large",
		Made:   []dist.Made{python.Tool(filepath.Join(*out, ".downloads"))},
		Report: func(res dist.Result) { report(stdout, stderr, *quiet, res) },
	}
	if *only != "" {
		cfg.Only = strings.Split(*only, ",")
	}
	if !*quiet {
		fmt.Fprintln(stdout, "building what is out of date; from nothing this takes a minute or two")
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

func report(stdout, stderr io.Writer, quiet bool, res dist.Result) {
	switch {
	case res.Err != nil:
		fmt.Fprintf(stderr, "failed  %s: %v\n", res.Name, res.Err)
	case !res.Fresh:
		fmt.Fprintf(stdout, "built   %-12s %6.1f MB in %s\n", res.Name, float64(res.Size)/1e6, res.Took.Round(10*time.Millisecond))
	case !quiet:
		fmt.Fprintf(stdout, "fresh   %-12s %6.1f MB\n", res.Name, float64(res.Size)/1e6)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
