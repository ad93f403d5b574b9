package metering

// coalesce joins active data segments that follow each other closely, filling
// gaps with zeros. Compilers write one segment for each run of non-zero bytes,
// and an engine that looks at tens of thousands of them for each instance
// spends most of a start there.
//
// It does nothing if code names segments or if the memory may hold anything
// when the segments are applied.
func (m *module) coalesce(stats *Stats) []segment {
	gapMax := uint64(max(m.cfg.DataGap, 0))
	if m.cfg.DataGap < 0 || m.usesSegments || len(m.memories) == 0 || m.memories[0].Imported {
		return m.segments
	}
	for _, s := range m.segments {
		if s.passive || !s.constant {
			return m.segments
		}
	}
	// Filling may not make much of little: a module of one-byte segments would
	// grow a thousandfold.
	budget := m.dataBytes + 64<<10

	var out []segment
	var run []segment    // to be joined
	var end, high uint64 // end of the run, end of all before
	flush := func() {
		switch len(run) {
		case 0:
			return
		case 1:
			out = append(out, run[0])
		default:
			init := make([]byte, end-uint64(run[0].offset))
			for _, s := range run {
				copy(init[s.offset-run[0].offset:], s.init)
			}
			out = append(out, segment{constant: true, offset: run[0].offset, init: init})
		}
		high = max(high, end)
		run = run[:0]
	}
	for _, s := range m.segments {
		from, to := uint64(s.offset), uint64(s.offset)+uint64(len(s.init))
		if len(run) > 0 {
			gap := from - end
			// Zeros may not go over what an earlier segment wrote.
			if from < end || gap > gapMax || gap > budget || gap > 0 && end < high {
				flush()
			} else {
				budget -= gap
			}
		}
		run = append(run, s)
		end = to
	}
	flush()
	stats.SegmentsJoined = len(m.segments) - len(out)
	return out
}

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
