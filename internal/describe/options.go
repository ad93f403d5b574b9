package describe

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// farIndent is where a line within a list is text and no new entry, whatever it
// begins with: help that was wrapped may begin with an option's name.
const farIndent = 9

var (
	longOption = regexp.MustCompile(`^--(?:\[no-\])?([A-Za-z0-9][A-Za-z0-9_.-]*)(.*)$`)
	oneDash    = regexp.MustCompile(`^-([A-Za-z0-9?][A-Za-z0-9_.-]*)(.*)$`)
	listType   = regexp.MustCompile(`(?i)^(strings|stringarray|stringslice|ints|uints|int32slice|intslice|floats|bools|list)$`)
	noteText   = regexp.MustCompile(`\s*[\[(](required|repeatable|repeated|default|defaults to|possible values|choices)\b:?\s*([^\])]*)[\])]`)
	valueItem  = regexp.MustCompile(`^- ([A-Za-z0-9_.+-]+)(?::|$)`)
)

// inOptions reads a line of a list of options.
func (r *reader) inOptions(text string, indent int) {
	isOption := len(text) > 1 && text[0] == '-' && text[1] != ' ' && (indent < farIndent || r.option == nil)
	switch {
	case isOption:
		r.flush()
		r.indent = indent
		r.newOption(text)
	case r.option == nil:
	case strings.EqualFold(text, "possible values:"):
		r.valueList = true
	case r.valueList && valueItem.MatchString(text):
		r.option.addValue(valueItem.FindStringSubmatch(text)[1])
	case indent > r.indent && !r.valueList && len(r.option.Help) < 8*maxHelp:
		r.option.Help += " " + text
	}
}

func (r *reader) inOperands(text string, indent int) {
	if r.operand != nil && indent > r.indent {
		if len(r.operand.Help) < 8*maxHelp {
			r.operand.Help += " " + text
		}
		return
	}
	r.flush()
	spec, help := columns(text)
	if a := operand(spec); a != nil {
		a.Help, r.operand, r.indent = help, a, indent
	}
}

func (r *reader) inCommands(text string, indent int) {
	if len(r.tool.Commands) > 0 && indent > r.indent {
		return // the rest of a command's help
	}
	names, help := columns(text)
	name, _, _ := strings.Cut(strings.TrimSuffix(names, ","), ",")
	name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
	if toolName.MatchString(strings.ToLower(name)) && len(name) <= maxName && len(r.tool.Commands) < maxOptions {
		r.indent = indent
		if name != "help" && name != "completion" {
			r.tool.Commands = append(r.tool.Commands, Command{name, clip(help)})
		}
	}
}

// columns parts an entry from its help: two spaces or more.
func columns(text string) (spec, help string) {
	spec, help, _ = strings.Cut(text, "  ")
	return strings.TrimSpace(spec), strings.TrimSpace(help)
}

// flush keeps the option or operand that was being read.
func (r *reader) flush() {
	if o := r.option; o != nil {
		o.notes()
		if r.find(o.Name) == nil && len(r.tool.Options) < maxOptions {
			r.tool.Options = append(r.tool.Options, *o)
		}
	}
	if a := r.operand; a != nil && len(r.tool.Operands) < maxOptions {
		a.Help = clip(a.Help)
		r.tool.Operands = append(r.tool.Operands, *a)
	}
	r.option, r.operand, r.valueList = nil, nil, false
}

