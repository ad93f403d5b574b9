package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"boxfleet/artifacts"
	"boxfleet/internal/fleetview"
	"boxfleet/internal/fleetview/fleetviewtest"
	"boxfleet/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// evil is text that would end a script, drive a terminal or turn a line around.
const evil = "</script><img src=x onerror=alert(1)>\x1b]0;t\x07\x1b[31m\u202eexe\r\n"

const key, secret = "the-key-of-this-test", "the-token-of-this-test"

// board is a dashboard that serves on a socket.
type board struct {
	*fleetviewtest.Fleet
	t    *testing.T
	url  string
	host string
}

func start(t *testing.T, token string) *board {
	t.Helper()
	t.Parallel()
	f := fleetviewtest.Start(t)
	s, err := New(Config{View: f.Watch(), Client: f.Client, Key: key, Token: token, Fleet: "nats\x1b.test", Trace: func(context.Context, string) ([]Span, error) {
		return []Span{{ID: "a", Name: evil, Start: 1, End: 2, Attributes: map[string]string{evil: evil}}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	})
	return &board{f, t, "http://" + l.Addr().String(), l.Addr().String()}
}

// ask makes a request as the page would, changed by each.
func (b *board) ask(method, path string, change ...func(*http.Request)) (int, http.Header, string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), fleetviewtest.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.AddCookie(&http.Cookie{Name: cookieName(b.host), Value: key})
	for _, c := range change {
		c(req)
	}
	resp, err := oneShot.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(data)
}

// oneShot keeps no connections and follows nothing.
var oneShot = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func host(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }

func bearer(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }

func content(text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
}

// TestGuard: who gets in, and who does not.
func TestGuard(t *testing.T) {
	b := start(t, secret)
	_, port, err := net.SplitHostPort(b.host)
	if err != nil {
		t.Fatal(err)
	}
	noCookie := func(r *http.Request) { r.Header.Del("Cookie") }
	for _, c := range []struct {
		name, method, path string
		change             []func(*http.Request)
		want               int
	}{
		{"the page", "GET", "/", nil, 200},
		{"a script", "GET", "/assets/main.js", nil, 200},
		{"a script without the key", "GET", "/assets/main.js", []func(*http.Request){noCookie}, 401},
		{"no key", "GET", "/api/overview", []func(*http.Request){noCookie}, 401},
		{"another port's cookie", "GET", "/api/overview", []func(*http.Request){noCookie, header("Cookie", "boxfleet-dashboard-1="+key)}, 401},
		{"a wrong key", "GET", "/?key=x", nil, 401},
		{"the key", "GET", "/?key=" + key, []func(*http.Request){noCookie}, 303},
		{"the key elsewhere", "GET", "/api/overview?key=" + key, []func(*http.Request){noCookie}, 401},
		{"localhost", "GET", "/api/session", []func(*http.Request){host("localhost:" + port), header("Cookie", cookieName("localhost:"+port)+"="+key)}, 200},
		{"through a tunnel", "GET", "/api/session", []func(*http.Request){host("127.0.0.1:9999"), header("Cookie", "boxfleet-dashboard-9999="+key)}, 200},
		{"DNS rebinding", "GET", "/api/overview", []func(*http.Request){host("evil.example:" + port)}, 421},
		{"DNS rebinding to the page", "GET", "/?key=" + key, []func(*http.Request){host("127.0.0.1.evil.example")}, 421},
		{"a name that looks like localhost", "GET", "/", []func(*http.Request){host("localhost.evil.example")}, 421},
		{"another address", "GET", "/", []func(*http.Request){host("10.0.0.1")}, 421},
		{"another origin", "GET", "/api/overview", []func(*http.Request){header("Origin", "http://evil.example")}, 403},
		{"no origin at all", "GET", "/api/overview", []func(*http.Request){header("Origin", "null")}, 403},
		{"another port of this host", "GET", "/api/overview", []func(*http.Request){header("Origin", "http://127.0.0.1:1")}, 403},
		{"https origin", "GET", "/api/overview", []func(*http.Request){header("Origin", "https://"+b.host)}, 403},
		{"own origin", "GET", "/api/overview", []func(*http.Request){header("Origin", b.url)}, 200},
		{"a picture in another page", "GET", "/assets/mark.svg", []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "no-cors")}, 403},
		{"data in another page of this machine", "GET", "/api/overview", []func(*http.Request){header("Sec-Fetch-Site", "same-site")}, 403},
		{"a link in another page", "GET", "/", []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "document")}, 200},
		{"a frame in another page", "GET", "/", []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "iframe")}, 403},
		{"a link to data", "GET", "/api/overview", []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "document")}, 403},
		{"typed", "GET", "/api/overview", []func(*http.Request){header("Sec-Fetch-Site", "none")}, 200},
		{"an action without a token", "POST", "/api/unlock", nil, 403},
		{"an action with a wrong token", "POST", "/api/unlock", []func(*http.Request){header("Authorization", "Bearer "+key)}, 403},
		{"an action with a basic token", "POST", "/api/unlock", []func(*http.Request){header("Authorization", "Basic "+secret)}, 403},
		{"an action without the key", "POST", "/api/unlock", []func(*http.Request){noCookie, bearer}, 401},
		{"an action of another site", "POST", "/api/unlock", []func(*http.Request){bearer, header("Origin", "http://evil.example")}, 403},
		{"an action", "POST", "/api/unlock", []func(*http.Request){bearer, header("Origin", b.url)}, 200},
		{"an action by GET", "GET", "/api/jobs/x/cancel", []func(*http.Request){bearer}, 405},
		{"DELETE", "DELETE", "/api/jobs/x", []func(*http.Request){bearer}, 405},
		{"no such file", "GET", "/assets/..%2f..%2fserver.go", nil, 404},
		{"no such thing", "GET", "/api/nothing", nil, 404},
		{"an id that is none", "GET", "/api/jobs/..%2f..%2fx", nil, 400},
		{"a job that is not", "GET", "/api/jobs/nobody", nil, 404},
		{"a label that is none", "GET", "/api/jobs?label=x", nil, 400},
		{"a limit that is none", "GET", "/api/jobs?limit=-1", nil, 400},
		{"no letters", "POST", "/api/dead/replay", []func(*http.Request){bearer}, 400},
		{"letters that are none", "POST", "/api/dead/replay", []func(*http.Request){bearer, content(`{"seqs":["x"]}`)}, 400},
		{"too long", "POST", "/api/dead/purge", []func(*http.Request){bearer, content(`{"seqs":[` + strings.Repeat("1,", 70000) + `1]}`)}, 400},
		{"a letter that is not", "GET", "/api/dead/999", nil, 404},
		{"a number that is none", "GET", "/api/dead/x", nil, 400},
		{"an act that is none", "POST", "/api/schedules/x/remove", []func(*http.Request){bearer}, 400},
		{"a schedule that is not", "POST", "/api/schedules/x/pause", []func(*http.Request){bearer}, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, h, text := b.ask(c.method, c.path, c.change...)
			if status != c.want {
				t.Errorf("status %d, want %d: %.300s", status, c.want, text)
			}
			if h.Get("Content-Security-Policy") == "" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", h)
			}
			if h.Get("Access-Control-Allow-Origin") != "" {
				t.Error("another origin may read this")
			}
		})
	}
	_, h, _ := b.ask("GET", "/?key="+key)
	if c := h.Get("Set-Cookie"); !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Strict") || h.Get("Location") != "/" {
		t.Errorf("the key is kept as %q, and the page is at %q", c, h.Get("Location"))
	}
}

