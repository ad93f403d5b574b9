package large

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/helptext"
)

func TestManifestsSayWhatHelpSays(t *testing.T) {
	if len(manifests) != 4 {
		t.Errorf("%d manifests: want those of esbuild, js, python and yq", len(manifests))
	}
	for _, m := range manifests {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			if _, err := helptext.Schema(m); err != nil {
				t.Error(err)
			}
			r := shared.run(t, "", m.Name, "--", "--help")
			if r.Outcome != "succeeded" || r.Stderr != "" {
				t.Fatalf("--help: %+v", r)
			}
			for _, err := range helptext.Compare(m, r.Stdout) {
				t.Error(err)
			}
		})
	}
}

// cities are the three cities that ordered most, worked out from the sample
// orders here.
func cities(t *testing.T) (names []string, cents map[string]int) {
	t.Helper()
	data, err := os.ReadFile("../testdata/orders.json")
	if err != nil {
		t.Fatal(err)
	}
	var orders []struct {
		Customer struct{ City string }
		Total    int
	}
	if err := json.Unmarshal(data, &orders); err != nil {
		t.Fatal(err)
	}
	cents = make(map[string]int)
	for _, o := range orders {
		if cents[o.Customer.City] == 0 {
			names = append(names, o.Customer.City)
		}
		cents[o.Customer.City] += o.Total
	}
	slices.SortFunc(names, func(a, b string) int { return cents[b] - cents[a] })
	return names[:3], cents
}

// examples look at what the manifests' examples give: standard output, and the
// files that came back.
var examples = map[string]func(t *testing.T, stdout, outputs string){
	"python": func(t *testing.T, stdout, outputs string) {
		want := ""
		names, cents := cities(t)
		for _, city := range names {
			want += fmt.Sprintln(city, cents[city])
		}
		if stdout != want {
			t.Errorf("printed %q: want %q", stdout, want)
		}
		head, err := os.ReadFile(filepath.Join(outputs, "orders.db"))
		if err != nil || !strings.HasPrefix(string(head), "SQLite format 3\x00") {
			t.Errorf("orders.db is no database: %.20q, %v", head, err)
		}
		// Another job reads it from a directory that it cannot write to.
		r := shared.run(t, "", program("python", map[string]any{"command": "import sqlite3\n" +
			"d = sqlite3.connect('file:/in/orders.db?mode=ro&immutable=1', uri=True)\nprint(d.execute('select sum(cents) from orders').fetchone())\n" +
			"try: d.execute('delete from orders')\nexcept sqlite3.OperationalError as e: print(e)"}, "--map-dir="+outputs+"::/in")...)
		sum := 0
		for _, n := range cents {
			sum += n
		}
		if want := fmt.Sprintf("(%d,)\nattempt to write a readonly database\n", sum); r.Stdout != want {
			t.Errorf("got %+v: want %q", r, want)
		}
	},
	"js": func(t *testing.T, stdout, _ string) {
		var got []struct {
			City  string
			Cents int
		}
		names, cents := cities(t)
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || len(got) != 3 {
			t.Fatalf("printed %q, %v", stdout, err)
		}
		for i, city := range names {
			if got[i].City != city || got[i].Cents != cents[city] {
				t.Errorf("%d: got %+v, want %s %d", i, got[i], city, cents[city])
			}
		}
	},
	"yq": func(t *testing.T, stdout, _ string) {
		want := `[{"name":"intake","pods":3,"port":8080},{"name":"ledger","pods":2,"port":8081}]` + "\n" +
			`[{"name":"router","pods":5,"port":443}]` + "\n"
		if stdout != want {
			t.Errorf("printed %q: want %q", stdout, want)
		}
	},
	"esbuild": func(t *testing.T, stdout, outputs string) {
		page, err := os.ReadFile(filepath.Join(outputs, "out", "page.js"))
		if err != nil {
			t.Fatal(err)
		}
		for want, there := range map[string]bool{"The Fleet": true, "reduce": true, "VERSION": false, "interface": false, "average": false, "=>": true, "??": false, "\n  ": false} {
			if strings.Contains(string(page), want) != there {
				t.Errorf("%q in the bundle is %v: want %v\n%s", want, !there, there, page)
			}
		}
		// What was built runs: here, in the other tool.
		if err := os.WriteFile(filepath.Join(outputs, "run.js"), []byte("console.log(require('./out/page.js').page)"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := shared.run(t, "", "js", "--work-dir", outputs, "--", "/run.js")
		if want := `<li title="The Fleet 7">40.00</li>` + "\n"; r.Stdout != want {
			t.Errorf("the bundle gives %q: want %q\n%+v", r.Stdout, want, r)
		}
		if stdout != "" {
			t.Errorf("printed %q", stdout)
		}
	},
}

// TestExamples runs every manifest's example as a job.
func TestExamples(t *testing.T) {
	for _, m := range manifests {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			mode, outputs := ":rw", filepath.Join(t.TempDir(), "outputs")
			if m.PermissionLevel == "read_only" {
				mode = ":ro"
			}
			args := []string{m.Name, "--work-dir", stage(t, m.Example.Files) + mode}
			if mode == ":rw" {
				args = append(args, "--output", "/="+outputs)
			}
			r := shared.run(t, m.Example.Stdin, append(append(args, "--"), m.Example.Args...)...)
			if r.Outcome != "succeeded" || r.Stderr != "" {
				t.Fatalf("%+v", r)
			}
			examples[m.Name](t, r.Stdout, outputs)
		})
	}
}

