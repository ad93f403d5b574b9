package text

import (
	"bufio"
	"bytes"
	"io"
	"strconv"

	"boxfleet/toolbox/internal/command"
)

// Cat prints files one after the other.
func Cat(args []string, s command.Streams) int {
	var files []string
	var numbers bool
	file := command.Strings(&files, "file", "A file to print; '-' or nothing is standard input")
	cmd := &command.Command{
		Name: "cat", Version: "1.0.0", Permission: "read_only",
		Description: "Print files one after the other.",
		Keywords:    []string{"cat", "print", "concatenate", "read", "file"},
		Positional:  []*command.Option{file},
		Options: []*command.Option{
			file,
			command.Bool(&numbers, "number", "Print line numbers, from 1 and over all files").Short('n'),
		},
	}
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	out := bufio.NewWriterSize(s.Out, 64<<10)
	counter := &lineCounter{w: out}
	ok := each(cmd, s, files, func(_ string, r io.Reader) error {
		to := io.Writer(out)
		if numbers {
			to = counter
		}
		_, err := io.Copy(to, r)
		return err
	})
	if err := out.Flush(); err != nil {
		return cmd.Fail(s, err)
	}
	return exitCode(ok)
}

// lineCounter writes each line after its number. The end of a file does not end
// a line.
type lineCounter struct {
	w      *bufio.Writer
	lines  int
	inLine bool
	digits []byte
}

func (c *lineCounter) Write(b []byte) (int, error) {
	written := len(b)
	for len(b) > 0 {
		if !c.inLine {
			c.lines++
			c.digits = strconv.AppendInt(c.digits[:0], int64(c.lines), 10)
			for range 6 - len(c.digits) {
				c.w.WriteByte(' ')
			}
			c.w.Write(c.digits)
			c.w.WriteByte('\t')
		}
		end := bytes.IndexByte(b, '\n') + 1
		c.inLine = end == 0
		if c.inLine {
			end = len(b)
		}
		if _, err := c.w.Write(b[:end]); err != nil {
			return 0, err
		}
		b = b[end:]
	}
	return written, nil
}