// TestReadOnly: without a token nobody acts, whatever is sent.
func TestReadOnly(t *testing.T) {
	b := start(t, "")
	hold := make(chan struct{})
	b.Play("waits", func(ctx context.Context, _ *jobs.Attempt) (*jobs.Result, error) {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		return &jobs.Result{Outcome: jobs.Succeeded}, nil
	})
	b.Submit(fleetviewtest.Job("mine", "waits"))
	for _, change := range [][]func(*http.Request){nil, {bearer}, {header("Authorization", "Bearer ")}} {
		if status, _, text := b.ask("POST", "/api/jobs/mine/cancel", change...); status != 403 || !strings.Contains(text, "--actions") {
			t.Errorf("status %d: %s", status, text)
		}
	}
	close(hold)
	b.wait("mine", jobs.Succeeded)
	if _, _, text := b.ask("GET", "/api/session"); !strings.Contains(text, `"actions":false`) || strings.Contains(text, `\u001b`) {
		t.Errorf("session %s", text)
	}
}

func (b *board) wait(id string, want jobs.Outcome) {
	b.t.Helper()
	late := time.Now().Add(fleetviewtest.Patience)
	for time.Now().Before(late) {
		rec, err := b.Client.Get(b.t.Context(), id)
		if err == nil && rec.Result != nil {
			if rec.Result.Outcome != want {
				b.t.Fatalf("job %s ended %s: %s", id, rec.Result.Outcome, rec.Result.Error)
			}
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	b.t.Fatalf("job %s does not end", id)
}

// TestHostileJob: nothing a guest or submitter wrote leaves as it was.
func TestHostileJob(t *testing.T) {
	b := start(t, "")
	b.Play("evil", func(context.Context, *jobs.Attempt) (*jobs.Result, error) {
		return &jobs.Result{
			Outcome: jobs.Exited, ExitCode: 3, Error: evil, ToolError: evil, Stdout: jobs.Text(evil), Stderr: jobs.Text("\xff\x00" + evil),
			OutputPrefix: evil, CacheHit: evil, Outputs: []artifacts.OutputFile{{Path: "../" + evil, Size: 1, SHA256: evil}}, Deleted: []string{evil},
			Denials: []jobs.Denial{{What: evil, Target: evil, Rule: evil, Count: 1}}, Trap: &jobs.Trap{Kind: evil, Functions: []string{evil}},
		}, nil
	})
	j := fleetviewtest.Job("bad", "evil")
	j.Labels = map[string]string{evil: evil}
	b.Submit(j)
	b.wait("bad", jobs.Exited)
	for _, path := range []string{"/api/jobs/bad", "/api/jobs/bad/trace", "/api/jobs?q=bad", "/api/overview", "/api/dead", "/api/tools", "/api/batches", "/api/schedules"} {
		status, h, text := b.ask("GET", path)
		if status != 200 || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s: status %d, type %s: %.300s", path, status, h.Get("Content-Type"), text)
		}
		for _, raw := range []string{"\x1b", `\u001b`, `\u0007`, "\u202e", "<img", "</script"} {
			if strings.Contains(text, raw) {
				t.Errorf("%s holds %q: %.500s", path, raw, text)
			}
		}
	}
	// A file that lies outside of the outputs is not fetched, and a name is not opened.
	if status, _, text := b.ask("GET", "/api/jobs/bad/files/0"); status != 502 {
		t.Errorf("a path that leads out: status %d, %s", status, text)
	}
	for _, path := range []string{"/api/jobs/bad/files/1", "/api/jobs/bad/files/-1", "/api/jobs/bad/files/..%2f0", "/api/jobs/bad/output/passwd"} {
		if status, _, _ := b.ask("GET", path); status != 404 {
			t.Errorf("%s: status %d, want 404", path, status)
		}
	}
	status, h, text := b.ask("GET", "/api/jobs/bad/output/stdout")
	if status != 200 || text != evil || h.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") ||
		!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the output as a download: status %d, headers %v, %q", status, h, text)
	}
}

