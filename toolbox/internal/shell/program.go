package shell

import (
	"context"
	"io"
	"strings"

	"mvdan.cc/sh/v3/interp"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/grep"
	"boxfleet/toolbox/internal/listing"
	"boxfleet/toolbox/internal/text"
)

const exitNotFound = 127 // POSIX, 2.8.2

// programs are what a script can call beside functions and builtins.
func programs(name string) func([]string, command.Streams) int {
	switch name {
	case "cat":
		return text.Cat
	case "cp":
		return cp
	case "find":
		return listing.Find
	case "grep":
		return grep.Run
	case "head":
		return text.Head
	case "ls":
		return listing.Ls
	case "mkdir":
		return mkdir
	case "mv":
		return mv
	case "rm":
		return rm
	case "sort":
		return text.Sort
	case "tail":
		return text.Tail
	case "tee":
		return tee
	case "touch":
		return touch
	case "uniq":
		return text.Uniq
	case "wc":
		return text.Wc
	}
	return nil
}

func execute(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	streams := command.Streams{In: hc.Stdin, Out: hc.Stdout, Err: hc.Stderr, Dir: hc.Dir}
	if streams.In == nil {
		streams.In = strings.NewReader("")
	}
	program := programs(args[0])
	if program == nil {
		io.WriteString(hc.Stderr, "sh: "+args[0]+": not found: a guest starts no processes; sh --help lists what is built in\n")
		return interp.ExitStatus(exitNotFound)
	}
	if code := program(args[1:], streams); code != command.ExitOK {
		return interp.ExitStatus(code)
	}
	return nil
}
