// Package script is what the tools that run a program of the caller's share: the
// program comes from an option, from a file or from standard input, and what
// follows it on the command line is the program's own.
package script

import (
	"io"
	"os"

	"boxfleet/toolbox/internal/command"
)

// Source is where the program comes from and what it is given.
type Source struct {
	Text string   // the program itself, with --command
	File string   // its file; or with --command what it is called
	Args []string // its own

	text *command.Option
}

// Bind adds the options that fill s to cmd. Short is the letter of --command.
func (s *Source) Bind(cmd *command.Command, short byte) {
	s.text = command.String(&s.Text, "command", "The program itself").Short(short)
	file := command.String(&s.File, "file", "The program's file; with neither this nor --command it is read from standard input")
	args := command.Strings(&s.Args, "arg", "An argument of the program")
	cmd.Options = append([]*command.Option{s.text, file, args}, cmd.Options...)
	cmd.Positional = []*command.Option{file, args}
	cmd.OptionsEnd = true
}

// Load reads the program; name is what its errors call it.
func (s *Source) Load(streams command.Streams) (name string, text []byte, err error) {
	switch {
	case s.text.Given():
		name, text = s.File, []byte(s.Text)
		if name == "" {
			name = "command"
		}
	case s.File == "" || s.File == "-":
		name = "stdin"
		text, err = io.ReadAll(streams.In)
	default:
		name = s.File
		text, err = os.ReadFile(streams.Path(s.File))
	}
	return name, text, err
}
