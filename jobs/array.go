package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/limits"
)

// Bounds of an array.
const (
	// MaxArray is the most jobs of one array.
	MaxArray = 1_000_000
	// MaxArraySize is the most bytes that the messages of an array's jobs may
	// have together: one message must not fill the queue's disk.
	MaxArraySize = 1 << 30
	// maxArrayID leaves room for the index in the jobs' ids.
	maxArrayID = 56
)

// Index is what stands for a job's number within its array, counted from 0, in
// any text of the array's job: arguments, standard input, sources, outputs,
// environment, labels, keys. {{index:N}} is the number with leading zeros, N
// digits long.
const Index = "{{index}}"

// Array is many jobs that differ in their index alone. It travels as one
// message, and workers make the jobs of it, with the ids <id>-<index>. Its id
// is also that of their batch.
type Array struct {
	V      int    `json:"v"`
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	Count  int    `json:"count"`
	// Job is the pattern of the jobs. Its id and batch are given by the array.
	Job *Job `json:"job"`
}

// ArrayReceipt says what became of an array's submission.
type ArrayReceipt struct {
	ID string
	// Duplicate: the same array was submitted under the id before.
	Duplicate bool
}

// arraySubject is where an array waits to be made into jobs.
func arraySubject(tenant, id string) string { return "submit." + tenant + ".array." + id }

// MemberID is the id of the array's job with an index.
func (a *Array) MemberID(index int) string { return a.ID + "-" + strconv.Itoa(index) }

// SubmitArray validates an array and hands it to JetStream. When it returns
// without an error the array is stored, and each of its jobs will end in
// exactly one result. The jobs appear as workers make them. Submitting it
// again is safe; another array under the id is an error. notify says who is
// told of its end; it may be nil.
func (c *Client) SubmitArray(ctx context.Context, a *Array, notify *Notify) (ArrayReceipt, error) {
	if err := c.CheckArray(a); err != nil {
		return ArrayReceipt{}, err
	}
	data, fingerprint, err := a.encode()
	if err != nil {
		return ArrayReceipt{}, err
	}
	old, err := c.Batch(ctx, a.ID)
	if _, missing := errors.AsType[*NotFoundError](err); err != nil && !missing {
		return ArrayReceipt{}, err
	}
	receipt := ArrayReceipt{ID: a.ID}
	switch {
	case old != nil && old.Fingerprint != fingerprint:
		return receipt, &limits.FieldError{Field: "id", Err: fmt.Errorf("%q is the id of another array or batch; choose another one", a.ID)}
	case old != nil:
		receipt.Duplicate = true
		if old.State == BatchEnded || old.CancelRequested || old.Listed >= a.Count {
			return receipt, nil
		}
		// The array's message may be missing: whoever sent it died in between.
	default:
		if _, err := c.OpenBatch(ctx, BatchSpec{ID: a.ID, Fingerprint: fingerprint, Total: a.Count, Notify: notify}); err != nil {
			return receipt, err
		}
	}
	if err := c.ensure(ctx, a.Job.Priority); err != nil {
		return receipt, err
	}
	m := &nats.Msg{Subject: arraySubject(a.Tenant, a.ID), Data: data, Header: nats.Header{}}
	m.Header.Set(jetstream.MsgIDHeader, "array."+a.Tenant+"."+a.ID+"."+fingerprint)
	injectTrace(ctx, m.Header)
	if _, err := c.js.PublishMsg(ctx, m); err != nil {
		return receipt, fmt.Errorf("submit array %s: %w", a.ID, hintPublish(err))
	}
	return receipt, nil
}

// CheckArray completes and validates an array without sending it. Its first
// and its last job stand for all: the others differ in fewer digits.
func (c *Client) CheckArray(a *Array) error {
	if a.Job == nil {
		return &limits.FieldError{Field: "job", Err: errors.New("is missing")}
	}
	if a.V == 0 {
		a.V = WireVersion
	}
	if a.ID == "" {
		a.ID = NewID()
	}
	if a.Tenant == "" {
		a.Tenant = c.tenant
	}
	if a.Tenant != c.tenant {
		return &limits.FieldError{Field: "tenant", Err: fmt.Errorf("%q: this client submits for %q", a.Tenant, c.tenant)}
	}
	a.Job.ID, a.Job.Batch = a.ID+"-"+Index, a.ID
	c.complete(a.Job)
	_, err := a.pattern()
	if err != nil {
		return err
	}
	_, _, err = a.encode()
	return err
}

