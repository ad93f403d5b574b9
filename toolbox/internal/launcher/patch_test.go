package launcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

const program = "print('the help')"

// argsModule is a program of wasi-libc's shape that prints its arguments.
func argsModule(t testing.TB) []byte {
	t.Helper()
	module, err := os.ReadFile("testdata/args.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// run runs a module with at most that many pages of memory and returns the
// lines it prints and its exit code.
func run(t *testing.T, module []byte, pages uint32, args ...string) ([]string, uint32) {
	t.Helper()
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(pages))
	defer runtime.Close(ctx)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, runtime); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	_, err := runtime.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithArgs(args...).WithStdout(&stdout))
	var code uint32
	if exit, ok := errors.AsType[*sys.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(stdout.String(), "\n")
	return lines[:len(lines)-1], code
}

func TestArguments(t *testing.T) {
	module, err := Patch(argsModule(t), program)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 300_000)
	tests := []struct {
		name       string
		args, want []string // without the program's name
	}{
		{"none", nil, nil},
		{"the interpreter's own", []string{"-c", "print(1)", "--arg=x"}, []string{"-c", "print(1)", "--arg=x"}},
		{"a script", []string{"/s.py", "--command=x", "--help"}, []string{"/s.py", "--command=x", "--help"}},
		{"an empty one", []string{""}, []string{""}},
		{"a command", []string{"--command=print(1)"}, []string{"-B", "-c", "print(1)"}},
		{"an empty command", []string{"--command="}, []string{"-B", "-c", ""}},
		{"its arguments", []string{"--command=p", "--arg=--arg=a", "--arg=", "--arg=-c"}, []string{"-B", "-c", "p", "--arg=a", "", "-c"}},
		{"what is not known", []string{"--command=p", "--help", "--argument", "-x"}, []string{"-B", "-c", "p", "--help", "--argument", "-x"}},
		{"a module", []string{"--module=json.tool", "--arg=/a"}, []string{"-B", "-m", "json.tool", "/a"}},
		{"a file", []string{"--file=/in/a b.py", "--arg=1"}, []string{"-B", "/in/a b.py", "1"}},
		{"standard input", []string{"--arg=1", "--arg=2"}, []string{"-B", "-", "1", "2"}},
		{"help", []string{"--help"}, []string{"-B", "-c", program}},
		{"nearly a name", []string{"--comman", "d="}, []string{"--comman", "d="}},
		{"nearly a module", []string{"--modules=x"}, []string{"--modules=x"}},
		{"nearly a file", []string{"--file"}, []string{"--file"}},
		{"nearly help", []string{"--helps"}, []string{"--helps"}},
		{"nearly an argument", []string{"--arg"}, []string{"--arg"}},
		{"other letters", []string{"--command=ü\n\t\xff"}, []string{"-B", "-c", "ü", "\t\xff"}},
		{"a long one", []string{"--command=" + long[:60_000], "--arg=y"}, []string{"-B", "-c", long[:60_000], "y"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, code := run(t, module, 16, append([]string{"python"}, test.args...)...)
			want := append([]string{"python"}, test.want...)
			lines := len(want)
			if test.name == "other letters" {
				lines--
			}
			if !slices.Equal(got, want) || code != uint32(lines) {
				t.Errorf("got %.300q, code %d; want %.300q", got, code, want)
			}
		})
	}
	t.Run("many", func(t *testing.T) {
		args, want := []string{"python", "--command=p"}, []string{"python", "-B", "-c", "p"}
		for i := range 4000 {
			args, want = append(args, fmt.Sprintf("--arg=%d", i)), append(want, fmt.Sprint(i))
		}
		if got, code := run(t, module, 16, args...); !slices.Equal(got, want) || code != 4004 {
			t.Errorf("%d lines, code %d: want %d", len(got), code, len(want))
		}
	})
	t.Run("no name either", func(t *testing.T) {
		if got, code := run(t, module, 16); len(got) != 0 || code != 0 {
			t.Errorf("got %q, code %d", got, code)
		}
	})
	t.Run("no memory left", func(t *testing.T) {
		// wazero counts the page that Patch adds; the launcher wants a fourth.
		if got, code := run(t, module, 3, "python", "--command=p"); code != 71 {
			t.Errorf("got %q, code %d: want 71, what the program makes of an error", got, code)
		}
	})
}

