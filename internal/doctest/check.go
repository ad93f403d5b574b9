package doctest

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"boxfleet/internal/clidoc"
)

// Checker knows the programs whose commands a document may show.
type Checker struct {
	// Programs by name: commands and flags.
	Programs map[string]*clidoc.Node
	// Make are the targets and variables of the Makefile.
	Make *Makefile
	// Go judges a call of the go command: whether its packages exist, and
	// tests and benchmarks that its patterns choose.
	Go func(words []string) error
	// Toolchains is set where everything is there that a document may need.
	Toolchains bool
	// Further tests of single programs, such as one that reads the values of
	// flags which a program keeps as text.
	Further map[string]func(words []string) error
}

// ErrNotOurs says that a command is none of the programs the checker knows.
var ErrNotOurs = errors.New("not a program of boxfleet")

// Program gives the name of the program that a command calls: "submit" for
// bin/submit. ok is false if it is none the checker knows.
func (c *Checker) Program(word string) (name string, ok bool) {
	name = path.Base(word)
	if word != name && !strings.HasSuffix("./"+word, "bin/"+name) {
		return "", false
	}
	if name == "make" || name == "go" {
		return name, true
	}
	_, ok = c.Programs[name]
	return name, ok
}

// Check holds a command with real arguments to its program: the command, every
// flag and the form of its value. ErrNotOurs means that nothing was checked.
func (c *Checker) Check(words []string) error {
	name, ok := c.Program(words[0])
	if !ok {
		return fmt.Errorf("%s: %w", words[0], ErrNotOurs)
	}
	switch name {
	case "make":
		return c.Make.Check(words[1:])
	case "go":
		return c.Go(words[1:])
	}
	if err := parse(c.Programs[name], words[1:]); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(words, " "), err)
	}
	if f := c.Further[name]; f != nil {
		return f(words[1:])
	}
	return nil
}

// parse walks down the commands as cobra does.
func parse(n *clidoc.Node, words []string) error {
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "--":
			return nil
		case strings.HasPrefix(w, "--"):
			name, value, has := strings.Cut(w[2:], "=")
			f, ok := find(n, func(f clidoc.Flag) bool { return f.Name == name })
			if !ok {
				return fmt.Errorf("%s has no flag --%s", n.Name, name)
			}
			if !has && !f.Alone {
				if i++; i >= len(words) {
					return fmt.Errorf("--%s wants a value", name)
				}
				value, has = words[i], true
			}
			if has {
				if err := readable(f, value); err != nil {
					return err
				}
			}
		case strings.HasPrefix(w, "-") && w != "-":
			f, ok := find(n, func(f clidoc.Flag) bool { return f.Shorthand == w[1:2] })
			if !ok {
				return fmt.Errorf("%s has no flag %s", n.Name, w)
			}
			if !f.Alone && len(w) == 2 {
				i++
			}
		case len(n.Commands) > 0:
			sub := command(n, w)
			switch {
			case sub != nil:
				n = sub
			case !n.Runnable:
				return fmt.Errorf("%s has no command %q", n.Name, w)
			}
		}
	}
	if len(n.Commands) > 0 && !n.Runnable && len(words) > 0 && !slices.Contains(words, "--help") && !slices.Contains(words, "--version") {
		return fmt.Errorf("%s needs a command", n.Name)
	}
	return nil
}

func find(n *clidoc.Node, is func(clidoc.Flag) bool) (clidoc.Flag, bool) {
	for _, list := range [][]clidoc.Flag{n.Flags, n.Inherited} {
		if i := slices.IndexFunc(list, is); i >= 0 {
			return list[i], true
		}
	}
	return clidoc.Flag{}, false
}

func command(n *clidoc.Node, name string) *clidoc.Node {
	i := slices.IndexFunc(n.Commands, func(s *clidoc.Node) bool { return s.Name == name || slices.Contains(s.Aliases, name) })
	if i < 0 {
		return nil
	}
	return n.Commands[i]
}

