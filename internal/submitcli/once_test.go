package submitcli_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	u.submit("run", tool, "--idempotency-key", "mail 7", "--id", "first", "--", "one").want(t, 0, "one\n", "")
	u.submit("run", tool, "--idempotency-key", "mail 7", "--", "two").want(t, 0, "one\n", "job first was submitted before")
	u.submit("run", tool, "--idempotency-key", "mail 8", "--", "two").want(t, 0, "two\n", "")
	var line struct {
		ID, State string
		Duplicate bool
	}
	got := u.submit("run", tool, "--idempotency-key", "mail 7", "--detach", "--json")
	if err := json.Unmarshal([]byte(got.out), &line); err != nil || line.ID != "first" || line.State != "done" || !line.Duplicate {
		t.Errorf("%v: %+v", err, got)
	}
	if n := u.runs("first"); n != 1 {
		t.Errorf("%d runs", n)
	}
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"--idempotency-window", []string{"--idempotency-window", "1h"}},
		{"--idempotency-window", []string{"--idempotency-window", "soon", "--idempotency-key", "k"}},
		{"needs --deterministic", []string{"--reuse-result"}},
		{"at most 256", []string{"--idempotency-key", strings.Repeat("k", 257)}},
	} {
		u.submit(append([]string{"run", tool}, tc.args...)...).want(t, 2, "", tc.want)
	}
}

func TestIdempotencyKeysOfABatch(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	u.submit("run", tool, "--idempotency-key", "a", "--id", "elsewhere", "--", "before").want(t, 0, "before\n", "")
	results := filepath.Join(t.TempDir(), "r.jsonl")
	path := batchFile(t, tool, `{"tool":"TOOL","args":["1"],"idempotency_key":"a"}`, `{"tool":"TOOL","args":["2"],"idempotency_key":"b"}`, `{"tool":"TOOL","args":["3"]}`)
	u.submit("batch", path, "--results", results).want(t, 0, "3 jobs in", "")
	all := resultLines(t, results)
	if len(all) != 3 || all[1].ID != "elsewhere" || string(all[1].Stdout) != "before\n" || string(all[2].Stdout) != "2\n" {
		t.Errorf("%+v", all)
	}
	if n := u.runs("elsewhere"); n != 1 {
		t.Errorf("%d runs", n)
	}
}

func TestCancelByLabel(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	for _, id := range []string{"a1", "a2", "b1"} {
		path := batchFile(t, tool, `{"tool":"TOOL","id":"`+id+`","labels":{"set":"`+id[:1]+`","all":"yes"},"run_at":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`"}`)
		u.submit("batch", path, "--batch-id", "x"+id).want(t, 0, "x"+id, "submitted")
	}
	u.submit("list", "--state", "scheduled", "--label", "all=yes").want(t, 0, "b1", "")
	got := u.submit("cancel", "--label", "set=a", "--label", "all=yes")
	if got.code != 0 || !strings.Contains(got.out, "a1 canceled\n") || !strings.Contains(got.out, "a2 canceled\n") || strings.Contains(got.out, "b1") || !strings.Contains(got.err, "2 canceled in the queue") {
		t.Errorf("%+v", got)
	}
	u.submit("cancel", "--label", "set=a").want(t, 0, "", "0 canceled")
	u.submit("cancel", "--tool", tool, "--json").want(t, 0, `"b1"`, "1 canceled")
	u.submit("cancel", "--label", "set=a", "b1").want(t, 2, "", "give ids")
	u.submit("cancel", "--label", "nothing").want(t, 2, "", "KEY=VALUE")
	u.submit("list", "--state", "held,sleeping").want(t, 2, "", "no state")
}
