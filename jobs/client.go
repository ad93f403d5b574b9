package jobs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"boxfleet/limits"
)

// maxAtomicBatch is the most messages JetStream takes in one atomic batch
// (ADR-50).
const maxAtomicBatch = 1000

// requestTimeout bounds one exchange with the server.
const requestTimeout = 10 * time.Second

// Client submits jobs for one tenant and follows them. It is safe for
// concurrent use.
type Client struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	tenant string
	status jetstream.KeyValue
	tools  jetstream.KeyValue
	clock  *fleetClock
	queues *queueMaker

	mu     sync.Mutex
	unique jetstream.KeyValue // bound at its first use
	book   *batchBook         // opened at its first use
}

// NewClient binds to the streams and buckets of a fleet; ErrNoFleet when they
// are not there, ErrNoGate when the credentials are a tenant's and no gate is.
// An empty tenant means that of the connection's identity, or DefaultTenant.
func NewClient(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, tenant string) (*Client, error) {
	tenant, err := tenantOf(nc, tenant)
	if err != nil {
		return nil, err
	}
	c := &Client{nc: nc, js: js, tenant: tenant, clock: newFleetClock(nil)}
	c.queues = newQueueMaker(js, c.clock.now)
	if c.status, err = bindBucket(ctx, js, BucketStatus); err != nil {
		if IdentityOf(nc).Gated() && nobodyAnswers(err) {
			return nil, fmt.Errorf("%s: %w", IdentityOf(nc), ErrNoGate)
		}
		return nil, err
	}
	if c.tools, err = bindBucket(ctx, js, BucketTools); err != nil {
		return nil, err
	}
	return c, nil
}

func bindBucket(ctx context.Context, js jetstream.JetStream, name string) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrBucketNotFound):
		return nil, ErrNoFleet
	case err != nil:
		return nil, fmt.Errorf("open bucket %s: %w", name, hintJetStream(err))
	}
	return kv, nil
}

// Tenant is whose jobs this client submits.
func (c *Client) Tenant() string { return c.tenant }

// Receipt says what became of a submission.
type Receipt struct {
	ID string
	// Duplicate: the id, or its idempotency key, was submitted before; the
	// first job stands, and ID is its id.
	Duplicate bool
	// State of a job that was known by its idempotency key.
	State State
	// Expired: the first job with this idempotency key has ended so long ago
	// that its result is no longer kept.
	Expired bool
}

// Submit validates one job and hands it to JetStream. When it returns without
// an error the job is stored and will end in exactly one result.
func (c *Client) Submit(ctx context.Context, j *Job) (Receipt, error) {
	if j.IdempotencyKey != "" {
		return c.submitUnique(ctx, j)
	}
	return c.submit(ctx, j)
}

func (c *Client) submit(ctx context.Context, j *Job) (Receipt, error) {
	c.complete(j)
	m, err := c.message(ctx, j)
	if err != nil {
		return Receipt{}, err
	}
	if err := c.prepare(ctx, j); err != nil {
		return Receipt{}, err
	}
	ack, err := c.js.PublishMsg(ctx, m)
	if err != nil {
		return Receipt{}, fmt.Errorf("submit job %s: %w", j.ID, hintPublish(err))
	}
	c.ring(j.queueLane())
	return Receipt{ID: j.ID, Duplicate: ack.Duplicate}, nil
}

// complete fills what a submitter may leave out.
func (c *Client) complete(j *Job) {
	if j.V == 0 {
		j.V = WireVersion
	}
	if j.ID == "" {
		j.ID = NewID()
	}
	if j.Tenant == "" {
		j.Tenant = c.tenant
	}
	if j.Priority == "" {
		j.Priority = Normal
	}
	if j.SubmittedAt.IsZero() {
		j.SubmittedAt = time.Now().UTC()
	}
}

// Check completes and validates a job without sending it.
func (c *Client) Check(j *Job) error {
	c.complete(j)
	if err := j.Validate(); err != nil {
		return err
	}
	_, err := j.Encode()
	return err
}

// message makes the job's message: id for de-duplication, trace context.
func (c *Client) message(ctx context.Context, j *Job) (*nats.Msg, error) {
	if j.Tenant != c.tenant {
		return nil, &limits.FieldError{Field: "tenant", Err: fmt.Errorf("%q: this client submits for %q", j.Tenant, c.tenant)}
	}
	if err := j.Validate(); err != nil {
		return nil, err
	}
	data, err := j.Encode()
	if err != nil {
		return nil, err
	}
	now := time.Time{}
	if !j.RunAt.IsZero() {
		now = c.Now(ctx)
	}
	m := j.routed(j.firstLane(now), data)
	m.Header.Set(jetstream.MsgIDHeader, j.Tenant+"."+j.ID)
	injectTrace(ctx, m.Header)
	return m, nil
}

// injectTrace writes the W3C trace context. Without a tracer the job still
// gets a trace id of its own, so that its result and logs can be tied
// together.
func injectTrace(ctx context.Context, h nats.Header) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		var tid trace.TraceID
		var sid trace.SpanID
		_, _ = rand.Read(tid[:])
		_, _ = rand.Read(sid[:])
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: tid, SpanID: sid}))
	}
	propagation.TraceContext{}.Inject(ctx, headerCarrier(h))
}

