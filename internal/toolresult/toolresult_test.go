package toolresult

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

var parseCases = []struct {
	what, stdout string
	want         Result
}{
	{"success", `{"content":"a\nb","is_error":false,"metadata":{"lines":2}}` + "\n", Result{Content: "a\nb", Metadata: json.RawMessage(`{"lines":2}`)}},
	{"failure", `{"content":"no such file","is_error":true,"metadata":null}`, Result{Content: "no such file", IsError: true}},
	{"the other spelling", `{"content":"gone","error":true}`, Result{Content: "gone", IsError: true}},
	{"the other spelling, well", `{"content":"here","error":false}`, Result{Content: "here"}},
	{"error is null", `{"content":"here","error":null}`, Result{Content: "here"}},
	{"error is text", `{"content":"","error":"disk full"}`, Result{Content: "disk full", IsError: true}},
	{"error is text and there is content", `{"content":"wrote 1 of 2","error":"disk full"}`, Result{Content: "wrote 1 of 2", IsError: true}},
	{"error is empty text", `{"content":"x","error":""}`, Result{Content: "x"}},
	{"error is an object", `{"content":null,"error":{"code":5}}`, Result{Content: `{"code":5}`, IsError: true}},
	{"both, one true", `{"content":"x","is_error":true,"error":false}`, Result{Content: "x", IsError: true}},
	{"content is a list", `{"content":[1, 2],"is_error":false}`, Result{Content: `[1, 2]`}},
	{"spaces around", "\n  {\"content\":\"x\",\"is_error\":false}\n\n", Result{Content: "x"}},
	{"rust debug", `Object {"content": String("no \"file\"\n\u{1f600}\t\\"), "is_error": Bool(true)}`, Result{Content: "no \"file\"\n😀\t\\", IsError: true}},
	{"rust debug with metadata", `Object {"content": String("ok"), "is_error": Bool(false), "metadata": Object {"n": Number(-1.5), "all": Array [Null, String("it's"), Array []], "o": Object {}}}`,
		Result{Content: "ok", Metadata: json.RawMessage(`{"all":[null,"it's",[]],"n":-1.5,"o":{}}`)}},
	{"rust debug in lines", "Object {\n    \"content\": String(\n        \"x\",\n    ),\n    \"is_error\": Bool(\n        true,\n    ),\n}\n", Result{Content: "x", IsError: true}},
	{"old rust debug", `Object({"content": String("x"), "error": Bool(true), "metadata": Array([Number(PosInt(5)), Number(Float(0.5))])})`,
		Result{Content: "x", IsError: true, Metadata: json.RawMessage(`[5,0.5]`)}},

	{"a list that is not UTF-8", "{\"content\":[\"\xff\"],\"is_error\":true}", Result{Content: "[\"\ufffd\"]", IsError: true}},

	{"text", "plain\n", Result{Content: "plain\n", Raw: true}},
	{"nothing", "", Result{Raw: true}},
	{"no content", `{"error":true}`, Result{Content: `{"error":true}`, Raw: true}},
	{"no flag", `{"content":"x"}`, Result{Content: `{"content":"x"}`, Raw: true}},
	{"the flag is no flag", `{"content":"x","is_error":"yes"}`, Result{Content: `{"content":"x","is_error":"yes"}`, Raw: true}},
	{"two objects", `{"content":"x","is_error":true}{}`, Result{Content: `{"content":"x","is_error":true}{}`, Raw: true}},
	{"a list", `[{"content":"x","is_error":true}]`, Result{Content: `[{"content":"x","is_error":true}]`, Raw: true}},
	{"other case", `{"Content":"x","Is_Error":true}`, Result{Content: `{"Content":"x","Is_Error":true}`, Raw: true}},
	{"rust debug, cut short", `Object {"content": String("x"), "is_error": Bool(tr`, Result{Content: `Object {"content": String("x"), "is_error": Bool(tr`, Raw: true}},
	{"rust debug, more after it", `Object {"content": String("x"), "is_error": Bool(true)} done`, Result{Content: `Object {"content": String("x"), "is_error": Bool(true)} done`, Raw: true}},
	{"bad escape", `Object {"content": String("\x41"), "is_error": Bool(true)}`, Result{Content: `Object {"content": String("\x41"), "is_error": Bool(true)}`, Raw: true}},
	{"surrogate", `Object {"content": String("\u{d800}"), "is_error": Bool(true)}`, Result{Content: `Object {"content": String("\u{d800}"), "is_error": Bool(true)}`, Raw: true}},
	{"number that is none", `Object {"content": Number(1-), "is_error": Bool(true)}`, Result{Content: `Object {"content": Number(1-), "is_error": Bool(true)}`, Raw: true}},
	{"not UTF-8", "\xff\xfe", Result{Content: "\ufffd", Raw: true}},
}

