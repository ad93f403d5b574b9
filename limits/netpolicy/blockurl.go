package netpolicy

import (
	"errors"
	"strings"
)

// maxDecodes is how often a path is percent-decoded before it counts as hiding something.
const maxDecodes = 8

// urlRule is one entry of block_url.
type urlRule struct {
	text     string
	scheme   string // http, https, or empty for both
	host     hostPattern
	loopback bool       // the host is localhost or a loopback address: then all of these are meant
	ports    *portRange // nil for every port
	path     string     // canonical prefix of path and query
}

const blockURLFix = "write a URL prefix with its scheme, for example https://example.com/admin or *://*.example.com/"

func parseBlockURL(entry string) (urlRule, error) {
	scheme, rest, err := cutScheme(entry)
	if err != nil {
		return urlRule{}, err
	}
	if strings.Contains(rest, "#") {
		return urlRule{}, errors.New("has a fragment, which is never sent")
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, ports, _ := cutAuthority(rest[:end])
	rule := urlRule{scheme: scheme}
	if rule.host, err = parseHostPattern(host); err != nil {
		return urlRule{}, err
	}
	rule.loopback = isLoopback(rule.host.name, rule.host.net.Addr())
	if ports != "" {
		r, err := parsePortRange(ports[1:])
		if err != nil {
			return urlRule{}, err
		}
		rule.ports = &r
	}
	if problem := checkPath(rest[end:]); problem != "" {
		return urlRule{}, errors.New("has a path that " + problem)
	}
	views, deep := pathViews(rest[end:])
	if deep {
		return urlRule{}, errors.New("has a path that is percent-encoded more than eight times")
	}
	rule.path = views[len(views)-1]
	return rule, nil
}

func (r urlRule) matches(t Target, views []string, deep bool) bool {
	if r.scheme != "" && r.scheme != t.Scheme {
		return false
	}
	if r.ports != nil && !r.ports.matches(t.Scheme, t.Port) {
		return false
	}
	if !r.host.matches(t) && !(r.loopback && isLoopback(t.Name, t.Addr)) {
		return false
	}
	if r.path == "/" || deep {
		return true
	}
	for _, view := range views {
		if strings.HasPrefix(view, r.path) {
			return true
		}
	}
	return false
}

// pathViews lists the ways in which a server may read path and query: decoded once or until nothing is left to decode,
// with dot segments resolved or kept, and always with runs of slashes made one and backslashes made slashes. A block
// holds when any of them begins with the blocked prefix, so that a guest gains nothing by spelling. The last is the
// canonical form of a rule. deep says that decoding did not end after maxDecodes.
func pathViews(path string) (views []string, deep bool) {
	path, query, hasQuery := strings.Cut(path, "?")
	if hasQuery {
		query = "?" + decodeOnce(query)
	}
	if path == "" {
		path = "/"
	}
	add := func(p string) {
		p = collapseSlashes(p)
		views = append(views, p+query, removeDots(p)+query)
	}
	once := decodeOnce(path)
	all := once
	for i := 1; ; i++ {
		next := decodeOnce(all)
		if next == all {
			break
		}
		if i == maxDecodes {
			return nil, true
		}
		all = next
	}
	if all != once {
		add(once)
	}
	add(all)
	return views, false
}

func decodeOnce(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func collapseSlashes(s string) string {
	s = strings.ReplaceAll(s, `\`, "/")
	if !strings.Contains(s, "//") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '/' || i == 0 || s[i-1] != '/' {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// removeDots resolves . and .. segments (RFC 3986, section 5.2.4), keeping a trailing slash.
func removeDots(s string) string {
	if !strings.Contains(s, "/.") {
		return s
	}
	segments := strings.Split(strings.TrimPrefix(s, "/"), "/")
	out := segments[:0:0]
	for i, seg := range segments {
		last := i == len(segments)-1
		switch seg {
		case ".", "..":
			if seg == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, seg)
		}
	}
	return "/" + strings.Join(out, "/")
}
