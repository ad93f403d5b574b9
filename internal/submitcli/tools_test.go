package submitcli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// A command that does nothing, and what makes it another module.
const emptyCommand = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x07\x0a\x01\x06_start\x00\x00\x0a\x04\x01\x02\x00\x0b"

func customSection(name, body string) string {
	return fmt.Sprintf("\x00%c%c%s%s", 1+len(name)+len(body), len(name), name, body)
}

// module writes a module of this test's own.
func (u *user) module(extra ...string) string {
	u.t.Helper()
	return file(u.t, "tool.wasm", emptyCommand+strings.Join(extra, "")+customSection("of", u.tenant))
}

// toolName is a name that no other test uses.
func (u *user) toolName() string { return "n" + strings.ToLower(u.tenant[1:]) }

func TestToolChannelsAndYanks(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	name := u.toolName()
	for i, version := range []string{"1.0.0", "1.1.0"} {
		u.submit("tool", "push", u.module(customSection("v", version)), "--name", name, "--version", version, "--no-compile", "--keyword", "k"+fmt.Sprint(i)).want(t, 0, "pushed", "")
	}
	u.submit("tool", "alias", name+"@stable", "1.0.0").want(t, 0, name+"@stable is "+name+"@1.0.0\n", "")
	u.submit("tool", "alias", name+"@stable", "1.1.0", "--from", "1.1.0").want(t, 1, "", "points to 1.0.0")
	u.submit("tool", "alias", name+"@stable", "1.1.0", "--from", "1.0.0").want(t, 0, "1.1.0", "")
	u.submit("tool", "alias", name+"@latest", "1.0.0").want(t, 2, "", "always means the newest")
	u.submit("tool", "alias", name+"@stable", "9").want(t, 127, "", "not found")
	u.submit("tool", "alias", name, "1.0.0").want(t, 2, "", "NAME@CHANNEL")
	u.submit("tool", "alias", name+"@stable").want(t, 2, "", "which version?")
	u.submit("tool", "inspect", name+"@stable").want(t, 0, "channels", "")
	u.submit("tool", "yank", name+"@1.1.0").want(t, 2, "", name+"@stable still points to it")
	u.submit("tool", "alias", name+"@stable", "--remove").want(t, 0, "removed", "")
	u.submit("tool", "alias", name+"@stable", "--remove").want(t, 1, "", "not found")
	u.submit("tool", "yank", name+"@1.1.0", "--reason", "eats \x1b[2J files").want(t, 0, name+"@1.1.0 yanked\n", "")
	u.submit("tool", "yank", name).want(t, 2, "", "NAME@VERSION")
	u.submit("tool", "list", name).want(t, 0, "1.0.0", "")
	if got := u.submit("tool", "list", name, "--versions"); !strings.Contains(got.out, "1.1.0 (yanked)") {
		t.Errorf("%+v", got)
	}
	var list []jobs.Manifest
	if err := json.Unmarshal([]byte(u.submit("tool", "list", name, "--versions", "--json").out), &list); err != nil || len(list) != 2 || list[0].Yanked == nil || list[1].Yanked != nil {
		t.Errorf("%+v, %v", list, err)
	}
	u.submit("tool", "list", "--keyword", "K0", "--json").want(t, 0, name, "")

	main.mu.Lock()
	main.guests[name] = echo
	main.mu.Unlock()
	got := u.submit("run", name+"@1.1.0", "--", "hi").want(t, 0, "hi\n", "is yanked: eats \ufffd[2J files")
	if strings.Contains(got.err, "\x1b") {
		t.Errorf("a control character reaches the terminal: %q", got.err)
	}
	u.submit("run", name, "--id", "newest").want(t, 0, "\n", "")
	if rec, err := u.client.Get(t.Context(), "newest"); err != nil || rec.Tool.Version != "1.0.0" {
		t.Errorf("%+v, %v", rec, err)
	}
	u.submit("tool", "unyank", name+"@1.1.0").want(t, 0, "unyanked", "")
	u.submit("run", name+"@latest", "--id", "again").want(t, 0, "\n", "")
	if rec, err := u.client.Get(t.Context(), "again"); err != nil || rec.Tool.Version != "1.1.0" {
		t.Errorf("%+v, %v", rec, err)
	}
}

