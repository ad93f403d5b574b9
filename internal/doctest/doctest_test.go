package doctest

import (
	"reflect"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	for script, want := range map[string][][]string{
		"submit run jq -- '.[] | .a' # a remark":      {{"submit", "run", "jq", "--", ".[] | .a"}},
		"echo \"a $((6*7)) \\\" b\" | wc -l > n 2>&1": {{"echo", `a $((6*7)) " b`}, {"wc", "-l"}},
		"A=1 B='x y' make test && bin/worker dev &":   {{"make", "test"}, {"bin/worker", "dev"}},
		"cat > f <<'END'\nsubmit nonsense\nEND\nls":   {{"cat"}, {"ls"}},
		"a \\\n  b\nif c; then d; fi":                 {{"a", "b"}, {"c"}, {"d"}, {"fi"}},
		"x=$(submit run x) ; y \"$(z)\"":              {{"y", "$(z)"}},
		"# only a remark\n":                           nil,
		"a#b 'c#d'":                                   {{"a#b", "c#d"}},
	} {
		list, err := Commands(script)
		var got [][]string
		for _, c := range list {
			got = append(got, c.Words)
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\n%q, %v\nwant %q", script, got, err, want)
		}
	}
	for _, broken := range []string{"echo 'a", `echo "a`, "echo $(a"} {
		if _, err := Commands(broken); err == nil {
			t.Errorf("%q: no error", broken)
		}
	}
}

func FuzzCommands(f *testing.F) {
	for _, s := range []string{"a 'b' \"c\" $(d) <<E\nx\nE\n", "a\\", "2>&1 >", "<<", "((((", "\"\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script string) {
		list, err := Commands(script)
		if err == nil {
			for _, c := range list {
				if len(c.Words) == 0 {
					t.Error("a command without words")
				}
			}
		}
	})
}

// TestFaultsAreFound holds the checks against documents that are wrong: each
// must be refused, with its line and what is wrong.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"unknown flag":              {"```sh\nsubmit run jq --fule 1\n```", "d.md:2: submit run jq --fule 1: run has no flag --fule"},
		"unknown command":           {"```sh\necho a\nsubmit rum jq\n```", `d.md:3: submit rum jq: submit has no command "rum"`},
		"a bad value":               {"```sh\nsubmit list --limit many\n```", "--limit=many: not a int"},
		"a flag without a value":    {"```sh\nsubmit list --limit\n```", "--limit wants a value"},
		"a bad setting":             {"```sh\nworker run --slots some\n```", "slots"},
		"an unknown setting":        {"    worker dev --slotts 4", "--slotts"},
		"an unknown target":         {"```sh\nmake tset\n```", "no target tset"},
		"an unknown variable":       {"```sh\nmake chaos SEEED=1\n```", "no variable SEEED"},
		"an unknown profile":        {"```sh\nloadtest brust\n```", `no command "brust"`},
		"a flag of loadtest":        {"```sh\nbin/loadtest burst --job 5\n```", "no flag --job"},
		"a benchmark that is gone":  {"```sh\ngo test -run '^$' -bench Nothing ./executor/meter\n```", "chooses nothing"},
		"a package that is gone":    {"```sh\ngo test ./executor/nowhere\n```", "no package"},
		"in a table":                {"| a |\n|---|\n| `submit tool list --all` |", "d.md:3: `submit tool list --all`: list has no flag --all"},
		"in running text":           {"Use `submit\nrunn x` now.", `d.md:1: ` + "`submit runn x`" + `: submit has no command "runn"`},
		"in a remark on parsing":    {"<!-- doctest: parse-only: why -->\n    submit run x --nope", "no flag --nope"},
		"a synopsis":                {"<!-- doctest: synopsis -->\n    submit run TOOL [--nope]", "no flag --nope"},
		"an unmarked synopsis":      {"    submit run TOOL [flags]", "doctest: synopsis"},
		"a block of no language":    {"```\nsubmit list\n```", "write ```sh"},
		"no reason":                 {"<!-- doctest: parse-only -->\n    submit list", "without a reason"},
		"a mark that is not known":  {"<!-- doctest: skip -->\n    submit list", "not understood"},
		"a mark of nothing":         {"<!-- doctest: exit 1 -->\ntext", "no block of code follows"},
		"a mark of another block":   {"<!-- doctest: exit 1 -->\n```json\n{}\n```", "no command"},
		"a comment without an end":  {"<!-- doctest: setup\nabc", "does not end"},
		"a block without an end":    {"```sh\nsubmit list", "does not end"},
		"a group without a command": {"```sh\nsubmit tool\n```\n\n```sh\nsubmit dlq lsit\n```", `dlq has no command "lsit"`},
	} {
		d, err := Read("d.md", tc.text)
		if err == nil {
			_, err = Plan(d, rig.checks)
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want %q", name, err, tc.want)
		}
	}
}

