package gate

import (
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/jobs"
)

// Bounds on what one request may be answered with.
const (
	maxBatch      = 1024
	maxBatchBytes = 8 << 20
)

// directQuery is a request for stored messages (ADR-31). Without one of the
// three fields that name subjects it would read whatever has a number.
type directQuery struct {
	Seq       uint64     `json:"seq,omitempty"`
	LastBy    string     `json:"last_by_subj,omitempty"`
	NextBy    string     `json:"next_by_subj,omitempty"`
	MultiLast []string   `json:"multi_last,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	UpToSeq   uint64     `json:"up_to_seq,omitempty"`
	UpToTime  *time.Time `json:"up_to_time,omitempty"`
}

// directGet passes a read on. rest is a subject that stands in the request's
// own; it goes on in the payload, where a wildcard is no subject to publish to.
func (r *request) directGet(stream string, rest []string) (*action, error) {
	var q directQuery
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		if len(r.data) > 0 {
			return nil, refuse("a read of one subject has no payload")
		}
		q.LastBy = strings.Join(rest, ".")
	}
	filters := append([]string(nil), q.MultiLast...)
	for _, f := range []string{q.LastBy, q.NextBy} {
		if f != "" {
			filters = append(filters, f)
		}
	}
	switch {
	case len(filters) == 0:
		return nil, refuse("a read must name subjects: numbers are everybody's")
	case len(filters) > maxBatch:
		return nil, refuse("%d subjects; at most %d at once", len(filters), maxBatch)
	}
	if err := checkRead(r, stream, filters...); err != nil {
		return nil, err
	}
	if q.Batch > 0 || len(q.MultiLast) > 0 {
		if q.Batch < 0 || q.Batch > maxBatch {
			return nil, refuse("batch %d; at most %d", q.Batch, maxBatch)
		}
		if q.MaxBytes <= 0 || q.MaxBytes > maxBatchBytes {
			q.MaxBytes = maxBatchBytes
		}
	}
	return r.apiCall("$JS.API.DIRECT.GET."+stream, q, nil)
}

// leaderGet passes on a read of one message from the stream's leader.
func (r *request) leaderGet(stream string) (*action, error) {
	var q struct {
		Seq    uint64 `json:"seq,omitempty"`
		LastBy string `json:"last_by_subj,omitempty"`
		NextBy string `json:"next_by_subj,omitempty"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	filter := q.LastBy + q.NextBy
	if filter == "" || q.LastBy != "" && (q.NextBy != "" || q.Seq != 0) {
		return nil, refuse("a read must name a subject: numbers are everybody's")
	}
	if err := checkRead(r, stream, filter); err != nil {
		return nil, err
	}
	return r.apiCall("$JS.API.STREAM.MSG.GET."+stream, q, nil)
}

// infoQuery is a request for a stream's state.
type infoQuery struct {
	Offset         int    `json:"offset,omitempty"`
	Limit          int    `json:"limit,omitempty"`
	DeletedDetails bool   `json:"deleted_details,omitempty"`
	Filter         string `json:"subjects_filter,omitempty"`
}

// streamInfo answers what a stream is, without what it holds of others: counts,
// sequences and servers are left out, subjects are the tenant's.
func (g *Gate) streamInfo(r *request, stream string) (*action, error) {
	var q infoQuery
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	if err := r.apiHeaders(); err != nil {
		return nil, err
	}
	filters := []string{}
	if q.Filter != "" {
		filters = append(filters, q.Filter)
	}
	if err := checkRead(r, stream, filters...); err != nil {
		return nil, err
	}
	if r.reply == "" {
		return nil, refuse("nobody is to be answered")
	}
	q.DeletedDetails = false
	act := &action{}
	act.ask = func() error {
		answer := map[string]json.RawMessage{}
		if err := g.call("STREAM.INFO."+stream, q, &answer); err != nil {
			return err
		}
		data, err := json.Marshal(narrowed(answer, q.Filter != ""))
		if err != nil {
			return err
		}
		act.out = &nats.Msg{Subject: r.reply, Data: data}
		r.reply = "" // the answer has none itself
		return nil
	}
	return act, nil
}

// narrowed leaves of a stream's state what a tenant may know.
func narrowed(answer map[string]json.RawMessage, subjects bool) map[string]any {
	out := map[string]any{}
	for _, k := range []string{"type", "config", "created", "ts", "total", "offset", "limit"} {
		if v, ok := answer[k]; ok {
			out[k] = v
		}
	}
	state := map[string]any{
		"messages": 0, "bytes": 0, "first_seq": 0, "last_seq": 0, "consumer_count": 0,
		"first_ts": time.Time{}, "last_ts": time.Time{},
	}
	var have struct {
		Subjects map[string]uint64 `json:"subjects"`
	}
	if subjects && json.Unmarshal(answer["state"], &have) == nil {
		state["subjects"], state["num_subjects"] = have.Subjects, len(have.Subjects)
	}
	out["state"] = state
	return out
}

// streamCache keeps the configuration of JOBS, from which queues are made.
type streamCache struct {
	mu   sync.Mutex
	at   time.Time
	jobs jetstream.StreamConfig
}

// streamFresh is how long it is believed.
const streamFresh = 10 * time.Second

func (g *Gate) jobsConfig() (jetstream.StreamConfig, error) {
	g.stream.mu.Lock()
	defer g.stream.mu.Unlock()
	if !g.stream.at.IsZero() && time.Since(g.stream.at) < streamFresh {
		return g.stream.jobs, nil
	}
	var answer struct {
		Config jetstream.StreamConfig `json:"config"`
	}
	if err := g.call("STREAM.INFO."+jobs.StreamJobs, nil, &answer); err != nil {
		return jetstream.StreamConfig{}, err
	}
	g.stream.jobs, g.stream.at = answer.Config, time.Now()
	return g.stream.jobs, nil
}

// countSubjects is how many subjects of a stream match a filter.
func (g *Gate) countSubjects(stream, filter string) (int, error) {
	var answer struct {
		Total int `json:"total"`
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	if err := g.call("STREAM.INFO."+stream, infoQuery{Filter: filter}, &answer); err != nil {
		return 0, err
	}
	return max(answer.Total, len(answer.State.Subjects)), nil
}
