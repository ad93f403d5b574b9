package batchfile_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"boxfleet/internal/batchfile"
	"boxfleet/internal/strictjson"
	"boxfleet/jobs"
	"boxfleet/limits"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		line string
		want batchfile.Line
		err  string
	}{
		"least": {`{"tool":"jq"}`, batchfile.Line{Tool: "jq"}, ""},
		"typical": {`{"id":"a-1","tool":"jq@0.12.17","args":["-r",".x"],"stdin":"{}","options":{"wasm_timeout":2,"map_dirs":[{"source":"./d","guest":"/in"}]}}`,
			batchfile.Line{ID: "a-1", Tool: "jq@0.12.17", Args: []string{"-r", ".x"}, Stdin: &jobs.Stdin{Inline: "{}"},
				Options: limits.RunOption{WasmTimeout: 2e9, MapDirs: []limits.Mount{{Source: "./d", Guest: "/in"}}}}, ""},
		"work dir as text":     {`{"tool":"ls","options":{"work_dir":"s3://b/p/"}}`, batchfile.Line{Tool: "ls", Options: limits.RunOption{WorkDir: &limits.Mount{Source: "s3://b/p/"}}}, ""},
		"no tool":              {`{"args":["x"]}`, batchfile.Line{}, "tool: missing"},
		"slip":                 {`{"tool":"jq","option":{}}`, batchfile.Line{}, `option: unknown field; did you mean "options"?`},
		"slip far inside":      {`{"tool":"jq","options":{"map_dirs":[{"gest":"/x"}]}}`, batchfile.Line{}, `options.map_dirs[0].gest: unknown field; did you mean "guest"?`},
		"case":                 {`{"Tool":"jq"}`, batchfile.Line{}, `Tool: unknown field; did you mean "tool"?`},
		"twice":                {`{"tool":"jq","tool":"ls"}`, batchfile.Line{}, "tool: the field stands here twice"},
		"twice in input":       {`{"tool":"jq","input":{"a":1,"a":2}}`, batchfile.Line{}, "input.a: the field stands here twice"},
		"twice by escape":      {`{"tool":"jq","labels":{"a":"1","\u0061":"2"}}`, batchfile.Line{}, "labels.a: the field stands here twice"},
		"twice in env":         {`{"tool":"jq","options":{"env_vars":{"A":"1","A":"2"}}}`, batchfile.Line{}, "twice"},
		"wrong type":           {`{"tool":"jq","args":"x"}`, batchfile.Line{}, "args: is a string"},
		"not JSON":             {`{"tool":`, batchfile.Line{}, "not JSON"},
		"two values":           {`{"tool":"jq"} {}`, batchfile.Line{}, "more data"},
		"not an object":        {`["jq"]`, batchfile.Line{}, "array"},
		"null":                 {`null`, batchfile.Line{}, "tool: missing"},
		"amount with bad unit": {`{"tool":"jq","options":{"wasm_max_memory_size":"1 potato"}}`, batchfile.Line{}, "not an amount"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got batchfile.Line
			err := batchfile.Decode([]byte(tc.line), &got)
			switch {
			case tc.err == "" && err != nil:
				t.Fatal(err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Fatalf("error %v, want one with %q", err, tc.err)
			case tc.err == "":
				if d := cmp.Diff(tc.want, got); d != "" {
					t.Fatal(d)
				}
			}
		})
	}
}

