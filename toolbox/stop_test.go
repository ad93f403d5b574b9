package toolbox

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"boxfleet/toolbox/internal/guest"
)

// TestPlainModulesImportNothing holds the promise of noop and spin: a run of them
// reaches the fleet in no way.
func TestPlainModulesImportNothing(t *testing.T) {
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer runtime.Close(ctx)
	for _, name := range []string{"noop", "spin"} {
		binary, err := os.ReadFile("dist/" + name + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		module, err := runtime.CompileModule(ctx, binary)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(module.ImportedFunctions()) + len(module.ImportedMemories()); n != 0 {
			t.Errorf("%s imports %d things", name, n)
		}
		if _, ok := module.ExportedFunctions()["_start"]; !ok {
			t.Errorf("%s has no _start", name)
		}
	}
}

// TestSpinDoesNotEnd gives spin a little time and sees that it is the clock that
// ends it.
func TestSpinDoesNotEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCloseOnContextDone(true))
	defer runtime.Close(context.Background())
	binary, err := os.ReadFile("dist/spin.wasm")
	if err != nil {
		t.Fatal(err)
	}
	_, err = runtime.Instantiate(ctx, binary)
	if err == nil || ctx.Err() == nil {
		t.Fatalf("spin ended by itself: %v", err)
	}
}

// TestProbeMisbehaves sees that probe's worse actions end a guest the way they
// are meant to.
func TestProbeMisbehaves(t *testing.T) {
	tests := []struct {
		args   []string
		code   uint32
		trap   string // of the engine; empty: none
		stderr string
	}{
		{args: []string{"exit", "42"}, code: 42},
		{args: []string{"panic", "on purpose"}, code: 2, stderr: "panic: on purpose"},
		{args: []string{"trap"}, trap: "out of bounds memory access"},
		{args: []string{"grow", "5000000000"}, code: 2, stderr: "out of memory"},
		{args: []string{"read", "/nothing"}, code: 1, stderr: "probe: open /nothing"},
		{args: []string{"exit"}, code: 2, stderr: `exit takes the values "CODE"`},
		{args: []string{"exit", "x"}, code: 1, stderr: `CODE is "x"`},
		{args: []string{"fly"}, code: 2, stderr: `--do is "fly": want one of report, args`},
	}
	for _, test := range tests {
		t.Run(test.args[0], func(t *testing.T) {
			outcome, err := runner.Run(context.Background(), guest.Command{Tool: "probe", Args: test.args})
			if test.trap != "" {
				if err == nil || !strings.Contains(err.Error(), test.trap) {
					t.Errorf("got %+v, %v: want the trap %q", outcome, err, test.trap)
				}
				return
			}
			if err != nil || outcome.Code != test.code || !strings.Contains(outcome.Stderr, test.stderr) {
				t.Errorf("got %+v, %v: want code %d and %q", outcome, err, test.code, test.stderr)
			}
		})
	}
}

// TestProbeActions sees that each of probe's useful actions does what it says.
func TestProbeActions(t *testing.T) {
	dir := t.TempDir()
	steps := []struct {
		args []string
		want string
	}{
		{[]string{"mkdir", "/d"}, ""},
		{[]string{"write", "/d/a", "one"}, ""},
		{[]string{"append", "d/a", " two"}, ""},
		{[]string{"read", "/d/a"}, "one two"},
		{[]string{"rename", "/d/a", "/d/b"}, ""},
		{[]string{"symlink", "b", "/d/link"}, ""},
		{[]string{"stat", "/d/b"}, "---------- 7 b\n"},
		{[]string{"ls", "/d"}, "---------- 7 b\nL--------- 1 link\n"},
		{[]string{"remove", "/d/link"}, ""},
		{[]string{"fill", "/d/zeros", "100000"}, ""},
		{[]string{"files", "/d", "3"}, ""},
		{[]string{"ls", "/d"}, "---------- 7 b\n---------- 2 file-000000\n---------- 2 file-000001\n---------- 2 file-000002\n---------- 100000 zeros\n"},
		{[]string{"open", "/d/b", "20"}, "opened 20\n"},
		{[]string{"env"}, "A=1\nB=\n"},
		{[]string{"stdin"}, "what came in"},
		{[]string{"stdout", "10"}, "boxfleet b"},
		{[]string{"burn", "1000"}, "burned 1000 rounds\n"},
		{[]string{"grow", "3000000"}, "grew by 3000000 bytes in 3 blocks\n"},
		{[]string{"recurse", "1000"}, "came back from 1000 calls\n"},
		{[]string{"sleep", "0.001"}, "slept 0.001 s\n"},
	}
	for _, step := range steps {
		outcome, err := runner.Run(context.Background(), guest.Command{
			Tool: "probe", Args: step.args, Dir: dir,
			Env: [][2]string{{"B", ""}, {"A", "1"}}, Stdin: strings.NewReader("what came in"),
		})
		if err != nil || outcome.Code != 0 || outcome.Stdout != step.want {
			t.Errorf("%q: got %+v, %v; want %q", step.args, outcome, err, step.want)
		}
	}
}
