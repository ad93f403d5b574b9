package metering_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/limits/metering"
)

// TestForged wants modules refused whose indices only fit once something has
// been injected, and whose other tricks reach for the meter.
func TestForged(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "hostile", "forged-*.wasm"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".wasm"), func(t *testing.T) {
			wasm := readTestdata(t, filepath.Join("hostile", filepath.Base(file)))
			var invalid *metering.InvalidError
			if _, err := metering.Rewrite(wasm, metering.Config{}); !errors.As(err, &invalid) {
				t.Errorf("rewritten with %v, want an InvalidError", err)
			}
			if _, err := sharedRuntime().CompileModule(context.Background(), wasm); err == nil {
				t.Error("the engine takes the original: the case tests nothing")
			}
		})
	}
}

func TestRefused(t *testing.T) {
	unsupported := func(feature string) func(error) bool {
		return func(err error) bool {
			var u *metering.UnsupportedError
			return errors.As(err, &u) && u.Feature == feature
		}
	}
	isTooLarge := func(err error) bool {
		var e *metering.TooLargeError
		return errors.As(err, &e)
	}
	isInvalid := func(err error) bool {
		var e *metering.InvalidError
		return errors.As(err, &e)
	}
	file := func(name string) []byte { return readTestdata(t, filepath.Join("hostile", name+".wasm")) }
	// A module with one function of no parameters and the given body.
	body := func(code ...byte) []byte {
		code = append(code, 0x0b)
		m := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x05\x03\x01\x00\x01\x0a")
		return append(append(m, byte(len(code)+3), 1, byte(len(code)+1), 0), code...)
	}
	header := func(rest string) []byte { return []byte("\x00asm\x01\x00\x00\x00" + rest) }
	for name, c := range map[string]struct {
		wasm []byte
		cfg  metering.Config
		want func(error) bool
	}{
		"nothing":    {nil, metering.Config{}, func(err error) bool { return errors.Is(err, metering.ErrNotWasm) }},
		"text":       {[]byte("(module)"), metering.Config{}, func(err error) bool { return errors.Is(err, metering.ErrNotWasm) }},
		"component":  {[]byte("\x00asm\x0d\x00\x01\x00"), metering.Config{}, func(err error) bool { return errors.Is(err, metering.ErrComponent) }},
		"version":    {[]byte("\x00asm\x02\x00\x00\x00"), metering.Config{}, isInvalid},
		"threads":    {file("threads"), metering.Config{}, unsupported("threads")},
		"atomics":    {file("atomics"), metering.Config{}, unsupported("threads")},
		"exceptions": {file("exceptions"), metering.Config{}, unsupported("exception-handling")},
		"memory64":   {file("memory64"), metering.Config{}, unsupported("memory64")},
		"meter": {file("import-meter"), metering.Config{}, func(err error) bool {
			var r *metering.ReservedImportError
			return errors.As(err, &r)
		}},
		"module size":   {file("threads"), metering.Config{MaxModuleBytes: 10}, isTooLarge},
		"function size": {body(bytes.Repeat([]byte{1}, 90)...), metering.Config{MaxFunctionBytes: 50}, isTooLarge},
		// Four billion locals in six bytes.
		"locals":     {header("\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x0b\x01\x09\x01\xff\xff\xff\xff\x0f\x7f\x01\x0b"), metering.Config{}, isTooLarge},
		"all locals": {readTestdata(t, "kernels/vm.O2.wasm"), metering.Config{MaxLocals: 3}, isTooLarge},
		// A vector of four billion imports in a section of six bytes.
		"count":     {header("\x02\x05\xff\xff\xff\xff\x0f"), metering.Config{}, isInvalid},
		"section":   {header("\x01\xff\xff\xff\xff\x0f"), metering.Config{}, isInvalid},
		"order":     {header("\x03\x01\x00\x01\x01\x00"), metering.Config{}, isInvalid},
		"table":     {header("\x04\x09\x01\x70\x00\xff\xff\xff\xff\x0f"), metering.Config{}, isInvalid},
		"big table": {header("\x04\x08\x01\x70\x00\xff\xff\xff\xff\x0f"), metering.Config{}, isTooLarge},
		// v128.const with its number in two bytes. A decoder that reads one
		// takes what follows for operators: here a loop that nothing meters.
		"long vector number": {body(0xfd, 0x8c, 0x00, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x01, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0x1a), metering.Config{}, isInvalid},
		"relaxed vectors":    {body(0xfd, 0x80, 0x02), metering.Config{}, unsupported("relaxed-simd")},
		// memory.size with its memory in two bytes.
		"long memory index": {body(0x3f, 0x80, 0x00, 0x1a), metering.Config{}, unsupported("multi-memory")},
		"unknown operator":  {body(0x27), metering.Config{}, isInvalid},
		"gc":                {body(0xfb, 0x00), metering.Config{}, unsupported("gc")},
		"unclosed":          {body(0x02, 0x40), metering.Config{}, isInvalid},
		"after the end":     {body(0x0b), metering.Config{}, isInvalid},
		"else":              {body(0x05), metering.Config{}, isInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := metering.Rewrite(c.wasm, c.cfg); !c.want(err) {
				t.Errorf("Rewrite gives %v", err)
			}
		})
	}
}

