package browsertest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// fleet is a whole fleet on this machine, run by the built programs.
type fleet struct {
	t    *testing.T
	data string
}

// startProcess runs a program until the test ends, and gives its first line.
func startProcess(t *testing.T, name string, args ...string) (firstLine string) {
	t.Helper()
	cmd := exec.Command(program(t, name), args...)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	var rest sync.WaitGroup
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		rest.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v: %s", name, err, errOut.String())
		}
	})
	firstLine, err = lines.ReadString('\n')
	if err != nil {
		t.Fatalf("%s says nothing: %v: %s", name, err, errOut.String())
	}
	rest.Go(func() { _, _ = lines.WriteTo(&errOut) })
	return strings.TrimSpace(firstLine)
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t, t.TempDir()}
	ready := filepath.Join(f.data, "ready")
	startProcess(t, "worker", "dev", "--name", "worker-1", "--data", f.data, "--no-current", "--slots", "4", "--ready-file", ready)
	late := time.Now().Add(patience)
	for {
		if _, err := os.Stat(ready); err == nil {
			return f
		}
		if time.Now().After(late) {
			t.Fatal("the fleet does not come up")
		}
		<-time.After(50 * time.Millisecond)
	}
}

// submit runs the client, and gives what it prints and its exit code.
func (f *fleet) submit(args ...string) (string, int) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(f.t, "submit"), append([]string{"--context", f.data, "--quiet"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		f.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (f *fleet) must(args ...string) string {
	f.t.Helper()
	out, code := f.submit(args...)
	if code != 0 {
		f.t.Fatalf("submit %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// tab is a browser's page with the dashboard in it.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("%v; the page shows %.1500q", err, p.text("body"))
	}
}

// eval gives the value of an expression.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (p *tab) text(selector string) string {
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](fmt.Sprintf("(document.querySelector(%q) || {}).innerText || ''", selector)))
	if err != nil {
		return err.Error()
	}
	return v
}

// until waits for an expression to be true.
func (p *tab) until(what, expression string) {
	p.t.Helper()
	if _, err := chromedp.Run(p.ctx, chromedp.Poll[bool]("Boolean("+expression+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience))); err != nil {
		p.t.Fatalf("%s does not come: %v; the page shows %.1500q", what, err, p.text("body"))
	}
}

func (p *tab) shows(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q", text), fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

func (p *tab) goTo(hash string) {
	p.t.Helper()
	eval[chromedp.Void](p, fmt.Sprintf("location.hash = %q", hash))
}

// shoot keeps a picture of the page in $BOXFLEET_SHOTS, if that is set: so are
// the pictures in docs/ made.
func (p *tab) shoot(name string) {
	p.t.Helper()
	dir := os.Getenv("BOXFLEET_SHOTS")
	if dir == "" {
		return
	}
	for _, colours := range []string{"dark", "light"} {
		if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours}},
		}); err != nil {
			p.t.Fatal(err)
		}
		png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "dashboard-"+name+"-"+colours+".png"), png, 0o644)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// evil is what a guest writes to get out of its job's page.
const evil = `</pre><script>document.title="owned"</script><img src=x onerror=document.title="owned">`

