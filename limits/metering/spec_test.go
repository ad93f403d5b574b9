package metering_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"boxfleet/limits/metering"
)

// specDir finds the WebAssembly test suite as wazero carries it, converted
// from .wast to JSON and wasm, in the module cache.
func specDir(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("find wazero's module: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
}

// specScript is one .wast file.
type specScript struct {
	Source   string        `json:"source_filename"`
	Commands []specCommand `json:"commands"`
}

type specCommand struct {
	Type       string `json:"type"`
	Line       int    `json:"line"`
	Name       string `json:"name"`
	Filename   string `json:"filename"`
	As         string `json:"as"`
	ModuleType string `json:"module_type"`
	Action     struct {
		Type   string      `json:"type"`
		Field  string      `json:"field"`
		Module string      `json:"module"`
		Args   []specValue `json:"args"`
	} `json:"action"`
}

type specValue struct {
	Type  string `json:"type"`
	Lane  string `json:"lane_type"`
	Value any    `json:"value"`
}

// words gives the value as wazero passes it: two words for v128, else one.
func (v specValue) words() []uint64 {
	if v.Type == "v128" {
		width, err := strconv.Atoi(v.Lane[1:])
		if err != nil {
			panic("lane type " + v.Lane)
		}
		var w [2]uint64
		for i, lane := range v.Value.([]any) {
			bit := i * width
			w[bit/64] |= specNumber(lane.(string), width) << (bit % 64)
		}
		return w[:]
	}
	s, _ := v.Value.(string)
	switch {
	case v.Value == nil, s == "null":
		return []uint64{0}
	case v.Type == "externref": // wazero's null is 0, so number n is n+1
		return []uint64{specNumber(s, 64) + 1}
	case strings.HasSuffix(v.Type, "32"):
		return []uint64{specNumber(s, 32)}
	}
	return []uint64{specNumber(s, 64)}
}

func specNumber(s string, width int) uint64 {
	mask := uint64(math.MaxUint64) >> (64 - width)
	if strings.HasPrefix(s, "-") {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			panic(err)
		}
		return uint64(n) & mask
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n & mask
}

func readScript(t testing.TB, file string) *specScript {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &specScript{}
	if err := json.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// specWorld runs a script on one engine, metered or not.
type specWorld struct {
	t       testing.TB
	dir     string
	rt      wazero.Runtime
	host    *host
	metered bool
	named   map[string]api.Module
	last    api.Module

	// count, if set, is told of every call that succeeds and its fuel.
	count func(module string, fuel uint64)
	files map[api.Module]string
}

// newWorld gives a world with the module "spectest" that scripts import.
func newWorld(t testing.TB, dir string, rt wazero.Runtime, metered bool) *specWorld {
	t.Helper()
	w := &specWorld{t: t, dir: dir, rt: rt, host: newHost(1 << 20), metered: metered,
		named: map[string]api.Module{}, files: map[api.Module]string{}}
	w.host.stack = 512 << 10
	b, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(dir)), "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.instantiate(b, "spectest"); err != nil {
		t.Fatal(err)
	}
	return w
}

// instantiate gives a module under a name that others import it by.
func (w *specWorld) instantiate(wasm []byte, name string) (api.Module, error) {
	if w.metered {
		m, err := metering.Rewrite(wasm, metering.Config{})
		if err != nil {
			return nil, err
		}
		wasm = m.Wasm
	}
	mod, err := w.rt.InstantiateWithConfig(w.host.context(), wasm,
		wazero.NewModuleConfig().WithName(name).WithStartFunctions())
	if err == nil && w.metered {
		w.host.attach(mod)
	}
	return mod, err
}

// run does one command and describes what happened. Two worlds in which every
// command is described alike behave the same.
func (w *specWorld) run(c, next *specCommand) string {
	if c.Filename != "" && strings.HasSuffix(c.Filename, ".wat") {
		return ""
	}
	switch c.Type {
	case "module":
		name := ""
		if next != nil && next.Type == "register" {
			name = next.As
		}
		mod, err := w.load(c.Filename, name)
		if err != nil {
			return "module: " + trapText(err)
		}
		w.last = mod
		w.files[mod] = c.Filename
		if c.Name != "" {
			w.named[c.Name] = mod
		}
		return "module"
	case "assert_malformed", "assert_invalid", "assert_unlinkable", "assert_uninstantiable":
		mod, err := w.load(c.Filename, "")
		if err == nil {
			mod.Close(context.Background())
			return "accepted"
		}
		return "refused"
	case "assert_exhaustion":
		// Without metering the engine's own stack grows to its ceiling of
		// hundreds of megabytes first; what happens then is known.
		if !w.metered {
			return "exhausted"
		}
		if got := w.action(c); !strings.HasSuffix(got, "stack overflow") {
			return got // the meter's, or the interpreter's own after 2,000 frames
		}
		return "exhausted"
	case "assert_return", "action", "assert_trap":
		return w.action(c)
	}
	return ""
}

