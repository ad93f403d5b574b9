package filetool

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"unicode/utf8"

	"boxfleet/toolbox/internal/command"
)

// maxContent bounds what file-read answers, in bytes: an agent cannot use more
// at once, and can go on with --offset.
const maxContent = 1 << 20

// Read answers with lines of a file.
func Read(args []string, s command.Streams) int {
	var file string
	offset, limit := 1, 2000
	fileOption := command.String(&file, "file-path", "The file").Required()
	cmd := &command.Command{
		Name: "file-read", Version: "1.0.0", Permission: "read_only",
		Description: "Read lines of a text file. Answers with JSON: content, is_error, metadata.",
		Keywords:    []string{"file", "read", "open", "view", "lines"},
		Positional:  []*command.Option{fileOption},
		Options: []*command.Option{
			fileOption,
			command.Number(&offset, "offset", "The first line to read, from 1"),
			command.Number(&limit, "limit", "How many lines at most; 0 is no limit but 1 MiB of text"),
		},
	}
	return run(cmd, args, s, func(s command.Streams) (answer, error) {
		if offset < 0 || limit < 0 {
			return answer{}, errors.New("--offset " + strconv.Itoa(offset) + " and --limit " + strconv.Itoa(limit) + ": want 0 or more")
		}
		f, err := os.Open(s.Path(file))
		if err != nil {
			return answer{}, err
		}
		defer f.Close()
		w := window{first: max(1, offset), limit: limit}
		if err := w.read(f); err != nil {
			return answer{}, errors.New(file + ": " + err.Error())
		}
		return w.answer(file)
	})
}

// window is the part of a file that was asked for. The whole file is read all
// the same, to tell how many lines it has.
type window struct {
	first, limit int // lines
	content      []byte
	taken        int // lines in content
	total        int // lines in the file
	full         bool
}

func (w *window) read(r io.Reader) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	inLine := false
	for {
		part, err := lines.ReadSlice('\n')
		if len(part) > 0 {
			if !inLine {
				w.total++
			}
			if bytes.IndexByte(part, 0) >= 0 {
				return errors.New("it is a binary file: line " + strconv.Itoa(w.total) + " holds a NUL byte")
			}
			w.take(part, !inLine)
			inLine = part[len(part)-1] != '\n'
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// take keeps a part of the current line when it is wanted.
func (w *window) take(part []byte, startsLine bool) {
	if w.full || w.total < w.first || w.limit > 0 && w.total >= w.first+w.limit {
		return
	}
	if startsLine {
		w.taken++
	}
	if room := maxContent - len(w.content); len(part) > room {
		w.full = true
		for room > 0 && !utf8.RuneStart(part[room]) {
			room--
		}
		part = part[:room]
	}
	w.content = append(w.content, part...)
}

func (w *window) answer(file string) (answer, error) {
	if !utf8.Valid(w.content) {
		return answer{}, errors.New(file + " is not UTF-8 text")
	}
	a := answer{string(w.content), object{
		{"file_path", file},
		{"offset", w.first},
		{"lines", w.taken},
		{"total_lines", w.total},
		{"truncated", w.full || w.first+w.taken-1 < w.total && w.taken > 0},
	}}
	if w.first > max(1, w.total) {
		return a, errors.New("--offset is " + strconv.Itoa(w.first) + ": " + file + " has " + strconv.Itoa(w.total) + " lines")
	}
	return a, nil
}
