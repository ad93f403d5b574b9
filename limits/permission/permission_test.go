package permission

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"boxfleet/limits"
)

// grants are the things a job may grant, each alone, and from which level on a
// tool may have it ("" for none at all).
var grants = []struct {
	name, rule string
	from       Level
	options    limits.RunOption
}{
	{"nothing", "", None, limits.RunOption{}},
	{"amounts", "", None, limits.RunOption{WasmFuel: 1, MaxFiles: 9, Deterministic: true}},
	{"plain env", "", None, limits.RunOption{EnvVars: map[string]string{"A": "b"}}},
	{"empty scratch", "", None, limits.RunOption{MapDirs: []limits.Mount{{Guest: "/tmp", Mode: limits.Scratch}}}},
	{"blocks only", "", None, limits.RunOption{BlockURL: []string{"https://x/"}, BlockNetworks: []string{"private"}}},
	{"ro work dir", "files", ReadOnly, limits.RunOption{WorkDir: &limits.Mount{Source: "s3://b/in/"}}},
	{"ro map dir", "files", ReadOnly, limits.RunOption{MapDirs: []limits.Mount{{Source: "s3://b/in/", Guest: "/in", Mode: limits.ReadOnly}}}},
	{"scratch with a source", "files", ReadOnly, limits.RunOption{WorkDir: &limits.Mount{Source: "s3://b/in/", Mode: limits.Scratch}}},
	{"secret", "secrets", ReadOnly, limits.RunOption{EnvVars: map[string]string{"T": "secret://token"}}},
	{"network", "network", ReadOnly, limits.RunOption{AllowedOutboundHosts: []string{"https://example.com"}}},
	{"rw work dir", "writes", Write, limits.RunOption{WorkDir: &limits.Mount{Source: "s3://b/in/", Mode: limits.ReadWrite}}},
	{"empty rw", "writes", Write, limits.RunOption{MapDirs: []limits.Mount{{Guest: "/out", Mode: limits.ReadWrite}}}},
	{"published output", "writes", Write, limits.RunOption{MapDirs: []limits.Mount{{Guest: "/out", Mode: limits.ReadWrite, Output: "s3://b/out/"}}}},
}

// TestLevelGrantTier holds every level against every grant, tier, operator's
// ceiling, and with and without consent, to the rules as docs/tools.md words
// them: exactly the rules that must deny do.
func TestLevelGrantTier(t *testing.T) {
	cases := 0
	for _, level := range append([]Level{""}, Levels...) {
		for _, g := range grants {
			for _, tier := range append([]Tier{""}, Tiers...) {
				for _, max := range []Level{"", None, ReadOnly, Write, Execute, Dangerous} {
					for _, consent := range []bool{false, true} {
						cases++
						o := g.options
						o.AllowDangerous = consent
						var want []string
						acts := level
						if level == "" {
							acts = Execute // unregistered, by default
						}
						ceiling := max
						if max == "" {
							ceiling = Execute
						}
						rank := func(l Level) int { return slices.Index(Levels, l) }
						if acts == Forbidden {
							want = append(want, "level.forbidden")
						} else {
							if rank(acts) > rank(ceiling) {
								want = append(want, "operator.max-level")
							}
							if tier == TierReadOnly && rank(acts) > rank(ReadOnly) {
								want = append(want, "tier.read-only")
							}
							if tier == TierSearchOnly {
								want = append(want, "tier.search-only")
							}
							if acts == Dangerous && !consent {
								want = append(want, "level.dangerous.consent")
							}
							if rank(acts) < rank(g.from) {
								want = append(want, "level."+string(acts)+"."+g.rule)
							}
						}
						denials := Policy{MaxLevel: max}.Check(Request{Level: level, Tier: tier, Options: &o})
						if got := rules(denials); !slices.Equal(got, want) {
							t.Errorf("level %q, %s, tier %q, max %q, consent %v: rules %v, want %v", level, g.name, tier, max, consent, got, want)
						}
						for _, d := range denials {
							if d.Field == "" || d.Value == "" || d.Reason == "" || d.Remedy == "" {
								t.Errorf("a denial leaves something out: %+v", d)
							}
						}
					}
				}
			}
		}
	}
	t.Logf("%d cases", cases)
}

func rules(denials []Denial) (out []string) {
	for _, d := range denials {
		out = append(out, d.Rule)
	}
	return out
}

