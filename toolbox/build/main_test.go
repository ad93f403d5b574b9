package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	tests := []struct {
		args         []string
		code         int
		stdout, says string // regular expressions
	}{
		{[]string{"--dir=..", "--only=noop,noop-go"}, 0, `^((fresh|built)   noop +50 B.*\n|(fresh|built)   noop-go +1\.\d MB.*\n){2}$`, `^$`},
		{[]string{"--dir=..", "--only=nothing"}, 1, `^$`, `^build: no tool named "nothing": want one of cat, `},
		{[]string{"--dir=/nowhere"}, 1, `^$`, `^build: `},
		{[]string{"--bogus"}, 2, `^$`, `bogus`},
	}
	for _, test := range tests {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), test.args, &stdout, &stderr)
		if code != test.code || !regexp.MustCompile(test.stdout).MatchString(stdout.String()) || !regexp.MustCompile(test.says).MatchString(stderr.String()) {
			t.Errorf("%s: code %d, printed %q, said %q", strings.Join(test.args, " "), code, stdout.String(), stderr.String())
		}
	}
}
