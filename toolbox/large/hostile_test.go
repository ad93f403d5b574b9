package large

import (
	"strings"
	"testing"
)

// TestEscapes has programs try to get at what is not theirs. Each prints what it
// got; all they can get is an error.
func TestEscapes(t *testing.T) {
	python := func(lines ...string) []string {
		return program("python", map[string]any{"command": strings.Join(lines, "\n")}, "--work-dir=:scratch")
	}
	tests := []struct {
		name string
		args []string
		says string // in what is printed or on standard error
	}{
		{"files of the host", python("import os", "for p in ('/etc/passwd', '/proc/self/environ', '../../../../etc/passwd', '/usr/local/../../etc/passwd'):",
			"    try: print(open(p).read())", "    except OSError as e: print('no', e.errno)"), "no 44\nno 44\nno "},
		{"a link that leads out", python("import os", "os.symlink('../../../../../../etc/passwd', '/link')",
			"try: print(open('/link').read())", "except OSError as e: print('refused')"), "refused"},
		{"a link out of the standard library", python("import os", "try:", "    os.symlink('/etc', '/usr/local/lib/x'); print(open('/usr/local/lib/x/passwd').read())", "except OSError as e: print('refused')"), "refused"},
		{"processes", python("import os, subprocess", "for f in (lambda: os.fork(), lambda: os.system('id'), lambda: os.execv('/bin/sh', ['sh']), lambda: subprocess.run(['id'])):",
			"    try: print(f())", "    except (OSError, AttributeError) as e: print('no')"), "no\nno\nno\nno\n"},
		{"sockets", python("import socket", "try: s = socket.socket(); s.connect(('127.0.0.1', 4222)); print('connected')", "except (OSError, AttributeError) as e: print('refused')"), "refused"},
		{"the network by a library", python("import urllib.request", "try: print(urllib.request.urlopen('http://127.0.0.1/').status)", "except Exception as e: print('refused')"), "refused"},
		{"native code", python("try:", "    import ctypes; print(ctypes.CDLL(None))", "except (ImportError, OSError) as e: print('refused')"), "refused"},
		{"the environment", python("import os", "print(dict(os.environ))"), "{}\n"},
		{"other descriptors", python("import os", "got = 0", "for fd in range(3, 200):", "    try:", "        os.write(fd, b'x'); got += 1", "    except OSError: pass", "print('wrote', got)"), "wrote 0"},
		{"a database of the host", python("import sqlite3", "try: print(sqlite3.connect('file:/etc/passwd?mode=ro', uri=True).execute('select 1 from sqlite_master').fetchall())", "except sqlite3.Error as e: print('refused')"), "refused"},
		{"a library for the database", python("import sqlite3", "d = sqlite3.connect(':memory:')", "try: d.enable_load_extension(True); print(d.execute(\"select load_extension('/lib/x86_64-linux-gnu/libc.so.6')\"))", "except (sqlite3.Error, AttributeError) as e: print('refused')"), "refused"},
		{"javascript's files of the host", program("js", map[string]any{"command": "try { console.log(read('/etc/passwd')) } catch (e) { console.log('refused') }"}), "refused"},
		{"javascript's way out of its engine", program("js", map[string]any{"command": "const p = console.log.constructor('return typeof process + typeof require')(); console.log(p)"}), "undefinedfunction"},
		{"yq's files of the host", program("yq", map[string]any{"expression": `load("/etc/passwd")`, "null_input": true}), "assw"},
		{"yq's environment", program("yq", map[string]any{"expression": `env(HOME)`, "null_input": true}), "HOME"},
		{"esbuild's server", []string{"esbuild", "--", "--serve=8000", "--servedir=/"}, "waits for browsers"},
		{"esbuild without a root", program("esbuild", map[string]any{"entry": []string{"/in/a.js"}}, "--map-dir=::/in:scratch"), "mount a directory at /"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := shared.run(t, "", test.args...)
			said := r.Stdout + r.Stderr
			if !strings.Contains(said, test.says) || strings.Contains(said, "root:") {
				t.Errorf("got %+v\nwant %q in it", r, test.says)
			}
		})
	}
}