// readable tells whether a value has the form of its flag's type. Values that
// the shell makes are not known here.
func readable(f clidoc.Flag, value string) error {
	if strings.Contains(value, "$") {
		return nil
	}
	var err error
	switch f.Type {
	case "bool":
		_, err = strconv.ParseBool(value)
	case "int", "int64":
		_, err = strconv.ParseInt(value, 10, 64)
	case "uint", "uint64":
		_, err = strconv.ParseUint(value, 10, 64)
	case "float", "float64":
		_, err = strconv.ParseFloat(value, 64)
	case "duration":
		_, err = time.ParseDuration(value)
	}
	if err != nil {
		return fmt.Errorf("--%s=%s: not a %s", f.Name, value, f.Type)
	}
	return nil
}

var (
	flagInText = regexp.MustCompile(`(?:^|[\s\[(|,/])(--?[a-zA-Z][a-zA-Z0-9-]*)`)
	lowerWord  = regexp.MustCompile(`^[a-z][a-z-]*$`)
	cutAtShell = regexp.MustCompile(`\s(\||\|\||&&|>|<|;|#)\s|\s--\s|;\s|\s{3,}|\s&$`)
)

// CheckSynopsis holds a command with placeholders to its program: commands and
// flags that are named exist. Text behind three blanks is a remark.
func (c *Checker) CheckSynopsis(text string) error {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	name, ok := c.Program(first)
	if !ok {
		return fmt.Errorf("%s: %w", first, ErrNotOurs)
	}
	if at := cutAtShell.FindStringIndex(rest); at != nil {
		if more := strings.TrimSpace(rest[at[0]:]); strings.HasPrefix(more, first+" ") { // two on a line
			if err := c.CheckSynopsis(more); err != nil {
				return err
			}
		}
		rest = rest[:at[0]]
	}
	switch name {
	case "make":
		return c.Make.Check(strings.Fields(strings.NewReplacer("[", "", "]", "", "...", "").Replace(rest)))
	case "go":
		words, err := Commands(text)
		if err != nil || len(words) == 0 {
			return err
		}
		return c.Go(words[0].Words[1:])
	}
	n := c.Programs[name]
	for w := range strings.FieldsFuncSeq(rest, func(r rune) bool { return strings.ContainsRune(" |[](),", r) }) {
		if strings.HasPrefix(w, "-") {
			break
		}
		if sub := command(n, w); sub != nil {
			n = sub
		} else if len(n.Commands) > 0 && !n.Runnable && lowerWord.MatchString(w) {
			return fmt.Errorf("`%s`: %s has no command %q", text, n.Name, w)
		} else {
			break
		}
	}
	for _, m := range flagInText.FindAllStringSubmatch(" "+rest, -1) {
		word := strings.TrimLeft(m[1], "-")
		if _, ok := find(n, func(f clidoc.Flag) bool {
			return f.Name == word || !strings.HasPrefix(m[1], "--") && f.Shorthand == word
		}); !ok {
			return fmt.Errorf("`%s`: %s has no flag %s", text, n.Name, m[1])
		}
	}
	return nil
}

// Makefile is what may be asked of make.
type Makefile struct {
	Targets, Variables map[string]bool
}

var (
	target   = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
	variable = regexp.MustCompile(`(?m)^([A-Z_]+)\s*[?:]?=`)
)

// ReadMakefile finds the targets and variables of a Makefile.
func ReadMakefile(text string) *Makefile {
	m := &Makefile{Targets: map[string]bool{}, Variables: map[string]bool{}}
	for _, t := range target.FindAllStringSubmatch(text, -1) {
		m.Targets[t[1]] = true
	}
	for _, v := range variable.FindAllStringSubmatch(text, -1) {
		m.Variables[v[1]] = true
	}
	return m
}

// Check holds the words behind make to the Makefile.
func (m *Makefile) Check(words []string) error {
	for i, w := range words {
		name, _, isVariable := strings.Cut(w, "=")
		switch {
		case w == "-C" || i > 0 && words[i-1] == "-C":
			return nil // another Makefile
		case strings.HasPrefix(w, "-"):
		case isVariable && !m.Variables[name]:
			return fmt.Errorf("make: the Makefile has no variable %s; it has %s", name, list(m.Variables))
		case !isVariable && !m.Targets[w]:
			return fmt.Errorf("make: the Makefile has no target %s; it has %s", w, list(m.Targets))
		}
	}
	return nil
}

func list(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), ", ")
}
