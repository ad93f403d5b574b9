package main

import (
	"html"
	"strings"
)

// token is a piece of HTML: a tag, or text between tags.
type token struct {
	name    string // of a tag, lower case; empty for text
	end     bool   // </name>
	text    string // decoded
	rawAttr string // what stands between the name and the closing bracket
}

// rawText are the elements whose contents are no markup.
var rawText = map[string]bool{"script": true, "style": true, "textarea": true, "title": true, "xmp": true, "iframe": true, "noembed": true, "noframes": true}

// tokens cuts HTML as browsers do for pages that are not broken on purpose, and never fails: what is no tag is text.
//
// It takes time in proportion to the input. A tag whose quotes never close has to be looked at to the end of the input,
// so after maxUnclosed of them quotes mean nothing any more.
func tokens(s string, yield func(token)) {
	unclosed := 0
	for len(s) > 0 {
		open := strings.IndexByte(s, '<')
		if open != 0 {
			if open < 0 {
				open = len(s)
			}
			yield(token{text: html.UnescapeString(s[:open])})
			s = s[open:]
			continue
		}
		if strings.HasPrefix(s, "<!--") {
			_, s, _ = strings.Cut(s[4:], "-->")
			continue
		}
		if len(s) > 1 && (s[1] == '!' || s[1] == '?') {
			_, s, _ = strings.Cut(s, ">")
			continue
		}
		if !startsTag(s) {
			yield(token{text: "<"})
			s = s[1:]
			continue
		}
		t, rest, ok := tag(s, unclosed < maxUnclosed)
		if !ok {
			unclosed++
			if t, rest, ok = tag(s, false); !ok {
				return // no bracket at all follows: browsers drop such a tag
			}
		}
		s = rest
		yield(t)
		if !t.end && rawText[t.name] {
			raw, after := untilEndTag(s, t.name)
			if t.name == "title" || t.name == "textarea" {
				raw = html.UnescapeString(raw)
			}
			yield(token{text: raw})
			s = after
		}
	}
}

const maxUnclosed = 16

func startsTag(s string) bool {
	return len(s) > 1 && isLetter(s[1]) || len(s) > 2 && s[1] == '/' && isLetter(s[2])
}

// tag reads the tag at the start of s. It fails if that does not end.
func tag(s string, quotes bool) (t token, rest string, ok bool) {
	i := 1
	if s[i] == '/' {
		t.end = true
		i++
	}
	start := i
	for i < len(s) && isNameByte(s[i]) {
		i++
	}
	t.name = strings.ToLower(s[start:i])
	start = i
	var quote byte
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case quotes && (c == '"' || c == '\'') && i > start && s[i-1] == '=':
			quote = c
		case c == '>':
			t.rawAttr = s[start:i]
			return t, s[i+1:], true
		}
	}
	return token{}, "", false
}

func isLetter(c byte) bool   { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isNameByte(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' || c == '-' || c == ':' }

// untilEndTag gives what stands before </name.
func untilEndTag(s, name string) (raw, rest string) {
	for from := 0; ; {
		i := strings.Index(s[from:], "</")
		if i < 0 {
			return s, ""
		}
		i += from
		if end := i + 2 + len(name); end <= len(s) && strings.EqualFold(s[i+2:end], name) {
			return s[:i], s[i:]
		}
		from = i + 2
	}
}

// attr gives the value of an attribute, decoded.
func (t token) attr(name string) string {
	s := t.rawAttr
	for len(s) > 0 {
		s = strings.TrimLeft(s, " \t\r\n\f/")
		end := strings.IndexAny(s, "= \t\r\n\f/")
		if end < 0 {
			end = len(s)
		}
		key := s[:end]
		if end == 0 {
			s = s[min(1, len(s)):]
			continue
		}
		s = strings.TrimLeft(s[end:], " \t\r\n\f")
		var value string
		if strings.HasPrefix(s, "=") {
			s = strings.TrimLeft(s[1:], " \t\r\n\f")
			switch {
			case s == "":
			case s[0] == '"' || s[0] == '\'':
				value, s, _ = strings.Cut(s[1:], s[:1])
			default:
				end := strings.IndexAny(s, " \t\r\n\f")
				if end < 0 {
					end = len(s)
				}
				value, s = s[:end], s[end:]
			}
		}
		if strings.EqualFold(key, name) {
			return html.UnescapeString(value)
		}
	}
	return ""
}
