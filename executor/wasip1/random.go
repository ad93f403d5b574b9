package wasip1

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
)

// SeededRand is a deterministic random source: ChaCha8 (math/rand/v2) keyed with
// the seed as eight little-endian bytes followed by 24 zeros. One seed gives the
// same bytes for ever, whatever sizes they are asked for in.
func SeededRand(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// randomChunk is how much is filled between two looks at the deadline: well
// under a millisecond's worth.
const randomChunk = 64 << 10

func (s *System) randomGet(p []uint64) errno {
	buf, ok := s.bytes(uint32(p[0]), uint32(p[1]))
	if !ok {
		return errFault
	}
	for len(buf) > 0 {
		n := min(len(buf), randomChunk)
		if _, err := io.ReadFull(s.rand, buf[:n]); err != nil {
			return errIO
		}
		if buf = buf[n:]; len(buf) > 0 {
			s.check()
		}
	}
	return errSuccess
}
