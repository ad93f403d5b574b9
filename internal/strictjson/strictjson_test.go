package strictjson

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

type inner struct {
	Guest string `json:"guest"`
}

type Embedded struct {
	Deep string `json:"deep"`
}

type target struct {
	Name  string            `json:"name"`
	List  []inner           `json:"list"`
	Map   map[string]inner  `json:"map"`
	Free  map[string]string `json:"free"`
	Raw   json.RawMessage   `json:"raw"`
	Timed int               `json:"wasm_timeout"`
	Hide  string            `json:"-"`
	Embedded
}

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, bad string }{
		{name: "all known", in: `{"name":"x","list":[{"guest":"/a"}],"map":{"any":{"guest":"b"}},"free":{"k":"v"},"raw":{"what":{"ever":1}},"deep":"d"}`},
		{name: "typo", in: `{"nmae":"x"}`, bad: `nmae: unknown field; did you mean "name"?`},
		{name: "left-out prefix", in: `{"timeout":1}`, bad: `did you mean "wasm_timeout"?`},
		{name: "nothing near", in: `{"zzzzzzzzzz":1}`, bad: `zzzzzzzzzz: unknown field`},
		{name: "in a list", in: `{"list":[{"guest":"/a"},{"gest":"/b"}]}`, bad: `list[1].gest: unknown field; did you mean "guest"?`},
		{name: "in a map", in: `{"map":{"k":{"x":1}}}`, bad: `map.k.x`},
		{name: "other case", in: `{"Name":"x"}`, bad: `Name: unknown field; did you mean "name"?`},
		{name: "hidden field", in: `{"Hide":"x"}`, bad: `Hide`},
		{name: "twice", in: `{"name":"a","name":"b"}`, bad: `twice`},
		{name: "trailing", in: `{"name":"a"} {}`, bad: `more data`},
		{name: "cut short", in: `{"name":"a"`, bad: `ends too early`},
		{name: "not JSON", in: `name: a`, bad: `not JSON at byte`},
		{name: "wrong type", in: `{"name": 7}`, bad: `name: is a number, want string`},
		{name: "two at once", in: `{"aaaaaa":1,"list":[{"bbbbbb":2}]}`, bad: `list[0].bbbbbb`},
	} {
		var v target
		err := Unmarshal([]byte(tc.in), &v)
		switch {
		case tc.bad == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.bad != "" && (err == nil || !strings.Contains(err.Error(), tc.bad)):
			t.Errorf("%s: error %v; want %q in it", tc.name, err, tc.bad)
		}
	}
	var v target
	err := Unmarshal([]byte(`{"nmae":1}`), &v)
	if u, ok := errors.AsType[*UnknownFieldError](err); !ok || u.Path != "nmae" || u.Nearest != "name" {
		t.Errorf("error %#v; want a typed one", err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{`{}`, `[]`, `{"list":[[[]]]}`, `{"map":{"":{}}}`, `null`, `"x"`, `{"raw":`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var strict, loose target
		if Unmarshal(data, &strict) == nil && json.Unmarshal(data, &loose) != nil {
			t.Fatalf("%q passes the strict decoder and not the usual one", data)
		}
	})
}
