package argvmap_test

import (
	"slices"
	"strings"
	"testing"

	"boxfleet/internal/argvmap"
)

const schema = `{
  "type": "object",
  "properties": {
    "file_path": {"type": "string"},
    "offset": {"type": "integer", "minimum": 0},
    "limit": {"type": "number"},
    "replace_all": {"type": "boolean"},
    "include": {"type": "array", "items": {"type": "string"}},
    "mode": {"enum": ["a", "b"]}
  },
  "required": ["file_path"],
  "additionalProperties": false
}`

func TestArgv(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		schema, input string
		want          []string
		err           string
	}{
		"order of the schema":             {schema, `{"limit":5,"file_path":"a","offset":0}`, []string{"--file-path=a", "--offset=0", "--limit=5"}, ""},
		"leading dash stays in the value": {schema, `{"file_path":"--x"}`, []string{"--file-path=--x"}, ""},
		"empty string":                    {schema, `{"file_path":""}`, []string{"--file-path="}, ""},
		"true is bare":                    {schema, `{"file_path":"a","replace_all":true}`, []string{"--file-path=a", "--replace-all"}, ""},
		"false is left out":               {schema, `{"file_path":"a","replace_all":false}`, []string{"--file-path=a"}, ""},
		"null without type":               {"", `{"x":null}`, nil, ""},
		"list repeats":                    {schema, `{"file_path":"a","include":["*.go","*.md"]}`, []string{"--file-path=a", "--include=*.go", "--include=*.md"}, ""},
		"whole number":                    {"", `{"n":5.0}`, []string{"--n=5"}, ""},
		"exponent":                        {"", `{"n":1e3}`, []string{"--n=1000"}, ""},
		"fraction":                        {"", `{"n":2.50}`, []string{"--n=2.5"}, ""},
		"negative zero":                   {"", `{"a":-0,"b":-0.0}`, []string{"--a=0", "--b=0"}, ""},
		"exact integer":                   {"", `{"n":12345678901234567890123}`, []string{"--n=12345678901234567890123"}, ""},
		"object":                          {"", `{"o":{"b":1,"a":2}}`, []string{`--o={"a":2,"b":1}`}, ""},
		"unknown sorted":                  {"", `{"b":1,"a":2}`, []string{"--a=2", "--b=1"}, ""},
		"empty object":                    {"", `{}`, nil, ""},
		"not an object":                   {"", `[1]`, nil, "input is a list"},
		"not JSON":                        {"", `{`, nil, "not JSON"},
		"more data":                       {"", `{} {}`, nil, "more data"},
		"missing":                         {schema, `{}`, nil, "file_path"},
		"wrong type":                      {schema, `{"file_path":1}`, nil, "input.file_path"},
		"slip":                            {schema, `{"file_path":"a","ofset":1}`, nil, `did you mean "offset"?`},
		"enum":                            {schema, `{"file_path":"a","mode":"c"}`, nil, "input.mode"},
		"two keys one flag":               {"", `{"a_b":1,"a-b":2}`, nil, "both --a-b"},
		"key with =":                      {"", `{"a=b":1}`, nil, "cannot be an option"},
		"key with dash":                   {"", `{"-x":1}`, nil, "cannot be an option"},
		"empty key":                       {"", `{"":1}`, nil, "cannot be an option"},
		"NUL":                             {"", `{"a":"x\u0000y"}`, nil, "NUL"},
		"nested list":                     {"", `{"a":[[1]]}`, nil, "list within a list"},
		"huge exponent":                   {schema, `{"file_path":"a","limit":1e1000000000}`, nil, "not a usable number"},
		"tiny exponent":                   {schema, `{"file_path":"a","limit":1e-1000000000}`, nil, "not a usable number"},
		"infinite no schema":              {"", `{"a":1e999}`, nil, "too large"},
		"long list":                       {"", `{"a":[` + strings.Repeat("1,", 5000) + `1]}`, nil, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := argvmap.New([]byte(tc.schema))
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Argv([]byte(tc.input))
			switch {
			case tc.err == "" && err != nil:
				t.Fatalf("unexpected error: %v", err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Fatalf("error %v, want one with %q", err, tc.err)
			case !slices.Equal(got, tc.want):
				t.Fatalf("argv %q, want %q", got, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
		})
	}
}

func TestBadSchemas(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ schema, err string }{
		"not JSON":      {`{`, "not JSON"},
		"not an object": {`true`, "must be a JSON object"},
		"wrong type":    {`{"type":"array"}`, "the input of a tool is an object"},
		"bad keyword":   {`{"type":"object","required":"x"}`, "not a JSON Schema"},
		"file":          {`{"$ref":"file:///etc/passwd"}`, "must not refer to other documents"},
		"address":       {`{"$ref":"http://127.0.0.1:1/x"}`, "must not refer to other documents"},
		"bad number":    {`{"properties":{"a":{"minimum":1e-99999999}}}`, "not a usable number"},
	} {
		if _, err := argvmap.New([]byte(tc.schema)); err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.err)
		}
	}
}

// FuzzArgv holds every mapping to its promises: one word per option, no NUL,
// the same arguments for the same input.
func FuzzArgv(f *testing.F) {
	for _, seed := range []string{`{"file_path":"a"}`, `{"file_path":"--","offset":1.0}`, `{"a":[1,null,true,{"b":[]}]}`, `{"n":-1e-7}`, `{"_":"x"}`, `[]`, `{"a":"\ud800"}`} {
		f.Add(schema, []byte(seed))
		f.Add("", []byte(seed))
	}
	f.Add(`{"$ref":"#"}`, []byte(`{}`))
	f.Fuzz(func(t *testing.T, schema string, input []byte) {
		m, err := argvmap.New([]byte(schema))
		if err != nil {
			return
		}
		first, err := m.Argv(input)
		if err != nil {
			return
		}
		for _, a := range first {
			if !strings.HasPrefix(a, "--") || len(a) < 3 || strings.Contains(a, "\x00") {
				t.Fatalf("argument %q of %q", a, input)
			}
		}
		if again, err := m.Argv(input); err != nil || !slices.Equal(first, again) {
			t.Fatalf("%q gave %q and then %q, %v", input, first, again, err)
		}
	})
}
