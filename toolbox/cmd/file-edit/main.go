// Command file-edit replaces a text in a file, as JSON.
package main

import (
	"os"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/filetool"
)

func main() {
	os.Exit(filetool.Edit(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
