package toolbox

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/guest"
)

// check looks at what an example's run gave: its standard output and the
// directory that was its root.
type check func(t *testing.T, stdout, dir string)

func prints(want string) check {
	return func(t *testing.T, stdout, _ string) {
		if stdout != want {
			t.Errorf("printed %q\nwant    %q", stdout, want)
		}
	}
}

// examples are what the manifests' examples must give, worked out here in
// another way than the tools do it.
var examples = map[string]check{
	"jq": func(t *testing.T, stdout, _ string) {
		count, cents := 0, 0
		for _, o := range readOrders(t) {
			if o.State == "returned" {
				count++
				cents += o.Total
			}
		}
		prints(fmt.Sprintf("{\"cents\":%d,\"count\":%d}\n", cents, count))(t, stdout, "")
	},
	"starlark": func(t *testing.T, stdout, _ string) {
		totals := make(map[string]int)
		for _, o := range readOrders(t) {
			totals[o.Customer.City] += o.Total
		}
		cities := slices.SortedFunc(maps.Keys(totals), func(a, b string) int { return totals[b] - totals[a] })
		var want strings.Builder
		for _, city := range cities[:3] {
			fmt.Fprintln(&want, city, totals[city])
		}
		prints(want.String())(t, stdout, "")
	},
	"lua": func(t *testing.T, stdout, _ string) {
		text := readText(t, "testdata/tree/logs/ledger/2025-03-01.log")
		prints(fmt.Sprintf("%d\t%d\n", strings.Count(text, " INFO "), strings.Count(text, " ERROR ")))(t, stdout, "")
	},
	"sh": func(t *testing.T, stdout, _ string) {
		type row struct {
			service string
			errors  int
		}
		var rows []row
		for _, service := range []string{"intake", "ledger", "mailer", "router"} {
			n := 0
			for day := 1; day <= 3; day++ {
				n += strings.Count(readText(t, fmt.Sprintf("testdata/tree/logs/%s/2025-03-0%d.log", service, day)), "ERROR")
			}
			rows = append(rows, row{service, n})
		}
		slices.SortStableFunc(rows, func(a, b row) int { return b.errors - a.errors })
		var want strings.Builder
		for _, r := range rows {
			fmt.Fprintln(&want, r.service, r.errors)
		}
		prints(want.String())(t, stdout, "")
	},
	"grep": func(t *testing.T, stdout, _ string) {
		var want strings.Builder
		walk(t, "testdata/tree/logs", func(name string) {
			for i, line := range strings.Split(readText(t, name), "\n") {
				if strings.Contains(line, "ERROR ") && strings.Contains(line, "disk full") {
					fmt.Fprintf(&want, "%s:%d:%s\n", strings.TrimPrefix(name, "testdata"), i+1, line)
				}
			}
		})
		prints(want.String())(t, stdout, "")
	},
	"find": func(t *testing.T, stdout, _ string) {
		var want strings.Builder
		walk(t, "testdata/tree", func(name string) {
			if path.Ext(name) == ".go" {
				fmt.Fprintln(&want, strings.TrimPrefix(name, "testdata"))
			}
		})
		prints(want.String())(t, stdout, "")
	},
	"wc": func(t *testing.T, stdout, _ string) {
		text := readText(t, "testdata/orders.json")
		prints(fmt.Sprintf("%d %d %d /orders.json\n", strings.Count(text, "\n"), len(strings.Fields(text)), len(text)))(t, stdout, "")
	},
	"ls": func(t *testing.T, stdout, _ string) {
		form := regexp.MustCompile(`^-rw-.{7} +\d+ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d (faults\.bin|[a-z]+\.md)$`)
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		if len(lines) != 5 {
			t.Errorf("%d lines, want 5", len(lines))
		}
		for _, line := range lines {
			if !form.MatchString(line) {
				t.Errorf("the line %q has not the form %s", line, form)
			}
		}
	},
	"markdown": func(t *testing.T, stdout, _ string) {
		for _, want := range []string{
			"<!DOCTYPE html>\n", "<title>The router</title>", `<h1 id="the-router">The router</h1>`,
			"<td>stock report</td>", `<input disabled="" type="checkbox">`, "<strong>never</strong>", "</html>\n",
		} {
			if !strings.Contains(stdout, want) {
				t.Errorf("no %q in\n%s", want, stdout)
			}
		}
	},
	"resize": func(t *testing.T, stdout, dir string) {
		f, err := os.Open(filepath.Join(dir, "small.jpg"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		picture, format, err := image.Decode(f)
		if err != nil || format != "jpeg" || picture.Bounds() != image.Rect(0, 0, 160, 120) {
			t.Fatalf("a %s, %v, %v: want a jpeg of 160x120", format, picture.Bounds(), err)
		}
		if r, _, b, _ := picture.At(5, 5).RGBA(); b < r {
			t.Error("the sky is not blue")
		}
		if _, g, b, _ := picture.At(80, 115).RGBA(); g < b {
			t.Error("the nearest hill is not green")
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		prints(fmt.Sprintf(`{"output":"/small.jpg","width":160,"height":120,"bytes":%d}`+"\n", info.Size()))(t, stdout, "")
	},
	"jsonnet": func(t *testing.T, stdout, _ string) {
		var got struct {
			Services []struct {
				Name, Region string
				Port         int
			}
		}
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != "{[{intake north 8080} {ledger north 8081}]}" {
			t.Errorf("got %v", got)
		}
	},
	"cat":     prints("     1\tA made-up project. grep, find, ls, wc and file-glob are shown on it.\n     2\tand what came in\n"),
	"sort":    prints("kettle 12\nrope 7\naxe 3\n"),
	"hello":   prints("Hello, fleet!\n"),
	"probe":   prints("args [\"one\" \"two\"]\ncwd /\n---------- 69 input.txt\nstdin 5 bytes\n"),
	"noop":    prints(""),
	"noop-go": prints(""),
	"file-read": func(t *testing.T, stdout, _ string) {
		prints(`{"content":"| what | how many |\n|---|---|\n","is_error":false,"metadata":{"file_path":"/tree/notes/mailer.md","offset":3,"lines":2,"total_lines":12,"truncated":true}}`+"\n")(t, stdout, "")
	},
	"file-write": func(t *testing.T, stdout, dir string) {
		prints(`{"content":"wrote 9 bytes to /notes/today.txt","is_error":false,"metadata":{"file_path":"/notes/today.txt","bytes":9,"created":true}}`+"\n")(t, stdout, "")
		if got := readText(t, filepath.Join(dir, "notes", "today.txt")); got != "one line\n" {
			t.Errorf("the file holds %q", got)
		}
	},
	"file-edit": func(t *testing.T, stdout, dir string) {
		prints(`{"content":"replaced 1 in /tree/src/router/router.go","is_error":false,"metadata":{"file_path":"/tree/src/router/router.go","replacements":1,"first_line":2}}`+"\n")(t, stdout, "")
		want := strings.Replace(readText(t, "testdata/tree/src/router/router.go"), "package router", "package routing", 1)
		if readText(t, filepath.Join(dir, "tree/src/router/router.go")) != want {
			t.Error("the file is not the edited one")
		}
	},
	"file-glob": prints(`{"content":"/tree/README.txt\n/tree/notes/intake.md\n/tree/notes/ledger.md\n/tree/notes/mailer.md\n/tree/notes/router.md","is_error":false,` +
		`"metadata":{"pattern":"**/*.{md,txt}","path":"/tree","count":5,"files":["/tree/README.txt","/tree/notes/intake.md","/tree/notes/ledger.md","/tree/notes/mailer.md","/tree/notes/router.md"],"truncated":false}}` + "\n"),
}

// TestExamples runs every manifest's example, save those run elsewhere and spin's,
// which does not end and has a test of its own.
func TestExamples(t *testing.T) {
	for _, m := range manifests {
		if m.Name == "spin" || slices.Contains(elsewhere, m.Name) {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			look, ok := examples[m.Name]
			if !ok {
				t.Fatal("this test does not know what the example gives")
			}
			command := guest.Command{Tool: m.Name, Args: m.Example.Args, Stdin: strings.NewReader(m.Example.Stdin)}
			if len(m.Example.Files) > 0 || m.Name == "file-write" {
				command.Dir = stage(t, m.Example.Files)
			}
			outcome, err := runner.Run(context.Background(), command)
			if err != nil || outcome.Code != 0 || outcome.Stderr != "" {
				t.Fatalf("code %d, %v\n%s", outcome.Code, err, outcome.Stderr)
			}
			look(t, outcome.Stdout, command.Dir)
		})
	}
}

type order struct {
	Customer struct{ Name, City string }
	State    string
	Total    int
}

func readOrders(t *testing.T) []order {
	t.Helper()
	var orders []order
	if err := json.Unmarshal([]byte(readText(t, "testdata/orders.json")), &orders); err != nil {
		t.Fatal(err)
	}
	return orders
}

func readText(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// walk visits the files below dir in the order of their paths.
func walk(t *testing.T, dir string, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			visit(filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
