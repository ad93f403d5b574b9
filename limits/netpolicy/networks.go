package netpolicy

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
)

// privateNetworks is what the word private stands for: everything that is not plainly a host on the public internet.
// Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates).
var privateNetworks = []struct {
	net  netip.Prefix
	what string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private use"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("168.63.129.16/32"), "cloud metadata"}, // Azure's, on a public address
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local and cloud metadata"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private use"},
	{netip.MustParsePrefix("192.0.0.0/24"), "IETF protocol assignments"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private use"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved and broadcast"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("::/96"), "unspecified and v4-compatible"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "v4-translated"},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64"},
	{netip.MustParsePrefix("100::/64"), "discard"},
	{netip.MustParsePrefix("2001::/23"), "IETF protocol assignments and Teredo"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing"},
	{netip.MustParsePrefix("fc00::/7"), "unique local"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// private says to which of the networks above an address belongs, by itself or by an IPv4 address inside it.
func private(addr netip.Addr) (what string, is bool) {
	for _, a := range withEmbedded(addr) {
		for _, n := range privateNetworks {
			if n.net.Contains(a) {
				return n.what, true
			}
		}
	}
	return "", false
}

// withEmbedded gives the address and the IPv4 address to which a translator or tunnel would take it, if there is one.
func withEmbedded(addr netip.Addr) []netip.Addr {
	addr = addr.WithZone("").Unmap()
	if addr.Is4() {
		return []netip.Addr{addr}
	}
	b := addr.As16()
	var v4 [4]byte
	switch {
	case b[0] == 0x20 && b[1] == 0x02: // 6to4, RFC 3056
		copy(v4[:], b[2:6])
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0: // Teredo, RFC 4380: the client's address, inverted
		for i := range v4 {
			v4[i] = ^b[12+i]
		}
	case binary.BigEndian.Uint64(b[:8]) == 0, // v4-compatible, v4-translated
		binary.BigEndian.Uint64(b[:8]) == 0x0064ff9b_00000000,                  // NAT64, RFC 6052
		binary.BigEndian.Uint32(b[:4]) == 0x0064ff9b && b[4] == 0 && b[5] == 1, // local NAT64, RFC 8215
		binary.BigEndian.Uint32(b[8:12])&^0x02000000 == 0x00005efe:             // ISATAP, RFC 5214
		copy(v4[:], b[12:])
	default:
		return []netip.Addr{addr}
	}
	return []netip.Addr{addr, netip.AddrFrom4(v4)}
}

// netRule is one entry of block_networks.
type netRule struct {
	text    string
	private bool
	net     netip.Prefix
}

const blockNetworksFix = "write a CIDR such as 10.0.0.0/8 or 2001:db8::/32, a single address, or private"

func parseBlockNetwork(entry string) (netRule, error) {
	if entry == "private" {
		return netRule{private: true}, nil
	}
	if strings.Contains(entry, "/") {
		net, err := parsePrefix(entry)
		return netRule{net: net}, err
	}
	addr, err := netip.ParseAddr(entry)
	if err != nil {
		return netRule{}, errors.New("is no address, no CIDR and not the word private")
	}
	if addr.Zone() != "" {
		return netRule{}, errors.New("has a zone; zones mean nothing outside one machine")
	}
	addr = addr.Unmap()
	return netRule{net: netip.PrefixFrom(addr, addr.BitLen())}, nil
}

func (r netRule) matches(addr netip.Addr) (what string, is bool) {
	if r.private {
		return private(addr)
	}
	for _, a := range withEmbedded(addr) {
		if r.net.Contains(a) {
			return r.net.String(), true
		}
	}
	return "", false
}
