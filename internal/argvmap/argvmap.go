// Package argvmap turns the JSON input of a tool into the arguments of its
// command line, as the tool's input schema orders them. It is what lets a
// program or an agent that speaks JSON call a command-line tool.
//
// The rules:
//
//   - a key's `_` becomes `-`: {"file_path": "a"} is --file-path=a;
//   - always the one-word form --key=value: a value that starts with - would
//     be taken for an option in the two-word form;
//   - true is the bare flag --key; false and null are left out;
//   - whole numbers print without a fraction: 5, 5.0 and 5e0 are all --n=5;
//   - a list repeats the flag, once for each element;
//   - an object is passed as its JSON text.
//
// Flags come in the order of the schema's properties, then those it does not
// name in the order of their names, so that equal inputs give equal arguments.
//
// A property of the schema may say, by the keyword x-argv, that it is no option:
// "command" is a bare word before all options, for tools with subcommands, and
// "operand" one or more bare words after them, for tools that take files or
// patterns by position. A "--" stands before operands when one of them begins
// with a dash.
package argvmap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxArgs bounds what a list may become.
const maxArgs = 4096

// Keyword is the schema keyword that makes a property something else than an
// option; Command and Operand are its values.
const (
	Keyword = "x-argv"
	Command = "command"
	Operand = "operand"
)

// Mapper maps inputs by one schema. It is safe for concurrent use.
type Mapper struct {
	order  map[string]int
	roles  map[string]string // of properties that are no options
	schema *validator        // nil: no schema
}

// New reads a tool's input schema (JSON Schema 2020-12); an empty one accepts
// every object.
func New(schema []byte) (*Mapper, error) {
	m := &Mapper{order: map[string]int{}, roles: map[string]string{}}
	if len(bytes.TrimSpace(schema)) == 0 {
		return m, nil
	}
	var err error
	if m.schema, err = compile(schema); err != nil {
		return nil, fmt.Errorf("input schema: %w", err)
	}
	for i, name := range propertyOrder(schema) {
		m.order[name] = i
	}
	if m.roles, err = roles(schema); err != nil {
		return nil, fmt.Errorf("input schema: %w", err)
	}
	return m, nil
}

// Argv gives the arguments for one input, which must be a JSON object.
func (m *Mapper) Argv(input []byte) ([]string, error) {
	dec := json.NewDecoder(bytes.NewReader(input))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("input is not JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("input: more data after the JSON object")
	}
	obj, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("input is %s; want a JSON object whose keys are the tool's options", kindOf(v))
	}
	if m.schema != nil {
		if err := m.schema.validate(obj); err != nil {
			return nil, err
		}
	}
	keys := make([]string, 0, len(obj))
	for k := range obj {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, m.compare)
	var commands, argv, operands []string
	from := map[string]string{}
	for _, k := range keys {
		var err error
		switch m.roles[k] {
		case Command:
			commands, err = appendWord(commands, k, obj[k], false)
			if n := len(commands); err == nil && n > 0 && (commands[n-1] == "" || commands[n-1][0] == '-') {
				err = fmt.Errorf("input.%s: %q would be taken for an option", k, commands[n-1])
			}
		case Operand:
			operands, err = appendWord(operands, k, obj[k], true)
		}
		if err != nil {
			return nil, err
		}
		if m.roles[k] != "" {
			continue
		}
		flag, err := flagName(k)
		if err != nil {
			return nil, err
		}
		if other, twice := from[flag]; twice {
			return nil, fmt.Errorf("input.%s and input.%s are both %s; give one", other, k, flag)
		}
		from[flag] = k
		if argv, err = appendValue(argv, flag, k, obj[k], true); err != nil {
			return nil, err
		}
	}
	argv = append(commands, argv...)
	if slices.ContainsFunc(operands, func(word string) bool { return strings.HasPrefix(word, "-") }) {
		argv = append(argv, "--")
	}
	if argv = append(argv, operands...); len(argv) > maxArgs {
		return nil, fmt.Errorf("input: more than %d arguments; pass long lists by a file", maxArgs)
	}
	return argv, nil
}

