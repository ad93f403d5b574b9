// Command probe does one chosen thing, well-behaved or not, so that tests can
// see what a fleet does with it.
package main

import (
	"os"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/probe"
)

func main() {
	os.Exit(probe.Run(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
