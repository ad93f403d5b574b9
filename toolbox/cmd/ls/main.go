// Command ls prints what is in directories.
package main

import (
	"os"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/listing"
)

func main() {
	os.Exit(listing.Ls(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
