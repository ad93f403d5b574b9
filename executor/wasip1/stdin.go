package wasip1

import (
	"io"
	"os"
)

// input is the guest's stdin. A reader that may block is read ahead by a
// goroutine, so that the guest's own can wait for its deadline as well.
type input struct {
	r      io.Reader
	direct bool // Read never blocks
	cur    []byte
	err    error // what the reader ended with

	chunks chan chunk
	wake   chan struct{} // has a token after a chunk was sent
	quit   chan struct{}
}

type chunk struct {
	data []byte
	err  error
}

const stdinChunk = 32 << 10

func (in *input) init(r io.Reader) {
	in.r = r
	switch r := r.(type) {
	case nil:
		in.direct, in.err = true, io.EOF
	case interface{ Len() int }:
		in.direct = true
	case *os.File:
		st, err := r.Stat()
		in.direct = err == nil && st.Mode().IsRegular()
	}
}

func (in *input) close() {
	if in.quit != nil {
		close(in.quit)
		in.quit = nil
	}
	in.err = io.EOF
	in.cur = nil
}

// start begins to read ahead.
func (in *input) start() {
	if in.direct || in.chunks != nil {
		return
	}
	in.chunks, in.wake, in.quit = make(chan chunk, 1), make(chan struct{}, 1), make(chan struct{})
	go pump(in.r, in.chunks, in.wake, in.quit)
}

func pump(r io.Reader, chunks chan<- chunk, wake chan<- struct{}, quit <-chan struct{}) {
	for {
		buf := make([]byte, stdinChunk)
		n, err := r.Read(buf)
		select {
		case chunks <- chunk{buf[:n], err}:
		case <-quit:
			return
		}
		select {
		case wake <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (in *input) take(c chunk) { in.cur, in.err = c.data, c.err }

// ready says whether a read would return at once, starting to read ahead if not.
func (in *input) ready() bool {
	in.start()
	for !in.direct && len(in.cur) == 0 && in.err == nil {
		select {
		case c := <-in.chunks:
			in.take(c)
		default:
			return false
		}
	}
	return true
}

// buffered is how much a ready stdin is known to have: of one that is read
// directly, what its Len says, or 1 where it has none.
func (in *input) buffered() uint64 {
	switch r := in.r.(type) {
	case nil:
		return 0
	case interface{ Len() int }:
		return uint64(max(0, r.Len()))
	}
	if in.direct && in.err == nil {
		return 1
	}
	return uint64(len(in.cur))
}

// readStdin reads into the first buffer; like a read from a pipe it may return
// less than is asked for.
func (s *System) readStdin(bufs [][]byte, nonblock bool) (int, errno) {
	in := &s.stdin
	if len(bufs) == 0 {
		return 0, errSuccess
	}
	if in.direct {
		n := 0
		for _, b := range bufs {
			if in.err != nil {
				break
			}
			var m int
			m, in.err = in.r.Read(b)
			n += m
			if m < len(b) {
				break
			}
		}
		return s.stdinResult(n)
	}
	for !in.ready() {
		if nonblock {
			return 0, errAgain
		}
		select {
		case c := <-in.chunks:
			in.take(c)
		case <-s.done():
			s.check()
			return 0, errIntr // done, and yet nothing asks to stop
		}
	}
	n := 0
	for _, b := range bufs {
		m := copy(b, in.cur)
		in.cur = in.cur[m:]
		n += m
	}
	return s.stdinResult(n)
}

// stdinResult reports the end of stdin as 0 bytes and other errors as such, but
// only when there is no data left to hand out first.
func (s *System) stdinResult(n int) (int, errno) {
	if n > 0 || s.stdin.err == nil || s.stdin.err == io.EOF {
		return n, errSuccess
	}
	return 0, errnoOf(s.stdin.err)
}
