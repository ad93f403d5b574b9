// Package schema makes the JSON Schemas (2020-12) of what users write and
// read: the job, a line of a batch file, the result. They are generated from
// the Go types, and published in docs/schema; a test fails when those files
// are out of date.
package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"boxfleet/artifacts"
	"boxfleet/internal/batchfile"
	"boxfleet/jobs"
	"boxfleet/limits"
)

//go:generate go run ./generate ../../docs/schema

// Document is one schema file.
type Document struct {
	Name  string // file name
	title string
	about string
	of    any
}

// Documents lists all schema files.
var Documents = []Document{
	{"job.schema.json", "boxfleet job", "One run of one tool, as it travels through the queue.", jobs.Job{}},
	{"batch-line.schema.json", "boxfleet batch line", "One line of a file for `submit batch`. Sources may also be local directories, which are uploaded.", batchfile.Line{}},
	{"result.schema.json", "boxfleet result", "How a job ended and what it cost: what `submit run --json` and `submit result --json` print.", jobs.Result{}},
}

// JSON gives the schema's text, ending in a newline.
func (d Document) JSON() ([]byte, error) {
	r := jsonschema.Reflector{Anonymous: true, Mapper: special}
	s := r.Reflect(d.of)
	s.ID = jsonschema.ID(d.Name)
	s.Title, s.Description = d.title, d.about
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", d.Name, err)
	}
	for escaped, plain := range map[string]string{`\u003c`: "<", `\u003e`: ">", `\u0026`: "&"} {
		text = bytes.ReplaceAll(text, []byte(escaped), []byte(plain)) // for people; it is the same JSON
	}
	return append(text, '\n'), nil
}

// special gives the schemas of types whose JSON form their own code decides.
func special(t reflect.Type) *jsonschema.Schema {
	text := func(about string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Description: about}
	}
	whole := &jsonschema.Schema{Type: "integer", Minimum: "0"}
	either := func(about string, of ...*jsonschema.Schema) *jsonschema.Schema {
		return &jsonschema.Schema{OneOf: of, Description: about}
	}
	switch t {
	case reflect.TypeFor[uint64]():
		return whole
	case reflect.TypeFor[limits.Bytes]():
		return either("bytes", whole, text("an amount with a unit, such as 64MiB or 10 MB"))
	case reflect.TypeFor[limits.Duration]():
		return either("time", &jsonschema.Schema{Type: "number", Minimum: "0", Description: "seconds"}, text("a duration, such as 250ms, 10s or 2m"))
	case reflect.TypeFor[limits.StringList]():
		return either("one or more", text(""), &jsonschema.Schema{Type: "array", Items: text("")})
	case reflect.TypeFor[limits.Mount]():
		return either("a mount; a text is the source of a read-only one", text("s3://bucket/prefix/ or sha256:<digest>"), fields(t))
	case reflect.TypeFor[jobs.Stdin]():
		return either("standard input", text("the text itself"), fields(t))
	case reflect.TypeFor[jobs.Text]():
		base64 := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), Required: []string{"base64"}, AdditionalProperties: jsonschema.FalseSchema}
		base64.Properties.Set("base64", &jsonschema.Schema{Type: "string", ContentEncoding: "base64"})
		return either("output bytes", text("when they are UTF-8"), base64)
	case reflect.TypeFor[artifacts.Digest]():
		return &jsonschema.Schema{Type: "string", Pattern: "^sha256:[0-9a-f]{64}$"}
	case reflect.TypeFor[jobs.Outcome]():
		s := text("")
		for _, o := range jobs.Outcomes {
			s.Enum = append(s.Enum, o)
		}
		return s
	case reflect.TypeFor[json.RawMessage]():
		return &jsonschema.Schema{Type: "object"} // the one there is: a tool's input
	}
	return nil
}

// fields is the object form of a type that has another form too. Its members
// are described where they are, because a reflector called with the type
// itself would ask special again.
func fields(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		member := &jsonschema.Schema{Type: "string"}
		for part := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
			if about, ok := strings.CutPrefix(part, "description="); ok {
				member.Description = about
			}
			if value, ok := strings.CutPrefix(part, "enum="); ok {
				member.Enum = append(member.Enum, value)
			}
		}
		s.Properties.Set(name, member)
	}
	return s
}
