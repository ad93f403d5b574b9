package submitcli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"boxfleet/artifacts"
	"boxfleet/jobs"
	"boxfleet/limits"
)

func TestRunPassesOnWhatTheGuestWritesAndItsExitCode(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		a.Log("stdout", 0, []byte("live\x00\xff "))
		a.Log("stderr", 0, []byte("warn"))
		return done(7, "live\x00\xff and the rest\n", "warning\n"), nil
	})
	u.submit("run", tool).want(t, 7, "live\x00\xff and the rest\n", "warning\n")
}

func TestRunExitCodes(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		if a.Job.Args[0] == "exited" {
			var code int
			_, err := fmt.Sscan(a.Job.Args[1], &code)
			return done(code, "", ""), err
		}
		return &jobs.Result{Outcome: jobs.Outcome(a.Job.Args[0]), ExitCode: -1, Error: "so it is"}, nil
	})
	for outcome, code := range map[string]int{
		"exited 1": 1, "exited 255": 255, "exited 256": 255, "exited 130": 130, "failed": 125, "invalid": 126, "denied": 128, "trapped": 129,
		"timed_out": 131, "out_of_fuel": 132, "out_of_memory": 133, "stack_overflow": 134, "output_limit": 135, "canceled": 130,
	} {
		got := u.submit(append([]string{"run", tool, "--"}, strings.Fields(outcome)...)...)
		if got.code != code {
			t.Errorf("%s: exit code %d, want %d (%s)", outcome, got.code, code, got.err)
		}
		if lines := strings.Count(got.err, "\n"); !strings.HasPrefix(outcome, "exited") && (lines != 1 || !strings.Contains(got.err, "so it is")) {
			t.Errorf("%s: %q, want one line with the reason", outcome, got.err)
		}
	}
}

func TestRunJSON(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	got := u.submit("run", tool, "--json", "--id", "json-1", "--", "x").want(t, 0, "{", "")
	var r map[string]any
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"id", "outcome", "exit_code", "stdout", "stderr", "fuel_consumed", "peak_memory", "phases", "attempts", "worker", "trace_id", "outputs", "denials", "error"} {
		if v, ok := r[key]; !ok || v == nil {
			t.Errorf("%s is %v", key, v)
		}
	}
	if r["id"] != "json-1" || r["stdout"] != "x\n" || r["worker"] != "test" {
		t.Errorf("result %v", r)
	}
}

func TestRunInputAndStdin(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	u.submit("run", tool, "--input", `{"times":2.0,"name":"-x"}`, "--", "last").want(t, 0, "--name=-x\n--times=2\nlast\n", "")
	u.submit("run", tool, "--input", "@"+file(t, "in.json", `{"name":"f"}`)).want(t, 0, "--name=f\n", "")
	u.submit("run", tool, "--input", `{"nome":"x"}`).want(t, 2, "", `did you mean "name"?`)
	u.submit("run", tool, "--input", `{"times":"x"}`).want(t, 2, "", "--input: input.times")
	u.submit("run", tool, "--input", "@/none").want(t, 2, "", "--input: /none: no such file")

	u.submit("run", tool, "--stdin", file(t, "s", "small"), "--", "a").want(t, 0, "a\nsmall", "")
	u.submitIn(t.Context(), strings.NewReader("piped"), "run", tool, "--stdin", "-", "--", "a").want(t, 0, "a\npiped", "")
	large := strings.Repeat("line\n", 20_000)
	digest := artifacts.DigestBytes([]byte(large))
	u.submit("run", tool, "--stdin", file(t, "l", large), "--", "a").want(t, 0, "a\n"+string(digest), "")
	u.submitIn(t.Context(), strings.NewReader(large), "run", tool, "--stdin", "-", "--", "a").want(t, 0, "a\n"+string(digest), "")
	binary := "\xff\xfe"
	u.submit("run", tool, "--stdin", file(t, "b", binary), "--", "a").want(t, 0, "a\n"+string(artifacts.DigestBytes([]byte(binary))), "")
	for _, content := range []string{large, binary} {
		var b bytes.Buffer
		if _, err := main.store.GetBlob(t.Context(), artifacts.DigestBytes([]byte(content)), 1<<20, &b); err != nil || b.String() != content {
			t.Errorf("the uploaded standard input: %v, %d bytes", err, b.Len())
		}
	}
	u.submit("run", tool, "--stdin", "/none").want(t, 2, "", "--stdin: /none: no such file")
	u.submit("run", tool, "--stdin", t.TempDir()).want(t, 2, "", "is a directory")
}

