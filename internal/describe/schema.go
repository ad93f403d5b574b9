package describe

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"boxfleet/internal/argvmap"
)

// Schema is the JSON Schema (2020-12) of the tool's input, its properties in
// the order of the help text. With subcommands it leaves room for options it
// does not know: theirs.
func (t *Tool) Schema() json.RawMessage {
	var required []string
	var props object
	if len(t.Commands) > 0 {
		var p object
		p.add("type", "string")
		var names []string
		var help []string
		for _, c := range t.Commands {
			names = append(names, c.Name)
			if c.Help != "" {
				help = append(help, c.Name+": "+c.Help)
			}
		}
		p.add("enum", names)
		p.add("description", clip("The command. "+strings.Join(help, " ")))
		p.add(argvmap.Keyword, argvmap.Command)
		props.add("command", &p)
		if !t.CommandOptional {
			required = append(required, "command")
		}
	}
	for i := range t.Options {
		o := &t.Options[i]
		name := strings.ReplaceAll(o.Name, "-", "_")
		if props.has(name) || flagOf(name) != o.Name {
			continue // no JSON name becomes this option
		}
		props.add(name, o.property())
		if o.Required {
			required = append(required, name)
		}
	}
	for i := range t.Operands {
		a := &t.Operands[i]
		if props.has(a.Name) {
			continue
		}
		props.add(a.Name, a.property())
		if a.Required {
			required = append(required, a.Name)
		}
	}
	var s object
	s.add("$schema", "https://json-schema.org/draft/2020-12/schema")
	s.add("type", "object")
	if len(t.Commands) == 0 {
		s.add("additionalProperties", false)
	}
	s.add("properties", &props)
	if len(required) > 0 {
		s.add("required", required)
	}
	text, err := s.MarshalJSON()
	if err != nil { // only strings, numbers and lists of them are in it
		return nil
	}
	return text
}

// flagOf is the option that a JSON name becomes, without its dashes.
func flagOf(name string) string { return strings.ReplaceAll(name, "_", "-") }

func (o *Option) property() *object {
	var one object
	one.add("type", o.Kind)
	if len(o.Values) > 0 {
		one.add("enum", o.Values)
	}
	p := &one
	if o.Repeated && o.Kind != Bool {
		p = &object{}
		p.add("type", "array")
		p.add("items", &one)
	} else if v, ok := o.defaultValue(); ok {
		p.add("default", v)
	}
	if o.Help != "" {
		p.add("description", o.Help)
	}
	return p
}

// defaultValue is the default in the option's type; a default that is not of
// it, or not one of the values, is left out.
func (o *Option) defaultValue() (any, bool) {
	if !o.HasDefault || len(o.Values) > 0 && !slices.Contains(o.Values, o.Default) {
		return nil, false
	}
	switch o.Kind {
	case Bool:
		b, err := strconv.ParseBool(o.Default)
		return b, err == nil
	case Integer:
		n, err := strconv.ParseInt(o.Default, 10, 64)
		return n, err == nil
	case Number:
		n := json.Number(o.Default)
		_, err := json.Marshal(n)
		return n, err == nil && o.Default != ""
	}
	return o.Default, true
}

func (a *Operand) property() *object {
	var one object
	one.add("type", "string")
	if len(a.Values) > 0 {
		one.add("enum", a.Values)
	}
	p := &one
	if a.Repeated {
		p = &object{}
		p.add("type", "array")
		p.add("items", &one)
	}
	if a.Help != "" {
		p.add("description", a.Help)
	}
	p.add(argvmap.Keyword, argvmap.Operand)
	return p
}

// object is a JSON object that keeps the order of its keys.
type object struct {
	keys   []string
	values []any
}

func (o *object) add(key string, value any) {
	o.keys, o.values = append(o.keys, key), append(o.values, value)
}

func (o *object) has(key string) bool { return slices.Contains(o.keys, key) }

// MarshalJSON implements json.Marshaler.
func (o *object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, k := range o.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(k); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(o.values[i]); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	var out bytes.Buffer
	err := json.Compact(&out, b.Bytes())
	return out.Bytes(), err
}
