package helptext

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/command"
	"boxfleet/toolbox/internal/manifest"
)

// TestCompare sees that what agrees is found to agree, and each difference is
// named.
func TestCompare(t *testing.T) {
	schema := `{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
		"properties": {
			"file": {"type": "array", "items": {"type": "string"}, "description": "A file"},
			"max_count": {"type": "integer", "description": "At most so many", "default": 5},
			"kind": {"type": "string", "description": "Which", "enum": ["a", "b"]},
			"all": {"type": "boolean", "description": "All of them"}},
		"required": ["kind"]}`
	var files []string
	var kind string
	var all bool
	count := 5
	cmd := &command.Command{
		Name: "tool", Version: "1.0.0", Description: "Does it.", Keywords: []string{"one", "two"}, Permission: "none",
		Options: []*command.Option{
			command.Strings(&files, "file", "A file"), command.Number(&count, "max-count", "At most so many").Short('m'),
			command.String(&kind, "kind", "Which").OneOf("a", "b").Required(), command.Bool(&all, "all", "All of them"),
		},
	}
	help := cmd.Help()
	tests := []struct {
		name, from, to string // a change to the schema, or with help: to the help
		help           bool
		says           string // one of the differences; empty: none
	}{
		{"the same", "", "", false, ""},
		{"title", "tool 1.0.0", "tool 1.0.1", true, `"tool 1.0.1": want "tool 1.0.0"`},
		{"level", "PermissionLevel: none", "PermissionLevel: write", true, `"write"`},
		{"keywords", "one, two", "two, one", true, `"two, one"`},
		{"no option's line", "      --all", "all", true, "not an option's line"},
		{"too short", help, "tool 1.0.0\n", true, "has 2 lines"},
		{"a kind", "<NUMBER>", "<STRING>", true, "property max_count is"},
		{"another default", `"default": 5`, `"default": 6`, false, "property max_count is"},
		{"no list", `"type": "array", "items": {"type": "string"}`, `"type": "string"`, false, "property file is"},
		{"other values", `["a", "b"]`, `["a"]`, false, "property kind is"},
		{"not required", `["kind"]`, `[]`, false, "--kind: required is true"},
		{"a member more", `"kind": {`, `"more": {}, "kind": {`, false, "property more is no option"},
		{"a member less", `"all": {"type"`, `"al": {"type"`, false, "--all has no property all"},
		{"open", `"additionalProperties": false`, `"additionalProperties": true`, false, "lets unknown members through"},
		{"no JSON", "{", "[", false, "cannot unmarshal"},
	}
	for _, test := range tests {
		s, h := schema, help
		if test.help {
			h = strings.Replace(h, test.from, test.to, 1)
		} else if test.from != "" {
			s = strings.Replace(s, test.from, test.to, 1)
		}
		if test.name == "no JSON" {
			s = `[1]`
		}
		m := &manifest.Manifest{Name: "tool", Version: "1.0.0", Description: "Does it.", Keywords: []string{"one", "two"}, PermissionLevel: "none", InputSchema: json.RawMessage(s)}
		differ := Compare(m, h)
		if test.says == "" && len(differ) > 0 || test.says != "" && !slices.ContainsFunc(differ, func(err error) bool { return strings.Contains(err.Error(), test.says) }) {
			t.Errorf("%s: got %v; want %q", test.name, differ, test.says)
		}
	}
}

func TestSchema(t *testing.T) {
	for text, says := range map[string]string{
		`{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}`: "",
		`{"type": "object"}`: "want 2020-12",
		`[]`:                 "want 2020-12",
		`{`:                  "unexpected",
		`{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": 1}`: "tool",
	} {
		_, err := Schema(&manifest.Manifest{Name: "tool", InputSchema: json.RawMessage(text)})
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(strings.ToLower(err.Error()), says)) {
			t.Errorf("%s: %v; want %q", text, err, says)
		}
	}
}
