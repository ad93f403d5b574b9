package command

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// example is a command with an option of every kind.
type example struct {
	all   bool
	name  string
	count int
	color string
	files []string
	Command
}

func newExample() *example {
	e := &example{count: 3, color: "red"}
	name := String(&e.name, "name", "What it is called").Short('n').Required()
	files := Strings(&e.files, "file", "What to read")
	e.Command = Command{
		Name: "example", Version: "1.2.3", Permission: "none",
		Description: "Show what the package does.", Keywords: []string{"one", "two"},
		Positional: []*Option{name, files},
		Options: []*Option{
			Bool(&e.all, "all", "Leave nothing out").Short('a'),
			name,
			Number(&e.count, "max-count", "How many").Short('m'),
			String(&e.color, "color", "Of the output").OneOf("red", "green"),
			files,
		},
	}
	return e
}

func (e *example) String() string {
	return fmt.Sprintf("%v %q %d %s %q", e.all, e.name, e.count, e.color, e.files)
}

func TestParse(t *testing.T) {
	tests := []struct {
		args string // separated by blanks
		want string
	}{
		{"x", `false "x" 3 red []`},
		{"x y z", `false "x" 3 red ["y" "z"]`},
		{"--name=x y", `false "x" 3 red ["y"]`},
		{"y --name x z", `false "x" 3 red ["y" "z"]`},
		{"--name= y", `false "" 3 red ["y"]`},
		{"--name=-a=b", `false "-a=b" 3 red []`},
		{"-am7 x", `true "x" 7 red []`},
		{"-m 7 -n x -a", `true "x" 7 red []`},
		{"-m=7 -nx", `false "x" 7 red []`},
		{"--all --all=false x", `false "x" 3 red []`},
		{"--max-count=-2 x", `false "x" -2 red []`},
		{"--color green --file=a --file b x", `false "x" 3 green ["a" "b"]`},
		{"-- -x --all", `false "-x" 3 red ["--all"]`},
		{"x - y", `false "x" 3 red ["-" "y"]`},
	}
	for _, test := range tests {
		e := newExample()
		if err := e.Parse(strings.Fields(test.args)); err != nil || e.String() != test.want {
			t.Errorf("%q: got %v, %v; want %s", test.args, e, err, test.want)
		}
	}
}

func TestParseMistakes(t *testing.T) {
	tests := []struct{ args, want string }{
		{"", "--name is missing"},
		{"--nmae=x", "unknown option --nmae; did you mean --name?"},
		{"--whatever", "unknown option --whatever; --help lists the options"},
		{"-x", "unknown option -x; a value that starts with a dash goes after -- or as --option=VALUE"},
		{"-ax y", "unknown option -x; a value that starts with a dash goes after -- or as --option=VALUE"},
		{"x --max-count", "--max-count wants a value: --max-count=VALUE"},
		{"x -m", "-m wants a value"},
		{"x -m 1.5", `--max-count wants a whole number, got "1.5"`},
		{"x --max-count=99999999999999999999", `--max-count wants a whole number, got "99999999999999999999"`},
		{"x --color=blue", `--color is "blue": want one of red, green`},
		{"x --all=yes", `--all is a switch: want no value, true or false, got "yes"`},
	}
	for _, test := range tests {
		err := newExample().Parse(strings.Fields(test.args))
		if err == nil || err.Error() != test.want {
			t.Errorf("%q: got %v; want %s", test.args, err, test.want)
		}
	}
	alone := Command{}
	if err := alone.Parse([]string{"x"}); err == nil || err.Error() != `unexpected argument "x"` {
		t.Errorf("an argument nobody takes: %v", err)
	}
}

func TestOptionsEnd(t *testing.T) {
	var file string
	var args []string
	fileOption, argsOption := String(&file, "file", ""), Strings(&args, "arg", "")
	c := Command{Options: []*Option{fileOption, argsOption}, Positional: []*Option{fileOption, argsOption}, OptionsEnd: true}
	if err := c.Parse([]string{"--arg=a", "script", "-x", "--", "--help"}); err != nil {
		t.Fatal(err)
	}
	if file != "script" || !slices.Equal(args, []string{"a", "-x", "--", "--help"}) {
		t.Errorf("file %q, args %q", file, args)
	}
	if !fileOption.Given() {
		t.Error("a file by place was not given")
	}
}

func TestHelp(t *testing.T) {
	const want = `example 1.2.3
Show what the package does.

Keywords: one, two
PermissionLevel: none

Usage: example [OPTIONS] [NAME] [FILE]...

Options:
  -a, --all                 Leave nothing out
  -n, --name <STRING>       What it is called [required]
  -m, --max-count <NUMBER>  How many [default: 3]
      --color <STRING>      Of the output [default: red] [possible values: red, green]
      --file <STRING>       What to read [repeatable]
  -h, --help                Print this help
`
	for _, args := range [][]string{{"--help"}, {"-h"}, {"-m", "9", "--color=green", "--help"}} {
		e := newExample()
		var out, complaints bytes.Buffer
		code, goOn := e.Start(args, Streams{Out: &out, Err: &complaints})
		if code != ExitOK || goOn || out.String() != want || complaints.Len() != 0 {
			t.Errorf("%q: code %d, said %q, printed\n%s", args, code, complaints.String(), out.String())
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestStart(t *testing.T) {
	var complaints bytes.Buffer
	if code, goOn := newExample().Start(nil, Streams{Err: &complaints}); code != ExitUsage || goOn || complaints.String() != "example: --name is missing\n" {
		t.Errorf("a mistake: code %d, said %q", code, complaints.String())
	}
	if code, goOn := newExample().Start([]string{"--help"}, Streams{Out: brokenWriter{}, Err: &complaints}); code != ExitError || goOn {
		t.Errorf("help that cannot be printed: code %d", code)
	}
	if code, goOn := newExample().Start([]string{"x"}, Streams{}); code != ExitOK || !goOn {
		t.Errorf("a good command line: code %d, go on %v", code, goOn)
	}
}

func TestPath(t *testing.T) {
	for _, test := range [][3]string{{"", "a", "a"}, {"/d", "a", "/d/a"}, {"/d", "../a", "/a"}, {"/d", "/a", "/a"}} {
		if got := (Streams{Dir: test[0]}).Path(test[1]); got != test[2] {
			t.Errorf("%q in %q is %q: want %q", test[1], test[0], got, test[2])
		}
	}
}

// FuzzParse sees that no command line makes the parser panic, and that every
// value given by name arrives as it is.
func FuzzParse(f *testing.F) {
	f.Add("--name=x\n-am\n7\n--\n-", "value")
	f.Add("-a=b\n--\n--name", "-x\n")
	f.Fuzz(func(t *testing.T, args, value string) {
		newExample().Parse(strings.Split(args, "\n"))
		e := newExample()
		if err := e.Parse([]string{"--name=" + value, "--", value}); err != nil || e.name != value || !slices.Equal(e.files, []string{value}) {
			t.Errorf("%q arrives as %q and %q, %v", value, e.name, e.files, err)
		}
	})
}
