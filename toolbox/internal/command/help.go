package command

import "strings"

// Help is the text of `--help`; the package documentation gives its form.
func (c *Command) Help() string {
	var b strings.Builder
	b.WriteString(c.Name + " " + c.Version + "\n" + c.Description + "\n\n")
	b.WriteString("Keywords: " + strings.Join(c.Keywords, ", ") + "\n")
	b.WriteString("PermissionLevel: " + c.Permission + "\n\n")
	b.WriteString("Usage: " + c.Name + " [OPTIONS]")
	for _, o := range c.Positional {
		b.WriteString(" " + placeholder(o))
	}
	b.WriteString("\n\nOptions:\n")
	width := 0
	for _, o := range c.Options {
		width = max(width, len(flagText(o)))
	}
	for _, o := range c.Options {
		line(&b, o.short, flagText(o), width, o.help+notes(o))
	}
	letter := byte('h')
	if c.byShort('h') != nil {
		letter = 0
	}
	line(&b, letter, "--help", width, "Print this help")
	return b.String()
}

func line(b *strings.Builder, short byte, flag string, width int, text string) {
	if short != 0 {
		b.WriteString("  -" + string(rune(short)) + ", ")
	} else {
		b.WriteString("      ")
	}
	b.WriteString(flag + strings.Repeat(" ", max(0, width-len(flag))) + "  " + text + "\n")
}

func placeholder(o *Option) string {
	name := strings.ToUpper(strings.ReplaceAll(o.long, "-", "_"))
	if o.kind == kindStrings {
		return "[" + name + "]..."
	}
	return "[" + name + "]"
}

func flagText(o *Option) string {
	switch o.kind {
	case kindString, kindStrings:
		return "--" + o.long + " <STRING>"
	case kindNumber:
		return "--" + o.long + " <NUMBER>"
	}
	return "--" + o.long
}

func notes(o *Option) string {
	text := ""
	if o.required {
		text += " [required]"
	}
	if o.kind == kindStrings {
		text += " [repeatable]"
	}
	if o.initial != "" && !o.required {
		text += " [default: " + o.initial + "]"
	}
	if len(o.values) > 0 {
		text += " [possible values: " + strings.Join(o.values, ", ") + "]"
	}
	return text
}
