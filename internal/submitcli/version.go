package submitcli

import (
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			version := a.Version
			if version == "" {
				version = buildVersion()
			}
			if a.globals.json {
				return a.printLine(map[string]any{"version": version, "go": runtime.Version(), "wire_version": jobs.WireVersion})
			}
			_, err := fmt.Fprintf(a.Stdout, "submit %s (%s, messages v%d)\n", version, runtime.Version(), jobs.WireVersion)
			return wroteOut(err)
		},
	}
}

// buildVersion is what the Go toolchain stamped into the program.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	return version
}

func splitLines(err error) iter.Seq[string] { return strings.SplitSeq(err.Error(), "\n") }
