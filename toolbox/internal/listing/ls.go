package listing

import (
	"bufio"
	"cmp"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"boxfleet/toolbox/internal/command"
)

// listing is one run of ls.
type listing struct {
	paths                          []string
	all, long, recursive, classify bool
	sortBy                         string
	reverse                        bool

	cmd     *command.Command
	streams command.Streams
	out     *bufio.Writer
	failed  bool
}

// Ls prints what is in directories.
func Ls(args []string, s command.Streams) int {
	l := &listing{streams: s, out: bufio.NewWriterSize(s.Out, 64<<10), sortBy: "name"}
	paths := command.Strings(&l.paths, "path", "A directory, or a file; without one the current directory")
	l.cmd = &command.Command{
		Name: "ls", Version: "1.0.0", Permission: "read_only",
		Description: "Print what is in directories, one name a line.",
		Keywords:    []string{"ls", "list", "directory", "files"},
		Positional:  []*command.Option{paths},
		Options: []*command.Option{
			paths,
			command.Bool(&l.all, "all", "Print names that start with a dot too").Short('a'),
			command.Bool(&l.long, "long", "Print mode, size in bytes and UTC time of change before each name").Short('l'),
			command.Bool(&l.recursive, "recursive", "Go into directories").Short('R'),
			command.Bool(&l.classify, "classify", "Mark directories with / and symbolic links with @").Short('F'),
			command.String(&l.sortBy, "sort", "The order; size and time have the largest and newest first").OneOf("name", "size", "time"),
			command.Bool(&l.reverse, "reverse", "The other way round").Short('r'),
		},
	}
	if code, goOn := l.cmd.Start(args, s); !goOn {
		return code
	}
	if len(l.paths) == 0 {
		l.paths = []string{"."}
	}
	for i, name := range l.paths {
		l.path(name, i)
	}
	if err := l.out.Flush(); err != nil {
		return l.cmd.Fail(s, err)
	}
	if l.failed {
		return command.ExitError
	}
	return command.ExitOK
}

func (l *listing) complain(err error) {
	l.failed = true
	l.cmd.Fail(l.streams, err)
}

// path prints one path of the command line. When there are several, or when
// directories are gone into, each directory has its name above it.
func (l *listing) path(name string, index int) {
	info, err := os.Stat(l.streams.Path(name))
	switch {
	case err != nil:
		l.complain(err)
	case info.IsDir():
		l.dir(name, index > 0, len(l.paths) > 1 || l.recursive)
	default:
		l.entry(named{name, info})
	}
}

// named is a file and what it is called in the listing.
type named struct {
	name string
	info fs.FileInfo
}

func (l *listing) dir(name string, apart, heading bool) {
	if apart {
		l.out.WriteByte('\n')
	}
	if heading {
		l.out.WriteString(name + ":\n")
	}
	entries, err := os.ReadDir(l.streams.Path(name))
	if err != nil {
		l.complain(err)
	}
	var shown []named
	for _, entry := range entries {
		if !l.all && strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			l.complain(err)
			continue
		}
		shown = append(shown, named{entry.Name(), info})
	}
	slices.SortStableFunc(shown, l.compare)
	for _, f := range shown {
		l.entry(f)
	}
	if !l.recursive {
		return
	}
	for _, f := range shown {
		if f.info.IsDir() {
			l.dir(path.Join(name, f.name), true, true)
		}
	}
}

func (l *listing) compare(a, b named) int {
	order := 0
	switch l.sortBy {
	case "size":
		order = cmp.Compare(b.info.Size(), a.info.Size())
	case "time":
		order = b.info.ModTime().Compare(a.info.ModTime())
	}
	order = cmp.Or(order, strings.Compare(a.name, b.name))
	if l.reverse {
		return -order
	}
	return order
}

func (l *listing) entry(f named) {
	if l.long {
		size := strconv.FormatInt(f.info.Size(), 10)
		l.out.WriteString(f.info.Mode().String() + " " +
			strings.Repeat(" ", max(0, 10-len(size))) + size + " " +
			f.info.ModTime().UTC().Format("2006-01-02 15:04:05") + " ")
	}
	l.out.WriteString(f.name)
	if l.classify {
		switch {
		case f.info.IsDir():
			l.out.WriteByte('/')
		case f.info.Mode()&fs.ModeSymlink != 0:
			l.out.WriteByte('@')
		}
	}
	l.out.WriteByte('\n')
}
