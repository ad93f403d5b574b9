package outbound

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer is a name server on loopback whose answers change from lookup to lookup, as a hostile one's do.
type dnsServer struct {
	conn net.PacketConn
	mu   sync.Mutex
	// answers are given in turn per name; the last one stays.
	answers map[string][][]string
	queries map[string]int // A questions
	asked   map[string]bool
	packets int
}

func startDNS(t *testing.T, answers map[string][][]string) *dnsServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dnsServer{conn: conn, answers: answers, queries: map[string]int{}, asked: map[string]bool{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return s
}

func (s *dnsServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

func (s *dnsServer) count() (packets int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packets
}

func (s *dnsServer) serve() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		reply, err := s.answer(m)
		if err == nil {
			s.conn.WriteTo(reply, from)
		}
	}
}

func (s *dnsServer) answer(m dnsmessage.Message) ([]byte, error) {
	q := m.Questions[0]
	s.mu.Lock()
	s.packets++
	name := q.Name.String()
	s.asked[name] = true
	turns := s.answers[name]
	turn := min(s.queries[name], len(turns)-1)
	if q.Type == dnsmessage.TypeA {
		s.queries[name]++
	}
	s.mu.Unlock()
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: m.Questions,
	}
	if turn < 0 {
		reply.RCode = dnsmessage.RCodeNameError
		return reply.Pack()
	}
	for _, text := range turns[turn] {
		addr := netip.MustParseAddr(text)
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0}
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return reply.Pack()
}
