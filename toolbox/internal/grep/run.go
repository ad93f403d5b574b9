package grep

import (
	"bufio"
	"errors"
	"strconv"

	"boxfleet/toolbox/internal/command"
)

// Exit codes.
const (
	exitFound = 0
	exitNone  = 1
	exitError = 2
)

// options are what the command line asks for.
type options struct {
	pattern    string
	paths      []string
	recursive  bool
	include    []string
	exclude    []string
	fixed      bool
	ignoreCase bool
	word       bool
	invert     bool
	numbers    bool
	files      bool // names only
	count      bool
	only       bool // the matching parts only
	quiet      bool
	text       bool // binary files too
	maxCount   int
	withName   bool
	noName     bool
	extended   bool // what RE2 always is; taken for habit's sake
}

func describe(o *options) *command.Command {
	pattern := command.String(&o.pattern, "pattern", "The RE2 regular expression to look for").Short('e').Required()
	path := command.Strings(&o.paths, "path", "A file, or a directory to search with all below it; without one standard input is read, or with --recursive the current directory")
	return &command.Command{
		Name: "grep", Version: "1.0.0", Permission: "read_only",
		Description: "Print the lines of files that match a regular expression. Binary files are left out.",
		Keywords:    []string{"search", "grep", "regex", "text", "find"},
		Positional:  []*command.Option{pattern, path},
		Options: []*command.Option{
			pattern, path,
			command.Bool(&o.recursive, "recursive", "Search directories and all below them").Short('r'),
			command.Strings(&o.include, "include", "Search only files whose name matches this glob, such as '*.go'"),
			command.Strings(&o.exclude, "exclude-dir", "Leave out directories whose name matches this glob"),
			command.Bool(&o.fixed, "fixed-strings", "The pattern is text, not an expression").Short('F'),
			command.Bool(&o.ignoreCase, "ignore-case", "Upper and lower case match each other").Short('i'),
			command.Bool(&o.word, "word-regexp", "Match whole words only").Short('w'),
			command.Bool(&o.invert, "invert-match", "Select the lines that do not match").Short('v'),
			command.Bool(&o.numbers, "line-number", "Print line numbers, from 1").Short('n'),
			command.Bool(&o.files, "files-with-matches", "Print only the names of files with a selected line").Short('l'),
			command.Bool(&o.count, "count", "Print only how many lines were selected, per file").Short('c'),
			command.Bool(&o.only, "only-matching", "Print only the parts that match, one a line").Short('o'),
			command.Bool(&o.quiet, "quiet", "Print nothing; the exit code tells").Short('q'),
			command.Bool(&o.text, "text", "Search binary files too").Short('a'),
			command.Number(&o.maxCount, "max-count", "Stop a file after this many selected lines; 0 is no limit").Short('m'),
			command.Bool(&o.withName, "with-filename", "Print the file's name before each line").Short('H'),
			command.Bool(&o.noName, "no-filename", "Never print file names").Short('h'),
			command.Bool(&o.extended, "extended-regexp", "Changes nothing: expressions are always RE2").Short('E'),
		},
	}
}

// Run is the tool. args leave out the program's name.
func Run(args []string, s command.Streams) int {
	var o options
	cmd := describe(&o)
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	m, err := newMatcher(o.pattern, o.fixed, o.ignoreCase, o.word)
	if err != nil {
		cmd.Fail(s, errors.New("--pattern "+strconv.Quote(o.pattern)+" is not an RE2 expression: "+err.Error()))
		return exitError
	}
	for _, glob := range append(o.include[:len(o.include):len(o.include)], o.exclude...) {
		if err := checkGlob(glob); err != nil {
			cmd.Fail(s, err)
			return exitError
		}
	}
	g := &search{options: o, streams: s, matcher: m, out: bufio.NewWriterSize(s.Out, 64<<10)}
	g.complain = func(err error) { g.failed = true; cmd.Fail(s, err) }
	g.all()
	if err := g.out.Flush(); err != nil {
		g.complain(err)
	}
	switch {
	case g.found && g.quiet:
		return exitFound
	case g.failed:
		return exitError
	case g.found:
		return exitFound
	}
	return exitNone
}

// all searches what the command line names, in order.
func (g *search) all() {
	switch {
	case len(g.paths) == 0 && g.recursive:
		g.showName = !g.noName
		g.tree("")
	case len(g.paths) == 0:
		g.showName = g.withName && !g.noName
		g.stream(g.streams.In, "(standard input)")
	default:
		g.showName = !g.noName && (g.withName || g.recursive || len(g.paths) > 1)
		for _, path := range g.paths {
			if g.done() {
				return
			}
			g.path(path)
		}
	}
}
