package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
)

// TestRun needs neither npm nor a long link: it asks for what fails early. The
// modules themselves are built before the tests of the fleet.
func TestRun(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no go command, no npm
	out := "--out=" + t.TempDir()
	tests := []struct {
		args         []string
		code         int
		stdout, says string // regular expressions
	}{
		{[]string{"--bogus"}, 2, `^$`, `bogus`},
		{[]string{"--dir=..", out}, 1, `^$`, `^build: .*"go": executable file not found`},
		{[]string{"--dir=..", out, "--quiet=false"}, 1, `^building what is out of date`, `^build: `},
	}
	for _, test := range tests {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), test.args, &stdout, &stderr)
		if code != test.code || !regexp.MustCompile(test.stdout).MatchString(stdout.String()) || !regexp.MustCompile(test.says).MatchString(stderr.String()) {
			t.Errorf("%s: code %d, printed %q, said %q", strings.Join(test.args, " "), code, stdout.String(), stderr.String())
		}
	}
}
