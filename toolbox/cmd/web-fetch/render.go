package main

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"
)

// page is what a person would read of a document.
type page struct {
	title, content string
	cut            bool // content ends before the document does
}

// hidden are the elements that nobody reads, and those around the content when there is no main part to keep to.
var (
	hidden = map[string]bool{"script": true, "style": true, "noscript": true, "template": true, "svg": true, "head": true, "iframe": true, "object": true, "select": true, "button": true, "textarea": true, "canvas": true, "dialog": true}
	around = map[string]bool{"nav": true, "footer": true, "aside": true, "form": true}
	blocks = map[string]bool{
		"p": true, "div": true, "section": true, "article": true, "main": true, "header": true, "footer": true, "nav": true, "aside": true, "form": true, "table": true, "ul": true, "ol": true,
		"dl": true, "dt": true, "dd": true, "figure": true, "figcaption": true, "address": true, "details": true, "summary": true, "fieldset": true, "h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true,
	}
)

// maxListDepth bounds indentation, as nesting is free for whoever writes a page.
const maxListDepth = 8

// render keeps to <main>, or else <article>, where a page has one. It stops soon after most bytes of content, as short
// links can be made long by their base.
func render(text string, base *url.URL, markdown bool, most int) page {
	only := ""
	tokens(text, func(t token) {
		if !t.end && (t.name == "main" || t.name == "article" && only == "") {
			only = t.name
		}
	})
	r := &renderer{base: base, markdown: markdown, only: only, most: most}
	tokens(text, r.token)
	r.closeLink()
	return page{strings.Join(strings.Fields(r.title.String()), " "), tidy(r.out.String()), r.cut}
}

// renderer writes content from tokens. It keeps counts of open elements, not a tree, so that end tags which are missing
// or wrong cost some layout and nothing else.
type renderer struct {
	base     *url.URL
	markdown bool
	only     string // the element to keep to
	most     int    // bytes of out
	cut      bool

	out      bytes.Buffer
	title    strings.Builder
	inOnly   int
	inTitle  bool
	skip     int    // depth inside an element that is left out
	skipName string // that element
	pre      int
	lists    []int // per open list: -1 for bullets, else the number of the last item
	quotes   int
	cells    int // in the row
	href     string
	linkAt   int // where the link's text begins in out
	inLink   bool
	space    bool // a space is due before the next text
}

func (r *renderer) token(t token) {
	switch {
	case t.name == "title" && r.skipName != "svg":
		r.inTitle = !t.end
		return
	case t.name == "" && r.inTitle:
		if r.title.Len() == 0 {
			r.title.WriteString(t.text)
		}
		return
	case r.out.Len() > r.most:
		r.cut = true
		return
	case t.name == r.only && r.only != "":
		if t.end {
			r.inOnly = max(0, r.inOnly-1)
		} else {
			r.inOnly++
		}
	}
	if r.skip > 0 {
		switch {
		case t.name != r.skipName:
		case t.end:
			r.skip--
		default:
			r.skip++
		}
		return
	}
	if (hidden[t.name] || r.only == "" && around[t.name]) && !t.end && !strings.HasSuffix(t.rawAttr, "/") {
		r.skip, r.skipName = 1, t.name
		return
	}
	if r.only != "" && r.inOnly == 0 {
		return
	}
	if t.name == "" {
		r.text(t.text)
		return
	}
	r.element(t)
}

func (r *renderer) text(s string) {
	if r.pre > 0 {
		r.out.WriteString(s)
		return
	}
	for i, word := range strings.Fields(s) {
		if i > 0 || r.space || strings.IndexAny(s[:1], " \t\r\n\f") == 0 {
			r.blank()
		}
		r.space = false
		r.out.WriteString(word)
	}
	if s != "" && strings.IndexAny(s[len(s)-1:], " \t\r\n\f") == 0 {
		r.space = true
	}
}

// blank writes a space unless a line or a space has just begun.
func (r *renderer) blank() {
	if n := r.out.Len(); n > 0 {
		if last := r.out.Bytes()[n-1]; last != ' ' && last != '\n' {
			r.out.WriteByte(' ')
		}
	}
}

// lines ends the line, and leaves n-1 lines empty.
func (r *renderer) lines(n int) {
	r.space = false
	if r.out.Len() == 0 {
		return
	}
	end := r.out.Bytes()[max(0, r.out.Len()-2):]
	for have := len(end) - len(bytes.TrimRight(end, "\n")); have < n; have++ {
		r.out.WriteByte('\n')
	}
	if r.quotes > 0 && r.markdown {
		r.out.WriteString(strings.Repeat("> ", min(r.quotes, maxListDepth)))
	}
}

