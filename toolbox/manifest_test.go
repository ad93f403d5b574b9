package toolbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"boxfleet/toolbox/internal/guest"
	"boxfleet/toolbox/internal/manifest"
)

// silent are the tools that take no options and so have no help.
var silent = []string{"noop", "noop-go", "spin"}

// elsewhere are the tools that import more than WASI preview 1, which is all that
// these tests offer. They are run where the fleet's own hosts are.
var elsewhere = []string{"web-fetch"}

func TestEveryToolHasAManifest(t *testing.T) {
	var want []string
	for _, pattern := range []string{"cmd/*/main.go", "wat/*.wasm"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			path = strings.TrimSuffix(filepath.ToSlash(path), "/main.go")
			want = append(want, strings.TrimSuffix(filepath.Base(path), ".wasm"))
		}
	}
	var got []string
	for _, m := range manifests {
		got = append(got, m.Name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("manifests of %q, tools %q", got, want)
	}
}

func TestInputSchemasAreSchemas(t *testing.T) {
	for _, m := range manifests {
		if _, err := compileSchema(m); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}

func compileSchema(m *manifest.Manifest) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.InputSchema))
	if err != nil {
		return nil, err
	}
	if draft := document.(map[string]any)["$schema"]; draft != "https://json-schema.org/draft/2020-12/schema" {
		return nil, fmt.Errorf("$schema is %v: want 2020-12", draft)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(m.Name, document); err != nil {
		return nil, err
	}
	return compiler.Compile(m.Name)
}

// helpText is what a registry can read from `--help`.
type helpText struct {
	title, description, keywords, level string
	options                             map[string]helpOption
}

type helpOption struct {
	kind, text           string
	required, repeatable bool
	initial              string
	values               []string
}

var (
	optionLine = regexp.MustCompile(`^(?:  -[A-Za-z], |      )--([a-z0-9-]+)(?: <(STRING|NUMBER)>)? +(.*)$`)
	note       = regexp.MustCompile(` \[(required|repeatable|default|possible values)(?:: ([^\]]*))?\]`)
)

func parseHelp(t *testing.T, text string) helpText {
	t.Helper()
	lines := strings.Split(text, "\n")
	if len(lines) < 8 {
		t.Fatalf("help has %d lines:\n%s", len(lines), text)
	}
	h := helpText{title: lines[0], description: lines[1], options: make(map[string]helpOption)}
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
			t.Fatalf("not an option's line: %q", line)
		}
		o := helpOption{kind: match[2], text: note.ReplaceAllString(match[3], "")}
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
	return h
}

func TestManifestsSayWhatHelpSays(t *testing.T) {
	for _, m := range manifests {
		if slices.Contains(silent, m.Name) || slices.Contains(elsewhere, m.Name) {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			outcome, err := runner.Run(context.Background(), guest.Command{Tool: m.Name, Args: []string{"--help"}})
			if err != nil || outcome.Code != 0 || outcome.Stderr != "" {
				t.Fatalf("--help: %+v, %v", outcome, err)
			}
			h := parseHelp(t, outcome.Stdout)
			if want := m.Name + " " + m.Version; h.title != want {
				t.Errorf("help starts with %q: want %q", h.title, want)
			}
			if h.description != m.Description || h.keywords != strings.Join(m.Keywords, ", ") || h.level != m.PermissionLevel {
				t.Errorf("manifest %q %q %q; help %q %q %q",
					m.Description, m.Keywords, m.PermissionLevel, h.description, h.keywords, h.level)
			}
			delete(h.options, "help")
			compareSchema(t, m, h.options)
		})
	}
}

// property is the part of an input schema's property that help can say.
type property struct {
	Type        string
	Description string
	Default     any
	Enum        []string
	Items       struct{ Type string }
}

