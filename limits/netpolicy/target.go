package netpolicy

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// MaxPathLen bounds path and query of a URL together, in bytes.
const MaxPathLen = 16 << 10

// Target is where one request goes, in canonical form. Make one with NewTarget or ParseURL.
type Target struct {
	Scheme string     // http or https
	Name   string     // lower-case ASCII without trailing dot; empty when Addr is set
	Addr   netip.Addr // the address, when the URL names one; never IPv4-mapped
	Port   uint16     // never 0
	Path   string     // path and query as sent, beginning with a slash
}

// NewTarget reads the parts as wasi:http hands them over: a scheme, an authority (host and optional port, no user
// information) and a path with query. An empty path means "/". The error is a *TargetError.
func NewTarget(scheme, authority, path string) (Target, error) {
	t := Target{Scheme: strings.ToLower(scheme), Path: path}
	if t.Scheme != "http" && t.Scheme != "https" {
		return Target{}, &TargetError{"scheme", shorten(scheme), "is neither http nor https"}
	}
	if len(authority) > maxHostLen+len(".:65535") {
		return Target{}, &TargetError{"authority", shorten(authority), "is too long"}
	}
	if strings.Contains(authority, "@") {
		// The value may hold a password: it is not repeated.
		return Target{}, &TargetError{"authority", "...@...", "has user information, which is never sent"}
	}
	host, port := splitPort(authority)
	t.Port = defaultPort(t.Scheme)
	if port != "" {
		n, ok := parsePort(port)
		if !ok {
			return Target{}, &TargetError{"port", shorten(port), "is not a number from 1 to 65535"}
		}
		t.Port = n
	}
	var err error
	if t.Name, t.Addr, err = parseHost(host); err != nil {
		return Target{}, &TargetError{"host", shorten(host), err.Error()}
	}
	if problem := checkPath(path); problem != "" {
		return Target{}, &TargetError{"path", shorten(path), problem}
	}
	switch {
	case path == "":
		t.Path = "/"
	case path[0] == '?':
		t.Path = "/" + path
	}
	return t, nil
}

// ParseURL reads an absolute http or https URL. A fragment is dropped, as it is never sent.
func ParseURL(raw string) (Target, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return Target{}, &TargetError{"scheme", shorten(raw), "is missing"}
	}
	rest, _, _ = strings.Cut(rest, "#")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return NewTarget(scheme, rest[:end], rest[end:])
}

// FromURL is ParseURL for a URL that net/url has read already.
func FromURL(u *url.URL) (Target, error) {
	if u.Opaque != "" {
		return Target{}, &TargetError{"authority", shorten(u.Opaque), "is opaque"}
	}
	if u.User != nil {
		return Target{}, &TargetError{"authority", "...@...", "has user information, which is never sent"}
	}
	path := u.EscapedPath()
	if path != "" && path[0] != '/' {
		path = "/" + path
	}
	if u.ForceQuery || u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return NewTarget(u.Scheme, u.Host, path)
}

// Host is the name or the address, with brackets around IPv6.
func (t Target) Host() string {
	switch {
	case !t.Addr.IsValid():
		return t.Name
	case t.Addr.Is6():
		return "[" + t.Addr.String() + "]"
	}
	return t.Addr.String()
}

// Authority is host and port, the port only where it is not the scheme's own.
func (t Target) Authority() string {
	if t.Port == defaultPort(t.Scheme) {
		return t.Host()
	}
	return t.HostPort()
}

// HostPort is host and port, always both.
func (t Target) HostPort() string { return t.Host() + ":" + strconv.Itoa(int(t.Port)) }

// Origin is scheme, host and port: what denials name. Paths and queries may carry secrets.
func (t Target) Origin() string { return t.Scheme + "://" + t.HostPort() }

// splitPort cuts at the last colon outside brackets. "host:" has no port (RFC 3986, section 3.2.3).
func splitPort(authority string) (host, port string) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.IndexByte(authority[i:], ']') >= 0 || strings.IndexByte(authority[:i], ':') >= 0 && authority[0] != '[' {
		return authority, ""
	}
	return authority[:i], authority[i+1:]
}

func parsePort(s string) (uint16, bool) {
	if !allDigits(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// checkPath holds path and query to visible ASCII, so that nothing in them can end the request line or be read
// differently by the server; a lone percent sign is an error for the same reason.
func checkPath(path string) (problem string) {
	if len(path) > MaxPathLen {
		return "is longer than 16 KiB"
	}
	if path != "" && path[0] != '/' && path[0] != '?' {
		return "does not begin with a slash"
	}
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c <= ' ' || c >= 0x7f:
			return "has a space, a control character or a byte that is not ASCII; percent-encode it"
		case c == '#':
			return "has a fragment"
		case c == '%' && (i+2 >= len(path) || unhex(path[i+1]) < 0 || unhex(path[i+2]) < 0):
			return "has a percent sign that two hexadecimal digits do not follow"
		}
	}
	return ""
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
