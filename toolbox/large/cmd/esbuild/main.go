// Command esbuild is esbuild's own command line, without what serves or watches.
// --entry names what esbuild takes by place, lists are repeated options, and
// --help has the toolbox's form.
package main

import (
	"os"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/cli"

	"boxfleet/toolbox/internal/command"
)

func main() {
	args := os.Args[1:]
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		os.Stdout.WriteString(describe().Help())
		return
	}
	for _, arg := range args {
		if waits(arg) {
			os.Stderr.WriteString("esbuild: " + arg + " waits for browsers or changes, which a job never sees; leave it out\n")
			os.Exit(command.ExitUsage)
		}
	}
	args = place(args)
	if slices.ContainsFunc(args, isFile) {
		if _, err := os.ReadDir("/"); err != nil {
			os.Stderr.WriteString("esbuild: it looks for settings in every directory up to /, and there is none; mount a directory at / (work_dir), even an empty one: " + err.Error() + "\n")
			os.Exit(command.ExitUsage)
		}
	}
	os.Exit(cli.Run(args))
}

// isFile reports whether an argument is given by place.
func isFile(arg string) bool { return !strings.HasPrefix(arg, "-") }

// describe lists the options a caller is likely to need; esbuild's manual has the
// rest, and they all work.
func describe() *command.Command {
	var s string
	var b bool
	var list []string
	entry := command.Strings(&list, "entry", "A file to start from, which needs a directory mounted at /; without one standard input is transformed")
	return &command.Command{
		Name: "esbuild", Version: "0.28.2", Permission: "write",
		Description: "Transform, bundle and minify JavaScript, TypeScript, JSX and CSS. Any other option of esbuild works too, but for --serve and --watch.",
		Keywords:    []string{"javascript", "typescript", "jsx", "css", "bundle", "minify", "transform"},
		Positional:  []*command.Option{entry},
		Options: []*command.Option{
			entry,
			command.Bool(&b, "bundle", "Put what is imported into the output"),
			command.Bool(&b, "minify", "Leave out what is not needed, and shorten names"),
			command.String(&s, "outfile", "The file to write; without it and --outdir the output is printed"),
			command.String(&s, "outdir", "The directory to write to, for several outputs"),
			command.Strings(&list, "loader", "What standard input is, such as ts or css; or, for files, .EXTENSION=LOADER"),
			command.String(&s, "format", "The form of modules in the output").OneOf("iife", "cjs", "esm"),
			command.String(&s, "platform", "Where the output is to run").OneOf("browser", "node", "neutral"),
			command.String(&s, "target", "What the output may use, such as es2017 or chrome58,node10"),
			command.String(&s, "global-name", "The variable that holds the exports of an iife"),
			command.String(&s, "sourcemap", "Write a source map, and how").OneOf("inline", "linked", "external", "both"),
			command.String(&s, "jsx", "What becomes of JSX").OneOf("transform", "automatic", "preserve"),
			command.Strings(&list, "define", "NAME=VALUE, put in the place of a global name"),
			command.Strings(&list, "external", "A module that is not bundled, such as react or *.png"),
		},
	}
}

// waits reports whether an option keeps esbuild from ever ending.
func waits(arg string) bool {
	name, value, _ := strings.Cut(arg, "=")
	switch name {
	case "--serve", "--servedir", "--serve-fallback":
		return true
	case "--watch":
		return value != "false"
	}
	return false
}

// listed are the options that esbuild writes with a colon: --define:A=1.
var listed = []string{"--define=", "--external=", "--loader=."}

// place turns the toolbox's options into esbuild's, and keeps esbuild from
// reporting on standard error what is no problem.
func place(args []string) []string {
	var rest []string
	quiet := true
	for _, arg := range args {
		quiet = quiet && !strings.HasPrefix(arg, "--log-level=")
		if entry, ok := strings.CutPrefix(arg, "--entry="); ok {
			if strings.HasPrefix(entry, "-") {
				entry = "./" + entry
			}
			rest = append(rest, entry)
			continue
		}
		for _, prefix := range listed {
			if strings.HasPrefix(arg, prefix) {
				arg = strings.Replace(arg, "=", ":", 1)
				break
			}
		}
		rest = append(rest, arg)
	}
	if quiet {
		rest = append(rest, "--log-level=warning")
	}
	return rest
}
