package netpolicy

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func mustParse(t testing.TB, allow, blockURL, blockNetworks []string) *Policy {
	t.Helper()
	p, err := Parse(allow, blockURL, blockNetworks)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustTarget(t testing.TB, raw string) Target {
	t.Helper()
	target, err := ParseURL(raw)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return target
}

func TestParseNamesTheBadEntry(t *testing.T) {
	tests := []struct {
		field, entry string
		says         string
	}{
		{FieldAllow, "", "has no scheme"},
		{FieldAllow, "example.com", "has no scheme"},
		{FieldAllow, "ftp://example.com", "only http, https and * are known"},
		{FieldAllow, "https://", "is empty"},
		{FieldAllow, "https://exa mple.com", "which no host name has"},
		{FieldAllow, " https://example.com", "only http, https and * are known"},
		{FieldAllow, "https://example.com\n", "which no host name has"},
		{FieldAllow, "https://example.com/api", "has a path"},
		{FieldAllow, "https://example.com?x=1", "has a query"},
		{FieldAllow, "https://user:pw@example.com", "has user information"},
		{FieldAllow, "https://*example.com", "wildcard that is not the whole first label"},
		{FieldAllow, "https://api.*.com", "wildcard that is not the whole first label"},
		{FieldAllow, "https://*.", "has a wildcard that no name follows"},
		{FieldAllow, "https://*.0.0.1", "has a wildcard that no name follows"},
		{FieldAllow, "https://example..com", "has an empty label"},
		{FieldAllow, "https://-a.com", "hyphen"},
		{FieldAllow, "https://bücher.example", "xn--"},
		{FieldAllow, "https://１２７.0.0.1.example", "xn--"},
		{FieldAllow, "https://exаmple.com", "xn--"}, // the a is Cyrillic
		{FieldAllow, "https://example.com:0", "no number from 1 to 65535"},
		{FieldAllow, "https://example.com:", "no number from 1 to 65535"},
		{FieldAllow, "https://example.com:65536", "no number from 1 to 65535"},
		{FieldAllow, "https://example.com:+80", "no number from 1 to 65535"},
		{FieldAllow, "https://example.com:90-80", "ends before it begins"},
		{FieldAllow, "https://example.com:80-", "no number from 1 to 65535"},
		{FieldAllow, "https://256.1.1.1", "part that is too large"},
		{FieldAllow, "https://1.2.3.4.5", "more than four parts"},
		{FieldAllow, "https://a.0x1", "no IPv4 address"},
		{FieldAllow, "https://10.0.0.1/8", "did you mean 10.0.0.0/8"},
		{FieldAllow, "https://10.0.0.0/33", "is no CIDR"},
		{FieldAllow, "https://fd00::1", "brackets"},
		{FieldAllow, "https://[fe80::1%eth0]", "zone"},
		{FieldAllow, "https://[fd00::/8", "bracket"},
		{FieldAllow, "https://[::ffff:0:0/64]", "IPv4-mapped"},
		{FieldAllow, "https://" + strings.Repeat("a", 64) + ".com", "longer than 63"},
		{FieldAllow, "https://" + strings.Repeat("a.", 130) + "com", "longer than 253"},
		{FieldAllow, "https://" + strings.Repeat("a", 3000), "longer than 2048"},
		{FieldBlockURL, "example.com/x", "has no scheme"},
		{FieldBlockURL, "https://example.com/#x", "has a fragment"},
		{FieldBlockURL, "https://example.com/a b", "percent-encode it"},
		{FieldBlockURL, "https://example.com/%zz", "two hexadecimal digits"},
		{FieldBlockURL, "https://example.com/%" + strings.Repeat("25", 12) + "41", "more than eight times"},
		{FieldBlockURL, "file:///etc/passwd", "only http, https and * are known"},
		{FieldBlockNetworks, "privat", "is no address, no CIDR"},
		{FieldBlockNetworks, "10.0.0.0/8 ", "is no CIDR"},
		{FieldBlockNetworks, "10.0.0.5/8", "did you mean 10.0.0.0/8"},
		{FieldBlockNetworks, "010.0.0.1", "is no address"},
		{FieldBlockNetworks, "fe80::1%eth0", "zone"},
		{FieldBlockNetworks, "example.com", "is no address"},
	}
	for _, tt := range tests {
		t.Run(tt.field+" "+shorten(tt.entry), func(t *testing.T) {
			lists := map[string][]string{
				FieldAllow:         {"https://good.example"},
				FieldBlockURL:      {"https://good.example/x"},
				FieldBlockNetworks: {"10.0.0.0/8"},
			}
			lists[tt.field] = append(lists[tt.field], tt.entry)
			p, err := Parse(lists[FieldAllow], lists[FieldBlockURL], lists[FieldBlockNetworks])
			var bad *EntryError
			if p != nil || !errors.As(err, &bad) {
				t.Fatalf("got %v, %v", p, err)
			}
			if bad.Field != tt.field || bad.Index != 1 || !strings.Contains(bad.Problem, tt.says) {
				t.Errorf("got %v, want %s[1] with %q", err, tt.field, tt.says)
			}
			if bad.Fix == "" || len(err.Error()) > 1000 {
				t.Errorf("not helpful: %v", err)
			}
		})
	}
}

func TestParseReportsEveryBadEntry(t *testing.T) {
	_, err := Parse([]string{"x", "https://ok.example", "y"}, []string{"z"}, []string{"w"})
	for _, want := range []string{"allowed_outbound_hosts[0]", "allowed_outbound_hosts[2]", "block_url[0]", "block_networks[0]"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in %v", want, err)
		}
	}
	if _, err := Parse(make([]string, MaxEntries+1), nil, nil); err == nil || !strings.Contains(err.Error(), "257 entries") {
		t.Errorf("got %v", err)
	}
}

