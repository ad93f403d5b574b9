package describe

import (
	"regexp"
	"strings"
)

var placeholder = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// firstUsage gives the first of several ways to call a program, which may go on
// over lines. The others begin with the program's name again.
func firstUsage(lines []string) string {
	for i, l := range lines {
		if first, _, _ := strings.Cut(lines[0], " "); i > 0 && (l == first || strings.HasPrefix(l, first+" ")) {
			return strings.Join(lines[:i], " ")
		}
	}
	return strings.Join(lines, " ")
}

// readUsage learns from the usage line what stands outside of brackets: options
// that are required, and arguments when no list describes them.
func (r *reader) readUsage(usage string) {
	words := usageWords(usage)
	if len(words) == 0 {
		return
	}
	r.name(words[0])
	for _, l := range r.usage {
		r.tool.CommandOptional = r.tool.CommandOptional || strings.Contains(strings.ToLower(l), "[command]")
	}
	listed := len(r.tool.Operands) > 0 || len(r.tool.Commands) > 0
	angled := strings.Contains(usage, "<")
	for i := 1; i < len(words); i++ {
		w := words[i]
		if strings.HasPrefix(w, "--") {
			name, _, joined := strings.Cut(strings.TrimLeft(w, "-"), "=")
			o := r.find(name)
			if o == nil {
				continue
			}
			o.Required = true
			if !joined && o.Kind != Bool && i+1 < len(words) && !strings.HasPrefix(words[i+1], "-") {
				i++ // its value
			}
			continue
		}
		if strings.HasPrefix(w, "-") || angled && bareWord.MatchString(w) { // next to <NAME>, name is a literal word
			continue
		}
		a := operand(w)
		switch {
		case a == nil:
		case listed:
			r.refine(a)
		case len(r.tool.Operands) < maxOptions:
			r.tool.Operands = append(r.tool.Operands, *a)
		}
	}
}

var bareWord = regexp.MustCompile(`^[a-z]`)

// refine adds to an argument of a list what only the usage line says of it.
func (r *reader) refine(a *Operand) {
	for i := range r.tool.Operands {
		if known := &r.tool.Operands[i]; known.Name == a.Name {
			known.Required = a.Required
			known.Repeated = known.Repeated || a.Repeated
		}
	}
}

// usageWords splits a usage line at spaces, but not within brackets.
func usageWords(usage string) []string {
	var words []string
	depth, start := 0, -1
	end := func(i int) {
		if start >= 0 {
			words = append(words, usage[start:i])
			start = -1
		}
	}
	for i := 0; i < len(usage); i++ {
		c := usage[i]
		switch c {
		case '[', '<', '{', '(':
			depth++
		case ']', '>', '}', ')':
			depth--
		}
		if c == ' ' && depth <= 0 {
			end(i)
		} else if start < 0 {
			start = i
		}
	}
	end(len(usage))
	return words
}

// generic are what usage lines write for lists that are described elsewhere.
var generic = map[string]bool{"options": true, "option": true, "flags": true, "command": true, "commands": true, "subcommand": true, "arguments": true, "global-options": true}

// operand reads <FILE>, [FILE]..., FILE or {a,b}; nil for what is none.
func operand(word string) *Operand {
	a := &Operand{Required: true}
	if strings.HasSuffix(word, "...") {
		a.Repeated = true
		word = strings.TrimSpace(strings.TrimSuffix(word, "..."))
	}
	if rest, ok := strings.CutPrefix(word, "["); ok {
		a.Required = false
		word = strings.TrimSuffix(rest, "]")
		if strings.HasPrefix(word, "-") {
			return nil // an option that may be left out
		}
		if first, more, ok := strings.Cut(word, " "); ok { // [FILE ...]
			a.Repeated = a.Repeated || strings.Contains(more, "...")
			word = first
		}
		if strings.HasSuffix(word, "...") {
			a.Repeated = true
			word = strings.TrimSuffix(word, "...")
		}
	}
	word = strings.TrimSuffix(strings.TrimPrefix(word, "<"), ">")
	if strings.HasPrefix(word, "{") && strings.HasSuffix(word, "}") {
		for v := range strings.SplitSeq(strings.Trim(word, "{}"), ",") {
			if v = strings.TrimSpace(v); v != "" && len(v) <= maxName && len(a.Values) < maxValues {
				a.Values = append(a.Values, v)
			}
		}
		word = "choice"
	}
	if !placeholder.MatchString(word) || len(word) > maxName || generic[strings.ToLower(word)] {
		return nil
	}
	a.Name = strings.ToLower(strings.ReplaceAll(word, "-", "_"))
	return a
}
