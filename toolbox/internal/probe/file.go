package probe

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

func list(p *process) error {
	dir := "."
	if len(p.values) > 0 {
		dir = p.values[0]
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	return printEntries(p, entries)
}

func printEntries(p *process, entries []os.DirEntry) error {
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		printInfo(p, info)
	}
	return nil
}

func printInfo(p *process, info os.FileInfo) {
	fmt.Fprintf(p.out, "%s %d %s\n", info.Mode().Type(), info.Size(), info.Name())
}

func stat(p *process) error {
	info, err := os.Lstat(p.values[0])
	if err != nil {
		return err
	}
	printInfo(p, info)
	return nil
}

func read(p *process) error {
	f, err := os.Open(p.values[0])
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(p.out, f)
	return err
}

func write(p *process) error {
	return os.WriteFile(p.values[0], []byte(p.values[1]), 0o644)
}

func appendTo(p *process) error {
	f, err := os.OpenFile(p.values[0], os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(p.values[1])
	return errors.Join(err, f.Close())
}

// fill writes a file of so many zero bytes, 64 KiB at a time, so that a quota is
// met half-way.
func fill(p *process) error {
	left, err := p.number(1, "BYTES")
	if err != nil {
		return err
	}
	f, err := os.Create(p.values[0])
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for left > 0 {
		n, err := f.Write(block[:min(left, len(block))])
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func mkdir(p *process) error   { return os.Mkdir(p.values[0], 0o755) }
func remove(p *process) error  { return os.Remove(p.values[0]) }
func rename(p *process) error  { return os.Rename(p.values[0], p.values[1]) }
func symlink(p *process) error { return os.Symlink(p.values[0], p.values[1]) }

// files makes so many small files.
func files(p *process) error {
	count, err := p.number(1, "COUNT")
	if err != nil {
		return err
	}
	for i := range count {
		name := path.Join(p.values[0], fmt.Sprintf("file-%06d", i))
		if err := os.WriteFile(name, fmt.Appendf(nil, "%d\n", i), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// open holds one file open so many times over.
func open(p *process) error {
	count, err := p.number(1, "COUNT")
	if err != nil {
		return err
	}
	var held []io.Closer
	defer func() {
		for _, f := range held {
			f.Close()
		}
	}()
	for range count {
		f, err := os.Open(p.values[0])
		if err != nil {
			return fmt.Errorf("after %d open files: %w", len(held), err)
		}
		if _, err := io.CopyN(io.Discard, f, 1); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read open file %d: %w", len(held), err)
		}
		held = append(held, f)
	}
	fmt.Fprintf(p.out, "opened %d\n", len(held))
	return nil
}
