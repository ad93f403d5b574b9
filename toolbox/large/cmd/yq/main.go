// Command yq is Mike Farah's yq. Its own options are passed on untouched; --file
// names what yq takes by place, and --help has the toolbox's form.
package main

import (
	"os"
	"slices"
	"strings"

	yq "github.com/mikefarah/yq/v4/cmd"

	"boxfleet/toolbox/internal/command"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
		os.Stdout.WriteString(describe().Help())
		return
	}
	cmd := yq.New()
	args = place(args)
	if _, _, err := cmd.Find(args); err != nil {
		args = append([]string{"eval"}, args...) // the first is an expression and no command's name
	}
	cmd.SetArgs(args)
	if cmd.Execute() != nil { // which has said why
		os.Exit(command.ExitError)
	}
}

// describe lists the options a caller is likely to need; yq's manual has the
// rest, and they all work.
func describe() *command.Command {
	var s string
	var b bool
	var list []string
	indent := 2
	expression := command.String(&s, "expression", "The yq expression, such as '.services[].image'; without it '.', or the first argument")
	file := command.Strings(&list, "file", "A file to read; without one standard input is read")
	return &command.Command{
		Name: "yq", Version: "4.45.1", Permission: "read_only",
		Description: "Query, change and convert YAML, JSON, XML, TOML, CSV and properties with a yq expression. Any other option and command of yq works too.",
		Keywords:    []string{"yaml", "json", "xml", "toml", "csv", "query", "convert", "yq"},
		Positional:  []*command.Option{expression, file},
		Options: []*command.Option{
			expression, file,
			command.String(&s, "input-format", "What is read; auto goes by the file's name, and is YAML for standard input").Short('p').
				OneOf("auto", "yaml", "json", "props", "csv", "tsv", "xml", "base64", "uri", "toml", "lua"),
			command.String(&s, "output-format", "What is printed; auto is what was read").Short('o').
				OneOf("auto", "yaml", "json", "props", "csv", "tsv", "xml", "base64", "uri", "toml", "shell", "lua"),
			command.Bool(&b, "all", "Evaluate once over the documents of all files together, as eval-all does"),
			command.Bool(&b, "null-input", "Read nothing; the expression makes what is printed").Short('n'),
			command.Bool(&b, "unwrap-scalar", "Print strings without quotes; YAML's are always").Short('r'),
			command.Bool(&b, "pretty-print", "Print YAML in its usual style, whatever style was read").Short('P'),
			command.Bool(&b, "no-doc", "Print no --- between documents").Short('N'),
			command.Number(&indent, "indent", "Spaces a level; 0 prints JSON on one line").Short('I'),
			command.Bool(&b, "exit-status", "Exit with 1 when nothing matches, or null or false does").Short('e'),
		},
	}
}

// spelled are the options whose names have capital letters in yq.
var spelled = map[string]string{"--unwrap-scalar": "--unwrapScalar", "--pretty-print": "--prettyPrint"}

// place turns the options that are the toolbox's own into yq's arguments: files
// after all others, and - for standard input when an expression is named and no
// file. A command line that names none of them stays as it is.
func place(args []string) []string {
	var rest, files []string
	all, named, reads := false, false, true
	for i, arg := range args {
		if arg == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		value, isFile := strings.CutPrefix(arg, "--file=")
		switch {
		case isFile:
			if strings.HasPrefix(value, "-") && value != "-" {
				value = "./" + value
			}
			files = append(files, value)
		case arg == "--all":
			all = true
		case spelled[arg] != "":
			rest = append(rest, spelled[arg])
		default:
			named = named || strings.HasPrefix(arg, "--expression=")
			reads = reads && arg != "-n" && arg != "--null-input"
			rest = append(rest, arg)
		}
	}
	if len(files) == 0 && named && reads && !slices.ContainsFunc(rest, byPlace) {
		files = []string{"-"}
	}
	if all {
		rest = append([]string{"eval-all"}, rest...)
	}
	return append(rest, files...)
}

func byPlace(arg string) bool { return !strings.HasPrefix(arg, "-") || arg == "-" || arg == "--" }
