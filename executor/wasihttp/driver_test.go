package wasihttp

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"go.uber.org/goleak"
)

// The driver is a guest that does what the test says: a module that imports every function of this package and exports
// a wrapper for each, so that tests can play guests, also impossible ones, in Go. Its memory has two halves: the first
// page is the test's scratch, cabi_realloc hands out the rest.

const driverVersion = "@0.2.3"

const (
	scratchStart = 1024
	heapStart    = 64 << 10
	driverPages  = 64
	retArea      = 64 // where results go, aligned to 8
)

// reallocs are bodies for cabi_realloc, in wasm.
var reallocs = map[string][]byte{
	// ptr = (bump + align - 1) & -align; bump = ptr + size; return ptr
	"honest": {
		0x23, 0, 0x20, 2, 0x6a, 0x41, 1, 0x6b, 0x41, 0, 0x20, 2, 0x6b, 0x71, 0x24, 0,
		0x23, 0, 0x23, 0, 0x20, 3, 0x6a, 0x24, 0,
	},
	"outside":    append([]byte{0x41}, sleb(-16)...),
	"misaligned": append([]byte{0x41}, sleb(heapStart+1)...),
	"traps":      {0x00},
	"zero":       {0x41, 0},
	"reenters":   {0x10, 0, 0x1a, 0x41, 0},                               // calls import 0, drops its result
	"recurses":   {0x20, 0, 0x20, 1, 0x20, 2, 0x20, 3, 0x10, 0xff, 0x7f}, // patched to call itself
}

func uleb(n uint64) (b []byte) { return binary.AppendUvarint(nil, n) }

func sleb(n int64) (b []byte) {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func vec(items ...[]byte) []byte { return append(uleb(uint64(len(items))), slices.Concat(items...)...) }

func name(s string) []byte { return append(uleb(uint64(len(s))), s...) }

func section(id byte, body []byte) []byte {
	return append(append([]byte{id}, uleb(uint64(len(body)))...), body...)
}

// driverImports lists interface#function in a fixed order; [constructor]fields comes first, as reallocs say.
func driverImports() (names []string) {
	for iface, functions := range interfaces {
		for _, f := range functions {
			names = append(names, iface+"#"+f.name)
		}
	}
	slices.Sort(names)
	const first = "wasi:http/types#[constructor]fields"
	i := slices.Index(names, first)
	return append([]string{first}, slices.Delete(names, i, i+1)...)
}

func driverFunction(full string) *function {
	iface, fn, _ := strings.Cut(full, "#")
	for _, f := range interfaces[iface] {
		if f.name == fn {
			return f
		}
	}
	panic("no function " + full)
}

func buildDriver(realloc []byte) []byte {
	var types, imports, funcs, exports, code [][]byte
	names := driverImports()
	for i, full := range names {
		f := driverFunction(full)
		iface, fn, _ := strings.Cut(full, "#")
		types = append(types, slices.Concat([]byte{0x60}, name(string(f.params)), name(string(f.results))))
		imports = append(imports, slices.Concat(name(iface+driverVersion), name(fn), []byte{0}, uleb(uint64(i))))
		funcs = append(funcs, uleb(uint64(i)))
		exports = append(exports, slices.Concat(name(full), []byte{0}, uleb(uint64(len(names)+i))))
		var body []byte
		for p := range f.params {
			body = append(body, 0x20, byte(p))
		}
		body = slices.Concat([]byte{0}, body, []byte{0x10}, uleb(uint64(i)), []byte{0x0b})
		code = append(code, append(uleb(uint64(len(body))), body...))
	}
	self := uint64(2 * len(names))
	types = append(types, []byte{0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f})
	funcs = append(funcs, uleb(uint64(len(names))))
	realloc = slices.Clone(realloc)
	if i := strings.Index(string(realloc), "\x10\xff\x7f"); i >= 0 {
		realloc = append(realloc[:i+1], uleb(self)...)
	}
	body := slices.Concat([]byte{0}, realloc, []byte{0x0b})
	code = append(code, append(uleb(uint64(len(body))), body...))
	exports = append(exports,
		slices.Concat(name("cabi_realloc"), []byte{0}, uleb(self)),
		slices.Concat(name("memory"), []byte{2, 0}),
		slices.Concat(name("bump"), []byte{3, 0}))
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, vec(types...)), section(2, vec(imports...)), section(3, vec(funcs...)),
		section(5, vec(slices.Concat([]byte{1}, uleb(driverPages), uleb(driverPages)))),
		section(6, vec(slices.Concat([]byte{0x7f, 1, 0x41}, sleb(heapStart), []byte{0x0b}))),
		section(7, vec(exports...)), section(10, vec(code...)))
}

