package doctest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// documents are README.md and everything in docs/.
func documents(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(repo + "/docs/*.md")
	if err != nil || len(list) < 10 {
		t.Fatalf("%d documents, %v", len(list), err)
	}
	return append([]string{repo + "/README.md"}, list...)
}

// atOnce bounds the documents that run beside each other.
var atOnce = make(chan struct{}, 3)

// TestDocuments runs what the documents show, and parses what cannot be run.
func TestDocuments(t *testing.T) {
	var mu sync.Mutex
	var table []string
	t.Run("all", func(t *testing.T) {
		for _, path := range documents(t) {
			t.Run(filepath.Base(path), func(t *testing.T) {
				t.Parallel()
				atOnce <- struct{}{}
				defer func() { <-atOnce }()
				row := document(t, path)
				mu.Lock()
				table = append(table, row...)
				mu.Unlock()
			})
		}
	})
	slices.Sort(table)
	t.Logf("what was done with the commands of each document:\n%s", strings.Join(table, "\n"))
}

// document tests one file and gives its rows of the report.
func document(t *testing.T, path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(path)
	d, err := Read(name, string(text))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Plan(d, rig.checks)
	if err != nil {
		t.Errorf("commands that are not right:\n%v", err)
		return nil
	}
	rows := report(name, steps)
	if !slices.ContainsFunc(steps, func(s Step) bool { return s.Run }) {
		return rows
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 4*time.Minute, fmt.Errorf("four minutes are over"))
	defer cancel()
	dir := clone(t)
	r := &Runner{Dir: dir, Own: t.TempDir(), Env: append(slices.Clone(rig.env),
		"PATH="+filepath.Join(dir, ".shims")+":"+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"),
		"REPO="+absolute(t, repo), "BOXFLEET_TENANT="+strings.ToLower(strings.TrimSuffix(name, ".md")))}
	if err := r.Run(ctx, name, steps); err != nil {
		t.Error(err)
	}
	return rows
}

func report(name string, steps []Step) []string {
	ran, parsed := 0, map[string]int{}
	for _, s := range steps {
		if s.Run {
			ran += s.Ours
		} else {
			parsed[s.Reason] += s.Ours + s.Others
		}
	}
	rows := []string{fmt.Sprintf("%-22s %3d run", name, ran)}
	for reason, n := range parsed {
		rows = append(rows, fmt.Sprintf("%-22s %3d parsed: %s", name, n, reason))
	}
	return rows
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// clone makes what a reader has in front of them: the repository, built.
func clone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"docs", "toolbox/testdata", "toolbox/tools", "toolbox/large/tools", "scripts"} {
		check(os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(repo, name))))
	}
	check(os.Symlink(filepath.Join(absolute(t, repo), "toolbox/dist"), filepath.Join(dir, "toolbox/dist")))
	for _, name := range []string{"README.md", "Makefile"} {
		data, err := os.ReadFile(filepath.Join(repo, name))
		check(err)
		check(os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	for _, sub := range []string{"bin", ".shims"} {
		check(os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	for _, name := range []string{"submit", "devs3", "loadtest", "chaos"} {
		check(os.Symlink(filepath.Join(rig.bin, name), filepath.Join(dir, "bin", name)))
	}
	script := func(path, text string) {
		check(os.WriteFile(filepath.Join(dir, path), []byte("#!/bin/sh\n"+text), 0o755))
	}
	// One fleet serves all documents: `worker dev` says what it said.
	script("bin/worker", fmt.Sprintf("[ \"$1\" != dev ] || exec cat '%s/fleet.out'\nexec '%s/worker' \"$@\"\n", rig.dir, rig.bin))
	// Targets were checked; what they make is there.
	script(".shims/make", "exit 0\n")
	return dir
}
