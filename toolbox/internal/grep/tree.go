package grep

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"
)

// path searches one path that the command line names: a file, a directory with
// all below it, or "-" for standard input.
func (g *search) path(name string) {
	if name == "-" {
		g.stream(g.streams.In, "(standard input)")
		return
	}
	info, err := os.Stat(g.streams.Path(name))
	switch {
	case err != nil:
		g.complain(err)
	case info.IsDir():
		show := g.showName
		g.showName = !g.noName
		g.tree(name)
		g.showName = show
	default:
		g.file(name)
	}
}

// tree searches the directory and all below it, in the order of names. Symbolic
// links are not followed, so that a tree has an end.
func (g *search) tree(dir string) {
	at := dir
	if at == "" {
		at = "."
	}
	entries, err := os.ReadDir(g.streams.Path(at))
	if err != nil {
		g.complain(err)
	}
	for _, entry := range entries {
		if g.done() {
			return
		}
		name := path.Join(dir, entry.Name())
		if dir == "." || len(dir) > 2 && dir[:2] == "./" {
			name = "./" + name // Join drops what the caller wrote
		}
		switch {
		case entry.IsDir():
			if !matchesAny(g.exclude, entry.Name()) {
				g.tree(name)
			}
		case entry.Type()&fs.ModeType == 0:
			if len(g.include) == 0 || matchesAny(g.include, entry.Name()) {
				g.file(name)
			}
		}
	}
}

func (g *search) file(name string) {
	f, err := openFile(g.streams.Path(name))
	if err != nil {
		g.complain(err)
		return
	}
	g.stream(f, name)
	f.close()
}

func matchesAny(globs []string, name string) bool {
	for _, glob := range globs {
		if ok, err := path.Match(glob, name); ok && err == nil {
			return true
		}
	}
	return false
}

func checkGlob(glob string) error {
	if _, err := path.Match(glob, ""); err != nil {
		return errors.New("the glob " + strconv.Quote(glob) + " is malformed: an open [ or a trailing backslash")
	}
	return nil
}
