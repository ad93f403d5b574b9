package netpolicy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// Bounds of a policy's lists. A job carries the lists in its message, so they are small.
const (
	MaxEntries  = 256  // per list
	MaxEntryLen = 2048 // bytes
)

// Policy says where one job may connect to. It does not change after Parse and is safe for concurrent use. A nil
// Policy denies everything.
type Policy struct {
	allow []allowRule
	urls  []urlRule
	nets  []netRule
	opts  Options
}

// Options are a worker's own settings. No field of a job reaches them.
type Options struct {
	// AllowPrivate lifts the default block of private networks altogether. For development against loopback.
	AllowPrivate bool
	// AllowNetworks lifts the default block for these networks only.
	AllowNetworks []netip.Prefix
}

// Decision is an answer with its ground. The zero value denies.
type Decision struct {
	Allowed bool
	Rule    string // the rule that decided: a field, its index and entry, or "private"
	Reason  string // in words, for people
}

// Parse reads the three fields. It returns one *EntryError per bad entry, joined, and no policy if there is any: a
// policy that silently lost an entry would be another policy.
func Parse(allow, blockURL, blockNetworks []string) (*Policy, error) {
	p := &Policy{}
	var errs []error
	errs = parseList(errs, FieldAllow, allow, allowFix, parseAllow, func(r allowRule, text string) {
		r.text = text
		p.allow = append(p.allow, r)
	})
	errs = parseList(errs, FieldBlockURL, blockURL, blockURLFix, parseBlockURL, func(r urlRule, text string) {
		r.text = text
		p.urls = append(p.urls, r)
	})
	errs = parseList(errs, FieldBlockNetworks, blockNetworks, blockNetworksFix, parseBlockNetwork, func(r netRule, text string) {
		r.text = text
		p.nets = append(p.nets, r)
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

func parseList[R any](errs []error, field string, entries []string, fix string, parse func(string) (R, error), add func(R, string)) []error {
	if len(entries) > MaxEntries {
		return append(errs, &EntryError{field, MaxEntries, shorten(entries[MaxEntries]), fmt.Sprintf("is one of %d entries", len(entries)), "at most 256 are taken; use wildcards or networks"})
	}
	for i, entry := range entries {
		if len(entry) > MaxEntryLen {
			errs = append(errs, &EntryError{field, i, shorten(entry), "is longer than 2048 bytes", fix})
			continue
		}
		rule, err := parse(entry)
		if err != nil {
			errs = append(errs, &EntryError{field, i, shorten(entry), err.Error(), fix})
			continue
		}
		add(rule, field+"["+strconv.Itoa(i)+"] "+strconv.Quote(entry))
	}
	return errs
}

// WithOptions gives the same policy under a worker's settings.
func (p *Policy) WithOptions(o Options) *Policy {
	if p == nil {
		return nil
	}
	q := *p
	q.opts = o
	return &q
}

// Empty holds when nothing can be allowed. Then not even a name is looked up.
func (p *Policy) Empty() bool { return p == nil || len(p.allow) == 0 }

// CheckURL answers before a name is resolved. block_url wins over allowed_outbound_hosts. An address that is written in
// the URL is also held to block_networks.
//
// For block_url, host and scheme are compared without regard to case, trailing dot, default port or the spelling of
// addresses; localhost, its subdomains and the loopback addresses are one host. A path is blocked if it has the
// prefix in any of the ways in which a server may read it: percent-decoded once or repeatedly, dot segments resolved
// or kept, backslashes and runs of slashes read as one slash.
func (p *Policy) CheckURL(t Target) Decision {
	if p.Empty() {
		return Decision{Rule: FieldAllow, Reason: "no host is allowed"}
	}
	if d, blocked := p.blockedURL(t); blocked {
		return d
	}
	if t.Addr.IsValid() {
		if d := p.CheckAddr(t.Addr); !d.Allowed {
			return d
		}
	}
	for _, r := range p.allow {
		if r.matches(t) {
			return Decision{Allowed: true, Rule: r.text, Reason: "allowed"}
		}
	}
	return Decision{Rule: FieldAllow, Reason: "no entry matches " + t.Origin()}
}

// CheckDial answers for one address that t's name resolved to. It holds block_networks against the address, and
// block_url entries that name addresses against the target as if it had been written with this address.
func (p *Policy) CheckDial(t Target, addr netip.Addr) Decision {
	if p.Empty() {
		return Decision{Rule: FieldAllow, Reason: "no host is allowed"}
	}
	d := p.CheckAddr(addr)
	if !d.Allowed {
		return d
	}
	t.Name, t.Addr = "", addr.WithZone("").Unmap()
	if blocked, is := p.blockedURL(t); is {
		return blocked
	}
	return d
}

// CheckAddr holds block_networks, and the default block of private networks, against an address. IPv6 addresses that
// carry an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) are held to both.
func (p *Policy) CheckAddr(addr netip.Addr) Decision {
	if p.Empty() || !addr.IsValid() {
		return Decision{Rule: FieldAllow, Reason: "no host is allowed"}
	}
	for _, r := range p.nets {
		if what, is := r.matches(addr); is {
			return Decision{Rule: r.text, Reason: addr.String() + " is in " + what}
		}
	}
	if !p.opts.AllowPrivate && !p.lifted(addr) {
		if what, is := private(addr); is {
			return Decision{Rule: "private", Reason: addr.String() + " is private (" + what + ")"}
		}
	}
	return Decision{Allowed: true, Rule: FieldBlockNetworks, Reason: "in no blocked network"}
}

func (p *Policy) lifted(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	for _, n := range p.opts.AllowNetworks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

func (p *Policy) blockedURL(t Target) (Decision, bool) {
	if len(p.urls) == 0 {
		return Decision{}, false
	}
	views, deep := pathViews(t.Path)
	for _, r := range p.urls {
		if r.matches(t, views, deep) {
			return Decision{Rule: r.text, Reason: "blocked by URL prefix"}, true
		}
	}
	return Decision{}, false
}