// TestDashboard looks at a real fleet through the page, and acts through it.
func TestDashboard(t *testing.T) {
	f := startFleet(t)
	dist := filepath.Join("..", "..", "toolbox", "dist")
	f.must("tool", "push", filepath.Join(dist, "sh.wasm"), "--name", "sh", "--version", "1.0.0")
	sh, err := os.ReadFile(filepath.Join(dist, "sh.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(sh)
	digest := hex.EncodeToString(sum[:])
	address := startProcess(t, "submit", "--context", f.data, "--json", "dashboard", "--listen", "127.0.0.1:0", "--actions")
	url, token := field(address, "url"), field(address, "token")

	page := &tab{t, newTab(t, 1440, 900)}
	complaints := watchConsole(page.ctx)
	page.do(chromedp.Navigate(url))
	page.until("the picture", `document.querySelector("#live.on") && document.querySelector(".tile .value")`)
	if at := eval[string](page, "location.href"); strings.Contains(at, "key=") {
		t.Errorf("the key stays in the address %s", at)
	}
	page.shows("4 slots")
	part := func(name string, look func(t *testing.T)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			page.t, f.t = t, t
			look(t)
		})
	}

	part("live", func(t *testing.T) {
		f.must("run", "sh", "--count", "40", "--label", "run=many", "--detach", "--", "-c", "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo part {{index}}")
		f.submit("run", "sh", "--id", "evil", "--label", "who="+evil, "--", "-c", "echo '"+evil+"'; exit 3")
		page.shows("exited 3") // among the failures, without a reload
		page.until("a bar in the chart", `document.querySelector(".chart path")`)
		if bars := eval[string](page, `document.querySelector(".chart").getAttribute("aria-label")`); !strings.Contains(bars, "a second now") {
			t.Errorf("the chart says %q", bars)
		}
	})
	part("hostile", func(t *testing.T) {
		page.goTo("#/jobs/evil")
		page.until("the output", fmt.Sprintf("document.querySelector('pre.out').textContent.includes(%q)", evil))
		page.until("the label", fmt.Sprintf("[...document.querySelectorAll('.tag')].some((x) => x.textContent.includes(%q))", evil))
		if n := eval[int](page, `document.querySelectorAll("main script, main img").length`); n != 0 {
			t.Errorf("%d elements were made of a guest's text", n)
		}
		if title := eval[string](page, "document.title"); !strings.HasPrefix(title, "Job evil") {
			t.Errorf("the title is %q", title)
		}
		page.until("the trace", `document.querySelectorAll(".fall .name").length > 5`)
		if did := eval[string](page, `(() => { try { document.body.innerHTML = "<b>x</b>"; return "made" } catch (e) { return e.name } })()`); did != "TypeError" {
			t.Errorf("text can become markup: %s", did)
		}
		page.shoot("job")
	})
	part("filters", func(t *testing.T) {
		page.goTo("#/jobs?label=run%3Dmany")
		page.shows("40 jobs")
		page.until("only those", `document.querySelectorAll("tbody tr").length === 40`)
		page.goTo("#/jobs?state=failures")
		page.until("the one failure", `document.querySelectorAll("tbody tr").length === 1 && document.querySelector("tbody").innerText.includes("evil")`)
		// The keyboard alone. The driver sends a key's character even when the page has taken the key, as no
		// keyboard does: so this one is sent by a script.
		page.do(chromedp.Evaluate[chromedp.Void](`document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true}))`))
		page.until("the search", `document.activeElement.id === "find-text"`)
		page.do(chromedp.KeyEvent("many\r"))
		page.shows("40 jobs")
		page.do(chromedp.Evaluate[chromedp.Void]("document.activeElement.blur()"), chromedp.KeyEvent("jj\r"))
		page.until("the second job", `location.hash.startsWith("#/jobs/") && document.title.startsWith("Job ")`)
		page.shows("part")
	})
	part("logs and cancel", func(t *testing.T) {
		id := strings.TrimSpace(f.must("run", "sh", "--id", "long", "--timeout", "300", "--detach", "--", "-c", "echo first words; i=0; while true; do i=$((i+1)); if [ $((i % 5000)) = 0 ]; then echo more; fi; done"))
		page.goTo("#/jobs/" + id)
		page.shows("first words")
		page.until("more as it comes", `document.querySelector("pre.out").textContent.split("more").length > 3`)
		page.do(chromedp.Click(chromedp.ID("cancel")))
		page.do(chromedp.WaitVisible(chromedp.ID("token")), chromedp.SendKeys(chromedp.ID("token"), "wrong\r"))
		page.shows("actions need the token")
		page.do(chromedp.SetValue(chromedp.ID("token"), token), chromedp.Click(chromedp.ID("unlock")))
		page.do(chromedp.WaitVisible(chromedp.ID("yes")), chromedp.Click(chromedp.ID("yes")))
		page.until("the end", `document.querySelector(".headline .chip").textContent === "canceled"`)
	})
	part("dead letters", func(t *testing.T) {
		// A job on a subject that is another's: no worker runs it.
		f.publish("jobs.default.normal.other", `{"v":1,"id":"unlucky","tenant":"default","priority":"normal","tool":{"name":"sh","version":"1.0.0","digest":"sha256:`+
			digest+`","size":`+strconv.Itoa(len(sh))+`},"args":["-c","echo again"],"submitted_at":"2026-01-01T00:00:00Z"}`)
		page.goTo("#/dead")
		page.shows("it came on subject")
		page.shoot("dead")
		page.do(chromedp.Click(chromedp.CSS("tbody input[type=checkbox]")), chromedp.Click(chromedp.ID("replay")))
		page.do(chromedp.WaitVisible(chromedp.ID("yes")), chromedp.Click(chromedp.ID("yes")))
		page.shows("1 replayed")
		page.goTo("#/jobs?q=unlucky")
		page.until("the replay", `[...document.querySelectorAll("tbody tr")].some((r) => r.innerText.includes("unlucky-r") && r.innerText.includes("succeeded"))`)
	})
	part("pages", func(t *testing.T) {
		f.must("schedule", "add", "nightly", "sh", "--cron", "30 2 * * *", "--", "-c", "echo again")
		for _, p := range []struct{ hash, shows, name string }{
			{"#/tools", "wasip1", "tools"}, {"#/workers", "well", "workers"}, {"#/batches", "Outcomes", "batches"}, {"#/schedules", "30 2 * * *", "schedules"},
			{"#/jobs", "jobs", "jobs"}, {"#/", "Where the time goes", "overview"},
		} {
			page.goTo(p.hash)
			page.shows(p.shows)
			if wide := eval[int](page, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
				t.Errorf("%s is %d pixels wider than the window", p.hash, wide)
			}
			if loose := eval[[]string](page, unnamed); len(loose) > 0 {
				t.Errorf("%s has controls without a name: %q", p.hash, loose)
			}
			page.shoot(p.name)
		}
		page.goTo("#/nothing")
		page.shows("There is no such page")
	})
	if said := complaints(); len(said) > 0 {
		t.Errorf("the browser complains: %q", said)
	}
	part("metrics", func(t *testing.T) { f.checkMetrics() })

	part("a stranger", func(t *testing.T) {
		resp, err := http.Get(strings.Split(url, "?")[0] + "api/overview")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("without the key the page answers %s", resp.Status)
		}
	})
}

