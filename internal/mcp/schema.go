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
	if bytes.Contains(clean, []byte(`"x-mcp-header"`)) {
		return nil, false, errors.New("x-mcp-header would put arguments into HTTP headers; register the tool without it")
	}
	doc, err := members(clean)
	if err != nil {
		return nil, false, err
	}
	if doc.get("type") == nil {
		doc.list = append([]member{{"type", json.RawMessage(`"object"`)}}, doc.list...)
	}
	properties := object{}
	if raw := doc.get("properties"); raw != nil {
		if properties, err = members(*raw); err != nil {
			return nil, false, fmt.Errorf("properties: %w", err)
		}
	}
	if properties.get(stdinName) != nil {
		return doc.encode(), false, nil
	}
	properties.list = append(properties.list, member{stdinName, json.RawMessage(stdinSchema)})
	doc.set("properties", properties.encode())
	return doc.encode(), true, nil
}

// object is a JSON object whose members keep their order.
type object struct{ list []member }

type member struct {
	key   string
	value json.RawMessage
}

// members takes an object apart. A key given twice is refused: readers differ
// in which one they take.
func members(data []byte) (object, error) {
	var o object
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return o, errors.New("want a JSON object")
	}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return o, err
		}
		key, _ := tok.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return o, err
		}
		if o.get(key) != nil {
			return o, fmt.Errorf("%q is given twice", cut(key, maxName))
		}
		o.list = append(o.list, member{key, value})
	}
	return o, nil
}

func (o *object) get(key string) *json.RawMessage {
	for i := range o.list {
		if o.list[i].key == key {
			return &o.list[i].value
		}
	}
	return nil
}

func (o *object) set(key string, value json.RawMessage) {
	if old := o.get(key); old != nil {
		*old = value
		return
	}
	o.list = append(o.list, member{key, value})
}

func (o *object) encode() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o.list {
		if i > 0 {
			b.WriteByte(',')
		}
		key, _ := json.Marshal(m.key) // a string always encodes
		b.Write(key)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
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
