package metering_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"boxfleet/limits/metering"
)

// looks are the amounts of fuel that host functions of module "test" saw.
type looks struct{ seen []uint64 }

type looksKey struct{}

var lookModule = sync.OnceValue(func() error {
	_, err := sharedRuntime().NewHostModuleBuilder("test").NewFunctionBuilder().WithFunc(func(ctx context.Context) {
		l := ctx.Value(looksKey{}).(*looks)
		l.seen = append(l.seen, ctx.Value(hostKey{}).(*host).consumed())
	}).Export("look").Instantiate(context.Background())
	return err
})

// TestBulk compares long fills and copies, which run in pieces, with what
// slices of Go do, at the edges of pieces and of memory.
func TestBulk(t *testing.T) {
	if err := lookModule(); err != nil {
		t.Fatal(err)
	}
	_, code := rewrite(t, readTestdata(t, "bulk.wasm"), metering.Config{})
	h := newHost(1 << 20)
	mod, err := sharedRuntime().InstantiateModule(h.context(), code, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(h.context())
	h.attach(mod)
	const piece = 1 << 20
	mem, _ := mod.Memory().Read(0, mod.Memory().Size())
	for i := range mem {
		mem[i] = byte(i*7 ^ i>>9 ^ i>>17)
	}
	want := slices.Clone(mem)
	end := len(mem)
	for _, c := range []struct {
		op      string
		d, s, n int
	}{
		{"fill", 3, 200, piece}, {"fill", 9, 201, piece + 1}, {"fill", 77, 202, 3 * piece}, {"fill", 1, 203, end - 1},
		{"fill", 2, 204, end - 1}, {"fill", end, 205, 0}, {"fill", end + 1, 206, 0}, {"fill", -1, 207, 2 * piece}, {"fill", 5, 208, -1},
		{"fill", 100, 209, 4096}, {"fill", 100, 210, 4097},
		{"copy", 0, 1, 3*piece + 5}, {"copy", 1, 0, 3*piece + 5}, {"copy", 500, 100, 2 * piece}, {"copy", 100, 500, 2 * piece},
		{"copy", 0, 2 * piece, 2 * piece}, {"copy", 2*piece + 1, 1, 2*piece + 3}, {"copy", 7, 7, 3 * piece},
		{"copy", 0, end - piece, piece + 1}, {"copy", end - 2*piece, 0, 2*piece + 1}, {"copy", -5, 0, 2 * piece},
		{"copy", 0, end - 2*piece, 2 * piece}, {"copy", end - 3*piece, 0, 3 * piece}, {"copy", 40, 0, 4097},
	} {
		// Every operator starts from a different memory than it leaves.
		for i := 0; i < end; i += 997 {
			mem[i] ^= byte(i)
			want[i] ^= byte(i)
		}
		polls := h.polls
		_, err := mod.ExportedFunction(c.op).Call(h.context(), uint64(uint32(c.d)), uint64(uint32(c.s)), uint64(uint32(c.n)))
		inside := c.d >= 0 && c.n >= 0 && c.d+c.n <= end && (c.op == "fill" || c.s+c.n <= end)
		if (err == nil) != inside {
			t.Fatalf("%+v: %v", c, err)
		}
		if inside && c.op == "fill" {
			copy(want[c.d:], bytes.Repeat([]byte{byte(c.s)}, c.n))
		} else if inside {
			copy(want[c.d:c.d+c.n], want[c.s:c.s+c.n])
		}
		if !bytes.Equal(mem, want) {
			t.Fatalf("%+v: memories differ", c)
		}
		if inside && h.polls-polls < c.n/piece-1 {
			t.Errorf("%+v: %d polls", c, h.polls-polls)
		}
	}
}

// TestFuelAtHostCalls wants the exact amount at every call of a host function,
// where a guest may exit.
func TestFuelAtHostCalls(t *testing.T) {
	if err := lookModule(); err != nil {
		t.Fatal(err)
	}
	_, code := rewrite(t, readTestdata(t, "bulk.wasm"), metering.Config{})
	want := []uint64{2, 2 + 7, 9 + 4, 13 + 5, 18 + 3 + 5}
	for _, slice := range slicesOfFuel {
		h := newHost(slice)
		l := &looks{}
		mod, err := sharedRuntime().InstantiateModule(h.context(), code, anonymous())
		if err != nil {
			t.Fatal(err)
		}
		h.attach(mod)
		if _, err := mod.ExportedFunction("looks").Call(context.WithValue(h.context(), looksKey{}, l)); err != nil {
			t.Fatal(err)
		}
		mod.Close(h.context())
		if fmt.Sprint(l.seen) != fmt.Sprint(want) {
			t.Errorf("slices of %d: fuel %v, want %v", slice, l.seen, want)
		}
	}
}
