// Command starlark runs Starlark programs (go.starlark.net).
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"go.starlark.net/lib/json"
	"go.starlark.net/lib/math"
	"go.starlark.net/lib/time"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/script"
)

func main() {
	os.Exit(run(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

func describe(source *script.Source) *command.Command {
	cmd := &command.Command{
		Name: "starlark", Version: "1.0.0", Permission: "execute",
		Description: "Run a Starlark program (a small, deterministic Python). Beside the language: json, math, time, struct, args, read(path), write(path, text), stdin() and load(\"file.star\", \"name\").",
		Keywords:    []string{"starlark", "python", "script", "run", "compute"},
	}
	source.Bind(cmd, 'c')
	return cmd
}

func run(args []string, s command.Streams) int {
	var source script.Source
	cmd := describe(&source)
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	name, text, err := source.Load(s)
	if err != nil {
		return cmd.Fail(s, err)
	}
	_, err = newProgram(&source, s).exec(name, text)
	if failed, ok := errors.AsType[*starlark.EvalError](err); ok {
		err = errors.New(failed.Backtrace())
	}
	if err != nil {
		return cmd.Fail(s, err)
	}
	return command.ExitOK
}

// program is one run: what its files see and what was loaded.
type program struct {
	streams     command.Streams
	predeclared starlark.StringDict
	loaded      map[string]*module
}

// module is a loaded file; a nil module in program.loaded is being loaded.
type module struct {
	globals starlark.StringDict
	err     error
}

func newProgram(source *script.Source, s command.Streams) *program {
	p := &program{streams: s, loaded: make(map[string]*module)}
	var args []starlark.Value
	for _, arg := range source.Args {
		args = append(args, starlark.String(arg))
	}
	p.predeclared = starlark.StringDict{
		"args":   starlark.NewList(args),
		"json":   json.Module,
		"math":   math.Module,
		"time":   time.Module,
		"struct": starlark.NewBuiltin("struct", starlarkstruct.Make),
		"read":   starlark.NewBuiltin("read", p.read),
		"write":  starlark.NewBuiltin("write", p.write),
		"stdin":  starlark.NewBuiltin("stdin", p.stdin),
	}
	return p
}

func (p *program) exec(name string, text []byte) (starlark.StringDict, error) {
	thread := &starlark.Thread{
		Name:  name,
		Print: func(_ *starlark.Thread, text string) { fmt.Fprintln(p.streams.Out, text) },
		Load: func(_ *starlark.Thread, wanted string) (starlark.StringDict, error) {
			if !path.IsAbs(wanted) {
				wanted = path.Join(path.Dir(name), wanted)
			}
			return p.load(wanted)
		},
	}
	// What keeps Starlark programs short and finite is the fleet's business here.
	options := &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true}
	return starlark.ExecFileOptions(options, thread, name, text, p.predeclared)
}

func (p *program) load(name string) (starlark.StringDict, error) {
	if m, ok := p.loaded[name]; ok {
		if m == nil {
			return nil, fmt.Errorf("%s loads itself, by way of others", name)
		}
		return m.globals, m.err
	}
	p.loaded[name] = nil
	m := &module{}
	if text, err := os.ReadFile(p.streams.Path(name)); err != nil {
		m.err = err
	} else {
		m.globals, m.err = p.exec(name, text)
	}
	p.loaded[name] = m
	return m.globals, m.err
}

func (p *program) read(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "path", &name); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(p.streams.Path(name))
	return starlark.String(data), err
}

func (p *program) write(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var name, text string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "path", &name, "text", &text); err != nil {
		return nil, err
	}
	return starlark.None, os.WriteFile(p.streams.Path(name), []byte(text), 0o644)
}

func (p *program) stdin(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(b.Name(), args, kwargs); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(p.streams.In)
	return starlark.String(data), err
}
