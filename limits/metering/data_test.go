package metering_test

import (
	"bytes"
	"context"
	"testing"

	"boxfleet/limits/metering"
)

// dataModule has a memory of pages and active segments at the offsets.
func dataModule(segments ...segmentAt) []byte {
	uleb := func(n int) []byte {
		var b []byte
		for n >= 0x80 {
			b = append(b, byte(n)|0x80)
			n >>= 7
		}
		return append(b, byte(n))
	}
	var s []byte
	s = append(s, uleb(len(segments))...)
	for _, d := range segments {
		s = append(s, 0, 0x41)
		s = append(s, byte(d.at&0x7f)|0x80, byte(d.at>>7&0x7f)|0x80, byte(d.at>>14&0x7f)|0x80, byte(d.at>>21&0x3f), 0x0b)
		s = append(append(s, uleb(len(d.bytes))...), d.bytes...)
	}
	m := []byte("\x00asm\x01\x00\x00\x00\x05\x03\x01\x00\x02\x07\x0a\x01\x06memory\x02\x00\x0b")
	return append(append(m, uleb(len(s))...), s...)
}

type segmentAt struct {
	at    int
	bytes string
}

// TestCoalesce compares memories after joining segments with those of the
// original, in orders that compilers write and others.
func TestCoalesce(t *testing.T) {
	many := make([]segmentAt, 500)
	for i := range many {
		many[i] = segmentAt{i * 100, "\x07\x08"}
	}
	sparse := make([]segmentAt, 31) // would grow a hundredfold if all were joined
	for i := range sparse {
		sparse[i] = segmentAt{i * 4000, "x"}
	}
	for name, c := range map[string]struct {
		segments []segmentAt
		joined   int
	}{
		"none":               {nil, 0},
		"one":                {[]segmentAt{{5, "a"}}, 0},
		"near":               {[]segmentAt{{5, "abc"}, {10, "def"}, {13, "g"}}, 2},
		"far":                {[]segmentAt{{5, "abc"}, {9000, "def"}}, 0},
		"overlapping":        {[]segmentAt{{5, "abcdef"}, {7, "XY"}, {6, "Z"}}, 0},
		"back and forth":     {[]segmentAt{{1000, "late"}, {100, "early"}, {990, "over it"}}, 2},
		"overlapping later":  {[]segmentAt{{1000, "late"}, {100, "early"}, {990, "over the start"}}, 0},
		"middle first":       {[]segmentAt{{500, "middle"}, {490, "a"}, {520, "b"}}, 2},
		"touching backwards": {[]segmentAt{{500, "bb"}, {498, "aa"}}, 1},
		"many":               {many, 499},
		"sparse":             {sparse, 16},
		"empty":              {[]segmentAt{{5, ""}, {5, "a"}, {6, ""}}, 2},
		"at the end":         {[]segmentAt{{131070, "x"}, {131071, "y"}}, 1},
		"beyond the end":     {[]segmentAt{{131070, "x"}, {131072, "y"}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			wasm := dataModule(c.segments...)
			m, code := rewrite(t, wasm, metering.Config{})
			if m.Stats.SegmentsJoined != c.joined {
				t.Errorf("%d joined, want %d", m.Stats.SegmentsJoined, c.joined)
			}
			if len(m.Wasm) > 2*len(wasm)+66<<10 {
				t.Errorf("%d bytes became %d", len(wasm), len(m.Wasm))
			}
			ctx := context.Background()
			plain, err := sharedRuntime().InstantiateWithConfig(ctx, wasm, anonymous())
			joined, err2 := sharedRuntime().InstantiateModule(ctx, code, anonymous())
			if (err == nil) != (err2 == nil) {
				t.Fatalf("plain %v, joined %v", err, err2)
			}
			if err != nil {
				return
			}
			defer plain.Close(ctx)
			defer joined.Close(ctx)
			a, _ := plain.Memory().Read(0, plain.Memory().Size())
			b, _ := joined.Memory().Read(0, joined.Memory().Size())
			if !bytes.Equal(a, b) {
				t.Error("memories differ")
			}
		})
	}
}
