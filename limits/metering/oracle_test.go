package metering_test

import (
	"bufio"
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/limits/metering"
	"boxfleet/limits/metering/internal/wasmgen"
)

// count is how many calls of a module finished and what they cost together.
type count struct {
	calls int
	fuel  uint64
}

// readOracle reads what Wasmtime counted, by kind and module.
func readOracle(t *testing.T) map[string]map[string]count {
	t.Helper()
	counts := map[string]map[string]count{}
	lines := bufio.NewScanner(bytes.NewReader(readTestdata(t, "wasmtime-fuel.txt")))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		var kind, module string
		var c count
		if _, err := fmt.Sscan(lines.Text(), &kind, &module, &c.calls, &c.fuel); err != nil {
			t.Fatalf("line %q: %v", lines.Text(), err)
		}
		if counts[kind] == nil {
			counts[kind] = map[string]count{}
		}
		counts[kind][module] = c
	}
	return counts
}

// TestOracle holds the fuel of kernels and random modules to what Wasmtime
// counted; TestSpec does so for the modules of the test suite.
func TestOracle(t *testing.T) {
	oracle := readOracle(t)
	modules := 0
	for _, m := range oracle {
		modules += len(m)
	}
	if modules < 300 {
		t.Fatalf("only %d modules in the data", modules)
	}
	t.Run("kernels", func(t *testing.T) {
		for module, want := range oracle["kernel"] {
			if got := countKernel(t, readTestdata(t, filepath.Join("kernels", module))); got != want {
				t.Errorf("%s: %+v, Wasmtime %+v", module, got, want)
			}
		}
		files, err := filepath.Glob(filepath.Join("testdata", "kernels", "*.wasm"))
		if err != nil || len(files) != len(oracle["kernel"]) {
			t.Errorf("%d kernels, %d in the data (%v): run the oracle again", len(files), len(oracle["kernel"]), err)
		}
	})
	t.Run("random", func(t *testing.T) {
		for seed := range len(oracle["random"]) {
			name := fmt.Sprintf("random.%d.wasm", seed)
			if got, want := countRandom(t, wasmgen.New(uint64(seed), wasmgen.Size(seed))), oracle["random"][name]; got != want {
				t.Errorf("%s: %+v, Wasmtime %+v", name, got, want)
			}
		}
	})
}

func countKernel(t *testing.T, wasm []byte) count {
	_, code := rewrite(t, wasm, metering.Config{})
	h := newHost(1 << 20)
	mod, err := sharedRuntime().InstantiateModule(h.context(), code, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(h.context())
	h.attach(mod)
	var c count
	for _, n := range []uint64{1, 7, 20} {
		before := h.consumed()
		if _, err := mod.ExportedFunction("run").Call(h.context(), n); err == nil {
			c = count{c.calls + 1, c.fuel + h.consumed() - before}
		}
	}
	return c
}

func countRandom(t *testing.T, m *wasmgen.Module) count {
	_, code := rewrite(t, m.Wasm, metering.Config{})
	h := newHost(1 << 20)
	mod, err := sharedRuntime().InstantiateModule(h.context(), code, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(h.context())
	h.attach(mod)
	var c count
	for _, f := range m.Funcs {
		if bytes.ContainsRune(append(append([]byte{}, f.Params...), f.Results...), 0x7b) {
			continue // Python cannot pass vectors
		}
		var args []uint64
		for i := range f.Params {
			args = append(args, uint64(i)*3+1)
		}
		before := h.consumed()
		if _, err := mod.ExportedFunction(f.Name).Call(h.context(), args...); err == nil {
			c = count{c.calls + 1, c.fuel + h.consumed() - before}
		}
	}
	return c
}
