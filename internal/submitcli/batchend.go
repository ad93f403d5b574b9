package submitcli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
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
	b.closeEarly(ctx, err, n)
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
	if n := len(b.expired); n > 0 {
		b.app.remark("%s ended so long ago, by their idempotency keys, that their results are no longer kept", count(n, "job"))
	}
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

// results is where a batch's results go: one JSON object a line, a result with
// the line of the batch file it belongs to. One goroutine writes.
type results struct {
	out    *bufio.Writer
	file   *os.File // nil for standard output
	closed bool
	last   time.Time
}

// openResults makes the file of --results. Without one it gives a sink that
// takes nothing.
func (a *app) openResults(f *batchFlags) (*results, error) {
	switch f.results {
	case "":
		return &results{}, nil
	case "-":
		return newResults(a.Stdout), nil
	}
	file, err := os.Create(f.results)
	if err != nil {
		return nil, usagef("--results: %w", plainPathError(err))
	}
	r := newResults(file)
	r.file = file
	return r, nil
}

func newResults(w io.Writer) *results {
	return &results{out: bufio.NewWriterSize(w, 64<<10), last: time.Now()}
}

// write adds a result, given as a JSON object on one line. What is written
// reaches the file within a second or so, for those who follow it.
func (r *results) write(line int, result []byte) error {
	if r.out == nil {
		return nil
	}
	head := strconv.AppendInt(append(r.out.AvailableBuffer(), `{"line":`...), int64(line), 10)
	_, _ = r.out.Write(append(head, ',')) // a bufio.Writer keeps its first error
	_, _ = r.out.Write(result[1:])
	err := r.out.WriteByte('\n')
	if now := time.Now(); err == nil && now.Sub(r.last) > time.Second {
		r.last = now
		err = r.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("write results: %w", err)
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
