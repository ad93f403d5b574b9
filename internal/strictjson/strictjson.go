// Package strictjson decodes JSON that people write: a field that the target
// does not have is an error that names the field, its place and the nearest
// name that exists. It is for job files and flags on the client and for
// configuration; the worker's hot path uses encoding/json directly.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// UnknownFieldError says which field is not known and what may have been meant.
type UnknownFieldError struct {
	Path    string // JSON path, such as options.map_dirs[1].gest
	Nearest string // nearest known name, or ""
}

func (e *UnknownFieldError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("%s: unknown field", e.Path)
	}
	return fmt.Sprintf("%s: unknown field; did you mean %q?", e.Path, e.Nearest)
}

// Unmarshal decodes data into the struct that v points at. Unknown fields,
// repeated fields, names that differ in case and trailing data are errors.
// The returned error joins every unknown field found.
func Unmarshal(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(v); err != nil {
		return explain(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more data after the JSON value")
	}
	w := walker{dec: json.NewDecoder(bytes.NewReader(data))}
	if err := w.value(reflect.TypeOf(v), ""); err != nil {
		return err
	}
	return errors.Join(w.unknown...)
}

// explain gives encoding/json's errors the words a user needs.
func explain(err error) error {
	var syntax *json.SyntaxError
	var typed *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d: %w", syntax.Offset, err)
	case errors.As(err, &typed) && typed.Field != "":
		return fmt.Errorf("%s: is a %s, want %s", typed.Field, typed.Value, typed.Type)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("not JSON: it ends too early")
	}
	return err
}

// walker reads tokens along a Go type. Types it cannot look into (maps of
// anything, raw messages, own unmarshalers over non-struct JSON) are skipped.
type walker struct {
	dec     *json.Decoder
	unknown []error
}

func (w *walker) value(t reflect.Type, at string) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	tok, err := w.dec.Token()
	if err != nil {
		return err
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	switch delim {
	case '{':
		return w.object(t, at)
	case '[':
		var elem reflect.Type
		if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && t != rawMessage {
			elem = t.Elem()
		}
		for i := 0; w.dec.More(); i++ {
			if err := w.value(elem, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		_, err = w.dec.Token()
		return err
	}
	return nil
}

var rawMessage = reflect.TypeFor[json.RawMessage]()

func (w *walker) object(t reflect.Type, at string) error {
	var fields map[string]reflect.Type
	var elem reflect.Type
	if t != nil {
		switch t.Kind() {
		case reflect.Struct:
			fields = fieldsOf(t)
		case reflect.Map:
			elem = t.Elem()
		}
	}
	seen := map[string]bool{}
	for w.dec.More() {
		tok, err := w.dec.Token()
		if err != nil {
			return err
		}
		name, _ := tok.(string)
		where := join(at, name)
		if seen[name] {
			w.unknown = append(w.unknown, fmt.Errorf("%s: the field stands here twice", where))
		}
		seen[name] = true
		next := elem
		if fields != nil {
			ft, known := fields[name]
			if !known {
				w.unknown = append(w.unknown, &UnknownFieldError{Path: where, Nearest: Nearest(name, keys(fields))})
			}
			next = ft
		}
		if err := w.value(next, where); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	return err
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func keys(m map[string]reflect.Type) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// fieldsOf lists the JSON names of a struct, embedded structs included.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			ft := f.Type
			if ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			if ft.Kind() == reflect.Struct {
				for k, v := range fieldsOf(ft) {
					out[k] = v
				}
			}
		case name == "":
			out[f.Name] = f.Type
		default:
			out[name] = f.Type
		}
	}
	return out
}

// Nearest gives the known name closest to name, or "" when none is near
// enough to be a likely slip (more than a third of it differs).
func Nearest(name string, known []string) string {
	if len(name) > 64 {
		return ""
	}
	best, bestDist := "", max(2, len(name)/3)+1
	for _, k := range known {
		d := distance(strings.ToLower(name), k)
		if d < bestDist || d == bestDist && best != "" && k < best {
			best, bestDist = k, d
		}
	}
	if best == "" {
		for _, k := range known { // a left-out prefix or suffix: timeout for wasm_timeout
			if len(name) >= 4 && strings.Contains(k, strings.ToLower(name)) && (best == "" || len(k) < len(best)) {
				best = k
			}
		}
	}
	return best
}

// distance is the edit distance of two short names, with two neighbours that
// changed places as one edit (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
