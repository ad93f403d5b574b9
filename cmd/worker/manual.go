package main

import (
	"slices"

	"github.com/spf13/cobra"

	"boxfleet/internal/clidoc"
)

// manualCommand writes the manual pages, for packagers and `make docs`.
func manualCommand() *cobra.Command {
	return clidoc.Command(clidoc.Notes{
		Sections: []clidoc.Section{
			{Title: "SETTINGS", Lines: []string{
				"A flag wins over its environment variable, that over the config file, that over the context, that over the default. Amounts of bytes are written as 64MiB or 1GB, times as 250ms, 20s or seconds.",
			}},
			{Title: "SIGNALS", Lines: []string{
				"SIGTERM, SIGINT\tTake no more jobs, let running ones go on for the grace, give the rest back, and end. The second one ends the grace.",
			}},
			{Title: "EXIT STATUS", Lines: []string{
				"0\tit was told to end, and has",
				"1\tit could not start or go on",
				"2\tthe command line or a setting is wrong",
			}},
		},
		Env: func(flag string) string {
			if flag == "config" {
				return "BOXFLEET_CONFIG"
			}
			if !slices.ContainsFunc(settingRows, func(r settingRow) bool { return r.name == flag }) {
				return ""
			}
			return envName(flag)
		},
		SeeAlso: []string{"submit(1)"},
	})
}
