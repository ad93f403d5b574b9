// Command hello greets: the smallest tool that takes an argument.
package main

import (
	"os"

	"boxfleet/toolbox/internal/command"
)

func main() {
	os.Exit(run(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

func run(args []string, s command.Streams) int {
	name := "world"
	nameOption := command.String(&name, "name", "Whom to greet")
	cmd := command.Command{
		Name: "hello", Version: "1.0.0", Permission: "none",
		Description: "Print a greeting.",
		Keywords:    []string{"hello", "example", "greeting"},
		Options:     []*command.Option{nameOption},
		Positional:  []*command.Option{nameOption},
	}
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	if _, err := s.Out.Write([]byte("Hello, " + name + "!\n")); err != nil {
		return cmd.Fail(s, err)
	}
	return command.ExitOK
}
