package netpolicy

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// hostPattern matches the host of a Target. The zero value matches nothing.
type hostPattern struct {
	any    bool
	name   string       // exact
	suffix string       // ".example.com", from *.example.com
	net    netip.Prefix // addresses written in the URL
}

func (p hostPattern) matches(t Target) bool {
	switch {
	case p.any:
		return true
	case t.Addr.IsValid():
		return p.net.IsValid() && p.net.Contains(t.Addr)
	case p.suffix != "":
		return strings.HasSuffix(t.Name, p.suffix)
	}
	return p.name != "" && p.name == t.Name
}

// parseHostPattern reads *, *.name, a name, an address, or a CIDR (IPv6 in brackets).
func parseHostPattern(s string) (hostPattern, error) {
	if s == "*" {
		return hostPattern{any: true}, nil
	}
	if rest, ok := strings.CutPrefix(s, "*."); ok {
		rest = strings.TrimSuffix(rest, ".")
		if rest == "" || endsInNumber(rest) {
			return hostPattern{}, errors.New("has a wildcard that no name follows")
		}
		name, err := canonicalName(rest)
		return hostPattern{suffix: "." + name}, err
	}
	if strings.Contains(s, "*") {
		return hostPattern{}, errors.New("has a wildcard that is not the whole first label")
	}
	if strings.Contains(s, "/") {
		inner := s
		if s[0] == '[' {
			if s[len(s)-1] != ']' {
				return hostPattern{}, errors.New("opens a bracket that it does not close")
			}
			inner = s[1 : len(s)-1]
		}
		prefix, err := parsePrefix(inner)
		if err == nil && s[0] != '[' && strings.Contains(inner, ":") {
			err = errors.New("is an IPv6 network without brackets")
		}
		return hostPattern{net: prefix}, err
	}
	name, addr, err := parseHost(s)
	if err != nil {
		return hostPattern{}, err
	}
	if addr.IsValid() {
		return hostPattern{net: netip.PrefixFrom(addr, addr.BitLen())}, nil
	}
	return hostPattern{name: name}, nil
}

// parsePrefix reads a CIDR without host bits; an IPv4-mapped one becomes IPv4.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("is no CIDR")
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, errors.New("is a CIDR that cuts through the IPv4-mapped addresses")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, errors.New("is a CIDR with bits set after its length; did you mean " + p.Masked().String() + "?")
	}
	return p, nil
}

// portRange is inclusive. The zero value stands for the scheme's default port.
type portRange struct{ lo, hi uint16 }

func (r portRange) matches(scheme string, port uint16) bool {
	if r == (portRange{}) {
		return port == defaultPort(scheme)
	}
	return r.lo <= port && port <= r.hi
}

func parsePortRange(s string) (portRange, error) {
	if s == "*" {
		return portRange{1, 65535}, nil
	}
	if strings.Contains(s, ":") {
		return portRange{}, errors.New("has more than one colon; IPv6 addresses go in brackets")
	}
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		from, to, isRange = strings.Cut(s, "..")
	}
	lo, ok := parsePort(from)
	hi := lo
	if isRange && ok {
		hi, ok = parsePort(to)
	}
	switch {
	case !ok:
		return portRange{}, errors.New("has port " + strconv.Quote(shorten(s)) + ", which is no number from 1 to 65535, no range and not *")
	case lo > hi:
		return portRange{}, errors.New("has a port range that ends before it begins")
	}
	return portRange{lo, hi}, nil
}

// allowRule is one entry of allowed_outbound_hosts.
type allowRule struct {
	text   string // for decisions: field, index and entry
	scheme string // http, https, or empty for both
	host   hostPattern
	ports  portRange
}

func (r allowRule) matches(t Target) bool {
	return (r.scheme == "" || r.scheme == t.Scheme) && r.ports.matches(t.Scheme, t.Port) && r.host.matches(t)
}

const allowFix = "write scheme://host[:port], for example https://api.example.com, https://*.example.com:8443 or http://10.1.0.0/16:8000-8999, or * alone for every host"

func parseAllow(entry string) (allowRule, error) {
	if entry == "*" {
		return allowRule{host: hostPattern{any: true}, ports: portRange{1, 65535}}, nil
	}
	scheme, rest, err := cutScheme(entry)
	if err != nil {
		return allowRule{}, err
	}
	if strings.ContainsAny(rest, "?#") {
		return allowRule{}, errors.New("has a query or fragment, but hosts are allowed as a whole")
	}
	host, ports, path := cutAuthority(rest)
	if path != "" && path != "/" {
		return allowRule{}, errors.New("has a path, but hosts are allowed as a whole")
	}
	rule := allowRule{scheme: scheme}
	if rule.host, err = parseHostPattern(host); err != nil {
		return allowRule{}, err
	}
	if ports != "" {
		rule.ports, err = parsePortRange(ports[1:])
	}
	return rule, err
}

// cutScheme gives "" for the scheme *.
func cutScheme(entry string) (scheme, rest string, err error) {
	scheme, rest, ok := strings.Cut(entry, "://")
	if !ok {
		return "", "", errors.New("has no scheme")
	}
	switch scheme = strings.ToLower(scheme); scheme {
	case "*":
		scheme = ""
	case "http", "https":
	default:
		return "", "", errors.New("has the scheme " + strconv.Quote(shorten(scheme)) + "; only http, https and * are known")
	}
	if strings.Contains(rest, "@") {
		return "", "", errors.New("has user information")
	}
	return scheme, rest, nil
}

// cutAuthority splits what follows the scheme into host, ports with their colon, and path with its slash or question
// mark. The slash of a CIDR belongs to the host.
func cutAuthority(rest string) (host, ports, path string) {
	from := 0
	if strings.HasPrefix(rest, "[") {
		if from = strings.IndexByte(rest, ']'); from < 0 {
			from = len(rest) // never closed: the host is what is wrong
		}
	} else if i := strings.IndexByte(rest, '/'); i > 0 {
		if _, err := netip.ParseAddr(rest[:i]); err == nil && i+1 < len(rest) && allDigits(rest[i+1:i+2]) {
			from = i + 1
		}
	}
	end := len(rest)
	if i := strings.IndexAny(rest[from:], "/?"); i >= 0 {
		end = from + i
	}
	authority, path := rest[:end], rest[end:]
	if i := strings.IndexByte(authority[min(from, end):], ':'); i >= 0 {
		return authority[:from+i], authority[from+i:], path
	}
	return authority, "", path
}
