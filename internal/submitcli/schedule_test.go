package submitcli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"boxfleet/jobs"
)

func TestArrayRun(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	u.submit("run", tool, "--count", "3", "--id", "arr", "--label", "n={{index}}", "--", "part", "{{index:2}}").want(t, 0, "batch arr: 3 jobs in", "")
	u.submit("result", "arr-2").want(t, 0, "part\n02\n", "")
	u.submit("run", tool, "--count", "3", "--id", "arr", "--label", "n={{index}}", "--detach", "--", "part", "{{index:2}}").want(t, 0, "arr\n", "was submitted before")
	u.submit("run", tool, "--count", "4", "--id", "arr", "--", "part").want(t, 2, "", "another array")
	u.submit("list", "--label", "n=1").want(t, 0, "arr-1", "")
	var b jobs.Batch
	got := u.submit("run", tool, "--count", "2", "--json", "--", "x").want(t, 0, `"ended"`, "")
	if err := json.Unmarshal([]byte(got.out), &b); err != nil || b.Counts[jobs.Succeeded] != 2 {
		t.Errorf("%v: %s", err, got.out)
	}
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"--count", []string{"--count", "-1"}},
		{"--count", []string{"--count", "1000001"}},
		{"s3:// prefix", []string{"--count", "2", "--output", "/out=./here"}},
		{"{{index:N}}", []string{"--count", "2", "--label", "a={{index:0x1}}"}},
	} {
		u.submit(append([]string{"run", tool}, tc.args...)...).want(t, 2, "", tc.want)
	}
}

func TestScheduleCommands(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	u.submit("schedule", "list").want(t, 0, "", "no schedules")
	u.submit("schedule", "add", "night", tool, "--cron", "30 4 * * 1-5", "--tz", "Europe/Berlin", "--label", "k=v", "--expires-in", "1h", "--", "good", "night").
		want(t, 0, "", "schedule night added")
	u.submit("schedule", "add", "night", tool, "--every", "1h", "--label", "k=v", "--", "good", "night").want(t, 0, "", "schedule night replaced")
	u.submit("schedule", "list").want(t, 0, "every 1h0m0s", "")
	id := strings.TrimSpace(u.submit("schedule", "start", "night").want(t, 0, "night-m", "").out)
	deadline := time.Now().Add(time.Minute)
	for u.submit("status", id).code != 0 {
		if time.Now().After(deadline) {
			t.Fatalf("job %s does not appear", id)
		}
		time.Sleep(20 * time.Millisecond)
	}
	u.submit("wait", id).want(t, 0, id+" succeeded 0\n", "")
	u.submit("result", id).want(t, 0, "good\nnight\n", "")
	u.submit("list", "--label", "schedule=night").want(t, 0, id, "")
	u.submit("schedule", "pause", "night").want(t, 0, "", "")
	u.submit("schedule", "list").want(t, 0, "paused", "")
	u.submit("schedule", "resume", "night").want(t, 0, "", "")
	var views []struct {
		Name string
		Next time.Time
		Job  *jobs.Job
	}
	got := u.submit("schedule", "list", "--json")
	if err := json.Unmarshal([]byte(got.out), &views); err != nil || len(views) != 1 || views[0].Next.IsZero() || views[0].Job == nil {
		t.Errorf("%v: %s", err, got.out)
	}
	u.submit("schedule", "remove", "night").want(t, 0, "", "")
	u.submit("schedule", "remove", "night").want(t, 1, "", "not found")
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"either --cron or --every", []string{"n", tool}},
		{"either --cron or --every", []string{"n", tool, "--cron", "@daily", "--every", "1h"}},
		{"--every", []string{"n", tool, "--every", "often"}},
		{"cron", []string{"n", tool, "--cron", "every day"}},
		{"time_zone", []string{"n", tool, "--cron", "@daily", "--tz", "Mars"}},
		{"overlap", []string{"n", tool, "--every", "1h", "--overlap", "queue"}},
		{"name", []string{"a.b", tool, "--every", "1h"}},
		{"--run-at says something about one run", []string{"n", tool, "--every", "1h", "--run-at", "2026-01-01T00:00:00Z"}},
		{"nobody is there", []string{"n", tool, "--every", "1h", "--output", "/out=./here"}},
		{"which name and tool", []string{"n"}},
	} {
		u.submit(append([]string{"schedule", "add"}, tc.args...)...).want(t, 2, "", tc.want)
	}
}
