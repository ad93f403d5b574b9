package artifacts

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSegment is the longest file name of Linux's file systems (NAME_MAX).
const maxSegment = 255

// RelPath maps the key of an object under a prefix to the relative path of a
// file. It refuses, with ErrInvalidName, whatever could leave the directory,
// collide with another name or confuse who reads it: "." and "..", an empty
// segment (so also an absolute path), control characters and NUL, invalid
// UTF-8, a segment over 255 bytes or a path over 1,024.
//
// The prefix is empty or ends in a slash. Keys that end in a slash are what
// consoles put in place of directories; the caller decides about those before.
func RelPath(prefix, key string) (string, error) {
	rel, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return "", fmt.Errorf("object key %.200q: %w: not under the prefix %q", key, ErrInvalidName, prefix)
	}
	if err := CheckPath(rel); err != nil {
		return "", fmt.Errorf("object key %.200q: %w", key, err)
	}
	return rel, nil
}

// CheckPath applies the rules of [RelPath] to a relative path.
func CheckPath(rel string) error {
	switch {
	case rel == "":
		return fmt.Errorf("path: %w: it is empty", ErrInvalidName)
	case len(rel) > maxKey:
		return fmt.Errorf("path %.64q...: %w: %d bytes, at most %d are allowed", rel, ErrInvalidName, len(rel), maxKey)
	case !utf8.ValidString(rel):
		return fmt.Errorf("path %q: %w: not UTF-8", rel, ErrInvalidName)
	}
	for _, r := range rel {
		if unicode.IsControl(r) {
			return fmt.Errorf("path %q: %w: control character %U", rel, ErrInvalidName, r)
		}
	}
	for seg := range strings.SplitSeq(rel, "/") {
		switch {
		case seg == "":
			return fmt.Errorf("path %q: %w: empty segment", rel, ErrInvalidName)
		case seg == "." || seg == "..":
			return fmt.Errorf("path %q: %w: segment %q", rel, ErrInvalidName, seg)
		case len(seg) > maxSegment:
			return fmt.Errorf("path %.200q: %w: a segment of %d bytes, at most %d are allowed", rel, ErrInvalidName, len(seg), maxSegment)
		}
	}
	return nil
}

// pathSet collects the paths of files and refuses one that is both a file and
// the directory of another.
type pathSet struct {
	files map[string]bool
	dirs  map[string]bool   // every ancestor of a file
	fold  map[string]string // case-folded path to the first that had it
	clash []string          // paths that differ only in case
}

func newPathSet() *pathSet {
	return &pathSet{files: map[string]bool{}, dirs: map[string]bool{}, fold: map[string]string{}}
}

// addFile adds a path that CheckPath accepts.
func (s *pathSet) addFile(p string) error {
	switch {
	case s.files[p]:
		return fmt.Errorf("path %q: %w: it is there twice", p, ErrInvalidName)
	case s.dirs[p]:
		return fmt.Errorf("path %q: %w: it is a file and the directory of another", p, ErrInvalidName)
	}
	if err := s.addDir(path.Dir(p)); err != nil {
		return err
	}
	s.files[p] = true
	s.noteCase(p)
	return nil
}

// addDir adds a directory and its ancestors.
func (s *pathSet) addDir(p string) error {
	for ; p != "." && !s.dirs[p]; p = path.Dir(p) {
		if s.files[p] {
			return fmt.Errorf("path %q: %w: it is a file and the directory of another", p, ErrInvalidName)
		}
		s.dirs[p] = true
		s.noteCase(p)
	}
	return nil
}

// noteCase remembers paths that a case-insensitive reader takes for one. They
// are distinct on a worker, so they are reported, not refused.
func (s *pathSet) noteCase(p string) {
	folded := strings.ToLower(p)
	if first, ok := s.fold[folded]; ok {
		if len(s.clash) < maxNoted {
			s.clash = append(s.clash, fmt.Sprintf("%q and %q differ only in case", first, p))
		}
		return
	}
	s.fold[folded] = p
}

// maxNoted bounds lists of remarks in reports, which guests and tenants fill.
const maxNoted = 100

// depth is the number of segments of a path.
func depth(p string) int { return strings.Count(p, "/") + 1 }
