package command

import (
	"errors"
	"strconv"
	"strings"
)

// ErrHelp says that the command line asks for help; the text is [Command.Help].
var ErrHelp = errors.New("help asked for")

// usageError is a mistake in the command line. Its text names the option and
// the value.
type usageError string

func (e usageError) Error() string { return string(e) }

// Command describes a tool. Version is semantic; Permission is one of none,
// read_only, write, execute, dangerous and says what the tool must be granted to
// do its work.
type Command struct {
	Name, Version string
	Description   string
	Keywords      []string
	Permission    string
	Options       []*Option

	// Positional are the options that arguments without a name fill, in order,
	// each once; those that were given by name are passed over. A last one made
	// with Strings takes all that is left. One made with String or Number leaves
	// the next argument to the next option.
	Positional []*Option

	// OptionsEnd makes the first argument without a name end the options: those
	// that follow are for the script it names.
	OptionsEnd bool
}

// Parse reads args, which leave out the program's name, into the options'
// variables. It returns [ErrHelp] for `--help` and `-h` (unless -h is an option's
// own) and otherwise an error that says which argument is wrong.
//
// `--long=value`, `--long value`, `-s value`, `-svalue`, `-abc` for three
// switches, and `--` before arguments that start with a dash.
func (c *Command) Parse(args []string) error {
	var rest []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			rest = append(rest, args...)
			args = nil
		case strings.HasPrefix(arg, "--"):
			args, err = c.parseLong(arg[2:], args)
		case len(arg) > 1 && arg[0] == '-':
			args, err = c.parseShort(arg[1:], args)
		case c.OptionsEnd:
			rest = append(append(rest, arg), args...)
			args = nil
		default:
			rest = append(rest, arg)
		}
		if err != nil {
			return err
		}
	}
	if err := c.fillPositional(rest); err != nil {
		return err
	}
	for _, o := range c.Options {
		if o.required && !o.seen {
			return usageError("--" + o.long + " is missing")
		}
	}
	return nil
}

func (c *Command) parseLong(arg string, args []string) ([]string, error) {
	name, value, hasValue := strings.Cut(arg, "=")
	o := c.byLong(name)
	switch {
	case o == nil && name == "help":
		return nil, ErrHelp
	case o == nil:
		return nil, usageError("unknown option --" + name + c.suggest(name))
	case hasValue:
		return args, o.set(value)
	case o.kind == kindBool:
		return args, o.set("true")
	case len(args) == 0:
		return nil, usageError("--" + name + " wants a value: --" + name + "=VALUE")
	}
	return args[1:], o.set(args[0])
}

func (c *Command) parseShort(letters string, args []string) ([]string, error) {
	for letters != "" {
		o := c.byShort(letters[0])
		switch {
		case o == nil && letters[0] == 'h':
			return nil, ErrHelp
		case o == nil:
			return nil, usageError("unknown option -" + letters[:1] + "; a value that starts with a dash goes after -- or as --option=VALUE")
		case o.kind == kindBool:
			if err := o.set("true"); err != nil {
				return nil, err
			}
			letters = letters[1:]
		case len(letters) > 1:
			return args, o.set(strings.TrimPrefix(letters[1:], "="))
		case len(args) == 0:
			return nil, usageError("-" + letters + " wants a value")
		default:
			return args[1:], o.set(args[0])
		}
	}
	return args, nil
}

func (c *Command) fillPositional(rest []string) error {
	for _, o := range c.Positional {
		if o.kind == kindStrings {
			for _, arg := range rest {
				if err := o.set(arg); err != nil {
					return err
				}
			}
			return nil
		}
		if o.seen || len(rest) == 0 {
			continue
		}
		if err := o.set(rest[0]); err != nil {
			return err
		}
		rest = rest[1:]
	}
	if len(rest) > 0 {
		return usageError("unexpected argument " + strconv.Quote(rest[0]))
	}
	return nil
}

func (c *Command) byLong(name string) *Option {
	for _, o := range c.Options {
		if o.long == name {
			return o
		}
	}
	return nil
}

func (c *Command) byShort(letter byte) *Option {
	for _, o := range c.Options {
		if o.short == letter {
			return o
		}
	}
	return nil
}

// suggest names the option nearest to a misspelt one, when one is near.
func (c *Command) suggest(name string) string {
	best, bestDistance := "", 3
	for _, o := range c.Options {
		if d := distance(name, o.long); d < bestDistance {
			best, bestDistance = o.long, d
		}
	}
	if best == "" {
		return "; --help lists the options"
	}
	return "; did you mean --" + best + "?"
}

// distance is the Levenshtein distance of two short strings, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
