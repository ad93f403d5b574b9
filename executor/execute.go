package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"boxfleet/artifacts"
	"boxfleet/executor/meter"
	"boxfleet/executor/wasip1"
	"boxfleet/jobs"
	"boxfleet/limits"
)

// run is one attempt's state while it lives. Its cleanups are called in
// reverse order.
type run struct {
	e       *Executor
	a       *jobs.Attempt
	grant   limits.Grant
	env     []string
	mod     *module
	space   *workspace
	net     *network
	stdout  capture
	stderr  capture
	res     *jobs.Result
	cleanup []func()

	safeMethods string // the rule that leaves only safe HTTP methods, if any
}

// Run executes one attempt from top to bottom. What the guest does wrong, and
// what the job may not have, is a Result; an error means that the fleet failed.
func (e *Executor) Run(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
	r := &run{e: e, a: a, res: &jobs.Result{ExitCode: -1}}
	defer r.close()
	err := r.admit(ctx)
	if err == nil {
		var known bool
		if known, err = r.reuse(ctx); known {
			return r.res, nil
		}
	}
	if err == nil {
		err = r.fetch(ctx)
	}
	if err == nil && a.Job.CompileOnly {
		r.res.Outcome, r.res.ExitCode = jobs.Succeeded, 0
		return r.res, nil
	}
	if err == nil {
		err = r.reserve(ctx)
	}
	if err == nil {
		err = r.stage(ctx)
	}
	if err == nil {
		err = r.execute(ctx)
	}
	if err == nil {
		err = r.collect(ctx)
	}
	if err == nil {
		r.remember(ctx)
	}
	return r.result(ctx, err)
}

func (r *run) defers(f func()) { r.cleanup = append(r.cleanup, f) }

func (r *run) close() {
	for i := len(r.cleanup) - 1; i >= 0; i-- {
		r.cleanup[i]()
	}
}

// refusal ends a job with an outcome that is neither the guest's doing nor the
// fleet's failure.
type refusal struct {
	outcome jobs.Outcome
	err     error
}

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

func refuse(o jobs.Outcome, format string, args ...any) error {
	return &refusal{o, fmt.Errorf(format, args...)}
}

// result turns what stopped a run early into a Result, where it is one.
func (r *run) result(ctx context.Context, err error) (*jobs.Result, error) {
	if err == nil {
		return r.res, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause // the queue side knows why
	}
	if ref, ok := errors.AsType[*refusal](err); ok {
		r.res.Outcome, r.res.Error = ref.outcome, ref.Error()
		return r.res, nil
	}
	if bad, ok := errors.AsType[*badModuleError](err); ok {
		r.res.Outcome, r.res.Error = jobs.Invalid, fmt.Sprintf("tool %s: %v", r.a.Job.Tool, bad)
		return r.res, nil
	}
	return nil, err
}

// admit decides what the job gets.
func (r *run) admit(ctx context.Context) (err error) {
	job := r.a.Job
	if err := r.permit(ctx); err != nil {
		return err
	}
	if r.grant, err = r.e.cfg.Ceilings.Grant(&job.Options); err != nil {
		return &refusal{jobs.Denied, err}
	}
	if r.env, err = r.e.environment(&job.Options); err != nil {
		return err
	}
	if err := r.e.checkAccess(job); err != nil {
		return err
	}
	if r.net, err = r.e.newNetwork(job); err != nil {
		return err
	}
	if r.grant.Memory > r.e.cfg.MemoryBudget {
		return refuse(jobs.Denied, "wasm_max_memory_size: %s is more than this worker's whole memory budget of %s", r.grant.Memory, r.e.cfg.MemoryBudget)
	}
	return nil
}

// reserve waits for the job's memory. It comes after the module is compiled:
// a job that waits for a compiler must not keep memory from those that run.
func (r *run) reserve(ctx context.Context) error {
	need := int64(r.grant.Memory)
	if err := r.e.memory.Acquire(ctx, need); err != nil {
		return err
	}
	r.defers(func() { r.e.memory.Release(need) })
	return nil
}

