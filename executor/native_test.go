package executor

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"boxfleet/artifacts"
	"boxfleet/executor/meter"
	"boxfleet/limits/metering"
)

// newNativeStore gives a store in a directory of its own, and what closes it.
func newNativeStore(t *testing.T, dir string) *nativeStore {
	t.Helper()
	ctx := context.Background()
	code, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := newRuntime(ctx, meter.RuntimeConfig().WithCompilationCache(code))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = rt.Close(ctx), code.Close(ctx) })
	return &nativeStore{rt: rt, dir: dir}
}

func testProgram(t *testing.T) *program {
	t.Helper()
	raw, err := os.ReadFile("testdata/guests/act.wasm")
	if err != nil {
		t.Fatal(err)
	}
	p, err := rewritten(raw, metering.Config{Images: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestNativeStore takes native code away, or puts other in its place: no load
// takes what wazero made of a skeleton for the module.
func TestNativeStore(t *testing.T) {
	ctx := context.Background()
	p := testProgram(t)
	dir := t.TempDir()
	k, err := newNativeStore(t, dir).compile(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, k.Native)
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries in the store, want wazero's directory alone (%v)", len(entries), err)
	}
	if len(k.skeleton) >= len(p.wasm)/2 {
		t.Errorf("the skeleton of %d bytes has %d", len(p.wasm), len(k.skeleton))
	}
	compiled, err := newNativeStore(t, dir).load(ctx, k)
	if err != nil {
		t.Fatal(err)
	}
	_ = compiled.Close(ctx)

	// What wazero makes of the skeleton itself.
	bare := filepath.Join(t.TempDir(), "bare")
	name, err := compileInto(ctx, bare, k.skeleton)
	if err != nil || name != k.Native {
		t.Fatalf("wazero looks for %q, the code is in %q (%v)", name, k.Native, err)
	}
	stub, err := os.ReadFile(filepath.Join(bare, name))
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte { b := bytes.Clone(code); b[at] ^= 1; return b }
	for name, now := range map[string][]byte{
		"gone":                   nil,
		"empty":                  {},
		"cut short":              code[:len(code)/2],
		"one byte less":          code[:len(code)-1],
		"one byte more":          append(bytes.Clone(code), 0),
		"a bit in the head":      flip(40),
		"a bit in the code":      flip(len(code) / 2),
		"a bit in the tail":      flip(len(code) - 1),
		"the skeleton's":         stub,
		"the skeleton's, padded": append(bytes.Clone(stub), make([]byte, len(code)-len(stub))...),
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(path)
			if now != nil {
				if err := os.WriteFile(path, now, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := newNativeStore(t, dir)
			if compiled, err := s.load(ctx, k); err == nil {
				t.Errorf("loaded %v", compiled)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
			// Nothing of the attempt stays in the engine.
			if err := os.WriteFile(path, code, 0o600); err != nil {
				t.Fatal(err)
			}
			compiled, err := s.load(ctx, k)
			if err != nil {
				t.Fatal(err)
			}
			inst, err := s.rt.InstantiateModule(ctx, compiled, moduleConfig)
			if err == nil { // it asks for fuel, so its own code runs
				_, err = inst.ExportedFunction("_start").Call(ctx)
			}
			if err == nil || strings.Contains(err.Error(), "unreachable") || !strings.Contains(err.Error(), "without a meter") {
				t.Errorf("what runs is not the module: %v", err)
			}
		})
	}
	t.Run("vanishes while it is read", func(t *testing.T) {
		// wazero does not find the file under the name it looks for; what was
		// opened is there all the same.
		if err := os.WriteFile(path, code, 0o600); err != nil {
			t.Fatal(err)
		}
		s := newNativeStore(t, dir)
		s.opened = func() { _ = os.Remove(path) }
		if _, err := s.load(ctx, k); !errors.Is(err, errNoNative) {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what wazero made of the skeleton is still there: %v", err)
		}
	})
}

// TestForgedCode gives what workers share to a worker in every form but the
// right one.
func TestForgedCode(t *testing.T) {
	ctx := context.Background()
	source := newNativeStore(t, t.TempDir())
	k, err := source.compile(ctx, testProgram(t))
	if err != nil {
		t.Fatal(err)
	}
	d, other := artifacts.DigestBytes([]byte("module")), artifacts.DigestBytes([]byte("another"))
	share := &codeShare{key: bytes.Repeat([]byte("k"), 32), code: "this engine"}
	seal := func(s codeShare, d artifacts.Digest) []byte {
		b, err := s.entry(d, k, source)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := seal(*share, d)
	try := func(entry []byte) error {
		dir := t.TempDir()
		to := newNativeStore(t, dir)
		got, err := share.accept(d, bytes.NewReader(entry), int64(len(entry)), filepath.Join(dir, ".native"), to)
		if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); err != nil && len(left) > 0 {
			t.Errorf("%s is left of an entry that was refused", left[0])
		}
		if err == nil {
			compiled, err := to.load(ctx, got)
			if err != nil {
				return err
			}
			return compiled.Close(ctx)
		}
		return err
	}
	if err := try(good); err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte { b := bytes.Clone(good); b[at] ^= 1; return b }
	for name, entry := range map[string][]byte{
		"empty":                    {},
		"shorter than its code":    good[:31],
		"its code alone":           good[:32],
		"cut short":                good[:len(good)/2],
		"without its last byte":    good[:len(good)-1],
		"with a byte more":         append(bytes.Clone(good), 0),
		"a bit of its code":        flip(0),
		"a bit of its length":      flip(32),
		"a bit of the head":        flip(60),
		"a bit of the native code": flip(len(good) - 2000),
		"no code":                  append(make([]byte, 32), good[32:]...),
		"of another key":           seal(codeShare{key: bytes.Repeat([]byte("o"), 32), code: share.code}, d),
		"of another engine":        seal(codeShare{key: share.key, code: "that engine"}, d),
		"of another module":        seal(*share, other),
		// The parts that the code covers cannot be moved against each other.
		"of a longer engine's name": seal(codeShare{key: share.key, code: share.code + string(d[:1])}, d[1:]),
	} {
		if err := try(entry); !errors.Is(err, errForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What a worker with the key writes is still read with care.
	for name, body := range map[string]string{
		"no length":     "",
		"a long length": "\xff\xff\xff\xff\xff\xff\xff\xff",
		"no module":     "\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		h := share.mac(d)
		h.Write([]byte(body))
		if err := try(append(h.Sum(nil), body...)); err == nil || errors.Is(err, errForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, b := share.object(d), (&codeShare{key: share.key, code: "that engine"}).object(d); a == b || !strings.HasPrefix(a, CodePrefix) || !strings.HasSuffix(a, d.Hex()) {
		t.Errorf("names %s, %s", a, b)
	}
}

func TestEngineKey(t *testing.T) {
	a, err := engineKey(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b, err := engineKey(t.Context(), t.TempDir())
	if err != nil || a != b || !strings.HasPrefix(a, "wazero-") {
		t.Errorf("%q, then %q (%v)", a, b, err)
	}
	// A program built without module information does not know wazero's release.
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), "github.com/tetratelabs/wazero "+wazeroRelease+"\n") {
		t.Errorf("go.mod does not ask for wazero %s: let wazeroRelease follow", wazeroRelease)
	}
	if codeKey(metering.Config{}, a) == codeKey(metering.Config{Images: true}, a) || codeKey(metering.Config{}, a) == codeKey(metering.Config{}, a+"x") {
		t.Error("different configurations have one key")
	}
}

// FuzzKept reads what may lie in the cache: garbage is refused, and what is
// accepted has an image that fits its memory.
func FuzzKept(f *testing.F) {
	k := &kept{skeleton: []byte("skeleton"), image: []metering.Run{{Offset: 8, Data: []byte("abc")}, {Offset: 20, Data: []byte("d")}}}
	k.Start, k.Native, k.Memories = "_start", "wazero/abc", []metering.Memory{{Limits: metering.Limits{Min: 1}}}
	good, err := k.encode()
	if err != nil {
		f.Fatal(err)
	}
	again, err := decodeKept(good)
	if err != nil || !bytes.Equal(again.skeleton, k.skeleton) || len(again.image) != 2 || string(again.image[1].Data) != "d" || again.Native != k.Native {
		f.Fatalf("%+v %v", again, err)
	}
	f.Add(good[9:])
	outside := *k
	outside.Native = "../../etc/passwd"
	far := *k
	far.image = []metering.Run{{Offset: 65535, Data: []byte("ab")}}
	twice := *k
	twice.image = []metering.Run{{Offset: 8, Data: []byte("abc")}, {Offset: 10, Data: []byte("d")}}
	for _, bad := range []kept{outside, far, twice} {
		data, err := bad.encode()
		if err != nil {
			f.Fatal(err)
		}
		if _, err := decodeKept(data); err == nil {
			f.Errorf("accepted %s", data)
		}
		f.Add(data[9:])
	}
	for i := range good {
		cut := good[:i]
		if _, err := decodeKept(cut); err == nil {
			f.Errorf("accepted the first %d bytes", i)
		}
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		k, err := decodeKept(checked(rest))
		if err != nil {
			return
		}
		for _, r := range k.image {
			if r.End() > uint64(k.Memories[0].Min)<<16 {
				t.Errorf("a run ends at %d", r.End())
			}
		}
	})
}
