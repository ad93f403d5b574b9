//go:build !linux

package harden

import "errors"

var errNotLinux = errors.New("only Linux has it")

func process() (r Report) {
	for _, what := range []string{"no_new_privs", "no core dumps", "umask 077", "descriptors"} {
		r.note(what, errNotLinux)
	}
	return r
}

func landlockSupport() error { return errNotLinux }

func confine(Paths) (r Report) {
	r.note("landlock", errNotLinux)
	return r
}
