package submitcli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/artifacts"
	"boxfleet/internal/fleet"
	"boxfleet/jobs"
)

func TestStatusAndList(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	ok := u.tool(echo)
	bad := u.tool(func(context.Context, *jobs.Attempt) (*jobs.Result, error) {
		r := done(4, "", "")
		r.Denials = []jobs.Denial{{What: "network", Target: "http://evil/\x1b[2J", Rule: "nothing is allowed", Count: 2}}
		return r, nil
	})
	running := make(chan string, 1)
	held := u.tool(waiting(running))
	u.submit("run", ok, "--id", "a", "--label", "k=1").want(t, 0, "\n", "")
	u.submit("run", bad, "--id", "b", "--label", "k=2").want(t, 4, "", "denied network http://evil/\ufffd[2J: nothing is allowed (2 times)")
	u.submit("run", held, "--id", "c", "--detach").want(t, 0, "c\n", "")
	<-running
	u.submit("run", ok, "--id", "d", "--detach", "--tool-does-not-matter").want(t, 2, "", "unknown flag")

	for args, want := range map[string]string{
		"": "a b c", "--state done": "a b", "--state running": "c", "--state queued": "", "--outcome exited": "b", "--outcome exited,succeeded": "a b",
		"--label k=1": "a", "--label k=1 --label k=2": "!", "--tool " + bad: "b", "--tool " + bad + "@1.0.0": "b", "--tool other": "", "--since 1h": "a b c",
		"--since 2100-01-01T00:00:00Z": "", "--limit 1": "c",
	} {
		got := u.submit(append([]string{"list", "--json"}, strings.Fields(args)...)...)
		if want == "!" {
			if got.code != 2 {
				t.Errorf("list %s: %+v", args, got)
			}
			continue
		}
		var list []jobs.Record
		if err := json.Unmarshal([]byte(got.out), &list); err != nil {
			t.Fatalf("list %s: %v, %+v", args, err, got)
		}
		ids := map[string]bool{}
		for _, r := range list {
			ids[r.ID] = true
		}
		if len(ids) != len(strings.Fields(want)) {
			t.Errorf("list %s: %v, want %q", args, ids, want)
		}
		for _, id := range strings.Fields(want) {
			if !ids[id] {
				t.Errorf("list %s: %v, want %q", args, ids, want)
			}
		}
	}
	u.submit("list", "--state", "done").want(t, 0, "exited", "")
	status := u.submit("status", "b").want(t, 0, "exit code", "")
	for _, want := range []string{"exited", "4", "denied", "trace"} {
		if !strings.Contains(status.out, want) {
			t.Errorf("status says no %q:\n%s", want, status.out)
		}
	}
	if strings.Contains(status.out, "\x1b") {
		t.Errorf("a control character reaches the terminal: %q", status.out)
	}
	u.submit("result", "c").want(t, 1, "", "has no result yet")
	u.submit("logs", "c").want(t, 0, "begun\n", "")
	u.submit("wait", "c", "--timeout", "0.05").want(t, 1, "", "not ended within --timeout")
	fleetStatus := u.submit("status").want(t, 0, "WORKER", "")
	if !strings.Contains(fleetStatus.out, "test") || !strings.Contains(fleetStatus.out, "16") {
		t.Errorf("fleet status:\n%s", fleetStatus.out)
	}
	var doc struct{ Workers []jobs.Presence }
	if err := json.Unmarshal([]byte(u.submit("status", "--json").out), &doc); err != nil || len(doc.Workers) != 1 {
		t.Errorf("%v: %+v", err, doc)
	}
	followed := make(chan said, 1)
	go func() { followed <- u.submit("logs", "-f", "c") }()
	u.submit("cancel", "c").want(t, 0, "c told to stop\n", "")
	if got := <-followed; got.code != 0 || got.out != "begun\n" {
		t.Errorf("logs -f: %+v", got)
	}
	u.submit("wait", "a", "b", "c").want(t, 1, "b exited 4\n", "")
}

func TestListShowsQueuedJobs(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	running := make(chan string, 64)
	tool := u.tool(waiting(running))
	for i := range 17 { // one more than there are slots, for this tenant alone
		u.submit("run", tool, "--detach", "--id", fmt.Sprint("q", i)).want(t, 0, "q", "")
	}
	got := u.submit("list", "--state", "queued", "--json")
	var list []jobs.Record
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || len(list) == 0 {
		t.Errorf("%v: %+v", err, got)
	}
	for _, r := range list {
		if r.State != jobs.Queued || r.Tool.Name != tool {
			t.Errorf("%+v", r)
		}
	}
	for i := range 17 {
		if got := u.submit("cancel", fmt.Sprint("q", i)); got.code != 0 {
			t.Errorf("%+v", got)
		}
	}
}

