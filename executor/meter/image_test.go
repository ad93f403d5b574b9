package meter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"boxfleet/limits/metering"
)

// A dataModule is a module with data segments, written byte by byte. Its
// function "init" copies the first four bytes of segment 0 to address 0 and
// drops the segment; it is there only if names says so.
type dataModule struct {
	pages    int
	names    bool
	segments []dataSegment
}

type dataSegment struct {
	kind byte // see below
	at   uint32
	data []byte
}

const (
	constant = iota // at an address that is written down
	sum             // at an address that is computed
	passive
)

func uleb(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)) }

func sleb32(b []byte, v uint32) []byte {
	n := int64(int32(v))
	for range 4 {
		b = append(b, byte(n&0x7f)|0x80)
		n >>= 7
	}
	return append(b, byte(n&0x7f))
}

func (m dataModule) wasm() []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, content []byte) { b = append(uleb(append(b, id), len(content)), content...) }
	if m.names {
		section(1, []byte{1, 0x60, 0, 0})
		section(3, []byte{1, 0})
	}
	section(5, uleb(uleb([]byte{1, 1}, m.pages), m.pages+2))
	exports := "\x06memory\x02\x00"
	if m.names {
		section(7, append([]byte{2}, exports+"\x04init\x00\x00"...))
		section(12, uleb(nil, len(m.segments)))
		section(10, []byte{1, 16, 0, 0x41, 0, 0x41, 0, 0x41, 4, 0xfc, 8, 0, 0, 0xfc, 9, 0, 0x01, 0x0b})
	} else {
		section(7, append([]byte{1}, exports...))
	}
	s := uleb(nil, len(m.segments))
	for _, d := range m.segments {
		switch d.kind {
		case constant:
			s = append(sleb32(append(s, 0, 0x41), d.at), 0x0b)
		case sum:
			s = append(sleb32(append(s, 0, 0x41), d.at-1), 0x41, 1, 0x6a, 0x0b)
		case passive:
			s = append(s, 1)
		}
		s = append(uleb(s, len(d.data)), d.data...)
	}
	section(11, s)
	return b
}

// instance runs a module's first moments and gives the whole memory, also
// after init, and what went wrong.
func firstMoments(t testing.TB, w *world, m *metering.Module, code wazero.CompiledModule, image *Image, scribble bool) (first, then []byte, failed [2]bool) {
	t.Helper()
	meter := New(w.epoch, plenty())
	defer meter.Close()
	meter.Preload(image)
	mod, err := meter.Instantiate(background, w.rt, code, anonymous())
	if err != nil {
		return nil, nil, [2]bool{true, true}
	}
	defer mod.Close(background)
	whole := func() []byte {
		b, _ := mod.Memory().Read(0, mod.Memory().Size())
		return b
	}
	first = bytes.Clone(whole())
	if init := mod.ExportedFunction("init"); init != nil {
		_, err := init.Call(meter.Context(background))
		failed[1] = err != nil
	}
	then = bytes.Clone(whole())
	if _, ok := mod.Memory().Grow(1); ok {
		all := whole()
		for _, c := range all[len(then):] {
			if c != 0 {
				t.Fatal("a page that grew holds something")
			}
		}
	}
	if scribble {
		for i := range whole() {
			whole()[i] = 0xa5
		}
	}
	return first, then, failed
}

// sameWithImage compares a module with its image, mapped, copied and mapped
// again after use, against the module as it is. It tells whether there is one.
func sameWithImage(t testing.TB, w *world, wasm []byte) bool {
	t.Helper()
	compile := func(cfg metering.Config) (*metering.Module, wazero.CompiledModule) {
		m, err := metering.Rewrite(wasm, cfg)
		if err != nil {
			t.Fatal(err)
		}
		code, err := w.rt.CompileModule(background, m.Wasm)
		if err != nil {
			t.Fatalf("images %t: %v", cfg.Images, err)
		}
		return m, code
	}
	plain, plainCode := compile(metering.Config{DataGap: -1})
	defer plainCode.Close(background)
	m, code := compile(metering.Config{Images: true})
	defer code.Close(background)
	if plain.Image != nil {
		t.Fatal("an image nobody asked for")
	}
	first, then, failed := firstMoments(t, w, plain, plainCode, nil, false)
	mapped := NewImage(m.Image)
	defer mapped.Close()
	var copied *Image
	if m.Image != nil {
		copied = &Image{end: m.Image[len(m.Image)-1].End(), runs: m.Image}
	}
	for _, c := range []struct {
		name  string
		image *Image
	}{{"mapped", mapped}, {"mapped again", mapped}, {"copied", copied}, {"copied again", copied}} {
		first2, then2, failed2 := firstMoments(t, w, m, code, c.image, true)
		if failed != failed2 {
			t.Errorf("%s: failed %v, without an image %v", c.name, failed2, failed)
		}
		for i, pair := range [][2][]byte{{first, first2}, {then, then2}} {
			if !bytes.Equal(pair[0], pair[1]) {
				at := 0
				for at < min(len(pair[0]), len(pair[1])) && pair[0][at] == pair[1][at] {
					at++
				}
				t.Fatalf("%s: memories (%d and %d bytes) differ from %#x on, %d calls in", c.name, len(pair[0]), len(pair[1]), at, i)
			}
		}
	}
	return m.Image != nil
}