func TestToolSignatures(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	name, dir := u.toolName(), t.TempDir()
	alice, bob := filepath.Join(dir, "alice"), filepath.Join(dir, "bob")
	for _, key := range []string{alice, bob} {
		u.submit("tool", "keygen", key).want(t, 0, "\n", "trusted-keys")
	}
	u.submit("tool", "keygen", alice).want(t, 2, "", "never written over")
	u.submit("tool", "push", u.module(), "--name", name, "--version", "1.0.0", "--sign", alice).want(t, 0, "pushed", "")
	u.submit("tool", "verify", name, "--keys", alice+".pub").want(t, 0, "is signed by", "")
	u.submit("tool", "verify", name, "--keys", bob+".pub").want(t, 1, "", "unverified")
	u.submit("tool", "verify", name, "--keys", bob+".pub", "--json").want(t, 1, `"signed":false`, "")
	u.submit("tool", "sign", name+"@1.0.0", "--key", bob).want(t, 0, "signed", "")
	u.submit("tool", "verify", name, "--keys", bob+".pub").want(t, 0, "is signed by", "")
	u.submit("tool", "inspect", name).want(t, 0, "signatures", "")
	u.submit("tool", "sign", name+"@1.0.0").want(t, 2, "", "which key?")
	u.submit("tool", "sign", name+"@9", "--key", bob).want(t, 127, "", "not found")
	u.submit("tool", "sign", name+"@1.0.0", "--key", bob+".pub").want(t, 2, "", "chmod it to 0600")
	u.submit("tool", "verify", name).want(t, 2, "", "which keys?")
	// The same module with another level is not what is registered: it is not
	// signed under the old one.
	u.submit("tool", "push", u.module(), "--name", name, "--version", "1.0.0", "--level", "none", "--sign", alice).
		want(t, 0, "unchanged", "another level, which stays")
	u.submit("tool", "verify", name, "--keys", alice+".pub").want(t, 0, "is signed by", "")
}

func TestToolLevels(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := func(level string) string {
		name := "l" + strings.ReplaceAll(level, "_", "-") + strings.ToLower(u.tenant[1:])
		main.mu.Lock()
		main.guests[name] = echo
		main.mu.Unlock()
		if _, err := u.client.Register(t.Context(), jobs.Manifest{Name: name, Version: "1", Level: level, Digest: artifacts.DigestBytes([]byte(name)), Size: 1}); err != nil {
			t.Fatal(err)
		}
		return name
	}
	none, reader, writer, dangerous, forbidden := tool("none"), tool("read_only"), tool("write"), tool("dangerous"), tool("forbidden")
	dir := filepath.Dir(file(t, "f", "x"))
	u.submit("run", reader, "--quiet", "--work-dir", dir).want(t, 0, "\n", "")
	u.submit("run", reader, "--id", "d1", "--work-dir", dir+":rw").want(t, 128, "", "[rule level.read_only.writes]")
	u.submit("run", reader, "--id", "d2", "--output", "/out="+t.TempDir()).want(t, 128, "", "[rule level.read_only.writes]")
	u.submit("run", none, "--id", "d3", "--work-dir", dir).want(t, 128, "", "[rule level.none.files]")
	u.submit("run", none, "--id", "d4", "--allowed-outbound-host", "https://example.com").want(t, 128, "", "[rule level.none.network]")
	u.submit("run", writer, "--quiet", "--work-dir", dir+":rw").want(t, 0, "\n", "")
	u.submit("run", dangerous, "--id", "d5").want(t, 128, "", "--allow-dangerous")
	u.submit("run", dangerous, "--allow-dangerous").want(t, 0, "\n", "") // this fleet's worker asks nobody
	u.submit("run", forbidden, "--id", "d6", "--allow-dangerous").want(t, 128, "", "[rule level.forbidden]")
	for _, id := range []string{"d1", "d2", "d3", "d4", "d5", "d6"} {
		if n := u.runs(id); n != 0 {
			t.Errorf("job %s was sent and started %d times", id, n)
		}
	}
	lines := file(t, "jobs.jsonl", `{"tool":"`+reader+`"}
{"tool":"`+reader+`","options":{"work_dir":{"mode":"rw"}}}
{"tool":"`+dangerous+`"}
{"tool":"`+dangerous+`","options":{"allow_dangerous":true}}
`)
	got := u.submit("batch", lines, "--dry-run")
	if got.code != 2 || !strings.Contains(got.err, "jobs.jsonl:2: ") || !strings.Contains(got.err, "level.read_only.writes") ||
		!strings.Contains(got.err, "jobs.jsonl:3: ") || strings.Contains(got.err, ":4: ") || strings.Contains(got.err, ":1: ") {
		t.Errorf("%+v", got)
	}
}

