package shell

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/command"
)

// TestFilePrograms runs them in-process; what needs the guest's own pipes is
// tested on the module itself.
func TestFilePrograms(t *testing.T) {
	t.Chdir(t.TempDir())
	steps := []struct {
		script string
		code   int
		want   string
	}{
		{"mkdir d && mkdir -p d/e/f && mkdir -p d/e/f && find d", 0, "d\nd/e\nd/e/f\n"},
		{"mkdir d", 1, ""},
		{"echo one > d/a; echo two >> d/a; cat d/a", 0, "one\ntwo\n"},
		{"cp d/a d/b && cp d/a d/b d/e && ls d d/e", 0, "d:\na\nb\ne\n\nd/e:\na\nb\nf\n"},
		{"cp d/a d/a", 1, ""},
		{"cp d x", 1, ""},
		{"cp -r d x && find x -type f", 0, "x/a\nx/b\nx/e/a\nx/e/b\n"},
		{"cp d/a d/b nothing", 1, ""},
		{"cp d/a", 2, ""},
		{"mv d/a d/z && mv d/b d/z x/e && ls x/e d", 0, "x/e:\na\nb\nf\nz\n\nd:\ne\n"},
		{"rm d", 1, ""},
		{"rm -r d nothing; rm -rf nothing; [ -e d ] || echo gone", 0, "gone\n"},
		{"cd x/e && rm a b && ls", 0, "f\nz\n"},
		{"touch x/new && wc -c x/new", 0, "0 x/new\n"},
		{"mkdir", 2, ""},
		{"cat < x/e/z > /dev/null; echo $?", 0, "0\n"},
		{"false || exit 9", 9, ""},
		{"nosuchprogram", 127, ""},
		{"if", 2, ""},
	}
	for _, step := range steps {
		var out, complaints bytes.Buffer
		code := Run([]string{"-c", step.script}, command.Streams{Out: &out, Err: &complaints})
		if code != step.code || out.String() != step.want {
			t.Errorf("%q: code %d, printed %q, said %q; want %d, %q", step.script, code, out.String(), complaints.String(), step.code, step.want)
		}
		if step.code == 0 && complaints.Len() > 0 && !strings.Contains(step.script, "nothing") {
			t.Errorf("%q said %q", step.script, complaints.String())
		}
	}
}

func TestTee(t *testing.T) {
	dir := t.TempDir()
	for i, args := range [][]string{{"a", "b"}, {"-a", "a"}} {
		var out bytes.Buffer
		if code := tee(args, command.Streams{In: strings.NewReader("x\n"), Out: &out, Dir: dir}); code != 0 || out.String() != "x\n" {
			t.Errorf("run %d: code %d, printed %q", i, code, out.String())
		}
	}
	for name, want := range map[string]string{"a": "x\nx\n", "b": "x\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "s.sh")
	if err := os.WriteFile(file, []byte(`echo "$0 $# $1"`), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args  []string
		stdin string
		code  int
		want  string
	}{
		{[]string{file, "-n", "x"}, "", 0, file + " 2 -n\n"},
		{[]string{"-c", "echo $#", "name", "x", "y"}, "", 0, "2\n"},
		{[]string{"--command=echo $1", "--arg=x y"}, "", 0, "x y\n"},
		{[]string{"--command="}, "echo not me", 0, ""},
		{nil, "echo in", 0, "in\n"},
		{[]string{"-"}, "echo in", 0, "in\n"},
		{[]string{filepath.Join(dir, "nothing")}, "", 1, ""},
	}
	for _, test := range tests {
		var out, complaints bytes.Buffer
		code := Run(test.args, command.Streams{In: strings.NewReader(test.stdin), Out: &out, Err: &complaints})
		if code != test.code || out.String() != test.want {
			t.Errorf("%q: code %d, printed %q, said %q; want %d, %q", test.args, code, out.String(), complaints.String(), test.code, test.want)
		}
	}
}