func TestCheckURL(t *testing.T) {
	tests := []struct {
		name     string
		allow    []string
		blockURL []string
		yes, no  []string
	}{
		{
			name: "nothing allowed",
			no:   []string{"https://example.com", "http://93.184.216.34/"},
		},
		{
			name:  "scheme and default port",
			allow: []string{"https://example.com"},
			yes:   []string{"https://example.com", "HTTPS://EXAMPLE.com.:443/x?y", "https://example.com:/"},
			no:    []string{"http://example.com", "https://example.com:8443", "https://www.example.com", "https://example.com.evil.org", "https://evilexample.com"},
		},
		{
			name:  "any scheme keeps default ports",
			allow: []string{"*://example.com/"},
			yes:   []string{"https://example.com", "http://example.com"},
			no:    []string{"http://example.com:443", "https://example.com:80"},
		},
		{
			name:  "subdomains of any depth, not the apex",
			allow: []string{"https://*.example.com"},
			yes:   []string{"https://a.example.com", "https://a.b.c.EXAMPLE.com."},
			no:    []string{"https://example.com", "https://aexample.com", "https://a.example.com.evil.org"},
		},
		{
			name:  "ports",
			allow: []string{"http://a.example:8000-8002", "http://b.example:8000..8002", "http://c.example:*"},
			yes:   []string{"http://a.example:8000", "http://a.example:8002", "http://b.example:8001", "http://c.example:1", "http://c.example"},
			no:    []string{"http://a.example:7999", "http://a.example:8003", "http://a.example", "http://b.example:9000"},
		},
		{
			name:  "networks match addresses only",
			allow: []string{"http://93.184.0.0/16:8080", "http://[2606:4700::/32]"},
			yes:   []string{"http://93.184.216.34:8080", "http://1572395042:8080", "http://0x5d.0270.216.34:8080", "http://[2606:4700::1111]", "http://[::ffff:93.184.1.1]:8080"},
			no:    []string{"http://93.185.0.1:8080", "http://93.184.216.34", "http://example.com:8080", "http://[2606:4701::1]"},
		},
		{
			name:  "star is everything that is not private",
			allow: []string{"*"},
			yes:   []string{"http://example.com:1", "https://93.184.216.34:65535"},
			no: []string{
				"http://127.0.0.1", "http://127.1", "http://2130706433", "http://0x7f000001", "http://0177.0.0.1", "http://0",
				"http://127.0.0.1.", "http://[::1]", "http://[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]", "http://[::127.0.0.1]",
				"http://[64:ff9b::7f00:1]", "http://[2002:7f00:1::]", "http://169.254.169.254", "http://[fd00:ec2::254]",
				"http://100.100.100.200", "http://168.63.129.16", "http://10.1", "http://172.16.0.1", "http://192.168.1.1", "http://224.0.0.1",
				"http://255.255.255.255", "http://[ff02::1]", "http://[fe80::1]", "http://[fec0::1]", "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
			},
		},
		{
			name:     "block wins over allow",
			allow:    []string{"*"},
			blockURL: []string{"https://example.com/admin", "*://*.corp.example", "http://93.184.216.34", "https://q.example/s?key="},
			yes: []string{
				"https://example.com/", "https://example.com/adm", "http://example.com/admin", "https://example.com/a/dmin",
				"https://corp.example/", "http://93.184.216.35/", "https://q.example/s", "https://q.example/s?k=1",
			},
			no: []string{
				"https://example.com/admin", "https://example.com/admin/x", "https://EXAMPLE.com.:443/admin", "https://example.com:8443/admin",
				"https://example.com/%61dmin", "https://example.com/%2561dmin", "https://example.com//admin", "https://example.com/./admin",
				"https://example.com/x/../admin", "https://example.com/x/%2e%2E/admin", `https://example.com/\admin`, "https://example.com/%5cadmin",
				"https://example.com/%2Fadmin", "https://example.com/administrator", "https://example.com/admin/../x", "https://example.com/../admin",
				"https://example.com/%" + strings.Repeat("25", 20) + "61dmin",
				"http://a.corp.example/", "https://a.b.corp.example:99/x", "http://93.184.55330/", "http://[::ffff:5db8:d822]:8080/x",
				"https://q.example/s?key=1", "https://q.example/s?k%65y=1",
			},
		},
		{
			name:     "localhost is the loopback addresses",
			allow:    []string{"*"},
			blockURL: []string{"http://localhost:8080/"},
			yes:      []string{"http://localhost:80/", "http://notlocalhost:8080/"},
			no:       []string{"http://localhost:8080", "http://LOCALHOST.:8080/x", "http://a.localhost:8080", "http://127.0.0.1:8080", "http://127.9:8080", "http://[::1]:8080"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, tt.allow, tt.blockURL, nil)
			check := func(raws []string, want bool) {
				for _, raw := range raws {
					d := p.CheckURL(mustTarget(t, raw))
					if d.Allowed != want {
						t.Errorf("%s: got %+v, want allowed %v", raw, d, want)
					}
					if d.Rule == "" || d.Reason == "" {
						t.Errorf("%s: decision without ground: %+v", raw, d)
					}
				}
			}
			check(tt.yes, true)
			check(tt.no, false)
		})
	}
}

