package metering_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"boxfleet/limits/metering"
	"boxfleet/limits/metering/internal/wasmgen"
)

// slicesOfFuel are the amounts granted at once that every outcome must not depend on.
var slicesOfFuel = []int64{1, 7, 1e3, 1e6, 1 << 40}

// trace is what a run of all functions of a random module shows.
type trace struct {
	results []string
	memory  []byte
	fuel    []uint64 // after each function
}

// runRandom calls every function of a generated module once.
func runRandom(t testing.TB, c wazero.CompiledModule, h *host, funcs []wasmgen.Func) trace {
	t.Helper()
	ctx := h.context()
	mod, err := sharedRuntime().InstantiateModule(ctx, c, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(ctx)
	metered := h.slice > 0
	if metered {
		h.attach(mod)
	}
	var tr trace
	for _, f := range funcs {
		fn := mod.ExportedFunction(f.Name)
		var args []uint64
		for i, p := range f.Params {
			args = append(args, uint64(i)*3+1)
			if p == 0x7b {
				args = append(args, 5)
			}
		}
		results, err := fn.Call(ctx, args...)
		text := describe(results, f.Results)
		if err != nil {
			text = "trap: " + trapText(err)
			if errors.Is(err, errFuel) || errors.Is(err, errStack) {
				text = err.Error()[:20]
			}
		}
		tr.results = append(tr.results, text)
		if metered {
			tr.fuel = append(tr.fuel, h.consumed())
		}
	}
	mem := mod.Memory()
	b, _ := mem.Read(0, mem.Size())
	tr.memory = bytes.Clone(b)
	return tr
}

// describe writes results so that all NaNs look alike.
func describe(results []uint64, types []byte) string {
	var s []string
	i := 0
	for _, t := range types {
		if i >= len(results) {
			break
		}
		switch t {
		case 0x7c:
			if f := api.DecodeF64(results[i]); math.IsNaN(f) {
				s = append(s, "nan")
			} else {
				s = append(s, fmt.Sprint(f))
			}
		case 0x7b:
			s = append(s, fmt.Sprintf("%x:%x", results[i], results[i+1]))
			i++
		case 0x7f:
			s = append(s, fmt.Sprint(uint32(results[i])))
		default:
			s = append(s, fmt.Sprint(results[i]))
		}
		i++
	}
	return fmt.Sprint(s)
}

// compareRandom holds a generated module to the same behaviour with and
// without metering, and to the same fuel for every slice.
func compareRandom(t testing.TB, m *wasmgen.Module) {
	ctx := context.Background()
	plainCode, err := sharedRuntime().CompileModule(ctx, m.Wasm)
	if err != nil {
		t.Fatalf("the generator made an invalid module: %v", err)
	}
	defer plainCode.Close(ctx)
	want := runRandom(t, plainCode, &host{}, m.Funcs)

	for _, cfg := range []metering.Config{{}, {PreciseTraps: true, DataGap: -1}} {
		out, err := metering.Rewrite(m.Wasm, cfg)
		if err != nil {
			t.Fatalf("rewrite: %v", err)
		}
		code, err := sharedRuntime().CompileModule(ctx, out.Wasm)
		if err != nil {
			t.Fatalf("what was rewritten does not compile: %v", err)
		}
		var first trace
		for i, slice := range slicesOfFuel {
			got := runRandom(t, code, newHost(slice), m.Funcs)
			for j := range want.results {
				if got.results[j] != want.results[j] {
					t.Errorf("slice %d: %s gives %s, plain %s", slice, m.Funcs[j].Name, got.results[j], want.results[j])
				}
			}
			if !bytes.Equal(got.memory, want.memory) {
				t.Errorf("slice %d: memories differ", slice)
			}
			if i == 0 {
				first = got
			}
			for j := range got.fuel {
				if got.fuel[j] != first.fuel[j] {
					t.Errorf("slice %d: %s ends at %d fuel, slice %d at %d", slice, m.Funcs[j].Name, got.fuel[j], slicesOfFuel[0], first.fuel[j])
				}
			}
		}
		// A budget one below what was used must not suffice, and the point
		// where it ends must not depend on the slice either.
		total := first.fuel[len(first.fuel)-1]
		var ends []string
		for _, slice := range slicesOfFuel[1:] {
			h := newHost(slice)
			h.budget = total / 2
			got := runRandom(t, code, h, m.Funcs)
			ends = append(ends, fmt.Sprint(got.results, got.fuel))
			if ends[0] != ends[len(ends)-1] {
				t.Errorf("half the fuel in slices of %d ends with %s, in slices of %d with %s", slice, ends[len(ends)-1], slicesOfFuel[1], ends[0])
			}
		}
		code.Close(ctx)
	}
}

// randomModules is how many generated modules TestRandom runs.
const randomModules = 120

func TestRandom(t *testing.T) {
	for seed := range uint64(randomModules) {
		m := wasmgen.New(seed, wasmgen.Size(int(seed)))
		compareRandom(t, m)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzRandom(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed+1000, uint8(seed*30))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size uint8) {
		compareRandom(t, wasmgen.New(seed, int(size)*4))
	})
}
