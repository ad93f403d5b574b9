package submitcli

import (
	"errors"

	"github.com/spf13/pflag"

	"boxfleet/jobs"
)

// onceFlags are the flags that make several submissions, or several equal
// jobs, cost one run.
type onceFlags struct {
	key, window string
	reuse       bool
}

func (f *onceFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.key, "idempotency-key", "", "submissions with the same key give the first one's job")
	fs.StringVar(&f.window, "idempotency-window", "", "how long the key is remembered, such as 24h; for ever when absent")
	fs.BoolVar(&f.reuse, "reuse-result", false, "with --deterministic: answer from the result cache if an equal job has succeeded")
}

// apply puts the flags into the job.
func (f *onceFlags) apply(j *jobs.Job) error {
	var errs []error
	if err := duration(f.window, &j.IdempotencyWindow); err != nil {
		errs = append(errs, usagef("--idempotency-window: %w", bare(err)))
	}
	if f.window != "" && f.key == "" {
		errs = append(errs, usagef("--idempotency-window is of no use without --idempotency-key"))
	}
	if f.reuse && !j.Options.Deterministic {
		errs = append(errs, usagef("--reuse-result needs --deterministic: only runs that must be equal can share a result"))
	}
	j.IdempotencyKey, j.ReuseResult = f.key, f.reuse
	return errors.Join(errs...)
}
