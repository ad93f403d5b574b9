package command

import (
	"errors"
	"io"
	"path"
)

// Exit codes shared by the tools; a tool's own are in its package.
const (
	ExitOK    = 0
	ExitError = 1
	ExitUsage = 2
)

// Streams are a tool's standard streams and working directory. A tool uses these
// and never os.Stdout or the process's directory, so that the shell can run it
// in-process and a test natively.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Dir      string // what relative names are relative to; empty: the process's
}

// Path is where the file is that the command line calls name.
func (s Streams) Path(name string) string {
	if s.Dir == "" || path.IsAbs(name) {
		return name
	}
	return path.Join(s.Dir, name)
}

// Start parses args and reports whether the tool should go on; if not, code is
// what it exits with: help was printed, or the mistake was.
func (c *Command) Start(args []string, s Streams) (code int, goOn bool) {
	err := c.Parse(args)
	switch {
	case err == nil:
		return ExitOK, true
	case errors.Is(err, ErrHelp):
		if _, err := io.WriteString(s.Out, c.Help()); err != nil {
			return c.Fail(s, err), false
		}
		return ExitOK, false
	}
	io.WriteString(s.Err, c.Name+": "+err.Error()+"\n")
	return ExitUsage, false
}

// Fail prints err as the tool's and returns ExitError.
func (c *Command) Fail(s Streams, err error) int {
	io.WriteString(s.Err, c.Name+": "+err.Error()+"\n")
	return ExitError
}
