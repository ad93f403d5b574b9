package describe

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"boxfleet/internal/argvmap"
)

var update = flag.Bool("update", false, "write what help texts are read as to testdata")

// golden is what a help text of testdata is read as, for people to compare.
type golden struct {
	Name        string          `json:"name,omitempty"`
	Version     string          `json:"version,omitempty"`
	Description string          `json:"description,omitempty"`
	Keywords    []string        `json:"keywords,omitempty"`
	Level       string          `json:"level,omitempty"`
	Left        []string        `json:"left,omitempty"`
	Schema      json.RawMessage `json:"schema"`
}

// TestHelpTexts reads real help texts: those of the toolbox's tools, of
// programs of Go's flag package and Python's argparse, and samples in the forms
// of clap, cobra, docopt and the tools of BoxAgnts.
func TestHelpTexts(t *testing.T) {
	texts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(texts) < 12 {
		t.Fatalf("%d help texts, %v", len(texts), err)
	}
	for _, path := range texts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			help, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tool := Parse(string(help))
			got, err := json.MarshalIndent(golden{tool.Name, tool.Version, tool.Description, tool.Keywords, string(tool.Level), tool.Left, tool.Schema()}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			if _, err := argvmap.New(tool.Schema()); err != nil {
				t.Errorf("the schema cannot be used: %v", err)
			}
			want := strings.TrimSuffix(path, ".txt") + ".json"
			if *update {
				if err := os.WriteFile(want, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil || !bytes.Equal(got, expected) {
				t.Errorf("%s is read as\n%s\nand not as %s says (%v)", path, got, want, err)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	for said, want := range map[string]string{
		"read_only": "read_only", "ReadOnly": "read_only", "read-only": "read_only", "READ_ONLY": "read_only", "Read Only": "read_only",
		"None": "none", "write": "write", "Dangerous": "dangerous", "root": "", "": "", "ReadOnly\u200b": "read_only",
	} {
		if got := Parse("x 1.0\nPermissionLevel: " + said + "\n").Level; string(got) != want {
			t.Errorf("%q is level %q, want %q", said, got, want)
		}
	}
}

// TestHostileTexts reads texts that no honest tool prints.
func TestHostileTexts(t *testing.T) {
	for name, text := range map[string]string{
		"endless line":     strings.Repeat("--a ", 1<<20),
		"many options":     "Options:\n" + manyLines("  --o%d <STRING>  x\n", 5000),
		"many values":      "Options:\n  --x <" + strings.Repeat("a|", 5000) + ">  y\n",
		"long names":       "Options:\n  --" + strings.Repeat("n", 5000) + "  y\n",
		"many brackets":    "Usage: x " + strings.Repeat("[", 100_000) + "\n",
		"closing brackets": "Usage: x " + strings.Repeat("]", 1000) + " FILE\n",
		"escapes":          "\x1b[31mx 1.0\x1b[0m\n\x1b]0;title\x07About.\n\nOptions:\n  --a\x1b[1mb\x1b[0m  \u202ehelp\x07\n",
		"bytes":            "\xff\xfe\x00Options:\n  --a\xff  \xc3(\n",
		"many keywords":    "Keywords: " + strings.Repeat("a,", 5000) + "\n",
		"many commands":    "Commands:\n" + manyLines("  c%d  x\n", 5000),
		"help for ever":    "Options:\n  --a  x\n" + strings.Repeat("             more words\n", 20_000),
	} {
		t.Run(name, func(t *testing.T) { sane(t, text) })
	}
	tool := Parse("\x1b[31mx 1.0\x1b[0m\nAbout.\n\nOptions:\n  --a\x1b[1mb\x1b[0m  \u202ehelp\x07\n")
	if tool.Name != "x" || len(tool.Options) != 1 || tool.Options[0].Name != "ab" || tool.Options[0].Help != "help" {
		t.Errorf("%+v", tool)
	}
}

func manyLines(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// sane holds what is read from any text to what callers rest on.
func sane(t *testing.T, text string) {
	t.Helper()
	tool := Parse(text)
	if len(tool.Options) > maxOptions || len(tool.Operands) > maxOptions || len(tool.Commands) > maxOptions || len(tool.Left) > maxOptions {
		t.Fatalf("%d options, %d operands, %d commands", len(tool.Options), len(tool.Operands), len(tool.Commands))
	}
	if utf8.RuneCountInString(tool.Description) > maxHelp || len(tool.Name) > maxName {
		t.Fatalf("name %q, description of %d bytes", tool.Name, len(tool.Description))
	}
	schema := tool.Schema()
	if _, err := argvmap.New(schema); err != nil {
		t.Fatalf("the schema of %.200q cannot be used: %v\n%s", text, err, schema)
	}
	// Every option can be given: its name comes out as the tool wrote it.
	var doc struct {
		Properties map[string]struct {
			Type string
			Enum []string
			Argv string `json:"x-argv"`
		}
	}
	if err := json.Unmarshal(schema, &doc); err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, o := range tool.Options {
		named["--"+o.Name] = true
		if strings.ContainsFunc(o.Help, unicode.IsControl) || len(o.Values) > maxValues {
			t.Fatalf("%+v", o)
		}
	}
	for name, p := range doc.Properties {
		if p.Type != "boolean" || p.Argv != "" {
			continue
		}
		if argv := "--" + strings.ReplaceAll(name, "_", "-"); !named[argv] {
			t.Fatalf("property %q becomes %q, which is no option of %.200q", name, argv, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	texts, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range texts {
		help, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(help))
	}
	f.Add("Options:\n --a=<b|c>... [default: d]\n- x: y\n")
	f.Fuzz(func(t *testing.T, text string) { sane(t, text) })
}
