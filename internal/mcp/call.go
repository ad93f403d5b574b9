package mcp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"boxfleet/jobs"
	"boxfleet/limits"
	"boxfleet/limits/permission"
)

// maxInlineStdin is the largest standard input, as JSON text, that travels in
// the job's message; a longer one becomes an object.
const maxInlineStdin = 32 << 10

// Bounds on what the end of a call waits for.
const (
	submitTimeout = 30 * time.Second
	cancelTimeout = 10 * time.Second
)

// call runs one tool as one job: check, stage, submit, follow, write back,
// answer. What the agent can mend is an answer with isError; an error is for
// what it cannot, such as that it has canceled the call itself.
func (s *Server) call(ctx context.Context, req *sdk.CallToolRequest, t *tool) (*sdk.CallToolResult, error) {
	argv, stdin, err := t.input.arguments(req.Params.Arguments)
	if err != nil {
		return refusal(fmt.Sprintf("the arguments of %s are wrong: %v", t.name, err)), nil
	}
	session := req.Session.ID()
	ctx, end := s.calls.begin(ctx, session)
	defer end()
	ctx, left := s.untilLeft(ctx, req)
	defer left()
	if err := s.slots.Acquire(ctx, 1); err != nil {
		return nil, context.Cause(ctx)
	}
	defer s.slots.Release(1)

	j := s.job(t, argv, clientName(req))
	ctx, span := s.startSpan(ctx, req, t, j)
	defer span.End()
	report := newReporter(ctx, req)
	answer, err := s.run(ctx, &attempt{tool: t, job: j, stdin: stdin, session: session, report: report})
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
		span.SetStatus(codes.Error, err.Error())
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: fmt.Sprintf("the call of %s was ended: %v; its job %s is canceled", t.name, err, j.ID)}
	}
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
	return refusal(explain(t, err)), nil
}

// attempt is what one call carries from step to step.
type attempt struct {
	tool    *tool
	job     *jobs.Job
	stdin   string
	session string
	report  *reporter
}

// job makes the job of a call. Its id cannot be guessed, because who knows it
// may read what the job leaves.
func (s *Server) job(t *tool, argv []string, client string) *jobs.Job {
	labels := map[string]string{"via": "mcp"}
	if client != "" {
		labels["mcp-client"] = client
	}
	maps.Copy(labels, s.cfg.Labels)
	return &jobs.Job{
		ID: "mcp-" + rand.Text(), Priority: s.cfg.Priority, Tool: t.manifest.Tool(), Args: argv,
		Options: t.options, Labels: labels,
	}
}

// run is the life of a job on this side.
func (s *Server) run(ctx context.Context, a *attempt) (*sdk.CallToolResult, error) {
	if denials := s.cfg.Scope.check(&a.tool.manifest, &a.job.Options); len(denials) > 0 {
		return nil, &permission.DeniedError{Tool: a.tool.name, Denials: denials}
	}
	if err := s.giveStdin(ctx, a); err != nil {
		return nil, err
	}
	if err := s.cfg.Client.Check(a.job); err != nil {
		return nil, err
	}
	staged, err := s.workspace.stage(ctx, a.job)
	if err != nil {
		return nil, err
	}
	defer staged.release()
	res, err := s.submit(ctx, a)
	if err != nil {
		return nil, err
	}
	s.kept.add(a.job.ID, a.session)
	changed, err := staged.writeBack(ctx, res)
	if err != nil {
		changed.kept = append(changed.kept, fmt.Sprintf("what is not named above: %v", err))
	}
	return s.answer(ctx, a, res, changed), nil
}

// giveStdin puts standard input into the job, or beside it when it is long.
func (s *Server) giveStdin(ctx context.Context, a *attempt) error {
	if a.stdin == "" {
		return nil
	}
	text, err := json.Marshal(a.stdin)
	if err != nil {
		return err
	}
	if len(text) <= maxInlineStdin {
		a.job.Stdin = &jobs.Stdin{Inline: a.stdin}
		return nil
	}
	if s.cfg.Store == nil {
		return &tooLongError{what: "stdin", size: len(text), limit: maxInlineStdin}
	}
	d, err := s.cfg.Store.PutBlobBytes(ctx, []byte(a.stdin))
	if err != nil {
		return fmt.Errorf("upload standard input: %w", err)
	}
	a.job.Stdin = &jobs.Stdin{Source: string(d)}
	return nil
}

