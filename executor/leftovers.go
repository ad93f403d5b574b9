package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// Objects that no result names come about in three ways: an attempt was fenced
// after it had uploaded, a job ended with another attempt's outputs or with
// none, or a worker died. The first two are cleared away by whoever notices
// (DiscardRun, DiscardLosers); the third, and whatever could not be removed,
// by SweepOutputs.

var _ jobs.Discarder = (*Executor)(nil)

// DiscardRun removes what a fenced run uploaded. A run that had offered a
// manifest removes nothing until another one stands: its own may still be on
// its way, and the job's next attempt would then adopt outputs that are gone.
func (e *Executor) DiscardRun(ctx context.Context, a *jobs.Attempt) error {
	run := a.Uploaded()
	if run == "" {
		return nil
	}
	if a.Offered() {
		named, err := manifestNames(ctx, e.store, a.Job.Tenant, a.Job.ID)
		if err != nil || named == nil || named[run] {
			return err
		}
	}
	_, err := e.store.DeletePrefix(ctx, "", run)
	return err
}

// DiscardLosers removes every run's objects of a job that has ended, but those
// that its result or its manifest names.
func (e *Executor) DiscardLosers(ctx context.Context, a *jobs.Attempt, res *jobs.Result) error {
	keep := newNames(e.store, a.Job.Tenant, a.Job.ID)
	if err := keep.add(res); err != nil {
		return err
	}
	manifest, err := manifestNames(ctx, e.store, a.Job.Tenant, a.Job.ID)
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	var errs []error
	for o, err := range e.store.List(ctx, "", keep.job) {
		if err != nil {
			errs = append(errs, err)
			break
		}
		k, ok := parseOutputKey(o.Key)
		if !ok || k.run == "" || keep.runs[k.run] || manifest[k.run] || gone[k.run] {
			continue
		}
		gone[k.run] = true
		_, err := e.store.DeletePrefix(ctx, "", k.run)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// discardResult removes the objects of a run whose manifest was refused.
func (e *Executor) discardResult(ctx context.Context, a *jobs.Attempt, lost *jobs.Result) {
	key, ok := strings.CutPrefix(lost.OutputPrefix, "s3://"+e.store.Bucket()+"/")
	k, isRun := parseOutputKey(key)
	if !ok || !isRun || !strings.HasPrefix(k.run, a.OutputPrefix()) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if _, err := e.store.DeletePrefix(ctx, "", k.run); err != nil {
		e.cfg.Log.WarnContext(ctx, "cannot remove the outputs of a run that lost; the sweep will", "job", a.Job.ID, "attempt", a.Number, "error", err)
	}
}

// outputKey is an object's place below out/.
type outputKey struct {
	tenant, job string
	run         string // out/<tenant>/<job>/<attempt>/<run>/, "" for the manifest
}

// parseOutputKey reads a key of the forms
//
//	out/<tenant>/<job>/manifest.json
//	out/<tenant>/<job>/<attempt>/<run>/<anything>
//
// and refuses every other: what boxfleet did not write it must not remove.
func parseOutputKey(key string) (k outputKey, ok bool) {
	parts := strings.SplitN(key, "/", 6)
	if len(parts) < 4 || parts[0] != "out" || !jobs.ValidID(parts[1]) || !jobs.ValidID(parts[2]) {
		return k, false
	}
	k.tenant, k.job = parts[1], parts[2]
	if len(parts) == 4 {
		return k, parts[3] == "manifest.json"
	}
	if len(parts) != 6 || !isNumber(parts[3]) || !jobs.ValidID(parts[4]) {
		return k, false
	}
	k.run = strings.Join(parts[:5], "/") + "/"
	return k, true
}

// isNumber tells whether s is an attempt's number as OutputPrefix writes it.
func isNumber(s string) bool {
	if s == "" || len(s) > 9 || s[0] == '0' {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

// runNames collects the runs of one job that results name.
type runNames struct {
	bucket string // as results write it: s3://bucket/
	job    string // out/<tenant>/<job>/
	runs   map[string]bool
}

func newNames(s *artifacts.Store, tenant, job string) *runNames {
	return &runNames{bucket: "s3://" + s.Bucket() + "/", job: "out/" + tenant + "/" + job + "/", runs: map[string]bool{}}
}

// add notes what a result names. One that names a place where none of this
// job's runs can be is an error: then nothing is known, and nothing is removed.
func (n *runNames) add(res *jobs.Result) error {
	for _, url := range []string{res.OutputPrefix, res.StdoutKey, res.StderrKey} {
		if url == "" {
			continue
		}
		key, ok := strings.CutPrefix(url, n.bucket)
		k, isRun := parseOutputKey(key)
		if !ok || !isRun || k.run == "" || !strings.HasPrefix(k.run, n.job) {
			return fmt.Errorf("%w: a result of job %s names %q, which is no run of it", artifacts.ErrInvalid, n.job, url)
		}
		n.runs[k.run] = true
	}
	return nil
}

// manifestNames gives the runs a job's manifest names; nil when it has none.
func manifestNames(ctx context.Context, s *artifacts.Store, tenant, job string) (map[string]bool, error) {
	n := newNames(s, tenant, job)
	m, err := s.ReadManifest(ctx, "", n.job+"manifest.json")
	switch {
	case errors.Is(err, artifacts.ErrNotFound) && artifacts.Class(err) == artifacts.Permanent:
		return nil, nil
	case err != nil:
		return nil, err
	}
	var res jobs.Result
	if err := json.Unmarshal(m.Result, &res); err != nil {
		return nil, fmt.Errorf("manifest of %s: %w: %w", n.job, artifacts.ErrInvalid, err)
	}
	if err := n.add(&res); err != nil {
		return nil, err
	}
	if len(n.runs) == 0 {
		return nil, fmt.Errorf("manifest of %s: %w: it names no outputs", n.job, artifacts.ErrInvalid)
	}
	return n.runs, nil
}
