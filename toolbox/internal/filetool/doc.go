// Package filetool holds the file tools made for agents: file-read, file-write,
// file-edit and file-glob. Each prints one JSON object on standard output,
//
//	{"content": "...", "is_error": false, "metadata": {...}}
//
// for a failure too, so that a caller which looks at nothing else still learns
// of it: is_error is then true, content says what was wrong, and the exit code
// is 1, or 2 when the arguments were wrong. Text is UTF-8; what is not is refused
// and never bent.
package filetool

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"

	"boxfleet/toolbox/internal/command"
)

// maxEdit is the largest file that file-edit takes: it holds it twice.
const maxEdit = 64 << 20

// answer is what a tool found out.
type answer struct {
	content  string
	metadata object
}

// run parses args and prints what work answers, or why it could not.
func run(cmd *command.Command, args []string, s command.Streams, work func(command.Streams) (answer, error)) int {
	switch err := cmd.Parse(args); {
	case errors.Is(err, command.ErrHelp):
		s.Out.Write([]byte(cmd.Help()))
		return command.ExitOK
	case err != nil:
		return report(s, answer{content: cmd.Name + ": " + err.Error()}, true, command.ExitUsage)
	}
	a, err := work(s)
	if err != nil {
		return report(s, answer{content: cmd.Name + ": " + err.Error(), metadata: a.metadata}, true, command.ExitError)
	}
	return report(s, a, false, command.ExitOK)
}

func report(s command.Streams, a answer, isError bool, code int) int {
	text := object{{"content", a.content}, {"is_error", isError}, {"metadata", a.metadata}}.append(nil)
	if _, err := s.Out.Write(append(text, '\n')); err != nil {
		s.Err.Write([]byte("write the answer: " + err.Error() + "\n"))
		return command.ExitError
	}
	return code
}

// replaceFile puts content at name by way of a file beside it, so that a write
// that fails half-way (a quota, a full disk) leaves the old content whole.
func replaceFile(name string, content []byte, mode fs.FileMode) error {
	if resolved, err := followLink(name); err != nil {
		return err
	} else {
		name = resolved
	}
	var f *os.File
	for i := 0; ; i++ {
		var err error
		f, err = os.OpenFile(path.Join(path.Dir(name), "."+path.Base(name)+".new"+strconv.Itoa(i)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) || i == 100 {
			return err
		}
	}
	_, err := f.Write(content)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// followLink is where a write to name goes: renaming onto a symbolic link would
// replace the link and not the file behind it.
func followLink(name string) (string, error) {
	for range 40 {
		info, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
		if info.IsDir() {
			return "", errors.New(name + " is a directory")
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return name, nil
		}
		target, err := os.Readlink(name)
		if err != nil {
			return "", err
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = target
	}
	return "", errors.New(name + ": too many symbolic links")
}