// environment gives the guest's variables, secrets resolved, in the order of
// their names: a deterministic job sees them in the same order every time.
func (e *Executor) environment(o *limits.RunOption) ([]string, error) {
	if len(o.EnvVars) == 0 {
		return nil, nil
	}
	env := make([]string, 0, len(o.EnvVars))
	for name, value := range o.EnvVars {
		if secret, ok := strings.CutPrefix(value, limits.SecretPrefix); ok {
			if value, ok = e.cfg.Secrets[secret]; !ok {
				return nil, refuse(jobs.Denied, "env_vars.%s: this worker's operator allows no secret %q", name, secret)
			}
		}
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, nil
}

// fetch gets the compiled module: from memory, from the compile cache, or from
// its blob by compiling.
func (r *run) fetch(ctx context.Context) error {
	tool := r.a.Job.Tool
	if tool.Size > r.e.cfg.MaxModuleBytes {
		return refuse(jobs.Denied, "tool %s: %d bytes, this worker takes modules of at most %d", tool, tool.Size, r.e.cfg.MaxModuleBytes)
	}
	fresh := !r.a.Job.Options.CacheAllowed()
	if fresh || !r.e.modules.has(tool.Digest) {
		fctx, end := r.a.Begin(ctx, jobs.PhaseFetch)
		pin, hit, err := r.e.moduleBlob(fctx, tool)
		end(err, attribute.Bool("boxfleet.cache_hit", hit), attribute.Int64("boxfleet.bytes", tool.Size))
		if err != nil {
			return err
		}
		r.defers(pin.Release)
	}
	// The compilation may outlive this attempt, so it reads the blob itself;
	// by now that is a read from the worker's disk.
	blob := func(ctx context.Context) (*artifacts.Blob, error) {
		pin, _, err := r.e.moduleBlob(ctx, tool)
		return pin, err
	}
	cctx, end := r.a.Begin(ctx, jobs.PhaseCompile)
	var err error
	if fresh {
		r.res.CacheHit = "none"
		if r.mod, err = r.e.modules.uncached(cctx, blob); err == nil {
			r.defers(r.mod.close)
		}
	} else if r.mod, r.res.CacheHit, err = r.e.modules.get(cctx, tool.Digest, blob, r.a.Job.CompileOnly, r.a); err == nil {
		r.defers(func() { r.e.modules.release(r.mod) })
	}
	end(err, attribute.String("boxfleet.cache", r.res.CacheHit))
	return err
}

// moduleBlob brings the module's bytes to the worker's disk, verified.
func (e *Executor) moduleBlob(ctx context.Context, tool jobs.Tool) (*artifacts.Blob, bool, error) {
	pin, hit, err := e.cache.Blob(ctx, e.store, tool.Digest, e.cfg.MaxModuleBytes)
	switch {
	case errors.Is(err, artifacts.ErrNotFound) && artifacts.Class(err) == artifacts.Permanent:
		return nil, false, refuse(jobs.Invalid, "tool %s: its module %s is not in the store; push it again", tool, tool.Digest)
	case errors.Is(err, artifacts.ErrDigestMismatch):
		return nil, false, refuse(jobs.Invalid, "tool %s: the store holds other bytes than the digest says (%w); push it again", tool, err)
	case err != nil:
		return nil, false, fmt.Errorf("fetch tool %s: %w", tool, err)
	}
	return pin, hit, nil
}

// execute instantiates the module and runs it.
func (r *run) execute(ctx context.Context) error {
	m := meter.New(r.e.epoch, meter.Limits{
		Fuel: r.grant.Fuel, Stack: int64(r.grant.Stack), Memory: uint64(r.grant.Memory), Timeout: time.Duration(r.grant.Timeout),
	})
	defer m.Close()
	stopWatching := context.AfterFunc(ctx, func() { m.Cancel(context.Cause(ctx)) })
	defer stopWatching()

	r.stdout = capture{stream: "stdout", limit: int(r.grant.Stdout), send: r.a.Log}
	r.stderr = capture{stream: "stderr", limit: int(r.grant.Stderr), send: r.a.Log}
	wasi := r.wasiConfig(m)
	sys, err := wasip1.New(wasi)
	if err != nil {
		return &refusal{jobs.Invalid, err}
	}
	defer func() { _ = sys.Close() }()
	gctx := r.openNetwork(sys.Context(m.Context(guestContext{ctx})), m, wasi)
	defer r.net.close()

	_, end := r.a.Begin(ctx, jobs.PhaseInstantiate)
	var inst api.Module
	if err = m.Admit(r.mod.info); err == nil {
		m.Preload(r.mod.image)
		inst, err = m.Instantiate(gctx, r.runtime(), r.mod.compiled, moduleConfig)
	}
	end(nil)
	if err == nil {
		defer func() { _ = inst.Close(gctx) }()
		_, end := r.a.Begin(ctx, jobs.PhaseRun)
		err = r.mod.start(gctx, inst)
		end(nil, attribute.Int64("boxfleet.fuel", int64(m.FuelConsumed())))
	}
	o := meter.Classify(err, m)
	if inst == nil && o.Kind == meter.Unclassified { // nothing of the guest ran
		text, _, _ := strings.Cut(err.Error(), "\n")
		return &badModuleError{fmt.Errorf("the module cannot be instantiated: %s", text)}
	}
	r.net.close()
	if err := r.hostFailure(); err != nil {
		return err
	}
	r.judge(o, m)
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String("boxfleet.outcome", string(r.res.Outcome)))
	}
	return nil
}