func (r *renderer) mark(s string) {
	if !r.markdown {
		return
	}
	if r.space {
		r.blank()
		r.space = false
	}
	r.out.WriteString(s)
}

func (r *renderer) element(t token) {
	switch t.name {
	case "br":
		r.lines(1)
	case "hr":
		r.lines(2)
		r.mark("---")
		r.lines(2)
	case "h1", "h2", "h3", "h4", "h5", "h6":
		r.lines(2)
		if !t.end {
			r.mark(strings.Repeat("#", int(t.name[1]-'0')) + " ")
		}
	case "b", "strong":
		r.mark("**")
	case "i", "em":
		r.mark("*")
	case "code":
		if r.pre == 0 {
			r.mark("`")
		}
	case "pre":
		r.preformatted(t.end)
	case "blockquote":
		if t.end {
			r.quotes = max(0, r.quotes-1)
			r.lines(2)
		} else {
			r.quotes++
			r.lines(2)
		}
	case "ul", "ol":
		r.list(t)
	case "li":
		if !t.end {
			r.item()
		}
	case "tr":
		r.lines(1)
		r.cells = 0
	case "td", "th":
		if !t.end {
			if r.cells++; r.cells > 1 {
				r.blank()
				r.out.WriteString("| ")
				r.space = false
			}
		}
	case "a":
		r.closeLink()
		if !t.end {
			r.openLink(t.attr("href"))
		}
	case "img":
		if alt := strings.Join(strings.Fields(t.attr("alt")), " "); alt != "" {
			if src := r.resolve(t.attr("src")); r.markdown && src != "" {
				r.text(" ![" + alt + "](" + src + ") ")
			} else {
				r.text(" " + alt + " ")
			}
		}
	default:
		if blocks[t.name] {
			r.lines(2)
		}
	}
}

func (r *renderer) preformatted(end bool) {
	if end {
		if r.pre = max(0, r.pre-1); r.pre == 0 {
			r.lines(1)
			r.mark("```")
			r.lines(2)
		}
		return
	}
	if r.pre++; r.pre == 1 {
		r.lines(2)
		r.mark("```\n")
	}
}

func (r *renderer) list(t token) {
	switch {
	case t.end && len(r.lists) > 0:
		r.lists = r.lists[:len(r.lists)-1]
	case !t.end && len(r.lists) < 1000:
		start := -1
		if t.name == "ol" {
			start = 0
		}
		r.lists = append(r.lists, start)
	}
	if len(r.lists) > 1 || len(r.lists) == 1 && t.end {
		r.lines(1)
	} else {
		r.lines(2)
	}
}

func (r *renderer) item() {
	r.lines(1)
	depth := len(r.lists)
	r.out.WriteString(strings.Repeat("  ", min(max(depth-1, 0), maxListDepth)))
	if depth > 0 && r.lists[depth-1] >= 0 {
		r.lists[depth-1]++
		r.out.WriteString(strconv.Itoa(r.lists[depth-1]) + ". ")
		return
	}
	r.out.WriteString("- ")
}

func (r *renderer) openLink(href string) {
	if r.markdown && href != "" {
		r.href, r.linkAt, r.inLink = href, r.out.Len(), true
	}
}

// closeLink ends an open link. One without text, around an icon for example, leaves nothing, and costs no resolving.
func (r *renderer) closeLink() {
	if !r.inLink {
		return
	}
	r.inLink = false
	written := r.out.Bytes()[r.linkAt:]
	text := strings.TrimLeft(string(written), " \n>")
	if strings.TrimSpace(text) == "" {
		return
	}
	if href := r.resolve(r.href); href != "" {
		r.out.Truncate(r.linkAt + len(written) - len(text))
		r.out.WriteString("[" + text + "](" + href + ")")
	}
}

// resolve makes a link absolute; those that lead nowhere on the web are "".
func (r *renderer) resolve(href string) string {
	href = strings.TrimSpace(href)
	if href == "" || href[0] == '#' {
		return ""
	}
	u, err := r.base.Parse(href)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "mailto" {
		return ""
	}
	return strings.NewReplacer("(", "%28", ")", "%29", " ", "%20").Replace(u.String())
}

// tidy takes spaces off the ends of lines and runs of empty lines out.
func tidy(s string) string {
	var out strings.Builder
	empty := 0
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, " \t\r\n\f")
		if strings.TrimLeft(line, "> ") == "" {
			empty++
			continue
		}
		if out.Len() > 0 {
			out.WriteString(strings.Repeat("\n", 1+min(empty, 1)))
		}
		empty = 0
		out.WriteString(line)
	}
	return out.String()
}
