package submitcli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// batchFile writes lines to a file; %s in a line is the tool's name.
func batchFile(t *testing.T, tool string, lines ...string) string {
	t.Helper()
	return file(t, "jobs.jsonl", strings.ReplaceAll(strings.Join(lines, "\n"), "TOOL", tool)+"\n")
}

// resultLines reads a results file by line number.
func resultLines(t *testing.T, path string) map[int]jobs.Result {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]jobs.Result{}
	for l := range bytes.Lines(data) {
		var r struct {
			Line int `json:"line"`
			jobs.Result
		}
		if err := json.Unmarshal(l, &r); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		if _, twice := out[r.Line]; twice {
			t.Errorf("line %d has two results", r.Line)
		}
		out[r.Line] = r.Result
	}
	return out
}

func TestBatchRunsEveryLineAndKeepsResults(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	var lines []string
	const n = 1300 // more than one chunk
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"tool":"TOOL","args":["%d"]}`, i+1))
	}
	path, results := batchFile(t, tool, lines...), filepath.Join(t.TempDir(), "r.jsonl")
	got := u.submit("batch", path, "--results", results)
	if got.code != 0 || got.err != "" || !strings.Contains(got.out, "1300 jobs in") || !strings.Contains(got.out, "succeeded  1300") {
		t.Fatalf("%+v", got)
	}
	all := resultLines(t, results)
	if len(all) != n {
		t.Fatalf("%d results of %d", len(all), n)
	}
	for line, r := range all {
		if want := fmt.Sprintf("%d\n", line); string(r.Stdout) != want {
			t.Errorf("line %d: %q", line, r.Stdout)
		}
		if runs := u.runs(r.ID); runs != 1 {
			t.Errorf("job %s ran %d times", r.ID, runs)
		}
	}

	t.Run("again", func(t *testing.T) {
		again := filepath.Join(t.TempDir(), "r.jsonl")
		got := u.submit("batch", path, "--results", again, "--json")
		var s struct {
			Jobs, Succeeded, Reused int
		}
		if err := json.Unmarshal([]byte(got.out), &s); err != nil || got.code != 0 {
			t.Fatalf("%v: %+v", err, got)
		}
		if s.Jobs != n || s.Succeeded != n || s.Reused != n {
			t.Errorf("summary %+v", s)
		}
		second := resultLines(t, again)
		for line, r := range all {
			if second[line].ID != r.ID || !second[line].FinishedAt.Equal(r.FinishedAt) {
				t.Errorf("line %d has another result: %+v", line, second[line])
			}
			if runs := u.runs(r.ID); runs != 1 {
				t.Errorf("job %s ran %d times", r.ID, runs)
			}
		}
	})
}

func TestBatchWithoutWaiting(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	path := batchFile(t, tool, `{"tool":"TOOL"}`, `{"tool":"TOOL","id":"mine","priority":"low","labels":{"own":"1"}}`)
	got := u.submit("batch", path, "--batch-id", "b7", "--label", "run=7", "--label", "own=0").want(t, 0, "b7\n", "submit wait --batch b7")
	_ = got
	waited := u.submit("wait", "--batch", "b7")
	if waited.code != 0 || strings.Count(waited.out, " succeeded 0\n") != 2 || !strings.Contains(waited.out, "mine succeeded 0\n") {
		t.Errorf("%+v", waited)
	}
	var list []jobs.Record
	if err := json.Unmarshal([]byte(u.submit("list", "--batch", "b7", "--label", "run=7", "--json").out), &list); err != nil || len(list) != 2 {
		t.Fatalf("%v, %d jobs", err, len(list))
	}
	for _, r := range list {
		if r.ID == "mine" && (r.Labels["own"] != "1" || r.Priority != jobs.Low) || r.ID != "mine" && (r.Labels["own"] != "0" || r.Priority != jobs.Normal) {
			t.Errorf("job %s: labels %v, priority %s", r.ID, r.Labels, r.Priority)
		}
	}
	u.submit("batch", path, "--batch-id", "b7").want(t, 0, "b7\n", "2 of them before")
	for _, r := range list {
		if n := u.runs(r.ID); n != 1 {
			t.Errorf("job %s ran %d times", r.ID, n)
		}
	}
}

func TestBatchReportsEveryBadLineAndSendsNothing(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	dir := t.TempDir()
	path := batchFile(t, tool,
		`{"tool":"TOOL","id":"good-1"}`,
		`{"tool":"TOOL","agrs":[]}`,
		``,
		`{"tool":"TOOL","options":{"map_dirs":[{"source":"s3://b/p/","guest":"data","mode":"rx"}]}}`,
		`{"tool":"nope"}`,
		`not json`,
		`{"tool":"TOOL","id":"good-1"}`,
		`{"tool":"TOOL","input":{"nome":"x"}}`,
		`{"tool":"TOOL","options":{"work_dir":{"source":"`+dir+`/none"}}}`,
		`{"tool":"TOOL","stdin":{"source":"`+dir+`/none"}}`,
		`{"tool":"TOOL","args":["`+strings.Repeat("x", 70_000)+`"]}`,
		`{"tool":"TOOL","options":{"wasm_cache_dir":"/x"}}`,
		`{"tool":"TOOL","id":"good-2"}`)
	got := u.submit("batch", path)
	if got.code != 2 || got.out != "" {
		t.Errorf("code %d, %q", got.code, got.out)
	}
	for _, want := range []string{
		`:2: agrs: unknown field; did you mean "args"?`, `:4: options.map_dirs[0].guest: "data" is not absolute; write /data`, `:4: options.map_dirs[0].mode: "rx" is no mode`,
		`:5: tool: tool "nope" not found`, ":6: not JSON", `:7: id: "good-1" is the id of line 1 already`, `:8: input: input: "nome" is no input of this tool; did you mean "name"?`,
		":9: options.work_dir.source:", ":10: stdin.source:", "bytes encoded, at most 65536 travel in a message", ":12: options.wasm_cache_dir:", "10 bad lines of 12; nothing was submitted",
	} {
		if !strings.Contains(got.err, want) {
			t.Errorf("%q is not said in:\n%s", want, got.err)
		}
	}
	for _, id := range []string{"good-1", "good-2"} {
		u.submit("status", id).want(t, 1, "", "not found")
	}

	got = u.submit("batch", path, "--skip-invalid", "--wait")
	if got.code != 1 || !strings.Contains(got.out, "2 jobs in") || !strings.Contains(got.out, "10 bad lines skipped") {
		t.Errorf("%+v", got)
	}
	for _, id := range []string{"good-1", "good-2"} {
		u.submit("status", id).want(t, 0, "succeeded", "")
	}
}

func TestBatchExitCodesAndSummary(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		if len(a.Job.Args) > 0 {
			return done(3, "", "no"), nil
		}
		return done(0, "", ""), nil
	})
	got := u.submit("batch", batchFile(t, tool, `{"tool":"TOOL"}`, `{"tool":"TOOL","args":["x"]}`, `{"tool":"TOOL"}`), "--wait", "--json")
	var s struct {
		Outcomes map[string]struct {
			Jobs      int
			LatencyMS map[string]float64 `json:"latency_ms"`
		}
		LatencyMS map[string]float64 `json:"latency_ms"`
	}
	if err := json.Unmarshal([]byte(got.out), &s); err != nil || got.code != 1 {
		t.Fatalf("%v: %+v", err, got)
	}
	if s.Outcomes["succeeded"].Jobs != 2 || s.Outcomes["exited"].Jobs != 1 || s.LatencyMS["p50"] <= 0 || s.LatencyMS["p99"] < s.LatencyMS["p50"] {
		t.Errorf("summary %+v", s)
	}
	u.submit("batch", file(t, "empty", "\n\n")).want(t, 2, "", "holds no jobs")
	u.submit("batch", "/none").want(t, 2, "", "no such file")
	u.submit("batch", t.TempDir()).want(t, 2, "", "is a directory")
	u.submit("batch").want(t, 2, "", "which file?")
	u.submit("batch", batchFile(t, tool, `{"tool":"TOOL"}`), "--dry-run").want(t, 0, "", "1 job checked, nothing submitted")
	u.submit("batch", batchFile(t, tool, `{"tool":"TOOL"}`), "--batch-id", "x", "--fresh").want(t, 2, "", "exclude each other")
	u.submit("batch", batchFile(t, tool, `{"tool":"TOOL"}`), "--batch-id", strings.Repeat("x", 40)).want(t, 2, "", "longer than")
	u.submit("batch", batchFile(t, tool, `{"tool":"TOOL"}`), "--results", "/none/r").want(t, 2, "", "--results:")
}

func TestBatchFromStandardInputWithResultsOnStandardOutput(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	in := "{\"tool\":\"" + tool + "\",\"input\":{\"name\":\"n\"},\"args\":[\"a\"],\"stdin\":\"s\"}\r\n"
	got := u.submitIn(t.Context(), strings.NewReader(in), "batch", "-", "--results", "-")
	var r struct {
		Line   int
		Stdout string
	}
	if err := json.Unmarshal([]byte(got.out), &r); err != nil || got.code != 0 || r.Line != 1 || r.Stdout != "--name=n\na\ns" {
		t.Errorf("%v: %+v", err, got)
	}
	if !strings.Contains(got.err, "1 job in") {
		t.Errorf("the summary is not on standard error: %q", got.err)
	}
}

// TestBatchIdsFollowWhatAJobIs edits what a line stands for between two runs.
func TestBatchIdsFollowWhatAJobIs(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	var seen []string
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		if a.Job.Options.WorkDir != nil {
			u.f.mu.Lock()
			seen = append(seen, a.Job.Options.WorkDir.Source)
			u.f.mu.Unlock()
		}
		return done(0, "", ""), nil
	})
	input := file(t, "a.txt", "one")
	dir := filepath.Dir(input)
	path := batchFile(t, tool, `{"tool":"TOOL","options":{"work_dir":"`+dir+`"}}`, `{"tool":"TOOL","options":{"work_dir":"`+dir+`"}}`, `{"tool":"TOOL"}`)
	for i, reused := range []string{"", "3 from an earlier run", "1 from an earlier run"} {
		if i == 2 { // another content under the same path is another job
			if err := os.WriteFile(input, []byte("two"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := u.submit("batch", path, "--wait", "--quiet")
		if got.code != 0 || !strings.Contains(got.out, reused) || reused == "" && strings.Contains(got.out, "earlier") {
			t.Errorf("run %d: %+v, want %q", i, got, reused)
		}
	}
	one, two := 0, 0
	first, _, err := main.store.PutTree(t.Context(), dir, artifacts.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range seen {
		if s == string(first) {
			two++
		} else {
			one++
		}
	}
	if one != 2 || two != 2 {
		t.Errorf("ran with %v", seen)
	}
	if got := u.submit("batch", path, "--wait", "--fresh"); got.code != 0 || strings.Contains(got.out, "earlier") {
		t.Errorf("--fresh: %+v", got)
	}
}

func TestInterruptedBatchGoesOnAlone(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	running := make(chan string, 64)
	release := make(chan struct{})
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		running <- a.Job.ID
		<-release
		return done(0, "", ""), nil
	})
	path := batchFile(t, tool, `{"tool":"TOOL","args":["1"]}`, `{"tool":"TOOL","args":["2"]}`)
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-running
		<-running
		interrupt()
	}()
	got := u.submitIn(ctx, strings.NewReader(""), "batch", path, "--wait", "--batch-id", "night")
	if got.code != 130 || !strings.Contains(got.err, "2 of 2 jobs submitted; they go on") || !strings.Contains(got.err, "submit wait --batch night") {
		t.Errorf("%+v", got)
	}
	close(release)
	u.submit("wait", "--batch", "night").want(t, 0, "succeeded 0\n", "")
	got = u.submit("batch", path, "--wait", "--batch-id", "night")
	if got.code != 0 || !strings.Contains(got.out, "2 from an earlier run") {
		t.Errorf("%+v", got)
	}
}

// TestBatchFindsResultsThatNobodyAnnounced ends jobs behind the program's
// back: what is not heard is looked up.
func TestBatchFindsResultsThatNobodyAnnounced(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	// The same id in another batch: its announcement goes elsewhere.
	u.submit("run", tool, "--id", "shared", "--", "first").want(t, 0, "first\n", "")
	results := filepath.Join(t.TempDir(), "r")
	got := u.submit("batch", batchFile(t, tool, `{"tool":"TOOL"}`, `{"tool":"TOOL"}`, `{"tool":"TOOL","id":"shared"}`), "--results", results)
	if got.code != 0 {
		t.Errorf("%+v", got)
	}
	if r := resultLines(t, results)[3]; string(r.Stdout) != "first\n" {
		t.Errorf("result %+v", r)
	}
	if n := u.runs("shared"); n != 1 {
		t.Errorf("the job ran %d times", n)
	}
}

func TestForgedAnnouncementsChangeNothing(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		for _, junk := range []string{"", "junk", `{"state":"done"}`, `{"state":"done","v":1,"id":"` + a.Job.ID + `"}`, `{"state":"done","result":{"outputs":n0`, `{"state":"running","result":{}}`} {
			_ = main.nc.Publish("done."+a.Job.Tenant+"."+a.Job.Batch+"."+a.Job.ID, []byte(junk))
		}
		return done(0, "true result", ""), nil
	})
	results := filepath.Join(t.TempDir(), "r")
	if got := u.submit("batch", batchFile(t, tool, `{"tool":"TOOL"}`, `{"tool":"TOOL"}`), "--results", results); got.code != 0 {
		t.Errorf("%+v", got)
	}
	for line, r := range resultLines(t, results) {
		if string(r.Stdout) != "true result" {
			t.Errorf("line %d: %+v", line, r)
		}
	}
}

func TestCancelABatch(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	running := make(chan string, 64)
	tool := u.tool(waiting(running))
	var lines []string
	for range 3 {
		lines = append(lines, `{"tool":"TOOL"}`)
	}
	u.submit("batch", batchFile(t, tool, append(lines, `{"tool":"TOOL","id":"named"}`)...), "--batch-id", "stop").want(t, 0, "stop\n", "4 jobs submitted")
	for range 4 {
		<-running
	}
	u.submit("cancel", "--batch", "stop").want(t, 0, "batch stop: 0 canceled in the queue, 4 told to stop, 0 ended already\n", "")
	got := u.submit("wait", "--batch", "stop")
	if got.code != 1 || strings.Count(got.out, " canceled ") != 4 {
		t.Errorf("%+v", got)
	}
	u.submit("cancel", "named").want(t, 0, "named ended already\n", "")
}
