// Package toolresult reads what a tool says about its own call. A tool for
// agents answers on standard output with one JSON object,
//
//	{"content": "...", "is_error": true, "metadata": {...}}
//
// and exits with 0 even when the call failed, so neither the exit code nor the
// outcome of the job shows the failure. The worker reads the answer once, when
// the run ends; a client or an agent's server reads it to show the content.
//
// Two spellings are in use, is_error and error, and tools that print a
// serde_json value with Rust's {:?} write
//
//	Object {"content": String("..."), "is_error": Bool(true)}
//
// All of them are understood. Everything else is Raw: text that is what it is.
// In particular a JSON object without content, or without either of the two
// flags, is a tool's data and not its verdict: jq may well print
// {"error": true}.
package toolresult

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
)

// MaxSize is the largest standard output that is read as an answer, in bytes.
// A longer one is Raw.
const MaxSize = 4 << 20

// Result is a tool's answer.
type Result struct {
	// Content is the answer's text; of a Raw result, all of standard output.
	// It is valid UTF-8. Content that is no string is its JSON text.
	Content string
	// IsError says that the tool calls its own call failed.
	IsError bool
	// Metadata is the answer's metadata as JSON; nil when there is none.
	Metadata json.RawMessage
	// Raw says that standard output was no answer of the known forms.
	Raw bool
}

// Parse reads a tool's whole standard output. It never fails: what it does not
// know is Raw.
func Parse(stdout []byte) Result {
	if fields, ok := object(stdout); ok {
		if r, ok := answer(fields); ok {
			return r
		}
	}
	return Result{Content: strings.ToValidUTF8(string(stdout), string(unicode.ReplacementChar)), Raw: true}
}

// Failure is the first line of what the tool says went wrong, cut at 500 bytes;
// "" unless its standard output is an answer that says so.
func Failure(stdout []byte) string {
	fields, ok := object(stdout)
	if !ok {
		return ""
	}
	r, ok := answer(fields)
	if !ok || !r.IsError {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(r.Content), "\n")
	const longest = 500
	if len(line) > longest {
		line = strings.ToValidUTF8(line[:longest], "") + "..."
	}
	if line = strings.TrimSpace(line); line == "" {
		line = "the tool gives no reason"
	}
	return line
}

// object reads the output as one object in either notation.
func object(stdout []byte) (map[string]json.RawMessage, bool) {
	if len(stdout) > MaxSize {
		return nil, false
	}
	text := bytes.TrimSpace(stdout)
	if !bytes.Contains(text, []byte(`"content"`)) { // as most output; parsing megabytes to find out is dear
		return nil, false
	}
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		var fields map[string]json.RawMessage
		return fields, json.Unmarshal(text, &fields) == nil
	case bytes.HasPrefix(text, []byte("Object")):
		return debugObject(string(text))
	}
	return nil, false
}

// answer tells whether an object is a tool's answer, and reads it.
func answer(fields map[string]json.RawMessage) (r Result, ok bool) {
	content, has := fields["content"]
	if !has {
		return r, false
	}
	flagged := false
	if raw, has := fields["is_error"]; has {
		if json.Unmarshal(raw, &r.IsError) != nil {
			return r, false
		}
		flagged = true
	}
	reason := ""
	if raw, has := fields["error"]; has {
		var verdict any
		if json.Unmarshal(raw, &verdict) != nil {
			return r, false
		}
		switch v := verdict.(type) {
		case bool:
			r.IsError = r.IsError || v
		case nil:
		case string:
			reason = v
			r.IsError = r.IsError || v != ""
		default: // an error object
			reason = string(raw)
			r.IsError = true
		}
		flagged = true
	}
	if !flagged {
		return r, false
	}
	switch kind := bytes.TrimSpace(content); {
	case bytes.Equal(kind, []byte("null")):
	case json.Unmarshal(content, &r.Content) == nil:
	default:
		r.Content = string(content)
	}
	if r.Content == "" {
		r.Content = reason
	}
	r.Content = strings.ToValidUTF8(r.Content, string(unicode.ReplacementChar))
	if m := fields["metadata"]; len(m) > 0 && !bytes.Equal(m, []byte("null")) {
		r.Metadata = m
	}
	return r, true
}
