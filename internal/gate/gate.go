// Package gate is the border between tenants and the fleet's NATS account. A
// tenant's user may publish below gate.<tenant>.<user>. and nowhere else; a
// gate reads each of these requests the way JetStream would, refuses what the
// tenant may not ask, and passes the rest on, written anew from what it
// understood. Answers go from the server straight to the requester's inbox.
//
// Subject permissions alone are no border, because what a JetStream request
// does stands in its payload, its headers and its reply subject; RATIONALE.md
// lists the ways around. So nothing is passed on that is not known here:
// unknown streams, headers, fields and operations are refused by name.
//
// Gates keep no state that matters. Any number may run; a queue group shares
// the requests among them.
package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"boxfleet/jobs"
)

// Config is a gate's settings.
type Config struct {
	// Name tells gates apart in the log.
	Name string
	// Version is shown in the log.
	Version string
	Log     *slog.Logger
}

// Bounds of a gate.
const (
	queueGroup = "gates"
	// maxSubject is the longest subject of a request, in bytes.
	maxSubject = 512
	// atOnce bounds the requests that wait for an answer the gate itself needs.
	atOnce = 64
	// askTimeout bounds one such exchange.
	askTimeout = 5 * time.Second
)

// Gate passes tenants' requests on.
type Gate struct {
	nc    *nats.Conn
	log   *slog.Logger
	audit *auditor
	slow  chan struct{} // one token for each request that waits
	all   sync.WaitGroup

	own    owned
	stream streamCache

	passed, refused atomic.Int64
}

// New makes a gate for a connection of the gate's identity.
func New(nc *nats.Conn, cfg Config) *Gate {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Gate{nc: nc, log: log, slow: make(chan struct{}, atOnce), audit: newAuditor(nc, log)}
}

// Counts says how many requests were passed on and refused so far.
func (g *Gate) Counts() (passed, refused int64) { return g.passed.Load(), g.refused.Load() }

// Run serves requests until ctx ends; what it has taken by then is finished.
// ready is called once requests are heard.
func (g *Gate) Run(ctx context.Context, ready func()) error {
	// In a goroutine of the connection, so in order for each connection.
	sub, err := g.nc.QueueSubscribe("gate.*.*.>", queueGroup, g.take)
	if err != nil {
		return fmt.Errorf("listen for requests: %w", err)
	}
	if err := sub.SetPendingLimits(1<<18, 256<<20); err != nil {
		return fmt.Errorf("listen for requests: %w", err)
	}
	if err := g.nc.FlushTimeout(askTimeout); err != nil {
		return fmt.Errorf("listen for requests: %w", err)
	}
	// A server that does not let this identity listen says so by an error of
	// the connection, after the flush.
	if err := g.nc.LastError(); err != nil && errors.Is(err, nats.ErrPermissionViolation) {
		return fmt.Errorf("listen for requests: %w; use the credentials of a gate", err)
	}
	auditing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { defer close(done); g.audit.run(auditing) }()
	ready()
	<-ctx.Done()
	ended := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(ended) })
	if err := sub.Drain(); err == nil {
		select {
		case <-ended:
		case <-time.After(askTimeout):
		}
	}
	g.all.Wait()
	stop()
	<-done
	return nil
}

// request is one message of a tenant's user.
type request struct {
	who     jobs.Identity
	subject string // what follows the gate's prefix
	tokens  []string
	reply   string
	header  nats.Header
	data    []byte
}

// refusal says why a request is not passed on. It is shown to its sender, and
// is an audit event.
type refusal struct{ why string }

