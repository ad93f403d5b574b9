package metering

import (
	"cmp"
	"slices"
)

// coalesce joins active data segments that lie close to each other, filling
// gaps with zeros. Compilers write one segment for each run of non-zero bytes,
// and an engine that looks at tens of thousands of them for each instance
// spends most of a start there.
//
// It does nothing if code names segments, if the memory may hold anything when
// the segments are applied, or if two segments overlap: without that their
// order does not matter, and zeros can only go where no segment writes.
func (m *module) coalesce(stats *Stats) []segment {
	if m.cfg.DataGap < 0 || m.usesSegments || len(m.memories) == 0 || m.memories[0].Imported {
		return m.segments
	}
	for _, s := range m.segments {
		if s.passive || !s.constant {
			return m.segments
		}
	}
	sorted := slices.Clone(m.segments)
	slices.SortStableFunc(sorted, func(a, b segment) int { return cmp.Compare(a.offset, b.offset) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i-1].end() > uint64(sorted[i].offset) {
			return m.segments
		}
	}
	// Filling may not make much of little: a module of one-byte segments would
	// grow a thousandfold.
	budget := uint64(m.size) + 64<<10

	var out []segment
	for len(sorted) > 0 {
		n := 1
		for ; n < len(sorted); n++ {
			gap := uint64(sorted[n].offset) - sorted[n-1].end()
			if gap > uint64(m.cfg.DataGap) || gap > budget {
				break
			}
			budget -= gap
		}
		joined := sorted[0]
		if n > 1 {
			joined.init = make([]byte, sorted[n-1].end()-uint64(joined.offset))
			for _, s := range sorted[:n] {
				copy(joined.init[s.offset-joined.offset:], s.init)
			}
		}
		out = append(out, joined)
		sorted = sorted[n:]
	}
	stats.SegmentsJoined = len(m.segments) - len(out)
	return out
}

// end is the address after the segment, if it is constant.
func (s segment) end() uint64 { return uint64(s.offset) + uint64(len(s.init)) }

func appendSegments(b []byte, segments []segment) []byte {
	b = appendU32(b, uint32(len(segments)))
	for _, s := range segments {
		switch {
		case s.passive:
			b = append(b, 1)
		case s.constant:
			b = append(b, 0, opI32Const)
			b = appendSleb(b, int64(int32(s.offset)))
			b = append(b, opEnd)
		default:
			b = append(append(b, 0), s.expr...)
		}
		b = appendU32(b, uint32(len(s.init)))
		b = append(b, s.init...)
	}
	return b
}
