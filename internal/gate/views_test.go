package gate_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"boxfleet/internal/fleetauth"
	"boxfleet/internal/fleetauth/authtest"
	"boxfleet/internal/submitcli"
	"boxfleet/jobs"
)

// verbRig is a fleet with a tool, a tenant's settings and jobs in every state,
// and the environment of that tenant's user, who has credentials and nothing
// else.
func verbRig(t *testing.T) (*rig, *jobs.Client) {
	r := newRig(t)
	opNC, opJS := r.operator()
	op, err := jobs.NewClient(r.ctx, opNC, opJS, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := op.Register(r.ctx, jobs.Manifest{
		Name: "noop", Version: "1.0.0", Digest: testTool.Digest, Size: testTool.Size, Level: "read_only", Description: "does nothing",
		InputSchema: []byte(`{"type":"object","additionalProperties":false}`),
	}); err != nil {
		t.Fatal(err)
	}
	for tenant, s := range map[string]jobs.TenantSettings{"acme": {Weight: 3, Concurrency: 100}, "beta": {Weight: 77}} {
		if err := op.SetTenant(r.ctx, tenant, s); err != nil {
			t.Fatal(err)
		}
	}
	acme, _ := r.tenant("acme", "ci")
	beta, _ := r.tenant("beta", "spy")
	r.when("dies", func(context.Context, *jobs.Attempt) (*jobs.Result, error) {
		return nil, jobs.Permanent(errors.New("no"))
	})
	r.when("hangs", hang)
	r.when("k1", hang)
	r.submit(acme, job("hangs"))
	for i := range 4 { // one of a key runs, the others wait
		j := job(fmt.Sprintf("k%d", i+1))
		j.Concurrency = &jobs.Concurrency{Key: "customer", Limit: 1}
		r.submit(acme, j)
		if i == 0 {
			r.running(acme, "k1")
		}
	}
	r.running(acme, "hangs")
	r.submit(acme, job("dies"))
	r.wait(acme, "dies")
	r.submit(beta, job("secret-of-beta"))
	r.wait(beta, "secret-of-beta")
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("BOXFLEET_NATS", r.URL())
	t.Setenv("BOXFLEET_NATS_CA", r.CA)
	t.Setenv("BOXFLEET_NATS_CREDS", r.Identity(t, fleetauth.Grant{Role: fleetauth.Submitter, Tenant: "acme", User: "ci"}))
	return r, acme
}

func (r *rig) running(c *jobs.Client, id string) {
	r.t.Helper()
	r.eventually(id+" runs", func() error {
		rec, err := c.Get(r.ctx, id)
		if err == nil && rec.State != jobs.Running {
			err = fmt.Errorf("state %s", rec.State)
		}
		return err
	})
}

// submitVerb runs one command line; ~ stands for a space in an argument.
func submitVerb(ctx context.Context, line string) (code int, text string) {
	args := strings.Fields(line)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "~", " ")
	}
	var out, errOut bytes.Buffer
	code = submitcli.Program{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut}.Run(ctx, args)
	return code, out.String() + errOut.String()
}