// TestToolErrors: a tool that says that its call failed has failed, though it
// exits with 0.
func TestToolErrors(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		r := done(0, `{"content":"no such file","is_error":true}`+"\n", "")
		if slices.Contains(a.Job.Args, "well") {
			return done(0, `{"content":"x","is_error":false}`+"\n", ""), nil
		}
		r.ToolError = "no such \x1b[2Jfile"
		return r, nil
	})
	u.submit("run", tool, "--", "well").want(t, 0, `"x"`, "")
	got := u.submit("run", tool, "--id", "bad").want(t, 1, "no such file", "the tool says that its call failed: no such \ufffd[2Jfile")
	if got.out != `{"content":"no such file","is_error":true}`+"\n" {
		t.Errorf("the output is not the tool's: %q", got.out)
	}
	u.submit("run", tool, "--json").want(t, 1, `"tool_error": "no such`, "")
	u.submit("wait", "bad").want(t, 1, "bad succeeded 0 tool error: no such \ufffd[2Jfile\n", "")
	lines := file(t, "jobs.jsonl", `{"tool":"`+tool+`","args":["well"]}`+"\n"+`{"tool":"`+tool+`"}`+"\n")
	u.submit("batch", lines, "--wait").want(t, 1, "1 error of tools", "")
	var doc struct {
		Succeeded  int
		ToolErrors int `json:"tool_errors"`
	}
	if err := json.Unmarshal([]byte(u.submit("batch", lines, "--wait", "--json").out), &doc); err != nil || doc.Succeeded != 2 || doc.ToolErrors != 1 {
		t.Errorf("%+v, %v", doc, err)
	}
}

func TestToolPushStripsAndCompiles(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	name := u.toolName()
	plain, debug := u.module(), u.module(customSection(".debug_info", "0123456789"), customSection("producers", "x"), customSection(".debug_line", "0123"))
	got := u.submit("tool", "push", debug, "--name", name, "--version", "1.0.0", "--json")
	var pushed struct {
		jobs.Manifest
		Compiling string `json:"compile_job"`
	}
	if err := json.Unmarshal([]byte(got.out), &pushed); err != nil || !strings.Contains(got.err, "left out 42 B of debug sections") {
		t.Fatalf("%v: %+v", err, got)
	}
	var blob strings.Builder
	if _, err := main.store.GetBlob(t.Context(), pushed.Digest, 1<<20, &blob); err != nil || strings.Contains(blob.String(), ".debug") || !strings.Contains(blob.String(), "producers") {
		t.Errorf("%q, %v", blob.String(), err)
	}
	u.submit("wait", pushed.Compiling).want(t, 1, pushed.Compiling+" invalid", "") // this fleet has no compiler
	rec, err := u.client.Get(t.Context(), pushed.Compiling)
	if err != nil || rec.Priority != jobs.Low || rec.Labels["boxfleet"] != "compile" {
		t.Errorf("%+v, %v", rec, err)
	}
	u.submit("tool", "push", debug, "--name", name, "--version", "2.0.0", "--keep-debug", "--no-compile").want(t, 0, "pushed", "")
	whole, err := os.ReadFile(debug)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := u.client.Resolve(t.Context(), name); err != nil || m.Digest != artifacts.DigestBytes(whole) || m.Kind != jobs.KindCommand {
		t.Errorf("%+v, %v", m, err)
	}
	// Pushed again, it is neither changed nor compiled again.
	if got := u.submit("tool", "push", debug, "--name", name, "--version", "1.0.0", "--json"); strings.Contains(got.out, "compile_job") || !strings.Contains(got.out, `"created":false`) {
		t.Errorf("%+v", got)
	}
	if got := u.submit("tool", "push", plain, "--name", name+"x", "--version", "1.0.0", "--level", "forbidden", "--json"); got.code != 0 || strings.Contains(got.out, "compile_job") {
		t.Errorf("a tool that never runs is compiled: %+v", got)
	}
	// A body with an exception, which only the look into functions finds.
	legacy := "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x07\x0a\x01\x06_start\x00\x00\x0a\x07\x01\x05\x00\x06\x40\x0b\x0b"
	u.submit("tool", "push", file(t, "legacy.wasm", legacy), "--name", name, "--version", "3").want(t, 2, "", "exception")
}