// TestExportsHideTheMeter looks for the injected parts in what is exported.
func TestExportsHideTheMeter(t *testing.T) {
	m, err := metering.Rewrite(readTestdata(t, "fuel/recursion.wasm"), metering.Config{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := metering.Inspect(m.Wasm[:8])
	if err != nil || len(info.Exports) != 0 {
		t.Fatalf("an empty module: %+v, %v", info, err)
	}
	if _, err := metering.Inspect(m.Wasm); err == nil {
		t.Error("what was rewritten may be rewritten again: it imports the meter")
	}
	if len(m.Info.Exports) != 0 {
		t.Errorf("exports %v", m.Info.Exports)
	}
}

// FuzzRewrite wants an error or a module, never a panic, and output that is
// not much larger than the input.
func FuzzRewrite(f *testing.F) {
	for _, pattern := range []string{"fuel/*.wasm", "hostile/*.wasm", "kernels/*.O2.wasm"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			f.Add(readTestdata(f, strings.TrimPrefix(file, "testdata"+string(filepath.Separator))))
		}
	}
	f.Add([]byte("\x00asm\x0d\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		info, ierr := metering.Inspect(wasm)
		if ierr == nil {
			info.FunctionNames()
		}
		m, err := metering.Rewrite(wasm, metering.Config{})
		if err != nil {
			return
		}
		if ierr != nil {
			t.Errorf("Inspect refuses with %v what Rewrite takes", ierr)
		}
		// A check is 27 bytes for a loop of three; gaps between data segments
		// may double those; what is added once is below 64 KiB with its data.
		if len(m.Wasm) > 16*len(wasm)+70<<10 {
			t.Errorf("%d bytes became %d", len(wasm), len(m.Wasm))
		}
		again, err := metering.Rewrite(wasm, metering.Config{})
		if err != nil || !bytes.Equal(again.Wasm, m.Wasm) {
			t.Errorf("a second time gives something else: %v", err)
		}
		// What the engine refuses, it must refuse afterwards too.
		ctx := context.Background()
		if len(wasm) > 1<<12 {
			return
		}
		plain, plainErr := sharedRuntime().CompileModule(ctx, wasm)
		if plainErr == nil {
			plain.Close(ctx)
		}
		metered, meteredErr := sharedRuntime().CompileModule(ctx, m.Wasm)
		if meteredErr == nil {
			metered.Close(ctx)
		}
		if (plainErr == nil) != (meteredErr == nil) {
			t.Errorf("the engine says %v to the original and %v to the result", plainErr, meteredErr)
		}
	})
}
