package submitcli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"boxfleet/internal/strictjson"
	"boxfleet/jobs"
	"boxfleet/limits"
	"boxfleet/limits/permission"
)

// Exit codes that are not a guest's own; jobs.Outcome.ExitCode has those of
// runs that the fleet ended.
const (
	exitOK          = 0
	exitUnfinished  = 1   // not everything succeeded, or what was asked for is not there
	exitUsage       = 2   // the command line, a job file or a job is wrong; nothing was sent
	exitFleet       = 125 // the fleet, its queue or its object store failed
	exitNoTool      = 127
	exitInterrupted = 130 // Ctrl-C; also of a canceled job
	exitPipe        = 141 // the reader of standard output is gone; what SIGPIPE gives other programs
	maxGuestCode    = 255
)

// exitError ends the program with a code. Without err nothing is printed: the
// command has said what there was to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// exitWith ends quietly with a code; 0 is no error.
func exitWith(code int) error {
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}

// usage marks an error as the user's.
func usage(err error) error { return &exitError{code: exitUsage, err: err} }

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// verdict decides the exit code of an error and what is printed about it.
func (a *app) verdict(err error) (code int, lines []string) {
	if err == nil {
		return exitOK, nil
	}
	if errors.Is(err, syscall.EPIPE) && !errors.As(err, new(*net.OpError)) {
		return exitPipe, nil
	}
	code = exitFleet
	var ee *exitError
	var missing *jobs.NotFoundError
	switch {
	case errors.As(err, &ee):
		if ee.err == nil {
			return ee.code, nil
		}
		code = ee.code
	case errors.As(err, new(*permission.DeniedError)):
		code = jobs.Denied.ExitCode()
	case errors.As(err, &missing) && missing.Kind == "tool":
		code = exitNoTool
	case errors.As(err, &missing):
		code = exitUnfinished
	case isUsers(err):
		code = exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted, []string{"interrupted"}
	}
	for l := range strings.SplitSeq(err.Error(), "\n") {
		if l = strings.TrimSpace(plain(l)); l != "" {
			lines = append(lines, l)
		}
	}
	return code, lines
}

// isUsers tells whether an error is about what the user wrote.
func isUsers(err error) bool {
	var field *limits.FieldError
	var unknown *strictjson.UnknownFieldError
	var large *jobs.TooLargeError
	return errors.As(err, &field) || errors.As(err, &unknown) || errors.As(err, &large)
}

type unknownFlag struct {
	name  string
	short bool
}

func asUnknownFlag(err error) (unknownFlag, bool) {
	var e *pflag.NotExistError
	if !errors.As(err, &e) {
		return unknownFlag{}, false
	}
	if s := e.GetSpecifiedShortnames(); s != "" {
		return unknownFlag{name: e.GetSpecifiedName(), short: true}, true
	}
	return unknownFlag{name: e.GetSpecifiedName()}, true
}

// runCode is what `run` exits with for a result.
func runCode(r *jobs.Result) int {
	if code := r.Outcome.ExitCode(); code >= 0 {
		return code
	}
	if r.ExitCode == 0 && r.ToolError != "" {
		return exitUnfinished
	}
	// A shell keeps the low byte only: 256 would read as success.
	if r.ExitCode < 0 || r.ExitCode > maxGuestCode {
		return maxGuestCode
	}
	return r.ExitCode
}
