package main

import (
	"slices"
	"strings"
	"testing"
)

func TestPlace(t *testing.T) {
	const quiet = " --log-level=warning"
	for given, want := range map[string]string{
		"":                               quiet,
		"a.ts --bundle":                  "a.ts --bundle" + quiet,
		"--entry=a.ts --entry=-b.ts":     "a.ts ./-b.ts" + quiet,
		"--define=A=B=1 --define:C=2":    "--define:A=B=1 --define:C=2" + quiet,
		"--external=*.png":               "--external:*.png" + quiet,
		"--loader=ts --loader=.txt=text": "--loader=ts --loader:.txt=text" + quiet,
		"--log-level=info a.ts":          "--log-level=info a.ts",
	} {
		if got := place(strings.Fields(given)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%q becomes %q: want %q", given, got, want)
		}
	}
}

func TestWaits(t *testing.T) {
	for arg, want := range map[string]bool{
		"--serve": true, "--serve=8000": true, "--servedir=/": true, "--serve-fallback=x": true,
		"--watch": true, "--watch=forever": true, "--watch=false": false,
		"--bundle": false, "--define:serve=1": false, "serve": false, "--watch-delay=5": false,
	} {
		if waits(arg) != want {
			t.Errorf("waits(%q) is %v", arg, !want)
		}
	}
}
