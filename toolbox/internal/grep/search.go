package grep

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"

	"boxfleet/toolbox/internal/command"
)

const (
	// startBuffer holds nearly every source file whole, so that it takes one
	// read to get it and one to see its end.
	startBuffer = 256 << 10
	// longestLine is where a file is given up: a line is held whole.
	longestLine = 64 << 20
	// binaryPrefix is how much of a file is looked at for a NUL byte.
	binaryPrefix = 8 << 10
)

var errLineTooLong = errors.New("a line is longer than 64 MiB")

// search is one run of the tool over all its files.
type search struct {
	options
	streams  command.Streams
	matcher  *matcher
	out      *bufio.Writer
	complain func(error) // prints it; the run goes on
	showName bool
	found    bool // a line was selected, in any file
	failed   bool

	buf   []byte
	names []byte // reused for the digits of line numbers

	// Of the file being searched:
	name     string
	selected int
	lineNo   int // newlines before the buffer's byte `counted`
	counted  int
}

// done reports that nothing further can change the outcome.
func (g *search) done() bool { return g.quiet && g.found }

// stream searches r and prints what the options ask for. Errors of r are
// complained about under name.
func (g *search) stream(r io.Reader, name string) {
	g.name, g.selected, g.lineNo = name, 0, 0
	if err := g.lines(r); err != nil {
		g.complain(errors.New(name + ": " + err.Error()))
	}
	if g.selected > 0 {
		g.found = true
	}
	switch {
	case g.quiet:
	case g.files:
		if g.selected > 0 {
			g.out.WriteString(name)
			g.out.WriteByte('\n')
		}
	case g.count:
		g.prefix()
		g.out.WriteString(strconv.Itoa(g.selected))
		g.out.WriteByte('\n')
	}
}

// lines feeds the matcher with whole lines of r.
func (g *search) lines(r io.Reader) error {
	if g.buf == nil {
		g.buf = make([]byte, startBuffer)
	}
	held := 0 // bytes of an unfinished line at the buffer's start
	for first := true; ; first = false {
		if held == len(g.buf) {
			if len(g.buf) >= longestLine {
				return errLineTooLong
			}
			g.buf = append(g.buf, make([]byte, len(g.buf))...)
		}
		n, err := r.Read(g.buf[held:])
		filled := held + n
		atEnd := errors.Is(err, io.EOF)
		if err != nil && !atEnd {
			return err
		}
		if first && !g.text && bytes.IndexByte(g.buf[:min(filled, binaryPrefix)], 0) >= 0 {
			return nil
		}
		whole := filled
		if !atEnd {
			whole = held + bytes.LastIndexByte(g.buf[held:filled], '\n') + 1
			if whole == held {
				held = filled
				continue
			}
		}
		if g.block(g.buf[:whole]); g.enough() || atEnd {
			return nil
		}
		held = copy(g.buf, g.buf[whole:filled])
	}
}

// enough reports that the rest of this file cannot change what is printed.
func (g *search) enough() bool {
	return g.selected > 0 && (g.files || g.quiet) || g.maxCount > 0 && g.selected >= g.maxCount
}

// block searches whole lines.
func (g *search) block(b []byte) {
	g.matcher.reset()
	g.counted = 0
	for from := 0; from < len(b) && !g.enough(); {
		start, end := g.matcher.line(b, from)
		if g.invert {
			upTo := start
			if start < 0 {
				upTo, end = len(b), len(b)
			}
			g.gap(b, from, upTo)
		} else if start < 0 {
			break
		} else {
			g.emit(b, start, end)
		}
		from = end + 1
	}
	if g.numbers {
		g.lineNo += bytes.Count(b[g.counted:], []byte{'\n'})
	}
}

// gap selects every line of b[from:to], which ends with a newline or with b.
func (g *search) gap(b []byte, from, to int) {
	for from < to && !g.enough() {
		end := to
		if i := bytes.IndexByte(b[from:to], '\n'); i >= 0 {
			end = from + i
		}
		g.emit(b, from, end)
		from = end + 1
	}
}

// emit selects the line b[start:end].
func (g *search) emit(b []byte, start, end int) {
	g.selected++
	if g.quiet || g.files || g.count {
		return
	}
	if g.numbers {
		g.lineNo += bytes.Count(b[g.counted:start], []byte{'\n'})
		g.counted = start
	}
	if !g.only {
		g.line(b[start:end])
		return
	}
	if g.invert {
		return // a line that does not match has no matching parts
	}
	for _, part := range g.matcher.re.FindAllIndex(b[start:end], -1) {
		if part[0] < part[1] {
			g.line(b[start+part[0] : start+part[1]])
		}
	}
}

func (g *search) line(text []byte) {
	g.prefix()
	if g.numbers {
		g.names = strconv.AppendInt(g.names[:0], int64(g.lineNo+1), 10)
		g.out.Write(append(g.names, ':'))
	}
	g.out.Write(text)
	g.out.WriteByte('\n')
}

func (g *search) prefix() {
	if g.showName {
		g.out.WriteString(g.name)
		g.out.WriteByte(':')
	}
}
