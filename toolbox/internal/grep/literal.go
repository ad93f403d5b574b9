package grep

import (
	"bytes"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxLiterals bounds how many searches run over a buffer in place of one run of
// the regexp engine per line.
const maxLiterals = 8

// needles returns literals of which at least one occurs in every string that re
// matches, or nil when there are none to be had. exact reports that the reverse
// holds too: a line with one of them matches.
func needles(re *syntax.Regexp) (literals []literal, exact bool) {
	set := required(re)
	if len(set) == 0 || len(set) > maxLiterals {
		return nil, false
	}
	exact = re.Op == syntax.OpLiteral
	for _, need := range set {
		text, whole := need.text, true
		if need.fold {
			text, whole = foldable(need.text)
		}
		if text == "" {
			return nil, false
		}
		exact = exact && whole && !strings.Contains(text, "\n")
		literals = append(literals, newLiteral(text, need.fold))
	}
	return literals, exact
}

// need is a literal text, in any case when fold is set.
type need struct {
	text string
	fold bool
}

// required is the set of literals of which one must occur; nil means unknown.
func required(re *syntax.Regexp) []need {
	switch re.Op {
	case syntax.OpLiteral:
		if slices.Contains(re.Rune, utf8.RuneError) {
			return nil // it matches any byte that is not UTF-8
		}
		return []need{{string(re.Rune), re.Flags&syntax.FoldCase != 0}}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min >= 1 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []need
		for _, sub := range re.Sub {
			if set := required(sub); worth(set) > worth(best) {
				best = set
			}
		}
		return best
	case syntax.OpAlternate:
		var all []need
		for _, sub := range re.Sub {
			set := required(sub)
			if set == nil {
				return nil
			}
			all = append(all, set...)
		}
		return all
	}
	return nil
}

// worth orders sets: what counts is the shortest literal, which skips least, and
// then how few there are.
func worth(set []need) int {
	if len(set) == 0 || len(set) > maxLiterals {
		return 0
	}
	shortest := len(set[0].text)
	for _, n := range set {
		shortest = min(shortest, len(n.text))
	}
	return shortest*maxLiterals + maxLiterals - len(set)
}

// foldable is the longest part of text whose letters have no case outside ASCII,
// and whether that is all of it. K and S do have one (the Kelvin sign and the
// long s), which a search by bytes would miss.
func foldable(text string) (part string, whole bool) {
	outside := func(r rune) bool { return r >= utf8.RuneSelf || strings.ContainsRune("kKsS", r) }
	for _, run := range strings.FieldsFunc(text, outside) {
		if len(run) > len(part) {
			part = run
		}
	}
	return part, part == text
}

// literal searches for one text by Horspool's rule: look at the byte under the
// text's last one and skip as far as that byte allows.
type literal struct {
	text  []byte // in lower case when fold is set
	fold  bool
	skip  [256]int // by the byte under the last one; 0 for the last one itself
	again int      // skip after a last byte that matched and the rest did not
}

func newLiteral(text string, fold bool) literal {
	if fold {
		text = strings.ToLower(text)
	}
	l := literal{text: []byte(text), fold: fold, again: len(text)}
	last := len(text) - 1
	for i := range l.skip {
		l.skip[i] = len(text)
	}
	for i := range last {
		l.setSkip(text[i], last-i)
		if text[i] == text[last] {
			l.again = last - i
		}
	}
	l.setSkip(text[last], 0)
	return l
}

func (l *literal) setSkip(c byte, n int) {
	l.skip[c] = n
	if l.fold && 'a' <= c && c <= 'z' {
		l.skip[c-'a'+'A'] = n
	}
}

// index is the first place of the text in b at or after from, or -1.
func (l *literal) index(b []byte, from int) int {
	if len(l.text) == 1 && !l.fold {
		if i := bytes.IndexByte(b[from:], l.text[0]); i >= 0 {
			return from + i
		}
		return -1
	}
	last := len(l.text) - 1
	for i := from + last; i < len(b); {
		if n := l.skip[b[i]]; n > 0 {
			i += n
			continue
		}
		if l.at(b[i-last : i]) {
			return i - last
		}
		i += l.again
	}
	return -1
}

// at reports whether b is the text without its last byte.
func (l *literal) at(b []byte) bool {
	if !l.fold {
		return string(b) == string(l.text[:len(b)])
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != l.text[i] {
			return false
		}
	}
	return true
}
