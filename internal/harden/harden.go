// Package harden takes from the worker's own process what it does not need, so
// that a mistake in it, or in the engine that runs guests, reaches less.
//
// It is the second wall: guests are kept in by the sandbox (package executor).
// Process is called first thing, Confine once every directory exists and every
// file of settings has been read. Both say what is on and what the system
// lacks. Nothing here can be undone while the process lives.
package harden

import (
	"errors"
	"fmt"
	"strings"
)

// Mode is how much an operator insists.
type Mode string

// The modes.
const (
	On      Mode = "on"      // what the system has
	Require Mode = "require" // all of it, or the worker does not start
	Off     Mode = "off"     // nothing
)

// ParseMode reads a mode from settings.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case On, Require, Off:
		return m, nil
	}
	return "", fmt.Errorf("%q is none of on, require, off", s)
}

// Report says what is on.
type Report struct {
	On      []string
	Missing []string // with the reason
}

func (r *Report) note(what string, err error) {
	if err != nil {
		r.Missing = append(r.Missing, fmt.Sprintf("%s (%v)", what, err))
		return
	}
	r.On = append(r.On, what)
}

// add joins the report of another step.
func (r *Report) add(o Report) {
	r.On, r.Missing = append(r.On, o.On...), append(r.Missing, o.Missing...)
}

// Join gives the reports of several steps as one.
func Join(reports ...Report) (all Report) {
	for _, r := range reports {
		all.add(r)
	}
	return all
}

// ErrMissing says that a hardening that was required cannot be had.
var ErrMissing = errors.New("required hardening is missing")

// judge makes an error of what is missing when all is required.
func (r Report) judge(m Mode) error {
	if m != Require || len(r.Missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s; run on Linux 6.2 or later with Landlock among its security modules (lsm=), or set hardening to on", ErrMissing, strings.Join(r.Missing, ", "))
}

// Paths are what a confined process may still reach in the file system, beside
// what Go and TLS need on any machine. Those that do not exist are left out.
type Paths struct {
	ReadWrite []string // directories; nothing in them can be executed
	ReadOnly  []string // files and directories
}

// Process hardens what concerns the process as a whole: no new privileges, no
// core dumps, nothing for others to read or to trace, all descriptors the
// system grants. With Require it fails also when Confine could not do its part,
// so that a worker does not start for nothing.
func Process(m Mode) (Report, error) {
	if m == Off {
		return Report{}, nil
	}
	r := process()
	missing := r
	missing.note("landlock", landlockSupport())
	return r, missing.judge(m)
}

// Confine keeps the process to paths from now on. Open files stay open, and
// the network is not concerned.
func Confine(m Mode, p Paths) (Report, error) {
	if m == Off {
		return Report{}, nil
	}
	r := confine(p)
	return r, r.judge(m)
}
