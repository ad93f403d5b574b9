package toolresult

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds nested arrays and objects.
const maxDepth = 64

// debugObject reads what Rust's {:?} or {:#?} prints for a serde_json object,
// into JSON by field. The notation is that of the implementations of
// core::fmt::Debug of str, bool, the numbers, and of serde_json::Value, whose
// older versions write Array([..]) and Object({..}) with parentheses.
func debugObject(text string) (map[string]json.RawMessage, bool) {
	p := debugParser{rest: text}
	v, ok := p.value(0)
	fields, isObject := v.(map[string]any)
	if p.space(); !ok || !isObject || p.rest != "" {
		return nil, false
	}
	out := make(map[string]json.RawMessage, len(fields))
	for k, v := range fields {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, false
		}
		out[k] = raw
	}
	return out, true
}

// debugParser consumes rest from the front.
type debugParser struct{ rest string }

func (p *debugParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// take consumes one token if it comes next.
func (p *debugParser) take(token string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *debugParser) value(depth int) (any, bool) {
	if depth > maxDepth {
		return nil, false
	}
	switch {
	case p.take("Null"):
		return nil, true
	case p.take("Bool"):
		return p.inParens(func() (any, bool) {
			switch {
			case p.take("true"):
				return true, true
			case p.take("false"):
				return false, true
			}
			return nil, false
		})
	case p.take("Number"):
		return p.inParens(p.number)
	case p.take("String"):
		return p.inParens(func() (any, bool) { return p.str() })
	case p.take("Array"):
		return p.maybeInParens(func() (any, bool) { return p.array(depth + 1) })
	case p.take("Object"):
		return p.maybeInParens(func() (any, bool) { return p.object(depth + 1) })
	}
	return nil, false
}

// inParens reads ( what ), with the comma that {:#?} puts after it.
func (p *debugParser) inParens(what func() (any, bool)) (any, bool) {
	if !p.take("(") {
		return nil, false
	}
	v, ok := what()
	if !ok {
		return nil, false
	}
	p.take(",")
	return v, p.take(")")
}

func (p *debugParser) maybeInParens(what func() (any, bool)) (any, bool) {
	if p.space(); strings.HasPrefix(p.rest, "(") {
		return p.inParens(what)
	}
	return what()
}

func (p *debugParser) array(depth int) (any, bool) {
	if !p.take("[") {
		return nil, false
	}
	list := []any{}
	for !p.take("]") {
		v, ok := p.value(depth)
		if !ok {
			return nil, false
		}
		list = append(list, v)
		if !p.take(",") {
			return list, p.take("]")
		}
	}
	return list, true
}

func (p *debugParser) object(depth int) (any, bool) {
	if !p.take("{") {
		return nil, false
	}
	fields := map[string]any{}
	for !p.take("}") {
		key, ok := p.str()
		if !ok || !p.take(":") {
			return nil, false
		}
		v, ok := p.value(depth)
		if !ok {
			return nil, false
		}
		fields[key] = v
		if !p.take(",") {
			return fields, p.take("}")
		}
	}
	return fields, true
}

// number reads 5, -1.5 or 1e100; serde_json 0.9 writes PosInt(5), NegInt(-5)
// and Float(1.5).
func (p *debugParser) number() (any, bool) {
	for _, kind := range []string{"PosInt", "NegInt", "Float"} {
		if p.take(kind) {
			return p.inParens(p.number)
		}
	}
	p.space()
	end := 0
	for end < len(p.rest) && end < 64 && strings.IndexByte("+-.0123456789eE", p.rest[end]) >= 0 {
		end++
	}
	text := p.rest[:end]
	if !json.Valid([]byte(text)) {
		return nil, false
	}
	p.rest = p.rest[end:]
	return json.Number(text), true
}

// str reads a string as Rust's Debug of str escapes it.
func (p *debugParser) str() (string, bool) {
	if !p.take(`"`) {
		return "", false
	}
	var b strings.Builder
	for {
		i := strings.IndexAny(p.rest, `"\`)
		if i < 0 {
			return "", false
		}
		b.WriteString(p.rest[:i])
		quote := p.rest[i] == '"'
		p.rest = p.rest[i+1:]
		if quote {
			return strings.ToValidUTF8(b.String(), string(utf8.RuneError)), true
		}
		r, ok := p.escape()
		if !ok {
			return "", false
		}
		b.WriteRune(r)
	}
}

// escape reads what stands after a backslash.
func (p *debugParser) escape() (rune, bool) {
	if p.rest == "" {
		return 0, false
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	switch c {
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case '0':
		return 0, true
	case '"', '\'', '\\':
		return rune(c), true
	case 'u':
		digits, rest, ok := strings.Cut(p.rest, "}")
		if !ok || len(digits) < 2 || len(digits) > 7 || digits[0] != '{' {
			return 0, false
		}
		n, err := strconv.ParseUint(digits[1:], 16, 32)
		if err != nil || !utf8.ValidRune(rune(n)) {
			return 0, false
		}
		p.rest = rest
		return rune(n), true
	}
	return 0, false
}
