package gate_test

import (
	"errors"
	"strings"
	"testing"

	"boxfleet/internal/fleetauth"
	"boxfleet/internal/submitcli"
	"boxfleet/jobs"
)

// TestCommandLine: submit with a tenant's credentials and nothing else that says
// who it is.
func TestCommandLine(t *testing.T) {
	r := newRig(t)
	acme, _ := r.tenant("acme", "ci")
	r.submit(acme, job("one"))
	r.wait(acme, "one")
	r.eventually("the gate has told of it", func() error {
		for range acme.Audit(r.ctx, jobs.AuditFilter{Action: "job.submit"}) {
			return nil
		}
		return errors.New("no event")
	})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("BOXFLEET_NATS", r.URL())
	t.Setenv("BOXFLEET_NATS_CA", r.CA)
	t.Setenv("BOXFLEET_NATS_CREDS", r.Identity(t, fleetauth.Grant{Role: fleetauth.Submitter, Tenant: "acme", User: "ci"}))
	for _, c := range []struct{ args, want string }{
		{"status", "w1"}, {"status one", "succeeded"}, {"list", "one"}, {"list --json", `"one"`}, {"result one", "of one"}, {"logs one", ""},
		{"wait one", "one"}, {"tool list", ""}, {"dlq list", ""}, {"schedule list", ""}, {"cancel one", "ended already"},
		{"audit", "job.submit"},
	} {
		var out, errOut strings.Builder
		code := submitcli.Program{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut}.Run(r.ctx, strings.Fields(c.args))
		if code != 0 || !strings.Contains(out.String()+errOut.String(), c.want) {
			t.Errorf("submit %s: exit %d; want 0 and %q\n%s%s", c.args, code, c.want, out.String(), errOut.String())
		}
	}
	if _, refused := r.gate.Counts(); refused != 0 {
		t.Errorf("%d requests were refused", refused)
	}
	for _, args := range []string{"list --tenant beta", "tenant set acme --weight 9", "tool yank jq@1.0.0 --reason x"} {
		var out, errOut strings.Builder
		if code := (submitcli.Program{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut}).Run(r.ctx, strings.Fields(args)); code == 0 {
			t.Errorf("submit %s: exit 0; want a refusal\n%s", args, out.String())
		}
	}
}
