package submitcli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/jobs"
)

// TestAdmin: identities from the command line, and what is refused. What they
// may do is tested in internal/gate.
func TestAdmin(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	conf := strings.TrimSpace(submit(t, 0, "admin", "init", "--dir", dir, "--name", "prod"))
	text, err := os.ReadFile(conf)
	if err != nil || !strings.Contains(string(text), "resolver_preload") || strings.Contains(string(text), "SEED") {
		t.Errorf("the server's part %q: %v", text, err)
	}
	file := strings.TrimSpace(submit(t, 0, "admin", "issue", "submitter", "--dir", dir, "--tenant", "acme", "--user", "ci", "--expires", "90d"))
	who, err := jobs.ReadIdentity(file)
	if err != nil || who != (jobs.Identity{Tenant: "acme", User: "ci"}) {
		t.Errorf("the credentials are of %+v, %v", who, err)
	}
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Join(dir, "operator.nk"): 0o600, filepath.Join(dir, "account.nk"): 0o600, dir: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %o", path, info, err, want)
		}
	}
	var issued struct {
		File string `json:"file"`
	}
	if err := json.Unmarshal([]byte(submit(t, 0, "admin", "issue", "worker", "--dir", dir, "--user", "node-1", "--json")), &issued); err != nil || issued.File == "" {
		t.Errorf("issued %+v, %v", issued, err)
	}
	if who, err := jobs.ReadIdentity(issued.File); err != nil || who.Gated() {
		t.Errorf("a worker's credentials are of %+v, %v", who, err)
	}
	submit(t, 0, "admin", "revoke", "--dir", dir, "acme.ci")
	list := submit(t, 0, "admin", "list", "--dir", dir)
	for _, want := range []string{"revoked", "in force", "node-1", "acme"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list does not say %q:\n%s", want, list)
		}
	}
	policy := submit(t, 0, "admin", "s3-policy", "submitter", "--tenant", "acme", "--bucket", "b")
	if !json.Valid([]byte(policy)) || !strings.Contains(policy, "arn:aws:s3:::b/inputs/acme/*") {
		t.Errorf("policy %s", policy)
	}
	for _, args := range [][]string{
		{"init", "--dir", dir}, {"issue", "root", "--dir", dir}, {"issue", "submitter", "--dir", dir}, {"issue", "submitter", "--dir", dir, "--tenant", "a.b"},
		{"issue", "worker", "--dir", dir, "--user", "node-1"}, {"issue", "gate", "--dir", dir, "--from", "home"}, {"issue", "gate", "--dir", dir, "--expires", "soon"},
		{"issue", "gate", "--dir", dir, "--expires", "-1h"}, {"revoke", "nobody", "--dir", dir}, {"list", "--dir", dir + "-not"}, {"s3-policy", "gate"}, {"s3-policy", "submitter"},
	} {
		if code, out := trySubmit(t, append([]string{"admin"}, args...)...); code == 0 {
			t.Errorf("submit admin %q: exit 0, %s", args, out)
		}
	}
}

// TestAuditCommand: an operator's change of a tenant is in the fleet's log.
func TestAuditCommand(t *testing.T) {
	submit(t, 0, "--context", main.context, "tenant", "set", "audited", "--weight", "2")
	var e jobs.AuditEvent
	out := submit(t, 0, "--context", main.context, "audit", "--fleet", "--action", "tenant.set", "--since", "10m", "--json")
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &e); err != nil || e.User != natsUser || !strings.HasPrefix(e.Target, "audited ") {
		t.Errorf("the log says %s (%v)", out, err)
	}
	if table := submit(t, 0, "--context", main.context, "audit", "--fleet"); !strings.Contains(table, "tenant.set") {
		t.Errorf("the table is\n%s", table)
	}
}

func trySubmit(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var stdout, stderr strings.Builder
	code = program(&stdout, &stderr).Run(t.Context(), args)
	if code != 0 {
		return code, stderr.String()
	}
	return code, stdout.String()
}

func submit(t *testing.T, want int, args ...string) string {
	t.Helper()
	code, out := trySubmit(t, args...)
	if code != want {
		t.Fatalf("submit %q: exit %d, %s", args, code, out)
	}
	return out
}
