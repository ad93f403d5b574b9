// Command jsonnet evaluates Jsonnet (go-jsonnet).
package main

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/google/go-jsonnet"

	"boxfleet/toolbox/internal/command"
)

func main() {
	os.Exit(run(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

type options struct {
	file, exec       string
	extStr, extCode  []string
	tlaStr, tlaCode  []string
	libraries        []string
	asString, stream bool
}

func describe(o *options) (cmd *command.Command, exec *command.Option) {
	file := command.String(&o.file, "file", "The program's file; with neither this nor --exec it is read from standard input")
	exec = command.String(&o.exec, "exec", "The program itself").Short('e')
	return &command.Command{
		Name: "jsonnet", Version: "0.22.0", Permission: "read_only",
		Description: "Evaluate a Jsonnet program and print the JSON it stands for.",
		Keywords:    []string{"jsonnet", "json", "yaml", "template", "configuration"},
		Positional:  []*command.Option{file},
		Options: []*command.Option{
			file, exec,
			command.Strings(&o.extStr, "ext-str", "NAME=TEXT for std.extVar").Short('V'),
			command.Strings(&o.extCode, "ext-code", "NAME=PROGRAM for std.extVar"),
			command.Strings(&o.tlaStr, "tla-str", "NAME=TEXT, an argument when the program is a function").Short('A'),
			command.Strings(&o.tlaCode, "tla-code", "NAME=PROGRAM, an argument when the program is a function"),
			command.Strings(&o.libraries, "jpath", "A directory to look for imports in; the last one first").Short('J'),
			command.Bool(&o.asString, "string", "The result is a string: print it as it is").Short('S'),
			command.Bool(&o.stream, "yaml-stream", "The result is an array: print it as a stream of YAML documents").Short('y'),
		},
	}, exec
}

func run(args []string, s command.Streams) int {
	var o options
	cmd, exec := describe(&o)
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	vm := jsonnet.MakeVM()
	vm.StringOutput = o.asString
	vm.Importer(&jsonnet.FileImporter{JPaths: o.libraries})
	if err := o.setVariables(vm); err != nil {
		cmd.Fail(s, err)
		return command.ExitUsage
	}
	out, err := o.evaluate(vm, exec.Given(), s)
	if err != nil {
		return cmd.Fail(s, err)
	}
	if _, err := io.WriteString(s.Out, out); err != nil {
		return cmd.Fail(s, err)
	}
	return command.ExitOK
}

func (o *options) setVariables(vm *jsonnet.VM) error {
	groups := []struct {
		option string
		values []string
		set    func(name, value string)
	}{
		{"ext-str", o.extStr, vm.ExtVar},
		{"ext-code", o.extCode, vm.ExtCode},
		{"tla-str", o.tlaStr, vm.TLAVar},
		{"tla-code", o.tlaCode, vm.TLACode},
	}
	for _, group := range groups {
		for _, pair := range group.values {
			name, value, ok := strings.Cut(pair, "=")
			if !ok || name == "" {
				return errors.New("--" + group.option + " is \"" + pair + "\": want NAME=VALUE")
			}
			group.set(name, value)
		}
	}
	return nil
}

// evaluate runs a file by its path, so that its imports are relative to it, and
// any other program as if it were in the working directory.
func (o *options) evaluate(vm *jsonnet.VM, given bool, s command.Streams) (string, error) {
	name, text := "exec", o.exec
	fromFile := !given && o.file != "" && o.file != "-"
	if !given && !fromFile {
		data, err := io.ReadAll(s.In)
		if err != nil {
			return "", err
		}
		name, text = "stdin", string(data)
	}
	switch {
	case o.stream && fromFile:
		documents, err := vm.EvaluateFileStream(o.file)
		return yamlStream(documents), err
	case o.stream:
		documents, err := vm.EvaluateAnonymousSnippetStream(name, text)
		return yamlStream(documents), err
	case fromFile:
		return vm.EvaluateFile(o.file)
	}
	return vm.EvaluateAnonymousSnippet(name, text)
}

func yamlStream(documents []string) string {
	var out strings.Builder
	for _, document := range documents {
		out.WriteString("---\n" + document)
	}
	if len(documents) > 0 {
		out.WriteString("...\n")
	}
	return out.String()
}