// TestUntouched: what Patch gives is the same each time, and debuggers' sections
// alone are gone.
func TestUntouched(t *testing.T) {
	with := append(argsModule(t), customSection(".debug_info", "much")...)
	with = append(with, customSection("producers", "me")...)
	first, err := Patch(with, program)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Patch(with, program)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("two patches differ, %v", err)
	}
	if bytes.Contains(first, []byte(".debug_info")) || !bytes.Contains(first, []byte("producers")) {
		t.Error("want producers kept and .debug_info gone")
	}
	if got, _ := run(t, first, 16, "python", "--file=/x"); !slices.Equal(got, []string{"python", "-B", "/x"}) {
		t.Errorf("got %q", got)
	}
}

func customSection(name, content string) []byte {
	return append([]byte{custom}, appendVector(nil, append(appendVector(nil, []byte(name)), content...))...)
}

func TestRefused(t *testing.T) {
	module := argsModule(t)
	patched, err := Patch(module, program)
	if err != nil {
		t.Fatal(err)
	}
	change := func(id byte, with func(content []byte) []byte) []byte {
		all, err := split(slices.Clone(module))
		if err != nil {
			t.Fatal(err)
		}
		s, err := find(all, id)
		if err != nil {
			t.Fatal(err)
		}
		s.content = with(s.content)
		return join(all)
	}
	tests := []struct {
		name    string
		module  []byte
		program string
		says    string
	}{
		{"nothing", nil, "", "not a WebAssembly module"},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), "", "not a WebAssembly module"},
		{"only a header", []byte(header), "", "no section 1"},
		{"cut short", module[:len(module)-10], "", "ends too early"},
		{"patched before", patched, "", "args_sizes_get is called in 0 places"},
		{"a section twice", append(slices.Clone(module), 5, 3, 1, 0, 2), "", "section 5 twice"},
		{"other imports", bytes.Replace(module, []byte("args_get"), []byte("args_got"), 1), "", "want wasi_snapshot_preview1.args_get"},
		{"other hosts", bytes.Replace(module, []byte("preview1"), []byte("preview0"), 1), "", "want wasi_snapshot_preview1.args_get"},
		{"no such call", bytes.ReplaceAll(module, callSizes, []byte{0x10, 2, 0x41, 0xff, 0xff, 0x03, 0x71}), "", "args_sizes_get is called in 0 places"},
		{"a full memory", change(memories, func([]byte) []byte { return []byte{1, 1, 2, 2} }), "", "no room for one more"},
		{"a memory of 64 bits", change(memories, func([]byte) []byte { return []byte{1, 4, 2} }), "", "flags 4"},
		{"two memories", change(memories, func([]byte) []byte { return []byte{2, 0, 2, 0, 2} }), "", "2 memories"},
		{"a huge number", change(memories, func([]byte) []byte { return bytes.Repeat([]byte{0xff}, 9) }), "", "larger than 32 bits"},
		{"more bodies than are there", change(code, func(c []byte) []byte { c = slices.Clone(c); c[0] = 99; return c }), "", "code:"},
		{"a program with a NUL", module, "a\x00b", "no NUL"},
		{"a program too long", module, strings.Repeat("x", maxProgram+1), "at most"},
	}
	for _, test := range tests {
		if got, err := Patch(test.module, test.program); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %d bytes, %v; want an error with %q", test.name, len(got), err, test.says)
		}
	}
}

// FuzzPatch holds Patch to its word: it never panics, and a module that was valid
// is valid after it.
func FuzzPatch(f *testing.F) {
	module := argsModule(f)
	f.Add(module, program)
	f.Add(module[:40], "")
	f.Add([]byte(header+"\x01\x05\x01\x60\x02\x7f\x7f"), "x")
	f.Add(append([]byte(header), 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f), "x")
	f.Fuzz(func(t *testing.T, module []byte, program string) {
		given := slices.Clone(module)
		patched, err := Patch(module, program)
		if !bytes.Equal(module, given) {
			t.Fatal("Patch changed what it was given")
		}
		if err != nil {
			return
		}
		ctx := context.Background()
		runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
		defer runtime.Close(ctx)
		if _, err := runtime.CompileModule(ctx, module); err != nil {
			return
		}
		if _, err := runtime.CompileModule(ctx, patched); err != nil {
			t.Errorf("valid before and not after: %v", err)
		}
	})
}
