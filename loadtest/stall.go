package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"boxfleet/jobs"
	"boxfleet/loadtest/guest"
	"boxfleet/loadtest/report"
)

// bigFunctions makes [guest.Code] a module of about 20 MB: the size of a Python
// or of a large Go program.
const bigFunctions = 160_000

// maxStallModules bounds how many large modules are compiled to see enough
// small jobs beside them.
const maxStallModules = 5

// stall runs small jobs one after the other: alone, beside a busy process, and
// beside the compilation of a large module that nothing has cached. A compiler
// takes a core, as the busy process does; what it takes beyond that is what
// small jobs wait for it.
func stall(ctx context.Context, t *target, o options) (*report.Report, error) {
	noop, err := t.push(ctx, "noop", guest.Noop)
	if err != nil {
		return nil, err
	}
	var nothing string
	small := &moduleLoad{tool: noop, stdout: &nothing}
	if err := t.warm(ctx, small, o.warm); err != nil {
		return nil, err
	}
	all := report.NewRecorder()
	r := all.Report()
	stage := func(name string, run func(a *account) (int, error)) error {
		rec := report.NewRecorder()
		a := newAccount(small, rec)
		modules, err := run(a)
		if err != nil {
			return err
		}
		a.close()
		done := rec.Finish()
		s := report.StallStage{Name: name, Jobs: done.Jobs, Modules: modules}
		if done.Total != nil {
			s.Total = *done.Total
		}
		r.Stall = append(r.Stall, s)
		all.Add(done)
		return nil
	}
	if err := stage("alone", func(a *account) (int, error) { return 0, t.each(ctx, a, o.jobs) }); err != nil {
		return nil, err
	}
	if err := stage("a busy process", func(a *account) (int, error) {
		stop, err := startBusy()
		if err != nil {
			return 0, err
		}
		return 0, errors.Join(t.each(ctx, a, o.jobs), stop())
	}); err != nil {
		return nil, err
	}
	if err := stage("a compilation", func(a *account) (int, error) { return t.besideCompile(ctx, a, o, all) }); err != nil {
		return nil, err
	}
	judgeStall(r)
	return all.Finish(), nil
}

// judgeStall notes the ratios, and fails a fleet whose small jobs did not end
// while it compiled.
func judgeStall(r *report.Report) {
	alone, busy, compiling := r.Stall[0], r.Stall[1], r.Stall[2]
	if compiling.Jobs == 0 {
		r.Grew = append(r.Grew, "no small job ended while a large module was compiled")
		return
	}
	r.Notes = append(r.Notes,
		fmt.Sprintf("beside a compilation, by beside a busy process: %.2f at p50, %.2f at p99", compiling.Total.P50/busy.Total.P50, compiling.Total.P99/busy.Total.P99),
		fmt.Sprintf("beside a compilation, by alone: %.2f at p50, %.2f at p99", compiling.Total.P50/alone.Total.P50, compiling.Total.P99/alone.Total.P99),
		fmt.Sprintf("small jobs that ended beside compilations: %d, beside %d of them", compiling.Jobs, compiling.Modules))
}

// besideCompile runs small jobs while large modules are compiled, one module
// after the other, until there were as many as in the other stages.
func (t *target) besideCompile(ctx context.Context, a *account, o options, all *report.Recorder) (modules int, err error) {
	wasm, err := module(o.tool)
	if err != nil {
		return 0, err
	}
	run := jobs.NewID()
	for done := 0; modules < maxStallModules && done < o.jobs; modules++ {
		tool, err := t.push(ctx, "large", guest.Tagged(wasm, guest.Tag(run, modules)))
		if err != nil {
			return modules, err
		}
		n, compile, err := t.besideOne(ctx, a, tool)
		if err != nil {
			return modules, err
		}
		done += n
		all.Report().Notes = append(all.Report().Notes, fmt.Sprintf("a module of %.1f MB was compiled in %.1f s, with %d small jobs beside it", float64(tool.Size)/1e6, compile/1000, n))
		_, _ = fmt.Fprintf(t.stderr, "compiled %.1f MB in %.1f s, %d small jobs beside it\n", float64(tool.Size)/1e6, compile/1000, n)
	}
	return modules, nil
}

// besideOne runs small jobs until the large module's job has ended.
func (t *target) besideOne(ctx context.Context, a *account, tool jobs.Tool) (n int, compile float64, err error) {
	big := &jobs.Job{ID: jobs.NewID(), Tool: tool, CompileOnly: true}
	w, err := t.client.NewWaiter("", big.ID)
	if err != nil {
		return 0, 0, err
	}
	defer w.Close()
	w.Expect(big.ID)
	if _, err := t.client.Submit(ctx, big); err != nil {
		return 0, 0, err
	}
	type outcome struct {
		rec *jobs.Record
		err error
	}
	ended := make(chan outcome, 1)
	go func() {
		rec, err := w.Next(ctx)
		ended <- outcome{rec, err}
	}()
	for {
		select {
		case e := <-ended:
			if e.err != nil {
				return n, 0, e.err
			}
			if why := succeeded(e.rec.Result); why != "" {
				return n, 0, fmt.Errorf("the large module: %s", why)
			}
			return n, e.rec.Result.Phases[jobs.PhaseCompile], nil
		default:
		}
		if _, _, err := t.one(ctx, a, n); err != nil {
			return n, 0, err
		}
		n++
	}
}

// busyCommand is how this program is told to be the busy process.
const busyCommand = "busy-process"

// startBusy starts a process that keeps one core busy until it is stopped, or
// this one ends.
func startBusy() (stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, busyCommand)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a busy process: %w", err)
	}
	if _, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("start a busy process: %w", err), cmd.Process.Kill(), cmd.Wait())
	}
	return func() error {
		if err := cmd.Process.Kill(); err != nil {
			return err
		}
		_ = cmd.Wait() // it was killed
		return nil
	}, nil
}

// busy computes until ctx ends, or the process is killed.
func busy(ctx context.Context, stdout io.Writer) int {
	_, _ = io.WriteString(stdout, "busy\n")
	x := uint32(1)
	for ctx.Err() == nil && x != 0 { // xorshift never gives 0
		for range 1 << 20 {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
		}
	}
	return 0
}
