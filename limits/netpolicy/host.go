package netpolicy

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// maxHostLen is the longest name DNS can carry in text form (RFC 1035, section 2.3.4).
const maxHostLen = 253

// parseHost reads the host of a URL into its canonical form: a lower-case name without trailing dot, or an address.
// Exactly one of the results is set.
//
// Every spelling of an IPv4 address that some resolver accepts (octal, hexadecimal, fewer than four parts, one number)
// becomes that address, by the WHATWG rule: a host whose last label is a number is an address or an error, never a
// name. IPv4-mapped IPv6 becomes IPv4.
func parseHost(s string) (name string, addr netip.Addr, err error) {
	if s == "" {
		return "", netip.Addr{}, errors.New("is empty")
	}
	if s[0] == '[' {
		if s[len(s)-1] != ']' {
			return "", netip.Addr{}, errors.New("opens a bracket that it does not close")
		}
		addr, err := parseIPv6(s[1 : len(s)-1])
		return "", addr, err
	}
	if strings.Contains(s, ":") {
		return "", netip.Addr{}, errors.New("has a colon; IPv6 addresses go in brackets")
	}
	s = strings.TrimSuffix(s, ".")
	if endsInNumber(s) {
		addr, err := parseIPv4(s)
		return "", addr, err
	}
	name, err = canonicalName(s)
	return name, netip.Addr{}, err
}

func parseIPv6(s string) (netip.Addr, error) {
	if strings.Contains(s, "%") {
		return netip.Addr{}, errors.New("has a zone; zones mean nothing outside one machine")
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() {
		return netip.Addr{}, errors.New("is no IPv6 address in the brackets")
	}
	return addr.Unmap(), nil
}

// canonicalName checks a DNS name: letters, digits, hyphens and underscores only. Names in other scripts are refused
// and not converted, because the conversions in use disagree with each other.
func canonicalName(s string) (string, error) {
	if len(s) > maxHostLen {
		return "", errors.New("is longer than 253 bytes")
	}
	for _, label := range strings.Split(s, ".") {
		switch {
		case label == "":
			return "", errors.New("has an empty label")
		case len(label) > 63:
			return "", errors.New("has a label longer than 63 bytes")
		case label[0] == '-' || label[len(label)-1] == '-':
			return "", errors.New("has a label that begins or ends with a hyphen")
		}
		for i := 0; i < len(label); i++ {
			if c := label[i]; !isNameByte(c) {
				if c >= 0x80 {
					return "", errors.New("is not ASCII; write international names in their xn-- form")
				}
				return "", errors.New("has " + strconv.QuoteRune(rune(c)) + ", which no host name has")
			}
		}
	}
	return strings.ToLower(s), nil
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// endsInNumber is the WHATWG "ends in a number" check: such a host is an IPv4 address or it is nothing.
func endsInNumber(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	if last == "" {
		return false
	}
	if allDigits(last) {
		return true
	}
	_, ok := parseIPv4Part(last)
	return ok
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// parseIPv4 reads one to four parts; the last fills the bytes that are left (127.1 is 127.0.0.1).
func parseIPv4(s string) (netip.Addr, error) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, errors.New("ends in a number but has more than four parts, so it is neither an address nor a name")
	}
	var sum uint64
	for i, part := range parts {
		n, ok := parseIPv4Part(part)
		if !ok {
			return netip.Addr{}, errors.New("ends in a number but is no IPv4 address")
		}
		most, shift := uint64(255), 8*uint(3-i)
		if i == len(parts)-1 {
			most, shift = 1<<(8*uint(4-i))-1, 0
		}
		if n > most {
			return netip.Addr{}, errors.New("is an IPv4 address with a part that is too large")
		}
		sum |= n << shift
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), nil
}

func parseIPv4Part(s string) (uint64, bool) {
	base := 10
	switch {
	case len(s) >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'):
		base, s = 16, s[2:]
		if s == "" {
			return 0, true // WHATWG: "0x" is zero
		}
	case len(s) >= 2 && s[0] == '0':
		base, s = 8, s[1:]
	}
	if s == "" || s[0] == '+' || s[0] == '-' || strings.Contains(s, "_") {
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 64)
	return n, err == nil
}

// isLoopback holds for the names that RFC 6761, section 6.3, ties to loopback, and for loopback addresses.
func isLoopback(name string, addr netip.Addr) bool {
	if addr.IsValid() {
		return addr.IsLoopback()
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
