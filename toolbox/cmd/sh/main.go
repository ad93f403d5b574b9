// Command sh runs shell scripts (mvdan.cc/sh).
package main

import (
	"os"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/shell"
)

func main() {
	os.Exit(shell.Run(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