func letters(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + i%23)
	}
	return b
}

func TestImageIsWhatSegmentsWrite(t *testing.T) {
	w := newWorld(t)
	big := letters(40 << 10)
	sparse := make([]dataSegment, 600) // would make 2.4 MB of 20 KB
	for i := range sparse {
		sparse[i] = dataSegment{constant, uint32(i * 8192), letters(60)}
	}
	for name, c := range map[string]struct {
		module dataModule
		image  bool
	}{
		"no data":          {dataModule{pages: 1}, false},
		"little":           {dataModule{pages: 1, segments: []dataSegment{{constant, 8, []byte("abc")}}}, false},
		"one":              {dataModule{pages: 2, segments: []dataSegment{{constant, 8, big}}}, true},
		"to the end":       {dataModule{pages: 2, segments: []dataSegment{{constant, 2<<16 - 40<<10, big}}}, true},
		"far apart":        {dataModule{pages: 90, segments: []dataSegment{{constant, 5, big}, {constant, 80 << 16, big}}}, true},
		"in any order":     {dataModule{pages: 3, segments: []dataSegment{{constant, 70000, big}, {constant, 5, []byte("x")}, {constant, 0, []byte("y")}}}, true},
		"overwriting":      {dataModule{pages: 2, segments: []dataSegment{{constant, 100, big}, {constant, 90, []byte("over the beginning of it")}, {constant, 500, []byte("XY")}, {constant, 500, []byte("Z")}}}, true},
		"overwritten":      {dataModule{pages: 2, segments: []dataSegment{{constant, 100, []byte("lost")}, {constant, 90, big}}}, true},
		"beyond the end":   {dataModule{pages: 1, segments: []dataSegment{{constant, 0, big}, {constant, 65535, []byte("ab")}}}, false},
		"at 4 GiB":         {dataModule{pages: 1, segments: []dataSegment{{constant, 0, big}, {constant, 0xffffffff, []byte("a")}}}, false},
		"empty beyond":     {dataModule{pages: 1, segments: []dataSegment{{constant, 0, big}, {constant, 65537, nil}}}, false},
		"empty at the end": {dataModule{pages: 1, segments: []dataSegment{{constant, 0, big}, {constant, 65536, nil}}}, true},
		"then computed":    {dataModule{pages: 2, segments: []dataSegment{{constant, 10, big}, {sum, 1000, []byte("computed")}, {constant, 1004, []byte("last")}}}, true},
		"computed first":   {dataModule{pages: 2, segments: []dataSegment{{sum, 10, big}, {constant, 1000, big}}}, false},
		"computed beyond":  {dataModule{pages: 1, segments: []dataSegment{{constant, 10, big}, {sum, 65536, []byte("x")}}}, true},
		"passive first":    {dataModule{pages: 2, names: true, segments: []dataSegment{{passive, 0, []byte("passive")}, {constant, 10, big}}}, false},
		"named and active": {dataModule{pages: 2, names: true, segments: []dataSegment{{constant, 10, big}, {passive, 0, []byte("passive")}}}, false},
		"passive unnamed":  {dataModule{pages: 2, segments: []dataSegment{{passive, 0, big}, {constant, 10, big}}}, true},
		"sparse":           {dataModule{pages: 80, segments: sparse}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sameWithImage(t, w, c.module.wasm()); got != c.image {
				t.Errorf("has an image: %t, want %t", got, c.image)
			}
		})
	}
}

// TestImagesOfTools compares the memories of real tools at their first
// instruction. Their code is not needed for that, so nothing large is compiled.
func TestImagesOfTools(t *testing.T) {
	for _, name := range []string{"noop-go", "hello", "jq", "sh"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			wasm, err := os.ReadFile("../../toolbox/dist/" + name + ".wasm")
			if err != nil {
				t.Fatalf("%v (is the toolbox built? make toolbox)", err)
			}
			var memories [2][]byte
			for i, images := range []bool{false, true} {
				m, err := metering.Rewrite(wasm, metering.Config{Images: images})
				if err != nil {
					t.Fatal(err)
				}
				if images != (m.Image != nil) {
					t.Fatalf("images %t: %d runs", images, len(m.Image))
				}
				skeleton, err := metering.Skeleton(m.Wasm)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					provide(t, w, m.Info.Imports)
				}
				code, err := w.rt.CompileModule(background, skeleton)
				if err != nil {
					t.Fatal(err)
				}
				image := NewImage(m.Image)
				memories[i], _, _ = firstMoments(t, w, m, code, image, false)
				image.Close()
			}
			if memories[0] == nil || !bytes.Equal(memories[0], memories[1]) {
				t.Error("memories differ")
			}
		})
	}
}

