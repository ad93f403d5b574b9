package jobs

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// puller asks JetStream for messages of many consumers over one subscription.
// The jetstream package's Fetch makes and removes a subscription, a goroutine
// and a timer a message for every call; at thousands of small jobs a second
// that is a large part of a worker's own cost (see RATIONALE.md).
//
// Only the dispatcher goroutine calls fetch, one call at a time.
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

// fetch asks one consumer for at most n messages that are there now and calls
// each for every one as it comes. It returns how many came; fewer than n
// means that the consumer has no more to give at the moment. With linger, an
// empty consumer may take so long before it says so.
func (p *puller) fetch(stream, consumer string, n int, linger time.Duration, each func(*nats.Msg)) (int, error) {
	p.drain()
	p.serial++
	reply := p.prefix + "." + strconv.FormatUint(p.serial, 36)
	req := append(strconv.AppendInt([]byte(`{"batch":`), int64(n), 10), `,"no_wait":true`...)
	if linger > 0 {
		req = strconv.AppendInt(append(req, `,"expires":`...), int64(linger), 10)
	}
	req = append(req, '}')
	if err := p.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+consumer, reply, req); err != nil {
		return 0, fmt.Errorf("ask for jobs: %w", err)
	}
	timer := time.NewTimer(requestTimeout + linger)
	defer timer.Stop()
	got := 0
	for got < n {
		select {
		case m, ok := <-p.msgs:
			switch {
			case !ok:
				return got, nats.ErrConnectionClosed
			case m.Reply != "": // a job; its reply subject is where it is acknowledged
				each(m)
				got++
			case m.Subject == reply: // the end of this call, not of an earlier one
				return got, pullStatus(m)
			}
		case <-p.lost:
			return got, errPullLost
		case <-timer.C:
			return got, errPullTimeout
		}
	}
	return got, nil
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
