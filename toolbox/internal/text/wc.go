package text

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"

	"boxfleet/toolbox/internal/command"
)

// counts are what wc counts in one file.
type counts struct{ lines, words, chars, bytes int }

func (c *counts) add(d counts) {
	c.lines += d.lines
	c.words += d.words
	c.chars += d.chars
	c.bytes += d.bytes
}

// Wc counts lines, words and bytes.
func Wc(args []string, s command.Streams) int {
	var files []string
	var lines, words, chars, bytes bool
	file := command.Strings(&files, "file", "A file to count in; '-' or nothing is standard input")
	cmd := &command.Command{
		Name: "wc", Version: "1.0.0", Permission: "read_only",
		Description: "Count lines, words and bytes of files: without an option these three, in this order.",
		Keywords:    []string{"wc", "count", "lines", "words", "bytes"},
		Positional:  []*command.Option{file},
		Options: []*command.Option{
			file,
			command.Bool(&lines, "lines", "Print the number of newlines").Short('l'),
			command.Bool(&words, "words", "Print the number of words: runs of what is not ASCII space").Short('w'),
			command.Bool(&chars, "chars", "Print the number of UTF-8 characters").Short('m'),
			command.Bool(&bytes, "bytes", "Print the number of bytes").Short('c'),
		},
	}
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	if !lines && !words && !chars && !bytes {
		lines, words, bytes = true, true, true
	}
	out := bufio.NewWriter(s.Out)
	show := func(c counts, name string) {
		columns := []struct {
			wanted bool
			n      int
		}{{lines, c.lines}, {words, c.words}, {chars, c.chars}, {bytes, c.bytes}}
		between := ""
		for _, column := range columns {
			if column.wanted {
				out.WriteString(between + strconv.Itoa(column.n))
				between = " "
			}
		}
		if name != "-" {
			out.WriteString(" " + name)
		}
		out.WriteByte('\n')
	}
	var total counts
	ok := each(cmd, s, files, func(name string, r io.Reader) error {
		c, err := count(r)
		if err != nil {
			return errors.New(name + ": " + err.Error())
		}
		total.add(c)
		show(c, name)
		return nil
	})
	if len(files) > 1 {
		show(total, "total")
	}
	if err := out.Flush(); err != nil {
		return cmd.Fail(s, err)
	}
	return exitCode(ok)
}

func count(r io.Reader) (counts, error) {
	var c counts
	buf := make([]byte, 64<<10)
	inWord := false
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if utf8.RuneStart(b) {
				c.chars++
			}
			if b == ' ' || '\t' <= b && b <= '\r' {
				inWord = false
				if b == '\n' {
					c.lines++
				}
			} else if !inWord {
				inWord = true
				c.words++
			}
		}
		c.bytes += n
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return c, err
		}
	}
}