// TestEveryVerb: the command line of a tenant's user. None of it is refused
// unless it should be, and what it shows is so.
func TestEveryVerb(t *testing.T) {
	r, acme := verbRig(t)
	batch := filepath.Join(t.TempDir(), "batch.jsonl")
	if err := os.WriteFile(batch, []byte(`{"tool":"noop","id":"b-1"}`+"\n"+`{"tool":"noop","id":"b-2"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		want string // a regular expression
	}{
		{"run noop --id r1 --label team=a -- x", `^of r1$`},
		{"run noop --id r2 --detach --delay 1h --label team=a", `^r2\n$`},
		{"run noop --id r3 --detach --delay 1h --label team=a", `^r3\n$`},
		{"cancel r3", `r3 canceled`},
		{"cancel --label team=a", `(?s)r2 canceled.*1 canceled in the queue, 0 told to stop`},
		{"batch " + batch + " --batch-id two", `2 jobs submitted`},
		{"wait --batch two", `succeeded`},
		{"list --batch two", `(?s)b-[12] .*b-[12] `},
		{"list --label team=a", `(?s)r3 .*canceled.*r2 .*canceled.*r1 .*succeeded`},
		{"list --state queued", `(?s)k4.*k3.*k2`},
		{"list --state running", `(?s)k1.*hangs`},
		{"status hangs", `state +running`},
		{"status", `(?s)w1 .*acme normal +0 +1\nacme keyed +3 +1\n`},
		{"status --json", `"keyed": \{\s+"held": 1,\s+"waiting": 3`},
		{"logs r1", `^of r1$`},
		{"result r1", `^of r1$`},
		{"trace r1", `queue wait`},
		{"wait r1 b-2", `(?s)b-2 succeeded.*`},
		{"dlq list", `(?s)1 .* dies .* no`},
		{"dlq show 1", `attempt 1 .* on w1: no`},
		{"dlq replay 1", `1 dies dies-r1\n.*1 dead letter replayed`},
		{"dlq replay --job dies", `\(before\)`},
		{"dlq purge 1", `1 dead letter removed`},
		{"dlq list --json", `^\[\]\n$`},
		{"schedule add nightly --cron 0~4~*~*~* -- noop", `nightly added`},
		{"schedule pause nightly", `^$`},
		{"schedule list", `nightly .*paused +noop@1\.0\.0`},
		{"schedule resume nightly", `^$`},
		{"schedule start nightly", `^nightly-m\d+\n$`},
		{"schedule remove nightly", `^$`},
		{"tool list", `noop +1\.0\.0`},
		{"tool inspect noop", `sha256:abab`},
		{"tenant show acme", `(?s)weight +3\nconcurrency +100\nrunning +\d\n`},
		{"tenant list", `^TENANT.*\nacme +3 +100 +\d +-\n$`},
		{"top --once", `(?s)tenant acme.* 2 running   3 waiting .*w1 .*acme +keyed +3 +1\nacme +normal +0 +1\n.*dies`},
		{"cancel hangs", `hangs`},
	} {
		start := time.Now()
		code, text := submitVerb(r.ctx, c.line)
		if code != 0 || !regexp.MustCompile(c.want).MatchString(text) {
			t.Errorf("submit %s: exit %d after %s; want 0 and %s\n%s", c.line, code, time.Since(start).Round(time.Millisecond), c.want, text)
		}
		if strings.Contains(text, "beta") {
			t.Errorf("submit %s tells of another tenant:\n%s", c.line, text)
		}
	}
	r.topInJSON(t)
	r.followsEvents(t)
	if _, refused := r.gate.Counts(); refused != 0 {
		t.Errorf("%d requests were refused; everything above is allowed", refused)
	}
	for _, c := range []struct {
		line    string
		want    string
		refused int64 // by the gate; 0 when the client knows
	}{
		{"tenant show beta", `settings of tenant beta: .*is not tenant acme's to read`, 1},
		{"audit --fleet", `audit log of the fleet is for operators: these credentials are of tenant "acme"`, 0},
		{"list --tenant beta", `these credentials are of tenant "acme"`, 0},
		{"tool yank noop@1.0.0 --reason x", `the bucket "tools" is not for tenants to write`, 1},
		{"tenant set acme --weight 2", `the bucket "tenants" is not for tenants to write`, 1},
	} {
		_, before := r.gate.Counts()
		code, text := submitVerb(r.ctx, c.line)
		_, after := r.gate.Counts()
		if code == 0 || !regexp.MustCompile(c.want).MatchString(text) || after-before != c.refused {
			t.Errorf("submit %s: exit %d and %d refusals; want an error, %d and %s\n%s", c.line, code, after-before, c.refused, c.want, text)
		}
	}
	r.eventually("the audit log has what was done", func() error {
		_, text := submitVerb(r.ctx, "audit")
		for _, want := range []string{"job.submit", "job.cancel", "dlq.purge", "schedule.set", "schedule.start", "schedule.remove", "refused"} {
			if !strings.Contains(text, want) {
				return fmt.Errorf("no %s in\n%s", want, text)
			}
		}
		return nil
	})
	if rec := r.wait(acme, "hangs"); rec.Result.Outcome != jobs.Canceled {
		t.Errorf("the job that was canceled: %s", rec.Result.Outcome)
	}
}

// topInJSON holds the picture to what is so.
func (r *rig) topInJSON(t *testing.T) {
	code, text := submitVerb(r.ctx, "top --once --json --interval 1s")
	var s struct {
		Connected  bool             `json:"connected"`
		Problems   []string         `json:"problems"`
		Workers    []jobs.Presence  `json:"workers"`
		Waiting    int              `json:"waiting"`
		RunningAll int              `json:"running_all"`
		Known      int              `json:"known"`
		Older      bool             `json:"older"`
		Counts     map[string]int   `json:"counts"`
		Queues     []map[string]any `json:"queues"`
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil || code != 0 {
		t.Fatalf("top --json: exit %d, %v\n%s", code, err, text)
	}
	if !s.Connected || len(s.Problems) != 0 || len(s.Workers) != 1 || s.Workers[0].Slots != 4 || s.Waiting != 3 || s.RunningAll < 1 ||
		s.Older || s.Counts["failed"] != 1 || s.Counts["canceled"] < 2 || s.Counts["succeeded"] < 3 || len(s.Queues) != 2 {
		t.Errorf("top shows %+v", s)
	}
}

// followsEvents: events follow until they are stopped, so a line that is known
// to come ends them.
func (r *rig) followsEvents(t *testing.T) {
	ctx, stop := context.WithTimeout(r.ctx, 20*time.Second)
	defer stop()
	in, out := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- submitcli.Program{Stdin: strings.NewReader(""), Stdout: out, Stderr: io.Discard}.Run(ctx, []string{"events", "--since", "10m", "--json"})
		out.Close()
	}()
	want := map[string]bool{"dies": true, "r1": true, "b-1": true, "dies-r1": true}
	for lines := bufio.NewScanner(in); len(want) > 0 && lines.Scan(); {
		var e struct{ Job, State string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Errorf("events: %v in %s", err, lines.Text())
		}
		if e.State == string(jobs.Done) {
			delete(want, e.Job)
		}
	}
	if len(want) > 0 {
		t.Errorf("events lack the ends of %v", want)
	}
	stop()
	in.Close()
	<-ended
}

// TestDashboardAndAgents: the page's answers and an agent's calls.
func TestDashboardAndAgents(t *testing.T) {
	r, acme := verbRig(t)
	t.Run("dashboard", func(t *testing.T) { r.dashboard(t, acme) })
	t.Run("mcp", func(t *testing.T) { r.agent(t) })
	if _, refused := r.gate.Counts(); refused != 0 {
		t.Errorf("%d requests were refused; everything above is allowed", refused)
	}
}

func (r *rig) dashboard(t *testing.T, acme *jobs.Client) {
	ctx, stop := context.WithCancel(r.ctx)
	in, out := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- submitcli.Program{Stdin: strings.NewReader(""), Stdout: out, Stderr: io.Discard}.Run(ctx, []string{"dashboard", "--listen", "127.0.0.1:0", "--actions", "--json"})
		out.Close()
	}()
	defer func() { stop(); in.Close(); <-ended }()
	var said struct{ URL, Token string }
	line, err := bufio.NewReader(in).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &said)
	}
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(said.URL)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(ctx, method, "http://"+base.Host+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if method != http.MethodGet {
			req.Header.Set("Authorization", "Bearer "+said.Token)
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return resp.StatusCode, string(data)
	}
	ask("GET", "/?"+base.RawQuery, "")
	if _, err := acme.PutSchedule(ctx, &jobs.Recurring{Name: "nightly", Job: job(""), Cron: "0 4 * * *"}); err != nil {
		t.Fatal(err)
	}
	if _, err := acme.SubmitArray(ctx, &jobs.Array{ID: "arr", Count: 2, Job: job("")}, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/api/session", "", `"tenant":"acme"`},
		{"GET", "/api/overview", "", `"problems":\[\],"workers":\[\{"name":"w1".*"slots":4.*"priority":"keyed","waiting":3,"active":1.*"waiting":3,`},
		{"GET", "/api/jobs", "", `"hangs"`},
		{"GET", "/api/jobs?state=queued", "", `"found":3`},
		{"GET", "/api/jobs/dies", "", `"failed"`},
		{"GET", "/api/jobs/dies/events", "", `event: end`},
		{"GET", "/api/dead", "", `"job":"dies"`},
		{"GET", "/api/dead/1", "", `"attempts?"`},
		{"GET", "/api/tools", "", `"noop"`},
		{"GET", "/api/batches", "", `"found":1`},
		{"GET", "/api/batches/arr", "", `"total":2`},
		{"GET", "/api/schedules", "", `"nightly"`},
		{"POST", "/api/schedules/nightly/pause", "", `no more`},
		{"POST", "/api/schedules/nightly/start", "", `started as job nightly-m`},
		{"POST", "/api/jobs/hangs/cancel", "", `"cancel|told to stop`},
		{"POST", "/api/dead/replay", `{"seqs":[1]}`, `dies-r1`},
		{"POST", "/api/dead/purge", `{"seqs":[1]}`, `1`},
	} {
		var code int
		var text string
		r.eventually(c.method+" "+c.path, func() error { // the picture is a second late
			code, text = ask(c.method, c.path, c.body)
			if code != http.StatusOK || !regexp.MustCompile(c.want).MatchString(text) {
				return fmt.Errorf("status %d; want %s in\n%.1500s", code, c.want, text)
			}
			return nil
		})
		if strings.Contains(text, "beta") {
			t.Errorf("%s %s tells of another tenant:\n%s", c.method, c.path, text)
		}
	}
}

