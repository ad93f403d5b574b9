package metering

import (
	"cmp"
	"slices"
)

// Run is a piece of what a linear memory holds when an instance begins; what
// lies between runs is zero.
type Run struct {
	Offset uint32
	Data   []byte
}

// End is the address after the run.
func (r Run) End() uint64 { return uint64(r.Offset) + uint64(len(r.Data)) }

// imagePage is the unit in which an image takes up memory, the page of most
// systems.
const imagePage = 4 << 10

// minImage is how many bytes of data make an image worth its keep: a file and
// mappings for each module. Copying less takes microseconds.
const minImage = 32 << 10

// takeImage takes the active data segments out of the module and gives what
// they write as runs in ascending order that do not touch, for the host to put
// there before any code runs. rest are the segments that stay.
//
// Taken are the segments with a constant offset that come before any other
// active one: a later segment may overwrite an earlier one, never the other
// way round. If one of them does not fit the smallest memory then the module
// never starts, and all stay so that it fails as ever. All stay as well if code
// names segments: their numbers would change, and what memory.init finds in an
// active one is for the engine to say.
func (m *module) takeImage(stats *Stats) (image []Run, rest []segment) {
	if !m.cfg.Images || m.usesSegments || len(m.memories) == 0 || m.memories[0].Imported {
		return nil, m.segments
	}
	memory := uint64(m.memories[0].Min) << 16
	var taken []segment
	total := uint64(0)
	for i, s := range m.segments {
		if s.passive {
			rest = append(rest, s)
			continue
		}
		if !s.constant {
			rest = append(rest, m.segments[i:]...)
			break
		}
		if s.end() > memory {
			return nil, m.segments
		}
		taken = append(taken, s)
		total += uint64(len(s.init))
	}
	if total < minImage {
		return nil, m.segments
	}
	byOffset := make([]int, len(taken)) // numbers of segments, in the order they lie
	for i := range byOffset {
		byOffset[i] = i
	}
	slices.SortStableFunc(byOffset, func(a, b int) int { return cmp.Compare(taken[a].offset, taken[b].offset) })

	// A memory of one byte in each page would make an image out of nothing.
	budget := uint64(m.size) + total + 64<<10
	for first := 0; first < len(byOffset); {
		start, end := uint64(taken[byOffset[first]].offset), uint64(0)
		last := first
		for ; last < len(byOffset); last++ {
			s := taken[byOffset[last]]
			if last > first && uint64(s.offset) > end+imagePage {
				break
			}
			end = max(end, s.end())
		}
		// The pages of two runs may be counted twice; they are more than a page apart.
		pages := (end+imagePage-1)/imagePage - start/imagePage
		if pages*imagePage > budget {
			return nil, m.segments
		}
		budget -= pages * imagePage
		data := make([]byte, end-start)
		within := byOffset[first:last]
		slices.Sort(within) // a later segment wins
		for _, i := range within {
			copy(data[uint64(taken[i].offset)-start:], taken[i].init)
		}
		if len(data) > 0 {
			image = append(image, Run{Offset: uint32(start), Data: data})
		}
		first = last
	}
	stats.SegmentsMoved = len(taken)
	return image, rest
}
