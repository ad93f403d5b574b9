package submitcli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"boxfleet/jobs"
)

func TestWhenAJobStarts(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	before := time.Now()
	u.submit("run", tool, "--delay", "1200ms", "--expires-in", "1h", "--id", "later", "--", "late").want(t, 0, "late\n", "job later starts")
	if d := time.Since(before); d < time.Second {
		t.Errorf("it ran after %s", d)
	}
	u.submit("run", tool, "--run-at", "2999-01-01T00:00:00Z").want(t, 2, "", "more than a year ahead")
	in := time.Now().Add(100 * 24 * time.Hour).UTC().Truncate(time.Second)
	u.submit("run", tool, "--run-at", in.Format(time.RFC3339), "--id", "far", "--detach").want(t, 0, "far\n", "")
	u.submit("status", "far").want(t, 0, "scheduled", "")
	u.submit("list", "--state", "scheduled").want(t, 0, "scheduled in ", "")
	var rec jobs.Record
	got := u.submit("status", "far", "--json")
	if err := json.Unmarshal([]byte(got.out), &rec); err != nil || rec.State != jobs.Scheduled || !rec.RunAt.Equal(in) {
		t.Errorf("%v: %s", err, got.out)
	}
	u.submit("cancel", "far").want(t, 0, "far canceled\n", "")
	u.submit("run", tool, "--expires-at", "2020-01-01T00:00:00Z", "--id", "stale").want(t, 130, "", "expired at 2020-01-01T00:00:00Z, before it was started")
	u.submit("run", tool, "--after", "stale", "--id", "behind").want(t, 130, "", "job stale, which it was to start after, ended canceled")
	u.submit("run", tool, "--after", "stale", "--after-ended", "--id", "anyway", "--", "on").want(t, 0, "on\n", "job anyway waits for job stale to end")
	u.submit("run", tool, "--after", "nobody", "--expires-in", "1s", "--id", "hopeless").want(t, 130, "", "job nobody is not known yet")
	if n := u.runs("stale"); n != 0 {
		t.Errorf("the expired job ran %d times", n)
	}
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"--run-at", []string{"--run-at", "tomorrow"}},
		{"--delay", []string{"--delay", "2026-01-01T00:00:00Z"}},
		{"--run-at and --delay exclude", []string{"--run-at", "2026-01-01T00:00:00Z", "--delay", "1s"}},
		{"--expires-at and --expires-in exclude", []string{"--expires-at", "2026-01-01T00:00:00Z", "--expires-in", "1s"}},
		{"not after run_at", []string{"--expires-in", "10s", "--delay", "1m"}},
		{"--after-ended", []string{"--after-ended"}},
		{"--retry-on-exit: 256", []string{"--retry-on-exit", "256"}},
		{"--not-after", []string{"--not-after", "never"}},
		{"not an id", []string{"--after", "a b"}},
	} {
		u.submit(append([]string{"run", tool}, tc.args...)...).want(t, 2, "", tc.want)
	}
}

// Attempts that are repeated because of their exit code may write what they
// like; the last one's output is shown.
func TestRetryOnExit(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		out := fmt.Appendf(nil, "try %d\n", a.Number)
		a.Log("stdout", 0, out)
		if a.Number < 3 {
			return &jobs.Result{Outcome: jobs.Exited, ExitCode: 75, Stdout: out}, nil
		}
		return &jobs.Result{Outcome: jobs.Succeeded, Stdout: out}, nil
	})
	u.submit("run", tool, "--retry-on-exit", "7,75", "--id", "third").want(t, 0, "try 3\n", "")
	u.submit("status", "third").want(t, 0, "it exited with code 75", "")
	u.submit("run", tool, "--retry-on-exit", "75", "--max-attempts", "2").want(t, 75, "try 2\n", "")
	u.submit("run", tool, "--retry-on-exit", "7").want(t, 75, "try 1\n", "")
}