// pattern validates the array and gives the pattern of its jobs.
func (a *Array) pattern() (*pattern, error) {
	bad := func(field, format string, args ...any) error {
		return &limits.FieldError{Field: field, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case a.V != WireVersion:
		return nil, bad("v", "%d is not a message version this program knows; it knows %d", a.V, WireVersion)
	case !ValidID(a.ID) || len(a.ID) > maxArrayID:
		return nil, bad("id", "%q is not 1 to %d letters, digits, - or _: the jobs' ids are made of it", shorten(a.ID, 80), maxArrayID)
	case !ValidID(a.Tenant):
		return nil, bad("tenant", "%q is not 1 to 64 letters, digits, - or _", shorten(a.Tenant, 80))
	case a.Count < 1 || a.Count > MaxArray:
		return nil, bad("count", "%d; write 1 to %d", a.Count, MaxArray)
	case a.Job == nil:
		return nil, bad("job", "is missing")
	case a.Job.Tenant != a.Tenant:
		return nil, bad("job.tenant", "%q is not the array's, %q", shorten(a.Job.Tenant, 80), a.Tenant)
	case a.Job.ID != a.ID+"-"+Index || a.Job.Batch != a.ID:
		return nil, bad("job.id", "the ids of an array's jobs are made of the array's")
	case a.Job.IdempotencyKey != "" && !strings.Contains(a.Job.IdempotencyKey, "{{index"):
		return nil, bad("job.idempotency_key", "would make all jobs of the array one; put %s into it", Index)
	}
	p, err := newPattern(a.Job)
	if err != nil {
		return nil, err
	}
	for _, i := range []int{0, a.Count - 1} {
		if _, err := p.job(i); err != nil {
			return nil, fmt.Errorf("the job with index %d: %w", i, err)
		}
	}
	if size := p.size(a.Count - 1); size > MaxArraySize/a.Count {
		return nil, bad("count", "%d jobs of %d bytes are more than %d MiB of messages; submit fewer at once, or put what is large into the store", a.Count, size, MaxArraySize>>20)
	}
	return p, nil
}

// encode gives the array's message, or *TooLargeError, and a fingerprint of
// what it would make, whenever it is submitted.
func (a *Array) encode() (data []byte, fingerprint string, err error) {
	if data, err = json.Marshal(a); err != nil {
		return nil, "", fmt.Errorf("encode array %s: %w", a.ID, err)
	}
	if len(data) > MaxJobSize {
		return nil, "", &TooLargeError{ID: a.ID, Size: len(data)}
	}
	timeless := *a.Job
	timeless.SubmittedAt = timeless.RunAt // the same array, submitted again
	same, err := json.Marshal(&Array{V: a.V, ID: a.ID, Tenant: a.Tenant, Count: a.Count, Job: &timeless})
	if err != nil {
		return nil, "", fmt.Errorf("encode array %s: %w", a.ID, err)
	}
	sum := sha256.Sum256(same)
	return data, "array-" + hex.EncodeToString(sum[:16]), nil
}

// decodeArray reads an array's message.
func decodeArray(data []byte) (*Array, *pattern, error) {
	if len(data) > MaxJobSize {
		return nil, nil, fmt.Errorf("decode array: %d bytes, at most %d", len(data), MaxJobSize)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var a Array
	if err := dec.Decode(&a); err != nil {
		return nil, nil, fmt.Errorf("decode array: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, errors.New("decode array: more data after the array")
	}
	p, err := a.pattern()
	if err != nil {
		return nil, nil, fmt.Errorf("decode array: %w", err)
	}
	return &a, p, nil
}

// pattern is the JSON of a job, cut where an index stands. An index is digits
// only, so it cannot end the text it stands in.
type pattern struct {
	parts [][]byte
	width []int // digits of the index after each part but the last
}

// maxIndexWidth bounds {{index:N}}.
const maxIndexWidth = 18

func newPattern(j *Job) (*pattern, error) {
	data, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("encode job %s: %w", j.ID, err)
	}
	p := &pattern{}
	for rest := data; ; {
		before, after, found := bytes.Cut(rest, []byte("{{index"))
		if !found {
			p.parts = append(p.parts, rest)
			return p, nil
		}
		form, tail, closed := bytes.Cut(after, []byte("}}"))
		width := 0
		if len(form) > 0 {
			n, err := strconv.Atoi(string(bytes.TrimPrefix(form, []byte(":"))))
			if form[0] != ':' || err != nil || n < 1 || n > maxIndexWidth {
				closed = false
			}
			width = n
		}
		if !closed {
			return nil, &limits.FieldError{Field: "job", Err: fmt.Errorf("%q is not %s, nor {{index:N}} with 1 to %d digits", shorten("{{index"+string(form), 40), Index, maxIndexWidth)}
		}
		p.parts, p.width = append(p.parts, before), append(p.width, width)
		rest = tail
	}
}

// size is the length in bytes of the message of the job with an index.
func (p *pattern) size(index int) int { return len(p.message(index)) }

// job makes the job with an index.
func (p *pattern) job(index int) (*Job, error) { return Decode(p.message(index)) }

func (p *pattern) message(index int) []byte {
	var b bytes.Buffer
	for i, part := range p.parts {
		b.Write(part)
		if i < len(p.width) {
			fmt.Fprintf(&b, "%0*d", p.width[i], index)
		}
	}
	return b.Bytes()
}