func TestRunUploadsDirectories(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	var seen limits.RunOption
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		seen = a.Job.Options
		return done(0, "", ""), nil
	})
	dir := filepath.Dir(file(t, "a.txt", "hello"))
	digest, _, err := main.store.PutTree(t.Context(), dir, artifacts.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.submit("run", tool, "--work-dir", dir, "--map-dir", dir+"::/two:scratch", "--label", "a=b", "--timeout", "3").want(t, 0, "", "")
	want := limits.RunOption{
		WorkDir: &limits.Mount{Source: string(digest)}, MapDirs: []limits.Mount{{Source: string(digest), Guest: "/two", Mode: limits.Scratch}}, WasmTimeout: 3e9,
	}
	if d := cmp.Diff(want, seen); d != "" {
		t.Error(d)
	}
}

// outputs stores files as a worker would and gives a result that names them.
func outputs(ctx context.Context, a *jobs.Attempt, files map[string]string) (*jobs.Result, error) {
	r := done(0, "", "")
	prefix := a.OutputPrefix()
	r.OutputPrefix = "s3://" + main.store.Bucket() + "/" + prefix
	for name, content := range files {
		if err := main.store.Put(ctx, "", prefix+name, []byte(content)); err != nil {
			return nil, err
		}
		r.Outputs = append(r.Outputs, artifacts.OutputFile{Path: name, Size: int64(len(content)), SHA256: artifacts.DigestBytes([]byte(content)).Hex()})
	}
	return r, nil
}

func TestRunFetchesOutputs(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		return outputs(ctx, a, map[string]string{"out/a.txt": "A", "out/deep/er/b.txt": "B", "outer/c.txt": "C"})
	})
	dir := t.TempDir()
	to := filepath.Join(dir, "made", "here")
	u.submit("run", tool, "--id", "o1", "--output", "/out="+to).want(t, 0, "", "")
	if d := cmp.Diff(map[string]string{"a.txt": "A", "deep/er/b.txt": "B"}, tree(t, to)); d != "" {
		t.Error(d)
	}
	all := filepath.Join(dir, "all")
	u.submit("result", "o1", "--output-dir", all).want(t, 0, "", "3 files")
	if d := cmp.Diff(map[string]string{"out/a.txt": "A", "out/deep/er/b.txt": "B", "outer/c.txt": "C"}, tree(t, all)); d != "" {
		t.Error(d)
	}
	if err := os.WriteFile(filepath.Join(all, "out", "a.txt"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.submit("result", "o1", "--output-dir", all).want(t, 0, "", "3 files")
	if got := tree(t, all)["out/a.txt"]; got != "A" {
		t.Errorf("a file that was there holds %q, want it replaced", got)
	}
}

// TestRunFetchesNothingOutsideTheDirectory lets a result name files that would
// land elsewhere, by their names and by links that lie in wait.
func TestRunFetchesNothingOutsideTheDirectory(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"parent": "out/../../evil", "absolute": "out//etc/evil", "dot": "out/./evil", "control": "out/a\nb", "NUL": "out/a\x00b",
		"through a link": "out/link/evil", "onto a link": "out/link", "long": "out/" + strings.Repeat("x", 300), "not UTF-8": "out/\xff",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
				r, err := outputs(ctx, a, map[string]string{"out/good": "good"})
				if err == nil {
					// Stored under a harmless key where the name itself is none.
					_ = main.store.Put(ctx, "", a.OutputPrefix()+path, []byte("evil"))
					r.Outputs = append(r.Outputs, artifacts.OutputFile{Path: path, Size: 4, SHA256: artifacts.DigestBytes([]byte("evil")).Hex()})
				}
				return r, err
			})
			dir := t.TempDir()
			outside, to := filepath.Join(dir, "outside"), filepath.Join(dir, "to")
			for _, d := range []string{outside, to} {
				if err := os.Mkdir(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(outside, filepath.Join(to, "link")); err != nil {
				t.Fatal(err)
			}
			got := u.submit("run", tool, "--output", "/out="+to)
			if left := tree(t, outside); len(left) > 0 {
				t.Errorf("files outside the directory: %v", left)
			}
			if name == "onto a link" { // the link itself is replaced
				if got.code != 0 || tree(t, to)["link"] != "evil" {
					t.Errorf("%+v, %v", got, tree(t, to))
				}
				return
			}
			if got.code != 125 || !strings.Contains(got.err, "fetch output") || strings.Count(got.err, "\n") != 1 {
				t.Errorf("%+v, want a clear refusal", got)
			}
		})
	}
}

