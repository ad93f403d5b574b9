package js

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/command"
)

type outcome struct {
	code     int
	out, err string
}

func runIn(dir, stdin string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := Run(args, command.Streams{In: strings.NewReader(stdin), Out: &stdout, Err: &stderr, Dir: dir})
	return outcome{code, stdout.String(), stderr.String()}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.js":      "#!/usr/bin/env js\nconst { twice } = require('./lib/twice.js'); console.log(twice(args.length), require('./data.json').a);",
		"lib/twice.js": "const { two } = require('../two.js'); exports.twice = n => two * n;",
		"two.js":       "module.exports = { two: 2, name: __filename };",
		"data.json":    `{"a": [1, {"b": null}]}`,
		"bad.json":     `{`,
		"bad.js":       "x = ;",
		"throws.js":    "\n  null.x;",
		"first.js":     "exports.before = 1; exports.second = require('./second.js').seen; exports.after = 2;",
		"second.js":    "exports.seen = Object.keys(require('./first.js'));",
		"in.txt":       "what is in the file",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := func(text string, more ...string) []string { return append([]string{"--command=" + text}, more...) }
	tests := []struct {
		name  string
		args  []string
		stdin string
		code  int
		out   string
		says  string // on standard error
	}{
		{"an expression", program("[1, 2, 3].map(x => x * 2)", "--print"), "", 0, "[2,4,6]\n", ""},
		{"nothing is printed unasked", program("1 + 1"), "", 0, "", ""},
		{"text is JSON too", program("'a\\n' + `${1 + 1}`", "-p"), "", 0, `"a\n2"` + "\n", ""},
		{"no value", program("undefined", "-p"), "", 0, "null\n", ""},
		{"a function", program("(() => 1)", "-p"), "", 0, "null\n", ""},
		{"JSON in and out", program("({ n: input.length, sum: input.reduce((a, b) => a + b) })", "-p"), "[1, 2, 3.5]", 0, `{"n":3,"sum":6.5}` + "\n", ""},
		{"input is read once and can be changed", program("input.a = 2; input", "-p"), `{"a":1}`, 0, `{"a":2}` + "\n", ""},
		{"what is no JSON is no input", program("input"), "1 2", 1, "", "standard input is not one JSON value"},
		{"raw standard input", program("stdin() + stdin()", "-p"), "ab", 0, `"abab"` + "\n", ""},
		{"arguments", program("args", "-p", "--arg=--x", "--arg=b c"), "", 0, `["--x","b c"]` + "\n", ""},
		{"the program is standard input", nil, "console.log('a', 1, [2, {b: 3}], null, undefined, 4n)", 0, "a 1 [2,{\"b\":3}] null undefined 4\n", ""},
		{"what JSON cannot say", program("const a = []; a.push(a); console.log(a, () => 1, new Map())"), "", 0, " () => 1 {}\n", ""},
		{"standard error", program("console.error('no', {a: 1}); console.warn(2)"), "", 0, "", "no {\"a\":1}\n2\n"},
		{"a file", []string{"main.js", "a", "--b"}, "", 0, "4 [1,{\"b\":null}]\n", ""},
		{"files that require each other", program("require('./first.js')", "-p"), "", 0, `{"before":1,"second":["before"],"after":2}` + "\n", ""},
		{"required once", program("require('./two.js') === require('./lib/../two.js')", "-p"), "", 0, "true\n", ""},
		{"no modules by name", program("require('fs')"), "", 1, "", `require("fs"): there are no modules but files`},
		{"a file that is not there", program("require('./nothing.js')"), "", 1, "", "nothing.js"},
		{"a required file with a mistake", program("require('./bad.js')"), "", 1, "", "SyntaxError"},
		{"required JSON with a mistake", program("require('./bad.json')"), "", 1, "", "SyntaxError"},
		{"where it went wrong", program("require('./throws.js')"), "", 1, "", "throws.js:2:"},
		{"reading", program("read('in.txt').split(' ').length", "-p"), "", 0, "5\n", ""},
		{"reading what is not there", program("try { read('none') } catch (e) { String(e) }", "-p"), "", 0, "", ""},
		{"writing", program("write('out.txt', 'ü'); read('out.txt')", "-p"), "", 0, `"ü"` + "\n", ""},
		{"await", program("(async () => { const x = await Promise.resolve(20); return x + 1 })()", "-p"), "", 0, "21\n", ""},
		{"timers", program("setTimeout(n => console.log('second', n), 5, 2); setTimeout(() => console.log('first')); clearTimeout(setTimeout(() => console.log('never'), 1)); console.log('now')"), "", 0, "now\nfirst\nsecond 2\n", ""},
		{"timers that are due at once keep their order", program("for (let i = 0; i < 5; i++) setTimeout(() => console.log(i), NaN)"), "", 0, "0\n1\n2\n3\n4\n", ""},
		{"a promise that a timer settles", program("new Promise(done => setTimeout(done, 1, 'x'))", "-p"), "", 0, "\"x\"\n", ""},
		{"a promise that nothing settles", program("new Promise(() => {})", "-p"), "", 1, "", "nothing settles"},
		{"a rejection nobody handles", program("Promise.reject(new TypeError('why'))"), "", 1, "", "nobody handled it: TypeError: why"},
		{"a rejection handled late", program("const p = Promise.reject(1); setTimeout(() => p.catch(() => {}))"), "", 0, "", ""},
		{"an exception", program("function f() { throw new RangeError('too much') }\nf()"), "", 1, "", "js: RangeError: too much\n\tat f (command:1:"},
		{"an exception in a timer", program("console.log(1); setTimeout(() => { throw 'it' })"), "", 1, "1\n", "js: it"},
		{"a mistake", program("let x = "), "", 1, "", "SyntaxError"},
		{"its own exit", program("console.log(1); try { exit(7) } finally { console.log(2) }; console.log(3)"), "", 7, "1\n", ""},
		{"recursion without end", program("function f() { return f() + 1 } f()"), "", 1, "", "calls itself too deeply"},
		{"deep but not too deep", program("function f(n) { return n ? 1 + f(n - 1) : 0 } f(9000)", "-p"), "", 0, "9000\n", ""},
		{"no processes, no network", program("[typeof process, typeof fetch, typeof XMLHttpRequest, typeof Deno, typeof WebAssembly]", "-p"), "", 0, `["undefined","undefined","undefined","undefined","undefined"]` + "\n", ""},
		{"JSON taken away", program("JSON = null; console.log({a: 1}); [input, require('./data.json').a[0]]", "-p"), "7", 0, "{\"a\":1}\n[7,1]\n", ""},
		{"a source map is not looked for", program("1 //# sourceMappingURL=in.txt", "-p"), "", 0, "1\n", ""},
		{"an unknown option", []string{"--pront"}, "", 2, "", "did you mean --print?"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := runIn(dir, test.stdin, test.args...)
			if test.name == "reading what is not there" {
				if !strings.Contains(got.out, "none") || got.code != 0 {
					t.Errorf("got %+v", got)
				}
				return
			}
			if got.code != test.code || got.out != test.out || test.says == "" && got.err != "" || !strings.Contains(got.err, test.says) {
				t.Errorf("got %+v\nwant code %d, %q, and %q", got, test.code, test.out, test.says)
			}
		})
	}
}

// brokenPipe takes nothing.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestOutputThatCannotBeWritten(t *testing.T) {
	var stderr bytes.Buffer
	code := Run([]string{"--command=for (let i = 0; i < 1e4; i++) console.log('line')"}, command.Streams{In: strings.NewReader(""), Out: brokenPipe{}, Err: &stderr})
	if code != command.ExitError || !strings.Contains(stderr.String(), os.ErrClosed.Error()) {
		t.Errorf("code %d, %q", code, stderr.String())
	}
}
