package jobs

import (
	"fmt"
	"slices"
	"time"

	"boxfleet/limits"
)

// Bounds on what a job may wait for.
const (
	maxAfter   = 64                   // jobs and batches that After names
	maxKey     = 256                  // bytes of a key
	maxLimit   = 100_000              // of a concurrency or rate
	maxRatePer = 24 * time.Hour       // of a rate
	maxAhead   = 366 * 24 * time.Hour // of RunAt, from the time of submission
)

// validateWaiting judges what decides when a job starts.
func (j *Job) validateWaiting() []error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &limits.FieldError{Field: field, Err: fmt.Errorf(format, args...)})
	}
	key := func(field, k string) {
		if len(k) == 0 || len(k) > maxKey {
			bad(field, "%d bytes; a key has 1 to %d", len(k), maxKey)
		}
	}
	if !j.RunAt.IsZero() && !j.SubmittedAt.IsZero() && j.RunAt.After(j.SubmittedAt.Add(maxAhead)) {
		bad("run_at", "%s is more than a year ahead", j.RunAt.Format(time.RFC3339))
	}
	if !j.ExpiresAt.IsZero() && !j.ExpiresAt.After(j.RunAt) {
		bad("expires_at", "%s is not after run_at, %s: the job could never start", j.ExpiresAt.Format(time.RFC3339), j.RunAt.Format(time.RFC3339))
	}
	if a := j.After; a != nil {
		n := len(a.Jobs) + len(a.Batches)
		if n == 0 || n > maxAfter {
			bad("after", "names %d jobs and batches; write 1 to %d", n, maxAfter)
		}
		for _, id := range slices.Concat(a.Jobs, a.Batches) {
			if !ValidID(id) {
				bad("after", "%q is not an id", id)
			}
		}
		if slices.Contains(a.Jobs, j.ID) || j.Batch != "" && slices.Contains(a.Batches, j.Batch) {
			bad("after", "the job would wait for itself")
		}
		if a.When != "" && a.When != AfterSucceeded && a.When != AfterEnded {
			bad("after.when", "%q: write %s or %s", a.When, AfterSucceeded, AfterEnded)
		}
	}
	if c := j.Concurrency; c != nil {
		key("concurrency.key", c.Key)
		if c.Limit < 1 || c.Limit > maxLimit {
			bad("concurrency.limit", "%d; write 1 to %d", c.Limit, maxLimit)
		}
	}
	if r := j.Rate; r != nil {
		switch {
		case j.Concurrency == nil:
			key("rate.key", r.Key)
		case r.Key != "" && r.Key != j.Concurrency.Key:
			bad("rate.key", "%q is not the concurrency key %q; a job has one key", r.Key, j.Concurrency.Key)
		}
		if r.Limit < 1 || r.Limit > maxLimit {
			bad("rate.limit", "%d; write 1 to %d", r.Limit, maxLimit)
		}
		if per := time.Duration(r.Per); per < time.Millisecond || per > maxRatePer {
			bad("rate.per", "%s; write 1ms to %s", per, maxRatePer)
		}
	}
	if len(j.IdempotencyKey) > maxKey {
		bad("idempotency_key", "%d bytes; at most %d", len(j.IdempotencyKey), maxKey)
	}
	if j.IdempotencyWindow != 0 {
		switch w := time.Duration(j.IdempotencyWindow); {
		case j.IdempotencyKey == "":
			bad("idempotency_window", "is of no use without an idempotency_key")
		case w < time.Second || w > maxAhead:
			bad("idempotency_window", "%s; write 1s to a year, or leave it out for ever", w)
		}
	}
	if j.ReplayOf != "" && !ValidID(j.ReplayOf) {
		bad("replay_of", "%q is not an id", j.ReplayOf)
	}
	if j.ReuseResult && !j.Options.Deterministic {
		bad("reuse_result", "needs options.deterministic: only runs that must be equal can share a result")
	}
	return errs
}

// When a job held by After may start.
const (
	AfterSucceeded = "succeeded"
	AfterEnded     = "ended"
)
