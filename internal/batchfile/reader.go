package batchfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// MaxLine is the longest line in bytes. A job is at most 64 KiB on its way, so
// nothing useful is longer.
const MaxLine = 1 << 20

// Reader splits a batch file into lines.
type Reader struct {
	r    *bufio.Reader
	sum  hash.Hash
	buf  []byte
	line int
}

// NewReader reads r from its start.
func NewReader(r io.Reader) *Reader {
	sum := sha256.New()
	return &Reader{r: bufio.NewReaderSize(io.TeeReader(r, sum), 256<<10), sum: sum}
}

// ErrLongLine says that a line is over MaxLine. Next goes on after it.
var ErrLongLine = fmt.Errorf("the line is longer than %d bytes; pass large input by a file", MaxLine)

// Next gives the next line that is not blank, without surrounding space, and
// its number, counting from 1. The text is valid until the next call. At the
// end it gives io.EOF.
func (r *Reader) Next() (number int, text []byte, err error) {
	for {
		text, err := r.read()
		if err != nil && !errors.Is(err, ErrLongLine) && (!errors.Is(err, io.EOF) || len(text) == 0) {
			return 0, nil, err
		}
		r.line++
		if errors.Is(err, ErrLongLine) {
			return r.line, nil, err
		}
		if r.line == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // a byte order mark some editors write
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return r.line, text, nil
		}
	}
}

// read gives one line with its end. A last line without an end comes with
// io.EOF.
func (r *Reader) read() ([]byte, error) {
	part, err := r.r.ReadSlice('\n')
	if err == nil || !errors.Is(err, bufio.ErrBufferFull) {
		return part, err
	}
	r.buf = append(r.buf[:0], part...)
	for errors.Is(err, bufio.ErrBufferFull) {
		part, err = r.r.ReadSlice('\n')
		if len(r.buf) <= MaxLine {
			r.buf = append(r.buf, part...)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(r.buf) > MaxLine {
		return nil, ErrLongLine
	}
	return r.buf, err
}

// ID is a batch id made from everything read so far; after io.EOF, from the
// whole file.
func (r *Reader) ID() string { return "b" + hex.EncodeToString(r.sum.Sum(nil))[:16] }
