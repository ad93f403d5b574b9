// Command file-glob lists the files whose path matches a pattern, as JSON.
package main

import (
	"os"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/filetool"
)

func main() {
	os.Exit(filetool.Glob(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
