package outbound

import "time"

// Limits bound one job. A zero field takes the value of DefaultLimits; there is no way to say unlimited.
type Limits struct {
	Requests     int64         // requests that pass the policy, hops of redirects included
	Concurrent   int           // responses in flight or with an unread body
	Bytes        int64         // on the wire, both ways together: headers, chunk sizes and TLS included
	BytesUp      int64         // sent; zero means Bytes
	BytesDown    int64         // received; zero means Bytes
	HeaderBytes  int64         // header section of a response, informational ones included
	Redirects    int           // hops of one chain
	Connect      time.Duration // name lookup and TCP connect, over all addresses; and TLS handshake again
	FirstByte    time.Duration // from the end of the request to the response's header section
	BetweenBytes time.Duration // between two reads of a response's body, and for one write of a request

	// SafeMethods names the rule that leaves the job only the methods that change nothing: GET, HEAD and OPTIONS. Empty
	// allows every method.
	SafeMethods string
}

// DefaultLimits are what a zero field means.
func DefaultLimits() Limits {
	return Limits{
		Requests:     100,
		Concurrent:   16,
		Bytes:        64 << 20,
		HeaderBytes:  64 << 10,
		Redirects:    10,
		Connect:      10 * time.Second,
		FirstByte:    60 * time.Second,
		BetweenBytes: 60 * time.Second,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	fill(&l.Requests, d.Requests)
	fill(&l.Concurrent, d.Concurrent)
	fill(&l.Bytes, d.Bytes)
	fill(&l.BytesUp, l.Bytes)
	fill(&l.BytesDown, l.Bytes)
	fill(&l.HeaderBytes, d.HeaderBytes)
	fill(&l.Redirects, d.Redirects)
	fill(&l.Connect, d.Connect)
	fill(&l.FirstByte, d.FirstByte)
	fill(&l.BetweenBytes, d.BetweenBytes)
	return l
}

func fill[N int | int64 | time.Duration](field *N, value N) {
	if *field <= 0 {
		*field = value
	}
}
