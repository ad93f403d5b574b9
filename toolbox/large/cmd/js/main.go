// Command js runs JavaScript programs (goja).
package main

import (
	"os"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/large/internal/js"
)

func main() {
	os.Exit(js.Run(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
