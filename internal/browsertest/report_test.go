package browsertest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// loadtest runs bin/loadtest in dir.
func loadtest(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command(program(t, "loadtest"), args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("loadtest %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// pageFaults collects what a page does wrong: exceptions, errors that the browser
// logs (a breach of the page's policy is one), and requests for anything but
// the page itself.
type pageFaults struct {
	mu   sync.Mutex
	list []string
}

func watchFaults(t *testing.T, tab context.Context) *pageFaults {
	t.Helper()
	c := &pageFaults{}
	add := func(s string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.list = append(c.list, s)
	}
	if err := chromedp.Listen(tab, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			add("exception: " + ev.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			add("logged: " + ev.Entry.Text)
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(ev.Request.URL, "file://") || !strings.HasSuffix(ev.Request.URL, ".html") {
				add("asked for " + ev.Request.URL)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *pageFaults) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list
}

// reportLayout is what the page looks like to a script.
type reportLayout struct {
	Title    string
	Sections []string
	Charts   int
	Flat     []string // captions of charts that are shown without a size
	Wide     int      // pixels by which the page is wider than the window
	Outside  []string // texts that lie outside of their chart
	Paper    string   // the background's colour
}

const measureReport = `(() => {
  const svgs = [...document.querySelectorAll("svg")].filter((s) => !s.closest("[hidden]"));
  const outside = [];
  for (const s of svgs) {
    const box = s.getBoundingClientRect();
    for (const t of s.querySelectorAll("text")) {
      const b = t.getBoundingClientRect();
      if (b.left < box.left - 3 || b.right > box.right + 3 || b.top < box.top - 3 || b.bottom > box.bottom + 3) outside.push(t.textContent);
    }
  }
  return {
    Title: document.title,
    Sections: [...document.querySelectorAll("h2")].map((h) => h.textContent),
    Charts: svgs.length,
    Flat: svgs.filter((s) => s.getBoundingClientRect().height < 40).map((s) => s.getAttribute("aria-label")),
    Wide: document.documentElement.scrollWidth - innerWidth,
    Outside: outside,
    Paper: getComputedStyle(document.body).backgroundColor,
  };
})()`

// openReport shows a page and waits until its script has run.
func openReport(t *testing.T, tab context.Context, file string) reportLayout {
	t.Helper()
	if err := chromedp.Do(tab, chromedp.Navigate("file://"+file)); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(tab, chromedp.Poll[chromedp.Void](`document.documentElement.dataset.ready`)); err != nil {
		t.Fatalf("the script of %s has not run: %v", filepath.Base(file), err)
	}
	return lookAtReport(t, tab)
}

func lookAtReport(t *testing.T, tab context.Context) reportLayout {
	t.Helper()
	l, err := chromedp.Run(tab, chromedp.Evaluate[reportLayout](measureReport))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// check holds a page against what every page of a load test must be.
func (l reportLayout) check(t *testing.T, width string, sections ...string) {
	t.Helper()
	if l.Wide > 0 || len(l.Flat) > 0 || len(l.Outside) > 0 {
		t.Errorf("%s, %s: %d pixels too wide, charts without a size %q, texts outside of their charts %q", l.Title, width, l.Wide, l.Flat, l.Outside)
	}
	if got, want := strings.Join(l.Sections, "; "), strings.Join(sections, "; "); got != want {
		t.Errorf("%s: sections %s, want %s", l.Title, got, want)
	}
}

// TestLoadTestReport makes reports with a real fleet and looks at their pages.
func TestLoadTestReport(t *testing.T) {
	dir := t.TempDir()
	tab := newTab(t, 1100, 900)
	faulty := watchFaults(t, tab)
	if _, err := chromedp.Call(tab, log.Enable, struct{}{}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		args     []string
		sections []string
	}{
		{[]string{"steady", "--rate", "100", "--duration", "3s", "--warm", "20"}, []string{"Where the time goes", "Over time", "Distribution", "Phases"}},
		{[]string{"cold", "--jobs", "2"}, []string{"The cold start, taken apart"}},
		{[]string{"scale", "--workers", "2", "--slots", "2", "--jobs", "20", "--wait", "5ms"}, []string{"Scaling"}},
	} {
		file := filepath.Join(dir, p.args[0])
		loadtest(t, dir, append(p.args, "--json", file+".json", "--html", file+".html")...)
		l := openReport(t, tab, file+".html")
		l.check(t, "in a window", p.sections...)
		if l.Charts == 0 || l.Title != "Load test: "+p.args[0] {
			t.Errorf("page %q with %d charts", l.Title, l.Charts)
		}
	}

	t.Run("switches", func(t *testing.T) { reportSwitches(t, tab, filepath.Join(dir, "steady")) })
	t.Run("comparison", func(t *testing.T) {
		loadtest(t, dir, "compare", "steady.json", "steady.json", "--html", "compared.html")
		l := openReport(t, tab, filepath.Join(dir, "compared.html"))
		l.check(t, "in a window", "Figure by figure", "A: where the time goes", "B: where the time goes")
	})
	if c := faulty.all(); len(c) > 0 {
		t.Errorf("the pages: %s", strings.Join(c, "; "))
	}
	// The policy holds, and a breach of it would have been seen above.
	for len(faulty.all()) == 0 {
		if err := chromedp.Do(tab, chromedp.Evaluate[chromedp.Void](`new Image().src = "http://127.0.0.1:9/x.png"`)); err != nil {
			t.Fatalf("the page loaded a picture, or nobody noticed that it tried: %v", err)
		}
	}
	if c := faulty.all(); !strings.Contains(c[0], "Content Security Policy") {
		t.Errorf("a picture from elsewhere: %s; want a breach of the policy", c)
	}
}

// reportSwitches uses what the script adds to a page.
func reportSwitches(t *testing.T, tab context.Context, file string) {
	light := openReport(t, tab, file+".html")
	one := func(what, expression string, want bool) {
		t.Helper()
		if got, err := chromedp.Run(tab, chromedp.Evaluate[bool](expression)); err != nil || got != want {
			t.Errorf("%s: %t, %v; want %t", what, got, err, want)
		}
	}
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		for _, a := range actions {
			if err := chromedp.Do(tab, a); err != nil {
				t.Fatal(err)
			}
		}
	}
	const share = `document.querySelector("figure[data-tab=share]").hidden`
	one("the chart of shares is hidden", share, true)
	do(chromedp.Click(chromedp.CSS(".tabs button:nth-child(2)")))
	one("it is hidden after its button was pressed", share, false)

	do(chromedp.Click(chromedp.CSS("#theme")))
	dark := lookAtReport(t, tab)
	if dark.Paper == light.Paper {
		t.Errorf("the page is %s in light and in dark", light.Paper)
	}
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
		t.Fatal(err)
	}
	if asked := openReport(t, tab, file+".html"); asked.Paper != dark.Paper {
		t.Errorf("a system that prefers dark gets %s, want %s", asked.Paper, dark.Paper)
	}

	// What the pointer shows over the first part of the first bar. As a hand does, it follows the bar: a browser that
	// opens a page again may scroll it after it has been shown.
	for i := 0; ; i++ {
		at, err := chromedp.Run(tab, chromedp.Evaluate[struct{ X, Y float64 }](`(() => {
		  const part = [...document.querySelectorAll("svg .part")].find((p) => p.getBoundingClientRect().width > 4);
		  part.scrollIntoView({block: "center"});
		  const b = part.getBoundingClientRect();
		  return {X: b.x + b.width / 2, Y: b.y + b.height / 2};
		})()`))
		if err != nil {
			t.Fatalf("the pointer shows nothing of what it is over: %v", err)
		}
		do(chromedp.MouseEvent("mouseMoved", at.X+float64(i%2), at.Y))
		shown, err := chromedp.Run(tab, chromedp.Evaluate[bool](`!document.getElementById("tip").hidden && document.getElementById("tip").textContent.includes("s (")`))
		if err != nil {
			t.Fatal(err)
		}
		if shown {
			break
		}
	}

	do(chromedp.EmulateViewport(390, 800))
	openReport(t, tab, file+".html").check(t, "on a telephone", light.Sections...)
	do(chromedp.EmulateViewport(1100, 900))

	kept, err := chromedp.Run(tab, chromedp.Evaluate[string](`document.getElementById("report").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	saved, err := os.ReadFile(file + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var a, b struct {
		Jobs  int     `json:"jobs"`
		Rate  float64 `json:"jobs_per_s"`
		Total struct{ P99 float64 }
	}
	if err := json.Unmarshal([]byte(kept), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(saved, &b); err != nil {
		t.Fatal(err)
	}
	if a != b || a.Jobs == 0 {
		t.Errorf("the page holds %+v, the report %+v", a, b)
	}
}
