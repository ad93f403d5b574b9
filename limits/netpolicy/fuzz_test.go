package netpolicy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"*", "https://example.com", "*://*.example.com:8000-9000", "http://10.0.0.0/8:*", "https://[2001:db8::/32]:1..2", "http://[::1]",
		"https://example.com/a%2e/..//b?c", "private", "10.0.0.0/8", "::ffff:1.2.3.4", "https://0x7f.1/", "https://a:b:c", "https://[", "https://]:1", "https:///", "*://10.0.0.0/8/8",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		for _, lists := range [][3][]string{{{entry}, nil, nil}, {{"*"}, {entry}, nil}, {{"*"}, nil, {entry}}} {
			p, err := Parse(lists[0], lists[1], lists[2])
			if (p == nil) == (err == nil) {
				t.Fatalf("got %v, %v", p, err)
			}
			var bad *EntryError
			if err != nil && (!errors.As(err, &bad) || len(err.Error()) > 2000) {
				t.Fatalf("got %v", err)
			}
			if p == nil {
				continue
			}
			// Whatever was parsed, loopback stays out of reach without the operator.
			for _, raw := range []string{"http://127.0.0.1/", "https://[::1]/", "http://2130706433:8080/"} {
				target, err := ParseURL(raw)
				if err != nil {
					t.Fatal(err)
				}
				if p.CheckURL(target).Allowed {
					t.Fatalf("%q lets %s pass", entry, raw)
				}
			}
			if d := p.CheckDial(Target{Scheme: "http", Name: "a.example", Port: 80, Path: "/"}, netip.MustParseAddr("::ffff:10.0.0.1")); d.Allowed {
				t.Fatalf("%q lets a private address pass", entry)
			}
		}
	})
}

// FuzzTarget holds that a target that parses is canonical: printing and parsing it again changes nothing, and no
// part can break out of a request line.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{
		"http://EXAMPLE.com./%61?b#c", "https://0x7f.1:0443", "http://[::ffff:1.2.3.4]:80/", "http://1.2.3", "http://a@b", "http://a\\b", "https://xn--bcher-kva.example/", "http://[fe80::1%25a]/", "http://a:80:90/",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := ParseURL(raw)
		if err != nil {
			return
		}
		again, err := ParseURL(target.Origin() + target.Path)
		if err != nil || again != target {
			t.Fatalf("%q: %+v, again %+v, %v", raw, target, again, err)
		}
		if strings.ContainsAny(target.Authority()+target.Path, " \r\n\t\x00#") || strings.ContainsAny(target.Authority(), "/?@\\%") {
			t.Fatalf("%q: unsafe parts %q %q", raw, target.Authority(), target.Path)
		}
		if (target.Name == "") == !target.Addr.IsValid() || target.Port == 0 {
			t.Fatalf("%q: %+v", raw, target)
		}
	})
}

