package argvmap_test

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
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

// positional has what stands on a command line without a name.
const positional = `{
  "type": "object",
  "properties": {
    "file": {"type": "array", "items": {"type": ["string", "number"]}, "x-argv": "operand"},
    "command": {"type": "string", "x-argv": "command"},
    "sub": {"x-argv": "command"},
    "pattern": {"x-argv": "operand"},
    "n": {"type": "integer"},
    "any": true
  }
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
		"words around the options":        {positional, `{"n":1,"pattern":"p","command":"run","sub":"fast","file":["a",2.0]}`, []string{"run", "fast", "--n=1", "a", "2", "p"}, ""},
		"operand with a dash":             {positional, `{"file":["a","-b"],"n":1}`, []string{"--n=1", "--", "a", "-b"}, ""},
		"dashes alone":                    {positional, `{"pattern":"--"}`, []string{"--", "--"}, ""},
		"empty operand":                   {positional, `{"file":[""]}`, []string{""}, ""},
		"null operand":                    {positional, `{"pattern":null,"any":null}`, nil, ""},
		"command with a dash":             {positional, `{"command":"--x"}`, nil, "would be taken for an option"},
		"empty command":                   {positional, `{"command":""}`, nil, "would be taken for an option"},
		"list of commands":                {positional, `{"sub":["a"]}`, nil, "a list cannot be an argument by position"},
		"operand of a bool":               {positional, `{"pattern":true}`, nil, "cannot be an argument by position"},
		"NUL in an operand":               {positional, `{"pattern":"a\u0000"}`, nil, "NUL"},
		"many operands":                   {"{\"properties\":{\"a\":{\"x-argv\":\"operand\"}}}", `{"a":[` + strings.Repeat("1,", 5000) + `1]}`, nil, "more than"},
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
		"bad role":      {`{"properties":{"a":{"x-argv":"first"}}}`, "property a: x-argv"},
		"no role":       {`{"properties":{"a":{"x-argv":1}}}`, "property a: x-argv"},
		"bad number":    {`{"properties":{"a":{"minimum":1e-99999999}}}`, "not a usable number"},
	} {
		if _, err := argvmap.New([]byte(tc.schema)); err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.err)
		}
	}
}

// TestInputComesBack maps inputs made at random and reads the arguments as a
// tool does: nothing is lost, added or taken for something else.
func TestInputComesBack(t *testing.T) {
	t.Parallel()
	m, err := argvmap.New([]byte(`{"type":"object","additionalProperties":false,"properties":{
		"text":{"type":"string"},"count":{"type":"integer"},"share":{"type":"number"},"all":{"type":"boolean"},
		"include":{"type":"array","items":{"type":"string"}},"path":{"type":"array","items":{"type":"string"},"x-argv":"operand"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"", "-", "--", "--text=x", "=", " ", "a b", "\n", "é", "日本", "'", "\"", "\\", "$(x)", "-1", "*", "\ufffd"}
	word := func() string {
		var b strings.Builder
		for range random.IntN(4) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return b.String()
	}
	words := func() []string {
		out := []string{}
		for range random.IntN(4) {
			out = append(out, word())
		}
		return out
	}
	for range 2000 {
		in := map[string]any{}
		for name, make := range map[string]func() any{
			"text": func() any { return word() }, "count": func() any { return float64(random.IntN(1<<30) - 1<<29) },
			"share": func() any { return random.NormFloat64() }, "all": func() any { return true },
			"include": func() any { return words() }, "path": func() any { return words() },
		} {
			if random.IntN(2) == 0 {
				in[name] = make()
			}
		}
		input, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		argv, err := m.Argv(input)
		if err != nil {
			t.Fatalf("%s: %v", input, err)
		}
		back := map[string]any{}
		list := func(name string) []string { l, _ := back[name].([]string); return l }
		options := true
		for _, a := range argv {
			name, value, valued := strings.Cut(strings.TrimPrefix(a, "--"), "=")
			switch {
			case options && a == "--":
				options = false
			case !options || !strings.HasPrefix(a, "-"):
				back["path"] = append(list("path"), a)
			case name == "include":
				back["include"] = append(list("include"), value)
			case !valued:
				back[name] = true
			case name == "text":
				back[name] = value
			default:
				if back[name], err = strconv.ParseFloat(value, 64); err != nil {
					t.Fatalf("%s: %q", input, a)
				}
			}
		}
		for _, name := range []string{"include", "path"} { // an empty list is no argument
			if l, ok := in[name].([]string); ok && len(l) == 0 {
				delete(in, name)
			}
		}
		if !reflect.DeepEqual(in, back) {
			t.Fatalf("%s became %q, which reads %v", input, argv, back)
		}
	}
}

// FuzzArgv holds every mapping to its promises: one word per option, no NUL,
// the same arguments for the same input.
func FuzzArgv(f *testing.F) {
	for _, seed := range []string{`{"file_path":"a"}`, `{"file_path":"--","offset":1.0}`, `{"a":[1,null,true,{"b":[]}]}`, `{"n":-1e-7}`, `{"_":"x"}`, `[]`, `{"a":"\ud800"}`} {
		f.Add(schema, []byte(seed))
		f.Add("", []byte(seed))
		f.Add(positional, []byte(seed))
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
			if strings.Contains(schema, "x-argv") && !strings.Contains(a, "\x00") {
				continue // bare words
			}
			if !strings.HasPrefix(a, "--") || len(a) < 3 || strings.Contains(a, "\x00") {
				t.Fatalf("argument %q of %q", a, input)
			}
		}
		if again, err := m.Argv(input); err != nil || !slices.Equal(first, again) {
			t.Fatalf("%q gave %q and then %q, %v", input, first, again, err)
		}
	})
}