// unnamed lists what can be used and has no name that is read out.
const unnamed = `[...document.querySelectorAll("button, a, input, select")]
	.filter((x) => !(x.innerText || "").trim() && !x.getAttribute("aria-label") && !x.labels?.length && !x.title && !x.hidden).map((x) => x.outerHTML)`

// watchConsole collects errors that the browser tells of: scripts that throw,
// and what the page's policy stops. Two are the test's own: a wrong token is
// answered with 403, and text that was to become markup is refused.
func watchConsole(ctx context.Context) func() []string {
	var mu sync.Mutex
	var said []string
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if text := fmt.Sprintf("%+v", m); !strings.Contains(text, "status of 403") && !strings.Contains(text, "requires 'TrustedHTML'") {
				mu.Lock()
				said = append(said, text)
				mu.Unlock()
			}
		}
	}()
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return said
	}
}

// rare are metrics that a fleet which works well never gives.
var rare = map[string]bool{"boxfleet_attempts_fenced_total": true, "boxfleet_attempts_failed_total": true}

// checkMetrics holds the names in the Grafana dashboard and the alerts to what
// a worker gives.
func (f *fleet) checkMetrics() {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.data, "context.json"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.must("run", "sh", "--map-dir", f.t.TempDir()+"::/in", "--stdin", "-", "--output", "/out="+f.t.TempDir(), "--", "-c", "echo x > /out/x")
	resp, err := http.Get(field(strings.ReplaceAll(string(data), `": "`, `":"`), "http") + "/metrics")
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	given, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	seen := 0
	for _, file := range []string{"grafana.json", "alerts.yml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "observability", file))
		if err != nil {
			f.t.Fatal(err)
		}
		for _, name := range metricName.FindAllString(string(text), -1) {
			if seen++; !bytes.Contains(given, []byte("\n"+name+"{")) && !rare[name] {
				f.t.Errorf("%s asks for %s, which no worker gives", file, name)
			}
		}
	}
	if seen < 20 {
		f.t.Errorf("only %d names were looked at", seen)
	}
}

var metricName = regexp.MustCompile(`\bboxfleet_[a-z_]+`)

// field reads a value out of one line of flat JSON.
func field(line, name string) string {
	_, rest, _ := strings.Cut(line, `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// publish sends a message as a broken client might, by the NATS protocol.
func (f *fleet) publish(subject, message string) {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.data, "context.json"))
	if err != nil {
		f.t.Fatal(err)
	}
	flat := strings.ReplaceAll(string(data), `": "`, `":"`)
	conn, err := net.Dial("tcp", strings.TrimPrefix(field(flat, "url"), "nats://"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"user\":%q,\"pass\":%q}\r\nPUB %s %d\r\n%s\r\nPING\r\n",
		field(flat, "user"), field(flat, "password"), subject, len(message), message); err != nil {
		f.t.Fatal(err)
	}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch text := lines.Text(); {
		case text == "PONG":
			return
		case strings.HasPrefix(text, "-ERR"):
			f.t.Fatalf("the queue answers %s", text)
		}
	}
	f.t.Fatal("the queue hangs up")
}