func compareSchema(t *testing.T, m *manifest.Manifest, options map[string]helpOption) {
	t.Helper()
	var schema struct {
		Properties           map[string]property
		Required             []string
		AdditionalProperties *bool
	}
	dec := json.NewDecoder(bytes.NewReader(m.InputSchema))
	dec.UseNumber()
	if err := dec.Decode(&schema); err != nil {
		t.Fatal(err)
	}
	if schema.AdditionalProperties == nil || *schema.AdditionalProperties {
		t.Error("the input schema lets unknown members through")
	}
	for name, o := range options {
		key := strings.ReplaceAll(name, "-", "_")
		got, ok := schema.Properties[key]
		if !ok {
			t.Errorf("--%s has no property %s", name, key)
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
			t.Errorf("property %s is %+v: help says %+v", key, got, want)
		}
		if slices.Contains(schema.Required, key) != o.required {
			t.Errorf("--%s: required is %v in help and not so in the schema", name, o.required)
		}
	}
	for key := range schema.Properties {
		t.Errorf("property %s is no option", key)
	}
}

// TestInputReachesTools runs tools with JSON input, checked by their schema and
// turned into arguments the way the fleet does it.
func TestInputReachesTools(t *testing.T) {
	tests := []struct {
		tool, input, stdin, want string
	}{
		{"jq", `{"filter":"-.a","compact_output":true}`, `{"a":5}`, "-5\n"},
		{"jq", `{"file":["/orders.json"],"filter":"length"}`, "", "2500\n"},
		{"jq", `{"file":["/orders.json"],"compact_output":true,"slurp":true,"filter":".[0][1].id"}`, "", "100001\n"},
		{"grep", `{"pattern":"-","fixed_strings":true,"count":true}`, "a-b\nc\n-d\n", "2\n"},
		{"grep", `{"pattern":"disk full","path":["/tree/logs"],"files_with_matches":true,"max_count":1,"include":["*-01.log"],"recursive":false}`, "",
			"/tree/logs/intake/2025-03-01.log\n/tree/logs/mailer/2025-03-01.log\n/tree/logs/router/2025-03-01.log\n"},
		{"sh", `{"command":"echo $2","arg":["one","-x"]}`, "", "-x\n"},
		{"sort", `{"numeric_sort":true,"reverse":true,"unique":null}`, "1\n10\n9\n", "10\n9\n1\n"},
		{"hello", `{"name":"--name"}`, "", "Hello, --name!\n"},
		{"probe", `{"do":"args","value":["-a","b c"]}`, "", "-a\nb c\n"},
	}
	dir := stage(t, map[string]string{"/orders.json": "testdata/orders.json", "/tree": "testdata/tree"})
	for _, test := range tests {
		t.Run(test.tool, func(t *testing.T) {
			i := slices.IndexFunc(manifests, func(m *manifest.Manifest) bool { return m.Name == test.tool })
			args := argv(t, manifests[i], test.input)
			outcome, err := runner.Run(context.Background(), guest.Command{
				Tool: test.tool, Args: args, Dir: dir, Stdin: strings.NewReader(test.stdin),
			})
			if err != nil || outcome.Code != 0 || outcome.Stdout != test.want {
				t.Errorf("%q: got %+v, %v; want %q", args, outcome, err, test.want)
			}
		})
	}
}

// argv maps checked input to arguments, in the order of their names.
func argv(t *testing.T, m *manifest.Manifest, input string) []string {
	t.Helper()
	schema, err := compileSchema(m)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	members := value.(map[string]any)
	for key, v := range members {
		if v == nil {
			delete(members, key) // null is the same as absent
		}
	}
	if err := schema.Validate(value); err != nil {
		t.Fatalf("input %s: %v", input, err)
	}
	var args []string
	keys := make([]string, 0, len(members))
	for key := range members {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		option := "--" + strings.ReplaceAll(key, "_", "-")
		list, ok := members[key].([]any)
		if !ok {
			list = []any{members[key]}
		}
		for _, v := range list {
			switch v {
			case true:
				args = append(args, option)
			case false:
			default:
				args = append(args, fmt.Sprintf("%s=%v", option, v))
			}
		}
	}
	return args
}

// stage copies files of the toolbox into a directory for a guest.
func stage(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for at, from := range files {
		target := filepath.Join(dir, filepath.FromSlash(at))
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(target, os.DirFS(from))
		} else {
			var data []byte
			if data, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(target, data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
