package doctest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"boxfleet/internal/clidoc"
)

// TestManualIsCurrent holds docs/man to what the programs write now.
func TestManualIsCurrent(t *testing.T) {
	t.Parallel()
	fresh := t.TempDir()
	for _, name := range []string{"submit", "worker"} {
		if _, err := run(rig.dir, nil, filepath.Join(rig.bin, name), "manual", "--man", fresh); err != nil {
			t.Fatal(err)
		}
	}
	pages := func(dir string) map[string]string {
		list, err := filepath.Glob(dir + "/*.1")
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, path := range list {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.Base(path)] = string(text)
		}
		return out
	}
	want, have := pages(fresh), pages(repo+"/docs/man")
	if len(want) < 40 {
		t.Fatalf("only %d pages were written", len(want))
	}
	for name, text := range want {
		if have[name] != text {
			t.Errorf("docs/man/%s is not what the program says now; run: make docs", name)
		}
	}
	for name := range have {
		if want[name] == "" {
			t.Errorf("docs/man/%s is of a command that is gone; remove it", name)
		}
	}
}

// roffRequest is what a line of a page may begin with.
var roffRequest = regexp.MustCompile(`^(\.(TH|SH|TP|PP|nf|fi)( |$)|[^.'])`)

// TestManualIsRoff looks at the form of every page: no text becomes a request,
// every escape is one that groff and mandoc know, sections are in order.
func TestManualIsRoff(t *testing.T) {
	t.Parallel()
	escape := regexp.MustCompile(`\\(e|-|&|f[BIR]|\((ga|ha|ti))`)
	for _, name := range []string{"submit", "worker"} {
		dir := t.TempDir()
		if _, err := run(rig.dir, nil, filepath.Join(rig.bin, name), "manual", "--man", dir); err != nil {
			t.Fatal(err)
		}
		list, _ := filepath.Glob(dir + "/*.1")
		for _, path := range list {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			for l := range strings.Lines(text) {
				if l = strings.TrimSuffix(l, "\n"); l != "" && !roffRequest.MatchString(l) {
					t.Errorf("%s: %q", filepath.Base(path), l)
				}
			}
			if strings.Contains(escape.ReplaceAllString(text, ""), `\`) {
				t.Errorf("%s has an escape nobody knows", filepath.Base(path))
			}
			if n, s, d := strings.Index(text, ".SH NAME"), strings.Index(text, ".SH SYNOPSIS"), strings.Index(text, ".SH DESCRIPTION"); n < 0 || n > s || s > d {
				t.Errorf("%s: sections at %d, %d, %d", filepath.Base(path), n, s, d)
			}
		}
	}
}

// TestCompletion loads each program's completion into a real bash and asks for
// words as the Tab key does; zsh's and fish's are looked at where these are.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"submit", "worker"} {
		program := filepath.Join(rig.bin, name)
		for _, shell := range []string{"bash", "zsh", "fish"} {
			script, err := run(rig.dir, nil, program, "completion", shell)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), name+"."+shell)
			if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := exec.LookPath(shell); err == nil {
				if _, err := run(rig.dir, nil, shell, "-n", path); err != nil {
					t.Error(err)
				}
			}
			if !strings.Contains(script, name) || !strings.Contains(script, "__complete") {
				t.Errorf("the completion of %s for %s does not ask the program", name, shell)
			}
		}
	}
	bash, err := run(rig.dir, nil, filepath.Join(rig.bin, "submit"), "completion", "bash")
	if err != nil {
		t.Fatal(err)
	}
	tab := func(words ...string) string {
		t.Helper()
		// What readline sets before it calls the function that complete -F
		// names; _get_comp_words_by_ref stands in for the package bash-completion.
		script := bash + `
_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}; }
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
__start_submit
printf '%s\n' "${COMPREPLY[@]}"
`
		out, err := run(rig.dir, []string{"PATH=" + rig.bin + ":/usr/local/bin:/usr/bin:/bin"}, "bash", append([]string{"-c", script, "bash"}, words...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, tc := range []struct {
		words []string
		want  string
	}{
		{[]string{"submit", "ba"}, "batches"},
		{[]string{"submit", "tool", "ya"}, "yank"},
		{[]string{"submit", "run", "--max-m"}, "--max-memory"},
		{[]string{"submit", "run", "gre"}, "grep"}, // asked of the fleet
	} {
		if got := tab(tc.words...); !strings.Contains(got, tc.want) {
			t.Errorf("%q completes to %q; want %q among it", tc.words, got, tc.want)
		}
	}
	if got := tab("submit", "xyz"); strings.TrimSpace(got) != "" {
		t.Errorf("nothing begins with xyz, but it completes to %q", got)
	}
}

// TestEveryFlagIsInTheManual looks for each flag of each program in the
// documents. Flags of submit are held to docs/cli.md by its own test.
func TestEveryFlagIsInTheManual(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	var walk func(program string, n *clidoc.Node)
	walk = func(program string, n *clidoc.Node) {
		for _, f := range n.Flags {
			if f.Name == "help" || f.Name == "version" || n.Name == "completion" || len(f.Name) == 1 || f.Name == "no-descriptions" {
				continue
			}
			word := regexp.MustCompile("(--|[`(| ])" + regexp.QuoteMeta(f.Name) + "[]`=, )\n|.;:]")
			if !word.MatchString(all.String()) {
				t.Errorf("no document mentions --%s of %s %s", f.Name, program, n.Name)
			}
		}
		for _, sub := range n.Commands {
			walk(program, sub)
		}
	}
	for _, name := range []string{"submit", "worker", "loadtest"} {
		walk(name, rig.checks.Programs[name])
	}
}

func hasFlag(list []clidoc.Flag, name string) bool {
	return slices.ContainsFunc(list, func(f clidoc.Flag) bool { return f.Name == name })
}
