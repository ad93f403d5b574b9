package gate_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"boxfleet/internal/fleetauth"
	"boxfleet/jobs"
)

// TestRoles: what the fleet's own identities may publish and listen to, each
// tried on the server. That they can do their work is shown by the other tests,
// whose workers, gates and operators have these identities.
func TestRoles(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		role      fleetauth.Role
		publish   []string
		listen    []string
		noPublish []string
		noListen  []string
	}{
		{fleetauth.Worker,
			[]string{"jobs.acme.normal.x1", "done.acme._.x1", "events.acme.x1.log", "$KV.status.acme.x1", "$JS.API.STREAM.INFO.JOBS"},
			[]string{"_INBOX.x", "wake.>", "ctl.cancel.>", "done.>", "jobs.*.hold.*", "members.*.*.*"},
			[]string{"$KV.tenants.acme", "$KV.tools.jq/1.0.0", "gate.acme.ci.x", "inbox.acme.ci.x", "$SYS.REQ.SERVER.PING", "$JS.API.STREAM.DELETE.JOBS",
				"$JS.API.STREAM.DELETE.KV_status", "$JS.API.STREAM.PURGE.KV_status", "$JS.API.STREAM.CREATE.OTHER", "$JS.API.STREAM.SNAPSHOT.JOBS", "$JS.API.ACCOUNT.PURGE.x", "anything.else"},
			[]string{">", "inbox.>", "gate.>", "$SYS.>", "events.>", "$KV.>"}},
		{fleetauth.Gate,
			[]string{"inbox.acme.ci.x", "jobs.acme.normal.x2", "submit.acme.cron.x2", "events.acme.audit.x", "$JS.API.DIRECT.GET.KV_status"},
			[]string{"gate.>", "_INBOX.x"},
			[]string{"$KV.tenants.acme", "$KV.tools.jq/1.0.0", "$KV.workers.w", "$KV.leases.x", "$KV.places.x", "dlq.acme.t.x", "events.acme.x.log", "submit.acme.fire.x", "gate.acme.ci.x",
				"$SYS.REQ.SERVER.PING", "$JS.API.STREAM.DELETE.JOBS", "$JS.API.STREAM.UPDATE.JOBS", "$JS.API.STREAM.PURGE.KV_status", "$JS.ACK.JOBS.x"},
			[]string{">", "inbox.>", "jobs.>", "$SYS.>", "events.>", "done.>"}},
		{fleetauth.Operator,
			[]string{"$KV.tenants.acme", "$JS.API.STREAM.PURGE.KV_leases"}, []string{"jobs.>", "events.>"},
			nil, nil},
		{fleetauth.System,
			[]string{"$SYS.REQ.SERVER.PING"}, []string{"$SYS.>"},
			[]string{"jobs.acme.normal.x", "$JS.API.INFO", "$KV.status.acme.x", "gate.acme.ci.x"}, []string{"jobs.>", "done.>"}},
	} {
		nc, err := nats.Connect(r.URL(), nats.RootCAs(r.CA), nats.UserCredentials(r.Identity(t, fleetauth.Grant{Role: c.role, User: "probe"})),
			nats.PermissionErrOnSubscribe(true), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		publish := func(subject string) error {
			before := nc.LastError()
			if err := nc.Publish(subject, nil); err != nil {
				return err
			}
			if err := nc.FlushTimeout(10 * time.Second); err != nil {
				return err
			}
			if now := nc.LastError(); now != before {
				return now
			}
			return nil
		}
		listen := func(subject string) error {
			sub, err := nc.SubscribeSync(subject)
			if err == nil {
				if err = nc.FlushTimeout(10 * time.Second); err == nil {
					_, err = sub.NextMsg(10 * time.Millisecond)
				}
			}
			if errors.Is(err, nats.ErrTimeout) {
				return nil
			}
			return err
		}
		for _, s := range c.publish {
			if err := publish(s); err != nil {
				t.Errorf("a %s cannot publish to %s: %v", c.role, s, err)
			}
		}
		for _, s := range c.listen {
			if err := listen(s); err != nil {
				t.Errorf("a %s cannot listen to %s: %v", c.role, s, err)
			}
		}
		for _, s := range c.noPublish {
			if err := publish(s); !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("a %s publishes to %s: %v; want a permission violation", c.role, s, err)
			}
		}
		for _, s := range c.noListen {
			if err := listen(s); !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("a %s listens to %s: %v; want a permission violation", c.role, s, err)
			}
		}
	}
}