// One runtime for the whole test binary, as compiling is what costs.
var shared struct {
	sync.Mutex
	cacheDir string
	rt       wazero.Runtime
	drivers  map[string]wazero.CompiledModule
}

func TestMain(m *testing.M) {
	ctx := context.Background()
	cache, err := openCache()
	if err != nil {
		fmt.Fprintln(os.Stderr, "open the cache of compiled modules:", err)
		os.Exit(1)
	}
	shared.rt = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCompilationCache(cache))
	shared.drivers = map[string]wazero.CompiledModule{}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		shared.rt.Close(ctx)
		cache.Close(ctx)
		os.Exit(code)
	}))
}

// openCache keeps compiled guests between test runs, in the user's own cache directory.
func openCache() (wazero.CompilationCache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	shared.cacheDir = filepath.Join(dir, "boxfleet", "wasihttp-test")
	if err := os.MkdirAll(shared.cacheDir, 0o700); err != nil {
		return nil, err
	}
	return wazero.NewCompilationCacheWithDir(shared.cacheDir)
}

func driver(t testing.TB, realloc string) wazero.CompiledModule {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if c := shared.drivers[realloc]; c != nil {
		return c
	}
	ctx := context.Background()
	var modules []string
	for iface := range interfaces {
		modules = append(modules, iface+driverVersion)
	}
	if err := Register(ctx, shared.rt, modules); err != nil {
		t.Fatal(err)
	}
	compiled, err := shared.rt.CompileModule(ctx, buildDriver(reallocs[realloc]))
	if err != nil {
		t.Fatal(err)
	}
	shared.drivers[realloc] = compiled
	return compiled
}

// guest is one instance of the driver with its Host.
type guest struct {
	t       testing.TB
	h       *Host
	ctx     context.Context
	mod     api.Module
	scratch uint32

	functions map[string]api.Function
}

func newGuest(t testing.TB, cfg Config) *guest { return newGuestWith(t, cfg, "honest") }

func newGuestWith(t testing.TB, cfg Config, realloc string) *guest {
	t.Helper()
	g := &guest{t: t, h: New(cfg), scratch: scratchStart, functions: map[string]api.Function{}}
	g.ctx = g.h.Context(context.Background())
	var err error
	if g.mod, err = shared.rt.InstantiateModule(g.ctx, driver(t, realloc), wazero.NewModuleConfig().WithName("")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.close)
	return g
}

func (g *guest) close() {
	g.mod.Close(g.ctx)
	g.h.Close()
}

// call runs one import. The name may leave wasi:http/types# out.
func (g *guest) call(fn string, args ...uint64) (uint64, error) {
	if !strings.Contains(fn, "#") {
		fn = "wasi:http/types#" + fn
	}
	f := g.functions[fn]
	if f == nil {
		f = g.mod.ExportedFunction(fn) // makes a stack for calls, so it is kept
		g.functions[fn] = f
	}
	res, err := f.Call(g.ctx, args...)
	if err != nil || len(res) == 0 {
		return 0, err
	}
	if f.Definition().ResultTypes()[0] == i32 {
		return uint64(uint32(res[0])), nil // the upper half is anything
	}
	return res[0], nil
}

func (g *guest) must(fn string, args ...uint64) uint64 {
	g.t.Helper()
	res, err := g.call(fn, args...)
	if err != nil {
		g.t.Fatalf("%s: %v", fn, err)
	}
	return res
}

// text puts a string into the scratch page and gives pointer and length.
func (g *guest) text(s string) (ptr, n uint64) {
	at := g.scratch
	if !g.mod.Memory().Write(at, []byte(s)) || int(at)+len(s) > heapStart {
		g.t.Fatal("scratch is full")
	}
	g.scratch += uint32(len(s)+7) &^ 7
	return uint64(at), uint64(len(s))
}

func (g *guest) u8(at uint32) byte    { b, _ := g.mod.Memory().ReadByte(at); return b }
func (g *guest) u32(at uint32) uint32 { v, _ := g.mod.Memory().ReadUint32Le(at); return v }
func (g *guest) u64(at uint32) uint64 { v, _ := g.mod.Memory().ReadUint64Le(at); return v }
func (g *guest) str(at uint32) string {
	b, ok := g.mod.Memory().Read(g.u32(at), g.u32(at+4))
	if !ok {
		g.t.Fatalf("string at %d is outside", at)
	}
	return string(b)
}

