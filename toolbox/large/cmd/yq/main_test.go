package main

import (
	"slices"
	"strings"
	"testing"
)

func TestPlace(t *testing.T) {
	for given, want := range map[string]string{
		"":                            "",
		".a":                          ".a",
		".a x.yaml -o json":           ".a x.yaml -o json",
		"--expression=.a":             "--expression=.a -",
		"--expression=.a --file=x":    "--expression=.a x",
		"--file=x --expression=.a":    "--expression=.a x",
		"--file=-x --expression=.a":   "--expression=.a ./-x",
		"--file=-":                    "-",
		"--expression=1 -n":           "--expression=1 -n",
		"--expression=1 --null-input": "--expression=1 --null-input",
		"--expression=.a x.yaml":      "--expression=.a x.yaml",
		"--expression=.a -":           "--expression=.a -",
		"--all --file=x --file=y --expression=select(fi==0)": "eval-all --expression=select(fi==0) x y",
		"--unwrap-scalar --pretty-print --expression=.":      "--unwrapScalar --prettyPrint --expression=. -",
		"--expression=.a -- --file=x":                        "--expression=.a -- --file=x",
		"eval-all .a x y":                                    "eval-all .a x y",
	} {
		if got := place(strings.Fields(given)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%q becomes %q: want %q", given, got, want)
		}
	}
}
