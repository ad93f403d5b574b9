package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"boxfleet/internal/argvmap"
)

// maxSchema is the largest input schema that is offered, in bytes. An agent
// pays for every one of them with each request to its model.
const maxSchema = 64 << 10

// maxText is the longest description of a tool or a property.
const maxText = 2 << 10

// stdinName is the property that is added to every tool's schema that has none
// of this name: most command-line tools read standard input, and an agent has
// no other way to give it.
const stdinName = "stdin"

const stdinSchema = `{"type":"string","description":"Text for the tool's standard input, if it reads any"}`

// plainSchema is what a tool takes that was registered without a schema.
const plainSchema = `{"type":"object","properties":{` +
	`"args":{"type":"array","items":{"type":"string"},"description":"Command-line arguments, one an element; no shell interprets them"},` +
	`"stdin":` + stdinSchema + `},"additionalProperties":false}`

// input is how a tool takes the arguments of a call.
type input struct {
	schema json.RawMessage // as listed
	mapper *argvmap.Mapper
	plain  bool // args and stdin, nothing else
	stdin  bool // the stdin property is ours, not the tool's
}

// newInput makes the input of a tool from its manifest's schema, which anyone
// may have written.
func newInput(schema []byte) (*input, error) {
	if len(bytes.TrimSpace(schema)) == 0 {
		mapper, err := argvmap.New([]byte(plainSchema))
		return &input{schema: json.RawMessage(plainSchema), mapper: mapper, plain: true, stdin: true}, err
	}
	if len(schema) > maxSchema {
		return nil, fmt.Errorf("its input schema has %d bytes, at most %d are offered", len(schema), maxSchema)
	}
	mapper, err := argvmap.New(schema)
	if err != nil {
		return nil, err
	}
	shown, added, err := shownSchema(schema)
	if err != nil {
		return nil, fmt.Errorf("its input schema: %w", err)
	}
	return &input{schema: shown, mapper: mapper, stdin: added}, nil
}

// shownSchema is a tool's schema as an agent sees it: an object, in which
// descriptions hide nothing, with a property for standard input.
func shownSchema(schema []byte) (shown json.RawMessage, added bool, err error) {
	clean, err := cleanJSON(schema, func(key, value string) string {
		switch key {
		case "description", "title", "$comment":
			value, _ = visible(value)
			return cut(value, maxText)
		}
		return value
	})
	if err != nil {
		return nil, false, err
	}
	var doc struct {
		Type       json.RawMessage            `json:"type"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(clean, &doc); err != nil {
		return nil, false, err
	}
	if bytes.Contains(clean, []byte(`"x-mcp-header"`)) {
		return nil, false, errors.New("x-mcp-header would put arguments into HTTP headers; register the tool without it")
	}
	clean = bytes.TrimSpace(clean)
	if doc.Type == nil {
		clean = insert(clean, `"type":"object"`)
	}
	if _, taken := doc.Properties[stdinName]; taken {
		return clean, false, nil
	}
	if len(doc.Properties) == 0 && !bytes.Contains(clean, []byte(`"properties"`)) {
		return insert(clean, `"properties":{"`+stdinName+`":`+stdinSchema+`}`), true, nil
	}
	return addProperty(clean), true, nil
}

// insert puts a member first into an object.
func insert(object []byte, member string) []byte {
	rest := bytes.TrimSpace(object[1:])
	if len(rest) > 0 && rest[0] != '}' {
		member += ","
	}
	return append([]byte("{"+member), rest...)
}

// addProperty puts the stdin property last into the object's "properties".
func addProperty(schema []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(schema))
	_, _ = dec.Token()
	for dec.More() {
		key, _ := dec.Token()
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return schema
		}
		if key != "properties" {
			continue
		}
		end := int(dec.InputOffset())
		member := `"` + stdinName + `":` + stdinSchema + "}"
		if !bytes.Equal(value, []byte("{}")) {
			member = "," + member
		}
		return append(append(append([]byte{}, schema[:end-1]...), member...), schema[end:]...)
	}
	return schema
}

// arguments turns a call's arguments into a command line and standard input.
// Errors say what the agent has to change.
func (in *input) arguments(raw json.RawMessage) (argv []string, stdin string, err error) {
	if len(bytes.TrimSpace(raw)) == 0 || string(raw) == "null" {
		raw = json.RawMessage("{}")
	}
	if in.plain {
		if _, err := in.mapper.Argv(raw); err != nil {
			return nil, "", err
		}
		var a struct {
			Args  []string `json:"args"`
			Stdin string   `json:"stdin"`
		}
		err := json.Unmarshal(raw, &a)
		return a.Args, a.Stdin, err
	}
	if in.stdin {
		if raw, stdin, err = takeStdin(raw); err != nil {
			return nil, "", err
		}
	}
	argv, err = in.mapper.Argv(raw)
	return argv, stdin, err
}

// takeStdin takes our own property off the arguments, so that the tool's
// schema, which may allow no others, judges the rest.
func takeStdin(raw json.RawMessage) (rest json.RawMessage, stdin string, err error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return raw, "", nil // the mapper says what is wrong
	}
	text, given := members[stdinName]
	if !given {
		return raw, "", nil
	}
	if string(text) != "null" {
		if err := json.Unmarshal(text, &stdin); err != nil {
			return nil, "", errors.New("input.stdin: want a string, the text for the tool's standard input")
		}
	}
	delete(members, stdinName)
	rest, err = json.Marshal(members)
	return rest, stdin, err
}