func TestToolDescribe(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	name := u.toolName()
	wasm := u.module()
	data, err := os.ReadFile(wasm)
	if err != nil {
		t.Fatal(err)
	}
	help, err := os.ReadFile("../describe/testdata/boxagnts.txt")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(help), "file-read 0.1.3", name+" 0.1.3", 1)
	asked := make(chan *jobs.Job, 64)
	answer := done(2, "", text) // as many programs do: on standard error, with a code
	main.mu.Lock()
	main.guests[string(artifacts.DigestBytes(data))] = func(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		asked <- a.Job
		if !slices.Contains(a.Job.Args, "-h") { // nothing for --help
			return done(0, "", ""), nil
		}
		return answer, nil
	}
	main.mu.Unlock()
	got := u.submit("tool", "push", wasm, "--describe").want(t, 0, `"permission_level": "read_only"`, "nothing was pushed")
	var m struct {
		Name, Version string
		Schema        json.RawMessage `json:"input_schema"`
	}
	if err := json.Unmarshal([]byte(got.out), &m); err != nil || m.Name != name || m.Version != "0.1.3" || !strings.Contains(string(m.Schema), "file_path") {
		t.Errorf("%v: %s", err, got.out)
	}
	for _, flag := range []string{"--help", "-h"} {
		j := <-asked
		if !slices.Equal(j.Args, []string{flag}) || len(j.Options.Mounts()) > 0 || len(j.Options.AllowedOutboundHosts) > 0 || j.Options.WasmTimeout == 0 || j.Options.WasmFuel == 0 {
			t.Errorf("%+v", j)
		}
	}
	u.submit("tool", "inspect", name).want(t, 127, "", "not found")

	// What is written by hand wins, and nothing is written over.
	out := filepath.Join(t.TempDir(), "tool.json")
	u.submit("tool", "push", wasm, "--describe", "--write", out, "--level", "write", "--description", "By hand.").want(t, 0, "", "review "+out)
	u.submit("tool", "push", wasm, "--describe", "--write", out).want(t, 2, "", "not written over")
	u.submit("tool", "push", "--manifest", out, "--no-compile").want(t, 0, "pushed "+name+"@0.1.3", "")
	registered, err := u.client.Resolve(t.Context(), name)
	if err != nil || registered.Level != "write" || registered.Description != "By hand." || !slices.Equal(registered.Keywords, []string{"file", "read", "view"}) {
		t.Errorf("%+v, %v", registered, err)
	}
	u.submit("tool", "push", wasm, "--describe", "--yes", "--version", "0.2.0").want(t, 0, "pushed "+name+"@0.2.0", "the tool's own word")
	u.submit("tool", "push", wasm, "--yes").want(t, 2, "", "belong to --describe")
	u.submit("tool", "push", "--all", t.TempDir(), "--describe").want(t, 2, "", "takes one module")

	answer = &jobs.Result{Outcome: jobs.Denied, ExitCode: -1, Error: "tool x: not here"}
	u.submit("tool", "push", wasm, "--describe").want(t, 128, "", "was denied: tool x: not here")
	answer = done(0, "", "")
	u.submit("tool", "push", wasm, "--describe").want(t, 2, "", "prints nothing for --help or -h")
	answer = &jobs.Result{Outcome: jobs.TimedOut, ExitCode: -1, Stdout: jobs.Text("half of")}
	u.submit("tool", "push", wasm, "--describe").want(t, 2, "", "prints nothing")
}
