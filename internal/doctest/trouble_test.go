package doctest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"boxfleet/jobs"
)

// trouble is docs/troubleshooting.md. Below a heading a comment such as
//
//	<!-- texts: ^no fleet is set | is gone: %w$ -->
//
// holds what the programs say that this entry is about, as regular expressions
// over the texts as they stand in the source, with their verbs.
type trouble struct {
	text    string
	entries []entry
}

type entry struct {
	heading string
	texts   []*regexp.Regexp
}

func readTrouble(t *testing.T) *trouble {
	t.Helper()
	data, err := os.ReadFile(repo + "/docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	tr := &trouble{text: string(data)}
	comment := regexp.MustCompile(`(?m)^(#+) ([^\n]*)$|<!-- texts:((?s:.*?))-->`)
	for _, m := range comment.FindAllStringSubmatch(tr.text, -1) {
		if m[1] != "" {
			tr.entries = append(tr.entries, entry{heading: m[2]})
			continue
		}
		e := &tr.entries[len(tr.entries)-1]
		for part := range strings.SplitSeq(m[3], " | ") {
			re, err := regexp.Compile(strings.TrimSpace(part))
			if err != nil {
				t.Fatalf("%s: %v", e.heading, err)
			}
			e.texts = append(e.texts, re)
		}
	}
	return tr
}

// TestEveryKindHasAnEntry enumerates what can go wrong, from the code, and
// looks for each in docs/troubleshooting.md.
func TestEveryKindHasAnEntry(t *testing.T) {
	t.Parallel()
	tr := readTrouble(t)
	for _, o := range jobs.Outcomes {
		if o != jobs.Succeeded && !hasHeading(tr.text, anchor("Outcome `"+string(o)+"`")) {
			t.Errorf("no heading for the outcome %s", o)
		}
		if code := o.ExitCode(); code >= 0 && !strings.Contains(tr.text, fmt.Sprintf("| %d |", code)) {
			t.Errorf("no row for exit code %d", code)
		}
	}
	for _, code := range constants(t, "internal/submitcli", regexp.MustCompile(`^exit[A-Z]`)) {
		if code != "0" && !strings.Contains(tr.text, "| "+code+" |") {
			t.Errorf("no row for exit code %s of submit", code)
		}
	}
	rule := regexp.MustCompile(`"((?:level|operator|tenant|tier)\.[a-z_.-]+[a-z])"`)
	rules := 0
	for _, m := range rule.FindAllStringSubmatch(source(t, "limits/permission", "executor"), -1) {
		rules++
		if !strings.Contains(tr.text, "`"+m[1]+"`") {
			t.Errorf("no entry for the rule %s", m[1])
		}
	}
	kinds := 0
	for _, m := range regexp.MustCompile(`(?m)^\s+(Err[A-Z]\w+) += errors\.New\("(.*?)"`).FindAllStringSubmatch(source(t, "artifacts"), -1) {
		kinds++
		if !strings.Contains(tr.text, "`"+m[2]+"`") {
			t.Errorf("no entry for artifacts.%s, %q", m[1], m[2])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\s+Limit\w+ += "([\w ]*\w)[" ]`).FindAllStringSubmatch(source(t, "executor/outbound"), -1) {
		kinds++
		if !strings.Contains(tr.text, "`"+m[1]+"`") {
			t.Errorf("no entry for the limit %s", m[1])
		}
	}
	if rules < 8 || kinds < 12 {
		t.Errorf("%d rules and %d kinds were found in the source: the test looks in the wrong place", rules, kinds)
	}
}

// TestEveryTextHasAnEntry takes every text of an error from the source of the
// command line and the worker, and looks for the entry it leads to. Texts that
// only wrap another (…: %w) lead where that leads; errors about the command
// line itself all lead to the entry of exit code 2.
func TestEveryTextHasAnEntry(t *testing.T) {
	t.Parallel()
	tr := readTrouble(t)
	found := 0
	used := map[*regexp.Regexp]bool{}
	for _, pkg := range []string{"internal/submitcli", "cmd/worker", "internal/fleet"} {
		for text, where := range errorTexts(t, pkg) {
			found++
			led := false
			for _, e := range tr.entries {
				for _, re := range e.texts {
					if re.MatchString(text) {
						led, used[re] = true, true
					}
				}
			}
			if !led {
				t.Errorf("%s: %q leads to no entry of docs/troubleshooting.md: add it to a comment <!-- texts: ... --> below the heading that helps", where, text)
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d texts were found in the source", found)
	}
	for _, e := range tr.entries {
		for _, re := range e.texts {
			if !used[re] {
				t.Errorf("%q: nothing says %q any more", e.heading, re)
			}
		}
	}
}

// errorTexts gives the leaf texts of errors in a package and where they stand.
func errorTexts(t *testing.T, pkg string) map[string]string {
	t.Helper()
	out := map[string]string{}
	each(t, pkg, func(path string, fset *token.FileSet, n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return
		}
		name := ""
		switch f := call.Fun.(type) {
		case *ast.SelectorExpr:
			name = f.Sel.Name
		case *ast.Ident:
			name = f.Name
		}
		if name != "Errorf" && !(name == "New" && strings.HasPrefix(exprText(call.Fun), "errors.")) {
			return
		}
		text := literal(call.Args[0])
		if text == "" || regexp.MustCompile(`(%w|%s|%v)$`).MatchString(text) && strings.Contains(text, "%w") {
			return
		}
		out[text] = fmt.Sprintf("%s:%d", path, fset.Position(call.Pos()).Line)
	})
	return out
}

func exprText(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// literal gives a string literal, or the literal parts of a sum.
func literal(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(x.Value)
		return s
	case *ast.BinaryExpr:
		return literal(x.X) + literal(x.Y)
	}
	return ""
}

func each(t *testing.T, pkg string, visit func(path string, fset *token.FileSet, n ast.Node)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repo, pkg, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources in %s, %v", pkg, err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if n != nil {
				visit(strings.TrimPrefix(path, repo+"/"), fset, n)
			}
			return true
		})
	}
}

// constants gives the values of a package's numeric constants by name.
func constants(t *testing.T, pkg string, name *regexp.Regexp) []string {
	t.Helper()
	var out []string
	each(t, pkg, func(_ string, _ *token.FileSet, n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) == 0 || len(spec.Values) == 0 || !name.MatchString(spec.Names[0].Name) {
			return
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.INT {
			out = append(out, lit.Value)
		}
	})
	if len(out) < 3 {
		t.Errorf("only %d constants in %s", len(out), pkg)
	}
	return slices.Compact(out)
}

func source(t *testing.T, packages ...string) string {
	t.Helper()
	var b strings.Builder
	for _, pkg := range packages {
		files, err := filepath.Glob(filepath.Join(repo, pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(data)
		}
	}
	return b.String()
}
