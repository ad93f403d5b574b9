package jobs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// puller asks JetStream for messages of many consumers over one subscription.
// The jetstream package's Fetch makes and removes a subscription, a goroutine
// and a timer a message for every call; at thousands of small jobs a second
// that is a large part of a worker's own cost (see RATIONALE.md).
//
// Only one goroutine may use it, one call at a time.
type puller struct {
	nc     *nats.Conn
	sub    *nats.Subscription
	prefix string
	serial uint64
	msgs   chan *nats.Msg
	late   func(*nats.Msg)  // takes jobs of a call that had given up waiting
	lost   chan nats.Status // the connection broke: no answer will come
}

var (
	// errPullTimeout says that the server did not answer a pull request in time.
	errPullTimeout = errors.New("no answer to a pull request")
	// errPullLost says that the connection broke under a pull request.
	errPullLost = errors.New("the connection to NATS broke")
)

func newPuller(nc *nats.Conn, size int, late func(*nats.Msg)) (*puller, error) {
	p := &puller{nc: nc, prefix: nc.NewInbox(), msgs: make(chan *nats.Msg, size+64), late: late}
	sub, err := nc.ChanSubscribe(p.prefix+".*", p.msgs)
	if err != nil {
		return nil, fmt.Errorf("subscribe for pulled jobs: %w", err)
	}
	p.sub = sub
	p.lost = nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	return p, nil
}

func (p *puller) close() {
	_ = p.sub.Unsubscribe()
	p.nc.RemoveStatusListener(p.lost)
}

// ask is a request to one consumer, and what came of it.
type ask struct {
	consumer string
	n        int               // jobs wanted
	linger   time.Duration     // how long an empty consumer may take to say so
	each     func(m *nats.Msg) // called for every job as it comes

	got   int // fewer than n: the consumer has no more to give at the moment
	err   error
	reply string
	done  bool
}

// leastLinger is in every request. The server answers one that is not to wait
// at once when there is nothing, but not when the consumer is at its
// MaxAckPending: then only the request's expiry ends it (nats-server's
// consumer.processWaiting leaves such requests alone).
const leastLinger = 2 * time.Millisecond

// fetch asks one consumer for at most n messages that are there now and calls
// each for every one as it comes. It returns how many came.
func (p *puller) fetch(stream, consumer string, n int, linger time.Duration, each func(*nats.Msg)) (int, error) {
	a := &ask{consumer: consumer, n: n, linger: linger, each: each}
	if err := p.fetchAll(stream, []*ask{a}); err != nil {
		return a.got, err
	}
	return a.got, a.err
}

// fetchAll asks many consumers at the same time, each once, and returns when
// all have given what they have. Its error means that answers are missing.
func (p *puller) fetchAll(stream string, asks []*ask) error {
	p.drain()
	var byName, byReply map[string]*ask
	if len(asks) > 1 {
		byName, byReply = make(map[string]*ask, len(asks)), make(map[string]*ask, len(asks))
	}
	longest := time.Duration(0)
	for _, a := range asks {
		p.serial++
		a.reply = p.prefix + "." + strconv.FormatUint(p.serial, 36)
		linger := max(a.linger, leastLinger)
		longest = max(longest, linger)
		req := strconv.AppendInt([]byte(`{"batch":`), int64(a.n), 10)
		req = append(strconv.AppendInt(append(req, `,"no_wait":true,"expires":`...), int64(linger), 10), '}')
		if err := p.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+a.consumer, a.reply, req); err != nil {
			return fmt.Errorf("ask for jobs: %w", err)
		}
		if byName != nil {
			byName[a.consumer], byReply[a.reply] = a, a
		}
	}
	timer := time.NewTimer(requestTimeout + longest)
	defer timer.Stop()
	for left := len(asks); left > 0; {
		var m *nats.Msg
		var ok bool
		select {
		case m, ok = <-p.msgs:
		case <-p.lost:
			return errPullLost
		case <-timer.C:
			return errPullTimeout
		}
		if !ok {
			return nats.ErrConnectionClosed
		}
		a := asks[0]
		switch job := m.Reply != ""; { // a job's reply subject is where it is acknowledged
		case job:
			name := ackedConsumer(m.Reply)
			if byName != nil {
				a = byName[name]
			}
			if a == nil || a.consumer != name || a.done { // it was asked for earlier
				p.late(m)
				continue
			}
			a.each(m)
			if a.got++; a.got < a.n {
				continue
			}
		default:
			if byReply != nil {
				a = byReply[m.Subject]
			}
			if a == nil || a.reply != m.Subject || a.done { // the end of an earlier call
				continue
			}
			a.err = pullStatus(m)
		}
		a.done = true
		left--
	}
	return nil
}

// ackedConsumer reads the consumer's name from where a message is acknowledged:
// $JS.ACK.<stream>.<consumer>. and five tokens, or with <domain>.<account>.
// before the stream and one more token at the end.
func ackedConsumer(reply string) string {
	at := 3
	if strings.Count(reply, ".") > 8 {
		at = 5
	}
	for range at {
		_, reply, _ = strings.Cut(reply, ".")
	}
	name, _, _ := strings.Cut(reply, ".")
	return name
}

// drain hands back jobs that came after their call had given up: no slot is
// free for them.
func (p *puller) drain() {
	for {
		select {
		case m := <-p.msgs:
			if m != nil && m.Reply != "" {
				p.late(m)
			}
		case _, open := <-p.lost: // an earlier loss; asking will tell whether it is over
			if !open {
				return
			}
		default:
			return
		}
	}
}

// pullStatus reads the message that ends a pull request (ADR-13): 404 no
// messages and 408 expired are the normal end.
func pullStatus(m *nats.Msg) error {
	switch code := m.Header.Get("Status"); code {
	case "404", "408":
		return nil
	case "503":
		return nats.ErrNoResponders
	default:
		return fmt.Errorf("the server refused a pull request: %s %s", code, m.Header.Get("Description"))
	}
}
