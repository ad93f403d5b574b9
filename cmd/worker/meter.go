package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"boxfleet/executor/meter"
	"boxfleet/executor/wasip1"
	"boxfleet/limits"
	"boxfleet/limits/component"
	"boxfleet/limits/guestabi"
	"boxfleet/limits/metering"
)

// meterOptions are the flags of `worker meter`.
type meterOptions struct {
	out     string
	run     bool
	fuel    uint64
	timeout string
	memory  string
}

// guestExit carries a guest's exit code out of `worker meter --run`.
type guestExit int

func (e guestExit) Error() string { return fmt.Sprintf("the module exited with code %d", int(e)) }

func meterCommand(stdout io.Writer) *cobra.Command {
	var o meterOptions
	cmd := &cobra.Command{
		Use: "meter FILE.wasm [flags] [-- ARGS...]", Short: "Show what metering does to a module, and run it with its fuel counted",
		Long: "meter rewrites a module, or the program of a component, as a worker does before it compiles it: fuel, deadline and\n" +
			"stack checks are injected. It prints what there is in it and what was added. With --run it also runs the result as a plain command: no\n" +
			"files, no network, no environment; standard streams are this terminal's, and the exit code is the module's.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return meterFile(cmd.Context(), args[0], args[1:], &o, stdout, cmd.InOrStdin(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.out, "output", "o", "", "write the rewritten module to this file")
	f.BoolVar(&o.run, "run", false, "run the module; arguments follow after --")
	f.Uint64Var(&o.fuel, "fuel", 0, "fuel for the run (default: as good as endless)")
	f.StringVar(&o.timeout, "timeout", "60s", "wall clock of the run")
	f.StringVar(&o.memory, "memory", "512MiB", "memories and tables of the run")
	return cmd
}

func meterFile(ctx context.Context, file string, args []string, o *meterOptions, stdout io.Writer, stdin io.Reader, stderr io.Writer) error {
	wasm, err := os.ReadFile(file)
	if err != nil {
		return &usageError{fmt.Errorf("read the module: %w", err)}
	}
	if len(args) > 0 && !o.run {
		return &usageError{errors.New("arguments are for --run")}
	}
	start := time.Now()
	program, err := component.Main(wasm)
	if err != nil {
		return &usageError{fmt.Errorf("%s: %w", file, err)}
	}
	if o.run && (program.Start != "_start" || program.Initialize) {
		return &usageError{fmt.Errorf("%s: a component that speaks WASI 0.2 itself runs as a job only: submit run %s", file, file)}
	}
	m, err := metering.Rewrite(program.Wasm, metering.Config{})
	if err != nil {
		return &usageError{fmt.Errorf("%s: %w", file, err)}
	}
	took := time.Since(start)
	report := stdout
	if o.run { // standard output is the guest's
		report = stderr
	}
	if component.Is(wasm) {
		_, _ = fmt.Fprintf(report, "%s: a component of %d bytes; this is its program, which starts at %q\n", file, len(wasm), program.Start)
	}
	if err := printMetered(report, file, m, took); err != nil {
		return err
	}
	if o.out != "" {
		if err := os.WriteFile(o.out, m.Wasm, 0o644); err != nil {
			return fmt.Errorf("write the rewritten module: %w", err)
		}
	}
	if !o.run {
		return nil
	}
	limit, err := o.limits()
	if err != nil {
		return &usageError{err}
	}
	return runMetered(ctx, m, limit, wasip1.Config{
		Args: append([]string{filepath.Base(file)}, args...), Stdin: stdin, Stdout: stdout, Stderr: stderr,
	}, report)
}

// printMetered describes the module, what was injected, and what no worker
// would give it.
func printMetered(w io.Writer, file string, m *metering.Module, took time.Duration) error {
	if err := m.WriteReport(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s: %d -> %d bytes (%+.1f %%), %d fuel checks, rewritten in %s\n",
		file, m.Stats.BytesIn, m.Stats.BytesOut, 100*m.Stats.Growth(), m.Stats.Checks, took.Round(time.Microsecond))
	for _, e := range guestabi.Refused(m.Info.Imports) {
		_, err = fmt.Fprintf(w, "refused: %v\n", e)
	}
	return err
}

func (o *meterOptions) limits() (l meter.Limits, err error) {
	l.Fuel = o.fuel
	if l.Fuel == 0 {
		l.Fuel = math.MaxInt64
	}
	timeout, err := limits.ParseDuration(o.timeout)
	if err != nil {
		return l, fmt.Errorf("--timeout: %w", err)
	}
	memory, err := limits.ParseBytes(o.memory)
	if err != nil {
		return l, fmt.Errorf("--memory: %w", err)
	}
	l.Timeout, l.Memory = time.Duration(timeout), uint64(memory)
	return l, nil
}

// runMetered runs a rewritten module alone and prints what it cost.
func runMetered(ctx context.Context, m *metering.Module, l meter.Limits, cfg wasip1.Config, report io.Writer) (err error) {
	rt := wazero.NewRuntimeWithConfig(ctx, meter.RuntimeConfig())
	defer func() { err = errors.Join(err, rt.Close(ctx)) }()
	if err := errors.Join(meter.Register(ctx, rt), wasip1.Register(ctx, rt)); err != nil {
		return err
	}
	compiled, err := rt.CompileModule(ctx, m.Wasm)
	if err != nil {
		return &usageError{fmt.Errorf("the module does not compile: %w", err)}
	}
	epoch := meter.NewEpoch(time.Millisecond)
	defer epoch.Close()
	run := meter.New(epoch, l)
	defer run.Close()
	stop := context.AfterFunc(ctx, func() { run.Cancel(context.Cause(ctx)) })
	defer stop()
	cfg.Interrupt = run
	sys, err := wasip1.New(cfg)
	if err != nil {
		return &usageError{err}
	}
	defer func() { _ = sys.Close() }()
	gctx := sys.Context(run.Context(context.WithoutCancel(ctx)))
	began := time.Now()
	if err = run.Admit(m.Info); err == nil {
		var inst api.Module
		if inst, err = startCommand(gctx, run, rt, compiled); inst != nil {
			defer func() { _ = inst.Close(gctx) }()
		}
	}
	o := meter.Classify(err, run)
	_, _ = fmt.Fprintf(report, "  %-12s %s after %s: %d fuel, %d refills, %s at its peak\n",
		"run", o.Kind, time.Since(began).Round(time.Microsecond), run.FuelConsumed(), run.Refills(), limits.Bytes(run.PeakMemory()))
	switch o.Kind {
	case meter.Succeeded:
		return nil
	case meter.Exited:
		return guestExit(o.ExitCode)
	}
	return o.Err
}

// startCommand instantiates a command and calls its _start. The caller closes
// the instance, if there is one, after reading its amounts.
func startCommand(ctx context.Context, run *meter.Meter, rt wazero.Runtime, compiled wazero.CompiledModule) (api.Module, error) {
	inst, err := run.Instantiate(ctx, rt, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, err
	}
	start := inst.ExportedFunction("_start")
	if start == nil {
		return inst, errors.New("the module exports no function _start: a command is wanted, not a library")
	}
	_, err = start.Call(ctx)
	return inst, err
}
