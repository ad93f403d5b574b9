package text

import (
	"bufio"
	"errors"
	"io"
	"strconv"

	"boxfleet/toolbox/internal/command"
)

// Head prints the first lines of files.
func Head(args []string, s command.Streams) int {
	return part("head", "Print the first lines of files.", args, s, firstLines)
}

// Tail prints the last lines of files.
func Tail(args []string, s command.Streams) int {
	return part("tail", "Print the last lines of files.", args, s, lastLines)
}

func part(name, description string, args []string, s command.Streams, show func(*bufio.Writer, *bufio.Reader, int) error) int {
	var files []string
	lines := 10
	file := command.Strings(&files, "file", "A file to read; '-' or nothing is standard input")
	cmd := &command.Command{
		Name: name, Version: "1.0.0", Permission: "read_only",
		Description: description,
		Keywords:    []string{name, "lines"},
		Positional:  []*command.Option{file},
		Options:     []*command.Option{file, command.Number(&lines, "lines", "How many lines").Short('n')},
	}
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	if lines < 0 {
		cmd.Fail(s, errors.New("--lines is "+strconv.Itoa(lines)+": want 0 or more"))
		return command.ExitUsage
	}
	out := bufio.NewWriter(s.Out)
	ok := each(cmd, s, files, func(_ string, r io.Reader) error {
		return show(out, bufio.NewReaderSize(r, 64<<10), lines)
	})
	if err := out.Flush(); err != nil {
		return cmd.Fail(s, err)
	}
	return exitCode(ok)
}

func firstLines(out *bufio.Writer, r *bufio.Reader, n int) error {
	for range n {
		line, err := r.ReadBytes('\n')
		out.Write(line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lastLines holds only the lines that may still be printed.
func lastLines(out *bufio.Writer, r *bufio.Reader, n int) error {
	var ring [][]byte
	next := 0
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 && n > 0 {
			if len(ring) < n {
				ring = append(ring, line)
			} else {
				ring[next] = line
				next = (next + 1) % n
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	for i := range ring {
		out.Write(ring[(next+i)%len(ring)])
	}
	return nil
}

// Uniq prints the first of lines that follow each other and are the same.
func Uniq(args []string, s command.Streams) int {
	var files []string
	var counted bool
	file := command.Strings(&files, "file", "A file to read; '-' or nothing is standard input")
	cmd := &command.Command{
		Name: "uniq", Version: "1.0.0", Permission: "read_only",
		Description: "Print one of each run of equal lines.",
		Keywords:    []string{"uniq", "lines", "unique"},
		Positional:  []*command.Option{file},
		Options:     []*command.Option{file, command.Bool(&counted, "count", "Print how long the run is before each line").Short('c')},
	}
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	out := bufio.NewWriter(s.Out)
	var last string
	run := 0
	flush := func() {
		if run == 0 {
			return
		}
		if counted {
			out.WriteString(strconv.Itoa(run) + " ")
		}
		out.WriteString(last + "\n")
	}
	ok := each(cmd, s, files, func(_ string, r io.Reader) error {
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadString('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if line != "" {
				if line[len(line)-1] == '\n' {
					line = line[:len(line)-1]
				}
				if run > 0 && line != last {
					flush()
					run = 0
				}
				last, run = line, run+1
			}
			if err != nil {
				return nil
			}
		}
	})
	flush()
	if err := out.Flush(); err != nil {
		return cmd.Fail(s, err)
	}
	return exitCode(ok)
}
