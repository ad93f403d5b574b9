package submitcli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"boxfleet/internal/clidoc"
	"boxfleet/jobs"
)

// manualCommand writes the manual pages, for packagers and `make docs`.
func (a *app) manualCommand() *cobra.Command {
	codes := []string{
		fmt.Sprintf("%d\tall went well; for run: the guest exited with 0", exitOK),
		fmt.Sprintf("%d\tnot every job succeeded, or what was asked for is not there", exitUnfinished),
		fmt.Sprintf("%d\tthe command line, a file or a job is wrong; nothing was sent", exitUsage),
		fmt.Sprintf("%d\tthe fleet failed: NATS or the object store cannot be used, or the job's attempts are spent", exitFleet),
		fmt.Sprintf("%d\tno such tool", exitNoTool),
		fmt.Sprintf("%d\tCtrl-C", exitInterrupted),
		fmt.Sprintf("%d\tthe reader of standard output went away", exitPipe),
	}
	for _, o := range jobs.Outcomes {
		if code := o.ExitCode(); code > exitFleet {
			codes = append(codes, fmt.Sprintf("%d\trun: the job's outcome is %s", code, o))
		}
	}
	return clidoc.Command(clidoc.Notes{
		Sections: []clidoc.Section{
			{Title: "EXIT STATUS", Lines: append(codes, "run exits with the guest's own code if the guest ended by itself.")},
			{Title: "FILES", Lines: []string{"context.json\taddresses and credentials of a fleet, written by worker dev; --context names one, else the current one is used"}},
		},
		Env: func(flag string) string {
			if !slices.Contains(globalNames, flag) {
				return ""
			}
			return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		},
		SeeAlso: []string{"worker(1)"},
	})
}
