package filetool

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"boxfleet/toolbox/internal/command"
)

// result is what a caller reads from a tool's output.
type result struct {
	Content  string         `json:"content"`
	IsError  bool           `json:"is_error"`
	Metadata map[string]any `json:"metadata"`
	code     int
}

type tool func([]string, command.Streams) int

func call(t *testing.T, run tool, dir string, args ...string) result {
	t.Helper()
	var out, complaints bytes.Buffer
	var r result
	r.code = run(args, command.Streams{Out: &out, Err: &complaints, Dir: dir})
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		t.Fatalf("%q printed no JSON: %v", args, err)
	}
	if r.IsError != (r.code != 0) || complaints.Len() > 0 {
		t.Errorf("%q: is_error %v, code %d, standard error %q", args, r.IsError, r.code, complaints.String())
	}
	return r
}

// refused sees that a call fails with a code and a text.
func refused(t *testing.T, r result, code int, says string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.Content, says) {
		t.Errorf("code %d, %q: want %d, %q", r.code, r.Content, code, says)
	}
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	target := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", "one\ntwo\nthree\nfour")
	put(t, dir, "empty", "")
	put(t, dir, "long", strings.Repeat("é", maxContent))
	put(t, dir, "binary", "a\n\x00")
	put(t, dir, "latin", "caf\xe9\n")
	tests := []struct {
		args       []string
		want       string
		lines, all float64
		truncated  bool
	}{
		{[]string{"--file-path=a"}, "one\ntwo\nthree\nfour", 4, 4, false},
		{[]string{"a"}, "one\ntwo\nthree\nfour", 4, 4, false},
		{[]string{"a", "--offset=2", "--limit=2"}, "two\nthree\n", 2, 4, true},
		{[]string{"a", "--offset=0", "--limit=1"}, "one\n", 1, 4, true},
		{[]string{"a", "--offset=4"}, "four", 1, 4, false},
		{[]string{"empty"}, "", 0, 0, false},
		{[]string{"long", "--limit=0"}, strings.Repeat("é", maxContent/2), 1, 1, true},
	}
	for _, test := range tests {
		r := call(t, Read, dir, test.args...)
		if r.Content != test.want || r.Metadata["lines"] != test.lines || r.Metadata["total_lines"] != test.all || r.Metadata["truncated"] != test.truncated {
			t.Errorf("%q: got %d bytes, %v", test.args, len(r.Content), r.Metadata)
		}
	}
	refused(t, call(t, Read, dir, "nothing"), 1, "nothing")
	refused(t, call(t, Read, dir, "."), 1, "directory")
	refused(t, call(t, Read, dir, "binary"), 1, "it is a binary file: line 2 holds a NUL byte")
	refused(t, call(t, Read, dir, "latin"), 1, "latin is not UTF-8 text")
	refused(t, call(t, Read, dir, "a", "--offset=5"), 1, "--offset is 5: a has 4 lines")
	refused(t, call(t, Read, dir, "a", "--offset=-1"), 1, "want 0 or more")
	refused(t, call(t, Read, dir), 2, "--file-path is missing")
	refused(t, call(t, Read, dir, "a", "--ofset=2"), 2, "did you mean --offset?")
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	r := call(t, Write, dir, "--file-path=new/deep/a", "--content=-one\n")
	if r.Metadata["created"] != true || r.Metadata["bytes"] != 5.0 || content(t, dir, "new/deep/a") != "-one\n" {
		t.Errorf("a new file: %+v", r)
	}
	r = call(t, Write, dir, "--file-path=new/deep/a", "--content=")
	if r.Metadata["created"] != false || content(t, dir, "new/deep/a") != "" {
		t.Errorf("an old file: %+v", r)
	}
	if err := os.Symlink("new/deep/a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	call(t, Write, dir, "link", "by link")
	if content(t, dir, "new/deep/a") != "by link" {
		t.Error("a write to a link did not reach the file behind it")
	}
	if err := os.Symlink("round", filepath.Join(dir, "round")); err != nil {
		t.Fatal(err)
	}
	refused(t, call(t, Write, dir, "round", "x"), 1, "too many symbolic links")
	refused(t, call(t, Write, dir, "new", "x"), 1, "is a directory")
	refused(t, call(t, Write, dir, "new/deep/a/b", "x"), 1, "not a directory")
	refused(t, call(t, Write, dir, "x"), 2, "--content is missing")
	noLeftovers(t, dir)
}

func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if strings.Contains(name, ".new") || err != nil {
			t.Errorf("left over: %s, %v", name, err)
		}
		return nil
	})
}