// TestActions: what the page does is done.
func TestActions(t *testing.T) {
	b := start(t, secret)
	started := make(chan struct{}, 1)
	b.Play("waits", func(ctx context.Context, _ *jobs.Attempt) (*jobs.Result, error) {
		started <- struct{}{}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	broken := true
	b.Play("breaks", func(context.Context, *jobs.Attempt) (*jobs.Result, error) {
		if broken {
			broken = false
			return nil, jobs.Permanent(fmt.Errorf("it cannot run: %s", evil))
		}
		return &jobs.Result{Outcome: jobs.Succeeded}, nil
	})
	b.Submit(fleetviewtest.Job("long", "waits"), fleetviewtest.Job("dead", "breaks"))
	<-started
	if status, _, text := b.ask("POST", "/api/jobs/long/cancel", bearer); status != 200 || !strings.Contains(text, "told to stop") {
		t.Errorf("cancel: status %d, %s", status, text)
	}
	b.wait("long", jobs.Canceled)
	b.wait("dead", jobs.Failed)

	var list struct{ Letters []letter }
	_, _, text := b.ask("GET", "/api/dead?error=CANNOT+RUN")
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Letters) != 1 || list.Letters[0].Job != "dead" {
		t.Fatalf("dead letters %s: %v", text, err)
	}
	if _, _, text := b.ask("GET", "/api/dead?tool=other"); !strings.Contains(text, `"found":0`) {
		t.Errorf("letters of another tool: %s", text)
	}
	seq := list.Letters[0].Seq
	if _, _, text := b.ask("GET", fmt.Sprintf("/api/dead/%d", seq)); !strings.Contains(text, `"id\": \"dead\"`) && !strings.Contains(text, `\"id\": \"dead\"`) {
		t.Errorf("the letter has no message: %s", text)
	}
	chosen := content(fmt.Sprintf(`{"seqs":[%d,999999]}`, seq))
	_, _, text = b.ask("POST", "/api/dead/replay", bearer, chosen)
	replay := jobs.ReplayID("dead", seq)
	if !strings.Contains(text, replay) || !strings.Contains(text, "999999") || !strings.Contains(text, "error") {
		t.Errorf("replay says %s", text)
	}
	b.wait(replay, jobs.Succeeded)
	if _, _, text := b.ask("GET", fmt.Sprintf("/api/dead/%d", seq)); !strings.Contains(text, replay) {
		t.Errorf("the letter does not know its replay: %s", text)
	}
	b.ask("POST", "/api/dead/purge", bearer, content(fmt.Sprintf(`{"seqs":[%d]}`, seq)))
	if _, _, text := b.ask("GET", "/api/dead"); !strings.Contains(text, `"found":0`) {
		t.Errorf("after the purge: %s", text)
	}

	if _, err := b.Client.PutSchedule(t.Context(), &jobs.Recurring{Name: "often", Cron: "0 0 1 1 *", Job: fleetviewtest.Job("", "ok")}); err != nil {
		t.Fatal(err)
	}
	if _, _, text := b.ask("POST", "/api/schedules/often/pause", bearer); !strings.Contains(text, "no more") {
		t.Errorf("pause says %s", text)
	}
	if _, _, text := b.ask("GET", "/api/schedules"); !strings.Contains(text, `"paused":true`) {
		t.Errorf("schedules %s", text)
	}
	_, _, text = b.ask("POST", "/api/schedules/often/start", bearer)
	var says struct{ Says string }
	if err := json.Unmarshal([]byte(text), &says); err != nil {
		t.Fatal(err)
	}
	b.wait(says.Says[strings.LastIndexByte(says.Says, ' ')+1:], jobs.Succeeded)
}

// stream reads a stream's events until each gives false.
func (b *board) stream(path string, each func(kind, data string) bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), fleetviewtest.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.AddCookie(&http.Cookie{Name: cookieName(b.host), Value: key})
	resp, err := oneShot.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	kind := ""
	for lines.Scan() {
		if k, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			kind = k
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && !each(kind, data) {
			return
		}
	}
	b.t.Fatalf("%s: the stream ended: %v", path, lines.Err())
}

