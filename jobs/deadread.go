package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// DeadFilter chooses dead letters; the zero value takes all. Every field that
// is set must match.
type DeadFilter struct {
	// Job is a job's id, Tool a tool's name or NAME@VERSION.
	Job, Tool string
	// Error is a part of the error's text, in any case of letters.
	Error string
	// Since and Until bound the time of death.
	Since, Until time.Time
}

// Takes tells whether the filter chooses the letter.
func (f DeadFilter) Takes(d *DeadLetter) bool {
	name, _, _ := strings.Cut(d.Tool, "@")
	switch {
	case f.Job != "" && f.Job != d.Job,
		f.Tool != "" && f.Tool != d.Tool && f.Tool != name,
		f.Error != "" && !strings.Contains(strings.ToLower(d.Error), strings.ToLower(f.Error)),
		!f.Since.IsZero() && d.At.Before(f.Since),
		!f.Until.IsZero() && !d.At.Before(f.Until):
		return false
	}
	return true
}

// DeadLetters walks the tenant's dead letters, oldest first.
func (c *Client) DeadLetters(ctx context.Context) iter.Seq2[*DeadLetter, error] {
	return func(yield func(*DeadLetter, error) bool) {
		stream, err := c.deadStream(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for seq := uint64(1); ; {
			m, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject("dlq."+c.tenant+".>"))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("read the dead letters: %w", err))
				return
			}
			d, err := decodeDead(m)
			if !yield(d, err) {
				return
			}
			seq = m.Sequence + 1
		}
	}
}

// DeadLetter reads one of the tenant's dead letters by its sequence number.
func (c *Client) DeadLetter(ctx context.Context, seq uint64) (*DeadLetter, error) {
	stream, err := c.deadStream(ctx)
	if err != nil {
		return nil, err
	}
	missing := &NotFoundError{Kind: "dead letter", Name: strconv.FormatUint(seq, 10), Hint: "list them with: submit dlq list"}
	// The first from there on that is the tenant's: another's is nobody's business.
	m, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject("dlq."+c.tenant+".>"))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, missing
	case err != nil:
		return nil, fmt.Errorf("read dead letter %d: %w", seq, err)
	case m.Sequence != seq:
		return nil, missing
	}
	return decodeDead(m)
}

func (c *Client) deadStream(ctx context.Context) (jetstream.Stream, error) {
	stream, err := c.js.Stream(ctx, StreamDead)
	if err != nil {
		return nil, fmt.Errorf("open the dead letters: %w", hintPublish(err))
	}
	return stream, nil
}

func decodeDead(m *jetstream.RawStreamMsg) (*DeadLetter, error) {
	var d DeadLetter
	if err := json.Unmarshal(m.Data, &d); err != nil {
		return nil, fmt.Errorf("decode dead letter %d: %w", m.Sequence, err)
	}
	d.Seq = m.Sequence
	return &d, nil
}

// PurgeDead removes one dead letter for good.
func (c *Client) PurgeDead(ctx context.Context, d *DeadLetter) error {
	stream, err := c.deadStream(ctx)
	if err != nil {
		return err
	}
	if err := stream.DeleteMsg(ctx, d.Seq); err != nil && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return fmt.Errorf("remove dead letter %d: %w", d.Seq, err)
	}
	c.audit(AuditEvent{Action: "dlq.purge", Target: strconv.FormatUint(d.Seq, 10), Jobs: []string{d.Job}})
	return nil
}

// Replay makes a new job of a dead letter's message: the same work under a new
// id, which names the dead job as ReplayOf. The letter stays, so that its
// history does; replaying it again finds the first replay, unless again is
// set. What the old job waited for (a time, other jobs, an end of its own) is
// behind it and left out.
func (c *Client) Replay(ctx context.Context, d *DeadLetter, again bool) (Receipt, error) {
	j, err := Decode(d.Message)
	if err != nil {
		return Receipt{}, fmt.Errorf("replay dead letter %d: its message is no job that could run: %w", d.Seq, err)
	}
	if j.Tenant != c.tenant {
		return Receipt{}, fmt.Errorf("replay dead letter %d: it holds a job of tenant %q, this client is %q's", d.Seq, j.Tenant, c.tenant)
	}
	j.ReplayOf, j.ID = j.ID, ReplayID(j.ID, d.Seq)
	j.Batch, j.IdempotencyKey, j.IdempotencyWindow = "", "", 0
	j.RunAt, j.ExpiresAt, j.After, j.Retry.NotAfter = time.Time{}, time.Time{}, nil, time.Time{}
	if again {
		j.ID = ReplayID(j.ReplayOf+NewID(), d.Seq)
	} else {
		rec, err := c.Get(ctx, j.ID)
		if err == nil {
			return Receipt{ID: j.ID, Duplicate: true, State: rec.State}, nil
		}
		if _, missing := errors.AsType[*NotFoundError](err); !missing {
			return Receipt{}, err
		}
	}
	j.SubmittedAt = time.Now().UTC()
	receipt, err := c.submit(ctx, j)
	if err == nil {
		c.audit(AuditEvent{Action: "dlq.replay", Target: strconv.FormatUint(d.Seq, 10), Jobs: []string{j.ID}})
	}
	return receipt, err
}

// ReplayID is the id that the first replay of a dead letter gets.
func ReplayID(job string, seq uint64) string {
	tail := "-r" + strconv.FormatUint(seq, 10)
	if len(job)+len(tail) <= 64 {
		return job + tail
	}
	sum := sha256.Sum256([]byte(job))
	return job[:64-len(tail)-13] + "-" + hex.EncodeToString(sum[:6]) + tail
}