// freeHeap makes cabi_realloc start over, as this guest never frees.
func (g *guest) freeHeap() { g.mod.ExportedGlobal("bump").(api.MutableGlobal).Set(heapStart) }

func (g *guest) fields(pairs ...string) uint64 {
	f := g.must("[constructor]fields")
	for i := 0; i < len(pairs); i += 2 {
		np, nl := g.text(pairs[i])
		vp, vl := g.text(pairs[i+1])
		g.must("[method]fields.append", f, np, nl, vp, vl, retArea)
		if g.u8(retArea) != 0 {
			g.t.Fatalf("field %q: header-error %d", pairs[i], g.u8(retArea+1))
		}
	}
	return f
}

// request makes an outgoing-request for a URL of this test's server.
func (g *guest) request(method uint64, url string, header ...string) uint64 {
	r := g.must("[constructor]outgoing-request", g.fields(header...))
	scheme, rest, _ := strings.Cut(url, "://")
	authority, path, _ := strings.Cut(rest, "/")
	disc := uint64(0)
	if scheme == "https" {
		disc = 1
	}
	ap, al := g.text(authority)
	pp, pl := g.text("/" + path)
	for _, failed := range []uint64{
		g.must("[method]outgoing-request.set-method", r, method, 0, 0),
		g.must("[method]outgoing-request.set-scheme", r, 1, disc, 0, 0),
		g.must("[method]outgoing-request.set-authority", r, 1, ap, al),
		g.must("[method]outgoing-request.set-path-with-query", r, 1, pp, pl),
	} {
		if failed != 0 {
			g.t.Fatalf("%s is refused", url)
		}
	}
	return r
}

// handle sends; code is -1 if a future came back, else the error-code.
func (g *guest) handle(request uint64) (future uint64, code int) {
	g.must("wasi:http/outgoing-handler#handle", request, 0, 0, retArea)
	if g.u8(retArea) == 1 {
		return 0, int(g.u8(retArea + 8))
	}
	return uint64(g.u32(retArea + 8)), -1
}

// await gives the response of a future, or its error-code.
func (g *guest) await(future uint64) (response uint64, code int) {
	p := g.must("[method]future-incoming-response.subscribe", future)
	g.must("wasi:io/poll#[method]pollable.block", p)
	g.must("wasi:io/poll#[resource-drop]pollable", p)
	g.must("[method]future-incoming-response.get", future, retArea)
	if g.u8(retArea) != 1 || g.u8(retArea+8) != 0 {
		g.t.Fatalf("future is not ready: %d %d", g.u8(retArea), g.u8(retArea+8))
	}
	if g.u8(retArea+16) == 1 {
		return 0, int(g.u8(retArea + 24))
	}
	return uint64(g.u32(retArea + 24)), -1
}

func (g *guest) get(url string) (response uint64, code int) {
	future, code := g.handle(g.request(0, url))
	if code >= 0 {
		return 0, code
	}
	response, code = g.await(future)
	g.must("[resource-drop]future-incoming-response", future)
	return response, code
}

// result reads result<own<T>> without error payload from the return area.
func (g *guest) own(fn string, self uint64) uint64 {
	g.must(fn, self, retArea)
	if g.u8(retArea) != 0 {
		g.t.Fatalf("%s fails", fn)
	}
	return uint64(g.u32(retArea + 4))
}

// body reads a response to its end; code is -1 at a proper one.
func (g *guest) body(response uint64) (text string, code int) {
	body := g.own("[method]incoming-response.consume", response)
	stream := g.own("[method]incoming-body.stream", body)
	var sb strings.Builder
	code = -1
	for {
		g.freeHeap()
		g.must("wasi:io/streams#[method]input-stream.blocking-read", stream, 16<<10, retArea)
		if g.u8(retArea) == 0 {
			sb.WriteString(g.str(retArea + 4))
			continue
		}
		if g.u8(retArea+4) == 0 { // last-operation-failed
			e := uint64(g.u32(retArea + 8))
			g.must("http-error-code", e, retArea)
			code = int(g.u8(retArea + 8))
			g.must("wasi:io/error#[resource-drop]error", e)
		}
		break
	}
	g.must("wasi:io/streams#[resource-drop]input-stream", stream)
	g.must("[resource-drop]incoming-body", body)
	return sb.String(), code
}

func (g *guest) entries(fields uint64) string {
	g.must("[method]fields.entries", fields, retArea)
	list, n := g.u32(retArea), g.u32(retArea+4)
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("%s: %s", g.str(list+16*i), g.str(list+16*i+8)))
	}
	return strings.Join(lines, "\n")
}
