package wasip1

import (
	"errors"
	"io"
	"math"
)

// ioChunk is how much is moved between two looks at the deadline.
const ioChunk = 4 << 20

func (s *System) fdRead(p []uint64) errno {
	d, e := s.need(p[0], rightFdRead)
	if e != errSuccess {
		return e
	}
	bufs, e := s.iovecs(uint32(p[1]), uint32(p[2]))
	if e != errSuccess {
		return e
	}
	if d.kind == kindStdin {
		n, e := s.readStdin(bufs, d.flags&fdflagNonblock != 0)
		if e != errSuccess {
			return e
		}
		return s.putU32(uint32(p[3]), uint32(n))
	}
	if d.kind != kindFile {
		return errBadf
	}
	return s.transfer(bufs, uint32(p[3]), d.file.Read)
}

func (s *System) fdPread(p []uint64) errno {
	d, e := s.needFile(p[0], rightFdRead, errSpipe)
	if e != errSuccess {
		return e
	}
	return s.positioned(p, d.file.ReadAt)
}

func (s *System) fdPwrite(p []uint64) errno {
	d, e := s.needFile(p[0], rightFdWrite, errSpipe)
	if e != errSuccess {
		return e
	}
	return s.positioned(p, d.file.WriteAt)
}

func (s *System) positioned(p []uint64, move func([][]byte, int64) (int, error)) errno {
	bufs, e := s.iovecs(uint32(p[1]), uint32(p[2]))
	if e != errSuccess {
		return e
	}
	if p[3] > math.MaxInt64 {
		return errInval
	}
	off := int64(p[3])
	return s.transfer(bufs, uint32(p[4]), func(b [][]byte) (int, error) {
		n, err := move(b, off)
		off += int64(n)
		return n, err
	})
}

func (s *System) fdWrite(p []uint64) errno {
	d, e := s.need(p[0], rightFdWrite)
	if e != errSuccess {
		return e
	}
	bufs, e := s.iovecs(uint32(p[1]), uint32(p[2]))
	if e != errSuccess {
		return e
	}
	switch d.kind {
	case kindStdout:
		return s.writeStream(s.stdout, bufs, uint32(p[3]))
	case kindStderr:
		return s.writeStream(s.stderr, bufs, uint32(p[3]))
	case kindFile:
		return s.transfer(bufs, uint32(p[3]), d.file.Write)
	}
	return errBadf
}

// transfer moves buffers in pieces of at most ioChunk, looking at the deadline
// between them, and stores how many bytes were moved. Like its system calls it
// reports an error only if nothing was moved.
func (s *System) transfer(bufs [][]byte, countAt uint32, move func([][]byte) (int, error)) errno {
	if _, ok := s.bytes(countAt, 4); !ok {
		return errFault // before anything happens that could not be told
	}
	moved := 0
	for first := true; first || len(bufs) > 0; first = false {
		if !first {
			s.check()
		}
		var piece [][]byte
		piece, bufs = cut(bufs, ioChunk)
		n, err := move(piece)
		moved += n
		if err != nil && moved == 0 {
			return errnoOf(err)
		}
		if err != nil || n < size(piece) {
			break
		}
	}
	return s.putU32(countAt, uint32(moved))
}

func size(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// cut splits a list of buffers after at most limit bytes, which is at least one
// byte if there is any.
func cut(bufs [][]byte, limit int) (piece, rest [][]byte) {
	for i, b := range bufs {
		switch {
		case len(b) <= limit:
			limit -= len(b)
		case i == 0:
			bufs[0] = b[limit:]
			return [][]byte{b[:limit]}, bufs
		default:
			return bufs[:i], bufs[i:]
		}
	}
	return bufs, nil
}

// stopper is an error that asks to stop the guest instead of telling it.
type stopper interface {
	error
	StopGuest() bool
}

func (s *System) writeStream(w io.Writer, bufs [][]byte, countAt uint32) errno {
	if _, ok := s.bytes(countAt, 4); !ok {
		return errFault
	}
	wrote := 0
	for _, b := range bufs {
		n, err := w.Write(b)
		wrote += min(max(n, 0), len(b)) // a writer's count is not ours to trust
		if err != nil {
			if stop, ok := errors.AsType[stopper](err); ok && stop.StopGuest() {
				panic(err)
			}
			if wrote == 0 {
				return errnoOf(err)
			}
			break
		}
	}
	return s.putU32(countAt, uint32(wrote))
}
