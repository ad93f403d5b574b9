package permission

import (
	"errors"
	"fmt"
	"strings"

	"boxfleet/limits"
)

// Policy is an operator's rules about levels. The zero value is what a worker
// has whose operator set none.
type Policy struct {
	// MaxLevel is the highest level that may run; Execute when empty. Setting
	// it to Dangerous is how an operator permits dangerous tools.
	MaxLevel Level
	// Unregistered is the level of a module without a manifest, or whose
	// manifest names none; Execute when empty: a module that nobody described
	// is arbitrary code. Forbidden refuses such modules.
	Unregistered Level
	// Tenants are the ceilings of single tenants.
	Tenants map[string]Ceiling
}

// Ceiling is what one tenant may use, below what the worker allows anyway.
type Ceiling struct {
	MaxLevel Level // empty: the policy's own
	Tier     Tier  // empty: TierFull
}

// Anything is the policy of a caller that does not know the worker's: it checks
// what a level itself demands and leaves the ceilings to the worker.
var Anything = Policy{MaxLevel: Dangerous, Unregistered: Execute}

// ParseCeiling reads a tenant's ceiling: the name of a level, or of a tier.
func ParseCeiling(s string) (Ceiling, error) {
	if l, err := ParseLevel(s); err == nil {
		return Ceiling{MaxLevel: l}, nil
	}
	if t, err := ParseTier(s); err == nil {
		return Ceiling{Tier: t}, nil
	}
	return Ceiling{}, fmt.Errorf("%q is neither a permission level (%s) nor a tier (%s)", s, names(Levels), names(Tiers))
}

// WithDefaults fills what is empty.
func (p Policy) WithDefaults() Policy {
	if p.MaxLevel == "" {
		p.MaxLevel = Execute
	}
	if p.Unregistered == "" {
		p.Unregistered = Execute
	}
	return p
}

// Validate names the setting that cannot be.
func (p Policy) Validate() error {
	p = p.WithDefaults()
	var errs []error
	if !p.MaxLevel.Known() || p.MaxLevel == Forbidden {
		errs = append(errs, fmt.Errorf("max level %q: use one of %s", p.MaxLevel, names(Levels[:len(Levels)-1])))
	}
	if !p.Unregistered.Known() {
		errs = append(errs, fmt.Errorf("level of unregistered modules %q: use one of %s", p.Unregistered, names(Levels)))
	}
	for tenant, c := range p.Tenants {
		if c.MaxLevel != "" && !c.MaxLevel.Known() {
			errs = append(errs, fmt.Errorf("level of tenant %s %q: use one of %s", tenant, c.MaxLevel, names(Levels)))
		}
	}
	return errors.Join(errs...)
}

// Denial is one thing a job may not have, and why.
type Denial struct {
	// Rule identifies the rule, such as level.read_only.writes. The rules and
	// their names are listed in docs/tools.md.
	Rule string
	// Field is what asked for it: a RunOption's JSON path such as
	// map_dirs[0].mode, or "tool" when the tool itself may not run.
	Field string
	// Value is what was asked for.
	Value string
	// Reason says why it is denied, Remedy what to do instead.
	Reason, Remedy string
}

// String is the denial as one line.
func (d Denial) String() string {
	return fmt.Sprintf("%s: %s: %s; %s [rule %s]", d.Field, d.Value, d.Reason, d.Remedy, d.Rule)
}

// DeniedError is a refusal for one or more reasons.
type DeniedError struct {
	Tool    string // as a person names it
	Denials []Denial
}

func (e *DeniedError) Error() string {
	lines := make([]string, len(e.Denials))
	for i, d := range e.Denials {
		lines[i] = fmt.Sprintf("tool %s: %s", e.Tool, d)
	}
	return strings.Join(lines, "\n")
}

// Request is a tool that is to run, and what the job grants it.
type Request struct {
	// Level of the tool by its manifest; empty when there is none.
	Level Level
	// Tool is what the denials call it, NAME@VERSION; may be empty.
	Tool string
	// Tenant is whose job it is; "" matches no tenant's ceiling.
	Tenant string
	// Tier of the agent that asks; empty is TierFull.
	Tier Tier
	// Options are what the job grants. Nil asks only whether the tool may run
	// at all, given consent to a dangerous one.
	Options *limits.RunOption
}

// Check lists everything that the rules deny, the tool itself first. None means
// that the job may run.
func (p Policy) Check(r Request) []Denial {
	p = p.WithDefaults()
	c := checker{request: r, level: r.Level}
	if c.level == "" {
		c.level = p.Unregistered
	}
	c.tool(p)
	if r.Options != nil {
		c.grants(r.Options)
	}
	return c.out
}

// Offers tells whether a tool of level l may be shown to an agent as one it can
// call: whether some job of it could pass. consent tells whether the agent's
// jobs carry allow_dangerous.
func (p Policy) Offers(l Level, t Tier, tenant string, consent bool) bool {
	return len(p.Check(Request{Level: l, Tier: t, Tenant: tenant, Options: &limits.RunOption{AllowDangerous: consent}})) == 0
}
