package submitcli

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"boxfleet/internal/fleet"
	"boxfleet/internal/strictjson"
)

// Program is one call of the client.
type Program struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Version of the program; "" means that of its build information.
	Version string
	// Telemetry installs the global tracer provider once the fleet is known;
	// its result sends what is left. Nil leaves tracing off.
	Telemetry func(ctx context.Context, f *fleet.Context) (shutdown func(context.Context) error, err error)
}

// Run executes the command line and gives the exit code; see docs/cli.md for
// the table. The end of ctx is the user's Ctrl-C.
func (p Program) Run(ctx context.Context, args []string) int {
	a := newApp(p)
	defer a.close()
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started { // cobra's own errors: arguments and names of commands
		err = usage(err)
	}
	code, lines := a.verdict(err)
	for _, l := range lines {
		a.say("%s", l)
	}
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "submit",
		Short:         "Run WebAssembly tools on a boxfleet",
		Long:          "submit runs sandboxed WebAssembly tools on a fleet of workers: one job at a time\nlike `docker run`, or thousands from a file.",
		Example:       "  submit run jq --stdin people.json -- .name\n  submit batch jobs.jsonl --wait --results results.jsonl\n  submit tool list",
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs, RunE: needCommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.started = true
			return a.globals.fromEnvironment(cmd.Flags())
		},
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SetFlagErrorFunc(explainFlag)
	a.globals.register(root.PersistentFlags())
	root.AddCommand(
		a.runCommand(), a.batchCommand(), a.batchesCommand(), a.scheduleCommand(), a.toolCommand(),
		a.statusCommand(), a.listCommand(), a.resultCommand(), a.logsCommand(), a.waitCommand(), a.cancelCommand(), a.eventsCommand(),
		a.traceCommand(), a.deadCommand(), a.tenantCommand(), a.mcpCommand(), a.dashboardCommand(), a.topCommand(), a.adminCommand(), a.auditCommand(), a.versionCommand(), a.manualCommand(),
	)
	return root
}

// needCommand is what a command does that has nothing but commands below it.
func needCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if near := strictjson.Nearest(args[0], names); near != "" {
		return usagef("unknown command %q; did you mean %q?", args[0], near)
	}
	return usagef("unknown command %q; see %s --help", args[0], cmd.CommandPath())
}

// explainFlag adds the nearest flag to an error about an unknown one.
func explainFlag(cmd *cobra.Command, err error) error {
	if unknown, ok := asUnknownFlag(err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if unknown.short {
			return usagef("unknown flag -%s; put the arguments of the tool itself after --", unknown.name)
		}
		if near := strictjson.Nearest(unknown.name, names); near != "" {
			return usagef("unknown flag --%s; did you mean --%s?", unknown.name, near)
		}
		return usagef("unknown flag --%s; see %s --help; the arguments of the tool itself go after --", unknown.name, cmd.CommandPath())
	}
	return usage(err)
}

// leaveTime is how long the program waits for traces to be sent at its end.
const leaveTime = 2 * time.Second