func TestFetchRefusesOtherBytesThanTheResultNames(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	for name, change := range map[string]func(*artifacts.OutputFile){
		"digest": func(o *artifacts.OutputFile) { o.SHA256 = artifacts.DigestBytes([]byte("other")).Hex() },
		"short":  func(o *artifacts.OutputFile) { o.Size++ },
		"long":   func(o *artifacts.OutputFile) { o.Size-- },
	} {
		tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
			r, err := outputs(ctx, a, map[string]string{"out/a": "content"})
			if err == nil {
				change(&r.Outputs[0])
			}
			return r, err
		})
		dir := t.TempDir()
		u.submit("run", tool, "--output", "/out="+dir).want(t, 125, "", "fetch output out/a")
		if left := tree(t, dir); len(left) > 0 {
			t.Errorf("%s: %v is left behind", name, left)
		}
	}
}

// tree reads a directory: regular files by their slash-separated paths.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, relErr := filepath.Rel(dir, p)
		out[filepath.ToSlash(rel)] = string(data)
		return errors.Join(err, relErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRunTakesLongOutputFromItsObject(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	whole := strings.Repeat("0123456789abcdef", 8192)
	tool := u.tool(func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		a.Log("stdout", 0, []byte(whole[:5000]))
		key := a.OutputPrefix() + "stdout"
		r := done(0, whole[:jobs.InlineOutput], "")
		r.StdoutKey = "s3://" + main.store.Bucket() + "/" + key
		return r, main.store.Put(ctx, "", key, []byte(whole))
	})
	u.submit("run", tool, "--id", "long").want(t, 0, whole, "")
	u.submit("result", "long").want(t, 0, whole, "")
	u.submit("logs", "long").want(t, 0, whole, "")
	var r jobs.Result
	if err := json.Unmarshal([]byte(u.submit("result", "long", "--json").out), &r); err != nil || string(r.Stdout) != whole {
		t.Errorf("%v, %d bytes", err, len(r.Stdout))
	}
}

// TestRunGoesOnAfterALostAttempt shows the first attempt's output, loses it,
// and runs again: once with the same output, once with another.
func TestRunGoesOnAfterALostAttempt(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	second := "same and more\n"
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		if a.Number == 1 {
			a.Log("stdout", 0, []byte("same "))
			return nil, errors.New("the worker's cable was pulled")
		}
		text := a.Job.Args[0]
		a.Log("stdout", 0, []byte(text[:7]))
		return done(0, text, ""), nil
	})
	u.submit("run", tool, "--", second).want(t, 0, second, "")
	got := u.submit("run", tool, "--id", "differs", "--", "another text\n")
	if got.code != 125 || !strings.Contains(got.err, "submit result differs") {
		t.Errorf("%+v, want a word that the output differs", got)
	}
	u.submit("result", "differs").want(t, 0, "another text\n", "")
}

