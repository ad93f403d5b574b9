package mcp

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"boxfleet/internal/argvmap"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
		removed  int
	}{
		{"plain\ttext\n", "plain\ttext\n", 0},
		{"a\r\nb\rc", "a\nbc", 1},
		{"\x1b]0;title\x07x\u009b1m", "]0;titlex1m", 3},
		{"ab\u202etxt\u2066\u2069", "abtxt", 3},
		{"tags\U000e0001\U000e0068\U000e0069", "tags", 3},
		{"zero\u200bwidth\ufeff\u00ad", "zerowidth", 3},
		{"family 👨\u200d👩\u200d👧 ❤️ क्\u200dष", "family 👨\u200d👩\u200d👧 ❤️ क्\u200dष", 0},
		{"bytes \xff\xfe", "bytes \ufffd", 0},
		{"\x00\x7f", "", 2},
	} {
		if got, n := visible(c.in); got != c.want || n != c.removed {
			t.Errorf("visible(%q) is %q, %d removed; want %q, %d", c.in, got, n, c.want, c.removed)
		}
	}
	if got := line(" a\n b\x1b c ", 100); got != "a b c" {
		t.Errorf("line gave %q", got)
	}
}

func FuzzCut(f *testing.F) {
	f.Add("äöü", 4)
	f.Add("plain", 5)
	f.Add("", 0)
	f.Add("\U0001f468\u200d", 6)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 3 || limit > 1<<20 || !utf8.ValidString(s) {
			return
		}
		got := cut(s, limit)
		if len(got) > limit || !utf8.ValidString(got) || !strings.HasPrefix(s, strings.TrimSuffix(got, "…")) {
			t.Errorf("cut(%q, %d) is %q", s, limit, got)
		}
	})
}

// FuzzCleanJSON holds a value that is written again to the value it was.
func FuzzCleanJSON(f *testing.F) {
	for _, s := range []string{`{"b":1e400,"a":[true,null,"x\u0000"],"b":2}`, `"\ud800"`, `{}`, `[[]]`, `1 2`, `{"a":`, `{"x-mcp-header":1}`, strings.Repeat("[", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		same, err := cleanJSON([]byte(s), func(_, v string) string { return v })
		if err != nil {
			return
		}
		var before, after any
		if json.Unmarshal([]byte(s), &before) != nil {
			return // numbers beyond float64
		}
		if err := json.Unmarshal(same, &after); err != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("%q came back as %q (%v)", s, same, err)
		}
		clean, err := cleanJSON([]byte(s), func(_, v string) string {
			v, _ = visible(v)
			return v
		})
		if err != nil || !json.Valid(clean) {
			t.Errorf("%q became %q (%v)", s, clean, err)
		}
	})
}

// FuzzSchema: what is offered of any schema is a schema of an object with a
// stdin, and calls by it do not crash.
func FuzzSchema(f *testing.F) {
	for _, s := range []string{pair, "", `{}`, `{"properties":{}}`, `{"properties":{"stdin":{}}}`, `{"type":"object","required":["a"],"properties":{"a":{"enum":["x"]}}}`, `{"properties":null}`, `{"$defs":{"properties":{}}}`} {
		f.Add(s, `{"name":"x","stdin":"in"}`)
	}
	f.Add(`{"additionalProperties":false}`, `{"stdin":null}`)
	f.Fuzz(func(t *testing.T, schema, call string) {
		in, err := newInput([]byte(schema))
		if err != nil {
			return
		}
		var shown struct {
			Type       any
			Properties map[string]any
		}
		if err := json.Unmarshal(in.schema, &shown); err != nil {
			t.Fatalf("%q is offered as %q: %v", schema, in.schema, err)
		}
		if _, has := shown.Properties[stdinName]; !has || shown.Type != "object" {
			t.Errorf("%q is offered as %q", schema, in.schema)
		}
		if _, err := argvmap.New(in.schema); err != nil {
			t.Errorf("%q is offered as %q, which is no schema: %v", schema, in.schema, err)
		}
		_, _, _ = in.arguments([]byte(call))
	})
}
