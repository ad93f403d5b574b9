// Package browsertest opens boxfleet's pages in headless Chromium: the load test's report and the dashboard,
// made by the built programs as a user starts them. It is a module of its own, so that neither the product nor
// its tests need a browser.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience is how long a page may take to show what a test waits for; it decides nothing but when a broken
// page is given up.
const patience = 3 * time.Minute

// chromium gives the path of the browser: $CHROMIUM, or Debian's, or what PATH has.
func chromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium found: install Debian's package chromium, or give its path in CHROMIUM")
	return ""
}

// newTab starts a browser with an empty profile and gives the context of its one tab, of width x height CSS
// pixels. The browser resolves no name and reaches nothing but loopback, so a page that wants the network shows.
func newTab(t *testing.T, width, height int) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(width, height),
		chromedp.NoSandbox, // CI runs as root, where Chromium's own sandbox does not start
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("no-first-run", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	alloc, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	tab, closeTab := chromedp.NewContext(alloc)
	t.Cleanup(closeTab)
	// The first call starts the browser, which lives as long as that call's context.
	if err := chromedp.Do(tab, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	limited, cancel := context.WithTimeout(tab, patience)
	t.Cleanup(cancel)
	return limited
}

// program gives the path of a built program of boxfleet (make build).
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	return path
}

// TestBrowser is the check that the browser itself works, so that a failure elsewhere is the page's.
func TestBrowser(t *testing.T) {
	tab := newTab(t, 800, 600)
	if err := chromedp.Do(tab, chromedp.Navigate("data:text/html,<title>one</title>")); err != nil {
		t.Fatal(err)
	}
	title, err := chromedp.Run(tab, chromedp.Title())
	if err != nil {
		t.Fatal(err)
	}
	if title != "one" {
		t.Errorf("title %q, want one", title)
	}
	_ = program(t, "submit")
}
