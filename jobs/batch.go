package jobs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"boxfleet/limits"
)

// BatchState is where a batch is in its life.
type BatchState string

// The states of a batch.
const (
	BatchOpen   BatchState = "open"   // jobs are still being submitted
	BatchClosed BatchState = "closed" // all are submitted; some have not ended
	BatchEnded  BatchState = "ended"  // all have ended
)

// Batch is the record of jobs that belong together: one key of the batches
// bucket, changed by compare-and-set only.
//
// What a batch consists of is numbered from 0, and its positions are listed by
// members messages, stored together with the jobs they list. The coordinator
// counts by looking at the records of the jobs listed; a position is counted
// once, however often it is listed and by whichever coordinator, because
// Counted is in the same record as Final.
type Batch struct {
	State  BatchState `json:"state" jsonschema:"enum=open,enum=closed,enum=ended"`
	V      int        `json:"v"`
	ID     string     `json:"id"`
	Tenant string     `json:"tenant"`
	// Generation grows when something else, or the same after its end, is
	// submitted under the id. Lists and counts of earlier ones no longer count.
	Generation int `json:"generation" jsonschema:"description=grows when the id is used for another submission"`
	// Fingerprint tells what was submitted. Submissions with the same one, while
	// the batch is open, are one.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Chunk is how many positions a members message lists, except the last.
	Chunk     int       `json:"chunk"`
	CreatedAt time.Time `json:"created_at"`
	ClosedAt  time.Time `json:"closed_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// Total is how many jobs there are; known once the batch is not open.
	Total int `json:"total" jsonschema:"description=jobs in all; 0 while the batch is open"`
	// Listed is how many of them the coordinator has seen so far.
	Listed int `json:"listed" jsonschema:"description=jobs submitted so far"`
	// Counts are the ended jobs by outcome, as last counted.
	Counts map[Outcome]int `json:"counts" jsonschema:"description=ended jobs by outcome"`
	// Forgotten are jobs whose records were gone before they could be counted.
	Forgotten int `json:"forgotten,omitempty" jsonschema:"description=jobs whose results were no longer kept when they were counted"`

	// Final are the counts of the positions in Counted.
	Final   map[Outcome]int `json:"final,omitempty"`
	Counted spans           `json:"counted,omitempty"`

	CancelRequested bool `json:"cancel_requested,omitempty"`
	// Notify says who is told of the end, Notice what became of it.
	Notify *Notify `json:"notify,omitempty"`
	Notice *Notice `json:"notice,omitempty"`
	// Announced says that the batch's end is in the events stream.
	Announced bool `json:"announced,omitempty"`
}

// Ended is how many jobs have ended, as last counted.
func (b *Batch) Ended() int { return tally(b.Counts) + b.Forgotten }

// AllSucceeded tells whether the batch has ended and every job of it succeeded.
func (b *Batch) AllSucceeded() bool {
	return b.State == BatchEnded && b.Counts[Succeeded] == b.Total
}

func tally(counts map[Outcome]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

// batchKey is the record's key in the batches bucket.
func batchKey(tenant, id string) string { return tenant + "." + id }

func (b *Batch) encode() ([]byte, error) {
	data, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode the record of batch %s: %w", b.ID, err)
	}
	return data, nil
}

// decodeBatch reads a batch's record. Its key is what says whose it is.
func decodeBatch(key string, data []byte) (*Batch, error) {
	var b Batch
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("decode the record of batch %s: %w", key, err)
	}
	switch {
	case b.V != WireVersion:
		return nil, fmt.Errorf("decode the record of batch %s: version %d, this program knows %d", key, b.V, WireVersion)
	case batchKey(b.Tenant, b.ID) != key:
		return nil, fmt.Errorf("decode the record of batch %s: it says that it is %s.%s", key, b.Tenant, b.ID)
	case b.State != BatchOpen && b.State != BatchClosed && b.State != BatchEnded:
		return nil, fmt.Errorf("decode the record of batch %s: unknown state %q", key, b.State)
	case b.Total < 0 || b.Total > MaxBatchJobs || b.Chunk < 1 || b.Chunk > maxChunk:
		return nil, fmt.Errorf("decode the record of batch %s: %d jobs in chunks of %d cannot be", key, b.Total, b.Chunk)
	}
	if err := b.Counted.check(); err != nil {
		return nil, fmt.Errorf("decode the record of batch %s: %w", key, err)
	}
	if b.Counts == nil {
		b.Counts = map[Outcome]int{}
	}
	return &b, nil
}

// Bounds of a batch.
const (
	// MaxBatchJobs is the most jobs of one batch.
	MaxBatchJobs = 10_000_000
	// maxChunk leaves room for the members message in an atomic batch.
	maxChunk = maxAtomicBatch - 1
	// minChunk keeps the list of what was counted short.
	minChunk = 100
)

// settleAt takes the outcomes of positions [from, from+len(outcomes)) into the
// final counts, except those that are counted already. It tells whether that
// changed anything.
func (b *Batch) settleAt(from int, outcomes []ending) bool {
	changed := false
	for i, e := range outcomes {
		if e == unfinished || b.Counted.has(from+i) {
			continue
		}
		changed = true
		if e == forgotten {
			b.Forgotten++
			continue
		}
		if b.Final == nil {
			b.Final = map[Outcome]int{}
		}
		b.Final[e.outcome()]++
	}
	for i := 0; i < len(outcomes); i++ {
		start := i
		for i < len(outcomes) && outcomes[i] != unfinished {
			i++
		}
		b.Counted = b.Counted.add(from+start, from+i)
	}
	return changed
}

// ending is how one position ended, in a byte.
type ending uint8

const (
	unfinished ending = iota
	forgotten         // no record, and no message either
	endings           // from here on: endings + index into Outcomes
)

func endingOf(o Outcome) ending {
	i := slices.Index(Outcomes, o)
	if i < 0 {
		i = slices.Index(Outcomes, Failed) // what a later worker may say is no success
	}
	return endings + ending(i)
}

func (e ending) outcome() Outcome { return Outcomes[e-endings] }

// Notify says who is told when a batch ends. Nobody when both are empty.
type Notify struct {
	// Subject is a NATS subject below notify.<tenant>.
	Subject string `json:"subject,omitempty" jsonschema:"description=NATS subject below notify.<tenant>"`
	// Webhook is sent a signed POST request.
	Webhook *Webhook `json:"webhook,omitempty"`
}

// Webhook is an HTTP endpoint that is told of a batch's end, by the Standard
// Webhooks specification (https://www.standardwebhooks.com).
type Webhook struct {
	URL string `json:"url" jsonschema:"description=https:// address"`
	// Secret is secret://name of the operator's secrets, with which the
	// request is signed.
	Secret string `json:"secret" jsonschema:"description=secret://name of the operator's secrets that signs the request"`
}

const (
	maxNotifySubject = 256
	maxWebhookURL    = 2048
	secretPrefix     = "secret://"
)

// validate judges what can be judged without the operator's settings.
func (n *Notify) validate(tenant string) error {
	bad := func(field, format string, args ...any) error {
		return &limits.FieldError{Field: field, Err: fmt.Errorf(format, args...)}
	}
	if s := n.Subject; s != "" {
		prefix := notifyPrefix(tenant)
		rest, below := strings.CutPrefix(s, prefix)
		plain := !strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '*' || r == '>' })
		if !below || rest == "" || !plain || len(s) > maxNotifySubject || slices.Contains(strings.Split(rest, "."), "") {
			return bad("notify.subject", "%q is not a subject below %s", shorten(s, maxNotifySubject), prefix)
		}
	}
	h := n.Webhook
	if h == nil {
		return nil
	}
	u, err := url.Parse(h.URL)
	switch {
	case len(h.URL) > maxWebhookURL:
		return bad("notify.webhook.url", "%d bytes; at most %d", len(h.URL), maxWebhookURL)
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return bad("notify.webhook.url", "%q is no https:// address", h.URL)
	case u.User != nil:
		return bad("notify.webhook.url", "has a user or password in it; whoever may list batches could read it")
	case u.Fragment != "":
		return bad("notify.webhook.url", "%q has a fragment, which is never sent", h.URL)
	}
	if name, ok := strings.CutPrefix(h.Secret, secretPrefix); !ok || name == "" || len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return bad("notify.webhook.secret", "%q is not secret://NAME of one of the operator's secrets", shorten(h.Secret, 80))
	}
	return nil
}

func notifyPrefix(tenant string) string { return "notify." + tenant + "." }

// Notice is what became of a notification.
type Notice struct {
	// State is pending, delivered, failed or refused.
	State    NoticeState `json:"state" jsonschema:"enum=pending,enum=delivered,enum=failed,enum=refused"`
	Attempts int         `json:"attempts,omitempty"`
	// NextAt is when it is tried again, LastAt when it was tried last.
	NextAt time.Time `json:"next_at,omitzero"`
	LastAt time.Time `json:"last_at,omitzero"`
	Error  string    `json:"error,omitempty"`
	// Subject says that the NATS subject was told.
	Subject bool `json:"subject,omitempty"`
}

// NoticeState says what became of a notification.
type NoticeState string

// States of a notification.
const (
	NoticePending   NoticeState = "pending"
	NoticeDelivered NoticeState = "delivered"
	NoticeFailed    NoticeState = "failed"  // not within the time there is for it
	NoticeRefused   NoticeState = "refused" // by the operator's settings
)

// clone gives a copy that shares nothing that is changed in place.
func (b *Batch) clone() *Batch {
	c := *b
	c.Counts, c.Final, c.Counted = maps.Clone(b.Counts), maps.Clone(b.Final), slices.Clone(b.Counted)
	if b.Notice != nil {
		n := *b.Notice
		c.Notice = &n
	}
	return &c
}

// members is the message that lists some positions of a batch.
type members struct {
	V          int `json:"v"`
	Generation int `json:"generation"`
	From       int `json:"from"` // position of the first
	// Prefix is what all ids begin with, which derived ones do.
	Prefix string   `json:"prefix,omitempty"`
	IDs    []string `json:"ids"` // without the prefix
}

func newMembers(generation, from int, ids []string) *members {
	m := &members{V: WireVersion, Generation: generation, From: from, IDs: make([]string, len(ids))}
	if len(ids) > 0 {
		m.Prefix = ids[0]
	}
	for _, id := range ids {
		for !strings.HasPrefix(id, m.Prefix) {
			m.Prefix = m.Prefix[:len(m.Prefix)-1]
		}
	}
	for i, id := range ids {
		m.IDs[i] = id[len(m.Prefix):]
	}
	return m
}

// decodeMembers reads a members message and gives the ids in full.
func decodeMembers(data []byte) (*members, []string, error) {
	var m members
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return nil, nil, fmt.Errorf("decode a list of members: %w", err)
	}
	switch {
	case m.V != WireVersion:
		return nil, nil, fmt.Errorf("decode a list of members: version %d, this program knows %d", m.V, WireVersion)
	case m.From < 0 || len(m.IDs) == 0 || len(m.IDs) > maxChunk || m.From > MaxBatchJobs-len(m.IDs) || m.Generation < 1:
		return nil, nil, fmt.Errorf("decode a list of members: %d of them from %d in generation %d cannot be", len(m.IDs), m.From, m.Generation)
	}
	ids := make([]string, len(m.IDs))
	for i, id := range m.IDs {
		if ids[i] = m.Prefix + id; !ValidID(ids[i]) {
			return nil, nil, fmt.Errorf("decode a list of members: %q is not an id", shorten(ids[i], 80))
		}
	}
	return &m, ids, nil
}

// membersSubject is where the list of n positions from one on is stored. The
// last token says it all, so that a list can be passed over unread.
func membersSubject(tenant, batch string, generation, from, n int) string {
	return fmt.Sprintf("members.%s.%s.%d-%d-%d", tenant, batch, generation, from, n)
}

// splitMembers reads such a subject.
func splitMembers(subject string) (tenant, batch string, generation, from, n int, ok bool) {
	parts := strings.Split(subject, ".")
	if len(parts) != 4 || parts[0] != "members" {
		return "", "", 0, 0, 0, false
	}
	if _, err := fmt.Sscanf(parts[3], "%d-%d-%d", &generation, &from, &n); err != nil {
		return "", "", 0, 0, 0, false
	}
	ok = generation > 0 && from >= 0 && n > 0 && n <= maxChunk && from <= MaxBatchJobs-n && subject == membersSubject(parts[1], parts[2], generation, from, n)
	return parts[1], parts[2], generation, from, n, ok
}