// FuzzDecode holds the quick way to the strict one: whatever Decode takes,
// strictjson takes as well, and reads the same.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"tool":"jq"}`, `{"tool":"x","options":{"env_vars":{"A":"b"},"map_dirs":[{"guest":"/a","mode":"rw"}]}}`,
		`{"tool":"x","input":{"a":[{"b":1,"b":2}]}}`, `{"tool":"x","labels":{"\u0061":"1","a":"2"}}`,
		`{"tool":"x","Args":[]}`, `{"tool":"x","args":[]} `, `{"tool":"x","stdin":{"inline":"a","source":""}}`, `null`, `[{"tool":"x"}]`,
		"{\"tool\":\"x\",\"labels\":{\"\xff\":\"1\",\"\xfe\":\"2\"}}", `{"tool":"x","retry":{"max_attempts":1}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var quick, strict batchfile.Line
		if batchfile.Decode(data, &quick) != nil {
			return
		}
		if err := strictjson.Unmarshal(data, &strict); err != nil {
			t.Fatalf("%q was taken, but: %v", data, err)
		}
		if d := cmp.Diff(strict, quick); d != "" {
			t.Fatalf("%q: %s", data, d)
		}
	})
}

func TestDerivedIDs(t *testing.T) {
	t.Parallel()
	id := batchfile.DeriveID("night", 17, []byte(`{"tool":"jq"}`), "sha256:aa")
	if !jobs.ValidID(id) {
		t.Errorf("%q is no valid id", id)
	}
	if again := batchfile.DeriveID("night", 17, []byte(`{"tool":"jq"}`), "sha256:aa"); again != id {
		t.Errorf("the same line gave %q and %q", id, again)
	}
	for what, other := range map[string]string{
		"batch": batchfile.DeriveID("day", 17, []byte(`{"tool":"jq"}`), "sha256:aa"),
		"line":  batchfile.DeriveID("night", 18, []byte(`{"tool":"jq"}`), "sha256:aa"),
		"text":  batchfile.DeriveID("night", 17, []byte(`{"tool":"ls"}`), "sha256:aa"),
		"tool":  batchfile.DeriveID("night", 17, []byte(`{"tool":"jq"}`), "sha256:bb"),
	} {
		if other == id {
			t.Errorf("another %s gave the same id %q", what, id)
		}
	}
	if line, ok := batchfile.DerivedLine("night", id); !ok || line != 17 {
		t.Errorf("line %d, %t of %q", line, ok, id)
	}
	for _, foreign := range []string{"night", "night-", "night-17", "night-17-xyz", "night-017-" + id[len(id)-16:], "nigh-17-" + id[len(id)-16:], "night-0-" + id[len(id)-16:], "night-17-" + strings.Repeat("g", 16)} {
		if line, ok := batchfile.DerivedLine("night", foreign); ok {
			t.Errorf("%q passed for line %d of the batch", foreign, line)
		}
	}
	longest := batchfile.DeriveID(strings.Repeat("b", batchfile.MaxBatchID), 999_999_999, nil)
	if !jobs.ValidID(longest) {
		t.Errorf("the longest id %q has %d bytes", longest, len(longest))
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", batchfile.MaxLine+1)
	fits := strings.Repeat("y", batchfile.MaxLine-1)
	r := batchfile.NewReader(strings.NewReader("\xef\xbb\xbfone\r\n\n  \t\n two \n" + long + "\n" + fits + "\nlast"))
	type got struct {
		n    int
		text string
		long bool
	}
	var all []got
	for {
		n, text, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, batchfile.ErrLongLine) {
			t.Fatal(err)
		}
		all = append(all, got{n, string(text), err != nil})
	}
	want := []got{{1, "one", false}, {4, "two", false}, {5, "", true}, {6, fits, false}, {7, "last", false}}
	if d := cmp.Diff(want, all, cmp.AllowUnexported(got{})); d != "" {
		t.Error(d)
	}
	id := r.ID()
	if len(id) > batchfile.MaxBatchID || !jobs.ValidID(id) {
		t.Errorf("batch id %q", id)
	}
	other := batchfile.NewReader(strings.NewReader("one"))
	if _, _, err := other.Next(); err != nil {
		t.Fatal(err)
	}
	if other.ID() == id {
		t.Error("another file gave the same batch id")
	}
}

func BenchmarkDecode(b *testing.B) {
	line := []byte(`{"tool":"jq","args":["-r",".items[0].name"],"stdin":"{\"items\":[{\"name\":\"x\"}]}","options":{"wasm_timeout":2}}`)
	b.ReportAllocs()
	for b.Loop() {
		var l batchfile.Line
		if err := batchfile.Decode(line, &l); err != nil {
			b.Fatal(err)
		}
	}
}
