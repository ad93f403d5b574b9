// Command cat prints files one after the other.
package main

import (
	"os"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/text"
)

func main() {
	os.Exit(text.Cat(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
