// Package shell is the sh tool: POSIX shell and most of Bash, on mvdan.cc/sh's
// parser and interpreter.
//
// A guest cannot start processes, so what a script calls must be a function, a
// builtin or one of the programs that are compiled in: the toolbox's own cat,
// find, grep, head, ls, sort, tail, uniq and wc, and cp, mkdir, mv, rm, tee and
// touch. Anything else is "not found", exit code 127. Pipelines, here-documents
// and command substitution work; process substitution does not.
package shell

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"boxfleet/toolbox/internal/command"
)

// options are what the command line asks for.
type options struct {
	command string
	file    string
	args    []string
}

// unset tells an empty --command from none at all.
const unset = "\x00"

func describe(o *options) *command.Command {
	file := command.String(&o.file, "file", "The script's file, or with --command what $0 is; with neither the script is read from standard input")
	arg := command.Strings(&o.args, "arg", "An argument of the script: $1, $2 and so on")
	return &command.Command{
		Name: "sh", Version: "3.14.1", Permission: "execute",
		Description: "Run a shell script: POSIX shell and most of Bash, with cat, cp, find, grep, head, ls, mkdir, mv, rm, sort, tail, tee, touch, uniq and wc built in and no other programs.",
		Keywords:    []string{"shell", "sh", "bash", "script", "run"},
		Positional:  []*command.Option{file, arg},
		OptionsEnd:  true,
		Options: []*command.Option{
			command.String(&o.command, "command", "The script itself").Short('c'),
			file, arg,
		},
	}
}

// Run is the tool. args leave out the program's name. The exit code is the
// script's; 2 for one that does not parse.
func Run(args []string, s command.Streams) int {
	var o options
	cmd := describe(&o) // reads the options' defaults for its help
	o.command = unset
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	program, err := parse(&o, s)
	if err != nil {
		cmd.Fail(s, err)
		return command.ExitUsage
	}
	runner, err := interp.New(
		interp.StdIO(s.In, s.Out, s.Err),
		interp.Params(append([]string{"--"}, o.args...)...),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return execute }),
		interp.OpenHandler(open),
	)
	if err != nil {
		return cmd.Fail(s, err)
	}
	err = runner.Run(context.Background(), program)
	if status, ok := errors.AsType[interp.ExitStatus](err); ok {
		return int(status)
	}
	if err != nil {
		return cmd.Fail(s, err)
	}
	return command.ExitOK
}

func parse(o *options, s command.Streams) (*syntax.File, error) {
	parser := syntax.NewParser(syntax.Variant(syntax.LangBash))
	switch {
	case o.command != unset:
		return parser.Parse(strings.NewReader(o.command), o.file)
	case o.file == "" || o.file == "-":
		return parser.Parse(s.In, "stdin")
	}
	f, err := os.Open(s.Path(o.file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parser.Parse(f, o.file)
}

// open is the shell's redirections. /dev/null is there whatever directories the
// job was given.
func open(ctx context.Context, name string, flag int, mode os.FileMode) (io.ReadWriteCloser, error) {
	if name == "/dev/null" {
		return null{}, nil
	}
	if !path.IsAbs(name) {
		name = path.Join(interp.HandlerCtx(ctx).Dir, name)
	}
	return os.OpenFile(name, flag, mode)
}

// null is empty when read and takes what is written.
type null struct{}

func (null) Read([]byte) (int, error)    { return 0, io.EOF }
func (null) Write(b []byte) (int, error) { return len(b), nil }
func (null) Close() error                { return nil }
