package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"boxfleet/jobs"
	"boxfleet/loadtest/report"
)

// mixLoad runs several tools in turn.
type mixLoad struct {
	tools []*mixTool
}

// mixTool is one of them, with what the mix knows of its jobs.
type mixTool struct {
	name string
	tool jobs.Tool
	make func(n int, j *jobs.Job)
	// want says what is wrong with the nth job's result.
	want func(ctx context.Context, n int, res *jobs.Result) string

	rec   *report.Recorder
	first float64 // latency of the first job, in milliseconds
}

// of spreads the tools so that any stretch of jobs has all of them.
func (l *mixLoad) of(n int) *mixTool { return l.tools[n%len(l.tools)] }

func (l *mixLoad) job(n int) *jobs.Job {
	t := l.of(n)
	j := &jobs.Job{Tool: t.tool}
	t.make(n, j)
	return j
}

func (l *mixLoad) check(ctx context.Context, n int, res *jobs.Result) string {
	t := l.of(n)
	why := succeeded(res)
	if why == "" {
		why = t.want(ctx, n, res)
	}
	if why != "" {
		t.rec.Wrong(why)
		return t.name + ": " + why
	}
	return ""
}

// mix runs the toolbox's tools on input that every job has for itself, and
// compares what they give with the same thing worked out here.
func mix(ctx context.Context, t *target, o options) (*report.Report, error) {
	load, err := t.mixTools(ctx, o)
	if err != nil {
		return nil, err
	}
	// One job of each alone: it compiles the tool.
	warm := report.NewRecorder()
	a := newAccount(load, warm)
	for i, tool := range load.tools {
		tool.rec = report.NewRecorder()
		_, took, err := t.one(ctx, a, i)
		if err != nil {
			return nil, err
		}
		tool.first = ms(took)
		_, _ = fmt.Fprintf(t.stderr, "%s: first result after %.0f ms\n", tool.name, tool.first)
	}
	if r := warm.Report(); r.Wrong > 0 {
		return nil, fmt.Errorf("warm up: %s", r.FirstWrong)
	}
	rec := report.NewRecorder()
	before, self := t.usage(), selfCPU()
	a = newAccount(load, rec)
	a.also = func(n int, rec *jobs.Record, at time.Time, latency time.Duration) {
		load.of(n).rec.Ended(rec.Result, at, latency)
	}
	due := arrivals(o.rate, o.duration, o.even, o.seed)
	if o.jobs > 0 { // at once
		due = make([]time.Duration, o.jobs)
	}
	if err := t.openLoop(ctx, a, due, o.patience()); err != nil {
		return nil, err
	}
	after := t.usage()
	a.close()
	r := rec.Finish()
	n := float64(len(due))
	r.Rate = ratePerSecond(r)
	r.WorkerCPU, r.ClientCPU = ms(after.CPU-before.CPU)/n, ms(selfCPU()-self)/n
	r.Resident, r.ResidentBefore = after.Resident, before.Resident
	if o.jobs == 0 {
		r.Asked = n / o.duration.Seconds()
		judgeSteady(r)
	}
	for _, tool := range load.tools {
		r.Tools = append(r.Tools, tool.line())
	}
	return r, nil
}

// line is what the tool's jobs came to.
func (t *mixTool) line() report.ToolLine {
	r := t.rec.Finish()
	l := report.ToolLine{Tool: t.name, Jobs: r.Jobs, Wrong: r.Wrong, First: t.first, Phases: map[string]float64{}}
	if r.Total != nil {
		l.Total = *r.Total
	}
	for phase, q := range r.Phases {
		l.Phases[phase] = q.Mean
	}
	return l
}

// mixTools stores the modules of --tools that are in --tools-dir.
func (t *target) mixTools(ctx context.Context, o options) (*mixLoad, error) {
	in, err := t.prepare(ctx)
	if err != nil {
		return nil, err
	}
	known := t.recipes(in)
	l := &mixLoad{}
	for name := range strings.SplitSeq(cmp.Or(o.tools, strings.Join(recipeOrder, ",")), ",") {
		tool, ok := known[strings.TrimSpace(name)]
		if !ok {
			return nil, fmt.Errorf("--tools: no jobs are known of %q; known: %s", name, strings.Join(recipeOrder, ", "))
		}
		if slices.Contains(l.tools, tool) {
			return nil, fmt.Errorf("--tools: %s is named twice", name)
		}
		wasm, err := os.ReadFile(filepath.Join(o.toolsDir, tool.name+".wasm"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w; run `make toolbox` first, or say where the modules are with --tools-dir", err)
		}
		if err != nil {
			return nil, err
		}
		if tool.tool, err = t.push(ctx, tool.name, wasm); err != nil {
			return nil, err
		}
		l.tools = append(l.tools, tool)
	}
	return l, nil
}
