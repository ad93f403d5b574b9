package permission

import (
	"fmt"
	"slices"
	"strings"

	"boxfleet/limits"
)

// checker collects the denials of one request.
type checker struct {
	request Request
	level   Level
	out     []Denial
}

func (c *checker) deny(rule, field, value, reason, remedy string) {
	c.out = append(c.out, Denial{Rule: rule, Field: field, Value: value, Reason: reason, Remedy: remedy})
}

// tool judges whether the tool may run at all.
func (c *checker) tool(p Policy) {
	value := "level " + string(c.level)
	if c.request.Tool != "" {
		value += " of " + c.request.Tool
	}
	if c.request.Level == "" {
		value += " (nobody has registered this module with a level)"
	}
	deny := func(rule, reason, remedy string) { c.deny(rule, "tool", value, reason, remedy) }
	if !c.level.Known() {
		deny("level.unknown", "this program knows no such level, so it grants nothing", "register the tool with one of "+names(Levels))
		return
	}
	if c.level == Forbidden {
		deny("level.forbidden", "a forbidden tool never runs", "use another tool, or have a version registered with the level it needs")
		return
	}
	if c.level.Above(p.MaxLevel) {
		deny("operator.max-level", fmt.Sprintf("the operator lets tools run up to level %s", p.MaxLevel), "use a tool of a lower level, or have the operator raise max-level")
	}
	ceiling := p.Tenants[c.request.Tenant]
	if c.request.Tenant == "" {
		ceiling = Ceiling{}
	}
	if m := ceiling.MaxLevel; m != "" && c.level.Above(m) {
		deny("tenant.max-level", fmt.Sprintf("tenant %s may use tools up to level %s", c.request.Tenant, m), "use a tool of a lower level, or have the operator raise tenant-levels")
	}
	c.tier(ceiling.Tier, "tenant "+c.request.Tenant, "have the operator raise tenant-levels", deny)
	c.tier(c.request.Tier, "this agent", "start the agent with a higher tier", deny)
	if c.level == Dangerous && c.request.Options != nil && !c.request.Options.AllowDangerous {
		deny("level.dangerous.consent", "a dangerous tool runs only with explicit consent", "give --allow-dangerous (allow_dangerous: true in the options) if you mean it")
	}
}

func (c *checker) tier(t Tier, who, remedy string, deny func(rule, reason, remedy string)) {
	switch t {
	case "", TierFull:
	case TierReadOnly:
		if c.level.Above(ReadOnly) {
			deny("tier.read-only", who+" may use tools of level none and read_only only", "use such a tool, or "+remedy)
		}
	case TierSearchOnly:
		deny("tier.search-only", who+" may look tools up and run none", remedy)
	default:
		deny("tier.unknown", fmt.Sprintf("tier %q of %s is not known, so it allows nothing", t, who), "use one of "+names(Tiers))
	}
}

// grants judges each thing the job grants the tool.
func (c *checker) grants(o *limits.RunOption) {
	if c.level == Forbidden || !c.level.Known() {
		return // it does not run: what it would be granted says nothing more
	}
	mayRead, mayWrite := c.level.Above(None), c.level.Above(ReadOnly)
	who := "a tool of level " + string(c.level)
	if c.request.Tool != "" {
		who = c.request.Tool + ", of level " + string(c.level) + ","
	}
	mount := func(field string, m *limits.Mount) {
		switch {
		case m.Mode == limits.ReadWrite && !mayWrite:
			c.deny("level."+string(c.level)+".writes", field+".mode", string(m.Mode),
				who+" changes nothing, so it gets no directory whose changes are kept",
				"use mode ro, or scratch to let it write and throw that away, or a tool of level write")
		case m.Source != "" && !mayRead:
			c.deny("level."+string(c.level)+".files", field+".source", m.Source,
				who+" sees no files",
				"pass the data by arguments or standard input, or use a tool of level read_only")
		}
	}
	if o.WorkDir != nil {
		mount("work_dir", o.WorkDir)
	}
	for i := range o.MapDirs {
		mount(fmt.Sprintf("map_dirs[%d]", i), &o.MapDirs[i])
	}
	if mayRead {
		return
	}
	if len(o.AllowedOutboundHosts) > 0 {
		c.deny("level."+string(c.level)+".network", "allowed_outbound_hosts", strings.Join(o.AllowedOutboundHosts, " "),
			who+" has no network",
			"leave the hosts out, or use a tool of level read_only")
	}
	var secrets []string
	for name, value := range o.EnvVars {
		if strings.HasPrefix(value, limits.SecretPrefix) {
			secrets = append(secrets, name)
		}
	}
	slices.Sort(secrets)
	for _, name := range secrets {
		c.deny("level."+string(c.level)+".secrets", "env_vars."+name, o.EnvVars[name],
			who+" gets no secrets",
			"leave the variable out, or use a tool of level read_only")
	}
}

// SafeMethods names the rule by which a tool may use only the HTTP methods that
// change nothing (RFC 9110, section 9.2.1), or "" when it may use all. The host
// refuses the others when the guest tries them: a RunOption does not name
// methods.
func (p Policy) SafeMethods(l Level) string {
	if l == "" {
		l = p.WithDefaults().Unregistered
	}
	if l.Above(ReadOnly) {
		return ""
	}
	return "level." + string(l) + ".methods"
}
