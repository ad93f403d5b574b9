// Command tools counts the fuel of toolbox tools with package metering, on a
// WASI so small that a run is the same on every machine: tools DIST CASES.
// tools.py does the same with Wasmtime, and tools.sh compares the two. Each
// line of the output is
//
//	tool sha256-of-module exit-code sha256-of-stdout fuel
//
// both digests shortened to 16 digits.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"boxfleet/limits/metering"
)

// slice is what one refill grants. It is no round number, so that refills fall
// anywhere in the guest; the count does not depend on it.
const slice = 100_003

// A testCase is one run of one tool.
type testCase struct {
	Tool  string   `json:"tool"`
	Args  []string `json:"args"`
	Stdin string   `json:"stdin"`
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: tools DIST CASES")
		return 2
	}
	text, err := os.ReadFile(args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "tools:", err)
		return 1
	}
	var cases []testCase
	if err := json.Unmarshal(text, &cases); err != nil {
		fmt.Fprintf(os.Stderr, "tools: %s: %v\n", args[1], err)
		return 1
	}
	for _, c := range cases {
		line, err := count(args[0], c)
		if err != nil {
			fmt.Fprintf(os.Stderr, "tools: %s: %v\n", c.Tool, err)
			return 1
		}
		fmt.Println(line)
	}
	return 0
}

// count runs one case and gives its line.
func count(dist string, c testCase) (string, error) {
	wasm, err := os.ReadFile(filepath.Join(dist, c.Tool+".wasm"))
	if err != nil {
		return "", err
	}
	rewritten, err := metering.Rewrite(wasm, metering.Config{})
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithDebugInfoEnabled(false))
	defer rt.Close(ctx)
	code, err := rt.CompileModule(ctx, rewritten.Wasm)
	if err != nil {
		return "", err
	}
	f := &fuel{}
	w := &wasi{args: append([]string{c.Tool}, c.Args...), stdin: []byte(c.Stdin)}
	if err := f.register(ctx, rt); err != nil {
		return "", err
	}
	if err := w.register(ctx, rt, code); err != nil {
		return "", err
	}
	mod, err := rt.InstantiateModule(ctx, code, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		return "", err
	}
	var exit *sys.ExitError
	if _, err := mod.ExportedFunction("_start").Call(ctx); err != nil && !errors.As(err, &exit) {
		return "", err
	}
	status := uint32(0)
	if exit != nil {
		status = exit.ExitCode()
	}
	return fmt.Sprintf("%s %s %d %s %d", c.Tool, digest(wasm), status, digest(w.stdout), f.consumed(mod)), nil
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b))[:16] }

// fuel is the host of one metered instance, with a budget that never ends.
type fuel struct{ granted uint64 }

// consumed is what was granted less the rest, which the last global holds.
func (f *fuel) consumed(mod api.Module) uint64 {
	m := mod.(experimental.InternalModule)
	return f.granted - m.Global(m.NumGlobal()-1).Get()
}

func (f *fuel) register(ctx context.Context, rt wazero.Runtime) error {
	answer := func(_ context.Context, stack []uint64) {
		switch uint32(stack[0]) {
		case metering.OpRefill:
			f.granted += slice - stack[1] // what is left, or owed, is part of the new slice
			stack[0] = slice
		case metering.OpStack:
			stack[0] = 1 << 40
		default:
			stack[0] = 1
		}
	}
	_, err := rt.NewHostModuleBuilder(metering.HostModule).NewFunctionBuilder().
		WithGoFunction(api.GoFunc(answer), []api.ValueType{api.ValueTypeI32, api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).
		Export(metering.HostFunction).Instantiate(ctx)
	return err
}
