package text

import (
	"bytes"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/command"
)

func TestTools(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"a": "one\ntwo", "b": "three\n", "empty": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		run   func([]string, command.Streams) int
		args  string
		stdin string
		code  int
		want  string
	}{
		{"cat", Cat, "a b", "", 0, "one\ntwothree\n"},
		{"cat standard input", Cat, "", "x", 0, "x"},
		{"cat in between", Cat, "b - b", "x\n", 0, "three\nx\nthree\n"},
		{"cat with numbers", Cat, "-n a b empty", "", 0, "     1\tone\n     2\ttwothree\n"},
		{"cat goes on", Cat, "nothing b", "", 1, "three\n"},

		{"wc", Wc, "a", "", 0, "1 2 7 a\n"},
		{"wc of several", Wc, "-l a b empty", "", 0, "1 a\n1 b\n0 empty\n2 total\n"},
		{"wc of characters", Wc, "-mc", "é \t x\v\n", 0, "7 8\n"},
		{"wc of nothing", Wc, "", "", 0, "0 0 0\n"},
		{"wc goes on", Wc, "-w nothing a", "", 1, "2 a\n2 total\n"},

		{"sort", Sort, "", "b\na\nC\n", 0, "C\na\nb\n"},
		{"sort adds a newline", Sort, "a b", "", 0, "one\nthree\ntwo\n"},
		{"sort, any case", Sort, "-f", "b\na\nC\nA\n", 0, "a\nA\nb\nC\n"},
		{"sort numbers", Sort, "-n", "10 x\n9\n-1.5\n\nx\n1e\n", 0, "-1.5\n\nx\n1e\n9\n10 x\n"},
		{"sort backwards", Sort, "-rn", "1\n3\n2\n", 0, "3\n2\n1\n"},
		{"sort once", Sort, "-u", "b\na\nb\n", 0, "a\nb\n"},
		{"sort once, by key", Sort, "-u -k2 -t:", "1:x\n2:x\n3:a\n4\n5\n", 0, "4\n3:a\n1:x\n"},
		{"sort by column", Sort, "--key=2", "a  z\nb y\n", 0, "b y\na  z\n"},
		{"sort by no column", Sort, "--key=-2", "", 2, ""},

		{"head", Head, "-n 1 a b", "", 0, "one\nthree\n"},
		{"head of all", Head, "a", "", 0, "one\ntwo"},
		{"head of none", Head, "-n 0 a", "", 0, ""},
		{"head of less", Head, "-n -1 a", "", 2, ""},
		{"tail", Tail, "-n 2", "1\n2\n3\n4", 0, "3\n4"},
		{"tail of all", Tail, "a", "", 0, "one\ntwo"},
		{"tail of none", Tail, "-n0 a", "", 0, ""},
		{"tail of ten", Tail, "", strings.Repeat("x\n", 5) + "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", 0, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"},

		{"uniq", Uniq, "", "a\na\nb\na", 0, "a\nb\na\n"},
		{"uniq with counts", Uniq, "-c", "a\na\n\n\nb\n", 0, "2 a\n2 \n1 b\n"},
		{"uniq of nothing", Uniq, "empty", "", 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out, complaints bytes.Buffer
			code := test.run(strings.Fields(test.args), command.Streams{In: strings.NewReader(test.stdin), Out: &out, Err: &complaints, Dir: dir})
			if code != test.code || out.String() != test.want || (code != 0) != (complaints.Len() > 0) {
				t.Errorf("code %d, printed %q, said %q; want %d, %q", code, out.String(), complaints.String(), test.code, test.want)
			}
		})
	}
}

// FuzzSort sees that sort gives back the lines it got, in order.
func FuzzSort(f *testing.F) {
	f.Add("b\na\n\nc", false)
	f.Add("10\n9\n-3\n1e5\n0x\n.\n-\n", true)
	f.Fuzz(func(t *testing.T, text string, numeric bool) {
		var args []string
		if numeric {
			args = append(args, "-n")
		}
		var out bytes.Buffer
		if code := Sort(args, command.Streams{In: strings.NewReader(text), Out: &out}); code != 0 {
			t.Fatalf("code %d", code)
		}
		want := strings.SplitAfter(text, "\n")
		if last := len(want) - 1; want[last] == "" {
			want = want[:last]
		} else {
			want[last] += "\n"
		}
		got := strings.SplitAfter(out.String(), "\n")
		got = got[:len(got)-1]
		if !numeric {
			for i := range want {
				want[i] = strings.TrimSuffix(want[i], "\n")
				if i < len(got) {
					got[i] = strings.TrimSuffix(got[i], "\n")
				}
			}
			if !sort.StringsAreSorted(got) {
				t.Errorf("not in order: %q", got)
			}
		}
		sort.Strings(want)
		sort.Strings(got)
		if strings.Join(got, "\x00") != strings.Join(want, "\x00") {
			t.Errorf("from %q came %q", want, got)
		}
	})
}

// FuzzCount holds wc against the standard library's idea of words and lines.
func FuzzCount(f *testing.F) {
	f.Add("one two\n\tthree\n")
	f.Add("é\xff \x00\v")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := count(strings.NewReader(text))
		ascii := func(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' }
		want := counts{lines: strings.Count(text, "\n"), words: len(strings.FieldsFunc(text, ascii)), chars: c.chars, bytes: len(text)}
		if err != nil || c != want {
			t.Errorf("%q: %+v, %v; want %+v", text, c, err, want)
		}
	})
}