func TestRunErrors(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	for _, tc := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"run"}, 2, "which tool?"},
		{[]string{"run", "nope"}, 127, `tool "nope" not found`},
		{[]string{"run", tool + "@9.9.9"}, 127, "not found"},
		{[]string{"run", "sha256:" + strings.Repeat("0", 64)}, 127, "not found"},
		{[]string{"run", "No Such"}, 2, "write NAME, NAME@VERSION"},
		{[]string{"run", "./none.wasm"}, 2, "none.wasm is not there"},
		{[]string{"run", file(t, "text.wasm", "hello")}, 2, "text.wasm"},
		{[]string{"run", "s3://submitcli/none.wasm"}, 127, "not found"},
		{[]string{"run", "s3://submitcli/"}, 2, "write s3://BUCKET/KEY.wasm"},
		{[]string{"run", tool, "--timout", "1"}, 2, "did you mean --timeout?"},
		{[]string{"run", tool, "-n"}, 2, "after --"},
		{[]string{"run", tool, "--id", "a b"}, 2, "--id:"},
		{[]string{"run", tool, "--priority", "urgent"}, 2, "urgent"},
		{[]string{"run", tool, "--map-dir", "s3://b/p/::/a/../b"}, 2, "not a clean path"},
		{[]string{"run", tool, "--allowed-outbound-host", "nonsense"}, 2, "nonsense"},
		{[]string{"run", tool, "--", strings.Repeat("x", 70_000)}, 2, "65536 travel in a message"},
		{[]string{"run", tool, "--detach", "--output", "/out=x"}, 2, "nobody to fetch"},
		{[]string{"frobnicate"}, 2, "unknown command"},
		{[]string{"status", "none"}, 1, `job "none" not found`},
		{[]string{"status", "a b"}, 2, "job id"},
		{[]string{"result", "none"}, 1, "not found"},
		{[]string{"logs", "none"}, 1, "not found"},
		{[]string{"trace", "none"}, 1, "not found"},
		{[]string{"cancel", "none"}, 1, "not found"},
		{[]string{"wait", "none"}, 1, "not found"},
		{[]string{"wait", "--batch", "none"}, 1, `batch "none" not found`},
		{[]string{"wait"}, 2, "which jobs?"},
		{[]string{"cancel", "a", "--batch", "b"}, 2, "not both"},
		{[]string{"list", "--state", "asleep"}, 2, "no state"},
		{[]string{"list", "--outcome", "x"}, 2, "no outcome"},
		{[]string{"list", "--since", "x"}, 2, "neither a duration"},
		{[]string{"dlq", "show", "x"}, 2, "no sequence number"},
		{[]string{"dlq", "show", "99"}, 1, "not found"},
	} {
		got := u.submit(tc.args...)
		if got.code != tc.code || !strings.Contains(got.err, tc.text) || got.out != "" {
			t.Errorf("%.60q: %+v; want code %d and %q on standard error", tc.args, got, tc.code, tc.text)
		}
		for line := range strings.Lines(got.err) {
			if !strings.HasPrefix(line, "submit: ") {
				t.Errorf("%.60q: line %q", tc.args, line)
			}
		}
	}
}

func TestRunTheSameIDTwiceRunsOnce(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	u.submit("run", tool, "--id", "once", "--", "first").want(t, 0, "first\n", "")
	u.submit("run", tool, "--id", "once", "--", "second").want(t, 0, "first\n", "submitted before")
	if n := u.runs("once"); n != 1 {
		t.Errorf("the job ran %d times", n)
	}
}

func TestRunDetached(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	id := strings.TrimSpace(u.submit("run", tool, "--detach", "--", "later").want(t, 0, "\n", "").out)
	if !jobs.ValidID(id) {
		t.Fatalf("%q is no job id", id)
	}
	u.submit("wait", id).want(t, 0, id+" succeeded 0\n", "")
	u.submit("result", id).want(t, 0, "later\n", "")
}

// waiting is a guest that says that it runs and then waits for its end.
func waiting(running chan<- string) guest {
	return func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		a.Log("stdout", 0, []byte("begun\n"))
		running <- a.Job.ID
		<-ctx.Done()
		return done(0, "begun\n", ""), nil
	}
}

func TestInterruptedRunCancelsItsJob(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	running := make(chan string, 1)
	tool := u.tool(waiting(running))
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-running
		interrupt()
	}()
	got := u.submitIn(ctx, strings.NewReader(""), "run", tool, "--id", "stop-me").want(t, 130, "begun\n", "canceling job stop-me")
	if !strings.Contains(got.err, "job stop-me was canceled") {
		t.Errorf("standard error %q", got.err)
	}
	u.submit("status", "stop-me").want(t, 0, "canceled", "")
}

// brokenPipe takes some bytes and then fails.
type brokenPipe struct{ left int }

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("nobody reads")
	}
	return len(p), nil
}

func TestRunWhoseOutputNobodyReadsIsCanceled(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	running := make(chan string, 1)
	tool := u.tool(waiting(running))
	var errOut lockedBuffer
	code := program(&brokenPipe{left: 1}, &errOut).Run(t.Context(), []string{"--context", main.context, "--tenant", u.tenant, "run", tool, "--id", "unread"})
	if code != 125 || !strings.Contains(errOut.String(), "write stdout: nobody reads; the job was canceled") {
		t.Errorf("code %d, %q", code, errOut.String())
	}
	u.submit("status", "unread").want(t, 0, "canceled", "")
}
