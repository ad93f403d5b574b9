// Package describe reads a command line's --help text into a tool's manifest
// and input schema. It is how a tool that nobody wrote a manifest for gets a
// first one, for a person to review.
//
// Help texts have no standard. The reader knows the forms of boxfleet's own
// tools (NAME VERSION, a description, Keywords:, PermissionLevel:, options with
// [required], [repeatable], [default: ..] and [possible values: ..]), of clap,
// of Go's flag package, of cobra, and of Python's argparse, and takes from other
// texts what looks like these. What it cannot make sense of it leaves out: it
// never fails on a text, it only learns less. A help text is the tool's own
// word: nothing here is believed where it matters, least of all the level.
package describe

import (
	"regexp"
	"strings"
	"unicode"

	"boxfleet/limits/permission"
)

// Bounds on what is read; the rest of a longer text is not looked at.
const (
	MaxText    = 256 << 10 // bytes of help
	maxOptions = 256
	maxValues  = 256
	maxHelp    = 1000 // runes of one description
	maxName    = 64
)

// Tool is what a help text says.
type Tool struct {
	Name, Version, Description string
	Keywords                   []string
	// Level is what the tool calls its own permission level; empty when it says
	// none that is known.
	Level    permission.Level
	Options  []Option
	Operands []Operand
	// Commands are the words one of which must come first, with their help.
	Commands []Command
	// CommandOptional says that the tool also does something without one.
	CommandOptional bool
	// Left are options that have no long form and so no name in a JSON input.
	Left []string
}

// Kind is the JSON type of an option's value.
type Kind string

// The kinds.
const (
	Bool    Kind = "boolean" // a bare flag
	String  Kind = "string"
	Number  Kind = "number"
	Integer Kind = "integer"
)

// Option is one --option.
type Option struct {
	Name       string // without dashes, as it is written on the command line
	Kind       Kind
	Help       string
	Required   bool
	Repeated   bool
	Default    string
	HasDefault bool
	Values     []string // all that it may be; empty for anything
}

// Operand is one positional argument.
type Operand struct {
	Name     string // a JSON name
	Help     string
	Required bool
	Repeated bool
	Values   []string
}

// Command is one subcommand.
type Command struct{ Name, Help string }

// section is the kind of list that lines belong to.
type section int

const (
	inPreamble section = iota
	inUsage
	inOptions
	inOperands
	inCommands
	inOther
)

// reader goes through a text line by line.
type reader struct {
	tool    Tool
	section section
	usage   []string
	about   []string // the description's lines
	ended   bool     // the description has
	goFlags bool     // Go's flag package: one dash is as good as two

	option    *Option
	operand   *Operand
	indent    int // of the option, operand or command that is being read
	valueList bool
}

