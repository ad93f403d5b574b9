package listing

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"boxfleet/toolbox/internal/command"
)

func makeTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	at := time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, name := range []string{"b.txt", "sub/deep/c.go", "sub/A.GO", ".hidden", "a.txt"} {
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, bytes.Repeat([]byte{'x'}, 10*i), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(target, at, at.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"link", "sub/round"} {
		if err := os.Symlink("..", filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTools(t *testing.T) {
	dir := makeTree(t)
	if err := os.Chtimes(filepath.Join(dir, "sub"), time.Time{}, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		run  func([]string, command.Streams) int
		args string
		code int
		want string
	}{
		{"ls", Ls, "", 0, "a.txt\nb.txt\nlink\nsub\n"},
		{"ls all and classify", Ls, "-aF", 0, ".hidden\na.txt\nb.txt\nlink@\nsub/\n"},
		{"ls long", Ls, "-l a.txt", 0, "-rw-r-----         40 2025-03-01 16:00:00 a.txt\n"},
		{"ls by size", Ls, "--sort=size sub/deep b.txt a.txt", 0, "sub/deep:\nc.go\nb.txt\na.txt\n"},
		{"ls by time", Ls, "-a --sort=time", 0, "link\na.txt\n.hidden\nb.txt\nsub\n"},
		{"ls by time, the oldest first", Ls, "--sort=time --reverse", 0, "sub\nb.txt\na.txt\nlink\n"},
		{"ls deeper", Ls, "-R sub", 0, "sub:\nA.GO\ndeep\nround\n\nsub/deep:\nc.go\n"},
		{"ls several", Ls, "sub/deep sub", 0, "sub/deep:\nc.go\n\nsub:\nA.GO\ndeep\nround\n"},
		{"ls goes on", Ls, "nothing sub/deep", 1, "\nsub/deep:\nc.go\n"},

		{"find", Find, "", 0, ".\n./.hidden\n./a.txt\n./b.txt\n./link\n./sub\n./sub/A.GO\n./sub/deep\n./sub/deep/c.go\n./sub/round\n"},
		{"find by name", Find, "sub --name=*.go", 0, "sub/deep/c.go\n"},
		{"find by any name", Find, "sub/ -iname *.go", 0, "sub/A.GO\nsub/deep/c.go\n"},
		{"find files", Find, "-type f -name *.txt", 0, "./a.txt\n./b.txt\n"},
		{"find directories", Find, "--type=d", 0, ".\n./sub\n./sub/deep\n"},
		{"find links", Find, "--type=l", 0, "./link\n./sub/round\n"},
		{"find not deep", Find, "-maxdepth 1 -mindepth 1 -type d -print", 0, "./sub\n"},
		{"find itself", Find, "sub --max-depth=0", 0, "sub\n"},
		{"find by size", Find, "--min-size=10 --max-size=30", 0, "./.hidden\n./sub/A.GO\n./sub/deep/c.go\n"},
		{"find with zeros", Find, "sub/deep --print0", 0, "sub/deep\x00sub/deep/c.go\x00"},
		{"find goes on", Find, "nothing sub/deep", 1, "sub/deep\nsub/deep/c.go\n"},
		{"find a bad glob", Find, "--name=[", 2, ""},
		{"find a file", Find, "a.txt", 0, "a.txt\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out, complaints bytes.Buffer
			code := test.run(strings.Fields(test.args), command.Streams{Out: &out, Err: &complaints, Dir: dir})
			if code != test.code || out.String() != test.want || (code != 0) != (complaints.Len() > 0) {
				t.Errorf("code %d, printed %q, said %q; want %d, %q", code, out.String(), complaints.String(), test.code, test.want)
			}
		})
	}
}