func (r *refusal) Error() string { return r.why }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// take reads a message into a request.
func (g *Gate) take(m *nats.Msg) {
	parts := strings.SplitN(m.Subject, ".", 4)
	if len(parts) != 4 {
		return
	}
	r := &request{who: jobs.Identity{Tenant: parts[1], User: parts[2]}, subject: parts[3], reply: m.Reply, header: m.Header, data: m.Data}
	if !jobs.ValidID(r.who.Tenant) || !jobs.ValidID(r.who.User) {
		return // no identity has such a prefix
	}
	// The server does not hold reply subjects against permissions: this check
	// keeps answers, which are messages, out of other subjects.
	if r.reply != "" && !g.mayHear(r.who, r.reply) {
		r.reply = ""
		g.refuse(r, refuse("the reply subject %s is no inbox of %s", show(m.Reply), r.who))
		return
	}
	if len(r.subject) > maxSubject {
		g.refuse(r, refuse("a subject of %d bytes; at most %d", len(r.subject), maxSubject))
		return
	}
	r.subject = strings.TrimPrefix(r.subject, "$JS.API.$KV.") // as client libraries with a prefix write to buckets
	if len(r.subject) != len(parts[3]) {
		r.subject = "$KV." + r.subject
	}
	r.tokens = strings.Split(r.subject, ".")
	g.serve(r)
}

// mayHear tells whether a subject is an inbox of the identity: literal, and
// below its prefix.
func (g *Gate) mayHear(who jobs.Identity, subject string) bool {
	rest, ok := strings.CutPrefix(subject, who.InboxPrefix()+".")
	return ok && len(subject) <= maxSubject && literal(rest)
}

// serve judges a request. What needs an answer of the server for that goes on
// beside the others; if too many do, this connection's requests wait.
func (g *Gate) serve(r *request) {
	defer g.recovered(r)
	act, err := g.judge(r)
	if err != nil {
		g.refuse(r, err)
		return
	}
	if act.ask == nil {
		g.pass(r, act)
		return
	}
	g.slow <- struct{}{}
	g.all.Go(func() {
		defer func() { <-g.slow }()
		defer g.recovered(r)
		if err := act.ask(); err != nil {
			g.refuse(r, err)
			return
		}
		g.pass(r, act)
	})
}

// recovered keeps a gate alive whatever a request makes it do.
func (g *Gate) recovered(r *request) {
	if p := recover(); p != nil {
		g.log.Error("a request made the gate panic", "identity", r.who.String(), "subject", r.subject, "panic", p, "stack", string(debug.Stack()))
		g.refuse(r, refuse("the gate failed; tell its operator"))
	}
}

// action is what becomes of a request.
type action struct {
	// ask, when set, looks at the server first; it may alter the rest.
	ask func() error
	// out is passed on, with the request's reply subject; nil when ask has
	// answered.
	out *nats.Msg
	// event is told to the audit log; nil for reads.
	event *event
}

func (g *Gate) pass(r *request, act *action) {
	if act.out != nil {
		act.out.Reply = r.reply
		if err := g.nc.PublishMsg(act.out); err != nil {
			g.refuse(r, fmt.Errorf("pass a request on: %w", err))
			return
		}
	}
	g.passed.Add(1)
	if act.event != nil {
		g.audit.add(r.who, *act.event)
	}
}

// Codes of refusals, in the range that nats-server does not use.
const (
	codeRefused = 403
	codeFailed  = 503
	errRefused  = 20403
)

// refuse answers a request that is not passed on, in every form that a client
// may read: a JetStream error, a publish acknowledgement's and a direct get's.
func (g *Gate) refuse(r *request, err error) {
	code := codeFailed
	if no, ok := errors.AsType[*refusal](err); ok {
		code = codeRefused
		g.refused.Add(1)
		g.audit.add(r.who, event{Action: "refused", Target: clip(r.subject), Reason: no.why})
		g.log.Warn("refused", "identity", r.who.String(), "subject", clip(r.subject), "reason", no.why)
	} else {
		g.log.Warn("a request cannot be passed on", "identity", r.who.String(), "subject", clip(r.subject), "error", err)
	}
	if r.reply == "" {
		return
	}
	text := fmt.Sprintf("the fleet's gate refuses %s: %v", show(r.subject), err)
	m := &nats.Msg{Subject: r.reply, Header: nats.Header{"Status": {fmt.Sprint(code)}, "Description": {oneLine(text)}}, Data: errorBody(code, text)}
	if strings.HasPrefix(r.subject, "$JS.API.DIRECT.GET.") {
		m.Data = nil // with a payload, client libraries take it for a message and the reason is lost
	}
	_ = g.nc.PublishMsg(m) // nobody to tell if it does not arrive
}
