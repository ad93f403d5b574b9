package submitcli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// stream copies one of a guest's output streams to a local writer while the
// job runs, and completes it from the result. It neither repeats nor loses a
// byte: pieces are placed by their offset, a gap ends the live copy, and the
// rest comes from the result.
//
// A job whose worker was lost runs again and writes its output again. What was
// shown already is not shown twice; that it was the same is checked against
// the result by its hash.
type stream struct {
	name string // stdout or stderr
	out  io.Writer
	next int64 // bytes written so far
	sum  hash.Hash
	gap  bool
}

func newStream(name string, out io.Writer) *stream {
	return &stream{name: name, out: out, sum: sha256.New()}
}

// outputError says that this program's own output cannot be written, such as
// when the reader of a pipe is gone.
type outputError struct {
	stream string
	err    error
}

func (e *outputError) Error() string { return fmt.Sprintf("write %s: %v", e.stream, e.err) }
func (e *outputError) Unwrap() error { return e.err }

// errDiffers says that what was shown live is not what the result holds.
type differsError struct{ stream, id string }

func (e *differsError) Error() string {
	return fmt.Sprintf("the %s shown came in part from an attempt that was lost with its worker and differs from the final one; see it with: submit result %s", e.stream, e.id)
}

// piece writes what is new in a piece of output.
func (s *stream) piece(offset int64, data []byte) error {
	if s.gap || offset > s.next {
		s.gap = true // the result will fill it
		return nil
	}
	skip := s.next - offset
	if skip >= int64(len(data)) {
		return nil
	}
	return s.write(data[skip:])
}

func (s *stream) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n, err := s.out.Write(p)
	s.sum.Write(p[:n])
	s.next += int64(n)
	if err != nil {
		return &outputError{stream: s.name, err: err}
	}
	return nil
}

// finish writes what the result has beyond what was shown: from the result
// itself, or from the object at key.
func (s *stream) finish(ctx context.Context, a *app, id string, inline []byte, key string) error {
	rest := &tailWriter{s: s, skip: s.next, check: sha256.New()}
	if key == "" {
		_, err := rest.Write(inline)
		return s.finished(id, rest, err)
	}
	bucket, name, err := artifacts.ParseObject(key)
	if err != nil {
		return fmt.Errorf("fetch the whole %s of job %s: %w", s.name, id, err)
	}
	store, err := a.store(ctx)
	if err != nil {
		return err
	}
	if _, err = store.GetTo(ctx, bucket, name, math.MaxInt64, rest); err != nil {
		if out, ok := errors.AsType[*outputError](err); ok {
			return out
		}
		var differs *differsError
		if !errors.As(err, &differs) && !errors.Is(err, errPrefix) {
			return fmt.Errorf("fetch the whole %s of job %s: %w", s.name, id, err)
		}
	}
	return s.finished(id, rest, err)
}

func (s *stream) finished(id string, rest *tailWriter, err error) error {
	switch {
	case errors.Is(err, errPrefix), err == nil && rest.skip > 0:
		return &differsError{stream: s.name, id: id}
	}
	return err
}

var errPrefix = errors.New("another beginning")

// tailWriter takes a whole stream from its start: it compares the part that
// was shown with what was shown, and passes on the rest.
type tailWriter struct {
	s     *stream
	skip  int64 // bytes still to compare
	check hash.Hash
}

func (w *tailWriter) Write(p []byte) (int, error) {
	n := len(p)
	if w.skip > 0 {
		head := p[:min(int64(len(p)), w.skip)]
		w.check.Write(head)
		w.skip -= int64(len(head))
		p = p[len(head):]
		if w.skip == 0 && !bytes.Equal(w.check.Sum(nil), w.s.sum.Sum(nil)) {
			return 0, errPrefix
		}
	}
	if err := w.s.write(p); err != nil {
		return 0, err
	}
	return n, nil
}

// streams are the two of a job.
type streams struct{ stdout, stderr *stream }

func (a *app) newStreams() *streams {
	return &streams{stdout: newStream("stdout", a.Stdout), stderr: newStream("stderr", a.Stderr)}
}

func (s *streams) piece(c jobs.LogChunk) error {
	if c.Stream == s.stderr.name {
		return s.stderr.piece(c.Offset, c.Data)
	}
	return s.stdout.piece(c.Offset, c.Data)
}

// finish completes both from a result. A run that ended without a result of
// its own, such as one that never started, has no output to compare with.
func (s *streams) finish(ctx context.Context, a *app, r *jobs.Result) error {
	if r.Outcome == jobs.Failed || r.Outcome == jobs.Canceled {
		if len(r.Stdout) == 0 && r.StdoutKey == "" && len(r.Stderr) == 0 && r.StderrKey == "" {
			return nil
		}
	}
	return errors.Join(
		s.stdout.finish(ctx, a, r.ID, r.Stdout, r.StdoutKey),
		s.stderr.finish(ctx, a, r.ID, r.Stderr, r.StderrKey))
}
