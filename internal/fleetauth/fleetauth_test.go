package fleetauth

import (
	"testing"
	"time"
)

// TestRevokeKeepsTheOperator: servers that reload take a new account document,
// and refuse another operator.
func TestRevokeKeepsTheOperator(t *testing.T) {
	dir := t.TempDir()
	a, err := Init(dir, "fleet")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(Grant{Role: Submitter, Tenant: "acme", User: "u"}); err != nil {
		t.Fatal(err)
	}
	before := a.state
	time.Sleep(1100 * time.Millisecond) // documents carry their second
	if a, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Revoke("acme.u"); err != nil {
		t.Fatal(err)
	}
	if a.state.Operator != before.Operator || a.state.System != before.System {
		t.Error("the operator's or the servers' document is another than before")
	}
	if a.state.Account == before.Account {
		t.Error("the account's document does not know of the revocation")
	}
}
