package filetool

import (
	"errors"
	"path"
	"strconv"
	"strings"
)

// maxAlternatives bounds what braces multiply to.
const maxAlternatives = 256

// globPattern is one pattern without braces, by path segment.
type globPattern []string

const anyDirectories = "**"

// parseGlob expands braces and checks each segment.
func parseGlob(pattern string) ([]globPattern, error) {
	if pattern == "" || path.IsAbs(pattern) {
		return nil, errors.New("--pattern is " + strconv.Quote(pattern) + ": want a pattern relative to --path, such as '**/*.go'")
	}
	expanded, err := expandBraces(pattern)
	if err != nil {
		return nil, errors.New("--pattern " + strconv.Quote(pattern) + ": " + err.Error())
	}
	var parsed []globPattern
	for _, text := range expanded {
		var p globPattern
		for segment := range strings.SplitSeq(text, "/") {
			switch {
			case segment == "" || segment == ".":
				continue
			case segment == "..":
				return nil, errors.New("--pattern " + strconv.Quote(pattern) + " leads out of --path with ..")
			case segment == anyDirectories && len(p) > 0 && p[len(p)-1] == anyDirectories:
				continue // the same as one, and quicker
			}
			if _, err := path.Match(segment, ""); err != nil {
				return nil, errors.New("--pattern " + strconv.Quote(pattern) + " is malformed at " + strconv.Quote(segment) + ": an open [ or a trailing backslash")
			}
			p = append(p, segment)
		}
		parsed = append(parsed, p)
	}
	return parsed, nil
}

// expandBraces turns a{b,c} into ab and ac; braces may be nested.
func expandBraces(pattern string) ([]string, error) {
	done, todo := []string(nil), []string{pattern}
	for len(todo) > 0 {
		text := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		before, choices, after, err := firstBraces(text)
		if err != nil {
			return nil, err
		}
		if choices == nil {
			done = append(done, text)
		}
		for _, choice := range choices {
			todo = append(todo, before+choice+after)
		}
		if len(done)+len(todo) > maxAlternatives {
			return nil, errors.New("braces give more than " + strconv.Itoa(maxAlternatives) + " patterns")
		}
	}
	return done, nil
}

// firstBraces splits text at its first braces; choices is nil when it has none.
func firstBraces(text string) (before string, choices []string, after string, err error) {
	open := strings.IndexByte(text, '{')
	if open < 0 {
		return text, nil, "", nil
	}
	depth, start := 0, open+1
	for i := open; i < len(text); i++ {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
			if depth == 0 {
				return text[:open], append(choices, text[start:i]), text[i+1:], nil
			}
		case ',':
			if depth == 1 {
				choices = append(choices, text[start:i])
				start = i + 1
			}
		}
	}
	return "", nil, "", errors.New("a { without its }")
}

func (p globPattern) matches(segments []string) bool {
	reached := p.advance(segments)
	return reached[len(p)]
}

// matchesPrefix reports whether segments followed by at least one more can
// match.
func (p globPattern) matchesPrefix(segments []string) bool {
	reached := p.advance(segments)
	for i := range p {
		if reached[i] {
			return true
		}
	}
	return false
}

// advance tells for every i whether p[:i] matches all of segments. It takes
// len(p) steps per segment whatever the pattern is: ** does not backtrack.
func (p globPattern) advance(segments []string) []bool {
	reached := make([]bool, len(p)+1)
	reached[0] = true
	p.skipEmpty(reached)
	for _, segment := range segments {
		next := make([]bool, len(p)+1)
		for i, want := range p {
			if !reached[i] {
				continue
			}
			if want == anyDirectories {
				next[i] = true
			} else if ok, err := path.Match(want, segment); ok && err == nil {
				next[i+1] = true
			}
		}
		p.skipEmpty(next)
		reached = next
	}
	return reached
}

// skipEmpty lets ** stand for no directory at all.
func (p globPattern) skipEmpty(reached []bool) {
	for i, want := range p {
		if reached[i] && want == anyDirectories {
			reached[i+1] = true
		}
	}
}
