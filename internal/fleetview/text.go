package fleetview

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain makes one line of text from others harmless: control characters and
// those that reorder text (Unicode's Bidi_Control) become U+FFFD, and bytes
// that are no UTF-8 too. A tab becomes a space.
func Plain(s string) string { return strings.Map(harmless, strings.ToValidUTF8(s, "\ufffd")) }

func harmless(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029', r == '\ufeff':
		return utf8.RuneError
	}
	return r
}

// escapes are the terminal's control sequences (ECMA-48, 5.4) and operating
// system commands.
var escapes = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\))")

// PlainText is Plain for text of several lines: line ends and tabs stay, and
// the terminal's control sequences go without a trace.
func PlainText(s string) string {
	s = escapes.ReplaceAllString(strings.ToValidUTF8(s, "\ufffd"), "")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return harmless(r)
	}, s)
}

// short cuts text at about n bytes, at the end of a character.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
