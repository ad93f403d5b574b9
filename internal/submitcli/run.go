package submitcli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"boxfleet/jobs"
)

type runFlags struct {
	jobFlags
	detach  bool
	count   int
	instead *delivery // of running the job once
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run TOOL [flags] [-- ARGS...]",
		Short: "Run one job and wait for it",
		Long: "run submits one job, shows its output as it comes, and exits with the guest's exit\n" +
			"code. A run that the fleet ended exits with 125 or more, and says why in one line.\n\n" +
			"TOOL is NAME, NAME@VERSION, sha256:DIGEST, s3://BUCKET/KEY.wasm, or a local FILE.wasm,\n" +
			"which is uploaded and not registered. SRC is a local directory, which is uploaded,\n" +
			"s3://bucket/prefix/ or sha256:DIGEST.",
		Example: "  submit run jq --stdin people.json -- -r '.[].name'\n" +
			"  submit run grep --work-dir ./src -- -rn TODO /\n" +
			"  submit run resize --map-dir ./photos::/in --output /out=./small -- --width=640 /in/a.png /out/a.png",
		Args: needTool,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("count") {
				var err error
				if f.instead, err = a.array(&f); err != nil {
					return err
				}
			}
			return a.run(cmd.Context(), &f, args[0], args[1:])
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			if strings.ContainsAny(typed, "/.") {
				return []string{"wasm"}, cobra.ShellCompDirectiveFilterFileExt
			}
			return a.toolNames(cmd), cobra.ShellCompDirectiveNoFileComp
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().IntVar(&f.count, "count", 0, "run so many jobs; {{index}} in texts becomes 0, 1, 2, ...")
	cmd.Flags().BoolVar(&f.detach, "detach", false, "print the job's id and leave")
	return cmd
}

func needTool(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("which tool? write: submit run TOOL [flags] [-- ARGS...]; see: submit tool list")
	}
	return nil
}

