package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// SweepConfig says what SweepOutputs works on.
type SweepConfig struct {
	Store *artifacts.Store
	// Records looks a job up where its truth is: a stale answer would make a
	// running job look gone.
	Records interface {
		// Record gives nil without an error for a job that has none.
		Record(ctx context.Context, tenant, id string) (*jobs.Record, error)
	}
	// Older is how long an object must have been stored before it may be
	// removed, by the store's own clock.
	Older time.Duration
	Log   *slog.Logger
}

// SweepReport counts what a sweep saw. Objects of runs that a result names and
// of jobs that have not ended are counted in Objects only.
type SweepReport struct {
	Objects int // below out/
	Removed int // objects that no result named
	Young   int // objects that no result names, but not old enough yet
	Strange int // keys that boxfleet does not write: left alone
	Unknown int // jobs whose record or manifest could not be read: left alone
}

// maxSweepKeys bounds the keys of one job that are held before its runs are
// judged; more are judged in pieces.
const maxSweepKeys = 20_000

// SweepOutputs removes objects below out/ that belong to runs of jobs that
// have ended, or whose record's time is over, and that neither the job's
// record nor its manifest names. Whatever cannot be read is left as it is.
// Several sweeps at once do no harm: a run that is no result's now never
// becomes one, since only a job's holder can commit and an ended job has none.
func SweepOutputs(ctx context.Context, cfg SweepConfig) (SweepReport, error) {
	s := &outputSweep{SweepConfig: cfg}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	now, err := storeTime(ctx, s.Store)
	if err != nil {
		return s.report, fmt.Errorf("sweep outputs: %w", err)
	}
	s.before = now.Add(-s.Older)
	for o, err := range s.Store.List(ctx, "", "out/") {
		if err != nil {
			// What was listed completely was judged; half a job was not.
			return s.report, fmt.Errorf("sweep outputs: %w", err)
		}
		s.report.Objects++
		k, ok := parseOutputKey(o.Key)
		if !ok {
			s.report.Strange++
			continue
		}
		if k.tenant != s.tenant || k.job != s.job || len(s.keys) >= maxSweepKeys {
			s.flush(ctx, len(s.keys) >= maxSweepKeys)
			s.tenant, s.job = k.tenant, k.job
		}
		if k.run == "" {
			s.manifest = true
			continue
		}
		s.runs[k.run] = struct{}{}
		s.keys = append(s.keys, sweepKey{o.Key, k.run, !o.Modified.After(s.before)})
	}
	s.flush(ctx, false)
	return s.report, ctx.Err()
}

// storeTime asks the store what time it is, by an object made now: no two
// machines' clocks are compared.
func storeTime(ctx context.Context, s *artifacts.Store) (time.Time, error) {
	key := "probes/time-" + jobs.NewID()
	if err := s.Put(ctx, "", key, []byte("now")); err != nil {
		return time.Time{}, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		_ = s.Delete(ctx, "", key)
	}()
	o, err := s.Stat(ctx, "", key)
	return o.Modified, err
}

type sweepKey struct {
	key, run string
	old      bool
}

// outputSweep is one walk. It gathers the keys of one job, then judges them.
type outputSweep struct {
	SweepConfig
	before time.Time
	report SweepReport

	tenant, job string
	manifest    bool // seen among the job's keys
	runs        map[string]struct{}
	keys        []sweepKey
}

// flush judges the gathered job. part says that more of its keys follow.
func (s *outputSweep) flush(ctx context.Context, part bool) {
	keys, runs, manifest := s.keys, len(s.runs), s.manifest
	s.keys, s.runs, s.manifest = s.keys[:0], map[string]struct{}{}, false
	switch {
	case runs == 0 || ctx.Err() != nil:
		return
	case runs == 1 && manifest && !part:
		return // a manifest names a run that has objects: it is this one
	}
	keep, err := s.named(ctx)
	if err != nil {
		s.report.Unknown++
		s.Log.WarnContext(ctx, "leaving the outputs of a job alone: what names them cannot be read", "tenant", s.tenant, "job", s.job, "error", err)
		return
	}
	if keep == nil {
		return
	}
	for _, k := range keys {
		switch {
		case keep[k.run]:
		case !k.old:
			s.report.Young++
		default:
			if err := s.Store.Delete(ctx, "", k.key); err != nil {
				s.Log.WarnContext(ctx, "cannot remove an object that no result names; the next sweep will try again", "key", k.key, "error", err)
				continue
			}
			s.report.Removed++
		}
	}
}

// named gives the runs to keep, or nil for all, because the job goes on. The
// record is read first: a manifest is only ever stored by the holder of a
// running job, so none can come after the job was seen to have ended.
func (s *outputSweep) named(ctx context.Context) (map[string]bool, error) {
	rec, err := s.Records.Record(ctx, s.tenant, s.job)
	if err != nil {
		return nil, err
	}
	n := newNames(s.Store, s.tenant, s.job)
	switch {
	case rec == nil:
	case rec.State != jobs.Done:
		return nil, nil
	case rec.Result == nil:
		return nil, errors.New("the record is done and has no result")
	default:
		if err := n.add(rec.Result); err != nil {
			return nil, err
		}
	}
	named, err := manifestNames(ctx, s.Store, s.tenant, s.job)
	if err != nil {
		return nil, err
	}
	for run := range named {
		n.runs[run] = true
	}
	return n.runs, nil
}

// OutputChore sweeps the store's outputs about every so often, for one worker
// of the fleet to do for all.
func (e *Executor) OutputChore(records *jobs.Ledger, every, older time.Duration) jobs.Chore {
	return jobs.Chore{Name: "sweep outputs", Run: func(ctx context.Context) error {
		// Between half and one and a half of the period: coordinators that
		// change often must not sweep at every change, nor never.
		wait := time.NewTimer(every/2 + rand.N(every))
		defer wait.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		}
		report, err := SweepOutputs(ctx, SweepConfig{Store: e.store, Records: records, Older: older, Log: e.cfg.Log})
		if err == nil {
			e.cfg.Log.InfoContext(ctx, "swept the outputs", "objects", report.Objects, "removed", report.Removed, "young", report.Young, "strange", report.Strange, "unknown", report.Unknown)
		}
		return err
	}}
}
