package argvmap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"boxfleet/internal/strictjson"
)

// validator checks inputs against one schema.
type validator struct {
	schema *jsonschema.Schema
	known  []string // property names, for suggestions
}

// refuseLoader keeps a schema, which anyone may have pushed, from making the
// client read files or addresses by $ref.
type refuseLoader struct{}

func (refuseLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: a schema must not refer to other documents; put the definition under $defs", url)
}

func compile(schema []byte) (*validator, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	obj, ok := doc.(map[string]any)
	if !ok {
		return nil, errors.New("a tool's schema must be a JSON object")
	}
	if t, given := obj["type"]; given && t != "object" {
		return nil, fmt.Errorf("its type is %v; the input of a tool is an object", t)
	}
	if err := checkNumbers(doc, "schema"); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(refuseLoader{})
	const at = "tool:///input.json"
	if err := c.AddResource(at, doc); err != nil {
		return nil, err
	}
	s, err := c.Compile(at)
	if err != nil {
		return nil, fmt.Errorf("not a JSON Schema: %w", err)
	}
	return &validator{schema: s, known: propertyOrder(schema)}, nil
}

func (v *validator) validate(input any) error {
	if err := checkNumbers(input, "input"); err != nil {
		return err
	}
	err := v.schema.Validate(input)
	var ve *jsonschema.ValidationError
	if !errors.As(err, &ve) {
		return err
	}
	var reasons []string
	v.leaves(ve, &reasons)
	slices.Sort(reasons)
	return errors.New(strings.Join(slices.Compact(reasons), "; "))
}

var english = message.NewPrinter(language.English)

// leaves collects the innermost causes, each as "input.path: what is wrong".
func (v *validator) leaves(e *jsonschema.ValidationError, out *[]string) {
	if len(e.Causes) > 0 {
		for _, c := range e.Causes {
			v.leaves(c, out)
		}
		return
	}
	at := "input"
	for _, step := range e.InstanceLocation {
		if _, err := strconv.Atoi(step); err == nil {
			at += "[" + step + "]"
		} else {
			at += "." + step
		}
	}
	text := e.ErrorKind.LocalizedString(english)
	if extra, ok := e.ErrorKind.(*kind.AdditionalProperties); ok && len(e.InstanceLocation) == 0 {
		text = ""
		for i, name := range extra.Properties {
			if i > 0 {
				text += ", "
			}
			text += fmt.Sprintf("%q is no input of this tool", name)
			if near := strictjson.Nearest(name, v.known); near != "" {
				text += fmt.Sprintf("; did you mean %q?", near)
			}
		}
	}
	*out = append(*out, at+": "+text)
}

// checkNumbers refuses numbers whose exponent would make exact arithmetic,
// which the schema's numeric rules use, take minutes and gigabytes.
func checkNumbers(v any, at string) error {
	switch v := v.(type) {
	case json.Number:
		text := v.String()
		f, err := strconv.ParseFloat(text, 64)
		if i := strings.IndexAny(text, "eE"); i >= 0 && err == nil {
			exp, expErr := strconv.Atoi(strings.TrimPrefix(text[i+1:], "+"))
			if expErr != nil || exp > 400 || exp < -400 {
				err = strconv.ErrRange
			}
		}
		if err != nil || math.IsInf(f, 0) || len(text) > 1024 {
			return fmt.Errorf("%s: %.40s is not a usable number", at, text)
		}
	case []any:
		for i, e := range v {
			if err := checkNumbers(e, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, e := range v {
			if err := checkNumbers(e, at+"."+k); err != nil {
				return err
			}
		}
	}
	return nil
}
