package shell

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"boxfleet/toolbox/internal/command"
)

// fileProgram is a program that changes files: it has operands, switches and
// prints nothing when all is well.
type fileProgram struct {
	name, description string
	paths             []string
	switches          []*command.Option
}

// run parses args and calls work; least is how many operands it needs.
func (p *fileProgram) run(args []string, s command.Streams, least int, work func() error) int {
	paths := command.Strings(&p.paths, "path", "What to work on")
	cmd := &command.Command{
		Name: p.name, Version: "1.0.0", Permission: "write",
		Description: p.description,
		Keywords:    []string{p.name},
		Positional:  []*command.Option{paths},
		Options:     append([]*command.Option{paths}, p.switches...),
	}
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	if len(p.paths) < least {
		cmd.Fail(s, errors.New("an operand is missing"))
		return command.ExitUsage
	}
	if err := work(); err != nil {
		return cmd.Fail(s, err)
	}
	return command.ExitOK
}

// forEach goes on after a path that fails and returns all the failures.
func (p *fileProgram) forEach(work func(name string) error) error {
	var failed []error
	for _, name := range p.paths {
		failed = append(failed, work(name))
	}
	return errors.Join(failed...)
}

func mkdir(args []string, s command.Streams) int {
	var parents bool
	p := &fileProgram{name: "mkdir", description: "Make directories.", switches: []*command.Option{
		command.Bool(&parents, "parents", "Make those above too, and be content with one that exists").Short('p'),
	}}
	return p.run(args, s, 1, func() error {
		return p.forEach(func(name string) error {
			if parents {
				return os.MkdirAll(s.Path(name), 0o755)
			}
			return os.Mkdir(s.Path(name), 0o755)
		})
	})
}

func rm(args []string, s command.Streams) int {
	var recursive, force bool
	p := &fileProgram{name: "rm", description: "Remove files.", switches: []*command.Option{
		command.Bool(&recursive, "recursive", "Remove directories and all below them").Short('r'),
		command.Bool(&force, "force", "Be content with a file that does not exist").Short('f'),
	}}
	return p.run(args, s, 0, func() error {
		return p.forEach(func(name string) error {
			info, err := os.Lstat(s.Path(name))
			switch {
			case force && errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case info.IsDir() && !recursive:
				return errors.New(name + " is a directory: use -r")
			case info.IsDir():
				return os.RemoveAll(s.Path(name))
			}
			return os.Remove(s.Path(name))
		})
	})
}

func touch(args []string, s command.Streams) int {
	p := &fileProgram{name: "touch", description: "Set files' times to now; make those that do not exist."}
	return p.run(args, s, 1, func() error {
		return p.forEach(func(name string) error {
			f, err := os.OpenFile(s.Path(name), os.O_WRONLY|os.O_CREATE, 0o644)
			if err != nil {
				return err
			}
			now := time.Now()
			return errors.Join(f.Close(), os.Chtimes(s.Path(name), now, now))
		})
	})
}

func mv(args []string, s command.Streams) int {
	p := &fileProgram{name: "mv", description: "Rename files, or move them into a directory: the last path."}
	return p.run(args, s, 2, func() error {
		return p.intoLast(s, os.Rename)
	})
}

func cp(args []string, s command.Streams) int {
	var recursive bool
	p := &fileProgram{name: "cp", description: "Copy files to the last path, which is a directory when there are several.", switches: []*command.Option{
		command.Bool(&recursive, "recursive", "Copy directories and all below them").Short('r'),
	}}
	return p.run(args, s, 2, func() error {
		return p.intoLast(s, func(from, to string) error { return copyTree(from, to, recursive) })
	})
}

// intoLast applies work to each path but the last, and to where it goes: the
// last path, or its own name in there when that is a directory.
func (p *fileProgram) intoLast(s command.Streams, work func(from, to string) error) error {
	last := len(p.paths) - 1
	to := s.Path(p.paths[last])
	info, err := os.Stat(to)
	intoDir := err == nil && info.IsDir()
	if last > 1 && !intoDir {
		return errors.New(p.paths[last] + " is not a directory")
	}
	p.paths = p.paths[:last]
	return p.forEach(func(name string) error {
		if intoDir {
			return work(s.Path(name), path.Join(to, path.Base(name)))
		}
		return work(s.Path(name), to)
	})
}

func copyTree(from, to string, recursive bool) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return copyFile(from, to, info.Mode().Perm())
	}
	if !recursive {
		return errors.New(from + " is a directory: use -r")
	}
	entries, err := os.ReadDir(from) // before to is made: it may be inside
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, entry := range entries {
		if err := copyTree(path.Join(from, entry.Name()), path.Join(to, entry.Name()), true); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string, mode fs.FileMode) error {
	if path.Clean(from) == path.Clean(to) {
		return errors.New(from + " and " + to + " are the same file")
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func tee(args []string, s command.Streams) int {
	var more bool
	p := &fileProgram{name: "tee", description: "Copy standard input to standard output and to files.", switches: []*command.Option{
		command.Bool(&more, "append", "Write at the files' ends").Short('a'),
	}}
	return p.run(args, s, 0, func() error {
		to := []io.Writer{s.Out}
		flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		if more {
			flag = os.O_WRONLY | os.O_CREATE | os.O_APPEND
		}
		for _, name := range p.paths {
			f, err := os.OpenFile(s.Path(name), flag, 0o644)
			if err != nil {
				return err
			}
			defer f.Close()
			to = append(to, f)
		}
		_, err := io.Copy(io.MultiWriter(to...), s.In)
		return err
	})
}