// tooLongError says that an argument is larger than can travel.
type tooLongError struct {
	what        string
	size, limit int
}

func (e *tooLongError) Error() string {
	return fmt.Sprintf("%s has %d bytes, at most %d can be passed here", e.what, e.size, e.limit)
}

// submit hands the job in and follows it to its end. When ctx ends first, the
// job is canceled before it returns.
func (s *Server) submit(ctx context.Context, a *attempt) (*jobs.Result, error) {
	waiter, err := s.cfg.Client.NewWaiter("", a.job.ID)
	if err != nil {
		return nil, err
	}
	defer waiter.Close()
	waiter.Expect(a.job.ID)
	if err := a.report.listen(s.cfg.Client, a.job.ID); err != nil {
		return nil, err
	}
	defer a.report.close()

	// Not cut short by the end of ctx: a submission whose answer was not
	// awaited may still arrive, after the cancel that was meant for it.
	handing, stop := context.WithTimeout(context.WithoutCancel(ctx), submitTimeout)
	_, err = s.cfg.Client.Submit(handing, a.job)
	stop()
	if err != nil {
		s.cancel(ctx, a.job.ID)
		return nil, err
	}
	a.report.queued(a.job.ID)

	waiting, quit := context.WithCancel(context.WithoutCancel(ctx))
	defer quit()
	type end struct {
		rec *jobs.Record
		err error
	}
	ended := make(chan end, 1)
	go func() {
		rec, err := waiter.Next(waiting)
		ended <- end{rec, err}
	}()
	for {
		select {
		case e := <-ended:
			if e.err != nil {
				s.cancel(ctx, a.job.ID)
				return nil, e.err
			}
			return e.rec.Result, nil
		case <-ctx.Done():
			s.cancel(ctx, a.job.ID)
			quit()
			<-ended
			return nil, context.Cause(ctx)
		case piece, ok := <-a.report.pieces:
			a.report.piece(piece, ok)
		case <-a.report.tick:
			a.report.beat(s.cfg.Client)
		}
	}
}

// cancel ends a job whose answer nobody waits for.
func (s *Server) cancel(ctx context.Context, id string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer stop()
	_, err := s.cfg.Client.Cancel(ctx, id)
	var missing *jobs.NotFoundError
	if err != nil && !errors.As(err, &missing) {
		s.cfg.Say("cannot cancel job %s; it runs to its end or its limits: %v", id, err)
	}
}

// explain turns an error into words an agent can act on.
func explain(t *tool, err error) string {
	var large *jobs.TooLargeError
	var long *tooLongError
	var field *limits.FieldError
	var denied *permission.DeniedError
	switch {
	case errors.As(err, &denied):
		return denied.Error()
	case errors.As(err, &large), errors.As(err, &long):
		return fmt.Sprintf("the arguments of %s are too large: %v. Pass long text as stdin, or write it to a file of the work directory in parts and name that file", t.name, err)
	case errors.As(err, &field):
		return fmt.Sprintf("the call of %s makes no valid job: %v", t.name, err)
	}
	return fmt.Sprintf("%s was not run to its end: %v", t.name, err)
}

// startSpan starts the call's trace, or goes on with the client's when the
// request's _meta has a W3C traceparent.
func (s *Server) startSpan(ctx context.Context, req *sdk.CallToolRequest, t *tool, j *jobs.Job) (context.Context, trace.Span) {
	parent := propagation.MapCarrier{}
	for _, key := range []string{"traceparent", "tracestate"} {
		if v, ok := req.Params.Meta[key].(string); ok && len(v) < 512 {
			parent[key] = v
		}
	}
	ctx = propagation.TraceContext{}.Extract(ctx, parent)
	return otel.Tracer("boxfleet/mcp").Start(ctx, "submit", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("boxfleet.job", j.ID), attribute.String("boxfleet.tool", t.manifest.Name+"@"+t.manifest.Version),
		attribute.String("boxfleet.tool.digest", string(t.manifest.Digest)), attribute.String("rpc.system", "jsonrpc"), attribute.String("rpc.method", "tools/call")))
}

// clientName is what the other side calls itself.
func clientName(req *sdk.CallToolRequest) string {
	if p := req.Session.InitializeParams(); p != nil && p.ClientInfo != nil {
		return strings.TrimSpace(line(p.ClientInfo.Name, 64))
	}
	return ""
}
