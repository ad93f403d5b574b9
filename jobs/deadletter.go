package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DeadLetter is a message that could not be turned into a run, kept with the
// reason.
type DeadLetter struct {
	Seq     uint64    `json:"seq"`
	Subject string    `json:"subject" jsonschema:"description=the subject it came on"`
	Job     string    `json:"job"`
	Tool    string    `json:"tool"`
	Error   string    `json:"error"`
	Worker  string    `json:"worker"`
	Attempt int       `json:"attempt"`
	Tries   []Try     `json:"tries,omitempty"`
	At      time.Time `json:"at"`
	// Message is the original message, byte for byte.
	Message []byte `json:"message"`
}

// maxDeadMessage bounds what a dead letter keeps of a message that is no job.
const maxDeadMessage = 256 << 10

// deadLetter stores a message with what d says of it and waits until it is
// stored.
func (w *Worker) deadLetter(ctx context.Context, m *nats.Msg, d DeadLetter) error {
	d.Subject, d.Worker, d.At, d.Message = m.Subject, w.cfg.Name, time.Now().UTC(), m.Data[:min(len(m.Data), maxDeadMessage)]
	d.Error = shorten(d.Error, maxErrorText)
	tenant := "unknown"
	if parts := strings.Split(m.Subject, "."); len(parts) == 4 && parts[0] == "jobs" {
		tenant, d.Job = subjectToken(parts[1]), parts[3]
	}
	tool := "unknown"
	if d.Tool != "" {
		tool = subjectToken(d.Tool)
	}
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode a dead letter: %w", err)
	}
	out := &nats.Msg{Subject: deadSubject(tenant, tool, subjectToken(d.Job)), Data: data, Header: nats.Header{}}
	md, err := m.Metadata()
	if err != nil {
		return err
	}
	// The id makes a crash between storing and settling leave one letter.
	out.Header.Set(jetstream.MsgIDHeader, "dlq-"+strconv.FormatUint(md.Sequence.Stream, 10))
	if _, err := w.js.PublishMsg(ctx, out); err != nil {
		return fmt.Errorf("store a dead letter: %w", err)
	}
	return nil
}

// subjectToken makes any text a single subject token.
func subjectToken(s string) string {
	if s == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if ValidID(string(r)) {
			return r
		}
		return '_'
	}, s[:min(len(s), 64)])
}
