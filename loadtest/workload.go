package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"time"

	"boxfleet/jobs"
	"boxfleet/limits"
	"boxfleet/loadtest/guest"
)

// workload is what jobs run, and what must come of them.
type workload interface {
	// job gives the nth job, without id and batch.
	job(n int) *jobs.Job
	// check says what is wrong with the nth job's result; "" when nothing is.
	check(ctx context.Context, n int, res *jobs.Result) string
}

// moduleLoad runs one module without arguments.
type moduleLoad struct {
	tool    jobs.Tool
	stdout  *string                          // that it must write; nil when we cannot know
	options func(n int, o *limits.RunOption) // fills in the nth job's; nil leaves them empty
}

func (l *moduleLoad) job(n int) *jobs.Job {
	j := &jobs.Job{Tool: l.tool}
	if l.options != nil {
		l.options(n, &j.Options)
	}
	return j
}

func (l *moduleLoad) check(_ context.Context, _ int, res *jobs.Result) string {
	if why := succeeded(res); why != "" || l.stdout == nil {
		return why
	}
	return wrote(res, *l.stdout)
}

// workLoad runs [guest.Work]: every job computes, waits, and writes a text that
// no other job has.
type workLoad struct {
	tool   jobs.Tool
	run    string // in every text, so that no two runs share one
	rounds int
	wait   time.Duration
	// filesEvery makes every so many jobs leave their text as an output file;
	// 0 is none.
	filesEvery int
}

func (l *workLoad) text(n int) string { return fmt.Sprintf("job %d of run %s", n, l.run) }

func (l *workLoad) leavesFile(n int) bool { return l.filesEvery > 0 && n%l.filesEvery == 0 }

func (l *workLoad) job(n int) *jobs.Job {
	j := &jobs.Job{Tool: l.tool, Args: guest.WorkArgs(l.rounds, l.wait, l.text(n))}
	if l.leavesFile(n) {
		j.Options.MapDirs = []limits.Mount{{Guest: "/out", Mode: limits.ReadWrite}}
	}
	return j
}

func (l *workLoad) check(_ context.Context, n int, res *jobs.Result) string {
	why := succeeded(res)
	if why == "" {
		why = wrote(res, l.text(n))
	}
	if why != "" {
		return why
	}
	sum := sha256.Sum256([]byte(l.text(n)))
	switch {
	case !l.leavesFile(n) && len(res.Outputs) == 0:
		return ""
	case !l.leavesFile(n) || len(res.Outputs) != 1:
		return fmt.Sprintf("%d output files of job %d", len(res.Outputs), n)
	case path.Base(res.Outputs[0].Path) != guest.WorkFile || res.Outputs[0].SHA256 != hex.EncodeToString(sum[:]):
		return fmt.Sprintf("job %d left %+v, which is not its text", n, res.Outputs[0])
	}
	return ""
}

// succeeded says what is wrong with a result that must be a success.
func succeeded(res *jobs.Result) string {
	if res.Outcome != jobs.Succeeded || res.ExitCode != 0 {
		return strings.TrimSpace(fmt.Sprintf("%s with exit code %d: %s %s", res.Outcome, res.ExitCode, res.Error, bytes.TrimSpace(res.Stderr)))
	}
	return ""
}

// wrote says what is wrong with a standard output that must be text.
func wrote(res *jobs.Result, text string) string {
	if string(res.Stdout) == text {
		return ""
	}
	return fmt.Sprintf("wrote %.100q, want %.100q", string(res.Stdout), text)
}

// workload makes what --tool names.
func (t *target) workload(ctx context.Context, o options) (workload, error) {
	wasm, err := module(o.tool)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(path.Base(o.tool), ".wasm")
	tool, err := t.push(ctx, name, wasm)
	if err != nil {
		return nil, err
	}
	var out string
	switch o.tool {
	case "work":
		return &workLoad{tool: tool, run: jobs.NewID(), rounds: o.rounds, wait: o.wait}, nil
	case "noop", "c250k":
		return &moduleLoad{tool: tool, stdout: &out}, nil
	case "code", "big":
		out = "code\n"
		return &moduleLoad{tool: tool, stdout: &out}, nil
	}
	return &moduleLoad{tool: tool}, nil
}
