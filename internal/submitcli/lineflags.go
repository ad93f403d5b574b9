package submitcli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"boxfleet/jobs"
	"boxfleet/limits"
)

// lineFlags bound how many jobs of a key run at once and start in a time.
type lineFlags struct {
	key   string
	limit int
	rate  string
}

func (f *lineFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.key, "concurrency-key", "", "jobs of the tenant with the same key share --concurrency-limit")
	fs.IntVar(&f.limit, "concurrency-limit", 1, "how many jobs of the --concurrency-key run at once in the fleet")
	fs.StringVar(&f.rate, "rate", "", "how many jobs of a key may start in a time: N/TIME[:KEY], such as 10/s or 100/5m:api; the key defaults to --concurrency-key")
}

// apply puts the flags into the job.
func (f *lineFlags) apply(j *jobs.Job) error {
	var errs []error
	switch {
	case f.key != "":
		j.Concurrency = &jobs.Concurrency{Key: f.key, Limit: f.limit}
	case f.limit != 1:
		errs = append(errs, usagef("--concurrency-limit is of no use without --concurrency-key"))
	}
	if f.rate != "" {
		rate, err := parseRate(f.rate)
		if err == nil && rate.Key == "" && f.key == "" {
			err = errors.New("has no key; write N/TIME:KEY, or give --concurrency-key")
		}
		if err != nil {
			errs = append(errs, usagef("--rate: %q: %w", f.rate, err))
		} else {
			j.Rate = rate
		}
	}
	return errors.Join(errs...)
}

// rateUnits are times that stand for one of them.
var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

// parseRate reads N/TIME[:KEY].
func parseRate(s string) (*jobs.Rate, error) {
	amount, key, named := strings.Cut(s, ":")
	if named && key == "" {
		return nil, errors.New("the key after : is empty")
	}
	count, span, ok := strings.Cut(amount, "/")
	if !ok {
		return nil, errors.New("is no rate; write N/TIME[:KEY], such as 10/s or 100/5m:api")
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("%q is not how many jobs may start; write 1 or more", count)
	}
	per, ok := rateUnits[span]
	if !ok {
		d, err := limits.ParseDuration(span)
		if err != nil {
			return nil, err
		}
		per = time.Duration(d)
	}
	return &jobs.Rate{Key: key, Limit: n, Per: limits.Duration(per)}, nil
}
