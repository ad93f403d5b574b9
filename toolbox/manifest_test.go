package toolbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"boxfleet/toolbox/internal/guest"
	"boxfleet/toolbox/internal/helptext"
	"boxfleet/toolbox/internal/manifest"
)

// silent are the tools that take no options and so have no help.
var silent = []string{"noop", "noop-go", "spin"}

// elsewhere are the tools that import more than WASI preview 1, which is all that
// these tests offer. They are run where the fleet's own hosts are.
var elsewhere = []string{"web-fetch"}

func TestEveryToolHasAManifest(t *testing.T) {
	var want []string
	for _, pattern := range []string{"cmd/*/main.go", "wat/*.wasm"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			path = strings.TrimSuffix(filepath.ToSlash(path), "/main.go")
			want = append(want, strings.TrimSuffix(filepath.Base(path), ".wasm"))
		}
	}
	var got []string
	for _, m := range manifests {
		got = append(got, m.Name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("manifests of %q, tools %q", got, want)
	}
}

func TestInputSchemasAreSchemas(t *testing.T) {
	for _, m := range manifests {
		if _, err := helptext.Schema(m); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}

func TestManifestsSayWhatHelpSays(t *testing.T) {
	for _, m := range manifests {
		if slices.Contains(silent, m.Name) || slices.Contains(elsewhere, m.Name) {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			outcome, err := runner.Run(context.Background(), guest.Command{Tool: m.Name, Args: []string{"--help"}})
			if err != nil || outcome.Code != 0 || outcome.Stderr != "" {
				t.Fatalf("--help: %+v, %v", outcome, err)
			}
			for _, err := range helptext.Compare(m, outcome.Stdout) {
				t.Error(err)
			}
		})
	}
}

// TestInputReachesTools runs tools with JSON input, checked by their schema and
// turned into arguments the way the fleet does it.
func TestInputReachesTools(t *testing.T) {
	tests := []struct {
		tool, input, stdin, want string
	}{
		{"jq", `{"filter":"-.a","compact_output":true}`, `{"a":5}`, "-5\n"},
		{"jq", `{"file":["/orders.json"],"filter":"length"}`, "", "2500\n"},
		{"jq", `{"file":["/orders.json"],"compact_output":true,"slurp":true,"filter":".[0][1].id"}`, "", "100001\n"},
		{"grep", `{"pattern":"-","fixed_strings":true,"count":true}`, "a-b\nc\n-d\n", "2\n"},
		{"grep", `{"pattern":"disk full","path":["/tree/logs"],"files_with_matches":true,"max_count":1,"include":["*-01.log"],"recursive":false}`, "",
			"/tree/logs/intake/2025-03-01.log\n/tree/logs/mailer/2025-03-01.log\n/tree/logs/router/2025-03-01.log\n"},
		{"sh", `{"command":"echo $2","arg":["one","-x"]}`, "", "-x\n"},
		{"sort", `{"numeric_sort":true,"reverse":true,"unique":null}`, "1\n10\n9\n", "10\n9\n1\n"},
		{"hello", `{"name":"--name"}`, "", "Hello, --name!\n"},
		{"probe", `{"do":"args","value":["-a","b c"]}`, "", "-a\nb c\n"},
	}
	dir := stage(t, map[string]string{"/orders.json": "testdata/orders.json", "/tree": "testdata/tree"})
	for _, test := range tests {
		t.Run(test.tool, func(t *testing.T) {
			i := slices.IndexFunc(manifests, func(m *manifest.Manifest) bool { return m.Name == test.tool })
			args := argv(t, manifests[i], test.input)
			outcome, err := runner.Run(context.Background(), guest.Command{
				Tool: test.tool, Args: args, Dir: dir, Stdin: strings.NewReader(test.stdin),
			})
			if err != nil || outcome.Code != 0 || outcome.Stdout != test.want {
				t.Errorf("%q: got %+v, %v; want %q", args, outcome, err, test.want)
			}
		})
	}
}

// argv maps checked input to arguments, in the order of their names.
func argv(t *testing.T, m *manifest.Manifest, input string) []string {
	t.Helper()
	schema, err := helptext.Schema(m)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	members := value.(map[string]any)
	for key, v := range members {
		if v == nil {
			delete(members, key) // null is the same as absent
		}
	}
	if err := schema.Validate(value); err != nil {
		t.Fatalf("input %s: %v", input, err)
	}
	var args []string
	keys := make([]string, 0, len(members))
	for key := range members {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		option := "--" + strings.ReplaceAll(key, "_", "-")
		list, ok := members[key].([]any)
		if !ok {
			list = []any{members[key]}
		}
		for _, v := range list {
			switch v {
			case true:
				args = append(args, option)
			case false:
			default:
				args = append(args, fmt.Sprintf("%s=%v", option, v))
			}
		}
	}
	return args
}

// stage copies files of the toolbox into a directory for a guest.
func stage(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for at, from := range files {
		target := filepath.Join(dir, filepath.FromSlash(at))
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(target, os.DirFS(from))
		} else {
			var data []byte
			if data, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(target, data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