// provide makes host functions of what a module imports. Nobody calls them.
func provide(t *testing.T, w *world, imports []metering.Import) {
	builders := map[string]wazero.HostModuleBuilder{}
	for _, i := range imports {
		b := builders[i.Module]
		if b == nil {
			b = w.rt.NewHostModuleBuilder(i.Module)
			builders[i.Module] = b
		}
		types := func(list []metering.ValueType) (out []api.ValueType) {
			for _, v := range list {
				out = append(out, api.ValueType(v))
			}
			return out
		}
		b.NewFunctionBuilder().WithGoFunction(api.GoFunc(nil), types(i.Func.Params), types(i.Func.Results)).Export(i.Name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(background); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzImage makes modules of a few segments out of the input: five bytes each
// for kind, place and length.
func FuzzImage(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add([]byte{0, 0, 0, 255, 0, 0, 1, 0, 255, 1}, false)
	f.Add([]byte{0, 0, 0, 255, 0, 1, 1, 0, 255, 1, 0, 0, 200, 200, 0}, false)
	f.Add([]byte{2, 0, 0, 255, 0, 0, 1, 0, 255, 1, 0, 0, 200, 200, 0}, true)
	f.Add([]byte{0, 255, 255, 255, 0}, true)
	f.Add([]byte{0, 255, 255, 1, 0, 0, 0, 0, 255, 255}, false)
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, plan []byte, names bool) {
		m := dataModule{pages: 2}
		for len(plan) >= 5 && len(m.segments) < 12 {
			n := int(binary.LittleEndian.Uint16(plan[3:]))
			d := dataSegment{plan[0] % 3, uint32(binary.LittleEndian.Uint16(plan[1:])) * 2, letters(n)}
			for i := range d.data {
				d.data[i] += byte(len(m.segments))
			}
			m.segments = append(m.segments, d)
			plan = plan[5:]
		}
		m.names = names && len(m.segments) > 0
		sameWithImage(t, w, m.wasm())
	})
}

// imageModule is a module of two pages and 40 KiB of data.
func imageModule(t testing.TB, w *world) (wazero.CompiledModule, *metering.Module) {
	t.Helper()
	m, err := metering.Rewrite(dataModule{pages: 2, segments: []dataSegment{{constant, 4096, letters(40 << 10)}}}.wasm(), metering.Config{Images: true})
	if err != nil {
		t.Fatal(err)
	}
	code, err := w.rt.CompileModule(background, m.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	return code, m
}

// TestImageIsShared lets many instances write over one image at once: none
// sees what another wrote, and none that comes later.
func TestImageIsShared(t *testing.T) {
	w := newWorld(t)
	code, m := imageModule(t, w)
	image := NewImage(m.Image)
	defer image.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 40 {
				meter := New(w.epoch, plenty())
				meter.Preload(image)
				mod, err := meter.Instantiate(background, w.rt, code, anonymous())
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := mod.Memory().Read(0, 2<<16)
				if !bytes.Equal(b[4096:4096+40<<10], letters(40<<10)) || b[0] != 0 || b[len(b)-1] != 0 {
					t.Error("an instance begins with what another wrote")
				}
				for i := range b {
					b[i] = byte(g)
				}
				for i := range b {
					if b[i] != byte(g) {
						t.Error("instances share a page")
						break
					}
				}
				mod.Close(background)
				meter.Close()
			}
		})
	}
	wg.Wait()
	if n := len(image.free); image.file != nil && (n == 0 || n > 8) {
		t.Errorf("%d memories kept of 8 that ran at once", n)
	}
}

// TestImageAndLimits: an image is never mapped past what the run may have.
func TestImageAndLimits(t *testing.T) {
	w := newWorld(t)
	code, m := imageModule(t, w)
	image := NewImage(m.Image)
	defer image.Close()
	for _, limit := range []uint64{0, 1, 16 << 10, 1 << 16, 2<<16 - 1} {
		meter := New(w.epoch, Limits{Fuel: 1, Memory: limit})
		meter.Preload(image)
		_, err := meter.Instantiate(background, w.rt, code, anonymous())
		if _, ok := errors.AsType[*OutOfMemoryError](err); !ok {
			t.Errorf("limit %d: %v", limit, err)
		}
		meter.Close()
	}
	// An image of another module is a mistake of the host, not of the guest.
	small, err := w.rt.CompileModule(background, dataModule{pages: 0}.wasm())
	if err != nil {
		t.Fatal(err)
	}
	meter := New(w.epoch, plenty())
	defer meter.Close()
	meter.Preload(image)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the image of another module was taken")
			}
		}()
		_, _ = meter.Instantiate(background, w.rt, small, anonymous())
	}()
}
