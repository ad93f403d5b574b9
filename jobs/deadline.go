package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// This file holds what a job's own times and retry policy decide: whether
// another attempt starts, and whether a guest's exit counts as a failed one.

// maxEarly is how long a worker holds a job at most that came before its time.
// The server's schedules fire up to a second early (ADR-51); a job that seems
// to be earlier than this meets a clock that is wrong, and must not wait for it.
const maxEarly = 2 * time.Second

// untilDue waits for a job's RunAt if its schedule fired early. The slot is
// free meanwhile. An error says that the worker shuts down.
func (w *Worker) untilDue(ctx context.Context, a *Attempt) error {
	if a.Job.RunAt.IsZero() {
		return nil
	}
	d := min(a.Job.RunAt.Sub(w.now()), maxEarly)
	if d <= 0 {
		return nil
	}
	a.Park()
	if !sleep(ctx, d) {
		_ = a.Unpark(ctx)
		return context.Cause(ctx)
	}
	return a.Unpark(ctx)
}

// another decides whether one more attempt of a job may start. A job that
// waits, for its first attempt or for a further one, ends at ExpiresAt; one
// whose worker fell silent had started in time and goes on by its policy of
// retries.
func (w *Worker) another(j *Job, rec *Record) verdict {
	now := w.now()
	switch {
	case rec.State != Running && expired(j.ExpiresAt, now):
		return claimExpired
	case rec.counted() >= w.maxAttempts(j), w.retriesOver(j, rec, now) != nil:
		return claimSpent
	}
	return claimRun
}

func expired(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// spentError says why no further attempt of a job starts.
type spentError struct{ reason string }

func (e *spentError) Error() string { return e.reason }

// retriesOver says why a job that was tried already is not tried again,
// whatever its number of attempts; nil if it may be.
func (w *Worker) retriesOver(j *Job, rec *Record, now time.Time) error {
	if rec.Attempt == 0 {
		return nil
	}
	if expired(j.Retry.NotAfter, now) {
		return &spentError{fmt.Sprintf("no attempt starts after not_after, %s", stamp(j.Retry.NotAfter))}
	}
	// Attempts that the budget does not pay for do not age a job either: a
	// store that was away for a day must not end everything it kept waiting.
	i := slices.IndexFunc(rec.Tries, func(t Try) bool { return !t.Uncounted })
	if i >= 0 && now.Sub(rec.Tries[i].At) > w.cfg.MaxRetryAge {
		return &spentError{fmt.Sprintf("its first attempt failed at %s, and this worker tries a job again for %s at most", stamp(rec.Tries[i].At), w.cfg.MaxRetryAge)}
	}
	return nil
}

// whySpent is the reason for which a claim found no attempt left.
func (w *Worker) whySpent(a *Attempt) error {
	if a.rec.counted() < w.maxAttempts(a.Job) {
		if err := w.retriesOver(a.Job, a.rec, w.now()); err != nil {
			return err
		}
	}
	return &spentError{fmt.Sprintf("all %d attempts are spent", a.rec.counted())}
}

// spentText is the error of a job that is not tried again.
func spentText(why *spentError, rec *Record) string {
	text := why.reason
	if n := len(rec.Tries); n > 0 {
		text += "; the last one: " + rec.Tries[n-1].Error
	}
	return text
}

// expiredResult is how a job ends that waited longer than it was to.
func expiredResult(j *Job, rec *Record) *Result {
	res := &Result{Outcome: Canceled, ExitCode: -1}
	switch n := len(rec.Tries); {
	case n == 0:
		res.Error = fmt.Sprintf("expired at %s, before it was started", stamp(j.ExpiresAt))
	default:
		res.Error = fmt.Sprintf("expired at %s, while it waited for another attempt; the last one: %s", stamp(j.ExpiresAt), rec.Tries[n-1].Error)
	}
	return res
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z07:00") }

// ExitCodeError says that a guest exited with a code that its job asked to be
// tried again.
type ExitCodeError struct{ Code int }

func (e *ExitCodeError) Error() string {
	return fmt.Sprintf("it exited with code %d, which the job says to try again", e.Code)
}

// retriesExit tells whether a guest's exit is a failed attempt with another
// one to follow. The last attempt's exit is the job's result.
func (w *Worker) retriesExit(a *Attempt, res *Result) bool {
	return res.Outcome == Exited && slices.Contains(a.Job.Retry.OnExitCodes, res.ExitCode) &&
		a.rec.counted() < w.maxAttempts(a.Job) && w.retriesOver(a.Job, a.rec, w.now()) == nil &&
		!expired(a.Job.ExpiresAt, w.now())
}

// exitFails gives a job back whose guest exited with a code to be tried again.
// What the attempt uploaded is named by no result, and goes when the job ends.
func (w *Worker) exitFails(ctx context.Context, a *Attempt, res *Result) {
	err := &ExitCodeError{res.ExitCode}
	w.log.InfoContext(ctx, "attempt failed by its exit code", "job", a.Job.ID, "attempt", a.Number, "exit_code", res.ExitCode)
	w.metrics.attemptFailed(ctx, ClassTransient)
	w.giveBack(ctx, a, err, true)
}

// asSpent reads the reason out of an error that says that attempts are spent.
func asSpent(err error) (*spentError, bool) { return errors.AsType[*spentError](err) }