// TestStrain has programs use up what they are granted. Each ends with the
// outcome that names what was used up, or with the interpreter's own error.
func TestStrain(t *testing.T) {
	python := func(text string, flags ...string) []string {
		return program("python", map[string]any{"command": text}, flags...)
	}
	js := func(text string, flags ...string) []string {
		return program("js", map[string]any{"command": text}, flags...)
	}
	const memory, fuel = "--max-memory=64MiB", "--fuel=1e9"
	tests := []struct {
		name    string
		args    []string
		outcome string
		stderr  string
	}{
		{"python without end", python("while True: pass", fuel), "out_of_fuel", ""},
		{"python that catches everything", python("while True:\n    try:\n        while True: pass\n    except BaseException: pass", fuel), "out_of_fuel", ""},
		{"python in one call", python("sum(range(10**12))", fuel), "out_of_fuel", ""},
		{"python in one operator", python("x = 3 ** (10 ** 8)", fuel), "out_of_fuel", ""},
		{"a pattern that backtracks", python("import re; re.match('(a+)+$', 'a' * 40 + 'b')", "--fuel=3e9"), "out_of_fuel", ""},
		{"a query without end", python("import sqlite3; sqlite3.connect(':memory:').execute('with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t').fetchone()", "--fuel=3e9"), "out_of_fuel", ""},
		{"python asleep", python("import time; time.sleep(3600)", "--timeout=500ms"), "timed_out", ""},
		{"python's memory", python("x = []\nwhile True: x.append(bytes(10 ** 6))", memory), "exited", "MemoryError"},
		{"python's memory, doubled", python("x = 'a'\nwhile True: x += x", memory), "exited", "MemoryError"},
		{"python's recursion", python("def f(): f()\nf()"), "exited", "RecursionError"},
		{"python's recursion in C", python("x = []\nfor i in range(10 ** 5): x = [x]\nrepr(x)"), "exited", "RecursionError"},
		{"python's output", python("while True: print('x' * 1000)", fuel), "output_limit", ""},
		{"python's files", python("for i in range(10 ** 6): open(f'/tmp/{i}', 'w').close()", "--map-dir=::/tmp:scratch", "--max-files=100"), "exited", "OSError"},
		{"python's bytes in files", python("f = open('/tmp/a', 'wb')\nwhile True: f.write(bytes(10 ** 6))", "--map-dir=::/tmp:scratch", "--max-written-bytes=8MiB"), "exited", "OSError"},
		{"javascript without end", js("for (;;);", fuel), "out_of_fuel", ""},
		{"javascript that catches everything", js("for (;;) try { for (;;); } catch {}", fuel), "out_of_fuel", ""},
		{"javascript's promises without end", js("const f = () => Promise.resolve().then(f); f()", fuel), "out_of_fuel", ""},
		{"javascript's timers without end", js("const f = () => setTimeout(f, 0); f()", fuel), "out_of_fuel", ""},
		{"javascript asleep", js("setTimeout(() => 0, 1e15)", "--timeout=500ms"), "timed_out", ""},
		{"javascript's recursion", js("function f() { f() } f()"), "exited", "calls itself too deeply"},
		{"a bomb of YAML", program("yq", map[string]any{"expression": ".", "output_format": "json"}, fuel, memory), "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stdin := ""
			if test.outcome == "" {
				stdin = yamlBomb()
			}
			r := shared.run(t, stdin, test.args...)
			if test.outcome == "" {
				if r.Outcome == "succeeded" || r.Outcome == "failed" || len(r.Stdout) > 2<<20 {
					t.Errorf("got %s, %d bytes: %.300q", r.Outcome, len(r.Stdout), r.Stderr)
				}
				return
			}
			if r.Outcome != test.outcome || !strings.Contains(r.Stderr, test.stderr) {
				t.Errorf("got %s, %s, %.600q: want %s, %q", r.Outcome, r.Error, r.Stderr, test.outcome, test.stderr)
			}
		})
	}
	t.Run("javascript's memory", func(t *testing.T) {
		t.Parallel()
		// Go's runtime ends the guest when it gets no memory, with a code of its own.
		r := shared.run(t, "", js("const x = []; for (;;) x.push('a'.repeat(1e6) + x.length)", memory)...)
		if r.Outcome != "out_of_memory" && (r.Outcome != "exited" || !strings.Contains(r.Stderr, "out of memory")) {
			t.Errorf("got %s, %.300q", r.Outcome, r.Stderr)
		}
	})
	// After all of that the fleet still works.
	t.Cleanup(func() {
		if r := shared.run(t, "", python("print(1)")...); r.Stdout != "1\n" {
			t.Errorf("afterwards: %+v", r)
		}
	})
}

// yamlBomb is nine levels of nine aliases each.
func yamlBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 lol\n")
	for i := 1; i < 10; i++ {
		name, before := string(rune('0'+i)), string(rune('0'+i-1))
		b.WriteString("a" + name + ": &a" + name + " [" + strings.Repeat("*a"+before+", ", 8) + "*a" + before + "]\n")
	}
	return b.String()
}