func (w *specWorld) load(file, name string) (api.Module, error) {
	b, err := os.ReadFile(filepath.Join(w.dir, file))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.instantiate(b, name)
}

func (w *specWorld) action(c *specCommand) string {
	mod := w.last
	if c.Action.Module != "" {
		mod = w.named[c.Action.Module]
	}
	if mod == nil {
		return "no module"
	}
	if c.Action.Type == "get" {
		return fmt.Sprint(mod.ExportedGlobal(c.Action.Field).Get())
	}
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.words()...)
	}
	f := mod.ExportedFunction(c.Action.Field)
	before := w.host.consumed()
	results, err := f.Call(w.host.context(), args...)
	if err != nil {
		return "trap: " + trapText(err)
	}
	if w.count != nil && (c.Type == "assert_return" || c.Type == "action") {
		w.count(w.files[mod], w.host.consumed()-before)
	}
	// References are addresses; all that can be compared is whether they are null.
	types := f.Definition().ResultTypes()
	for i, t := range types {
		if (t == api.ValueTypeExternref || t == 0x70) && len(types) == len(results) && results[i] > 1<<20 {
			results[i] = math.MaxUint64
		}
	}
	return fmt.Sprintf("%#x", results)
}

// trapText is what is left of an error without positions and stack traces.
func trapText(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			text, _, _ := strings.Cut(err.Error(), "\n")
			return text
		}
		err = next
	}
}

// specSuites are the parts of the suite with what the rewriter supports.
var specSuites = []string{"v2", "tail-call", "extended-const"}

// walkSpec runs all scripts of the suites in parallel.
func walkSpec(t *testing.T, suites []string, f func(t *testing.T, suite, dir, name string, script *specScript)) {
	root := specDir(t)
	for _, suite := range suites {
		dir := filepath.Join(root, suite, "testdata")
		scripts, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil || len(scripts) == 0 {
			t.Fatalf("no scripts in %s: %v", dir, err)
		}
		for _, file := range scripts {
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			t.Run(suite+"/"+name, func(t *testing.T) {
				t.Parallel()
				f(t, suite, dir, name, readScript(t, file))
			})
		}
	}
}

// next gives the command after i, or nil.
func (s *specScript) next(i int) *specCommand {
	if i+1 < len(s.Commands) {
		return &s.Commands[i+1]
	}
	return nil
}

// slowInterpreted are scripts that look at every byte of memory or count to a
// million, which takes the interpreter most of a minute under the race
// detector. The compiler runs them.
var slowInterpreted = map[string]bool{
	"memory_grow": true, "memory_copy": true, "memory_fill": true, "return_call": true, "return_call_indirect": true,
}

// TestSpec runs the WebAssembly test suite with and without metering, and
// wants the same from both: results, traps, and which modules are refused. The
// fuel of what finishes is held to Wasmtime's count.
func TestSpec(t *testing.T) {
	oracle := readOracle(t)
	engines := []struct {
		name   string
		config func() wazero.RuntimeConfig
		leave  map[string]bool
	}{
		{"compiler", wazero.NewRuntimeConfigCompiler, nil},
		{"interpreter", wazero.NewRuntimeConfigInterpreter, slowInterpreted},
	}
	for _, engine := range engines {
		var held atomic.Int64
		t.Run(engine.name, func(t *testing.T) {
			walkSpec(t, specSuites, func(t *testing.T, suite, dir, name string, script *specScript) {
				if engine.leave[name] {
					return
				}
				plain := newWorld(t, dir, newRuntime(t, engine.config()), false)
				metered := newWorld(t, dir, newRuntime(t, engine.config()), true)
				counts := map[string]count{}
				metered.count = func(module string, fuel uint64) {
					c := counts[module]
					counts[module] = count{c.calls + 1, c.fuel + fuel}
				}
				for i := range script.Commands {
					c := &script.Commands[i]
					want := plain.run(c, script.next(i))
					if got := metered.run(c, script.next(i)); got != want {
						t.Errorf("%s:%d: %s %s: metered gives %q, plain %q", name, c.Line, c.Type, c.Filename, got, want)
					}
				}
				for module, c := range counts {
					want, ok := oracle[suite][module]
					if ok && want != c {
						t.Errorf("%s: %+v, Wasmtime %+v", module, c, want)
					}
					if ok {
						held.Add(1)
					}
				}
			})
		})
		all := 0
		for _, suite := range specSuites {
			all += len(oracle[suite])
		}
		if n := int(held.Load()); n < all && engine.leave == nil || n < all*9/10 {
			t.Errorf("%s: %d modules held to Wasmtime's counts, %d in the data", engine.name, n, all)
		}
	}
}