// newOption reads the names and the value of an option: "-o, --out <FILE>",
// "--out=FILE", "--name NAME, -n NAME", "-count int".
func (r *reader) newOption(text string) {
	spec, help := columns(text)
	o := &Option{Help: help}
	var short, value string
	var values []string
	for word := range strings.FieldsSeq(strings.NewReplacer(", ", " ", " | ", " ", "/-", " -").Replace(spec)) {
		if m := longOption.FindStringSubmatch(word); m != nil {
			if o.Name == "" {
				o.Name = m[1]
			}
			value = m[2]
		} else if m := oneDash.FindStringSubmatch(word); m != nil {
			short = m[1]
			if r.goFlags && o.Name == "" {
				o.Name = m[1]
			}
			value = m[2]
		} else {
			value = word
		}
		if value = strings.Trim(value, ","); value != "" {
			values = append(values, value)
		}
		value = ""
	}
	switch {
	case o.Name == "" && short != "" && short != "h" && len(r.tool.Left) < maxOptions:
		r.tool.Left = append(r.tool.Left, "-"+short)
		return
	case o.Name == "", o.Name == "help", o.Name == "version", len(o.Name) > maxName:
		return
	}
	o.value(values)
	r.option = o
}

// value learns from what stands for an option's value.
func (o *Option) value(words []string) {
	o.Kind = Bool
	for _, w := range words {
		// clap's <GLOB>... may be given again. argparse's TAG [TAG ...] takes
		// several words at once, and given again forgets the first.
		if strings.HasSuffix(w, "...") {
			o.Repeated = true
		}
		name := strings.TrimRight(strings.TrimLeft(strings.Trim(w, "."), "=<[("), ">])")
		name = strings.Trim(strings.TrimLeft(name, "=<["), ".>]")
		switch {
		case name == "":
			continue
		case strings.HasPrefix(name, "{") && strings.HasSuffix(name, "}"):
			o.addValues(strings.Trim(name, "{}"), ",")
		case strings.Contains(name, "|"):
			o.addValues(name, "|")
		case listType.MatchString(name):
			o.Repeated = true
		}
		if o.Kind == Bool {
			o.Kind = kindOf(name)
		}
	}
}

// kindOf guesses the type of a value from what it is called.
func kindOf(name string) Kind {
	switch strings.ToLower(name) {
	case "int", "integer", "uint", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "u8", "u16", "u32", "u64",
		"usize", "i32", "i64", "ints", "uints", "intslice", "n", "num", "count", "port":
		return Integer
	case "number", "float", "float32", "float64", "f32", "f64", "double", "floats":
		return Number
	}
	return String
}

func (o *Option) addValues(list, separator string) {
	for v := range strings.SplitSeq(list, separator) {
		o.addValue(strings.TrimSpace(v))
	}
}

func (o *Option) addValue(v string) {
	v = strings.Trim(v, `"'`)
	if v != "" && len(v) <= maxName && len(o.Values) < maxValues && !slices.Contains(o.Values, v) {
		o.Values = append(o.Values, v)
	}
}

// notes takes what stands in brackets out of an option's help.
func (o *Option) notes() {
	for _, m := range noteText.FindAllStringSubmatch(o.Help, -1) {
		switch m[1] {
		case "required":
			o.Required = true
		case "repeatable", "repeated":
			o.Repeated = true
		case "possible values", "choices":
			o.addValues(m[2], ",")
		default:
			text := strings.TrimSpace(m[2])
			if unquoted, err := strconv.Unquote(text); err == nil {
				text = unquoted
			} else {
				text = strings.Trim(text, "'")
			}
			if text != "None" && len(text) <= maxHelp {
				o.Default, o.HasDefault = text, true
			}
		}
	}
	o.Help = clip(noteText.ReplaceAllString(o.Help, ""))
}

// settle makes the parts of an option agree once all of it is known.
func (o *Option) settle() {
	if o.Kind == Bool && (len(o.Values) > 0 || o.HasDefault && o.Default != "true" && o.Default != "false") {
		o.Kind = String // a bare flag has neither
	}
	if o.Kind == String && len(o.Values) == 0 && o.HasDefault {
		if _, err := strconv.ParseInt(o.Default, 10, 64); err == nil {
			o.Kind = Integer
		} else if f, err := strconv.ParseFloat(o.Default, 64); err == nil && f == f && f-f == 0 {
			o.Kind = Number
		}
	}
	if o.Kind == Integer || o.Kind == Number {
		o.Values = nil
	}
	if o.Kind == Bool || o.HasDefault {
		o.Required = false
	}
}
