//go:build !linux

package meter

import "boxfleet/limits/metering"

// mapping is memory of the Go heap on systems where nothing better is known:
// growing copies.
type mapping struct {
	mem   []byte
	max   uint64
	image *Image // always nil: images are copied
}

func reserve(size uint64) *mapping {
	if size > 1<<32 {
		return nil
	}
	return &mapping{max: size}
}

func (m *mapping) size() uint64 { return m.max }

func (m *mapping) bytes(n uint64) []byte {
	if n > uint64(len(m.mem)) {
		grown := make([]byte, n)
		copy(grown, m.mem)
		m.mem = grown
	}
	return m.mem[:n:n]
}

func (m *mapping) release(uint64) { m.mem = nil }

func (m *mapping) discard() {}

// imageFile is for systems on which images are mapped.
type imageFile struct{}

func newImageFile([]metering.Run, uint64) (*imageFile, int64) { return nil, 0 }

func (*imageFile) close() {}

func (*Image) reserve(size uint64) *mapping { return reserve(size) }

type span struct{}

func (*Image) learn([]byte) {}

func (*mapping) warmUp([]span) {}
