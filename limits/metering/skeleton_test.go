package metering_test

import (
	"bytes"
	"context"
	"testing"

	"boxfleet/limits/metering"
)

func TestSkeleton(t *testing.T) {
	ctx := context.Background()
	wasm := readTestdata(t, "kernels/vm.O2.wasm")
	m, code := rewrite(t, wasm, metering.Config{})
	skeleton, err := metering.Skeleton(m.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	if len(skeleton) > len(m.Wasm)/2 {
		t.Errorf("the skeleton of %d bytes has %d", len(m.Wasm), len(skeleton))
	}
	bare, err := sharedRuntime().CompileModule(ctx, skeleton)
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close(ctx)
	// All that an engine looks at when it makes an instance is the same.
	if got, want := len(bare.ExportedFunctions()), len(code.ExportedFunctions()); got != want {
		t.Errorf("%d exports, want %d", got, want)
	}
	if got, want := len(bare.ImportedFunctions()), len(code.ImportedFunctions()); got != want {
		t.Errorf("%d imports, want %d", got, want)
	}
	inst, err := sharedRuntime().InstantiateModule(ctx, bare, anonymous())
	if err != nil {
		t.Fatal(err)
	}
	defer inst.Close(ctx)
	if _, err := inst.ExportedFunction("run").Call(ctx, 1); err == nil {
		t.Error("a skeleton runs")
	}

	// One operator in the code changes, and the skeleton with it.
	changed := bytes.Clone(m.Wasm)
	at := bytes.LastIndexByte(changed, 0x6a) // i32.add
	changed[at] = 0x6b                       // i32.sub
	other, err := metering.Skeleton(changed)
	if err != nil {
		t.Fatal(err)
	}
	if len(other) != len(skeleton) || bytes.Equal(other, skeleton) {
		t.Error("modules with different code have one skeleton")
	}

	for name, bad := range map[string][]byte{
		"empty":         nil,
		"no wasm":       []byte("hello world"),
		"a component":   []byte("\x00asm\x0d\x00\x01\x00"),
		"cut off":       m.Wasm[:len(m.Wasm)-len(m.Wasm)/4],
		"many bodies":   []byte("\x00asm\x01\x00\x00\x00\x0a\x05\xff\xff\xff\xff\x0f"),
		"long section":  []byte("\x00asm\x01\x00\x00\x00\x0a\xff\xff\xff\xff\x0f"),
		"without count": []byte("\x00asm\x01\x00\x00\x00\x0a\x00"),
	} {
		if _, err := metering.Skeleton(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
