package executor

import (
	"errors"
	"fmt"
	"strings"

	"boxfleet/executor/meter"
	"boxfleet/executor/wasihttp"
	"boxfleet/internal/toolresult"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// judge writes how the guest ended into the result.
func (r *run) judge(o meter.Outcome, m *meter.Meter) {
	res := r.res
	res.FuelConsumed, res.PeakMemory = m.FuelConsumed(), m.PeakMemory()
	stdout, _ := r.stdout.finish()
	stderr, _ := r.stderr.finish()
	res.Stdout, res.Stderr = stdout, stderr
	switch o.Kind {
	case meter.Succeeded:
		res.Outcome, res.ExitCode = jobs.Succeeded, 0
	case meter.Exited:
		res.Outcome, res.ExitCode = jobs.Exited, int(o.ExitCode)
		res.Error = fmt.Sprintf("the tool exited with code %d", o.ExitCode)
	case meter.KindOutOfFuel:
		res.Outcome, res.Error = jobs.OutOfFuel, fmt.Sprintf("the tool spent its fuel of %d; raise wasm_fuel (--fuel)", r.grant.Fuel)
	case meter.KindTimedOut:
		res.Outcome, res.Error = jobs.TimedOut, fmt.Sprintf("the tool ran for its timeout of %s; raise wasm_timeout (--timeout)", r.grant.Timeout)
	case meter.KindOverflow:
		res.Outcome, res.Error = jobs.StackOverflow, fmt.Sprintf("the tool used up its stack of %s; raise wasm_max_wasm_stack (--max-stack)", r.grant.Stack)
	case meter.KindCanceled:
		res.Outcome, res.Error = jobs.Canceled, "canceled while it ran"
	case meter.OutOfMemory:
		res.Outcome, res.Error = jobs.OutOfMemory, fmt.Sprintf("%v; raise wasm_max_memory_size (--max-memory)", o.Err)
	case meter.Trapped:
		res.Outcome, res.Error = jobs.Trapped, "the tool trapped: "+string(o.Trap)
		if len(o.Stack) > 0 {
			res.Error += " in " + o.Stack[0]
		}
		res.Trap = &jobs.Trap{Kind: string(o.Trap), Functions: o.Stack}
	default:
		r.judgeHost(o)
	}
	if res.Outcome == jobs.Succeeded || res.Outcome == jobs.Exited {
		res.ToolError = toolresult.Failure(stdout)
	}
	r.limitsHit()
	res.Denials = append(res.Denials, r.net.denials()...)
}

// judgeHost handles ends that a host function caused.
func (r *run) judgeHost(o meter.Outcome) {
	if over, ok := errors.AsType[*outputLimitError](o.Err); ok {
		r.res.Outcome, r.res.Error = jobs.OutputLimit, over.Error()
		return
	}
	if trap, ok := errors.AsType[*wasihttp.TrapError](o.Err); ok {
		r.res.Outcome, r.res.Error = jobs.Trapped, "the tool trapped: "+trap.Error()
		r.res.Trap = &jobs.Trap{Kind: "component model", Functions: o.Stack}
		return
	}
	// A host function that broke, or an error nobody expects: it ends this job
	// and nothing else.
	text, _, _ := strings.Cut(o.Err.Error(), "\n")
	r.res.Outcome, r.res.Error = jobs.Trapped, "the sandbox stopped the tool: "+text
	r.res.Trap = &jobs.Trap{Kind: string(o.Kind), Functions: o.Stack}
	r.e.cfg.Log.Error("a host function ended a job", "job", r.a.Job.ID, "kind", o.Kind, "error", o.Err)
}

// limitsHit lists quotas the guest ran into, whatever it made of them.
func (r *run) limitsHit() {
	if r.space == nil || r.space.fs == nil {
		return
	}
	if hit := r.space.fs.LimitHit(); hit != "" {
		r.res.Denials = append(r.res.Denials, jobs.Denial{What: "limit", Target: "file system", Rule: hit, Count: 1})
	}
}

func bytesText(n int) string { return limits.Bytes(n).String() }
