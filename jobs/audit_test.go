package jobs

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestAudit: what a client with the fleet's own credentials and a worker do is
// told, under the tenant it concerns.
func TestAudit(t *testing.T) {
	f := newFleet(t)
	acme := f.tenant("acme")
	f.worker("w-1", func(_ context.Context, a *Attempt) (*Result, error) {
		return &Result{Outcome: Succeeded, Denials: []Denial{{What: "network", Target: "https://evil.example/", Rule: "allowed_outbound_hosts", Count: 3}}}, nil
	}, nil)
	denied := &Job{ID: "nosy", Tool: testTool}
	if _, err := acme.Submit(f.ctx, denied); err != nil {
		t.Fatal(err)
	}
	later := &Job{ID: "later", Tool: testTool, RunAt: time.Now().Add(time.Hour)}
	if _, err := acme.Submit(f.ctx, later); err != nil {
		t.Fatal(err)
	}
	if _, err := acme.Cancel(f.ctx, "later"); err != nil {
		t.Fatal(err)
	}
	if err := f.client.SetTenant(f.ctx, "acme", TenantSettings{Weight: 2}); err != nil {
		t.Fatal(err)
	}

	list := func(c *Client, filter AuditFilter) (got []string) {
		t.Helper()
		for e, err := range c.Audit(f.ctx, filter) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s by %s %v %s %d", e.Action, e.By, e.Jobs, e.Target, e.Count))
		}
		return got
	}
	want := []string{"job.cancel by client [later]  1", "job.denied by worker [nosy] https://evil.example/ 3"}
	var got []string
	for end := time.Now().Add(patience); time.Now().Before(end) && len(got) < len(want); {
		got = list(acme, AuditFilter{})
		sleep(f.ctx, 10*time.Millisecond)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("acme's log says %q; want %q", got, want)
	}
	if got := list(acme, AuditFilter{Action: "job", Job: "nosy"}); len(got) != 1 {
		t.Errorf("of the denied job the log says %q", got)
	}
	if got := list(f.client, AuditFilter{Tenants: []string{FleetAudit}, Since: time.Now().Add(-time.Minute)}); len(got) != 1 || got[0] != `tenant.set by client [] acme {"weight":2} 1` {
		t.Errorf("the fleet's log says %q", got)
	}
	if got := list(f.tenant("beta"), AuditFilter{}); len(got) != 0 {
		t.Errorf("beta's log says %q", got)
	}
	for e := range acme.Audit(f.ctx, AuditFilter{}) { // a loop that is left early
		if e == nil {
			t.Fatal("no event")
		}
		break
	}
}
