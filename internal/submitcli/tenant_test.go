package submitcli_test

import (
	"encoding/json"
	"testing"

	"boxfleet/jobs"
)

func TestTenantCommands(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	name := jobs.NewID()
	u.submit("tenant", "show", name).want(t, 1, "", "weight 1 and no cap")
	u.submit("tenant", "set", name).want(t, 2, "", "--weight")
	u.submit("tenant", "set", name, "--weight", "1001").want(t, 2, "", "1000")
	u.submit("tenant", "set", "a.b", "--weight", "2").want(t, 2, "", "a.b")
	u.submit("tenant", "set", name, "--weight", "3").want(t, 0, "", "")
	u.submit("tenant", "set", name, "--concurrency", "7").want(t, 0, "", "") // the weight stays
	u.submit("tenant", "list").want(t, 0, name, "")
	var e jobs.TenantEntry
	got := u.submit("tenant", "show", name, "--json").want(t, 0, `"weight": 3`, "")
	if err := json.Unmarshal([]byte(got.out), &e); err != nil || e.Settings != (jobs.TenantSettings{Concurrency: 7, Weight: 3}) {
		t.Errorf("%v: %s", err, got.out)
	}
	u.submit("tenant", "remove", name).want(t, 0, "", "")
	u.submit("tenant", "remove", name).want(t, 0, "", "")
	u.submit("tenant", "show", name, "--json").want(t, 1, "", "not found")
}

func TestKeyFlags(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	u.submit("run", tool, "--concurrency-key", "k", "--concurrency-limit", "2", "--rate", "100/s", "--", "hello").want(t, 0, "hello\n", "")
	u.submit("run", tool, "--rate", "5/250ms:api", "--", "hello").want(t, 0, "hello\n", "")
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"--concurrency-key", []string{"--concurrency-limit", "2"}},
		{"no key", []string{"--rate", "10/s"}},
		{"N/TIME", []string{"--rate", "10:k"}},
		{"how many", []string{"--rate", "x/s:k"}},
		{"how many", []string{"--rate", "0/s:k"}},
		{"empty", []string{"--rate", "1/s:"}},
		{"--rate", []string{"--rate", "1/week:k"}},
		{"rate.per", []string{"--rate", "1/48h:k"}},
		{"rate.key", []string{"--rate", "1/s:a", "--concurrency-key", "b"}},
		{"concurrency.limit", []string{"--concurrency-key", "k", "--concurrency-limit", "-1"}},
	} {
		u.submit(append(append([]string{"run", tool}, tc.args...), "--", "x")...).want(t, 2, "", tc.want)
	}
}
