package grep

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/command"
)

// grep runs the tool in dir.
func grep(dir, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = Run(args, command.Streams{In: strings.NewReader(stdin), Out: &out, Err: &err, Dir: dir})
	return code, out.String(), err.String()
}

func makeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRun(t *testing.T) {
	dir := makeTree(t, map[string]string{
		"a.txt":      "one\ntwo\nThree\nno newline at the end",
		"b/c.go":     "package one\n\nfunc two() {}\n",
		"b/d.txt":    "two two\n",
		"b/.hid":     "two\n",
		"skip/e.txt": "two\n",
		"bin":        "two\x00two\n",
		"empty":      "",
	})
	if err := os.Symlink("b/d.txt", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		args  []string
		stdin string
		code  int
		want  string
	}{
		{"a file", []string{"two", "a.txt"}, "", 0, "two\n"},
		{"standard input", []string{"^t"}, "one\ntwo\n", 0, "two\n"},
		{"a dash is standard input", []string{"-H", "o", "-"}, "one\n", 0, "(standard input):one\n"},
		{"none", []string{"four", "a.txt"}, "", 1, ""},
		{"last line without newline", []string{"end$", "a.txt"}, "", 0, "no newline at the end\n"},
		{"several files have names", []string{"two", "a.txt", "b/d.txt"}, "", 0, "a.txt:two\nb/d.txt:two two\n"},
		{"no names", []string{"-h", "two", "a.txt", "b/d.txt"}, "", 0, "two\ntwo two\n"},
		{"a tree", []string{"-r", "two", "b"}, "", 0, "b/.hid:two\nb/c.go:func two() {}\nb/d.txt:two two\n"},
		{"a directory needs no -r", []string{"-l", "two", "b"}, "", 0, "b/.hid\nb/c.go\nb/d.txt\n"},
		{"without path and with -r", []string{"-rl", "two"}, "", 0, "a.txt\nb/.hid\nb/c.go\nb/d.txt\nskip/e.txt\n"},
		{"a dot", []string{"-rl", "two", "."}, "", 0, "./a.txt\n./b/.hid\n./b/c.go\n./b/d.txt\n./skip/e.txt\n"},
		{"a dotted directory", []string{"-l", "two", "./b"}, "", 0, "./b/.hid\n./b/c.go\n./b/d.txt\n"},
		{"include", []string{"-rl", "--include=*.txt", "--include", "*.md", "two"}, "", 0, "a.txt\nb/d.txt\nskip/e.txt\n"},
		{"exclude a directory", []string{"-rl", "--exclude-dir=skip", "--include=*.txt", "two"}, "", 0, "a.txt\nb/d.txt\n"},
		{"numbers", []string{"-n", "o", "a.txt"}, "", 0, "1:one\n2:two\n4:no newline at the end\n"},
		{"numbers of a literal", []string{"-n", "end", "a.txt"}, "", 0, "4:no newline at the end\n"},
		{"ignore case", []string{"-i", "THREE", "a.txt"}, "", 0, "Three\n"},
		{"the long s and the Kelvin sign", []string{"-ic", "ask"}, "aſK\nASK\nax\n", 0, "2\n"},
		{"count", []string{"-c", "two", "a.txt", "b/d.txt", "empty"}, "", 0, "a.txt:1\nb/d.txt:1\nempty:0\n"},
		{"invert", []string{"-v", "t", "a.txt"}, "", 0, "one\nThree\n"},
		{"invert and number", []string{"-vn", "w", "a.txt"}, "", 0, "1:one\n3:Three\n"},
		{"invert what is nowhere", []string{"-vc", "nowhere", "a.txt"}, "", 0, "4\n"},
		{"invert what is everywhere", []string{"-v", "", "a.txt"}, "", 1, ""},
		{"only the matches", []string{"-no", "t.", "b/d.txt"}, "", 0, "1:tw\n1:tw\n"},
		{"quiet", []string{"-q", "two", "a.txt"}, "", 0, ""},
		{"quiet and an error", []string{"-q", "two", "nothing", "a.txt"}, "", 0, ""},
		{"at most", []string{"-m1", "o", "a.txt"}, "", 0, "one\n"},
		{"at most, inverted", []string{"-vm", "2", "two", "a.txt"}, "", 0, "one\nThree\n"},
		{"whole words", []string{"-w", "on", "a.txt"}, "", 1, ""},
		{"whole words found", []string{"-wo", "n."}, "nn on no\n", 0, "nn\nno\n"},
		{"fixed", []string{"-F", "a.c(", "-"}, "a.c(\nabc(\n", 0, "a.c(\n"},
		{"several patterns", []string{"-c", "one\nThree", "a.txt"}, "", 0, "2\n"},
		{"an escaped newline never matches", []string{`one\ntwo`, "a.txt"}, "", 1, ""},
		{"binary files are left out", []string{"two", "bin"}, "", 1, ""},
		{"unless asked for", []string{"-ac", "two", "bin"}, "", 0, "1\n"},
		{"a pattern with a dash", []string{"-e", "-x"}, "a-x\n", 0, "a-x\n"},
		{"after two dashes", []string{"--", "-x"}, "a-x\n", 0, "a-x\n"},
		{"empty lines", []string{"-n", "^$"}, "a\n\nb\n\n", 0, "2:\n4:\n"},
		{"nothing to read", []string{"-c", ""}, "", 1, "0\n"},
		{"bytes that are not UTF-8", []string{"-c", "�"}, "a\xff\nb\n", 0, "1\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := grep(dir, test.stdin, test.args...)
			if code != test.code || stdout != test.want {
				t.Errorf("code %d, printed %q, said %q; want %d, %q", code, stdout, stderr, test.code, test.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	dir := makeTree(t, map[string]string{"a": "two\n"})
	tests := []struct {
		args         []string
		stdout, says string
	}{
		{[]string{"two", "nothing", "a"}, "a:two\n", "nothing"},
		{[]string{"(", "a"}, "", `grep: --pattern "(" is not an RE2 expression: error parsing regexp: missing closing ): ` + "`(`"},
		{[]string{}, "", "grep: --pattern is missing"},
		{[]string{"-r", "--include=[", "two"}, "", `the glob "[" is malformed`},
		{[]string{"--recursiv", "x"}, "", "unknown option --recursiv; did you mean --recursive?"},
	}
	for _, test := range tests {
		code, stdout, stderr := grep(dir, "", test.args...)
		if code != exitError || stdout != test.stdout || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: code %d, printed %q, said %q; want %q", test.args, code, stdout, stderr, test.says)
		}
	}
}

// TestBuffers sees that a line is found wherever the buffer's end falls in it.
func TestBuffers(t *testing.T) {
	for _, length := range []int{startBuffer - 20, startBuffer - 8, startBuffer - 7, startBuffer - 1, startBuffer, startBuffer + 1, 3 * startBuffer} {
		for _, first := range []string{strings.Repeat("x", length), strings.Repeat("y\n", length/2)} {
			stdin := first + "\nneedle one\nhay\nneedle two"
			want := fmt.Sprintf("%d:needle one\n%d:needle two\n", strings.Count(first, "\n")+2, strings.Count(first, "\n")+4)
			if code, stdout, stderr := grep("", stdin, "-n", "needle"); code != 0 || stdout != want {
				t.Errorf("after %d bytes: code %d, printed %q, said %q; want %q", length, code, stdout, stderr, want)
			}
		}
	}
	code, _, stderr := grep("", strings.Repeat("x", longestLine+1), "x$")
	if code != exitError || !strings.Contains(stderr, "longer than 64 MiB") {
		t.Errorf("a line too long: code %d, said %q", code, stderr)
	}
}

func TestNeedles(t *testing.T) {
	tests := []struct {
		pattern string
		want    string
		exact   bool
	}{
		{"needle", "needle", true},
		{"func \\w+\\(", "func ", false},
		{"(abc)+x", "abc", false},
		{"a{2,}bcd", "bcd", false},
		{"(?:ab)?cd", "cd", false},
		{"(ab)*", "", false},
		{"one|three", "one three", false},
		{"one|.", "", false},
		{"(?i)hello", "hello", true},
		{"(?i)task force", " force", false},
		{"(?i)sks", "", false},
		{"^start", "start", false},
		{"a|b|c", "", false},
		{"", "", false},
		{"x�", "", false},
		{"a\\nb", "a\nb", false},
	}
	for _, test := range tests {
		tree, err := syntax.Parse(test.pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		literals, exact := needles(tree)
		var got []string
		for _, l := range literals {
			got = append(got, string(l.text))
		}
		if strings.Join(got, " ") != test.want || exact != test.exact {
			t.Errorf("%q: %q, exact %v; want %q, %v", test.pattern, got, exact, test.want, test.exact)
		}
	}
}

// FuzzGrep holds the tool against the regexp engine on each line by itself.
func FuzzGrep(f *testing.F) {
	for _, pattern := range []string{"needle", "a.c", "(?i)ask", "foo|ba[rz]", "^$", "x*", "\\bword\\b", "é+", "ab{1,3}c", "(a|b)(c|d)", "\\x00", "K", "a\\nb", "s(k)s"} {
		for _, text := range []string{"a needle\nabc\nASK aſK\n", "foo\n\nbar baz\nword", "\n\n", "éé\xff\x00x", "abbc ad bc\nsks\n"} {
			f.Add(pattern, text, false, false)
			f.Add(pattern, text, true, true)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, text string, ignoreCase, invert bool) {
		if strings.Contains(pattern, "\n") {
			return // several patterns have a test of their own
		}
		flags := ""
		args := []string{"-na", "--pattern=" + pattern}
		if ignoreCase {
			flags = "(?i)"
			args = append(args, "-i")
		}
		if invert {
			args = append(args, "-v")
		}
		re, err := regexp.Compile(flags + "(?:" + pattern + ")")
		if _, alone := syntax.Parse(pattern, syntax.Perl); err != nil || alone != nil {
			if code, _, _ := grep("", text, args...); code != exitError {
				t.Fatalf("the malformed %q gives code %d", pattern, code)
			}
			return
		}
		var want strings.Builder
		lines := strings.Split(text, "\n")
		if lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		for i, line := range lines {
			if re.MatchString(line) != invert {
				fmt.Fprintf(&want, "%d:%s\n", i+1, line)
			}
		}
		if _, got, stderr := grep("", text, args...); got != want.String() {
			t.Fatalf("%q on %q: got %q (%s), want %q", args, text, got, stderr, want.String())
		}
	})
}

func BenchmarkGrep(b *testing.B) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "2025-03-01 10:00:%02d INFO order %d stored in %d ms\n", i%60, i, i%500)
	}
	input := text.String()
	for _, pattern := range []string{"ERROR", "order 9999[0-9] ", "(?i)refund", "ERROR|WARN", "[0-9]+ ms$"} {
		b.Run(pattern, func(b *testing.B) {
			b.SetBytes(int64(len(input)))
			b.ReportAllocs()
			for b.Loop() {
				grep("", input, "-c", pattern)
			}
		})
	}
}
