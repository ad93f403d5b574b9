package submitcli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"boxfleet/jobs"
)

// halted ends a batch in the middle: by Ctrl-C or because the fleet went away.
// It says what is submitted and how to go on.
func (b *batchRun) halted(ctx context.Context, err error) error {
	n, all := int(b.submitted.Load()), b.plan.valid
	interrupted := ctx.Err() != nil
	if !interrupted {
		for l := range splitLines(err) {
			b.app.say("%s", plain(l))
		}
	}
	b.app.say("%d of %s submitted; they go on without this program", n, count(all, "job"))
	if n < all {
		b.app.say("to submit the rest, run the same command again%s: nothing runs twice", b.again())
	}
	if n > 0 {
		b.app.say("to wait for them: submit wait --batch %s; to cancel them: submit cancel --batch %s", b.plan.id, b.plan.id)
	}
	if interrupted {
		return exitWith(exitInterrupted)
	}
	code, _ := b.app.verdict(err)
	return exitWith(code)
}

// again is what must be added to the command to get the same batch id.
func (b *batchRun) again() string {
	if b.flags.fresh {
		return " with --batch-id " + b.plan.id + " instead of --fresh"
	}
	return ""
}

// leave ends a batch that nobody waits for.
func (b *batchRun) leave(context.Context) error {
	n, before := int(b.submitted.Load()), int(b.repeated.Load())
	if b.app.globals.json {
		err := b.app.printLine(map[string]any{"batch": b.plan.id, "submitted": n, "submitted_before": before, "skipped": b.plan.bad})
		return errors.Join(err, exitWith(unfinishedIf(b.plan.bad > 0)))
	}
	if _, err := fmt.Fprintln(b.app.Stdout, b.plan.id); err != nil {
		return wroteOut(err)
	}
	already := ""
	if before > 0 {
		already = fmt.Sprintf(" (%d of them before)", before)
	}
	b.app.remark("%s submitted%s; wait for them with: submit wait --batch %s", count(n, "job"), already, b.plan.id)
	return exitWith(unfinishedIf(b.plan.bad > 0))
}

// finish prints the summary of a batch whose jobs have all ended.
func (b *batchRun) finish() error {
	b.summary.seconds = time.Since(b.started).Seconds()
	if err := b.sink.close(); err != nil {
		return err
	}
	var err error
	switch {
	case b.app.globals.json && b.flags.results != "-":
		err = b.app.printJSON(b.summary.document())
	case b.flags.results == "-":
		if !b.app.globals.quiet {
			err = b.summary.print(b.app.Stderr)
		}
	default:
		err = b.summary.print(b.app.Stdout)
	}
	if err != nil {
		return err
	}
	return exitWith(unfinishedIf(b.failed.Load() > 0 || b.plan.bad > 0))
}

// results is where a batch's results go, one JSON object a line.
type results struct {
	mu     sync.Mutex
	out    *bufio.Writer
	enc    *json.Encoder
	file   *os.File // nil for standard output
	closed bool
	last   time.Time
}

// resultLine is one line of the results: the result and the line of the batch
// file it belongs to.
type resultLine struct {
	Line int `json:"line"`
	*jobs.Result
}

// openResults makes the file of --results. Without one it gives a sink that
// takes nothing.
func (a *app) openResults(f *batchFlags) (*results, error) {
	r := &results{}
	switch f.results {
	case "":
		return r, nil
	case "-":
		r.use(a.Stdout)
		return r, nil
	}
	file, err := os.Create(f.results)
	if err != nil {
		return nil, usagef("--results: %w", plainPathError(err))
	}
	r.file = file
	r.use(file)
	return r, nil
}

func (r *results) use(w io.Writer) {
	r.out = bufio.NewWriterSize(w, 64<<10)
	r.enc = json.NewEncoder(r.out)
	r.enc.SetEscapeHTML(false)
	r.last = time.Now()
}

// write adds a result. What is written reaches the file within a second or
// so, for those who follow it.
func (r *results) write(line int, res *jobs.Result) error {
	if r.out == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.enc.Encode(resultLine{line, inLists(res)}); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if now := time.Now(); now.Sub(r.last) > time.Second {
		r.last = now
		if err := r.out.Flush(); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}

// close may be called more than once.
func (r *results) close() error {
	if r.out == nil || r.closed {
		return nil
	}
	r.closed = true
	err := r.out.Flush()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}
