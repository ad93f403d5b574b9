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
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/script"
)

func describe(source *script.Source) *command.Command {
	cmd := &command.Command{
		Name: "sh", Version: "3.14.1", Permission: "execute",
		Description: "Run a shell script: POSIX shell and most of Bash, with cat, cp, find, grep, head, ls, mkdir, mv, rm, sort, tail, tee, touch, uniq and wc built in and no other programs.",
		Keywords:    []string{"shell", "sh", "bash", "script", "run"},
	}
	source.Bind(cmd, 'c')
	return cmd
}

// Run is the tool. args leave out the program's name. The exit code is the
// script's; 2 for one that does not parse.
func Run(args []string, s command.Streams) int {
	var source script.Source
	cmd := describe(&source)
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	name, text, err := source.Load(s)
	if err != nil {
		return cmd.Fail(s, err)
	}
	program, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(text), name)
	if err != nil {
		cmd.Fail(s, err)
		return command.ExitUsage
	}
	runner, err := interp.New(
		interp.StdIO(s.In, s.Out, s.Err),
		interp.Params(append([]string{"--"}, source.Args...)...),
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