// TestStreams: pictures as they change, and a job's output as it comes.
func TestStreams(t *testing.T) {
	b := start(t, "")
	next := make(chan struct{}, 8)
	b.Play("talks", func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
		var all []byte
		for _, part := range []string{"one\n", "\x1b[31mtwo \xe6\x97", "\xa5\n", "</script>\n", ""} {
			select {
			case <-next:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			a.Log("stdout", int64(len(all)), []byte(part))
			all = append(all, part...)
		}
		return &jobs.Result{Outcome: jobs.Succeeded, Stdout: all}, nil
	})
	b.Submit(fleetviewtest.Job("talk", "talks"))
	text := ""
	b.stream("/api/jobs/talk/events", func(kind, data string) bool {
		var x struct{ State, Text string }
		if err := json.Unmarshal([]byte(data), &x); err != nil {
			t.Fatalf("%s %s: %v", kind, data, err)
		}
		switch {
		case kind == "state" && x.State == "running":
			next <- struct{}{}
		case kind == "log":
			text += x.Text
			next <- struct{}{} // each piece after the one before has come
		}
		return kind != "end"
	})
	if want := "one\ntwo 日\n</script>\n"; text != want {
		t.Errorf("the output came as %q, want %q", text, want)
	}
	pictures := 0
	b.stream("/api/stream", func(kind, data string) bool {
		var s fleetview.Snapshot
		if err := json.Unmarshal([]byte(data), &s); err != nil || kind != "snapshot" || len(s.Series) > tailSamples {
			t.Fatalf("%s with %d samples: %v", kind, len(s.Series), err)
		}
		pictures++
		return pictures < 3
	})
}

// TestTooManyStreams: open pages cannot use the program up.
func TestTooManyStreams(t *testing.T) {
	b := start(t, "")
	var open []io.Closer
	refused := 0
	for range maxStreams + 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/api/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.AddCookie(&http.Cookie{Name: cookieName(b.host), Value: key})
		resp, err := oneShot.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp.Body)
		if resp.StatusCode == http.StatusServiceUnavailable {
			refused++
		}
	}
	for _, c := range open {
		_ = c.Close()
	}
	if refused != 3 {
		t.Errorf("%d streams were refused, want 3", refused)
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "example.com:80", "192.168.1.1:80", "8460", "127.0.0.1"} {
		if l, err := Listen(addr); err == nil {
			l.Close()
			t.Errorf("Listen(%q) listens", addr)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "127.9.9.9:0"} {
		l, err := Listen(addr)
		if err != nil {
			t.Errorf("Listen(%q): %v", addr, err)
			continue
		}
		l.Close()
	}
}
