package clidoc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// Command is the hidden command `manual` of a program.
func Command(notes Notes) *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "manual --man DIR|--json", Short: "Write this program's manual pages, or its commands and flags as JSON", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case dir != "":
				return write(dir, Pages(cmd.Root(), notes))
			case asJSON:
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetEscapeHTML(false)
				e.SetIndent("", "  ")
				return e.Encode(Describe(cmd.Root()))
			}
			return errors.New("say what to write: --man DIR, or --json")
		},
	}
	cmd.Flags().StringVar(&dir, "man", "", "directory to write the manual pages to")
	// submit has a --json for every command, which this one stands before.
	cmd.Flags().BoolVar(&asJSON, "json", false, "print commands and flags as JSON")
	return cmd
}

func write(dir string, pages []Page) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of the manual: %w", err)
	}
	for _, p := range pages {
		if err := os.WriteFile(filepath.Join(dir, p.File), []byte(p.Text), 0o644); err != nil {
			return fmt.Errorf("write the manual page: %w", err)
		}
	}
	return nil
}
