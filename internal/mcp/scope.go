package mcp

import (
	"fmt"
	"slices"
	"strings"

	"boxfleet/jobs"
	"boxfleet/limits"
	"boxfleet/limits/permission"
)

// Scope is what the operator of a server lets its agents see and call. The
// zero value is every tool up to level execute.
type Scope struct {
	// Tier of the agents.
	Tier permission.Tier
	// MaxLevel is the highest level that is offered; empty: execute, or
	// dangerous when AllowDangerous is set.
	MaxLevel permission.Level
	// AllowDangerous is the operator's consent to dangerous tools, given with
	// every job.
	AllowDangerous bool
	// Tools are the references that are offered, NAME, NAME@VERSION or
	// NAME@CHANNEL; empty: the newest version of every tool.
	Tools []string
	// Keywords limits the tools to those that have one of them.
	Keywords []string
}

// Validate says which part cannot be.
func (sc Scope) Validate() error {
	if sc.Tier != "" {
		if _, err := permission.ParseTier(string(sc.Tier)); err != nil {
			return err
		}
	}
	if sc.MaxLevel == permission.Dangerous && !sc.AllowDangerous {
		return fmt.Errorf("max level %s: dangerous tools need your consent as well; allow them explicitly, or lower the level", sc.MaxLevel)
	}
	if err := sc.policy().Validate(); err != nil {
		return err
	}
	for _, ref := range sc.Tools {
		name, version, pinned := strings.Cut(ref, "@")
		if !jobs.ValidToolName(name) || pinned && !jobs.ValidToolVersion(version) {
			return fmt.Errorf("tool %q: write NAME, NAME@VERSION or NAME@CHANNEL", ref)
		}
	}
	return nil
}

func (sc Scope) policy() permission.Policy {
	p := permission.Policy{MaxLevel: sc.MaxLevel}
	if p.MaxLevel == "" && sc.AllowDangerous {
		p.MaxLevel = permission.Dangerous
	}
	return p
}

// check lists what the scope denies a tool of this level that gets these
// options.
func (sc Scope) check(m *jobs.Manifest, o *limits.RunOption) []permission.Denial {
	return sc.policy().Check(permission.Request{Level: permission.Level(m.Level), Tool: m.Name, Tier: sc.Tier, Options: o})
}

// matches tells whether a tool has one of the scope's keywords.
func (sc Scope) matches(m *jobs.Manifest) bool {
	if len(sc.Keywords) == 0 {
		return true
	}
	return slices.ContainsFunc(m.Keywords, func(k string) bool {
		return slices.ContainsFunc(sc.Keywords, func(want string) bool { return strings.EqualFold(k, want) })
	})
}

// grant is the most of what the operator offers that a tool of this level may
// have: a work directory to change becomes one to read, then none; hosts and
// secrets are left out of a tool that only computes. Hosts are given to tools
// that can use them, so that a result never lists a grant without meaning.
//
// What is left out here is what the worker would refuse the whole job for.
func (sc Scope) grant(m *jobs.Manifest, o limits.RunOption, work *limits.Mount) limits.RunOption {
	allowed := func(part limits.RunOption) bool {
		part.AllowDangerous = o.AllowDangerous
		for _, d := range sc.check(m, &part) {
			if d.Field != "tool" {
				return false
			}
		}
		return true
	}
	if work != nil {
		for _, mode := range weaker(work.Mode) {
			try := *work
			if try.Mode = mode; mode != limits.ReadWrite {
				try.Output = ""
			}
			if allowed(limits.RunOption{WorkDir: &try}) {
				o.WorkDir = &try
				break
			}
		}
	}
	var mounts []limits.Mount
	for _, mount := range o.MapDirs {
		if allowed(limits.RunOption{MapDirs: []limits.Mount{mount}}) {
			mounts = append(mounts, mount)
		}
	}
	o.MapDirs = mounts
	var env map[string]string
	for name, value := range o.EnvVars {
		if allowed(limits.RunOption{EnvVars: map[string]string{name: value}}) {
			if env == nil {
				env = map[string]string{}
			}
			env[name] = value
		}
	}
	o.EnvVars = env
	if !networked(m) || !allowed(limits.RunOption{AllowedOutboundHosts: o.AllowedOutboundHosts}) {
		o.AllowedOutboundHosts, o.BlockURL, o.BlockNetworks = nil, nil, nil
	}
	return o
}

// weaker lists the modes that give no more than mode, strongest first.
func weaker(mode limits.Mode) []limits.Mode {
	switch mode {
	case limits.ReadWrite:
		return []limits.Mode{limits.ReadWrite, limits.ReadOnly}
	case limits.Scratch:
		return []limits.Mode{limits.Scratch}
	}
	return []limits.Mode{limits.ReadOnly}
}

// networked tells whether a tool can reach out at all: whether it imports
// wasi:http.
func networked(m *jobs.Manifest) bool {
	return slices.ContainsFunc(m.Imports, func(i string) bool { return strings.HasPrefix(i, "wasi:http/") })
}
