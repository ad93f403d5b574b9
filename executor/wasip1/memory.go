package wasip1

import "encoding/binary"

var le = binary.LittleEndian

// bytes is a view of guest memory, valid until the guest runs again.
func (s *System) bytes(at, n uint32) ([]byte, bool) {
	if s.mem == nil {
		return nil, false
	}
	return s.mem.Read(at, n)
}

func (s *System) putU32(at, v uint32) errno {
	if s.mem == nil || !s.mem.WriteUint32Le(at, v) {
		return errFault
	}
	return errSuccess
}

func (s *System) putU64(at uint32, v uint64) errno {
	if s.mem == nil || !s.mem.WriteUint64Le(at, v) {
		return errFault
	}
	return errSuccess
}

// path copies a path out of guest memory. Longer ones than any path may be are
// refused without copying.
func (s *System) path(at, n uint32) (string, errno) {
	b, ok := s.bytes(at, n)
	if !ok {
		return "", errFault
	}
	if n > maxPathArg {
		return "", errNametoolong
	}
	return string(b), errSuccess
}

// maxPathArg is more than sandboxfs takes, so that the length is its to judge.
const maxPathArg = 4096

const (
	maxIovecs   = 1024       // IOV_MAX
	maxTransfer = 0x7ffff000 // most bytes one call moves, as in Linux
)

// iovecs collects the buffers of a scatter/gather list, leaving out empty ones.
func (s *System) iovecs(at, n uint32) ([][]byte, errno) {
	if n > maxIovecs {
		return nil, errInval
	}
	list, ok := s.bytes(at, n*sizeIovec)
	if !ok {
		return nil, errFault
	}
	bufs := s.bufs[:0]
	room := uint32(maxTransfer)
	for ; len(list) > 0; list = list[sizeIovec:] {
		b, ok := s.bytes(le.Uint32(list), le.Uint32(list[4:]))
		if !ok {
			return nil, errFault
		}
		if uint64(len(b)) > uint64(room) {
			b = b[:room]
		}
		room -= uint32(len(b))
		if len(b) > 0 {
			bufs = append(bufs, b)
		}
	}
	s.bufs = bufs
	return bufs, errSuccess
}
