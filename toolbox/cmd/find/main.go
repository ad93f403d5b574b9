// Command find prints the paths below directories that meet conditions.
package main

import (
	"os"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/listing"
)

func main() {
	os.Exit(listing.Find(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
