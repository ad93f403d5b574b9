package submitcli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"boxfleet/internal/fleetview"
	"boxfleet/internal/submitcli"
)

// TestTop: one picture for pipes, as text and as JSON.
func TestTop(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	tool := u.tool(echo)
	u.submit("run", tool, "--id", "shown", "--", "x").want(t, 0, "x\n", "")
	var s fleetview.Snapshot
	said := u.submit("top", "--json", "--interval", "1s")
	if err := json.Unmarshal([]byte(said.out), &s); err != nil || said.code != 0 {
		t.Fatalf("code %d, %v: %.300s %s", said.code, err, said.out, said.err)
	}
	if len(s.Ended) != 1 || s.Ended[0].ID != "shown" || len(s.Workers) == 0 || s.Slots < 16 {
		t.Errorf("the picture holds %+v and %d workers with %d slots", s.Ended, len(s.Workers), s.Slots)
	}
	u.submit("top", "--once", "--interval", "1s").want(t, 0, tool+"@1.0.0", "")
	u.submit("top", "--interval", "10ms").want(t, 2, "", "--interval: 10ms; write 1s to 1h")
}

// TestDashboard starts the page as a user does, opens it, and ends it.
func TestDashboard(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.submit("dashboard", "--listen", "0.0.0.0:0").want(t, 2, "", "not a loopback address")
	u.submit("dashboard", "--trace-url", "javascript:alert(1)//{trace_id}").want(t, 2, "", "--trace-url")
	u.submit("dashboard", "--trace-url", "http://x/").want(t, 2, "", "{trace_id}")

	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	var errOut lockedBuffer
	go func() {
		p := submitcli.Program{Stdin: strings.NewReader(""), Stdout: in, Stderr: &errOut}
		ended <- p.Run(ctx, []string{"--context", u.f.context, "--tenant", u.tenant, "dashboard", "--listen", "127.0.0.1:0", "--actions", "--json"})
		_ = in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, errOut.String())
	}
	var says struct{ URL, Token string }
	if err := json.Unmarshal([]byte(line), &says); err != nil || says.URL == "" || len(says.Token) < 20 || strings.Contains(says.URL, says.Token) {
		t.Fatalf("it says %q: %v", line, err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	base, _, _ := strings.Cut(says.URL, "?")
	for _, get := range []struct{ url, want string }{
		{says.URL, "<title>boxfleet</title>"}, {base + "api/session", `"tenant":"` + u.tenant + `"`}, {base + "api/session", `"actions":true`}, {base + "api/jobs", `"jobs":[]`},
	} {
		resp, err := browser.Get(get.url)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(data), get.want) {
			t.Errorf("%s: %d %.300s, want %q: %v", get.url, resp.StatusCode, data, get.want, err)
		}
		if strings.Contains(string(data), natsPassword) {
			t.Errorf("%s tells the password of the queue", get.url)
		}
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("Ctrl-C ends it with %d: %s", code, errOut.String())
	}
}
