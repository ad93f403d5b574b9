package doctest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Document is one Markdown file, as far as it shows commands.
type Document struct {
	Name   string
	Blocks []Block
	Spans  []Span
}

// Block is a piece of code that stands for itself.
type Block struct {
	Line  int    // of its first line of code, from 1
	Lang  string // the fence's word; "indented" for indented code
	Lines []string
	Marks []Mark
}

// Span is code within running text.
type Span struct {
	Line int
	Text string // on one line
}

// Mark is an instruction to the test: the comment before a block.
type Mark struct {
	Line int
	Kind string
	Text string // the reason, the exit code or the script
}

// The kinds of marks.
const (
	ParseOnly   = "parse-only"
	Needs       = "needs"
	Synopsis    = "synopsis"
	Exit        = "exit"
	Setup       = "setup"
	Then        = "then"
	NotCommands = "not commands"
)

var (
	markStart = regexp.MustCompile(`^\s*<!--\s*doctest:\s*(.*)$`)
	fence     = regexp.MustCompile("^\\s*(```+|~~~+)\\s*([A-Za-z0-9_+-]*)\\s*$")
	span      = regexp.MustCompile("`([^`]+)`")
)

// Mark of the given kind, if the block has one.
func (b *Block) Mark(kind string) (Mark, bool) {
	i := slices.IndexFunc(b.Marks, func(m Mark) bool { return m.Kind == kind })
	if i < 0 {
		return Mark{}, false
	}
	return b.Marks[i], true
}

// Read finds the code in a document. Errors are about marks: one that is not
// understood, or that no block follows.
func Read(name, text string) (*Document, error) {
	d := &Document{Name: name}
	lines := strings.Split(text, "\n")
	var marks []Mark
	var prose []string // of the paragraph being read
	proseLine := 0
	endProse := func() {
		d.Spans = append(d.Spans, spansOf(prose, proseLine)...)
		prose = nil
	}
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if m := markStart.FindStringSubmatch(line); m != nil {
			endProse()
			at, body := i+1, m[1]
			for !strings.Contains(body, "-->") {
				if i++; i >= len(lines) {
					return nil, fmt.Errorf("%s:%d: the comment does not end", name, at)
				}
				body += "\n" + lines[i]
			}
			mark, err := parseMark(strings.TrimSpace(body[:strings.Index(body, "-->")]))
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, at, err)
			}
			mark.Line = at
			marks = append(marks, mark)
			continue
		}
		if f := fence.FindStringSubmatch(line); f != nil {
			endProse()
			b := Block{Line: i + 2, Lang: f[2], Marks: marks}
			marks = nil
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != f[1]; i++ {
				b.Lines = append(b.Lines, lines[i])
			}
			if i == len(lines) {
				return nil, fmt.Errorf("%s:%d: the block does not end", name, b.Line-1)
			}
			d.Blocks = append(d.Blocks, b)
			continue
		}
		if code, ok := strings.CutPrefix(line, "    "); ok && len(prose) == 0 && code != "" && !inList(lines, i) {
			b := Block{Line: i + 1, Lang: "indented", Marks: marks}
			marks = nil
			for ; i < len(lines) && (strings.HasPrefix(lines[i], "    ") || strings.TrimSpace(lines[i]) == ""); i++ {
				b.Lines = append(b.Lines, strings.TrimPrefix(lines[i], "    "))
			}
			i--
			for len(b.Lines) > 0 && strings.TrimSpace(b.Lines[len(b.Lines)-1]) == "" {
				b.Lines = b.Lines[:len(b.Lines)-1]
			}
			d.Blocks = append(d.Blocks, b)
			continue
		}
		if strings.TrimSpace(line) == "" {
			endProse()
			continue
		}
		if len(marks) > 0 {
			return nil, fmt.Errorf("%s:%d: no block of code follows the comment", name, marks[0].Line)
		}
		if len(prose) == 0 {
			proseLine = i + 1
		}
		prose = append(prose, line)
	}
	endProse()
	if len(marks) > 0 {
		return nil, fmt.Errorf("%s:%d: no block of code follows the comment", name, marks[0].Line)
	}
	return d, nil
}

// inList tells whether an indented line belongs to a list item above it.
func inList(lines []string, i int) bool {
	for i--; i >= 0; i-- {
		l := lines[i]
		switch {
		case strings.TrimSpace(l) == "" || strings.HasPrefix(l, "    "):
			continue
		case strings.HasPrefix(l, "  "):
			return true
		}
		t := strings.TrimLeft(l, "0123456789")
		return strings.HasPrefix(l, "- ") || strings.HasPrefix(l, "* ") || len(t) < len(l) && strings.HasPrefix(t, ". ")
	}
	return false
}

func spansOf(lines []string, first int) []Span {
	text := strings.Join(lines, "\n")
	var out []Span
	for _, m := range span.FindAllStringSubmatchIndex(text, -1) {
		out = append(out, Span{
			Line: first + strings.Count(text[:m[0]], "\n"),
			Text: strings.ReplaceAll(strings.ReplaceAll(text[m[2]:m[3]], "\n", " "), `\|`, "|"),
		})
	}
	return out
}

func parseMark(body string) (Mark, error) {
	first, rest, _ := strings.Cut(body, "\n")
	head, reason, _ := strings.Cut(first, ":")
	head, reason = strings.TrimSpace(head), strings.TrimSpace(reason)
	switch {
	case head == ParseOnly || head == NotCommands || head == Needs:
		if reason == "" {
			return Mark{}, fmt.Errorf("%q without a reason; write <!-- doctest: %s: why -->", head, head)
		}
		return Mark{Kind: head, Text: reason}, nil
	case head == Synopsis:
		return Mark{Kind: head}, nil
	case head == Setup || head == Then:
		if strings.TrimSpace(rest) == "" {
			return Mark{}, fmt.Errorf("%q without a script on the lines below it", head)
		}
		return Mark{Kind: head, Text: rest}, nil
	case strings.HasPrefix(head, Exit+" "):
		code := strings.TrimSpace(strings.TrimPrefix(head, Exit))
		if _, err := strconv.Atoi(code); err != nil {
			return Mark{}, fmt.Errorf("exit %q is no code", code)
		}
		return Mark{Kind: Exit, Text: code}, nil
	}
	return Mark{}, fmt.Errorf("%q is not understood; write parse-only: why, needs: what, synopsis, exit N, setup, then, or not commands: why", first)
}
