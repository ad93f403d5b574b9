package submitcli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"boxfleet/jobs"
	"boxfleet/limits"
)

// whenFlags say when a job starts, what it waits for, and how long it is
// worth trying.
type whenFlags struct {
	runAt, delay, expiresAt, expiresIn string
	after, afterBatch                  []string
	afterEnded                         bool
	retryOnExit                        []int
	notAfter                           string
}

func (f *whenFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.runAt, "run-at", "", "start at this time at the earliest, such as 2026-01-31T15:04:05Z")
	fs.StringVar(&f.delay, "delay", "", "start after this time at the earliest, such as 90s or 2h")
	fs.StringVar(&f.expiresAt, "expires-at", "", "cancel the job if it has not started by this time")
	fs.StringVar(&f.expiresIn, "expires-in", "", "cancel the job if it has not started after this time")
	fs.StringSliceVar(&f.after, "after", nil, "start when this job has succeeded; repeatable, or several with commas")
	fs.StringSliceVar(&f.afterBatch, "after-batch", nil, "start when all jobs of this batch have succeeded; repeatable, or several with commas")
	fs.BoolVar(&f.afterEnded, "after-ended", false, "with --after or --after-batch: start when they have ended, however")
	f.registerRetry(fs)
}

// registerRetry are the flags that also make sense for a job that is made
// again and again.
func (f *whenFlags) registerRetry(fs *pflag.FlagSet) {
	fs.IntSliceVar(&f.retryOnExit, "retry-on-exit", nil, "exit code that is tried again instead of being the result; repeatable, or several with commas")
	fs.StringVar(&f.notAfter, "not-after", "", "no attempt but the first starts after this time: a date, or a duration from now")
}

// apply puts into the job what needs no clock.
func (f *whenFlags) apply(j *jobs.Job) error {
	var errs []error
	for _, pair := range []struct{ a, b, flags string }{{f.runAt, f.delay, "--run-at and --delay"}, {f.expiresAt, f.expiresIn, "--expires-at and --expires-in"}} {
		if pair.a != "" && pair.b != "" {
			errs = append(errs, usagef("%s exclude each other", pair.flags))
		}
	}
	if f.afterEnded && len(f.after)+len(f.afterBatch) == 0 {
		errs = append(errs, usagef("--after-ended is of no use without --after or --after-batch"))
	}
	for _, code := range f.retryOnExit {
		if code < 1 || code > 255 {
			errs = append(errs, usagef("--retry-on-exit: %d is no exit code of a failure; write 1 to 255", code))
		}
	}
	_, err := f.times(time.Unix(0, 0))
	errs = append(errs, err)
	if len(f.after)+len(f.afterBatch) > 0 {
		j.After = &jobs.After{Jobs: f.after, Batches: f.afterBatch}
		if f.afterEnded {
			j.After.When = jobs.AfterEnded
		}
	}
	j.Retry.OnExitCodes = f.retryOnExit
	return errors.Join(errs...)
}

// jobTimes are the points in time that a job's flags name.
type jobTimes struct{ runAt, expiresAt, notAfter time.Time }

// times reads them; now is the fleet's time, from which durations count.
func (f *whenFlags) times(now time.Time) (jobTimes, error) {
	var out jobTimes
	var errs []error
	for _, t := range []struct {
		flag, value string
		date, since bool
		to          *time.Time
	}{
		{"run-at", f.runAt, true, false, &out.runAt}, {"delay", f.delay, false, true, &out.runAt},
		{"expires-at", f.expiresAt, true, false, &out.expiresAt}, {"expires-in", f.expiresIn, false, true, &out.expiresAt},
		{"not-after", f.notAfter, true, true, &out.notAfter},
	} {
		if t.value == "" {
			continue
		}
		at, err := parseTime(t.value, now, t.date, t.since)
		if err != nil {
			errs = append(errs, usagef("--%s: %w", t.flag, err))
		}
		*t.to = at
	}
	return out, errors.Join(errs...)
}

// relative tells whether a flag counts from now.
func (f *whenFlags) relative() bool { return f.delay != "" || f.expiresIn != "" || f.notAfter != "" }

// settle puts the times into the job.
func (f *whenFlags) settle(j *jobs.Job, now time.Time) error {
	t, err := f.times(now)
	j.RunAt, j.ExpiresAt, j.Retry.NotAfter = t.runAt, t.expiresAt, t.notAfter
	return err
}

// parseTime reads a date, or a duration from now on, as far as either is
// allowed.
func parseTime(s string, now time.Time, date, duration bool) (time.Time, error) {
	if date {
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t.UTC(), nil
		}
	}
	if duration {
		if d, err := limits.ParseDuration(s); err == nil {
			return now.Add(time.Duration(d)).UTC(), nil
		}
	}
	switch {
	case !duration:
		return time.Time{}, fmt.Errorf("%q is no date such as 2026-01-31T15:04:05Z or 2026-01-31T15:04:05+01:00", s)
	case !date:
		return time.Time{}, fmt.Errorf("%q is no duration such as 90s, 10m or 2h", s)
	}
	return time.Time{}, fmt.Errorf("%q is neither a duration such as 10m nor a date such as 2026-01-31T15:04:05Z", s)
}

// sayWhen tells what a job waits for that is about to be submitted and
// followed, and of what nobody has heard yet.
func (a *app) sayWhen(ctx context.Context, c *jobs.Client, j *jobs.Job) {
	if !j.RunAt.IsZero() && j.RunAt.After(c.Now(ctx)) {
		a.remark("job %s starts %s", j.ID, whenAhead(j.RunAt))
	}
	if j.After == nil {
		return
	}
	a.remark("job %s waits for %s", j.ID, afterText(j.After))
	var missing *jobs.NotFoundError
	for _, id := range j.After.Jobs {
		if _, err := c.Get(ctx, id); errors.As(err, &missing) {
			a.remark("job %s is not known yet; it is waited for for %s", id, roughly(jobs.UnknownAfter))
		}
	}
	for _, id := range j.After.Batches {
		if _, err := c.Batch(ctx, id); errors.As(err, &missing) {
			a.remark("batch %s is not known yet; it is waited for for %s", id, roughly(jobs.UnknownAfter))
		}
	}
}

// stateAhead is the state, and for a scheduled job how far away its time is.
func stateAhead(rec *jobs.Record) string {
	if d := time.Until(rec.RunAt); rec.State == jobs.Scheduled && d > 0 {
		return state(rec) + " in " + roughly(d)
	}
	return state(rec)
}