// TestEndOfIdentities: revoked and expired ones, wrong places, and servers
// nobody vouches for.
func TestEndOfIdentities(t *testing.T) {
	r := newRig(t)
	connect := func(file string) error {
		nc, _, err := jobs.Connect(r.ctx, jobs.ConnConfig{URL: r.URL(), CAFile: r.CA, CredsFile: file})
		if err == nil {
			nc.Close()
		}
		return err
	}
	file := r.Identity(t, fleetauth.Grant{Role: fleetauth.Submitter, Tenant: "acme", User: "gone"})
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	acme, nc := r.tenant("acme", "gone")
	r.submit(acme, job("before"))
	if _, err := r.Revoke("acme.gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its credentials file: %v; want none", err)
	}
	r.Reload(t)
	r.eventually("its connection is cut", func() error {
		if nc.IsConnected() {
			return errors.New("it is connected")
		}
		return nil
	})
	nc.Close()
	if err := os.WriteFile(file, kept, 0o600); err != nil { // a copy that somebody kept
		t.Fatal(err)
	}
	if err := connect(file); err == nil {
		t.Error("a revoked identity connects")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Revoke("acme.gone"); err == nil {
		t.Error("it can be revoked twice")
	}
	// The name can be given out again, and is another identity.
	if err := connect(r.reissue(fleetauth.Grant{Role: fleetauth.Submitter, Tenant: "acme", User: "gone"})); err != nil {
		t.Errorf("a new identity of the name: %v", err)
	}
	if err := connect(r.reissue(fleetauth.Grant{Role: fleetauth.Worker, User: "far", Networks: []string{"203.0.113.0/24"}})); err == nil {
		t.Error("an identity of another network connects")
	}
	short := r.reissue(fleetauth.Grant{Role: fleetauth.Worker, User: "short", Expires: 2 * time.Second})
	r.eventually("it expires", func() error {
		if err := connect(short); err == nil {
			return errors.New("it connects")
		}
		return nil
	})
	if _, _, err := jobs.Connect(r.ctx, jobs.ConnConfig{URL: r.URL(), CredsFile: r.Identity(t, fleetauth.Grant{Role: fleetauth.Worker, User: "w1"})}); err == nil {
		t.Error("a server whose certificate nobody vouches for is trusted")
	}
	if _, _, err := jobs.Connect(r.ctx, jobs.ConnConfig{URL: r.URL(), CAFile: r.CA}); err == nil {
		t.Error("somebody without an identity connects")
	}
	for _, g := range []fleetauth.Grant{
		{Role: "root", User: "x"}, {Role: fleetauth.Submitter, User: "x"}, {Role: fleetauth.Submitter, Tenant: "a.b", User: "x"}, {Role: fleetauth.Submitter, Tenant: "*", User: "x"},
		{Role: fleetauth.Submitter, Tenant: "acme", User: ">"}, {Role: fleetauth.Submitter, Tenant: "acme", User: "log"}, {Role: fleetauth.Worker, Tenant: "acme", User: "x"},
		{Role: fleetauth.Worker, User: "w1"}, {Role: fleetauth.Worker, User: "x", Networks: []string{"here"}}, {Role: fleetauth.Worker, User: "../x"},
	} {
		if i, err := r.Issue(g); err == nil {
			t.Errorf("%+v is issued as %s", g, i.File)
		}
	}
	nc2, js := r.Connect(t, fleetauth.Grant{Role: fleetauth.Submitter, Tenant: "acme", User: "ci"})
	if c, err := jobs.NewClient(r.ctx, nc2, js, "beta"); err == nil {
		t.Errorf("acme's credentials give a client of %s", c.Tenant())
	}
}

// reissue gives out an identity that was not given out, or has ended.
func (r *rig) reissue(g fleetauth.Grant) string {
	r.t.Helper()
	i, err := r.Issue(g)
	if err != nil {
		r.t.Fatal(fmt.Errorf("issue %+v: %w", g, err))
	}
	return i.File
}

// TestGatesShare: a second gate takes over when the first one ends.
func TestGatesShare(t *testing.T) {
	r := newRig(t)
	first := r.gate
	acme, _ := r.tenant("acme", "ci")
	r.startGate("g2")
	const n = 200
	w, err := acme.NewWaiter("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range n {
		j := job(fmt.Sprintf("j%d", i))
		w.Expect(j.ID)
		r.submit(acme, j)
	}
	for w.Left() > 0 {
		if _, err := w.Next(r.ctx); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := first.Counts()
	b, refused := r.gate.Counts()
	if a == 0 || b == 0 || refused != 0 {
		t.Errorf("the gates passed on %d and %d requests, and refused %d; want both to have a share", a, b, refused)
	}
	told := map[string]bool{}
	r.eventually("every submission is in the audit log", func() error {
		for e, err := range acme.Audit(r.ctx, jobs.AuditFilter{Action: "job.submit", User: "ci"}) {
			if err != nil {
				return err
			}
			for _, id := range e.Jobs {
				told[id] = true
			}
		}
		if len(told) != n {
			return fmt.Errorf("%d of %d", len(told), n)
		}
		return nil
	})
}