var (
	escapes   = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]|\x1b\\][^\x07\x1b]*(\x07|\x1b\\\\)")
	titleLine = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*) v?([0-9]+(?:\.[0-9A-Za-z+-]+)*)$`)
	heading   = regexp.MustCompile(`^([A-Za-z][A-Za-z -]{0,40}):\s*$`)
)

// Parse reads a help text.
func Parse(help string) *Tool {
	if len(help) > MaxText {
		help = help[:MaxText]
	}
	help = escapes.ReplaceAllString(strings.ToValidUTF8(help, ""), "")
	help = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\t", "    ").Replace(help)
	help = strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, help)
	r := &reader{}
	for line := range strings.SplitSeq(help, "\n") {
		r.line(strings.TrimRight(line, " "))
	}
	r.flush()
	r.finish()
	return &r.tool
}

func (r *reader) line(line string) {
	text := strings.TrimLeft(line, " ")
	indent := len(line) - len(text)
	if text == "" {
		r.blank()
		return
	}
	if indent == 0 && r.unindented(text) {
		return
	}
	switch r.section {
	case inPreamble:
		if strings.HasPrefix(text, "-") && len(r.about) == 0 { // options without a heading
			r.startList(inOptions)
			r.inOptions(text, indent)
			return
		}
		r.describe(text)
	case inUsage:
		if indent == 0 { // argparse: the description stands below the usage
			r.startList(inPreamble)
			r.describe(text)
			return
		}
		if r.goFlags {
			r.startList(inOptions)
			r.inOptions(text, indent)
			return
		}
		r.usage = append(r.usage, text)
	case inOptions:
		r.inOptions(text, indent)
	case inOperands:
		r.inOperands(text, indent)
	case inCommands:
		r.inCommands(text, indent)
	}
}

func (r *reader) blank() {
	switch r.section {
	case inPreamble:
		r.ended = r.ended || len(r.about) > 0
	case inUsage:
		if len(r.usage) > 0 {
			r.startList(inPreamble)
		}
	}
	r.valueList = false
}

// describe takes a line of the description: the first paragraph that is not
// something else.
func (r *reader) describe(text string) {
	if !r.ended && len(r.about) < 20 {
		r.about = append(r.about, text)
	}
}

// unindented tells whether a line at the margin was a heading or one of the
// lines that say something by themselves.
func (r *reader) unindented(text string) bool {
	if rest, ok := strings.CutPrefix(text, "Usage of "); ok {
		r.startList(inUsage)
		r.goFlags = true
		r.name(strings.TrimSuffix(rest, ":"))
		return true
	}
	if key, value, ok := strings.Cut(text, ":"); ok {
		value = strings.TrimSpace(value)
		switch strings.ToLower(key) {
		case "usage":
			r.startList(inUsage)
			if value != "" {
				r.usage = append(r.usage, value)
			}
			return true
		case "keywords":
			r.keywords(value)
			return true
		case "permissionlevel", "permission level", "permission_level":
			r.level(value)
			return true
		}
	}
	if m := titleLine.FindStringSubmatch(text); m != nil && r.tool.Version == "" && len(r.about) == 0 {
		r.name(m[1])
		r.tool.Version = m[2]
		return true
	}
	m := heading.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	switch title := strings.ToLower(m[1]); {
	case strings.HasSuffix(title, "commands"), strings.HasSuffix(title, "subcommands"):
		r.startList(inCommands)
	case strings.HasSuffix(title, "arguments") && !strings.HasPrefix(title, "optional"), title == "args":
		r.startList(inOperands)
	case strings.Contains(title, "option"), strings.HasSuffix(title, "flags"), title == "optional arguments":
		r.startList(inOptions)
	case strings.Contains(title, "example"), r.section == inPreamble && len(r.about) > 0 && !r.ended:
		r.startList(inOther)
	default: // clap lets a program name groups of its options
		r.startList(inOptions)
	}
	return true
}

func (r *reader) startList(s section) {
	r.flush()
	if r.section == inPreamble && s != inPreamble {
		r.ended = r.ended || len(r.about) > 0
	}
	r.section = s
}

// name takes the program's name if it can be a tool's.
func (r *reader) name(s string) {
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(s, ".wasm"), "_", "-"))
	if r.tool.Name == "" && len(s) <= maxName && toolName.MatchString(s) {
		r.tool.Name = s
	}
}

var toolName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func (r *reader) keywords(list string) {
	for k := range strings.SplitSeq(list, ",") {
		if k = strings.TrimSpace(k); k != "" && len(k) <= maxName && len(r.tool.Keywords) < 64 {
			r.tool.Keywords = append(r.tool.Keywords, k)
		}
	}
}

// level reads read_only, read-only and ReadOnly alike.
func (r *reader) level(text string) {
	var b strings.Builder
	for i, c := range strings.Map(func(c rune) rune {
		if c == '-' || c == ' ' {
			return '_'
		}
		return c
	}, text) {
		if unicode.IsUpper(c) && i > 0 && text[i-1] >= 'a' && text[i-1] <= 'z' {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	if l, err := permission.ParseLevel(b.String()); err == nil {
		r.tool.Level = l
	}
}

// finish puts together what the whole text had to be read for.
func (r *reader) finish() {
	r.tool.Description = clip(strings.Join(r.about, " "))
	r.readUsage(firstUsage(r.usage))
	for i := range r.tool.Options {
		r.tool.Options[i].settle()
	}
	// An argument that can be given by an option too has a name already.
	kept := r.tool.Operands[:0]
	for _, a := range r.tool.Operands {
		if r.find(strings.ReplaceAll(a.Name, "_", "-")) == nil && a.Name != "command" {
			kept = append(kept, a)
		}
	}
	r.tool.Operands = kept
}

func (r *reader) find(option string) *Option {
	for i := range r.tool.Options {
		if r.tool.Options[i].Name == option {
			return &r.tool.Options[i]
		}
	}
	return nil
}

func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxHelp {
		return string(runes[:maxHelp-1]) + "…"
	}
	return s
}
