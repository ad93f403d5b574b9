package doctest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Runner runs a document's steps, as its reader would.
type Runner struct {
	Dir string   // where the commands run: a directory like a fresh clone
	Env []string // of the shell
	Own string   // directory for the runner's own files
}

// prelude ends the document at the first command that fails and says where.
const prelude = `set -eE
trap 'code=$?; echo "$LINENO: exit code $code: $BASH_COMMAND" >> "$DOCTEST/failed"' ERR
`

// Run runs all steps in one shell. The error names the line of the document
// that failed and shows what was printed.
func (r *Runner) Run(ctx context.Context, name string, steps []Step) error {
	var script strings.Builder
	script.WriteString(prelude)
	var units []unit
	add := func(u unit, text, code string) error {
		u.file = fmt.Sprintf("%s/%d", r.Own, len(units))
		units = append(units, u)
		if err := os.WriteFile(u.file+".sh", []byte(text+"\n"), 0o600); err != nil {
			return err
		}
		switch code {
		case "":
			fmt.Fprintf(&script, ". '%s.sh' > '%s.out' 2>&1 < /dev/null\n", u.file, u.file)
		case "any":
			fmt.Fprintf(&script, "trap - ERR; set +e; . '%s.sh' > '%s.out' 2>&1 < /dev/null\n%s", u.file, u.file, prelude)
		default:
			fmt.Fprintf(&script, "trap - ERR; set +e; (set -e; . '%s.sh') > '%s.out' 2>&1 < /dev/null; code=$?\n%s", u.file, u.file, prelude)
			fmt.Fprintf(&script, "[ $code = %s ] || { echo \"1: exit code $code instead of %s\" >> \"$DOCTEST/failed\"; exit 1; }\n", code, code)
		}
		fmt.Fprintf(&script, "echo > '%s.done'\n", u.file)
		return nil
	}
	for _, s := range steps {
		if err := addStep(s, add); err != nil {
			return err
		}
	}
	runErr := r.shell(ctx, script.String())
	failed, _ := os.ReadFile(filepath.Join(r.Own, "failed"))
	for _, u := range units {
		out, _ := os.ReadFile(u.file + ".out")
		if _, err := os.Stat(u.file + ".done"); err != nil {
			line, what, _ := strings.Cut(strings.TrimSpace(firstLine(string(failed))), ":")
			n, _ := strconv.Atoi(line)
			return fmt.Errorf("%s:%d: %s%w\n%s", name, u.line+max(n, 1)-1, strings.TrimSpace(what)+" ", orStopped(runErr), out)
		}
		if u.shown != nil && !Same(u.shown, strings.Split(strings.TrimRight(string(out), "\n"), "\n")) {
			return fmt.Errorf("%s:%d: the document shows\n%s\nand this was printed\n%s", name, u.line, strings.Join(u.shown, "\n"), out)
		}
	}
	return runErr
}

// unit is a piece of the document with a result of its own.
type unit struct {
	line  int // of its first line in the document
	file  string
	shown []string // nil to look at no output
}

func addStep(s Step, add func(u unit, text, code string) error) error {
	b := s.Block
	if _, ok := b.Mark(Needs); ok && !s.Run {
		return nil // nor what prepares it
	}
	for _, m := range b.Marks { // several may be there
		if m.Kind == Setup {
			if err := add(unit{line: m.Line + 1}, m.Text, ""); err != nil {
				return err
			}
		}
	}
	var errs []error
	if s.Run {
		code := ""
		if m, ok := b.Mark(Exit); ok {
			code = m.Text
		}
		if b.Lang == "console" {
			list, ok := Console(b.Lines)
			if !ok {
				return fmt.Errorf("line %d: a console block begins with a command after \"$ \"", b.Line)
			}
			for i, c := range list {
				u, how := unit{line: b.Line + c.Line}, "any"
				if len(c.Output) == 0 {
					how = ""
				} else {
					u.shown = c.Output
				}
				if i == len(list)-1 && code != "" {
					how = code
				}
				errs = append(errs, add(u, c.Script, how))
			}
		} else {
			errs = append(errs, add(unit{line: b.Line}, strings.Join(b.Lines, "\n"), code))
		}
	}
	for _, m := range b.Marks {
		if m.Kind == Then {
			errs = append(errs, add(unit{line: m.Line + 1}, m.Text, ""))
		}
	}
	return errors.Join(errs...)
}

// shell runs the script in a process group of its own and ends the whole group
// when the script has ended.
func (r *Runner) shell(ctx context.Context, script string) error {
	path := filepath.Join(r.Own, "document.sh")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "bash", path)
	cmd.Dir = r.Dir
	cmd.Env = append(r.Env, "DOCTEST="+r.Own)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what the document left in the background
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the document does not end: %w", context.Cause(ctx))
	}
	return err
}

// firstLine is where it began: what calls a command that fails, fails next.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func orStopped(err error) error {
	if err == nil {
		return errors.New("(the shell ended before this block was done)")
	}
	return err
}
