package submitcli

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"boxfleet/jobs"
)

// delivery is what becomes of a job made of the flags of `run`, if not one
// run of it: an array or a schedule.
type delivery struct {
	check func(ctx context.Context, c *jobs.Client, j *jobs.Job) error
	send  func(ctx context.Context, c *jobs.Client, j *jobs.Job) error
}

// check validates the job before anything is uploaded for it.
func (f *runFlags) check(ctx context.Context, c *jobs.Client, j *jobs.Job) error {
	if f.instead != nil {
		return f.instead.check(ctx, c, j)
	}
	return c.Check(j)
}

// array makes a run of the flags with --count.
func (a *app) array(f *runFlags) (*delivery, error) {
	if f.count < 1 || f.count > jobs.MaxArray {
		return nil, usagef("--count: %d; write 1 to %d", f.count, jobs.MaxArray)
	}
	for _, s := range f.outputs {
		if o, err := parseOutput(s); err == nil && o.dir != "" {
			return nil, usagef("--output %s: with --count, outputs go to an s3:// prefix with %s in it, or are fetched later with: submit result ID --output-dir DIR", s, jobs.Index)
		}
	}
	made := func(j *jobs.Job) *jobs.Array {
		pattern := *j
		return &jobs.Array{ID: j.ID, Count: f.count, Job: &pattern}
	}
	return &delivery{
		check: func(_ context.Context, c *jobs.Client, j *jobs.Job) error { return c.CheckArray(made(j)) },
		send: func(ctx context.Context, c *jobs.Client, j *jobs.Job) error {
			receipt, err := c.SubmitArray(ctx, made(j), nil)
			if err != nil {
				return err
			}
			if receipt.Duplicate {
				a.remark("array %s was submitted before; the first one stands", receipt.ID)
			}
			if f.detach {
				if a.globals.json {
					return a.printLine(map[string]any{"batch": receipt.ID, "submitted": f.count, "duplicate": receipt.Duplicate})
				}
				_, err = fmt.Fprintln(a.Stdout, receipt.ID)
				return wroteOut(err)
			}
			return a.followArray(ctx, c, receipt.ID)
		},
	}, nil
}

// arrayLook is how often the counts of an array are read.
const arrayLook = 200 * time.Millisecond

// followArray waits for the end of an array and says how its jobs ended.
func (a *app) followArray(ctx context.Context, c *jobs.Client, id string) error {
	started := time.Now()
	b, err := c.Batch(ctx, id)
	if err != nil {
		return err
	}
	var listed, ended, failed atomic.Int64
	bar := a.batchBar(b.Total, func() string {
		return fmt.Sprintf(" %d submitted  %d done  %d failed  %s", listed.Load(), ended.Load(), failed.Load(), rate(int(ended.Load()), time.Since(started).Seconds()))
	})
	defer bar.done()
	tick := time.NewTicker(arrayLook)
	defer tick.Stop()
	for b.State != jobs.BatchEnded {
		select {
		case <-ctx.Done():
			bar.done()
			a.say("array %s goes on without this program", id)
			a.say("to wait for it: submit wait --batch %s; to cancel it: submit cancel --batch %s", id, id)
			return exitWith(exitInterrupted)
		case <-tick.C:
		}
		now, err := c.Batch(ctx, id)
		switch {
		case err == nil:
			b = now
		case ctx.Err() == nil && !outage(err):
			return err
		}
		listed.Store(int64(b.Listed))
		ended.Store(int64(b.Ended()))
		failed.Store(int64(b.Ended() - b.Counts[jobs.Succeeded]))
		bar.set(b.Ended(), b.Total)
	}
	bar.done()
	if a.globals.json {
		err = a.printJSON(b)
	} else {
		err = a.printArrayEnd(b, time.Since(started))
	}
	if err != nil {
		return err
	}
	return exitWith(unfinishedIf(!b.AllSucceeded()))
}

func (a *app) printArrayEnd(b *jobs.Batch, took time.Duration) error {
	if _, err := fmt.Fprintf(a.Stdout, "batch %s: %s in %s\n", b.ID, count(b.Total, "job"), roughly(took)); err != nil {
		return wroteOut(err)
	}
	rows := [][]string{{"OUTCOME", "JOBS"}}
	for _, o := range jobs.Outcomes {
		if n := b.Counts[o]; n > 0 {
			rows = append(rows, []string{string(o), fmt.Sprint(n)})
		}
	}
	return a.table(rows)
}
