package filetool

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"

	"boxfleet/toolbox/internal/command"
)

// globbing is one run of file-glob.
type globbing struct {
	pattern, root string
	limit         int

	alternatives []globPattern
	streams      command.Streams
	found        []string
	more         bool
	failures     []string // directories that could not be read
}

// Glob answers with the paths that match a pattern.
func Glob(args []string, s command.Streams) int {
	g := &globbing{root: ".", limit: 1000}
	patternOption := command.String(&g.pattern, "pattern", "Such as '**/*.go': * and ? stay within a name, ** goes over any number of directories, [a-z] and {one,two} choose").Required()
	pathOption := command.String(&g.root, "path", "The directory the pattern is relative to")
	cmd := &command.Command{
		Name: "file-glob", Version: "1.0.0", Permission: "read_only",
		Description: "List the files whose path matches a pattern, in the order of paths. Answers with JSON: content, is_error, metadata.",
		Keywords:    []string{"file", "glob", "find", "pattern", "list"},
		Positional:  []*command.Option{patternOption, pathOption},
		Options: []*command.Option{
			patternOption, pathOption,
			command.Number(&g.limit, "limit", "How many paths at most; 0 is no limit"),
		},
	}
	return run(cmd, args, s, g.answer)
}

func (g *globbing) answer(s command.Streams) (answer, error) {
	if g.limit < 0 {
		return answer{}, errors.New("--limit is " + strconv.Itoa(g.limit) + ": want 0 or more")
	}
	alternatives, err := parseGlob(g.pattern)
	if err != nil {
		return answer{}, err
	}
	g.alternatives, g.streams = alternatives, s
	info, err := os.Stat(s.Path(g.root))
	if err != nil {
		return answer{}, err
	}
	if !info.IsDir() {
		return answer{}, errors.New("--path " + g.root + " is not a directory")
	}
	g.walk("")
	content := strings.Join(g.found, "\n")
	if len(g.found) == 0 {
		content = "no file matches " + g.pattern
	}
	metadata := object{
		{"pattern", g.pattern},
		{"path", g.root},
		{"count", len(g.found)},
		{"files", g.found},
		{"truncated", g.more},
	}
	if len(g.failures) > 0 {
		metadata = append(metadata, member{"unreadable", g.failures})
	}
	return answer{content, metadata}, nil
}

// walk visits the directory dir, which is relative to the root, and those below
// it in which something can match. Symbolic links are listed and not followed.
func (g *globbing) walk(dir string) {
	entries, err := os.ReadDir(g.streams.Path(path.Join(g.root, dir)))
	if err != nil {
		g.failures = append(g.failures, err.Error())
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if entry.IsDir() {
			if g.reachable(name) {
				g.walk(name)
			}
		} else if g.matches(name) {
			if g.limit > 0 && len(g.found) >= g.limit {
				g.more = true
			} else {
				g.found = append(g.found, path.Join(g.root, name))
			}
		}
		if g.more {
			return
		}
	}
}

func (g *globbing) matches(name string) bool {
	segments := strings.Split(name, "/")
	for _, p := range g.alternatives {
		if p.matches(segments) {
			return true
		}
	}
	return false
}

// reachable reports whether a path below dir can match.
func (g *globbing) reachable(dir string) bool {
	segments := strings.Split(dir, "/")
	for _, p := range g.alternatives {
		if p.matchesPrefix(segments) {
			return true
		}
	}
	return false
}