func TestTargetRefuses(t *testing.T) {
	for _, raw := range []string{
		"", "example.com", "//example.com", "ftp://example.com", "http://", "http:///x", "http://a@b.com", "http://a:b@c.com/",
		"http://exa mple.com", "http://example.com:99999", "http://example.com:8a", "http://example.com:-1", "http://[::1", "http://::1",
		"http://[127.0.0.1]", "http://[fe80::1%25eth0]", "http://[::1]x", "http://a..b", "http://.a", "http://a.b..", "http://%31.com",
		"http://ａ.com", "http://a\\@b", "http://a.com\r\nX: y", "http://a.com/\r\nX: y", "http://a.com/a b", "http://a.com/%", "http://a.com/%4",
		"http://a.com/\x7f", "http://a.com/ü", "http://1.2.3.256", "http://1.2.3.08", "http://4294967296", "http://1..2", "http://0x7g.1", "http://a.b.1",
		"http://a.com/" + strings.Repeat("x", MaxPathLen), "http://" + strings.Repeat("a", 300),
	} {
		got, err := ParseURL(raw)
		var bad *TargetError
		if !errors.As(err, &bad) {
			t.Errorf("%q: got %+v, %v", shorten(raw), got, err)
		} else if strings.Contains(err.Error(), "a:b@") {
			t.Errorf("user information in an error: %v", err)
		}
	}
}