func TestEdit(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", "one two\ntwo three\n")
	r := call(t, Edit, dir, "--file-path=a", "--old-string=three", "--new-string=")
	if content(t, dir, "a") != "one two\ntwo \n" || r.Metadata["replacements"] != 1.0 || r.Metadata["first_line"] != 2.0 {
		t.Errorf("one: %+v", r)
	}
	refused(t, call(t, Edit, dir, "a", "two", "2"), 1, "--old-string occurs 2 times in a: give more of the text around it, or --replace-all")
	r = call(t, Edit, dir, "a", "two", "2", "--replace-all")
	if content(t, dir, "a") != "one 2\n2 \n" || r.Metadata["replacements"] != 2.0 {
		t.Errorf("all: %+v", r)
	}
	if err := os.Chmod(filepath.Join(dir, "a"), 0o600); err != nil {
		t.Fatal(err)
	}
	call(t, Edit, dir, "a", "one", "1")
	if info, err := os.Stat(filepath.Join(dir, "a")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the mode is %v, %v: want it kept", info.Mode(), err)
	}
	refused(t, call(t, Edit, dir, "a", "nowhere", "x"), 1, "--old-string does not occur in a")
	refused(t, call(t, Edit, dir, "a", "", "x"), 1, "--old-string is empty")
	refused(t, call(t, Edit, dir, "a", "x", "x"), 1, "are the same")
	refused(t, call(t, Edit, dir, ".", "x", "y"), 1, "is a directory")
	refused(t, call(t, Edit, dir, "nothing", "x", "y"), 1, "nothing")
	put(t, dir, "huge", "")
	if err := os.Truncate(filepath.Join(dir, "huge"), maxEdit+1); err != nil {
		t.Fatal(err)
	}
	refused(t, call(t, Edit, dir, "huge", "x", "y"), 1, "files over 64 MiB are not edited")
	noLeftovers(t, dir)
}

func TestGlob(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.go", "b.txt", "src/c.go", "src/deep/d.go", "src/deep/e.md", "src/[x].go", ".hid/f.go"} {
		put(t, dir, name, "")
	}
	if err := os.Symlink("..", filepath.Join(dir, "src", "up")); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ pattern, path, want string }{
		{"*.go", ".", "a.go"},
		{"**/*.go", ".", ".hid/f.go a.go src/[x].go src/c.go src/deep/d.go"},
		{"**/*.go", "src", "src/[x].go src/c.go src/deep/d.go"},
		{"src/**", ".", "src/[x].go src/c.go src/deep/d.go src/deep/e.md src/up"},
		{"src/**/d.go", ".", "src/deep/d.go"},
		{"**/deep/**/*.md", ".", "src/deep/e.md"},
		{"**/**/**/d.go", ".", "src/deep/d.go"},
		{"*.{go,txt}", ".", "a.go b.txt"},
		{"{src/{c,nope},a}.go", ".", "a.go src/c.go"},
		{"src/?.go", ".", "src/c.go"},
		{`src/\[x].go`, ".", "src/[x].go"},
		{"./src//c.go", ".", "src/c.go"},
		{"nothing", ".", ""},
	}
	for _, test := range tests {
		r := call(t, Glob, dir, "--pattern="+test.pattern, "--path="+test.path)
		var got []string
		for _, file := range r.Metadata["files"].([]any) {
			got = append(got, file.(string))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s in %s: got %q", test.pattern, test.path, got)
		}
	}
	if r := call(t, Glob, dir, "**", "--limit=2"); r.Metadata["count"] != 2.0 || r.Metadata["truncated"] != true {
		t.Errorf("a limit: %+v", r)
	}
	refused(t, call(t, Glob, dir, "../*"), 1, "leads out of --path")
	refused(t, call(t, Glob, dir, "/etc/*"), 1, "want a pattern relative to --path")
	refused(t, call(t, Glob, dir, "[a"), 1, "malformed")
	refused(t, call(t, Glob, dir, "{a"), 1, "a { without its }")
	refused(t, call(t, Glob, dir, strings.Repeat("{a,b}", 9)), 1, "more than 256 patterns")
	refused(t, call(t, Glob, dir, "*", "--path=a.go"), 1, "is not a directory")
	refused(t, call(t, Glob, dir, "*", "--limit=-1"), 1, "want 0 or more")
	refused(t, call(t, Glob, dir), 2, "--pattern is missing")
}

func TestHelpIsNotJSON(t *testing.T) {
	for _, run := range []tool{Read, Write, Edit, Glob} {
		var out bytes.Buffer
		if code := run([]string{"--help"}, command.Streams{Out: &out}); code != 0 || !strings.HasPrefix(out.String(), "file-") {
			t.Errorf("code %d, printed %q", code, out.String())
		}
	}
}

// FuzzJSON holds the tools' own JSON against encoding/json.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{"", "plain", "a\"b\\c/d", "\x00\x1f\x7f\n\r\t", "é€😀\u2028", "\xff\xfe", "\xed\xa0\x80"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := object{{"s", text}, {"l", []string{text, text}}, {"n", -3}, {"b", true}, {"o", object{}}}.append(nil)
		var back struct {
			S string
			L []string
			N int
			B bool
			O map[string]any
		}
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		want := strings.ToValidUTF8(text, "\uFFFD")
		if utf8.ValidString(text) && back.S != want || len(back.L) != 2 || back.L[0] != back.S || back.N != -3 || !back.B || back.O == nil {
			t.Fatalf("%q comes back as %+v", text, back)
		}
	})
}

// FuzzGlob sees that no pattern panics or takes long, and that a path without
// special characters matches itself.
func FuzzGlob(f *testing.F) {
	f.Add("**/*.go", "a/b/c.go")
	f.Add("{a,b}/**/**/[x-z]?", "a/b")
	f.Add("**/**/**/**/*a*a*a*b", "aaaa/aaaa/aaaa")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 100 || len(name) > 100 {
			return
		}
		alternatives, err := parseGlob(pattern)
		if err != nil {
			return
		}
		segments := strings.Split(name, "/")
		for _, p := range alternatives {
			if p.matches(segments) && len(segments) > 1 && !p.matchesPrefix(segments[:1]) {
				t.Errorf("%q matches %q and nothing below its first part", p, name)
			}
		}
	})
}
