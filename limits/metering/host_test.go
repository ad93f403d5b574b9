package metering_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"boxfleet/limits/metering"
)

// host is the other side of a rewritten module, as small as it can be. Package
// executor/meter is the real one; having two keeps the protocol honest.
type host struct {
	budget uint64
	slice  int64
	stack  int64 // bytes; 0 is without bound

	mods    []experimental.InternalModule
	granted []uint64
	given   []bool
	base    []int64 // stack globals when the current call began
	polls   int
	tables  uint64 // elements granted
}

var (
	errFuel  = errors.New("test host: out of fuel")
	errStack = errors.New("test host: stack overflow")
)

func newHost(slice int64) *host { return &host{budget: math.MaxUint64, slice: slice} }

func (h *host) index(mod experimental.InternalModule) int {
	for i, m := range h.mods {
		if m == mod {
			return i
		}
	}
	h.mods, h.granted = append(h.mods, mod), append(h.granted, 0)
	h.given, h.base = append(h.given, false), append(h.base, 0)
	return len(h.mods) - 1
}

func left(mod experimental.InternalModule) int64 {
	return int64(mod.Global(mod.NumGlobal() - 1).Get())
}

// attach tells the host of a module before it asks for fuel.
func (h *host) attach(mod api.Module) api.Module {
	h.index(mod.(experimental.InternalModule))
	return mod
}

// consumed is the fuel used so far by all modules.
func (h *host) consumed() uint64 {
	var n uint64
	for i, m := range h.mods {
		n += h.granted[i] - uint64(left(m))
	}
	return n
}

type hostKey struct{}

// context is for one call from outside, which has the whole stack.
func (h *host) context() context.Context {
	for i, m := range h.mods {
		h.given[i], h.base[i] = false, int64(m.Global(m.NumGlobal()-2).Get())
	}
	return context.WithValue(context.Background(), hostKey{}, h)
}

func (h *host) call(mod experimental.InternalModule, op uint32, value int64) int64 {
	i := h.index(mod)
	switch op {
	case metering.OpRefill:
		own := h.granted[i] - uint64(value)
		total := own
		for j, m := range h.mods {
			if j != i {
				total += h.granted[j] - uint64(left(m))
			}
		}
		if total > h.budget {
			panic(errFuel)
		}
		grant := min(h.slice, int64(min(h.budget-total, math.MaxInt64)))
		h.granted[i] = own + uint64(grant)
		return grant
	case metering.OpStack:
		if h.stack == 0 {
			return math.MaxInt64 / 2 // more than any run comes down
		}
		if !h.given[i] {
			h.given[i] = true
			if value += h.stack - h.base[i]; value >= 0 {
				return value
			}
		}
		panic(errStack)
	case metering.OpTableGrow:
		h.tables += uint64(value)
		return 1
	case metering.OpPoll:
		h.polls++
		return 0
	}
	panic("unknown operation of the meter")
}

// newRuntime gives a runtime with the meter's host module.
func newRuntime(t testing.TB, config wazero.RuntimeConfig) wazero.Runtime {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(features).WithDebugInfoEnabled(false))
	t.Cleanup(func() { rt.Close(ctx) })
	_, err := rt.NewHostModuleBuilder(metering.HostModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, s []uint64) {
			h := ctx.Value(hostKey{}).(*host)
			s[0] = uint64(h.call(mod.(experimental.InternalModule), uint32(s[0]), int64(s[1])))
		}), []api.ValueType{api.ValueTypeI32, api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).
		Export(metering.HostFunction).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst

// sharedRuntime compiles and runs what the tests of this package share.
var sharedRuntime = sync.OnceValue(func() wazero.Runtime {
	return newRuntime(neverCleaned{}, wazero.NewRuntimeConfigCompiler())
})

// neverCleaned keeps the shared runtime until the test binary ends.
type neverCleaned struct{ testing.TB }

func (neverCleaned) Helper()        {}
func (neverCleaned) Cleanup(func()) {}
func (neverCleaned) Fatal(a ...any) { panic(a) }

// anonymous gives a configuration with which a module is instantiated any
// number of times and runs nothing but its start function.
func anonymous() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions()
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rewrite rewrites and compiles a module on the shared runtime.
func rewrite(t testing.TB, wasm []byte, cfg metering.Config) (*metering.Module, wazero.CompiledModule) {
	t.Helper()
	m, err := metering.Rewrite(wasm, cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := sharedRuntime().CompileModule(context.Background(), m.Wasm)
	if err != nil {
		t.Fatalf("what was rewritten does not compile: %v", err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return m, c
}
