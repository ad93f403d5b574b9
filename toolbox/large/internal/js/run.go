// Package js is the js tool: JavaScript programs on goja, an interpreter written
// in Go. A program sees the language, console and a few functions to read its
// input and files; there are no processes, no network and no modules but the
// files that require names.
package js

import (
	"errors"
	"io"
	"strings"

	"github.com/dop251/goja"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/script"
)

type options struct {
	source script.Source
	print  bool
}

func describe(o *options) *command.Command {
	cmd := &command.Command{
		Name: "js", Version: "1.0.0", Permission: "execute",
		Description: "Run a JavaScript program (goja: ECMAScript 2015 and much of what came later, without import). Beside the language: console, setTimeout, args, input (standard input read as JSON), stdin(), read(path), write(path, text), exit(code) and require(\"./file.js\").",
		Keywords:    []string{"javascript", "js", "script", "run", "compute", "json"},
		Options: []*command.Option{
			command.Bool(&o.print, "print", "Print the program's last value, or what its promise comes to, as JSON").Short('p'),
		},
	}
	o.source.Bind(cmd, 'e')
	return cmd
}

// Run is the tool: arguments without the program's name in, exit code out.
func Run(args []string, s command.Streams) int {
	var o options
	cmd := describe(&o)
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	name, text, err := o.source.Load(s)
	if err != nil {
		return cmd.Fail(s, err)
	}
	out := newOutput(s.Out)
	p, err := newProgram(s, out, o.source.Args)
	if err != nil {
		return cmd.Fail(s, err)
	}
	err = p.run(name, string(text), o.print)
	if e := out.flush(); e != nil && err == nil {
		err = e
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	if err != nil {
		return cmd.Fail(s, err)
	}
	return command.ExitOK
}

// exitCode is the error by which exit(code) ends a program.
type exitCode int

func (exitCode) Error() string { return "the program called exit" }

// explain turns an engine's error into one whose text has the stack.
func explain(err error) error {
	if stopped, ok := errors.AsType[*goja.InterruptedError](err); ok {
		if code, ok := stopped.Value().(exitCode); ok {
			return code
		}
	}
	if _, ok := errors.AsType[*goja.StackOverflowError](err); ok {
		return errors.New("RangeError: the program calls itself too deeply")
	}
	if thrown, ok := errors.AsType[*goja.Exception](err); ok {
		return errors.New(strings.TrimSuffix(thrown.String(), "\n"))
	}
	return err
}

// output collects what is printed: a write to a guest's standard output is a
// call of the host.
type output struct {
	to  io.Writer
	buf []byte
	err error // the first
}

func newOutput(to io.Writer) *output { return &output{to: to} }

func (o *output) line(text string) {
	o.buf = append(append(o.buf, text...), '\n')
	if len(o.buf) >= 8192 {
		o.flush()
	}
}

func (o *output) flush() error {
	if o.err == nil && len(o.buf) > 0 {
		_, o.err = o.to.Write(o.buf)
	}
	o.buf = o.buf[:0]
	return o.err
}
