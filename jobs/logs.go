package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Tail follows a running guest's output from now on, over core NATS. Make it
// before submitting to miss nothing; what it misses is in the result.
type Tail struct {
	sub *nats.Subscription
	// C gives the pieces in order. It closes when the Tail is closed.
	C <-chan LogChunk
}

// NewTail listens to the output of one job.
func (c *Client) NewTail(id string) (*Tail, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("job id %q is not 1 to 64 letters, digits, - or _", id)
	}
	out := make(chan LogChunk, 256)
	sub, err := c.nc.Subscribe(logSubject(c.tenant, id), func(m *nats.Msg) {
		var chunk LogChunk
		if json.Unmarshal(m.Data, &chunk) == nil {
			select {
			case out <- chunk:
			default: // a follower that does not read gets the rest from the result
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("follow the output of job %s: %w", id, err)
	}
	sub.SetClosedHandler(func(string) { close(out) })
	return &Tail{sub: sub, C: out}, nil
}

// Close ends the following.
func (t *Tail) Close() { _ = t.sub.Unsubscribe() }

// LogHistory calls each with the pieces of a job's output that are kept, and
// with new ones as they come, until ctx ends.
func (c *Client) LogHistory(ctx context.Context, id string, each func(LogChunk) error) error {
	if !ValidID(id) {
		return fmt.Errorf("job id %q is not 1 to 64 letters, digits, - or _", id)
	}
	cons, err := c.js.OrderedConsumer(ctx, StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{logSubject(c.tenant, id)}, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if err != nil {
		return fmt.Errorf("follow the output of job %s: %w", id, hintPublish(err))
	}
	for ctx.Err() == nil {
		m, err := cons.Next(jetstream.FetchContext(ctx))
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrNoMessages):
			continue
		case err != nil:
			return fmt.Errorf("follow the output of job %s: %w", id, err)
		}
		var chunk LogChunk
		if json.Unmarshal(m.Data(), &chunk) != nil {
			continue
		}
		if err := each(chunk); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// LogSoFar calls each with the pieces of a job's output that are kept now.
func (c *Client) LogSoFar(ctx context.Context, id string, each func(LogChunk) error) error {
	if !ValidID(id) {
		return fmt.Errorf("job id %q is not 1 to 64 letters, digits, - or _", id)
	}
	stream, err := c.js.Stream(ctx, StreamEvents)
	if err != nil {
		return fmt.Errorf("read the output of job %s: %w", id, hintPublish(err))
	}
	last, err := stream.GetLastMsgForSubject(ctx, logSubject(c.tenant, id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the output of job %s: %w", id, err)
	}
	for seq := uint64(1); seq <= last.Sequence; {
		m, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(logSubject(c.tenant, id)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil // it aged out meanwhile
		}
		if err != nil {
			return fmt.Errorf("read the output of job %s: %w", id, err)
		}
		seq = m.Sequence + 1
		var chunk LogChunk
		if json.Unmarshal(m.Data, &chunk) != nil {
			continue
		}
		if err := each(chunk); err != nil {
			return err
		}
	}
	return nil
}