// TestExampleJobs runs the lines of examples.jsonl as a batch, from the folder
// that README.md names.
func TestExampleJobs(t *testing.T) {
	cmd := exec.Command("bin/submit", "batch", "toolbox/large/examples.jsonl", "--fresh", "--results", "-")
	cmd.Dir, cmd.Env = "../..", shared.environment()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := make(map[int]string)
	for line := range strings.Lines(string(out)) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Outcome != "succeeded" {
			t.Errorf("%+v", r)
		}
		got[r.Line] = r.Stdout
	}
	names, _ := cities(t)
	for i, want := range []string{names[0], `"city":"` + names[0] + `"`, "<services>", "export{"} {
		if !strings.Contains(got[i+1], want) {
			t.Errorf("line %d printed %q: want %q in it", i+1, got[i+1], want)
		}
	}
}

// TestUses runs what people do with these tools.
func TestUses(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.py":    "import sys, helper\nprint(helper.double(int(sys.argv[1])), sys.argv[2:])\n",
		"helper.py":  "def double(n):\n    return 2 * n\n",
		"lib.js":     "exports.double = n => 2 * n;\n",
		"main.js":    "console.log(require('./lib.js').double(Number(args[0])), args.slice(1));\n",
		"a.yaml":     "a: 1\nb: [x, y]\n",
		"b.yaml":     "a: 2\n",
		"style.css":  "@import './base.css';\n.a { color: #ff0000 }\n",
		"base.css":   "body { margin: 0px }\n",
		"-dash.yaml": "dash: true\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := "--map-dir=" + dir + "::/in"
	input := func(members ...any) map[string]any {
		m := make(map[string]any)
		for i := 0; i < len(members); i += 2 {
			m[members[i].(string)] = members[i+1]
		}
		return m
	}
	list := func(values ...string) []string { return values }
	tests := []struct {
		name  string
		stdin string
		args  []string
		want  string
	}{
		{"python -c", "", list("python", "--", "-c", "import sys; print(sys.argv)", "--arg=x"), "['-c', '--arg=x']\n"},
		{"python by JSON", "", program("python", input("command", "import sys; print(sys.argv[1:])", "arg", list("--x", "b c", ""))), "['--x', 'b c', '']\n"},
		{"python from standard input", "print(6 * 7)\n", list("python"), "42\n"},
		{"python from standard input with arguments", "import sys; print(sys.argv[1:])", program("python", input("arg", list("-c", "x"))), "['-c', 'x']\n"},
		{"python's standard input", "1 2 3", program("python", input("command", "print(sum(map(int, input().split())))")), "6\n"},
		{"a python file and its import", "", program("python", input("file", "/in/main.py", "arg", list("21", "x")), in), "42 ['x']\n"},
		{"the same, plainly", "", list("python", in, "--", "/in/main.py", "21"), "42 []\n"},
		{"a module in a directory", "", program("python", input("command", "import helper; print(helper.double(4))"), in, "--env=PYTHONPATH=/in"), "8\n"},
		{"a module of python's", `{"b":[1],"a":2}`, program("python", input("module", "json.tool", "arg", list("--compact", "--sort-keys"))), `{"a":2,"b":[1]}` + "\n"},
		{"sqlite in memory", "", program("python", input("command", "import sqlite3; d = sqlite3.connect(':memory:'); print(d.execute('select 6 * 7, json_extract(?, ?)', ('{\"a\":[5]}', '$.a[0]')).fetchone())")), "(42, 5)\n"},
		{"sqlite in scratch", "", program("python", input("command", strings.Join(list(
			"import sqlite3, os",
			"d = sqlite3.connect('/tmp/a.db'); d.execute('pragma journal_mode = delete')",
			"d.execute('create table t (a unique)'); d.executemany('insert into t values (?)', ((i,) for i in range(2000))); d.commit()",
			"d.execute('delete from t where a < 5'); d.rollback()",
			"d.close(); d = sqlite3.connect('/tmp/a.db')",
			"print(d.execute('select count(*), sum(a) from t').fetchone(), d.execute('pragma integrity_check').fetchone()[0], os.listdir('/tmp'))"), "\n")),
			"--map-dir=::/tmp:scratch"), "(2000, 1999000) ok ['a.db']\n"},
		{"the standard library", "", program("python", input("command", strings.Join(list(
			"import csv, datetime, decimal, fractions, hashlib, io, itertools, re, statistics, struct, textwrap, zlib, xml.etree.ElementTree as e",
			"print(hashlib.sha256(b'a').hexdigest()[:8], decimal.Decimal('0.1') + decimal.Decimal('0.2'), zlib.crc32(b'a'), e.fromstring('<a><b x=\"1\"/></a>')[0].get('x'), statistics.median([3, 1, 2]))"), "\n"))),
			"ca978112 0.3 3904355907 1 2\n"},
		{"javascript", "", program("js", input("command", "[...'abc'].map(c => c.toUpperCase()).join('')", "print", true)), `"ABC"` + "\n"},
		{"javascript with JSON in and out", `{"a":[1,2]}`, program("js", input("command", "({ sum: input.a.reduce((x, y) => x + y) })", "print", true)), `{"sum":3}` + "\n"},
		{"a javascript file and another", "", program("js", input("file", "/in/main.js", "arg", list("21", "x")), in), "42 [\"x\"]\n"},
		{"javascript's timers and promises", "", program("js", input("command", "new Promise(done => setTimeout(done, 20, 'x'))", "print", true)), "\"x\"\n"},
		{"YAML to JSON", "a: {b: [1, x]}\n", program("yq", input("output_format", "json", "indent", 0, "expression", ".")), `{"a":{"b":[1,"x"]}}` + "\n"},
		{"the same, plainly", "a: {b: 1}\n", list("yq", "--", ".a.b"), "1\n"},
		{"XML to YAML", "<a><b x='1'>t</b></a>", program("yq", input("input_format", "xml", "output_format", "yaml", "expression", ".a.b")), "+content: t\n+@x: \"1\"\n"},
		{"TOML", "[a]\nb = 2\n", program("yq", input("input_format", "toml", "output_format", "json", "indent", 0, "expression", ".a")), `{"b":2}` + "\n"},
		{"CSV", "a,b\n1,x\n", program("yq", input("input_format", "csv", "output_format", "json", "indent", 0, "expression", ".")), `[{"a":1,"b":"x"}]` + "\n"},
		{"files merged", "", program("yq", input("all", true, "expression", "select(fi == 0) * select(fi == 1)", "file", list("/in/a.yaml", "/in/b.yaml")), in), "a: 2\nb: [x, y]\n"},
		{"a file whose name starts with a dash", "", program("yq", input("expression", ".dash", "file", list("-dash.yaml")), "--work-dir="+dir), "true\n"},
		{"YAML made from nothing", "", program("yq", input("null_input", true, "expression", `.a.b = "c"`)), "a:\n  b: c\n"},
		{"strings of JSON", `{"a":"x"}`, program("yq", input("input_format", "json", "expression", ".a", "unwrap_scalar", true)), "x\n"},
		{"TypeScript", "const x: number = 1; export const f = (a?: { b: string }) => a?.b ?? x;\n", program("esbuild", input("loader", list("ts"), "target", "es2017")),
			"const x = 1;\nexport const f = (a) => {\n  var _a;\n  return (_a = a == null ? void 0 : a.b) != null ? _a : x;\n};\n"},
		{"the same, plainly", "let a = 1 + 1 as number", list("esbuild", "--", "--loader=ts", "--minify"), "let a=2;\n"},
		{"CSS bundled", "", program("esbuild", input("entry", list("/style.css"), "bundle", true, "minify", true), "--work-dir="+dir), "body{margin:0}.a{color:red}\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := shared.run(t, test.stdin, test.args...)
			if r.Outcome != "succeeded" || r.Stdout != test.want || r.Stderr != "" {
				t.Errorf("got %+v\nwant %q", r, test.want)
			}
		})
	}
}

// TestSourcesStayClean: a program that is run from a directory it may change
// leaves nothing but what it writes itself.
func TestSourcesStayClean(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"main.py": "import helper; open('/in/out.txt', 'w').write(helper.x)", "helper.py": "x = 'text'"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := shared.run(t, "", program("python", map[string]any{"file": "/in/main.py"}, "--map-dir="+dir+"::/in:rw")...)
	if r.Outcome != "succeeded" || len(r.Outputs) != 1 || !strings.HasSuffix(r.Outputs[0].Path, "out.txt") {
		t.Errorf("got %+v: want the output out.txt alone", r)
	}
}
