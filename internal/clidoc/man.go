package clidoc

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Notes are what the pages of one program say beyond its commands and flags.
type Notes struct {
	// Sections of the program's first page, in this order.
	Sections []Section
	// Env gives the environment variable that stands for a flag, or "".
	Env func(flag string) string
	// SeeAlso are further pages, such as "worker(1)".
	SeeAlso []string
}

// Section is a heading and its paragraphs.
type Section struct {
	Title string
	Lines []string // a line that has a tab is a term and its description
}

// Page is one manual page.
type Page struct {
	File string // such as submit-run.1
	Text string // roff, macro package man
}

// Pages makes the manual: one page of the program, one of each command below
// it. They hold no date and no version, so that the same program gives the
// same bytes.
func Pages(root *cobra.Command, notes Notes) []Page {
	return pages(nil, Describe(root), notes)
}

func pages(above []string, n *Node, notes Notes) []Page {
	if n.Hidden {
		return nil
	}
	path := append(above[:len(above):len(above)], n.Name)
	out := []Page{{File: strings.Join(path, "-") + ".1", Text: page(path, n, notes)}}
	for _, sub := range n.Commands {
		out = append(out, pages(path, sub, notes)...)
	}
	return out
}

func page(path []string, n *Node, notes Notes) string {
	var b strings.Builder
	name := strings.Join(path, "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" boxfleet \"Boxfleet manual\"\n", quoted(strings.ToUpper(name)))
	b.WriteString(".SH NAME\n" + roff(name) + " \\- " + roff(lowerFirst(n.Short)) + "\n")
	b.WriteString(".SH SYNOPSIS\n")
	if len(n.Commands) > 0 {
		b.WriteString("\\fB" + roff(strings.Join(path, " ")) + "\\fR \\fICOMMAND\\fR [flags]\n")
	} else {
		b.WriteString("\\fB" + roff(strings.Join(path, " ")) + "\\fR" + roff(strings.TrimPrefix(n.Use, strings.Join(path, " "))) + "\n")
	}
	text := n.Long
	if text == "" {
		text = n.Short + "."
	}
	b.WriteString(".SH DESCRIPTION\n")
	paragraphs(&b, text)
	if len(n.Commands) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range n.Commands {
			if sub.Hidden {
				continue
			}
			b.WriteString(".TP\n\\fB" + roff(name+"-"+sub.Name) + "\\fR(1)\n" + roff(sub.Short) + "\n")
		}
	}
	options(&b, "OPTIONS", n.Flags, notes.Env)
	options(&b, "OPTIONS OF EVERY COMMAND", n.Inherited, notes.Env)
	if n.Example != "" {
		b.WriteString(".SH EXAMPLES\n.nf\n" + roffLines(n.Example) + ".fi\n")
	}
	if len(path) == 1 {
		for _, s := range notes.Sections {
			b.WriteString(".SH " + quoted(s.Title) + "\n")
			for _, l := range s.Lines {
				if term, text, ok := strings.Cut(l, "\t"); ok {
					b.WriteString(".TP\n\\fB" + roff(term) + "\\fR\n" + roff(text) + "\n")
				} else {
					b.WriteString(".PP\n" + roff(l) + "\n")
				}
			}
		}
	}
	var also []string
	if len(path) > 1 {
		also = append(also, strings.Join(path[:len(path)-1], "-")+"(1)")
	} else {
		also = notes.SeeAlso
	}
	if len(also) > 0 {
		b.WriteString(".SH SEE ALSO\n" + roff(strings.Join(also, ", ")) + "\n")
	}
	return b.String()
}

// options writes one entry for every flag.
func options(b *strings.Builder, title string, list []Flag, env func(string) string) {
	if len(list) == 0 {
		return
	}
	b.WriteString(".SH " + quoted(title) + "\n")
	for _, f := range list {
		b.WriteString(".TP\n")
		if f.Shorthand != "" {
			b.WriteString("\\fB\\-" + roff(f.Shorthand) + "\\fR, ")
		}
		b.WriteString("\\fB" + roff("--"+f.Name) + "\\fR")
		if !f.Alone {
			b.WriteString("=\\fI" + roff(strings.ToUpper(f.Type)) + "\\fR")
		}
		b.WriteString("\n" + roff(f.Usage))
		if f.Default != "" && !strings.Contains(f.Usage, "(default ") {
			b.WriteString(" (default " + roff(f.Default) + ")")
		}
		if env != nil {
			if v := env(f.Name); v != "" {
				b.WriteString(" [\\fB$" + roff(v) + "\\fR]")
			}
		}
		b.WriteString("\n")
	}
}

// paragraphs writes text whose indented lines keep their breaks.
func paragraphs(b *strings.Builder, text string) {
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if strings.HasPrefix(part, "  ") {
			b.WriteString(".PP\n.nf\n" + roffLines(part) + ".fi\n")
		} else {
			b.WriteString(".PP\n" + roffLines(part))
		}
	}
}

func roffLines(text string) string {
	var b strings.Builder
	for l := range strings.SplitSeq(text, "\n") {
		b.WriteString(roff(l) + "\n")
	}
	return b.String()
}

// roff makes a text harmless: escapes, hyphens that are to be copied, and
// lines that would be requests.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", "...").Replace(strings.ReplaceAll(s, "\n", " "))
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// lowerFirst begins a short description as manual pages do, unless its first
// word is a name.
func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}
