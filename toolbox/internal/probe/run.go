// Package probe is the probe tool: a guest that does one chosen thing. It shows
// what it was given (arguments, environment, files, standard input), uses the
// file system, and misbehaves on demand: burns fuel, grows its memory, recurses,
// floods its output, sleeps, traps.
//
// `probe DO VALUE...` and `probe --do=DO --value=VALUE...` are the same. Every
// action exits with 0 when it could be done and with 1 and one line on standard
// error when not, save exit, panic and trap.
package probe

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"

	"boxfleet/toolbox/internal/command"
)

// action is one thing that probe can do.
type action struct {
	name   string
	values string // what --value stands for, in order
	count  [2]int // least and most values; most < 0: no limit
	do     func(p *process) error
}

// process is one run of probe.
type process struct {
	command.Streams
	out    *bufio.Writer
	values []string
	exit   int
}

func actions() []action {
	return []action{
		{"report", "", [2]int{0, -1}, report},
		{"args", "any values", [2]int{0, -1}, printArgs},
		{"env", "", [2]int{0, 0}, printEnv},
		{"stdin", "", [2]int{0, 0}, copyStdin},
		{"stdout", "BYTES", [2]int{1, 1}, func(p *process) error { return flood(p, p.out) }},
		{"stderr", "BYTES", [2]int{1, 1}, func(p *process) error { return flood(p, p.Err) }},
		{"clock", "", [2]int{0, 0}, clock},
		{"random", "", [2]int{0, 0}, random},

		{"ls", "[PATH]", [2]int{0, 1}, list},
		{"stat", "PATH", [2]int{1, 1}, stat},
		{"read", "PATH", [2]int{1, 1}, read},
		{"write", "PATH TEXT", [2]int{2, 2}, write},
		{"append", "PATH TEXT", [2]int{2, 2}, appendTo},
		{"fill", "PATH BYTES", [2]int{2, 2}, fill},
		{"mkdir", "PATH", [2]int{1, 1}, mkdir},
		{"remove", "PATH", [2]int{1, 1}, remove},
		{"rename", "FROM TO", [2]int{2, 2}, rename},
		{"symlink", "TARGET PATH", [2]int{2, 2}, symlink},
		{"files", "DIR COUNT", [2]int{2, 2}, files},
		{"open", "PATH COUNT", [2]int{2, 2}, open},

		{"exit", "CODE", [2]int{1, 1}, exit},
		{"burn", "ROUNDS", [2]int{1, 1}, burn},
		{"spin", "", [2]int{0, 0}, spin},
		{"grow", "BYTES", [2]int{1, 1}, grow},
		{"recurse", "DEPTH", [2]int{1, 1}, recurse},
		{"sleep", "SECONDS", [2]int{1, 1}, sleep},
		{"panic", "[TEXT]", [2]int{0, 1}, panics},
		{"trap", "", [2]int{0, 0}, trap},
	}
}

func describe(do *string, values *[]string) *command.Command {
	var names []string
	usage := "What the action works on:"
	for _, a := range actions() {
		names = append(names, a.name)
		if a.values != "" {
			usage += " " + a.name + " " + a.values + ";"
		}
	}
	*do = "report"
	doOption := command.String(do, "do", "The action").OneOf(names...)
	valueOption := command.Strings(values, "value", usage[:len(usage)-1])
	return &command.Command{
		Name: "probe", Version: "1.0.0", Permission: "write",
		Description: "Do one chosen thing, well-behaved or not: for tests of limits and of what a guest is given.",
		Keywords:    []string{"test", "probe", "limits", "debug"},
		Options:     []*command.Option{doOption, valueOption},
		Positional:  []*command.Option{doOption, valueOption},
	}
}

// Run is the tool. args leave out the program's name.
func Run(args []string, s command.Streams) int {
	p := &process{Streams: s, out: bufio.NewWriter(s.Out)}
	var do string
	cmd := describe(&do, &p.values)
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	for _, a := range actions() {
		if a.name != do {
			continue
		}
		if n := len(p.values); n < a.count[0] || a.count[1] >= 0 && n > a.count[1] {
			cmd.Fail(s, fmt.Errorf("%s takes the values %q, got %q", a.name, a.values, p.values))
			return command.ExitUsage
		}
		err := a.do(p)
		if err := errors.Join(err, p.out.Flush()); err != nil {
			return cmd.Fail(s, err)
		}
	}
	return p.exit
}

// number reads value i as a whole number of what.
func (p *process) number(i int, what string) (int, error) {
	n, err := strconv.Atoi(p.values[i])
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s is %q: want a whole number from 0", what, p.values[i])
	}
	return n, nil
}