func TestParse(t *testing.T) {
	for _, tc := range parseCases {
		t.Run(tc.what, func(t *testing.T) {
			if got := Parse([]byte(tc.stdout)); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	deep := func(n int) string {
		return `Object {"content": ` + strings.Repeat("Array [", n) + strings.Repeat("]", n) + `, "is_error": Bool(true)}`
	}
	if r := Parse([]byte(deep(maxDepth - 1))); r.Raw {
		t.Errorf("%d levels are raw", maxDepth)
	}
	for _, n := range []int{maxDepth + 1, 100_000} {
		if r := Parse([]byte(deep(n))); !r.Raw {
			t.Errorf("%d levels are read", n)
		}
	}
	long := []byte(`{"is_error":true,"content":"` + strings.Repeat("x", MaxSize) + `"}`)
	if r := Parse(long); !r.Raw || len(r.Content) != len(long) {
		t.Error("an answer over the bound is read")
	}
	if Failure(long) != "" {
		t.Error("an answer over the bound is a failure")
	}
}

func TestFailure(t *testing.T) {
	for stdout, want := range map[string]string{
		`{"content":"first\nsecond","is_error":true}`: "first",
		`{"content":"","is_error":true}`:              "the tool gives no reason",
		`{"content":"fine","is_error":false}`:         "",
		`error: no`:                                   "",
		`{"error":true}`:                              "",
		`{"content":"` + strings.Repeat("é", 400) + `","is_error":true}`:         strings.Repeat("é", 250) + "...",
		`Object {"content": String("  gone\nx"), "is_error": Bool(true)}` + "\n": "gone",
	} {
		if got := Failure([]byte(stdout)); got != want {
			t.Errorf("%.60s: %q, want %q", stdout, got, want)
		}
	}
}

// FuzzParse holds Parse to what its callers rest on, and the Rust notation to
// the JSON it stands for.
func FuzzParse(f *testing.F) {
	for _, tc := range parseCases {
		f.Add([]byte(tc.stdout))
	}
	f.Fuzz(func(t *testing.T, stdout []byte) {
		r := Parse(stdout)
		if !utf8.ValidString(r.Content) || r.Metadata != nil && !json.Valid(r.Metadata) {
			t.Fatalf("%+v", r)
		}
		if r.Raw && (r.IsError || r.Metadata != nil) {
			t.Fatalf("raw, and yet %+v", r)
		}
		if line := Failure(stdout); (line != "") != r.IsError || strings.Contains(line, "\n") {
			t.Fatalf("failure %q of %+v", line, r)
		}
		if r.Raw {
			return
		}
		again := `Object {"content": String(` + rustString(r.Content) + fmt.Sprintf(`), "is_error": Bool(%v)}`, r.IsError)
		if got := Parse([]byte(again)); len(again) <= MaxSize && (got.Raw || got.Content != r.Content || got.IsError != r.IsError) {
			t.Fatalf("%q in Rust's notation is %+v, want %+v", again, got, r)
		}
	})
}

func rustString(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}
