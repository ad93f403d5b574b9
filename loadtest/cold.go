package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"boxfleet/jobs"
	"boxfleet/loadtest/guest"
	"boxfleet/loadtest/report"
)

// coldLoad is a number of modules that no fleet has seen. The nth job runs the
// nth module.
type coldLoad struct {
	tools []jobs.Tool
	texts []string // what each writes; nil when we cannot know
}

func (l *coldLoad) job(n int) *jobs.Job { return &jobs.Job{Tool: l.tools[n]} }

func (l *coldLoad) check(_ context.Context, n int, res *jobs.Result) string {
	if why := succeeded(res); why != "" || l.texts == nil {
		return why
	}
	return wrote(res, l.texts[n])
}

// coldModules makes and stores n modules: generated ones of other code each, or
// the module that --tool names under n digests.
func (t *target) coldModules(ctx context.Context, o options) (*coldLoad, error) {
	l := &coldLoad{}
	run := jobs.NewID()
	var given []byte
	if o.tool != "code" {
		var err error
		if given, err = module(o.tool); err != nil {
			return nil, err
		}
		if o.tool == "work" {
			return nil, errors.New("the cold profile's modules take no arguments: choose another with --tool")
		}
	}
	for n := range o.jobs {
		wasm, text := given, guest.Tag(run, n)
		if given == nil {
			wasm = guest.Code(codeFunctions, seedOf(run, n), text)
			l.texts = append(l.texts, text)
		} else {
			wasm = guest.Tagged(given, text)
		}
		tool, err := t.push(ctx, fmt.Sprintf("cold%d", n), wasm)
		if err != nil {
			return nil, err
		}
		l.tools = append(l.tools, tool)
	}
	return l, nil
}

// seedOf mixes a run's id and a number (FNV-1a).
func seedOf(run string, n int) uint32 {
	h := uint32(2166136261)
	for _, c := range []byte(fmt.Sprint(run, n)) {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// cold runs every one of --jobs modules once in each state of the caches, one
// job at a time, so that nothing but the start itself takes time.
func cold(ctx context.Context, t *target, o options) (*report.Report, error) {
	load, err := t.coldModules(ctx, o)
	if err != nil {
		return nil, err
	}
	// The worker's first job pays for connections that are not the module's.
	noop, err := t.push(ctx, "noop", guest.Noop)
	if err != nil {
		return nil, err
	}
	warm := &moduleLoad{tool: noop}
	all := report.NewRecorder()
	r := all.Report()
	stage := func(name string) error {
		if err := t.warm(ctx, warm, 3); err != nil {
			return err
		}
		s, err := t.coldStage(ctx, load, name, all)
		r.Cold = append(r.Cold, s)
		return err
	}
	if err := errors.Join(stage("new to the fleet"), stage("in memory")); err != nil {
		return nil, err
	}
	if t.servers == nil {
		r.Notes = append(r.Notes, "the fleet is not ours: its workers were not started again, so nothing was loaded from their disks")
		return all.Finish(), nil
	}
	// The same worker again, with the files it had; then one that has none.
	if err := t.restartWorker(ctx, o); err != nil {
		return nil, err
	}
	if err := stage("on disk"); err != nil {
		return nil, err
	}
	if err := errors.Join(t.stopWorkers(), os.RemoveAll(filepath.Join(t.workerDir(0), "cache"))); err != nil {
		return nil, err
	}
	if err := t.startWorkers(ctx, 1, o.slots); err != nil {
		return nil, err
	}
	if err := stage("another worker"); err != nil {
		return nil, err
	}
	return all.Finish(), nil
}

// restartWorker lets the worker end and start again with its directories.
func (t *target) restartWorker(ctx context.Context, o options) error {
	if err := t.stopWorkers(); err != nil {
		return err
	}
	return t.startWorkers(ctx, 1, o.slots)
}

// coldStage runs every module once.
func (t *target) coldStage(ctx context.Context, load *coldLoad, name string, all *report.Recorder) (s report.ColdStage, err error) {
	rec := report.NewRecorder()
	a := newAccount(load, rec)
	s = report.ColdStage{Name: name, Cached: map[string]int{}, Phases: map[string]float64{}, P99: map[string]float64{}}
	n := len(load.tools)
	for i := range n {
		res, _, err := t.one(ctx, a, i)
		if err != nil {
			return s, err
		}
		s.Cached[res.CacheHit]++
		for _, phase := range report.PhaseOrder {
			s.Phases[phase] += res.Phases[phase] / float64(n)
		}
	}
	a.close()
	r := rec.Finish()
	s.Jobs, s.Total = r.Jobs, *r.Total
	rest := r.Total.Mean
	for phase, v := range s.Phases {
		rest -= v
		s.P99[phase] = r.Phases[phase].P99
	}
	s.Phases[report.Elsewhere] = max(0, rest)
	all.Add(r)
	return s, nil
}