func TestTenants(t *testing.T) {
	p := Policy{MaxLevel: Dangerous, Tenants: map[string]Ceiling{
		"web": {MaxLevel: ReadOnly}, "look": {Tier: TierSearchOnly}, "read": {Tier: TierReadOnly}, "all": {MaxLevel: Dangerous}, "odd": {Tier: "superuser"},
	}}
	for _, tc := range []struct {
		tenant, want string
		level        Level
	}{
		{"web", "", ReadOnly}, {"web", "tenant.max-level", Write}, {"web", "tenant.max-level", Dangerous},
		{"look", "tier.search-only", None}, {"read", "", None}, {"read", "tier.read-only", Write},
		{"all", "", Dangerous}, {"other", "", Dangerous}, {"", "", Execute}, {"odd", "tier.unknown", None},
		{"web", "tenant.max-level", ""}, // a module nobody described is arbitrary code
	} {
		got := rules(p.Check(Request{Level: tc.level, Tenant: tc.tenant, Options: &limits.RunOption{AllowDangerous: true}}))
		if strings.Join(got, " ") != tc.want {
			t.Errorf("tenant %q, level %q: %v, want %q", tc.tenant, tc.level, got, tc.want)
		}
	}
	// The worker's ceiling holds for a tenant that is given more.
	if got := rules(Policy{Tenants: p.Tenants}.Check(Request{Level: Dangerous, Tenant: "all"})); !slices.Equal(got, []string{"operator.max-level"}) {
		t.Errorf("a tenant's ceiling above the worker's: %v", got)
	}
}

func TestUnknownLevelGrantsNothing(t *testing.T) {
	for _, l := range []Level{"root", "READ_ONLY", "read_only ", "\x00"} {
		if got := rules(Anything.Check(Request{Level: l})); !slices.Equal(got, []string{"level.unknown"}) {
			t.Errorf("level %q: %v", l, got)
		}
		if _, err := ParseLevel(string(l)); err == nil {
			t.Errorf("level %q was read", l)
		}
	}
	p := Policy{Unregistered: Forbidden}
	if got := rules(p.Check(Request{})); !slices.Equal(got, []string{"level.forbidden"}) {
		t.Errorf("an unregistered module: %v", got)
	}
}

func TestSafeMethods(t *testing.T) {
	for level, want := range map[Level]string{
		None: "level.none.methods", ReadOnly: "level.read_only.methods", Write: "", Execute: "", Dangerous: "", "": "",
	} {
		if got := (Policy{}).SafeMethods(level); got != want {
			t.Errorf("level %q: %q, want %q", level, got, want)
		}
	}
	if got := (Policy{Unregistered: ReadOnly}).SafeMethods(""); got != "level.read_only.methods" {
		t.Errorf("an unregistered module: %q", got)
	}
}

func TestOffers(t *testing.T) {
	for _, tc := range []struct {
		level   Level
		tier    Tier
		consent bool
		want    bool
	}{
		{None, TierFull, false, true}, {Execute, TierFull, false, true}, {Dangerous, TierFull, false, false}, {Dangerous, TierFull, true, true},
		{Forbidden, TierFull, true, false}, {ReadOnly, TierReadOnly, false, true}, {Write, TierReadOnly, false, false}, {None, TierSearchOnly, false, false},
		{"", TierReadOnly, true, false}, {"", TierFull, false, true},
	} {
		if got := Anything.Offers(tc.level, tc.tier, "", tc.consent); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestPolicyValidate(t *testing.T) {
	for _, p := range []Policy{
		{MaxLevel: Forbidden}, {MaxLevel: "root"}, {Unregistered: "x"}, {Tenants: map[string]Ceiling{"a": {MaxLevel: "y"}}},
	} {
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	if err := (Policy{Tenants: map[string]Ceiling{"a": {Tier: TierReadOnly}}}).Validate(); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{"read_only": "{read_only }", "read-only": "{ read-only}", "search-only": "{ search-only}"} {
		if c, err := ParseCeiling(text); err != nil || fmt.Sprint(c) != want {
			t.Errorf("%s: %v, %v", text, c, err)
		}
	}
	if _, err := ParseCeiling("everything"); err == nil {
		t.Error("a ceiling that is none was read")
	}
}

func TestDenialsNameRuleFieldAndValue(t *testing.T) {
	err := &DeniedError{Tool: "grep@1.0.0", Denials: Policy{}.Check(Request{Level: ReadOnly, Options: &limits.RunOption{
		MapDirs: []limits.Mount{{Guest: "/in", Source: "s3://b/"}, {Guest: "/out", Mode: limits.ReadWrite}},
	}})}
	for _, want := range []string{"tool grep@1.0.0", "map_dirs[1].mode: rw", "changes nothing", "scratch", "[rule level.read_only.writes]"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q says no %q", err, want)
		}
	}
}