func TestTargetParts(t *testing.T) {
	tests := []struct{ raw, authority, origin, path string }{
		{"HTTP://ExAmple.COM.", "example.com", "http://example.com:80", "/"},
		{"https://example.com:443?a#b", "example.com", "https://example.com:443", "/?a"},
		{"https://example.com:0080/a/../b", "example.com:80", "https://example.com:80", "/a/../b"},
		{"http://0x7f.1", "127.0.0.1", "http://127.0.0.1:80", "/"},
		{"http://[::FFFF:1.2.3.4]:81/", "1.2.3.4:81", "http://1.2.3.4:81", "/"},
		{"http://[2001:DB8:0::1]:81/", "[2001:db8::1]:81", "http://[2001:db8::1]:81", "/"},
	}
	for _, tt := range tests {
		got := mustTarget(t, tt.raw)
		if got.Authority() != tt.authority || got.Origin() != tt.origin || got.Path != tt.path {
			t.Errorf("%s: got %q %q %q", tt.raw, got.Authority(), got.Origin(), got.Path)
		}
		u, err := url.Parse(tt.raw)
		if err != nil {
			continue
		}
		if viaURL, err := FromURL(u); err != nil || viaURL != got {
			t.Errorf("%s: FromURL gives %+v, %v", tt.raw, viaURL, err)
		}
	}
}