// FuzzSameURL holds that two spellings of one URL meet the same decision, and that a spelling of a blocked URL is
// never allowed.
func FuzzSameURL(f *testing.F) {
	f.Add(uint32(0x7f000001), uint16(80), "admin/x", uint8(0), false)
	f.Add(uint32(0x5db8d822), uint16(8080), "a/b/c", uint8(7), true)
	f.Add(uint32(0xa9fea9fe), uint16(443), "", uint8(255), true)
	f.Add(uint32(0x08080808), uint16(443), "admin", uint8(33), true)
	policies := []*Policy{}
	for _, lists := range [][3][]string{
		{{"*"}, nil, nil},
		{{"*"}, {"*://*/admin", "http://93.184.216.34:8080/a/b"}, {"8.8.0.0/16"}},
		{{"http://93.184.0.0/16:8000-8100", "https://*.example.com:*"}, {"https://www.example.com:443/a"}, nil},
	} {
		p, err := Parse(lists[0], lists[1], lists[2])
		if err != nil {
			f.Fatal(err)
		}
		policies = append(policies, p, p.WithOptions(Options{AllowPrivate: true}))
	}
	f.Fuzz(func(t *testing.T, ip uint32, port uint16, path string, how uint8, tls bool) {
		if port == 0 || checkPath("/"+path) != "" || strings.ContainsAny(path, "?%") {
			return
		}
		scheme := "http"
		if tls {
			scheme = "https"
		}
		addr := netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)})
		hosts := [][]string{
			{addr.String(), addr.String() + ".", fmt.Sprint(ip), fmt.Sprintf("0x%x", ip), fmt.Sprintf("0%o", ip), fmt.Sprintf("%d.0x%x", ip>>24, ip&0xffffff), fmt.Sprintf("[::ffff:%x:%x]", ip>>16, ip&0xffff), fmt.Sprintf("[::FFFF:%s]", addr)},
			{"www.example.com", "WWW.example.COM", "www.example.com.", "wWw.ExAmPlE.cOm."},
		}
		var escaped strings.Builder
		for i := 0; i < len(path); i++ {
			if c := path[i]; c != '/' && (how>>(i%8))&1 == 1 {
				fmt.Fprintf(&escaped, "%%%02x", c)
			} else {
				escaped.WriteByte(c)
			}
		}
		paths := []string{"/" + path, "/" + escaped.String(), "//" + path, "/./" + escaped.String(), "/%2e/" + path, "/z/../" + path}
		ports := []string{fmt.Sprintf(":%d", port), fmt.Sprintf(":0%d", port)}
		if port == defaultPort(scheme) {
			ports = append(ports, "", ":")
		}
		for _, spellings := range hosts {
			for i, p := range policies {
				var first Decision
				for h, host := range spellings {
					for k, pt := range paths {
						raw := strings.ToUpper(scheme) + "://" + host + ports[(h+k)%len(ports)] + pt
						target, err := ParseURL(raw)
						if err != nil {
							if len(fmt.Sprint(":0", port)) > 6 {
								return
							}
							t.Fatalf("%s: %v", raw, err)
						}
						d := p.CheckURL(target)
						if h == 0 && k == 0 {
							first = d
						} else if d.Allowed != first.Allowed && !strings.Contains(path, "..") && !strings.Contains(path, "/.") && !strings.HasPrefix(path, ".") {
							t.Fatalf("policy %d: %s is %v, its first spelling %v", i, raw, d, first)
						}
					}
				}
			}
		}
	})
}

// FuzzNetworks holds that an address and the IPv6 forms that lead to it are blocked alike.
func FuzzNetworks(f *testing.F) {
	f.Add(uint32(0x7f000001), uint8(8))
	f.Add(uint32(0x5db8d822), uint8(32))
	f.Add(uint32(0), uint8(0))
	f.Fuzz(func(t *testing.T, ip uint32, bits uint8) {
		addr := netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)})
		prefix, err := addr.Prefix(int(bits % 33))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse([]string{"*"}, nil, []string{prefix.String()})
		if err != nil {
			t.Fatal(err)
		}
		p = p.WithOptions(Options{AllowPrivate: true})
		for _, form := range []string{"%s", "::ffff:%s", "::%s", "64:ff9b::%s", "64:ff9b:1::%s", "::ffff:0:%s", "2606:4700::5efe:%s"} {
			a := netip.MustParseAddr(fmt.Sprintf(form, addr))
			if p.CheckAddr(a).Allowed {
				t.Fatalf("%s passes a block of %s", a, prefix)
			}
		}
		if private, is := private(addr); is {
			for _, form := range []string{"::ffff:%s", "::%s", "64:ff9b::%s", "2606:4700::5efe:%s"} {
				a := netip.MustParseAddr(fmt.Sprintf(form, addr))
				if p.WithOptions(Options{}).CheckAddr(a).Allowed {
					t.Fatalf("%s passes although %s is private (%s)", a, addr, private)
				}
			}
		}
	})
}

func BenchmarkCheckURL(b *testing.B) {
	p, err := Parse([]string{"https://a.example", "https://*.b.example"}, []string{"https://c.b.example/admin"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		target, err := ParseURL("https://c.b.example/x/y?z=1")
		if err != nil || !p.CheckURL(target).Allowed {
			b.Fatal(err)
		}
	}
}
