package dist

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// makeToolbox makes a small toolbox: two Go tools that share a package and one
// module that is only copied.
func makeToolbox(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, "go.mod", "module example/toolbox\n\ngo 1.26.0\n")
	put(t, dir, "go.sum", "")
	put(t, dir, "cmd/one/main.go", "package main\n\nimport \"example/toolbox/shared\"\n\nfunc main() { println(shared.Text) }\n")
	put(t, dir, "cmd/two/main.go", "package main\n\nfunc main() {}\n")
	put(t, dir, "shared/shared.go", "package shared\n\nconst Text = \"first\"\n")
	put(t, dir, "wat/plain.wasm", "\x00asm\x01\x00\x00\x00")
	return dir
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	target := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// build builds the tools named, or all, and returns which were not fresh.
func build(t *testing.T, dir string, only ...string) (built string, err error) {
	t.Helper()
	results, err := Build(context.Background(), Config{Dir: dir, Only: only})
	var names []string
	for _, res := range results {
		if !res.Fresh && res.Err == nil {
			names = append(names, res.Name)
		}
	}
	return strings.Join(names, " "), err
}

func TestBuildOnlyWhatChanged(t *testing.T) {
	dir := makeToolbox(t)
	var first string
	steps := []struct {
		name   string
		change func()
		built  string
	}{
		{"at first", func() {}, "one plain two"},
		{"again", func() { first = read(t, dir, "dist/one.wasm") }, ""},
		{"a shared package", func() { put(t, dir, "shared/shared.go", "package shared\n\nconst Text = \"second\"\n") }, "one"},
		{"and back: the same bytes", func() {
			if read(t, dir, "dist/one.wasm") == first {
				t.Error("the change did not reach the module")
			}
			put(t, dir, "shared/shared.go", "package shared\n\nconst Text = \"first\"\n")
		}, "one"},
		{"a module that was cut short", func() {
			if read(t, dir, "dist/one.wasm") != first {
				t.Error("the same sources gave other bytes")
			}
			put(t, dir, "dist/two.wasm", "\x00asm")
		}, "two"},
		{"a prebuilt module", func() { put(t, dir, "wat/plain.wasm", "\x00asm\x01\x00\x00\x00\x00\x01\x00") }, "plain"},
		{"a stamp that is no JSON", func() { put(t, dir, "dist/.stamps/two.json", "{") }, "two"},
		{"a test file does not count", func() { put(t, dir, "cmd/two/main_test.go", "package main\n") }, ""},
	}
	for _, step := range steps {
		step.change()
		built, err := build(t, dir)
		if err != nil || built != step.built {
			t.Fatalf("%s: built %q, %v; want %q", step.name, built, err, step.built)
		}
	}
	if read(t, dir, "dist/plain.wasm") != read(t, dir, "wat/plain.wasm") {
		t.Error("the prebuilt module is not the one in wat")
	}
	leftovers, err := filepath.Glob(filepath.Join(dir, "dist", ".*-*"))
	if err != nil || len(leftovers) > 0 {
		t.Errorf("left over: %q, %v", leftovers, err)
	}
}

func TestBuildGoesOnPastABrokenTool(t *testing.T) {
	dir := makeToolbox(t)
	if _, err := build(t, dir); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a type error":            "package main\n\nfunc main() { return 1 }\n",
		"a syntax error":          "package main\n\nfunc main() {\n",
		"a package that is not":   "package main\n\nimport _ \"example/toolbox/nothing\"\n\nfunc main() {}\n",
		"not even a package name": "func main() {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			put(t, dir, "cmd/two/main.go", text)
			put(t, dir, "shared/shared.go", "package shared\n\nconst Text = \""+name+"\"\n")
			built, err := build(t, dir)
			if built != "one" {
				t.Errorf("built %q: want one", built)
			}
			if err == nil || !strings.HasPrefix(err.Error(), "two: ") || !strings.Contains(err.Error(), "main.go") {
				t.Errorf("the error is %v: want one that names two and main.go", err)
			}
		})
	}
}

