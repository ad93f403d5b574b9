package batchfile

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// shape is what keys a JSON value may have, compiled from a Go type.
type shape struct {
	fields map[string]field // of a struct
	elem   *shape           // of a list or map; nil: anything
}

type field struct {
	bit   uint64
	shape *shape
}

var lineShape = shapeOf(reflect.TypeFor[Line]())

func shapeOf(t reflect.Type) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[json.RawMessage](), t == reflect.TypeFor[time.Time]():
		return nil
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Map:
		return &shape{elem: shapeOf(t.Elem())}
	case t.Kind() != reflect.Struct:
		return nil
	}
	s := &shape{fields: map[string]field{}}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" || i >= 64 {
			panic("batchfile: " + t.String() + " has a field without a JSON name, or more than 64")
		}
		s.fields[name] = field{1 << i, shapeOf(t.Field(i).Type)}
	}
	return s
}

// maxFree is the most keys of a free-form object that clean compares with one
// another.
const maxFree = 16

// clean looks at the keys of data, which must be valid JSON: known ones only,
// each once, written as they are. False means "not sure", never "wrong".
func clean(data []byte, s *shape) bool {
	k := keys{data: data}
	return k.value(s)
}

// keys walks valid JSON byte by byte.
type keys struct {
	data []byte
	i    int
}

func (k *keys) space() {
	for k.i < len(k.data) {
		switch k.data[k.i] {
		case ' ', '\t', '\n', '\r':
			k.i++
		default:
			return
		}
	}
}

func (k *keys) value(s *shape) bool {
	k.space()
	switch k.data[k.i] {
	case '{':
		return k.object(s)
	case '[':
		return k.list(s)
	case '"':
		k.text()
	default: // a number or a word
		for k.i < len(k.data) && !strings.ContainsRune(",]} \t\r\n", rune(k.data[k.i])) {
			k.i++
		}
	}
	return true
}

// text steps over a string and gives what is between the quotes, with escapes
// as they stand.
func (k *keys) text() []byte {
	k.i++
	start := k.i
	for k.data[k.i] != '"' {
		if k.data[k.i] == '\\' {
			k.i++
		}
		k.i++
	}
	k.i++
	return k.data[start : k.i-1]
}

func (k *keys) list(s *shape) bool {
	var elem *shape
	if s != nil && s.fields == nil {
		elem = s.elem
	}
	k.i++
	for {
		k.space()
		switch k.data[k.i] {
		case ']':
			k.i++
			return true
		case ',':
			k.i++
			continue
		}
		if !k.value(elem) {
			return false
		}
	}
}

func (k *keys) object(s *shape) bool {
	var seen uint64
	var free [maxFree][]byte
	n := 0
	k.i++
	for {
		k.space()
		switch k.data[k.i] {
		case '}':
			k.i++
			return true
		case ',':
			k.i++
			continue
		}
		name := k.text()
		k.space()
		k.i++ // the colon
		var next *shape
		if s != nil && s.fields != nil {
			f, known := s.fields[string(name)]
			if !known || seen&f.bit != 0 {
				return false
			}
			seen |= f.bit
			next = f.shape
		} else {
			if n == maxFree {
				return false
			}
			for _, c := range name {
				if c == '\\' || c >= 0x80 { // two spellings may be one name
					return false
				}
			}
			for _, other := range free[:n] {
				if string(other) == string(name) {
					return false
				}
			}
			free[n] = name
			n++
			if s != nil {
				next = s.elem
			}
		}
		if !k.value(next) {
			return false
		}
	}
}
