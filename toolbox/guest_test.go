package toolbox

import (
	"context"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/guest"
)

// TestShellPipes runs what only a guest's own pipes make possible. The last two
// would not end if a writer outlived its reader.
func TestShellPipes(t *testing.T) {
	tests := []struct {
		name, script string
		code         uint32
		want         string
	}{
		{"a pipeline", "for i in 3 1 2; do echo $i; done | sort | head -n 2", 0, "1\n2\n"},
		{"its exit code", "false | true; echo $?; set -o pipefail; false | true; echo $?", 0, "0\n1\n"},
		{"a here-document", "x=1; cat <<EOF | grep -c .\n$x\n$(echo 2 | cat)\nEOF", 0, "2\n"},
		{"a here-string", "wc -w <<< 'a b c'", 0, "3\n"},
		{"read in a loop", "printf 'a 1\\nb 2\\n' | while read k v; do echo $v$k; done", 0, "1a\n2b\n"},
		{"standard input", "head -n 1", 0, "first\n"},
		{"redirections need no directory", "echo x > /dev/null; cat < /dev/null; { echo e >&2; } 2>/dev/null; echo ok", 0, "ok\n"},
		{"many writes", "i=0; while [ $i -lt 2000 ]; do echo 'a line of no great length at all, and that two thousand times over and over again.'; i=$((i+1)); done | wc -c", 0, "166000\n"},
		{"a here-document nobody reads", "true <<EOF\nx\nEOF\necho ok", 0, "ok\n"},
		{"a writer without an end", "while true; do echo y; done | head -n 2", 0, "y\ny\n"},
		{"in the middle too", "while true; do echo y; done | cat | cat | (read a; echo $a); exit 4", 4, "y\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			outcome, err := runner.Run(context.Background(), guest.Command{
				Tool: "sh", Args: []string{"-c", test.script}, Stdin: strings.NewReader("first\nsecond\n"),
			})
			if err != nil || outcome.Code != test.code || outcome.Stdout != test.want {
				t.Errorf("got %+v, %v; want %d, %q", outcome, err, test.code, test.want)
			}
		})
	}
}

// TestMistakesOfTheCaller sees that every tool says what was wrong and exits
// with a code that is not 0.
func TestMistakesOfTheCaller(t *testing.T) {
	dir := stage(t, map[string]string{"/photo.png": "testdata/photo.png", "/orders.json": "testdata/orders.json"})
	tests := []struct {
		tool  string
		args  []string
		stdin string
		code  uint32
		says  string // on standard error, or on standard output for the file tools
	}{
		{"jq", []string{".["}, "1", 3, "invalid query"},
		{"jq", []string{"."}, "{", 5, "invalid json"},
		{"jq", []string{".", "/nothing"}, "", 5, "nothing"},
		{"sh", []string{"-c", "if"}, "", 2, "must be followed"},
		{"sh", []string{"-c", "python3"}, "", 127, "python3: not found"},
		{"starlark", []string{"-c", "def f():\n  fail('no')\nf()"}, "", 1, "Error in fail: fail: no"},
		{"starlark", []string{"-c", "load('/orders.json', 'x')"}, "", 1, "orders.json"},
		{"starlark", []string{"-c", "read('/nothing')"}, "", 1, "nothing"},
		{"lua", []string{"-e", "error('no')"}, "", 1, "no"},
		{"lua", []string{"-e", "print("}, "", 1, "syntax error"},
		{"jsonnet", []string{"-e", "{"}, "", 1, "Unexpected: end of file"},
		{"jsonnet", []string{"-e", "1", "-V", "x"}, "", 2, `--ext-str is "x": want NAME=VALUE`},
		{"markdown", []string{"/nothing.md"}, "", 1, "nothing.md"},
		{"markdown", []string{"--output=/no/dir.html"}, "x", 1, "dir.html"},
		{"resize", []string{"-W", "10", "/orders.json"}, "", 1, "neither a PNG nor a JPEG"},
		{"grep", []string{"("}, "", 2, "is not an RE2 expression"},
		{"find", []string{"/nothing"}, "", 1, "nothing"},
		{"ls", []string{"/nothing"}, "", 1, "nothing"},
		{"cat", []string{"/nothing"}, "", 1, "nothing"},
		{"wc", []string{"--lins"}, "", 2, "did you mean --lines?"},
		{"sort", []string{"/nothing"}, "", 1, "nothing"},
		{"hello", []string{"--nme=x"}, "", 2, "did you mean --name?"},
		{"file-read", []string{"--file-path=/photo.png"}, "", 1, `"is_error":true`},
		{"file-write", []string{"--file-path=/orders.json/x", "--content="}, "", 1, `"is_error":true`},
		{"file-edit", []string{"--file-path=/orders.json"}, "", 2, `"is_error":true`},
		{"file-glob", []string{"--pattern=../*"}, "", 1, `"is_error":true`},
	}
	for _, test := range tests {
		t.Run(test.tool, func(t *testing.T) {
			outcome, err := runner.Run(context.Background(), guest.Command{
				Tool: test.tool, Args: test.args, Stdin: strings.NewReader(test.stdin), Dir: dir,
			})
			said := outcome.Stderr
			if strings.HasPrefix(test.tool, "file-") {
				said = outcome.Stdout
			}
			if err != nil || outcome.Code != test.code || !strings.Contains(said, test.says) {
				t.Errorf("%q: got %+v, %v; want %d, %q", test.args, outcome, err, test.code, test.says)
			}
		})
	}
}

// TestWithoutFiles sees that tools which need no file system start without one.
func TestWithoutFiles(t *testing.T) {
	for tool, args := range map[string][]string{
		"jq": {"-n", "1"}, "sh": {"-c", "echo 1"}, "starlark": {"-c", "print(1)"}, "lua": {"-e", "print(1)"},
		"jsonnet": {"-e", "1"}, "grep": {"1"}, "cat": {}, "sort": {}, "markdown": {},
	} {
		outcome, err := runner.Run(context.Background(), guest.Command{Tool: tool, Args: args, Stdin: strings.NewReader("1\n")})
		if err != nil || outcome.Code != 0 || strings.TrimSpace(strings.NewReplacer("<p>", "", "</p>", "").Replace(outcome.Stdout)) != "1" {
			t.Errorf("%s: %+v, %v", tool, outcome, err)
		}
	}
}