// hostFailure tells whether the guest met a full or broken disk of the worker.
// However it ended, that is not its result: the job is tried again elsewhere,
// and pays with an attempt, because a guest may have filled the disk itself.
func (r *run) hostFailure() error {
	if r.space == nil || r.space.fs == nil {
		return nil
	}
	if err := r.space.fs.HostError(); err != nil {
		return fmt.Errorf("a file operation of the tool failed on the worker's disk: %w", err)
	}
	return nil
}

// moduleConfig is the same for all: anonymous, and started by us, so that
// instantiating and running are two phases.
var moduleConfig = wazero.NewModuleConfig().WithName("").WithStartFunctions()

func (r *run) runtime() wazero.Runtime {
	if r.mod.own != nil {
		return r.mod.own
	}
	return r.e.rt
}

// guestContext keeps the values of a context (the trace) but never ends: a
// guest is stopped by its meter alone, at its own checks.
type guestContext struct{ context.Context }

func (guestContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (guestContext) Done() <-chan struct{}       { return nil }
func (guestContext) Err() error                  { return nil }

func (r *run) wasiConfig(m *meter.Meter) wasip1.Config {
	job := r.a.Job
	name := job.Tool.Name
	if name == "" {
		name = "tool"
	}
	args := make([]string, 0, len(job.Args)+1)
	cfg := wasip1.Config{
		Args: append(append(args, name), job.Args...), Env: r.env,
		Stdout: &r.stdout, Stderr: &r.stderr, Interrupt: m, Stdin: strings.NewReader(""),
	}
	if r.space != nil {
		cfg.FS = r.space.fs
		if r.space.stdin != nil {
			cfg.Stdin = r.space.stdin
		}
	}
	if s := job.Stdin; s != nil && s.Source == "" {
		cfg.Stdin = strings.NewReader(s.Inline)
	}
	if job.Options.Deterministic {
		cfg.Clock = wasip1.FixedClock(deterministicTime)
		cfg.Rand = wasip1.SeededRand(deterministicSeed)
	}
	return cfg
}

// What a deterministic job sees: the first second of 2000, and this seed.
var deterministicTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const deterministicSeed = 1