// headerCarrier lets OpenTelemetry read and write message headers under their
// lower-case W3C names.
type headerCarrier nats.Header

func (h headerCarrier) Get(key string) string {
	if v := h[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}
func (h headerCarrier) Set(key, value string) { h[key] = []string{value} }
func (h headerCarrier) Keys() []string {
	keys := make([]string, 0, len(h))
	for k := range h {
		keys = append(keys, k)
	}
	return keys
}

// nobodyAnswers tells whether nobody listens where a request went: JetStream,
// or a gate.
func nobodyAnswers(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

func hintPublish(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return ErrNoFleet
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: NATS did not answer; the job may or may not be stored; submit again with the same id, it cannot run twice", err)
	}
	return err
}

// publishChunk stores all messages or reports which could not be: atomically
// if the server takes them so, else one by one (one duplicate id makes the
// server refuse a whole atomic batch).
func (c *Client) publishChunk(ctx context.Context, msgs []*nats.Msg) (duplicates int, err error) {
	if taken, err := c.tryAtomic(ctx, msgs); taken || err != nil {
		return 0, err
	}
	return c.publishEach(ctx, msgs)
}

// leastAtomicBatch is the fewest messages that are worth an atomic batch: the
// server makes a directory and files for each, some milliseconds of work.
const leastAtomicBatch = 200

// tryAtomic stores all messages as one atomic batch. It says whether the server
// took it: if not, nothing of it is stored.
func (c *Client) tryAtomic(ctx context.Context, msgs []*nats.Msg) (taken bool, err error) {
	if len(msgs) < leastAtomicBatch || IdentityOf(c.nc).Gated() {
		return false, nil // the gates share the work, and a batch's messages must come in order
	}
	err = c.publishAtomic(ctx, msgs)
	var refused *batchRefused
	if !errors.As(err, &refused) {
		return err == nil, err
	}
	for _, m := range msgs {
		for _, h := range []string{headerBatchID, headerBatchSeq, headerBatchCommit} {
			m.Header.Del(h)
		}
	}
	return false, nil
}

// publishEach stores messages one by one.
func (c *Client) publishEach(ctx context.Context, msgs []*nats.Msg) (duplicates int, err error) {
	acks := make([]jetstream.PubAckFuture, len(msgs))
	for i, m := range msgs {
		// The default stall wait of 200 ms fails under load.
		if acks[i], err = c.js.PublishMsgAsync(m, jetstream.WithStallWait(30*time.Second)); err != nil {
			return duplicates, fmt.Errorf("submit: %w", hintPublish(err))
		}
	}
	for _, f := range acks {
		select {
		case ack := <-f.Ok():
			if ack.Duplicate {
				duplicates++
			}
		case err := <-f.Err():
			return duplicates, fmt.Errorf("submit: %w", hintPublish(err))
		case <-ctx.Done():
			return duplicates, context.Cause(ctx)
		}
	}
	return duplicates, nil
}

const (
	headerBatchID     = "Nats-Batch-Id"
	headerBatchSeq    = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
)

// batchRefused says that the server will not take the messages as one batch.
type batchRefused struct{ reason string }

func (e *batchRefused) Error() string { return "atomic batch refused: " + e.reason }

// publishAtomic sends one atomic batch (ADR-50): the first message asks
// whether the server takes it, the last commits it.
func (c *Client) publishAtomic(ctx context.Context, msgs []*nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, 3*requestTimeout)
	defer cancel()
	ctx, release := c.untilCut(ctx)
	defer release()
	id := NewID()
	for i, m := range msgs {
		m.Header.Set(headerBatchID, id)
		m.Header.Set(headerBatchSeq, strconv.Itoa(i+1))
		last := i == len(msgs)-1
		if last {
			m.Header.Set(headerBatchCommit, "1")
		}
		if i != 0 && !last {
			if err := c.nc.PublishMsg(m); err != nil {
				return fmt.Errorf("submit: %w", err)
			}
			continue
		}
		reply, err := c.nc.RequestMsgWithContext(ctx, m)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return fmt.Errorf("submit: %w", hintPublish(err))
		}
		if err := batchReply(reply.Data, last); err != nil {
			return err
		}
	}
	return nil
}

// untilCut gives a context that ends, with the cause nats.ErrDisconnected, when
// the connection is lost: an answer that was on its way will not come any more.
func (c *Client) untilCut(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	status := c.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		select {
		case <-status:
			cancel(nats.ErrDisconnected)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		c.nc.RemoveStatusListener(status)
	}
}

func batchReply(data []byte, last bool) error {
	if len(data) == 0 {
		if last {
			return errors.New("submit: the server committed a batch without saying so")
		}
		return nil
	}
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Seq   uint64              `json:"seq"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return fmt.Errorf("submit: the server's answer to a batch is not JSON: %w", err)
	}
	if ack.Error != nil {
		return &batchRefused{reason: ack.Error.Description}
	}
	return nil
}
