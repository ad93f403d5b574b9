package mcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// hidden tells whether a character shows nothing, or moves what is around it,
// and so can carry words that a model reads and a person does not see: control
// characters, bidirectional overrides and isolates, the tag block, invisible
// operators and the supplementary variation selectors. What scripts and emoji
// need (joiners, the first variation selectors) stays.
func hidden(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case unicode.IsControl(r),
		r == '\u00ad', r == '\u180e', r == '\u200b', r == '\u200e', r == '\u200f', r == '\ufeff',
		r >= '\u2028' && r <= '\u202e', r >= '\u2060' && r <= '\u206f', r >= '\ufff9' && r <= '\ufffb',
		r >= 0xe0000 && r <= 0xe0fff:
		return true
	}
	return false
}

// visible gives text without hidden characters, and how many it had. Carriage
// returns before a line feed are no loss and not counted. Bytes that are no
// UTF-8 become U+FFFD.
func visible(s string) (clean string, removed int) {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\r\n", "\n")
	if !strings.ContainsFunc(s, hidden) {
		return s, 0
	}
	clean = strings.Map(func(r rune) rune {
		if hidden(r) {
			removed++
			return -1
		}
		return r
	}, s)
	return clean, removed
}

// line is visible text on one line of at most limit bytes, for names,
// messages and logs.
func line(s string, limit int) string {
	s, _ = visible(s)
	return cut(strings.Join(strings.Fields(s), " "), limit)
}

// cut shortens text to at most limit bytes, at a whole character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const more = "…"
	n := max(0, limit-len(more))
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + more
}

// maxDepth bounds how deeply JSON may nest that this package walks.
const maxDepth = 64

// cleanJSON writes a JSON value again, with the strings for which clean gives
// another text replaced and everything else as it was: the order of keys and
// the digits of numbers stay. clean is told the key a string stands under; ""
// within a list.
func cleanJSON(data []byte, clean func(key, value string) string) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	w := jsonCleaner{dec: dec, clean: clean}
	if err := w.value("", 0); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, fmt.Errorf("more data after the JSON value")
	}
	return w.out.Bytes(), nil
}

type jsonCleaner struct {
	dec   *json.Decoder
	clean func(key, value string) string
	out   bytes.Buffer
}

func (w *jsonCleaner) value(key string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("JSON nested deeper than %d", maxDepth)
	}
	tok, err := w.dec.Token()
	if err != nil {
		return err
	}
	switch tok := tok.(type) {
	case json.Delim:
		return w.inner(tok, depth)
	case string:
		w.string(w.clean(key, tok))
	case json.Number:
		w.out.WriteString(tok.String())
	case bool:
		fmt.Fprintf(&w.out, "%t", tok)
	default:
		w.out.WriteString("null")
	}
	return nil
}

// inner writes the elements of a list or the members of an object.
func (w *jsonCleaner) inner(open json.Delim, depth int) error {
	w.out.WriteString(open.String())
	for first := true; w.dec.More(); first = false {
		if !first {
			w.out.WriteByte(',')
		}
		key := ""
		if open == '{' {
			tok, err := w.dec.Token()
			if err != nil {
				return err
			}
			key, _ = tok.(string)
			w.string(key)
			w.out.WriteByte(':')
		}
		if err := w.value(key, depth+1); err != nil {
			return err
		}
	}
	end, err := w.dec.Token()
	if err != nil {
		return err
	}
	w.out.WriteString(end.(json.Delim).String())
	return nil
}

func (w *jsonCleaner) string(s string) {
	text, _ := json.Marshal(s) // a string always encodes
	w.out.Write(text)
}
