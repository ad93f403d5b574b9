// Package text holds the tools that read files, or standard input when none is
// named, from end to end: cat, wc, sort, head, tail and uniq. A file named "-"
// is standard input. A file that cannot be read is complained about and the
// others are read all the same; the exit code is then 1.
package text

import (
	"io"
	"os"

	"boxfleet/toolbox/internal/command"
)

// each calls use with every named file in order, or with standard input, and
// reports whether all of them could be read.
func each(cmd *command.Command, s command.Streams, files []string, use func(name string, r io.Reader) error) bool {
	if len(files) == 0 {
		files = []string{"-"}
	}
	ok := true
	for _, name := range files {
		if err := with(s, name, use); err != nil {
			cmd.Fail(s, err)
			ok = false
		}
	}
	return ok
}

func with(s command.Streams, name string, use func(string, io.Reader) error) error {
	if name == "-" {
		return use(name, s.In)
	}
	f, err := os.Open(s.Path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	return use(name, f)
}

func exitCode(ok bool) int {
	if ok {
		return command.ExitOK
	}
	return command.ExitError
}
