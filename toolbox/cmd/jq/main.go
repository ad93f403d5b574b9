// Command jq is gojq. Its own options are passed on untouched; --filter and
// --file name what jq takes by place, so that a caller with nothing but
// --key=value can say everything, and --help has the toolbox's form.
package main

import (
	"os"
	"slices"
	"strings"

	"github.com/itchyny/gojq/cli"

	"boxfleet/toolbox/internal/command"
)

func main() {
	args := os.Args[1:]
	if asksForHelp(args) {
		os.Stdout.WriteString(describe().Help())
		return
	}
	os.Args = append(os.Args[:1], place(args)...)
	os.Exit(cli.Run())
}

// describe lists the options a caller is likely to need; gojq's manual has the
// rest, and they all work.
func describe() *command.Command {
	var s string
	var b bool
	var list []string
	filter := command.String(&s, "filter", "The jq program, such as '.items[].name'; without it '.', or the first argument")
	file := command.Strings(&list, "file", "A file to read; without one standard input is read")
	return &command.Command{
		Name: "jq", Version: "0.12.17", Permission: "read_only",
		Description: "Query and transform JSON with a jq program (gojq). Any other option of gojq works too.",
		Keywords:    []string{"json", "yaml", "query", "filter", "transform", "jq"},
		Positional:  []*command.Option{filter, file},
		Options: []*command.Option{
			filter, file,
			command.Bool(&b, "raw-output", "Print strings without quotes").Short('r'),
			command.Bool(&b, "join-output", "Like --raw-output, and no newline after each value").Short('j'),
			command.Bool(&b, "compact-output", "Print each value on one line").Short('c'),
			command.Bool(&b, "null-input", "Use null as the input; the program reads with input and inputs").Short('n'),
			command.Bool(&b, "raw-input", "Read each line as a string").Short('R'),
			command.Bool(&b, "slurp", "Read all inputs into one array").Short('s'),
			command.Bool(&b, "stream", "Read the input as a stream of [path, value]"),
			command.Bool(&b, "exit-status", "Exit with 1 when the last value is false or null").Short('e'),
			command.Bool(&b, "yaml-input", "Read YAML"),
			command.Bool(&b, "yaml-output", "Print YAML"),
		},
	}
}

func asksForHelp(args []string) bool {
	for _, arg := range args {
		if arg == "--" {
			return false
		}
		if arg == "--help" || arg == "-h" {
			return true
		}
	}
	return false
}

// place turns --filter=F and --file=X into gojq's arguments by place: the filter
// before every other one, the files after.
func place(args []string) []string {
	var filter, files, rest []string
	named := args
	if i := slices.Index(args, "--"); i >= 0 {
		named = args[:i]
	}
	for _, arg := range named {
		if value, ok := strings.CutPrefix(arg, "--filter="); ok {
			filter = []string{undash(value, " ")}
		} else if value, ok := strings.CutPrefix(arg, "--file="); ok {
			files = append(files, undash(value, "./"))
		} else {
			rest = append(rest, arg)
		}
	}
	if filter == nil && files != nil && len(named) == len(args) && !hasProgram(rest) {
		filter = []string{"."} // else the first file would be the program
	}
	return slices.Concat(filter, rest, args[len(named):], files)
}

// undash keeps a value that starts with a dash from being read as an option:
// jq ignores space before a program, and ./-x is the file -x.
func undash(value, prefix string) string {
	if strings.HasPrefix(value, "-") {
		return prefix + value
	}
	return value
}

// hasProgram reports whether one of the arguments is there by place. It is asked
// only when files are named, where options that take a value of their own in a
// second argument (--arg NAME VALUE) count as a program given by place.
func hasProgram(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool { return !strings.HasPrefix(arg, "-") })
}
