// Command generate writes the schema files into a directory.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"boxfleet/internal/schema"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one argument, the directory of the schemas, got %d", len(args))
	}
	for _, d := range schema.Documents {
		text, err := d.JSON()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(args[0], d.Name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