// agent speaks the Model Context Protocol.
func (r *rig) agent(t *testing.T) {
	in, toServer := io.Pipe()
	fromServer, out := io.Pipe()
	ended := make(chan int, 1)
	var errOut bytes.Buffer
	go func() {
		ended <- submitcli.Program{Stdin: in, Stdout: out, Stderr: &errOut}.Run(r.ctx, []string{"mcp"})
		out.Close()
	}()
	replies := bufio.NewScanner(fromServer)
	replies.Buffer(nil, 1<<20)
	for _, c := range []struct{ say, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`, `"serverInfo"`},
		{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, ``},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`, `"name":"noop"`},
		{`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"noop","arguments":{}}}`, `of [A-Za-z0-9_-]+`},
	} {
		if _, err := io.WriteString(toServer, c.say+"\n"); err != nil {
			t.Fatalf("the server is gone: exit %d\n%s", <-ended, errOut.String())
		}
		if c.want == "" {
			continue
		}
		for replies.Scan() && !strings.Contains(replies.Text(), `"id":`) { // other lines are news
		}
		if !regexp.MustCompile(c.want).Match(replies.Bytes()) {
			t.Errorf("%s\ngave %.800s\nwant %s", c.say, replies.Text(), c.want)
		}
	}
	toServer.Close()
	for replies.Scan() {
	}
	if code := <-ended; code != 0 {
		t.Errorf("mcp ended with %d\n%s", code, errOut.String())
	}
}

// TestNoGate: a tenant's user learns at once that there is none.
func TestNoGate(t *testing.T) {
	s := authtest.Start(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("BOXFLEET_NATS", s.URL())
	t.Setenv("BOXFLEET_NATS_CA", s.CA)
	t.Setenv("BOXFLEET_NATS_CREDS", s.Identity(t, fleetauth.Grant{Role: fleetauth.Submitter, Tenant: "acme", User: "ci"}))
	if code, text := submitVerb(t.Context(), "status"); code != 125 || !strings.Contains(text, "acme.ci: no gate answers") {
		t.Errorf("exit %d; want 125 and that there is no gate\n%s", code, text)
	}
}
