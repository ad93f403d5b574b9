package submitcli

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"boxfleet/jobs"
)

// TestEverythingIsDocumented holds docs/cli.md to the commands, flags,
// variables, outcomes and exit codes there are.
func TestEverythingIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	mentioned := func(what string) {
		t.Helper()
		if !strings.Contains(doc, what) {
			t.Errorf("docs/cli.md does not mention %s", what)
		}
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.HasParent() && c.Name() != "help" && c.Name() != "completion" {
			mentioned(c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				mentioned("--" + f.Name)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newApp(Program{}).root())
	for _, name := range globalNames {
		mentioned(EnvPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	}
	for _, o := range jobs.Outcomes {
		if code := o.ExitCode(); code >= 0 {
			found := false
			for line := range strings.Lines(doc) {
				found = found || strings.HasPrefix(line, "| "+strconv.Itoa(code)+" | `"+string(o)+"` |")
			}
			if !found {
				t.Errorf("docs/cli.md has no row for %s with exit code %d", o, code)
			}
		}
	}
}
