package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
)

// AuditEvent says who did what, kept with the events of the fleet
// (EVENTS: events.<tenant>.audit.<user>).
type AuditEvent struct {
	At     time.Time `json:"at"`
	Tenant string    `json:"tenant"`
	// User is the tenant's user, as the gate knows it from the server; for
	// By "client" it is what the client says of itself.
	User string `json:"user"`
	// Action such as job.submit, job.cancel, schedule.set, dlq.purge, tool.push,
	// tenant.set, job.denied or refused.
	Action string `json:"action" jsonschema:"description=such as job.submit; job.cancel; tool.push; job.denied; refused"`
	// Jobs that it is about.
	Jobs []string `json:"jobs,omitempty"`
	// Target is what else it is about: a schedule, a tool, a tenant, a subject.
	Target string `json:"target,omitempty"`
	// Reason of a refusal or a denial.
	Reason string `json:"reason,omitempty"`
	// Count is how often it happened within the half second that shares the entry.
	Count int `json:"count"`
	// By says who vouches for the event.
	By string `json:"by" jsonschema:"enum=gate,enum=worker,enum=client"`
}

// Who vouches for an audit event: the gate and workers saw it happen; clients
// with the fleet's own credentials tell of themselves.
const (
	AuditByGate   = "gate"
	AuditByWorker = "worker"
	AuditByClient = "client"
)

// FleetAudit stands for the tenant in events about the fleet as a whole. No
// tenant can have the name.
const FleetAudit = "$fleet"

// maxAudit bounds an audit event's text, in bytes.
const maxAudit = 500

func auditSubject(tenant, user string) string { return "events." + tenant + ".audit." + user }

// PublishAudit hands an audit event to the EVENTS stream. Like everything in it,
// it may be lost when the server is.
func PublishAudit(nc *nats.Conn, e *AuditEvent) error {
	e.Target, e.Reason = shorten(e.Target, maxAudit), shorten(e.Reason, maxAudit)
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode an audit event: %w", err)
	}
	tenant := e.Tenant
	if tenant != FleetAudit {
		tenant = subjectToken(tenant)
	}
	return nc.Publish(auditSubject(tenant, subjectToken(e.User)), data)
}

// audit tells what a client with the fleet's own credentials did. A tenant's
// requests are seen, and told, by the gate.
func (c *Client) audit(e AuditEvent) {
	if IdentityOf(c.nc).Gated() {
		return
	}
	e.At, e.User, e.By = time.Now().UTC(), whoami(c.nc), AuditByClient
	if e.Tenant == "" {
		e.Tenant = c.tenant
	}
	e.Count = max(1, len(e.Jobs))
	_ = PublishAudit(c.nc, &e) // the deed is done, and it is a note about it
}

// auditDenied tells what a job asked for and did not get.
func (w *Worker) auditDenied(rec *Record) {
	if rec.Result == nil || len(rec.Result.Denials) == 0 {
		return
	}
	first, count := rec.Result.Denials[0], 0
	for _, d := range rec.Result.Denials {
		count += d.Count
	}
	_ = PublishAudit(w.nc, &AuditEvent{
		At: time.Now().UTC(), Tenant: rec.Tenant, User: w.cfg.Name, Action: "job.denied", Jobs: []string{rec.ID}, Target: first.Target,
		Reason: first.What + ": " + first.Rule, Count: count, By: AuditByWorker,
	}) // the result has all of them
}

// whoami is the name of the credentials, or else of whoever runs this program.
func whoami(nc *nats.Conn) string {
	if nc.Opts.UserJWT != nil {
		if token, err := nc.Opts.UserJWT(); err == nil {
			if claims, err := jwt.DecodeUserClaims(token); err == nil && claims.Name != "" {
				return claims.Name
			}
		}
	}
	if nc.Opts.User != "" {
		return nc.Opts.User
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}

// AuditFilter chooses audit events; every field that is set must match.
type AuditFilter struct {
	// Tenants whose events are read; empty means the client's own.
	Tenants []string
	User    string
	// Action, or its part before the dot.
	Action string
	// Job is a job's id.
	Job   string
	Since time.Time
}

// Takes tells whether the filter chooses the event.
func (f AuditFilter) Takes(e *AuditEvent) bool {
	kind, _, _ := strings.Cut(e.Action, ".")
	return (f.User == "" || f.User == e.User) && (f.Action == "" || f.Action == e.Action || f.Action == kind) &&
		(f.Job == "" || slices.Contains(e.Jobs, f.Job)) && !e.At.Before(f.Since)
}

// auditPage is how many audit events are read at once.
const auditPage = 256

// Audit walks audit events that are kept, oldest first for each tenant.
func (c *Client) Audit(ctx context.Context, f AuditFilter) iter.Seq2[*AuditEvent, error] {
	return func(yield func(*AuditEvent, error) bool) {
		tenants := f.Tenants
		if len(tenants) == 0 {
			tenants = []string{c.tenant}
		}
		for _, tenant := range tenants {
			if tenant != FleetAudit && !ValidID(tenant) {
				yield(nil, checkTenantName(tenant))
				return
			}
			if i := IdentityOf(c.nc); i.Gated() && tenant != i.Tenant {
				yield(nil, fmt.Errorf("the audit log of %s is for operators: these credentials are of tenant %q (user %s), and read that tenant's", auditName(tenant), i.Tenant, i.User))
				return
			}
			if !c.auditOf(ctx, tenant, f, yield) {
				return
			}
		}
	}
}

// auditName is whose audit log it is, in words.
func auditName(tenant string) string {
	if tenant == FleetAudit {
		return "the fleet"
	}
	return "tenant " + tenant
}

func (c *Client) auditOf(ctx context.Context, tenant string, f AuditFilter, yield func(*AuditEvent, error) bool) bool {
	stopped := false
	for next := uint64(1); !stopped; {
		from := next
		_, err := directGet(ctx, c.nc, StreamEvents, directQuery{NextBy: auditSubject(tenant, "*"), Batch: auditPage, Seq: next}, func(m directMessage) error {
			next = m.seq + 1
			var e AuditEvent
			if json.Unmarshal(m.data, &e) == nil && f.Takes(&e) && !stopped {
				stopped = !yield(&e, nil)
			}
			return nil
		})
		if err != nil && !stopped {
			yield(nil, fmt.Errorf("read the audit log of %s: %w", tenant, hintPublish(err)))
			return false
		}
		if err != nil || next == from {
			return !stopped
		}
	}
	return false
}
