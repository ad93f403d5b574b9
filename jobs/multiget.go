package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bounds on one request for many messages.
const (
	// maxMultiGet is how many subjects are asked for at once. The server gives
	// up beyond 1,024 (ADR-31).
	maxMultiGet = 1000
	// maxMultiBytes is how much the server may answer with at once; what is
	// left over is asked for again.
	maxMultiBytes = 8 << 20
)

// directQuery is a request for several messages of a stream (ADR-31).
type directQuery struct {
	MultiLast []string   `json:"multi_last,omitempty"`
	NextBy    string     `json:"next_by_subj,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	Seq       uint64     `json:"seq,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
}

// directMessage is one message of the answer.
type directMessage struct {
	subject string
	seq     uint64
	at      time.Time // when it was stored, by the server's clock
	header  nats.Header
	data    []byte
}

// directGet asks a stream for several messages and calls each for every one
// as it comes. pending is how many more would have matched. Any replica may
// answer, and one that lags knows less than the leader: what it does not have
// must not be taken for gone.
func directGet(ctx context.Context, nc *nats.Conn, stream string, q directQuery, each func(directMessage) error) (pending uint64, err error) {
	if q.MaxBytes == 0 {
		q.MaxBytes = maxMultiBytes
	}
	body, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return 0, fmt.Errorf("read messages of %s: %w", stream, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil { // MaxBytes bounds it
		return 0, err
	}
	if err := nc.PublishRequest(via(nc, "$JS.API.DIRECT.GET."+stream), inbox, body); err != nil {
		return 0, fmt.Errorf("read messages of %s: %w", stream, err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return 0, fmt.Errorf("read messages of %s: %w", stream, err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204": // the end of the answer
			pending, _ = strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
			return pending, nil
		case "404":
			return 0, nil
		default:
			return 0, fmt.Errorf("read messages of %s: the server answered %s %s", stream, status, m.Header.Get("Description"))
		}
		d := directMessage{subject: m.Header.Get(jetstream.SubjectHeader), header: m.Header, data: m.Data}
		if d.seq, err = strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64); err != nil {
			return 0, fmt.Errorf("read messages of %s: the answer has no sequence: %w", stream, err)
		}
		d.at, _ = time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
		if err := each(d); err != nil {
			return 0, err
		}
	}
}

// lastOfEach gives the last message of each of many subjects, in no order.
// Subjects without one are passed over.
func lastOfEach(ctx context.Context, nc *nats.Conn, stream string, subjects []string, each func(directMessage) error) error {
	for len(subjects) > 0 {
		part := subjects[:min(len(subjects), maxMultiGet)]
		subjects = subjects[len(part):]
		// The server answers by sequence and stops when it has sent enough.
		for q := (directQuery{MultiLast: part}); ; {
			last := uint64(0)
			pending, err := directGet(ctx, nc, stream, q, func(m directMessage) error {
				last = m.seq
				return each(m)
			})
			if err != nil {
				return err
			}
			if pending == 0 || last == 0 {
				break
			}
			q.Seq = last + 1
		}
	}
	return nil
}

// errStop ends a walk early.
var errStop = errors.New("stop")