// run is the life of one job on the client: check, resolve, upload, submit,
// follow, fetch, exit.
func (a *app) run(ctx context.Context, f *runFlags, ref string, args []string) error {
	if f.detach {
		for _, s := range f.outputs {
			if o, err := parseOutput(s); err == nil && o.dir != "" {
				return usagef("--output %s: a detached run has nobody to fetch outputs; fetch them later with: submit result ID --output-dir %s", s, o.dir)
			}
		}
	}
	up := newUploads()
	j, outs, err := f.job(up)
	if err != nil {
		return err
	}
	input, err := readInput(f.input)
	if err != nil {
		return err
	}
	var stdin *guestInput
	if f.stdin != "" {
		if stdin, err = interruptible(ctx, func() (*guestInput, error) { return a.openStdin(f.stdin) }); err != nil {
			return err
		}
		defer stdin.close()
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	if j.ID == "" {
		j.ID = jobs.NewID()
	}

	ctx, span := tracer().Start(ctx, "submit", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(attribute.String("boxfleet.job", j.ID)))
	prepare := func() error {
		resolve := a.resolve
		if isModuleFile(ref) {
			resolve = a.resolveFile
		}
		tool, err := resolve(ctx, ref)
		if err != nil {
			return err
		}
		j.Tool, j.Args = tool.tool, args
		if input != nil {
			argv, err := tool.argv(input)
			if err != nil {
				return usagef("--input: %w", err)
			}
			j.Args = append(argv, args...)
		}
		j.Stdin = stdin.preview()
		now := time.Time{}
		if f.when.relative() {
			now = client.Now(ctx)
		}
		if err := f.when.settle(j, now); err != nil {
			return err
		}
		if err := f.check(ctx, client, j); err != nil {
			return err
		}
		if err := tool.permit(&j.Options); err != nil {
			return err
		}
		if err := up.send(ctx, a); err != nil {
			return err
		}
		if j.Stdin, err = stdin.send(ctx, a.store); err != nil {
			return err
		}
		return f.pin(j, up)
	}
	if err := prepare(); err != nil {
		endSpan(span, err)
		return err
	}
	span.SetAttributes(attribute.String("boxfleet.tool", j.Tool.String()), attribute.String("boxfleet.tool.digest", string(j.Tool.Digest)))
	if f.instead != nil {
		endSpan(span, nil)
		return f.instead.send(ctx, client, j)
	}
	if f.detach {
		receipt, err := client.Submit(ctx, j)
		endSpan(span, err)
		return a.detached(receipt, err)
	}
	a.sayWhen(ctx, client, j)
	res, err := a.follow(ctx, client, j, span)
	if err != nil {
		return err
	}
	return a.ended(ctx, res, outs)
}

// pin puts the digests of uploaded directories into the job's mounts.
func (f *runFlags) pin(j *jobs.Job, up *uploads) error {
	opt, _, err := f.options(up) // every path is known now, so this reads the digests
	j.Options = opt
	return err
}

func endSpan(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// readInput reads --input: JSON, or @FILE with JSON in it.
func readInput(s string) ([]byte, error) {
	name, isFile := strings.CutPrefix(s, "@")
	switch {
	case s == "":
		return nil, nil
	case !isFile:
		return []byte(s), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, usagef("--input: %w", plainPathError(err))
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, jobs.MaxJobSize+1))
	if err != nil {
		return nil, usagef("--input: %w", err)
	}
	if len(data) > jobs.MaxJobSize {
		return nil, usagef("--input: %s is longer than %d bytes; pass large input by a file in a mount", name, jobs.MaxJobSize)
	}
	return data, nil
}

func (a *app) detached(r jobs.Receipt, err error) error {
	if err != nil {
		return err
	}
	if a.globals.json {
		line := map[string]any{"id": r.ID, "duplicate": r.Duplicate}
		if r.State != "" {
			line["state"] = r.State
		}
		if r.Expired {
			line["expired"] = true
		}
		return a.printLine(line)
	}
	if r.Duplicate {
		a.remark("job %s was submitted before; the first one stands", r.ID)
	}
	_, err = fmt.Fprintln(a.Stdout, r.ID)
	return wroteOut(err)
}

// cancelWait is how long a run goes on after Ctrl-C for its last words.
const cancelWait = 30 * time.Second

// noWorkerAfter is how long a job may wait before the user is told that there
// is no worker.
const noWorkerAfter = 3 * time.Second

// follow submits the job and shows its output until it has ended.
func (a *app) follow(ctx context.Context, client *jobs.Client, j *jobs.Job, span trace.Span) (*jobs.Result, error) {
	// The idempotency key may stand for another job, whose end is waited for.
	if _, err := client.Reserve(ctx, j); err != nil {
		endSpan(span, err)
		return nil, err
	}
	waiter, err := client.NewWaiter("", j.ID)
	if err != nil {
		endSpan(span, err)
		return nil, err
	}
	defer waiter.Close()
	waiter.Expect(j.ID)
	var pieces <-chan jobs.LogChunk
	// Attempts that are repeated because of their exit code need not write the
	// same; then only the last one's output is shown.
	if !a.globals.json && len(j.Retry.OnExitCodes) == 0 {
		tail, err := client.NewTail(j.ID)
		if err != nil {
			endSpan(span, err)
			return nil, err
		}
		defer tail.Close()
		pieces = tail.C
	}
	receipt, err := client.Submit(ctx, j)
	endSpan(span, err)
	if err != nil {
		return nil, err
	}
	if receipt.Expired {
		return nil, fmt.Errorf("the idempotency key stands for job %s, which ended so long ago that its result is no longer kept; use another key to run it again", receipt.ID)
	}
	if receipt.Duplicate {
		a.remark("job %s was submitted before; the first one stands", j.ID)
		waiter.LookNow()
	}

	// The job goes on when ctx ends, until it is known to be canceled.
	after, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	type end struct {
		rec *jobs.Record
		err error
	}
	ended := make(chan end, 1)
	go func() {
		rec, err := waiter.Next(after)
		ended <- end{rec, err}
	}()
	out := a.newStreams()
	interrupt := ctx.Done()
	idle := time.NewTimer(noWorkerAfter)
	defer idle.Stop()
	var giveUp <-chan time.Time
	var broken error
	cancel := func() {
		interrupt, giveUp = nil, time.After(cancelWait)
		a.cancelOne(after, client, j.ID)
	}
	for {
		select {
		case p, ok := <-pieces:
			if !ok {
				pieces = nil
				continue
			}
			idle.Stop()
			if err := out.piece(p); err != nil && broken == nil {
				broken, pieces = err, nil
				cancel()
			}
		case e := <-ended:
			switch {
			case e.err != nil:
				return nil, e.err
			case broken != nil:
				return nil, fmt.Errorf("%w; the job was canceled", broken)
			case a.globals.json:
				return e.rec.Result, nil
			}
			return e.rec.Result, out.finish(after, a, e.rec.Result)
		case <-interrupt:
			a.say("canceling job %s; Ctrl-C again leaves at once", j.ID)
			cancel()
		case <-giveUp:
			return nil, &exitError{exitInterrupted, fmt.Errorf("job %s has not ended yet, its cancel is under way; see: submit status %s", j.ID, j.ID)}
		case <-idle.C:
			if n, err := a.workerCount(after); err == nil && n == 0 {
				a.remark("no worker is running; job %s waits for one", j.ID)
			}
		}
	}
}

// cancelOne cancels a job and says so when it cannot.
func (a *app) cancelOne(ctx context.Context, client *jobs.Client, id string) {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if _, err := client.Cancel(ctx, id); err != nil {
		a.say("cannot cancel job %s: %s", id, plain(err.Error()))
	}
}

// ended shows what is left to show of a result and turns it into the exit
// code.
func (a *app) ended(ctx context.Context, r *jobs.Result, outs []output) error {
	fetch := context.WithoutCancel(ctx)
	if ctx.Err() == nil {
		fetch = ctx
	}
	for _, o := range outs {
		if o.dir == "" {
			continue
		}
		if _, _, err := a.fetchOutputs(fetch, fetchRequest{result: r, guest: o.guest, dir: o.dir}); err != nil {
			return err
		}
	}
	if a.globals.json {
		if err := a.completeOutput(fetch, r); err != nil {
			return err
		}
		if err := a.printJSON(inLists(r)); err != nil {
			return err
		}
		return exitWith(runCode(r))
	}
	a.explainEnd(r)
	return exitWith(runCode(r))
}

// explainEnd says in one line why the fleet ended a run, and what the guest
// was refused.
func (a *app) explainEnd(r *jobs.Result) {
	for i, d := range r.Denials {
		if i == 3 {
			a.remark("%d more denials; see: submit result %s --json", len(r.Denials)-i, r.ID)
			break
		}
		times := ""
		if d.Count > 1 {
			times = fmt.Sprintf(" (%d times)", d.Count)
		}
		a.remark("denied %s %s: %s%s", plain(d.What), plain(d.Target), plain(d.Rule), times)
	}
	if r.ReusedFrom != "" {
		a.remark("this is the result of job %s, an equal one", r.ReusedFrom)
	}
	switch r.Outcome {
	case jobs.Succeeded, jobs.Exited:
		if r.ToolError != "" {
			a.say("job %s: the tool says that its call failed: %s", r.ID, plain(r.ToolError))
		}
	default:
		a.say("job %s %s: %s", r.ID, ending(r.Outcome), plain(r.Error))
	}
}

// ending is the outcome as the end of a sentence.
func ending(o jobs.Outcome) string {
	switch o {
	case jobs.TimedOut:
		return "timed out"
	case jobs.OutOfFuel:
		return "ran out of fuel"
	case jobs.OutOfMemory:
		return "ran out of memory"
	case jobs.StackOverflow:
		return "overflowed its stack"
	case jobs.OutputLimit:
		return "wrote more than its output limit"
	case jobs.Denied:
		return "was denied"
	case jobs.Canceled:
		return "was canceled"
	case jobs.Invalid:
		return "is invalid"
	}
	return string(o)
}
