// Command lua runs Lua 5.1 programs (gopher-lua).
package main

import (
	"bytes"
	"os"

	lua "github.com/yuin/gopher-lua"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/script"
)

func main() {
	os.Exit(run(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

func describe(source *script.Source) *command.Command {
	cmd := &command.Command{
		Name: "lua", Version: "1.1.2", Permission: "execute",
		Description: "Run a Lua 5.1 program with the standard libraries; arg holds its arguments. os.execute and io.popen fail: a guest starts no processes.",
		Keywords:    []string{"lua", "script", "run", "compute"},
	}
	source.Bind(cmd, 'e')
	return cmd
}

// run differs from the other tools in that Lua's own print and io go to the
// process's streams: gopher-lua has no others.
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
	state := lua.NewState()
	defer state.Close()
	arg := state.NewTable()
	arg.RawSetInt(0, lua.LString(name))
	for i, value := range source.Args {
		arg.RawSetInt(i+1, lua.LString(value))
	}
	state.SetGlobal("arg", arg)
	program, err := state.Load(bytes.NewReader(text), name)
	if err != nil {
		return cmd.Fail(s, err)
	}
	state.Push(program)
	if err := state.PCall(0, lua.MultRet, nil); err != nil {
		return cmd.Fail(s, err)
	}
	return command.ExitOK
}
