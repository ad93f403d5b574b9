package gate

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"boxfleet/jobs"
)

// event is one thing an identity did.
type event struct {
	Action, Job, Target, Reason string
	quiet                       bool // worth no entry: other events tell it
}

// Bounds of the audit log. Submissions come by the thousand, and a hostile
// client's refusals as well: equal ones of a moment share an entry.
const (
	auditEvery   = 500 * time.Millisecond
	auditJobs    = 500 // ids in one entry
	auditEntries = 1024
)

// auditor gathers events and publishes them as the tenants' audit log.
type auditor struct {
	nc  *nats.Conn
	log *slog.Logger

	mu      sync.Mutex
	open    map[auditKey]*jobs.AuditEvent
	full    []*jobs.AuditEvent
	dropped int
}

// auditKey tells which events share an entry.
type auditKey struct {
	who                    jobs.Identity
	action, target, reason string
}

func newAuditor(nc *nats.Conn, log *slog.Logger) *auditor {
	return &auditor{nc: nc, log: log, open: map[auditKey]*jobs.AuditEvent{}}
}

func (a *auditor) add(who jobs.Identity, e event) {
	if e.quiet {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := auditKey{who, e.Action, e.Target, e.Reason}
	entry := a.open[key]
	if entry == nil {
		if len(a.open)+len(a.full) >= auditEntries {
			a.dropped++
			return
		}
		entry = &jobs.AuditEvent{
			At: time.Now().UTC(), Tenant: who.Tenant, User: who.User, Action: e.Action, Target: e.Target, Reason: e.Reason, By: jobs.AuditByGate,
		}
		a.open[key] = entry
	}
	entry.Count++
	if e.Job != "" {
		entry.Jobs = append(entry.Jobs, e.Job)
		if len(entry.Jobs) >= auditJobs {
			delete(a.open, key)
			a.full = append(a.full, entry)
		}
	}
}

// run publishes what has gathered, until ctx ends and once more then.
func (a *auditor) run(ctx context.Context) {
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.flush()
		case <-ctx.Done():
			a.flush()
			_ = a.nc.FlushTimeout(askTimeout)
			return
		}
	}
}

func (a *auditor) flush() {
	a.mu.Lock()
	entries, dropped := a.full, a.dropped
	for _, e := range a.open {
		entries = append(entries, e)
	}
	a.full, a.dropped = nil, 0
	clear(a.open)
	a.mu.Unlock()
	if dropped > 0 {
		a.log.Warn("more happened than the audit log takes in; some of it is missing there", "missing", dropped)
	}
	for _, e := range entries {
		if err := jobs.PublishAudit(a.nc, e); err != nil {
			a.log.Warn("an audit event is lost", "event", *e, "error", err)
		}
	}
}