func TestCheckAddr(t *testing.T) {
	plain := mustParse(t, []string{"*"}, nil, nil)
	strict := mustParse(t, []string{"*"}, nil, []string{"93.184.0.0/16", "2606:4700::/32", "8.8.8.8", "::ffff:9.9.9.0/120"})
	lifted := plain.WithOptions(Options{AllowPrivate: true})
	own := mustParse(t, []string{"*"}, nil, []string{"private"}).WithOptions(Options{AllowPrivate: true})
	partly := plain.WithOptions(Options{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	tests := []struct {
		name string
		p    *Policy
		addr string
		want bool
	}{
		{"public", plain, "93.184.216.34", true},
		{"public v6", plain, "2606:4700::1111", true},
		{"loopback", plain, "127.255.255.254", false},
		{"mapped loopback", plain, "::ffff:127.0.0.1", false},
		{"NAT64 of a public address", plain, "64:ff9b::5db8:d822", false},
		{"local NAT64", plain, "64:ff9b:1::7f00:1", false},
		{"translated", plain, "::ffff:0:7f00:1", false},
		{"ISATAP of a private address", plain, "2606:4700::5efe:10.0.0.1", false},
		{"ISATAP of a public address", plain, "2606:4700::5efe:93.184.216.34", true},
		{"zone", plain, "fe80::1%lo", false},
		{"listed network", strict, "93.184.216.34", false},
		{"listed v4 inside mapped v6", strict, "::ffff:93.184.216.34", false},
		{"listed v4 inside 6to4", strict.WithOptions(Options{AllowPrivate: true}), "2002:5db8:d822::1", false},
		{"listed v4 inside NAT64", strict.WithOptions(Options{AllowPrivate: true}), "64:ff9b::808:808", false},
		{"listed v4 inside Teredo", strict.WithOptions(Options{AllowPrivate: true}), "2001:0:4136:e378:8000:63bf:f7f7:f7f7", false},
		{"listed v6", strict, "2606:4700::1111", false},
		{"listed single", strict, "8.8.8.8", false},
		{"next to listed single", strict, "8.8.4.4", true},
		{"listed as mapped CIDR", strict, "9.9.9.9", false},
		{"operator lifts private", lifted, "127.0.0.1", true},
		{"the job's own private stays", own, "127.0.0.1", false},
		{"operator lifts one network", partly, "10.1.2.3", true},
		{"operator lifts one network only", partly, "10.2.2.3", false},
		{"nil policy", nil, "93.184.216.34", false},
		{"empty policy", mustParse(t, nil, nil, nil).WithOptions(Options{AllowPrivate: true}), "93.184.216.34", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.p.CheckAddr(netip.MustParseAddr(tt.addr))
			if d.Allowed != tt.want || d.Rule == "" || d.Reason == "" {
				t.Errorf("got %+v, want allowed %v", d, tt.want)
			}
		})
	}
	if d := plain.CheckAddr(netip.Addr{}); d.Allowed {
		t.Error("no address at all is allowed")
	}
}

// Every private network must hold at its first and last address, and end there or in another one.
func TestPrivateNetworksAtTheirEdges(t *testing.T) {
	p := mustParse(t, []string{"*"}, nil, nil)
	for _, n := range privateNetworks {
		first := n.net.Addr()
		last := lastAddr(n.net)
		for _, a := range []netip.Addr{first, last} {
			if d := p.CheckAddr(a); d.Allowed {
				t.Errorf("%s (%s) of %s is allowed", a, n.what, n.net)
			}
		}
		if n.net != n.net.Masked() {
			t.Errorf("%s has host bits", n.net)
		}
	}
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func TestCheckDialHoldsURLRulesAgainstTheAddress(t *testing.T) {
	p := mustParse(t, []string{"*"}, []string{"http://93.184.216.34/secret", "http://localhost/"}, nil).WithOptions(Options{AllowPrivate: true})
	tests := []struct {
		url, addr string
		want      bool
	}{
		{"http://example.com/secret", "93.184.216.34", false},
		{"http://example.com/secret", "::ffff:93.184.216.34", false},
		{"http://example.com/open", "93.184.216.34", true},
		{"https://example.com/secret", "93.184.216.34", true},
		{"http://example.com/secret", "93.184.216.35", true},
		{"http://example.com/", "127.0.0.1", false},
		{"http://example.com/", "::1", false},
	}
	for _, tt := range tests {
		target := mustTarget(t, tt.url)
		if d := p.CheckURL(target); !d.Allowed {
			t.Errorf("%s: name is blocked: %+v", tt.url, d)
		}
		if d := p.CheckDial(target, netip.MustParseAddr(tt.addr)); d.Allowed != tt.want {
			t.Errorf("%s at %s: got %+v", tt.url, tt.addr, d)
		}
	}
}

func TestDecisionNamesTheRule(t *testing.T) {
	p := mustParse(t, []string{"https://a.example", "*://*:*"}, []string{"https://b.example/x"}, []string{"93.184.0.0/16"})
	tests := []struct{ url, rule string }{
		{"https://a.example/", `allowed_outbound_hosts[0] "https://a.example"`},
		{"https://b.example/x", `block_url[0] "https://b.example/x"`},
		{"https://93.184.216.34/", `block_networks[0] "93.184.0.0/16"`},
		{"https://127.0.0.1/", "private"},
	}
	for _, tt := range tests {
		if d := p.CheckURL(mustTarget(t, tt.url)); d.Rule != tt.rule {
			t.Errorf("%s: rule %q, want %q", tt.url, d.Rule, tt.rule)
		}
	}
}
