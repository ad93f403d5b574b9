package doctest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Command is one simple command of a shell script: its words without quotes,
// redirections and assignments.
type Command struct {
	Line  int // from 1
	Words []string
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// keywords may stand before a command.
var keywords = []string{"if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "exec", "sudo"}

// Commands takes a script apart as far as checking commands needs it:
// quotes, comments, lists, pipes, redirections and here-documents. Words keep
// their $expansions as they are written.
func Commands(script string) ([]Command, error) {
	s := &scanner{text: script, line: 1}
	for s.pos < len(s.text) {
		if err := s.step(); err != nil {
			return nil, fmt.Errorf("line %d of the script: %w", s.line, err)
		}
	}
	s.endCommand()
	return s.out, nil
}

type scanner struct {
	text    string
	pos     int
	line    int
	word    strings.Builder
	inWord  bool
	words   []string
	begun   int    // line of the first word
	target  string // the operator whose target the next word is
	heredoc []string
	out     []Command
}

func (s *scanner) put(text string) {
	if !s.inWord && len(s.words) == 0 {
		s.begun = s.line
	}
	s.inWord = true
	s.word.WriteString(text)
}

func (s *scanner) endWord() {
	if !s.inWord {
		return
	}
	w := s.word.String()
	s.word.Reset()
	s.inWord = false
	switch s.target {
	case "<<", "<<-":
		s.heredoc = append(s.heredoc, w)
	case "":
		s.words = append(s.words, w)
	}
	s.target = ""
}

func (s *scanner) endCommand() {
	s.endWord()
	w := s.words
	s.words = nil
	for len(w) > 0 && (assignment.MatchString(w[0]) || slices.Contains(keywords, w[0])) {
		w = w[1:]
	}
	if len(w) > 0 && w[0] != "for" && w[0] != "case" {
		s.out = append(s.out, Command{Line: s.begun, Words: w})
	}
}

func (s *scanner) step() error {
	rest := s.text[s.pos:]
	c := rest[0]
	take := func(n int) string {
		t := rest[:n]
		s.pos += n
		return t
	}
	switch c {
	case '\\':
		if len(rest) > 1 && rest[1] == '\n' {
			s.line++
		} else if len(rest) > 1 {
			s.put(rest[1:2])
		}
		s.pos += min(2, len(rest))
	case '\'':
		end := strings.IndexByte(rest[1:], '\'')
		if end < 0 {
			return fmt.Errorf("a quote does not end")
		}
		s.put(rest[1 : 1+end])
		s.line += strings.Count(take(end+2), "\n")
	case '"':
		return s.quoted(rest)
	case '$':
		if strings.HasPrefix(rest, "$(") {
			n := balanced(rest[1:])
			if n < 0 {
				return fmt.Errorf("$( does not end")
			}
			s.put(rest[:n+1])
			s.line += strings.Count(take(n+1), "\n")
			return nil
		}
		s.put(take(1))
	case ' ', '\t':
		s.endWord()
		s.pos++
	case '#':
		if s.inWord {
			s.put(take(1))
			return nil
		}
		if end := strings.IndexByte(rest, '\n'); end >= 0 {
			s.pos += end
		} else {
			s.pos = len(s.text)
		}
	case '\n':
		s.endCommand()
		s.pos++
		s.line++
		s.skipHeredocs()
	case ';', '&', '|', '(', ')':
		s.endCommand()
		s.pos++
	case '<', '>':
		if strings.Trim(s.word.String(), "0123456789") == "" { // 2>file
			s.word.Reset()
			s.inWord = false
		}
		s.endWord()
		op := take(1)
		for s.pos < len(s.text) && strings.ContainsRune("<>&-|", rune(s.text[s.pos])) {
			op += s.text[s.pos : s.pos+1]
			s.pos++
		}
		s.target = op
	default:
		s.put(take(1))
	}
	return nil
}

func (s *scanner) quoted(rest string) error {
	s.put("")
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			s.line += strings.Count(rest[:i], "\n")
			s.pos += i + 1
			return nil
		case '\\':
			if i++; i < len(rest) {
				if !strings.ContainsRune("\"\\$`\n", rune(rest[i])) {
					s.word.WriteByte('\\')
				}
				s.word.WriteByte(rest[i])
			}
		default:
			s.word.WriteByte(rest[i])
		}
	}
	return fmt.Errorf("a quote does not end")
}

// balanced gives the length of a parenthesised text at the start of s.
func balanced(s string) int {
	depth := 0
	for i, r := range s {
		switch r {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

func (s *scanner) skipHeredocs() {
	for _, end := range s.heredoc {
		for s.pos < len(s.text) {
			l, _, found := strings.Cut(s.text[s.pos:], "\n")
			s.pos += len(l)
			if found {
				s.pos++
			}
			s.line++
			if strings.TrimLeft(l, "\t") == end {
				break
			}
		}
	}
	s.heredoc = nil
}
