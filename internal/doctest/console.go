package doctest

import (
	"regexp"
	"strings"
)

// Shown is one command of a console block and what it prints.
type Shown struct {
	Line   int // of the command, from the block's first line, from 0
	Script string
	Output []string
}

// Console takes a console block apart. Text before the first command is not
// allowed to be there: ok is false.
func Console(lines []string) (list []Shown, ok bool) {
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "$ "):
			list = append(list, Shown{Line: i, Script: l[2:]})
		case len(list) == 0:
			if strings.TrimSpace(l) != "" {
				return nil, false
			}
		case strings.HasPrefix(l, "> ") && len(list[len(list)-1].Output) == 0:
			list[len(list)-1].Script += "\n" + l[2:]
		default:
			list[len(list)-1].Output = append(list[len(list)-1].Output, l)
		}
	}
	for i := range list { // blank lines between commands belong to nobody
		out := list[i].Output
		for len(out) > 0 && strings.TrimSpace(out[len(out)-1]) == "" {
			out = out[:len(out)-1]
		}
		list[i].Output = out
	}
	return list, len(list) > 0
}

// varying is what differs from run to run, and the word that stands for it.
var varying = []struct {
	form *regexp.Regexp
	word string
}{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?`), "TIME"},
	{regexp.MustCompile(`\bsha256:[0-9a-f]{6,64}\b`), "DIGEST"},
	{regexp.MustCompile(`\b[0-9a-f]{16,64}\b`), "HEX"},
	{regexp.MustCompile(`\b[A-Za-z0-9]{22}\b`), "ID"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+(\.\d+)? ?(µs|ms|s|ns)\b`), "DURATION"},
	{regexp.MustCompile(`\b\d+(\.\d+)?[MG]? fuel\b`), "N fuel"},
	{regexp.MustCompile(`\s+`), " "},
}

func canonical(line string) string {
	for _, v := range varying {
		line = v.form.ReplaceAllString(line, v.word)
	}
	return strings.TrimSpace(line)
}

// Same tells whether a program printed what a document shows. "…" within a
// line is any text, alone on a line any number of lines.
func Same(shown, printed []string) bool {
	if len(shown) == 0 {
		return strings.TrimSpace(strings.Join(printed, "")) == ""
	}
	head := strings.TrimSpace(shown[0])
	if head == "…" {
		for skip := 0; skip <= len(printed); skip++ {
			if Same(shown[1:], printed[skip:]) {
				return true
			}
		}
		return false
	}
	if len(printed) == 0 {
		return false
	}
	parts := strings.Split(canonical(head), "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(strings.TrimSpace(p))
	}
	line := regexp.MustCompile(`^` + strings.Join(parts, `.*`) + `$`)
	return line.MatchString(canonical(printed[0])) && Same(shown[1:], printed[1:])
}
