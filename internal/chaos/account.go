package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"boxfleet/executor"
	"boxfleet/jobs"
)

// account is what became of every job.
type account struct {
	Accepted  int
	Lost      []string // not done at the end
	Twice     []string // committed more than once
	Wrong     []string // a result that is not what it must be
	Retried   int      // jobs that took more than one attempt
	Buried    int      // poison jobs in the dead letters
	Before    int      // objects that no result names, before the sweep
	Orphans   []string // and after it
	Left      int      // messages left in the queue
	Swept     executor.SweepReport
	SweepTook time.Duration
}

// good tells whether nothing is wrong.
func (a *account) good() bool {
	return len(a.Lost)+len(a.Twice)+len(a.Wrong)+len(a.Orphans)+a.Left == 0
}

// settled waits until every accepted job is done and the queue is empty, for
// as long as something still moves.
func settled(ctx context.Context, js jetstream.JetStream, w *watcher, accepted int, quiet time.Duration) (left int, err error) {
	started := time.Now()
	for {
		done, moved := w.progress()
		left = -1
		if stream, serr := js.Stream(ctx, jobs.StreamJobs); serr == nil {
			left = int(stream.CachedInfo().State.Msgs)
		}
		if done >= accepted && left == 0 {
			return 0, nil
		}
		if time.Since(moved) > quiet && time.Since(started) > quiet {
			return left, nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			return left, context.Cause(ctx)
		}
	}
}

// auditor holds every job against its record, its manifest and its objects.
type auditor struct {
	f      *fleet
	load   *load
	watch  *watcher
	ledger *jobs.Ledger
	js     jetstream.JetStream

	mu   sync.Mutex
	a    account
	keys map[string]bool // objects that results name
}

func (d *auditor) note(list *[]string, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*list = append(*list, fmt.Sprintf(format, args...))
}

// run judges all tasks, sweeps, and looks for what is left.
func (d *auditor) run(ctx context.Context, tasks []*task) (account, error) {
	d.keys = map[string]bool{}
	d.a.Accepted = len(tasks)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, k := range tasks {
		g.Go(func() error {
			if err := d.job(gctx, k); err != nil {
				return fmt.Errorf("audit job %s: %w", k.id, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return d.a, err
	}
	if err := d.letters(ctx, tasks); err != nil {
		return d.a, err
	}
	d.watch.mu.Lock()
	d.a.Twice = append(d.a.Twice, d.watch.twice...)
	d.watch.mu.Unlock()
	before, err := d.orphans(ctx)
	if err != nil {
		return d.a, err
	}
	d.a.Before = len(before)
	start := time.Now()
	d.a.Swept, err = executor.SweepOutputs(ctx, executor.SweepConfig{Store: d.f.store, Records: d.ledger, Log: d.f.log})
	if err != nil {
		return d.a, err
	}
	d.a.SweepTook = time.Since(start)
	d.a.Orphans, err = d.orphans(ctx)
	return d.a, err
}

// job judges one job.
func (d *auditor) job(ctx context.Context, k *task) error {
	rec, err := d.ledger.Record(ctx, k.tenant, k.id)
	if err != nil {
		return err
	}
	if rec == nil || rec.State != jobs.Done {
		d.note(&d.a.Lost, "%s: record %+v", k.id, rec)
		return nil
	}
	res := rec.Result
	d.mu.Lock()
	if rec.Attempt > 1 {
		d.a.Retried++
	}
	d.mu.Unlock()
	d.watch.mu.Lock()
	first := d.watch.jobs[k.tenant+"."+k.id].mark
	d.watch.mu.Unlock()
	if m := mark(rec); first != "" && first != m {
		d.note(&d.a.Twice, "%s: committed as %q, the record says %q", k.id, first, m)
	}
	if k.poison {
		if res.Outcome != jobs.Failed || res.Attempts != poisonAttempts {
			d.note(&d.a.Wrong, "%s: a poison job ended %s after %d attempts: %s", k.id, res.Outcome, res.Attempts, res.Error)
		}
		return nil
	}
	key := "out/" + k.tenant + "/" + k.id + "/manifest.json"
	d.name("s3://" + storeBucket + "/" + key)
	if res.Outcome != jobs.Succeeded {
		for _, f := range res.Outputs {
			d.name(res.OutputPrefix + f.Path)
		}
		d.note(&d.a.Wrong, "%s: %s on %s after %d attempts: %s; it said %q", k.id, res.Outcome, res.Worker, res.Attempts, res.Error, res.Stderr)
		return nil
	}
	stdout, err := d.stdout(ctx, res)
	if err != nil {
		d.note(&d.a.Wrong, "%s: its standard output: %v", k.id, err)
		return nil
	}
	file, err := d.object(ctx, res.OutputPrefix+"result")
	if err != nil {
		d.note(&d.a.Wrong, "%s: its result: %v", k.id, err)
		return nil
	}
	if err := k.check(res, d.load.inputs[k.input].data, file, stdout); err != nil {
		d.note(&d.a.Wrong, "%s: %v", k.id, err)
	}
	m, err := d.f.store.ReadManifest(ctx, "", key)
	switch {
	case err != nil:
		d.note(&d.a.Wrong, "%s: its manifest: %v", k.id, err)
	case m.Job != k.id || !strings.Contains(string(m.Result), res.OutputPrefix):
		d.note(&d.a.Twice, "%s: the manifest of attempt %d names other outputs than the record, %s", k.id, m.Attempt, res.OutputPrefix)
	}
	return nil
}

// name notes that a result names an object, and gives its key.
func (d *auditor) name(url string) (key string, ok bool) {
	if key, ok = strings.CutPrefix(url, "s3://"+storeBucket+"/"); ok {
		d.mu.Lock()
		d.keys[key] = true
		d.mu.Unlock()
	}
	return key, ok
}

// object reads what a result names.
func (d *auditor) object(ctx context.Context, url string) ([]byte, error) {
	key, ok := d.name(url)
	if !ok {
		return nil, fmt.Errorf("%q is not in the bucket", url)
	}
	return d.f.store.Get(ctx, "", key, 1<<24)
}

func (d *auditor) stdout(ctx context.Context, res *jobs.Result) ([]byte, error) {
	if res.StdoutKey == "" {
		return []byte(res.Stdout), nil
	}
	return d.object(ctx, res.StdoutKey)
}

// letters holds the dead letters against the poison jobs: each has one, and
// nothing else does.
func (d *auditor) letters(ctx context.Context, tasks []*task) error {
	found := map[string]int{}
	for _, tenant := range d.load.tasks.tenants {
		for letter, err := range d.load.clients[tenant].DeadLetters(ctx) {
			if err != nil {
				return err
			}
			found[letter.Job]++
		}
	}
	for _, k := range tasks {
		if !k.poison {
			continue
		}
		if found[k.id] != 1 {
			d.note(&d.a.Wrong, "%s: a poison job has %d dead letters", k.id, found[k.id])
		} else {
			d.a.Buried++
		}
		delete(found, k.id)
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		d.note(&d.a.Wrong, "%s: a dead letter of a job that does nothing wrong", id)
	}
	return nil
}

// orphans lists the objects below out/ that no result names. It trusts nothing
// that the sweep does.
func (d *auditor) orphans(ctx context.Context) (list []string, err error) {
	for o, err := range d.f.store.List(ctx, "", "out/") {
		if err != nil {
			return list, errors.Join(errors.New("look for orphans"), err)
		}
		if !d.keys[o.Key] {
			list = append(list, o.Key)
		}
	}
	return list, nil
}
