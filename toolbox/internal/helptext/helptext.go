// Package helptext reads what a tool of the toolbox prints for `--help` and holds
// it against the tool's manifest. The form is that of internal/command.
package helptext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"boxfleet/toolbox/internal/manifest"
)

// text is what a registry can read from `--help`.
type text struct {
	title, description, keywords, level string
	options                             map[string]option
}

type option struct {
	kind, text           string
	required, repeatable bool
	initial              string
	values               []string
}

var (
	optionLine = regexp.MustCompile(`^(?:  -[A-Za-z], |      )--([a-z0-9-]+)(?: <(STRING|NUMBER)>)? +(.*)$`)
	note       = regexp.MustCompile(` \[(required|repeatable|default|possible values)(?:: ([^\]]*))?\]`)
)

func parse(help string) (*text, error) {
	lines := strings.Split(help, "\n")
	if len(lines) < 8 {
		return nil, fmt.Errorf("the help has %d lines: want at least 8", len(lines))
	}
	h := &text{title: lines[0], description: lines[1], options: make(map[string]option)}
	for i, line := range lines {
		if value, ok := strings.CutPrefix(line, "Keywords: "); ok {
			h.keywords = value
		}
		if value, ok := strings.CutPrefix(line, "PermissionLevel: "); ok {
			h.level = value
		}
		if line == "Options:" {
			lines = lines[i+1:]
			break
		}
	}
	for _, line := range lines {
		if line == "" {
			continue
		}
		match := optionLine.FindStringSubmatch(line)
		if match == nil {
			return nil, fmt.Errorf("not an option's line: %q", line)
		}
		o := option{kind: match[2], text: note.ReplaceAllString(match[3], "")}
		for _, n := range note.FindAllStringSubmatch(match[3], -1) {
			switch n[1] {
			case "required":
				o.required = true
			case "repeatable":
				o.repeatable = true
			case "default":
				o.initial = n[2]
			case "possible values":
				o.values = strings.Split(n[2], ", ")
			}
		}
		h.options[match[1]] = o
	}
	return h, nil
}

// Compare lists where a manifest and a help text differ.
func Compare(m *manifest.Manifest, help string) []error {
	h, err := parse(help)
	if err != nil {
		return []error{err}
	}
	var differ []error
	if want := m.Name + " " + m.Version; h.title != want {
		differ = append(differ, fmt.Errorf("help starts with %q: want %q", h.title, want))
	}
	if h.description != m.Description || h.keywords != strings.Join(m.Keywords, ", ") || h.level != m.PermissionLevel {
		differ = append(differ, fmt.Errorf("manifest %q %q %q; help %q %q %q",
			m.Description, m.Keywords, m.PermissionLevel, h.description, h.keywords, h.level))
	}
	delete(h.options, "help")
	return append(differ, compareSchema(m, h.options)...)
}

// property is the part of an input schema's property that help can say.
type property struct {
	Type        string
	Description string
	Default     any
	Enum        []string
	Items       struct{ Type string }
}

func compareSchema(m *manifest.Manifest, options map[string]option) []error {
	var schema struct {
		Properties           map[string]property
		Required             []string
		AdditionalProperties *bool
	}
	dec := json.NewDecoder(bytes.NewReader(m.InputSchema))
	dec.UseNumber()
	if err := dec.Decode(&schema); err != nil {
		return []error{err}
	}
	var differ []error
	if schema.AdditionalProperties == nil || *schema.AdditionalProperties {
		differ = append(differ, fmt.Errorf("the input schema lets unknown members through"))
	}
	for name, o := range options {
		key := strings.ReplaceAll(name, "-", "_")
		got, ok := schema.Properties[key]
		if !ok {
			differ = append(differ, fmt.Errorf("--%s has no property %s", name, key))
			continue
		}
		delete(schema.Properties, key)
		want := property{Type: map[string]string{"": "boolean", "STRING": "string", "NUMBER": "integer"}[o.kind], Description: o.text, Enum: o.values}
		if o.repeatable {
			want.Items.Type, want.Type = want.Type, "array"
		}
		if o.initial != "" {
			want.Default = o.initial
		}
		if got.Default != nil {
			got.Default = fmt.Sprint(got.Default)
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			differ = append(differ, fmt.Errorf("property %s is %+v: help says %+v", key, got, want))
		}
		if slices.Contains(schema.Required, key) != o.required {
			differ = append(differ, fmt.Errorf("--%s: required is %v in help and not so in the schema", name, o.required))
		}
	}
	for key := range schema.Properties {
		differ = append(differ, fmt.Errorf("property %s is no option", key))
	}
	return differ
}

// Schema compiles a manifest's input schema, which has to say that it is one of
// JSON Schema 2020-12.
func Schema(m *manifest.Manifest) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.InputSchema))
	if err != nil {
		return nil, err
	}
	members, ok := document.(map[string]any)
	if !ok || members["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		return nil, fmt.Errorf("$schema is %v: want 2020-12", members["$schema"])
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(m.Name, document); err != nil {
		return nil, err
	}
	return compiler.Compile(m.Name)
}