func TestWhatIsBuilt(t *testing.T) {
	dir := makeToolbox(t)
	if built, err := build(t, dir, "two"); built != "two" || err != nil {
		t.Errorf("built %q, %v: want two alone", built, err)
	}
	if _, err := build(t, dir, "three"); err == nil || !strings.Contains(err.Error(), `no tool named "three": want one of one, plain, two`) {
		t.Errorf("a tool that is not: %v", err)
	}
	put(t, dir, "dist/foreign.wasm", "mine")
	if err := os.RemoveAll(filepath.Join(dir, "cmd", "two")); err != nil {
		t.Fatal(err)
	}
	if built, err := build(t, dir); built != "one plain" || err != nil {
		t.Errorf("built %q, %v", built, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dist", "two.wasm")); !os.IsNotExist(err) {
		t.Errorf("the module of a tool that is gone is still there: %v", err)
	}
	read(t, dir, "dist/foreign.wasm")
	put(t, dir, "wat/one.wasm", "")
	if _, err := build(t, dir); err == nil || !strings.Contains(err.Error(), `"one" is both`) {
		t.Errorf("two tools of a name: %v", err)
	}
	if _, err := build(t, t.TempDir()); err == nil {
		t.Error("an empty folder is a toolbox")
	}
}

// TestTwoSetsInOneFolder builds two modules into one folder, the second with a
// tool of the caller's making.
func TestTwoSetsInOneFolder(t *testing.T) {
	first, second := makeToolbox(t), t.TempDir()
	put(t, second, "go.mod", "module example/second\n\ngo 1.26.0\n")
	put(t, second, "cmd/three/main.go", "package main\n\nfunc main() {}\n")
	made, text := 0, "as made"
	config := Config{Dir: second, Out: filepath.Join(first, "dist"), Set: "more", Made: []Made{{
		Name: "four", Key: "1",
		Make: func(_ context.Context, out string) error {
			made++
			return os.WriteFile(out, []byte(text), 0o600)
		},
	}}}
	both := func(want int) {
		t.Helper()
		if _, err := build(t, first); err != nil {
			t.Fatal(err)
		}
		if _, err := Build(context.Background(), config); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "two", "plain", "three", "four"} {
			read(t, first, "dist/"+name+".wasm")
		}
		if made != want || read(t, first, "dist/four.wasm") != text {
			t.Errorf("four was made %d times and holds %q: want %d and %q", made, read(t, first, "dist/four.wasm"), want, text)
		}
	}
	both(1)
	both(1) // nothing changed, and neither set removed the other's
	put(t, first, "dist/four.wasm", "damaged")
	both(2)
	config.Made[0].Key, text = "2", "as made next"
	both(3)

	config.Made[0].Key, config.Made[0].Make = "3", func(context.Context, string) error { return os.ErrPermission }
	if _, err := Build(context.Background(), config); err == nil || !strings.HasPrefix(err.Error(), "four: ") {
		t.Errorf("a tool that cannot be made: %v", err)
	}
	if read(t, first, "dist/four.wasm") != text {
		t.Error("the module before was lost")
	}
	config.Made = nil
	if _, err := Build(context.Background(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(first, "dist", "four.wasm")); !os.IsNotExist(err) {
		t.Errorf("the module of a tool that is gone is still there: %v", err)
	}
	config.Made = []Made{{Name: "three"}}
	if _, err := Build(context.Background(), config); err == nil || !strings.Contains(err.Error(), `"three" is there twice`) {
		t.Errorf("two tools of a name: %v", err)
	}
}

func TestTwoBuildsAtOnce(t *testing.T) {
	dir := makeToolbox(t)
	errs := make(chan error)
	for range 2 {
		go func() {
			_, err := Build(context.Background(), Config{Dir: dir})
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if built, err := build(t, dir); built != "" || err != nil {
		t.Errorf("after both, %q had to be built, %v", built, err)
	}
}

func TestCanceled(t *testing.T) {
	dir := makeToolbox(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Build(ctx, Config{Dir: dir}); err == nil {
		t.Error("a cancelled build succeeds")
	}
}
