package jobs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func FuzzDecode(f *testing.F) {
	good := newJob("a")
	good.V, good.Tenant, good.Priority, good.SubmittedAt = WireVersion, "t", High, time.Unix(1, 0).UTC()
	good.Stdin = &Stdin{Inline: "x"}
	data, err := good.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, s := range []string{"", "{}", "null", "[]", `{"v":1}`, string(data) + "]", string(data) + "{}", `{"stdin":"x"}`, `{"stdin":{"inlin":"x"}}`,
		strings.Replace(string(data), `"a"`, `"a.b"`, 1), strings.Replace(string(data), "1970", "0000", 1), strings.Repeat("[", 1000)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := Decode(data)
		if err != nil {
			return
		}
		// What a worker accepts has one subject, and survives the way again.
		if strings.Count(jobSubject(j.Tenant, j.Priority, j.ID), ".") != 3 {
			t.Errorf("subject %s", jobSubject(j.Tenant, j.Priority, j.ID))
		}
		out, err := j.Encode()
		if err != nil {
			if _, large := err.(*TooLargeError); large {
				return // escapes grew
			}
			t.Fatal(err)
		}
		again, err := Decode(out)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if first, second := mustJSON(t, j), mustJSON(t, again); first != second {
			t.Error(cmp.Diff(first, second))
		}
	})
}

func mustJSON(t *testing.T, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func FuzzDecodeRecord(f *testing.F) {
	for _, s := range []string{"", "{}", `{"v":1,"state":"done","result":{"stdout":{"base64":"/w=="}}}`, `{"v":2}`, `{"v":1,"tries":[{"number":1}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			return
		}
		out, err := r.encode()
		if err != nil {
			return // a time that JSON cannot hold; no worker writes one
		}
		if _, err := decodeRecord(out); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		_ = r.heldBy(r)
		r.addTry(errBroken, time.Unix(0, 0))
	})
}

func FuzzDeadLetter(f *testing.F) {
	f.Add([]byte(`{"seq":1,"message":"aGk="}`), "tool@1.0")
	f.Add([]byte(`{"message":"!"}`), "a.b>*")
	f.Fuzz(func(t *testing.T, data []byte, tool string) {
		var d DeadLetter
		_ = json.Unmarshal(data, &d)
		token := subjectToken(tool)
		if !ValidID(token) {
			t.Errorf("%q became %q, which is no subject token", tool, token)
		}
		if s := shorten(tool, 16); len(s) > 64 {
			t.Errorf("%d bytes", len(s))
		}
	})
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1.0.0", "1.0.0-rc.1", "2")
	f.Add("", "v1", "1..2")
	f.Add("1", "01", "001-")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if x, y := CompareVersions(a, b), CompareVersions(b, a); x != -y {
			t.Errorf("%q %q: %d and %d", a, b, x, y)
		}
		if CompareVersions(a, a) != 0 {
			t.Errorf("%q is not itself", a)
		}
		if CompareVersions(a, b) <= 0 && CompareVersions(b, c) <= 0 && CompareVersions(a, c) > 0 {
			t.Errorf("%q <= %q <= %q, but not the first and the last", a, b, c)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good := newJob("a")
	good.V, good.Tenant, good.Priority = WireVersion, "t", High
	data, err := good.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(data); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"trailing brace":         string(data) + "}",
		"trailing bracket":       string(data) + "]",
		"second job":             string(data) + string(data),
		"unknown field":          strings.Replace(string(data), `{"v"`, `{"x":1,"v"`, 1),
		"unknown field in stdin": strings.Replace(string(data), `{"v"`, `{"stdin":{"inlin":"x"},"v"`, 1),
		"both stdins":            strings.Replace(string(data), `{"v"`, `{"stdin":{"inline":"x","source":"s3://b/k"},"v"`, 1),
		"later version":          strings.Replace(string(data), `"v":1`, `"v":2`, 1),
		"NUL in an argument":     strings.Replace(string(data), `{"v"`, `{"args":["a\u0000"],"v"`, 1),
		"too large":              strings.Replace(string(data), `{"v"`, `{"args":["`+strings.Repeat("x", MaxJobSize)+`"],"v"`, 1),
	} {
		if j, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%s: accepted as %+v", name, j)
		}
	}
}
