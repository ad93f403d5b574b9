package doctest

import (
	"fmt"
	"regexp"
	"strings"

	"boxfleet/internal/clidoc"
)

var (
	goFlag    = regexp.MustCompile(`(?m)^  --?([a-z][a-z0-9-]*)(?:[ =](\w+))?`)
	goSection = regexp.MustCompile(`(?s)(?:Profiles|Commands):\n(.*?)\n\n`)
	goCommand = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) `)
)

// FromUsage reads commands and flags from the help of a program that uses the
// package flag: a section "Profiles:" or "Commands:" names the commands, and
// every flag belongs to all of them.
func FromUsage(name, usage string) *clidoc.Node {
	n := &clidoc.Node{Name: name, Runnable: true}
	for _, m := range goFlag.FindAllStringSubmatch(usage, -1) {
		f := clidoc.Flag{Name: m[1], Type: m[2], Alone: m[2] == ""}
		if f.Type == "" {
			f.Type = "bool"
		}
		n.Flags = append(n.Flags, f)
	}
	help := clidoc.Flag{Name: "help", Shorthand: "h", Type: "bool", Alone: true}
	n.Flags = append(n.Flags, help)
	if s := goSection.FindStringSubmatch(usage + "\n\n"); s != nil {
		for _, m := range goCommand.FindAllStringSubmatch(s[1], -1) {
			n.Commands = append(n.Commands, &clidoc.Node{Name: m[1], Runnable: true, Inherited: n.Flags})
			n.Runnable = false
		}
	}
	for i := range n.Flags { // the package flag takes -x and --x alike
		if len(n.Flags[i].Name) == 1 {
			n.Flags[i].Shorthand = n.Flags[i].Name
		}
	}
	return n
}

// GoCommand judges calls of go that documents show. exists tells whether a
// package directory, given relative to the repository, has Go files, and
// defines whether one of its test files has a function whose name matches.
type GoCommand struct {
	Exists  func(dir string) bool
	Defines func(dir, prefix, pattern string) bool
}

// Check judges the words behind go.
func (g GoCommand) Check(words []string) error {
	if len(words) == 0 {
		return nil
	}
	switch words[0] {
	case "test", "run", "build", "vet", "generate":
	default:
		return nil
	}
	patterns := map[string]string{}
	var dirs []string
	for i := 1; i < len(words); i++ {
		name, value, has := strings.Cut(strings.TrimLeft(words[i], "-"), "=")
		switch {
		case strings.HasPrefix(words[i], "-"):
			if !has && takesValue(name) && i+1 < len(words) {
				i++
				value = words[i]
			}
			patterns[name] = value
		case strings.HasPrefix(words[i], "./") || words[i] == ".":
			dirs = append(dirs, words[i])
			if words[0] == "run" {
				i = len(words) // the rest is the program's
			}
		case words[0] == "run":
			i = len(words)
		}
	}
	return g.judge(dirs, patterns)
}

func takesValue(name string) bool {
	switch name {
	case "v", "race", "trimpath", "short", "json", "a", "x", "n":
		return false
	}
	return true
}

func (g GoCommand) judge(dirs []string, patterns map[string]string) error {
	for _, dir := range dirs {
		if !g.Exists(dir) {
			return fmt.Errorf("go: there is no package in %s", dir)
		}
		for flag, prefix := range map[string]string{"run": "Test", "bench": "Benchmark", "fuzz": "Fuzz"} {
			pattern := patterns[flag]
			if pattern == "" || pattern == "." || pattern == "^$" || pattern == "XXX" {
				continue
			}
			first, _, _ := strings.Cut(pattern, "/")
			if !g.Defines(dir, prefix, first) {
				return fmt.Errorf("go: -%s %s chooses nothing in %s", flag, pattern, dir)
			}
		}
	}
	return nil
}
