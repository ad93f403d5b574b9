package listing

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"boxfleet/toolbox/internal/command"
)

// finding is one run of find.
type finding struct {
	paths              []string
	name, iname        string
	kind               string
	minDepth, maxDepth int
	minSize, maxSize   int
	zero               bool

	cmd     *command.Command
	streams command.Streams
	out     *bufio.Writer
	failed  bool
}

func (f *finding) describe() *command.Command {
	f.kind, f.maxDepth, f.maxSize = "any", -1, -1
	paths := command.Strings(&f.paths, "path", "Where to look, with all below it; without one the current directory")
	return &command.Command{
		Name: "find", Version: "1.0.0", Permission: "read_only",
		Description: "Print the paths below directories for which every option given holds.",
		Keywords:    []string{"find", "search", "files", "directory", "tree"},
		Positional:  []*command.Option{paths},
		Options: []*command.Option{
			paths,
			command.String(&f.name, "name", "The last part of the path matches this glob, such as '*.go'"),
			command.String(&f.iname, "iname", "Like --name, with upper and lower case matching each other"),
			command.String(&f.kind, "type", "What it is: f a file, d a directory, l a symbolic link").OneOf("any", "f", "d", "l"),
			command.Number(&f.minDepth, "min-depth", "At least so many levels below the path it was found from"),
			command.Number(&f.maxDepth, "max-depth", "At most so many levels below; -1 is no limit"),
			command.Number(&f.minSize, "min-size", "A file of at least so many bytes; 0 is no limit"),
			command.Number(&f.maxSize, "max-size", "A file of at most so many bytes; -1 is no limit"),
			command.Bool(&f.zero, "print0", "End each path with a NUL byte in place of a newline"),
		},
	}
}

// Find prints the paths below directories that meet conditions.
func Find(args []string, s command.Streams) int {
	f := &finding{streams: s, out: bufio.NewWriterSize(s.Out, 64<<10)}
	f.cmd = f.describe()
	if code, goOn := f.cmd.Start(classic(args), s); !goOn {
		return code
	}
	f.iname = strings.ToLower(f.iname)
	for _, glob := range []string{f.name, f.iname} {
		if _, err := path.Match(glob, ""); err != nil {
			f.cmd.Fail(s, errors.New("the glob "+strconv.Quote(glob)+" is malformed: an open [ or a trailing backslash"))
			return command.ExitUsage
		}
	}
	if len(f.paths) == 0 {
		f.paths = []string{"."}
	}
	for _, name := range f.paths {
		info, err := os.Stat(s.Path(name))
		if err != nil {
			f.complain(err)
			continue
		}
		f.visit(name, fs.FileInfoToDirEntry(info), 0)
	}
	if err := f.out.Flush(); err != nil {
		return f.cmd.Fail(s, err)
	}
	if f.failed {
		return command.ExitError
	}
	return command.ExitOK
}

// classic lets the options be written as find(1) has them, with one dash.
func classic(args []string) []string {
	known := map[string]string{
		"-name": "--name", "-iname": "--iname", "-type": "--type", "-print0": "--print0",
		"-mindepth": "--min-depth", "-maxdepth": "--max-depth",
	}
	args = slices.Clone(args)
	for i, arg := range args {
		if long, ok := known[arg]; ok {
			args[i] = long
		}
	}
	return slices.DeleteFunc(args, func(arg string) bool { return arg == "-print" })
}

func (f *finding) complain(err error) {
	f.failed = true
	f.cmd.Fail(f.streams, err)
}

func (f *finding) visit(name string, entry fs.DirEntry, depth int) {
	if depth >= f.minDepth && f.meets(name, entry) {
		f.out.WriteString(name)
		if f.zero {
			f.out.WriteByte(0)
		} else {
			f.out.WriteByte('\n')
		}
	}
	if !entry.IsDir() || f.maxDepth >= 0 && depth >= f.maxDepth {
		return
	}
	entries, err := os.ReadDir(f.streams.Path(name))
	if err != nil {
		f.complain(err)
	}
	prefix := strings.TrimSuffix(name, "/") + "/"
	for _, below := range entries {
		f.visit(prefix+below.Name(), below, depth+1)
	}
}

// meets reports whether all conditions hold. The size is asked for last: it
// takes a look at the file itself.
func (f *finding) meets(name string, entry fs.DirEntry) bool {
	base := path.Base(name)
	if f.name != "" && !matches(f.name, base) || f.iname != "" && !matches(f.iname, strings.ToLower(base)) {
		return false
	}
	kind := entry.Type()
	switch f.kind {
	case "f":
		if !kind.IsRegular() {
			return false
		}
	case "d":
		if !kind.IsDir() {
			return false
		}
	case "l":
		if kind&fs.ModeSymlink == 0 {
			return false
		}
	}
	if f.minSize == 0 && f.maxSize < 0 {
		return true
	}
	if !kind.IsRegular() {
		return false
	}
	info, err := entry.Info()
	if err != nil {
		f.complain(err)
		return false
	}
	size := info.Size()
	return size >= int64(f.minSize) && (f.maxSize < 0 || size <= int64(f.maxSize))
}

func matches(glob, name string) bool {
	ok, err := path.Match(glob, name)
	return ok && err == nil
}
