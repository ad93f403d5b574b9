package metering_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/limits/metering"
)

// TestFuel holds small modules to the fuel in the first line of their text.
// The first 21 amounts are those of Wasmtime 42's own table; all of them were
// counted by it.
func TestFuel(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "fuel", "*.wat"))
	if err != nil || len(files) < 21 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".wat")
		t.Run(name, func(t *testing.T) {
			head, _, _ := strings.Cut(string(readTestdata(t, "fuel/"+name+".wat")), "\n")
			var want uint64
			if _, err := fmt.Sscanf(head, ";; fuel %d", &want); err != nil {
				t.Fatalf("first line %q: %v", head, err)
			}
			wasm := readTestdata(t, "fuel/"+name+".wasm")
			for _, cfg := range []metering.Config{{}, {PreciseTraps: true}} {
				_, code := rewrite(t, wasm, cfg)
				for _, slice := range slicesOfFuel {
					h := newHost(slice)
					h.stack = 1 << 20
					mod, err := sharedRuntime().InstantiateModule(h.context(), code, anonymous())
					if (err != nil) != strings.HasSuffix(head, "trap") {
						t.Fatalf("instantiate: %v", err)
					}
					if err == nil {
						h.attach(mod)
						mod.Close(h.context())
					}
					if got := h.consumed(); got != want {
						t.Errorf("%+v, slices of %d: %d fuel, want %d", cfg, slice, got, want)
					}
					// Exactly as much is enough; one less is not, whether a
					// check sees it or only the sum at the end.
					for _, budget := range []uint64{want, want - 1} {
						h := newHost(slice)
						h.budget = budget
						_, err := sharedRuntime().InstantiateModule(h.context(), code, anonymous())
						if ran := err == nil || !strings.Contains(err.Error(), errFuel.Error()); want > 0 {
							if enough := ran && h.consumed() <= budget; enough != (budget == want) {
								t.Errorf("slices of %d: budget %d of %d: enough %t (%d used, %v)", slice, budget, want, enough, h.consumed(), err)
							}
						}
					}
				}
			}
		})
	}
}