// TestRightOnesPass holds the checks to commands that are right.
func TestRightOnesPass(t *testing.T) {
	t.Parallel()
	text := "Say `submit run TOOL --count N`, `submit completion bash|zsh`, `bin/loadtest burst --jobs 9`, `make build toolbox`,\n" +
		"`worker dev`, `submit` or `$HOME`.\n\n" +
		"<!-- doctest: parse-only: no fleet -->\n```sh\nsubmit --tenant x run jq -q --label a=b --label=c=d -- --nope\nworker run --slots 8 --require-signed --config=\n" +
		"make chaos SEED=3\ncurl x\nsubmit batch jobs.jsonl --wait | head\n```\n\n- a list\n\n      submit nonsense belongs to it\n"
	d, err := Read("d.md", text)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Plan(d, rig.checks)
	if err != nil || len(steps) != 1 || steps[0].Run || steps[0].Ours != 4 || steps[0].Others != 2 {
		t.Errorf("%+v, %v", steps, err)
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		shown, printed string
		same           bool
	}{
		{"a\nb", "a\nb", true},
		{"a", "a\nb", false},
		{"a\nb", "a", false},
		{"…\nb", "x\ny\nb", true},
		{"a\n…", "a", true},
		{"a\n…\nc", "a\nb", false},
		{"took 12ms, …", "took 1.5s, and so on", true},
		{"one  two", "one two", true},
		{"job IHAWJPP5QIUF10PT0JXBNT is done", "job ABCWJPP5QIUF10PT0JXBNT is done", true},
		{"job a is done", "job b is done", false},
		{"at 2026-01-31T15:04:05Z", "at 2031-02-01T00:00:00Z", true},
		{"sha256:cf7289ada16b", "sha256:0000aaaa1111", true},
		{"127.0.0.1:4222", "127.0.0.1:9", true},
		{"1+1", "11", false},
		{"", "x", false},
	} {
		if got := Same(strings.Split(tc.shown, "\n"), strings.Split(tc.printed, "\n")); got != tc.same {
			t.Errorf("%q and %q: %v", tc.shown, tc.printed, got)
		}
	}
}

// TestFailuresAreTold runs documents that fail: the error names the line.
func TestFailuresAreTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"a command fails":    {"text\n\n```sh\ntrue\nls /no/such/place\necho not reached\n```", "d.md:5: "},
		"in a pipe's end":    {"```sh\necho a | false\n```", "d.md:2: "},
		"in a function":      {"```sh\nf() { return 3; }\nf\n```", "exit code 3"},
		"after another":      {"```sh\ntrue\n```\n\n```sh\nfalse\n```", "d.md:6: "},
		"the wrong code":     {"<!-- doctest: exit 3 -->\n```sh\nsubmit version; exit 4\n```", "exit code 4 instead of 3"},
		"other output":       {"```console\n$ echo a\nb\n```", "the document shows\nb\nand this was printed\na"},
		"a failing check":    {"<!-- doctest: then\ntest -s nothing\n-->\n```sh\necho a\n```", "d.md:2: "},
		"a failing setup":    {"<!-- doctest: setup\ntrue\nfalse\n-->\n```sh\necho a\n```", "d.md:3: "},
		"output without any": {"```console\n$ false\n```", "d.md:2: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := runText(t, tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %q", err, tc.want)
			}
		})
	}
	right := "<!-- doctest: setup\nx=1\n-->\n```sh\necho $x > f; cd /; sleep 100 &\n```\n\n<!-- doctest: exit 3 -->\n```sh\n(exit 3)\n```\n\n" +
		"```console\n$ pwd; echo b\n/\nb\n$ cat <<E\n> text\n> E\ntext\n```\n"
	if err := runText(t, right); err != nil {
		t.Error(err)
	}
}

func runText(t *testing.T, text string) error {
	t.Helper()
	d, err := Read("d.md", text)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Plan(d, rig.checks)
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{Dir: t.TempDir(), Own: t.TempDir(), Env: append(rig.env, "PATH=/usr/local/bin:/usr/bin:/bin:"+rig.bin)}
	return r.Run(t.Context(), "d.md", steps)
}