// appendWord adds a value as a bare word, or the elements of a list as one each.
func appendWord(words []string, key string, v any, listed bool) ([]string, error) {
	if list, ok := v.([]any); ok && listed {
		var err error
		for _, e := range list {
			if words, err = appendWord(words, key, e, false); err != nil {
				return nil, err
			}
		}
		return words, nil
	}
	var text string
	switch v := v.(type) {
	case nil:
		return words, nil
	case string:
		text = v
	case json.Number:
		var err error
		if text, err = number(v); err != nil {
			return nil, fmt.Errorf("input.%s: %w", key, err)
		}
	default:
		return nil, fmt.Errorf("input.%s: %s cannot be an argument by position; give text", key, kindOf(v))
	}
	switch {
	case strings.Contains(text, "\x00"):
		return nil, fmt.Errorf("input.%s: the value has a NUL byte, which no argument can hold", key)
	case len(words) >= maxArgs:
		return nil, fmt.Errorf("input.%s: more than %d arguments; pass long lists by a file", key, maxArgs)
	}
	return append(words, text), nil
}

// roles reads which properties are no options.
func roles(schema []byte) (map[string]string, error) {
	var doc struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(schema, &doc); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, raw := range doc.Properties {
		var p map[string]json.RawMessage
		if json.Unmarshal(raw, &p) != nil || p[Keyword] == nil { // true and false are schemas too
			continue
		}
		var role string
		if err := json.Unmarshal(p[Keyword], &role); err != nil || role != Command && role != Operand {
			return nil, fmt.Errorf("property %s: %s is %s; write %q or %q", name, Keyword, p[Keyword], Command, Operand)
		}
		out[name] = role
	}
	return out, nil
}

// compare orders keys as the schema does, and unknown ones by name after them.
func (m *Mapper) compare(a, b string) int {
	i, knownA := m.order[a]
	j, knownB := m.order[b]
	switch {
	case knownA && knownB:
		return i - j
	case knownA:
		return -1
	case knownB:
		return 1
	}
	return strings.Compare(a, b)
}

// flagName is the option that a key stands for.
func flagName(key string) (string, error) {
	bad := key == "" || key[0] == '-' || strings.ContainsFunc(key, func(r rune) bool {
		return r == '=' || r <= ' ' || r == 0x7f
	})
	if bad {
		return "", fmt.Errorf("input key %q cannot be an option: use letters, digits, _ and -", key)
	}
	return "--" + strings.ReplaceAll(key, "_", "-"), nil
}

func appendValue(argv []string, flag, key string, v any, listed bool) ([]string, error) {
	if len(argv) >= maxArgs {
		return nil, fmt.Errorf("input.%s: more than %d arguments; pass long lists by a file", key, maxArgs)
	}
	switch v := v.(type) {
	case nil:
		return argv, nil
	case bool:
		if !v {
			return argv, nil
		}
		return append(argv, flag), nil
	case string:
		if strings.Contains(v, "\x00") {
			return nil, fmt.Errorf("input.%s: the value has a NUL byte, which no argument can hold", key)
		}
		return append(argv, flag+"="+v), nil
	case json.Number:
		text, err := number(v)
		if err != nil {
			return nil, fmt.Errorf("input.%s: %w", key, err)
		}
		return append(argv, flag+"="+text), nil
	case []any:
		if !listed {
			return nil, fmt.Errorf("input.%s: a list within a list cannot be an argument", key)
		}
		var err error
		for _, e := range v {
			if argv, err = appendValue(argv, flag, key, e, false); err != nil {
				return nil, err
			}
		}
		return argv, nil
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("input.%s: %w", key, err)
		}
		return append(argv, flag+"="+string(text)), nil
	}
}

// number writes a JSON number the way a command line expects it: no exponent,
// no fraction of zero, and an integer of any size digit for digit.
func number(n json.Number) (string, error) {
	text := n.String()
	if !strings.ContainsAny(text, ".eE") {
		if text == "-0" {
			return "0", nil
		}
		return text, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return "", fmt.Errorf("%.40s is too large for a number", text)
	}
	if f == 0 {
		return "0", nil
	}
	return strconv.FormatFloat(f, 'f', -1, 64), nil
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case []any:
		return "a list"
	}
	return "an object"
}

// propertyOrder lists the keys of the schema's "properties" as they stand.
func propertyOrder(schema []byte) []string {
	var doc struct {
		Properties json.RawMessage `json:"properties"`
	}
	if json.Unmarshal(schema, &doc) != nil || len(doc.Properties) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(doc.Properties))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil
	}
	var names []string
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return names
		}
		name, _ := tok.(string)
		names = append(names, name)
		var skip json.RawMessage
		if dec.Decode(&skip) != nil {
			return names
		}
	}
	return names
}
