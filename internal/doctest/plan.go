package doctest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Step is one block with what the test does with it.
type Step struct {
	Block *Block
	// Run is set when the block's commands are run; else they are parsed.
	Run    bool
	Reason string // why it is only parsed
	// Commands of boxfleet in it, and others.
	Ours, Others int
}

// shellLangs are the fences whose blocks are commands.
func shellLang(lang string) bool {
	switch lang {
	case "sh", "bash", "shell", "console":
		return true
	}
	return false
}

// Plan checks every command of a document and says which blocks to run. All
// faults are reported together, with the document's name and line.
func Plan(d *Document, c *Checker) ([]Step, error) {
	var steps []Step
	var errs []error
	for i := range d.Blocks {
		b := &d.Blocks[i]
		step, use, err := planBlock(b, c)
		for _, e := range split(err) {
			errs = append(errs, fmt.Errorf("%s:%w", d.Name, e))
		}
		if use {
			steps = append(steps, step)
		}
	}
	for _, s := range d.Spans {
		if err := c.CheckSynopsis(s.Text); err != nil && !errors.Is(err, ErrNotOurs) && strings.Contains(s.Text, " ") {
			errs = append(errs, fmt.Errorf("%s:%d: %w", d.Name, s.Line, err))
		}
	}
	return steps, errors.Join(errs...)
}

func split(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// planBlock judges one block. Errors begin with their line.
func planBlock(b *Block, c *Checker) (step Step, use bool, err error) {
	if _, ok := b.Mark(NotCommands); ok {
		return Step{}, false, nil
	}
	shell := shellLang(b.Lang)
	if !shell {
		ours := -1
		for i, l := range b.Lines {
			first, rest, _ := strings.Cut(strings.TrimPrefix(l, "$ "), " ")
			if _, ok := c.Program(first); ok && rest != "" && ours < 0 {
				ours = i
			}
		}
		if ours < 0 {
			if len(b.Marks) > 0 {
				return Step{}, false, fmt.Errorf("%d: the block has no command, so its comment says nothing", b.Line)
			}
			return Step{}, false, nil
		}
		if b.Lang != "indented" {
			return Step{}, false, fmt.Errorf("%d: the block shows a command: write ```sh or ```console, or <!-- doctest: not commands: why --> before it", b.Line+ours)
		}
	}
	step = Step{Block: b, Run: true}
	exit, _ := b.Mark(Exit)
	wrong := exit.Text == "2" // the block shows a wrong command line, and what it leads to
	if m, ok := b.Mark(ParseOnly); ok {
		step.Run, step.Reason = false, m.Text
	}
	if m, ok := b.Mark(Needs); ok && !c.Toolchains {
		step.Run, step.Reason = false, "needs "+m.Text
	}
	_, synopsis := b.Mark(Synopsis)
	if synopsis {
		step.Run, step.Reason = false, "synopsis"
	}
	var errs []error
	for _, piece := range pieces(b) {
		if synopsis || !step.Run && isSynopsis(piece.text) {
			for l := range strings.SplitSeq(piece.text, "\n") {
				err := c.CheckSynopsis(l)
				switch {
				case errors.Is(err, ErrNotOurs):
					step.Others++
				case err != nil:
					errs = append(errs, fmt.Errorf("%d: %w", b.Line+piece.line, err))
				default:
					step.Ours++
				}
			}
			continue
		}
		if isSynopsis(piece.text) {
			errs = append(errs, fmt.Errorf("%d: %q is no command but a form: write <!-- doctest: synopsis --> before the block", b.Line+piece.line, strings.TrimSpace(piece.text)))
			continue
		}
		commands, err := Commands(piece.text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%d: %w", b.Line+piece.line, err))
			continue
		}
		for _, cmd := range commands {
			err := c.Check(cmd.Words)
			switch {
			case err != nil && wrong:
				step.Ours++
			case errors.Is(err, ErrNotOurs):
				step.Others++
			case err != nil:
				errs = append(errs, fmt.Errorf("%d: %w", b.Line+piece.line+cmd.Line-1, err))
			default:
				step.Ours++
			}
		}
	}
	return step, true, errors.Join(errs...)
}

type piece struct {
	line int
	text string
}

// pieces are a block's scripts: the whole, or each command of a console block.
func pieces(b *Block) []piece {
	if b.Lang == "console" {
		var out []piece
		list, _ := Console(b.Lines)
		for _, s := range list {
			out = append(out, piece{s.Line, s.Script})
		}
		return out
	}
	return []piece{{0, strings.Join(b.Lines, "\n")}}
}

// isSynopsis tells a form from a command: it has optional flags in brackets.
func isSynopsis(text string) bool { return optional.MatchString(text) }

var optional = regexp.MustCompile(`(^|\s)\[(-|flags\b)|\.\.\.\](\s|$)`)
