package grep

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"strings"
)

// matcher finds the lines of a buffer that match. It is for one goroutine.
type matcher struct {
	re       *regexp.Regexp
	literals []literal // one of them is in every match; empty: unknown
	exact    bool      // a line with one of them matches
	next     []int     // per literal, its next place in the buffer, or len(buffer)
}

// newMatcher compiles pattern. A pattern of several lines matches what any of
// them matches, as grep's does.
func newMatcher(pattern string, fixed, ignoreCase, word bool) (*matcher, error) {
	parts := strings.Split(pattern, "\n")
	for i, part := range parts {
		if fixed {
			part = regexp.QuoteMeta(part)
		} else if _, err := syntax.Parse(part, syntax.Perl); err != nil {
			return nil, err
		}
		parts[i] = "(?:" + part + ")"
	}
	pattern = strings.Join(parts, "|")
	if word {
		pattern = `\b(?:` + pattern + `)\b`
	}
	if ignoreCase {
		pattern = "(?i)" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	m := &matcher{re: re}
	m.literals, m.exact = needles(tree)
	m.next = make([]int, len(m.literals))
	return m, nil
}

// reset prepares for a new buffer.
func (m *matcher) reset() {
	for i := range m.next {
		m.next[i] = -1
	}
}

// line is the first matching line of b, which starts at or after from, where a
// line starts. It returns where the line starts and where it ends, without its
// newline; start is -1 when there is none. Between two calls of reset b must be
// the same and from must not go back.
func (m *matcher) line(b []byte, from int) (start, end int) {
	for from < len(b) {
		at := m.candidate(b, from)
		if at < 0 {
			return -1, -1
		}
		start = from + bytes.LastIndexByte(b[from:at], '\n') + 1
		end = len(b)
		if i := bytes.IndexByte(b[at:], '\n'); i >= 0 {
			end = at + i
		}
		if m.exact || m.re.Match(b[start:end]) {
			return start, end
		}
		from = end + 1
	}
	return -1, -1
}

// candidate is a place at or after from in the next line that may match, or -1.
func (m *matcher) candidate(b []byte, from int) int {
	if len(m.literals) == 0 {
		return from
	}
	nearest := len(b)
	for i := range m.literals {
		if m.next[i] < from {
			at := m.literals[i].index(b, from)
			if at < 0 {
				at = len(b)
			}
			m.next[i] = at
		}
		nearest = min(nearest, m.next[i])
	}
	if nearest == len(b) {
		return -1
	}
	return nearest
}
