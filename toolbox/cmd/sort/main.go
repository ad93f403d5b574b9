// Command sort prints lines in order.
package main

import (
	"os"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/text"
)

func main() {
	os.Exit(text.Sort(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
