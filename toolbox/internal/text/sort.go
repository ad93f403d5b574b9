package text

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"boxfleet/toolbox/internal/command"
)

// ordering is how sort compares two lines.
type ordering struct {
	numeric, reverse, unique, ignoreCase bool
	key                                  int    // column from 1; 0 is the whole line
	separator                            string // of columns; empty is a run of blanks
}

// Sort prints the lines of all files in order.
func Sort(args []string, s command.Streams) int {
	var files []string
	var o ordering
	file := command.Strings(&files, "file", "A file to sort; '-' or nothing is standard input")
	cmd := &command.Command{
		Name: "sort", Version: "1.0.0", Permission: "read_only",
		Description: "Print the lines of all files in order: by bytes, or as the options say. Lines that compare equal keep their order.",
		Keywords:    []string{"sort", "order", "lines", "unique"},
		Positional:  []*command.Option{file},
		Options: []*command.Option{
			file,
			command.Bool(&o.numeric, "numeric-sort", "Compare the numbers that lines start with; a line without one counts as 0").Short('n'),
			command.Bool(&o.reverse, "reverse", "The largest first").Short('r'),
			command.Bool(&o.unique, "unique", "Print only the first of lines that compare equal").Short('u'),
			command.Bool(&o.ignoreCase, "ignore-case", "Upper and lower case compare equal").Short('f'),
			command.Number(&o.key, "key", "Compare by this column, from 1; 0 is the whole line").Short('k'),
			command.String(&o.separator, "field-separator", "What separates columns; without one blanks do").Short('t'),
		},
	}
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	if o.key < 0 {
		cmd.Fail(s, errors.New("--key is "+strconv.Itoa(o.key)+": want a column from 1, or 0 for the whole line"))
		return command.ExitUsage
	}
	var lines []keyed
	ok := each(cmd, s, files, func(_ string, r io.Reader) error {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(data) {
			lines = append(lines, o.keyed(bytes.TrimSuffix(line, []byte{'\n'})))
		}
		return nil
	})
	slices.SortStableFunc(lines, o.compare)
	out := bufio.NewWriterSize(s.Out, 64<<10)
	for i := range lines {
		if o.unique && i > 0 && o.compare(lines[i-1], lines[i]) == 0 {
			continue
		}
		out.Write(lines[i].line)
		out.WriteByte('\n')
	}
	if err := out.Flush(); err != nil {
		return cmd.Fail(s, err)
	}
	return exitCode(ok)
}

// keyed is a line with what it is compared by, worked out once.
type keyed struct {
	line   []byte
	key    []byte
	number float64
}

func (o *ordering) keyed(line []byte) keyed {
	k := keyed{line: line, key: line}
	if o.key > 0 {
		k.key = o.column(line)
	}
	if o.ignoreCase {
		k.key = bytes.ToLower(k.key)
	}
	if o.numeric {
		k.number = leadingNumber(k.key)
	}
	return k
}

// column is the key's column of a line, or nothing when there are fewer.
func (o *ordering) column(line []byte) []byte {
	var columns [][]byte
	if o.separator == "" {
		columns = bytes.Fields(line)
	} else {
		columns = bytes.SplitN(line, []byte(o.separator), o.key+1)
	}
	if o.key > len(columns) {
		return nil
	}
	return columns[o.key-1]
}

func (o *ordering) compare(a, b keyed) int {
	order := 0
	if o.numeric {
		order = cmp.Compare(a.number, b.number)
	} else {
		order = bytes.Compare(a.key, b.key)
	}
	if o.reverse {
		return -order
	}
	return order
}

// leadingNumber is the decimal number that b starts with after blanks, or 0.
func leadingNumber(b []byte) float64 {
	text := strings.TrimLeft(string(b), " \t")
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || text[end] == '.' || end == 0 && text[end] == '-') {
		end++
	}
	for ; end > 0; end-- {
		if n, err := strconv.ParseFloat(text[:end], 64); err == nil {
			return n
		}
	}
	return 0
}
