package fleetview

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"boxfleet/jobs"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, line, text string }{
		{"plain\ttext", "plain text", "plain\ttext"},
		{"a\r\nb", "a��b", "a\nb"},
		{"\x1b[31mred\x1b[0m", "�[31mred�[0m", "red"},
		{"\x1b]0;title\x07x\x1b]8;;http://x\x1b\\y", "�]0;title�x�]8;;http://x�\\y", "xy"},
		{"\x1b", "�", "�"},
		{"\u202etxt.exe\u2066\u200f", "�txt.exe��", "�txt.exe��"},
		{"\xff\xfe", "�", "�"},
		{"ünï 日本", "ünï 日本", "ünï 日本"},
	} {
		if got := Plain(c.in); got != c.line {
			t.Errorf("Plain(%q) = %q, want %q", c.in, got, c.line)
		}
		if got := PlainText(c.in); got != c.text {
			t.Errorf("PlainText(%q) = %q, want %q", c.in, got, c.text)
		}
	}
}

func FuzzPlainText(f *testing.F) {
	for _, s := range []string{"", "\x1b[", "\x1b[1;31mx", "\x1b]0;\x07", "\x1b]\x1b\\", "\xf0\x9f", "\u2028\u202a\x9b31m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, out := range []string{Plain(s), PlainText(s)} {
			if !utf8.ValidString(out) {
				t.Fatalf("%q is no UTF-8", out)
			}
			for _, r := range out {
				if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
					t.Fatalf("%q of %q holds %U", out, s, r)
				}
			}
		}
		if strings.ContainsAny(Plain(s), "\n\t") {
			t.Fatalf("Plain(%q) has several lines", s)
		}
	})
}

// TestBookIsBounded: whatever comes, little is kept.
func TestBookIsBounded(t *testing.T) {
	t.Parallel()
	b := newBook()
	now := time.Now()
	for i := range maxKnown + 5000 {
		h := &head{State: jobs.Done, V: 1, ID: "j" + time.Duration(i).String(), Result: &headResult{Outcome: jobs.Failed, FinishedAt: now}}
		b.put(h, now, now)
		if i%1000 == 0 {
			b.forget(now)
		}
	}
	b.forget(now)
	if len(b.known) != maxKnown || len(b.order) != maxKnown || !b.older || len(b.recent) > maxRecent || len(b.fails) > 2*maxShown || len(b.seconds) != 1 {
		t.Errorf("known %d, order %d, recent %d, failures %d, seconds %d", len(b.known), len(b.order), len(b.recent), len(b.fails), len(b.seconds))
	}
	var s Snapshot
	b.figures(&s, now)
	if s.Counts[jobs.Failed] != maxRecent || s.Window != 1 {
		t.Errorf("counts %v over %v s", s.Counts, s.Window)
	}
	b.forget(now.Add(time.Hour))
	if len(b.recent) != 0 || len(b.seconds) != 0 {
		t.Errorf("after an hour: recent %d, seconds %d", len(b.recent), len(b.seconds))
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	var ms []float32
	for i := 100; i > 0; i-- {
		ms = append(ms, float32(i))
	}
	if got, want := spread(ms), (Spread{100, 50, 95, 99, 100}); got != want {
		t.Errorf("spread %+v, want %+v", got, want)
	}
	if got, want := spread([]float32{3}), (Spread{1, 3, 3, 3, 3}); got != want {
		t.Errorf("spread of one %+v, want %+v", got, want)
	}
}