func TestTraceTree(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	u.submit("run", tool, "--id", "traced").want(t, 0, "\n", "")
	rec, err := u.client.Get(t.Context(), "traced")
	if err != nil {
		t.Fatal(err)
	}
	spans := `{"spans":[
		{"span_id":"1","name":"submit","start_unix_nano":1000000,"end_unix_nano":3000000,"attributes":{"boxfleet.tool":"x\u001b[2J"}},
		{"span_id":"3","parent_id":"1","name":"run","start_unix_nano":5000000,"end_unix_nano":9000000,"attributes":{"boxfleet.fuel":12345678901234567}},
		{"span_id":"2","parent_id":"1","name":"queue wait","start_unix_nano":3000000,"end_unix_nano":5000000},
		{"span_id":"4","parent_id":"3","name":"ack","start_unix_nano":9000000,"end_unix_nano":9100000,"status":"Error"},
		{"span_id":"5","parent_id":"6","name":"loop a","start_unix_nano":9000000,"end_unix_nano":9100000},
		{"span_id":"6","parent_id":"5","name":"loop b","start_unix_nano":9000000,"end_unix_nano":9100000}]}`
	var answer func(w http.ResponseWriter, r *http.Request)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer server.Close()
	c := fleet.Context{NATS: fleet.NATS{URL: queue.ClientURL(), User: natsUser, Password: natsPassword}, HTTP: server.URL}
	path, err := c.Save(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	trace := func() said {
		return call(t.Context(), strings.NewReader(""), "--context", path, "--tenant", u.tenant, "trace", "traced")
	}
	answer = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/traces/"+rec.Result.TraceID {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_, _ = w.Write([]byte(spans))
	}
	got := trace()
	want := "trace " + rec.Result.TraceID + "  8.1ms\n" +
		"└─ submit" + strings.Repeat(" ", 33) + "2ms  at 0s   tool=x\ufffd[2J\n" +
		"   ├─ queue wait" + strings.Repeat(" ", 26) + "2ms  at 2ms\n" +
		"   └─ run" + strings.Repeat(" ", 33) + "4ms  at 4ms  fuel=12345678901234567\n" +
		"      └─ ack" + strings.Repeat(" ", 28) + "100µs  at 8ms  Error\n"
	if got.code != 0 || got.out != want {
		t.Errorf("%+v\nwant:\n%s", got, want)
	}
	for name, a := range map[string]func(http.ResponseWriter, *http.Request){
		"not JSON":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"broken":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"without a job": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
	} {
		answer = a
		if got := trace(); got.code != 0 || !strings.Contains(got.out, "PHASE") || !strings.Contains(got.err, "phases of the result") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	u.submit("trace", "traced").want(t, 0, "queue wait", "phases of the result")
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.submit("dlq", "list").want(t, 0, "", "no dead letters")
	tool := u.tool(func(context.Context, *jobs.Attempt) (*jobs.Result, error) {
		return nil, jobs.Permanent(errors.New("it cannot be"))
	})
	u.submit("run", tool, "--id", "buried").want(t, 125, "", "it cannot be")
	var list []jobs.DeadLetter
	if err := json.Unmarshal([]byte(u.submit("dlq", "list", "--json").out), &list); err != nil || len(list) != 1 || list[0].Job != "buried" {
		t.Fatalf("%v: %+v", err, list)
	}
	u.submit("dlq", "list").want(t, 0, "it cannot be", "")
	seq := fmt.Sprint(list[0].Seq)
	u.submit("dlq", "show", seq).want(t, 0, `"id":"buried"`, "")

	again := jobs.ReplayID("buried", list[0].Seq)
	u.submit("dlq", "replay", "--error", "IT CANNOT").want(t, 0, again, "1 dead letter replayed")
	u.submit("wait", again).want(t, 1, again+" failed", "")
	u.submit("dlq", "show", seq).want(t, 0, "replayed as", "")
	u.submit("dlq", "replay", seq).want(t, 0, "(before)", "1 replayed before")
	if err := json.Unmarshal([]byte(u.submit("dlq", "list", "--job", again, "--json").out), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v: %+v", err, list)
	}
	u.submit("status", again).want(t, 0, "buried", "")
	u.submit("dlq", "purge", "--tool", "nobody").want(t, 0, "0 dead letters removed", "")
	u.submit("dlq", "purge", "--tool", tool, "--since", "1h").want(t, 0, "2 dead letters removed", "")
	u.submit("dlq", "list").want(t, 0, "", "no dead letters")
	for _, args := range [][]string{{"replay"}, {"purge"}, {"purge", seq, "--all"}, {"replay", "--since", "yesterday"}} {
		if got := u.submit(append([]string{"dlq"}, args...)...); got.code != 2 {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestToolPush(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	dir := t.TempDir()
	module := func(name string, bytes string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(bytes), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const head = "\x00asm\x01\x00\x00\x00"
	const voidType = "\x01\x04\x01\x60\x00\x00"
	command := head + voidType + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06_start\x00\x00" + "\x0a\x04\x01\x02\x00\x0b"
	imports := func(pairs ...[2]string) string {
		body := fmt.Sprintf("%c", len(pairs))
		for _, p := range pairs {
			body += fmt.Sprintf("%c%s%c%s\x00\x00", len(p[0]), p[0], len(p[1]), p[1])
		}
		return head + voidType + "\x02" + string(rune(len(body))) + body
	}
	good := module("good.wasm", command)
	name := "p" + strings.ToLower(u.tenant[1:])
	u.submit("tool", "push", good, "--name", name, "--version", "1.0.0", "--description", "Does nothing.", "--keyword", "zilch", "--level", "none").want(t, 0, "pushed "+name+"@1.0.0", "")
	u.submit("tool", "push", good, "--name", name, "--version", "1.0.0").want(t, 0, "unchanged "+name+"@1.0.0", "")
	var b strings.Builder
	if _, err := main.store.GetBlob(t.Context(), artifacts.DigestBytes([]byte(command)), 1<<20, &b); err != nil || b.String() != command {
		t.Errorf("the module in the store: %v, %d bytes", err, b.Len())
	}
	other := module("other.wasm", command+"\x00\x02\x01x")
	u.submit("tool", "push", other, "--name", name, "--version", "1.0.0").want(t, 2, "", "versions never change")
	u.submit("tool", "push", other, "--name", name, "--version", "1.10.0").want(t, 0, "pushed", "")
	u.submit("tool", "push", other, "--name", name, "--version", "1.9.0").want(t, 0, "pushed", "")
	u.submit("tool", "list", name).want(t, 0, "1.10.0", "")
	if got := u.submit("tool", "list", name, "--versions"); strings.Count(got.out, name) != 3 {
		t.Errorf("%+v", got)
	}
	u.submit("tool", "list", "zilch").want(t, 0, "", "no tool mentions zilch") // the newest version has other keywords
	u.submit("tool", "inspect", name+"@1.0.0").want(t, 0, "Does nothing.", "")
	u.submit("tool", "inspect", good).want(t, 0, "_start", "")
	u.submit("tool", "inspect", "nope").want(t, 127, "", "not found")

	for _, tc := range []struct{ what, bytes, want string }{
		{"not wasm", "#!/bin/sh\n", "not a WebAssembly binary"},
		{"empty", "", "not a WebAssembly binary"},
		{"component", "\x00asm\x0d\x00\x01\x00", "component"},
		{"cut short", command[:20], "invalid WebAssembly"},
		{"library", head, "no _start function"},
		{"emscripten", imports([2]string{"env", "abort"}, [2]string{"wasi_snapshot_preview1", "fd_write"}, [2]string{"env", "invoke_v"}), `import "env"."abort"`},
		{"all named", imports([2]string{"env", "abort"}, [2]string{"gojs", "x"}), `import "gojs"."x"`},
		{"the meter", imports([2]string{"boxfleet", "meter"}), "import"},
	} {
		path := module("bad.wasm", tc.bytes)
		got := u.submit("tool", "push", path, "--name", name, "--version", "2.0.0")
		if got.code != 2 || !strings.Contains(got.err, tc.want) {
			t.Errorf("%s: %+v, want %q", tc.what, got, tc.want)
		}
		if got := u.submit("tool", "inspect", path); got.code != 2 || !strings.Contains(got.err, tc.want) {
			t.Errorf("inspect %s: %+v, want %q", tc.what, got, tc.want)
		}
	}
	u.submit("tool", "push", good, "--name", "Bad Name", "--version", "1").want(t, 2, "", "lower-case letters")
	u.submit("tool", "push", good, "--name", name).want(t, 2, "", "which version?")
	u.submit("tool", "push", good, "--name", name, "--version", "3", "--level", "root").want(t, 2, "", "permission level")
	u.submit("tool", "push", good, "--name", name, "--version", "3", "--input-schema", `{"$ref":"file:///etc/passwd"}`).want(t, 2, "", "must not refer")
	u.submit("tool", "push", filepath.Join(dir, "none.wasm"), "--version", "3").want(t, 2, "", "is not there")
	u.submit("tool", "push").want(t, 2, "", "which module?")
}

func TestToolPushAll(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	dir, wasm := t.TempDir(), t.TempDir()
	const command = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x07\x0a\x01\x06_start\x00\x00\x0a\x04\x01\x02\x00\x0b"
	name := "all" + strings.ToLower(u.tenant[1:])
	for file, content := range map[string]string{
		filepath.Join(wasm, "x.wasm"): command, filepath.Join(dir, "a.json"): `{"name":"` + name + `","version":"1","wasm":"x.wasm","keywords":["k"],"permission_level":"none","example":{"args":[]}}`,
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u.submit("tool", "push", "--all", dir, "--wasm-dir", wasm).want(t, 0, "pushed "+name+"@1", "")
	u.submit("tool", "push", "--manifest", filepath.Join(dir, "a.json"), "--wasm-dir", wasm, "--version", "2").want(t, 0, "pushed "+name+"@2", "")
	for file, content := range map[string]string{
		"b.json": `{"name":"x","verzion":"1"}`, "c.json": `{"name":"x","version":"1","wasm":"none.wasm"}`, "d.json": `{"name":"x","version":"1"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := u.submit("tool", "push", "--all", dir, "--wasm-dir", wasm)
	for _, want := range []string{`verzion: unknown field; did you mean "version"?`, "none.wasm is not there", "wasm: missing", "3 of 4 tools not pushed"} {
		if got.code != 1 || !strings.Contains(got.err, want) || !strings.Contains(got.out, "unchanged "+name+"@1") {
			t.Errorf("%+v, want %q", got, want)
		}
	}
	u.submit("tool", "push", "--all", t.TempDir()).want(t, 2, "", "no manifests")
}

func TestConnectionErrors(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // no current context
	t.Setenv("BOXFLEET_CONTEXT", "")
	empty, err := startNATS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { empty.Shutdown(); empty.WaitForShutdown() }()
	in := strings.NewReader("")
	call(t.Context(), in, "list").want(t, 125, "", "no fleet is set")
	call(t.Context(), in, "--context", "/none", "list").want(t, 125, "", "read the fleet context")
	call(t.Context(), in, "--nats", "nats://127.0.0.1:1", "--connect-timeout", "50ms", "list").want(t, 125, "", "connect to NATS at nats://127.0.0.1:1")
	call(t.Context(), in, "--nats", queue.ClientURL(), "--nats-user", "x", "--nats-password", "wrong", "list").want(t, 125, "", "check the user and password")
	call(t.Context(), in, "--nats", empty.ClientURL(), "--nats-user", natsUser, "--nats-password", natsPassword, "list").want(t, 125, "", "start a worker once")
	to := []string{"--nats", queue.ClientURL(), "--nats-user", natsUser, "--nats-password", natsPassword}
	call(t.Context(), in, append(to, "list", "--tenant", "nobody")...).want(t, 0, "", "no such jobs")
	call(t.Context(), in, append(to, "list", "--tenant", "a.b")...).want(t, 125, "", "tenant")
	cfg := s3.Config("submitcli")
	dir := filepath.Dir(file(t, "f", "x"))
	u := newUser(t)
	tool := u.tool(echo)
	run := []string{"run", tool, "--work-dir", dir}
	call(t.Context(), in, append(to, run...)...).want(t, 125, "", "needs the object store, and none is set")
	store := func(endpoint, secret, bucket string) []string {
		return append(to, "--s3-endpoint", endpoint, "--s3-access-key", cfg.AccessKey, "--s3-secret-key", secret, "--s3-bucket", bucket)
	}
	call(t.Context(), in, append(store(cfg.Endpoint, "wrong", cfg.Bucket), run...)...).want(t, 125, "", "credentials refused")
	call(t.Context(), in, append(store("127.0.0.1:1", "x", cfg.Bucket), run...)...).want(t, 125, "", "storage unavailable")
	call(t.Context(), in, append(store(cfg.Endpoint, string(cfg.SecretKey), "no-such-bucket"), run...)...).want(t, 125, "", "no-such-bucket")

	t.Setenv("BOXFLEET_NATS", queue.ClientURL())
	t.Setenv("BOXFLEET_NATS_USER", natsUser)
	t.Setenv("BOXFLEET_NATS_PASSWORD", natsPassword)
	t.Setenv("BOXFLEET_TENANT", "nobody")
	t.Setenv("BOXFLEET_JSON", "true")
	call(t.Context(), in, "list").want(t, 0, "[]\n", "")
	t.Setenv("BOXFLEET_JSON", "maybe")
	call(t.Context(), in, "list").want(t, 2, "", "$BOXFLEET_JSON")
}

func TestHelpAndVersionNeedNoFleet(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("BOXFLEET_CONTEXT", "")
	for _, args := range []string{"--help", "help run", "run --help", "batch --help", "version", "completion bash", "tool", ""} {
		if got := call(t.Context(), strings.NewReader(""), strings.Fields(args)...); got.code != 0 || got.out == "" || got.err != "" {
			t.Errorf("%q: %+v", args, got)
		}
	}
}
