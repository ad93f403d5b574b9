package gate

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/jobs"
)

// Headers that nats-server acts on (ADR-8, ADR-43, ADR-51).
const (
	headerSchedule       = "Nats-Schedule"
	headerScheduleTarget = "Nats-Schedule-Target"
	headerScheduleZone   = "Nats-Schedule-Time-Zone"
	headerScheduleRollup = "Nats-Schedule-Rollup"
	headerRollup         = "Nats-Rollup"
	headerTTL            = "Nats-TTL"
	headerKVOperation    = "KV-Operation"
)

// traceHeaders go with anything that becomes a job.
var traceHeaders = map[string]func(string) error{"traceparent": nil, "tracestate": nil, "baggage": nil}

func withTrace(m map[string]func(string) error) map[string]func(string) error {
	maps.Copy(m, traceHeaders)
	return m
}

func number(v string) error {
	if _, err := strconv.ParseUint(v, 10, 64); err != nil {
		return fmt.Errorf("%s is no number", show(v))
	}
	return nil
}

// job passes a job on to the queue: jobs.<tenant>.<lane>.<id>. What is in it is
// the worker's to judge, which holds it against the subject.
func (r *request) job() (*action, error) {
	if err := r.mine(1); err != nil {
		return nil, err
	}
	tenant, lane, id := r.tokens[1], r.tokens[2], r.tokens[3]
	if !jobs.ValidID(id) || !jobs.ValidLane(lane) {
		return nil, refuse("it is no subject of a job")
	}
	if len(r.data) > jobs.MaxJobSize {
		return nil, refuse("%d bytes; a job has at most %d", len(r.data), jobs.MaxJobSize)
	}
	allowed := withTrace(map[string]func(string) error{
		// Message ids are one name space for all tenants.
		jetstream.MsgIDHeader: exactly(tenant + "." + id),
	})
	if lane == "sched" {
		allowed[headerSchedule] = func(v string) error {
			at, ok := strings.CutPrefix(v, "@at ")
			if _, err := time.Parse(time.RFC3339Nano, at); err != nil || !ok {
				return fmt.Errorf("%s; a job's is @at and a time", show(v))
			}
			return nil
		}
		allowed[headerScheduleTarget] = func(v string) error {
			t := strings.Split(v, ".")
			if len(t) != 4 || t[0] != "jobs" || t[1] != tenant || t[3] != id || !jobs.ValidLane(t[2]) {
				return fmt.Errorf("%s; it must be a queue of the same job", show(v))
			}
			return nil
		}
	}
	header, err := r.checkHeaders(allowed)
	if err != nil {
		return nil, err
	}
	return &action{out: &nats.Msg{Subject: r.subject, Header: header, Data: r.data}, event: &event{Action: "job.submit", Job: id}}, nil
}

// submission passes on what workers make jobs of: arrays, schedules, and starts
// of schedules by hand.
func (r *request) submission() (*action, error) {
	if err := r.mine(1); err != nil {
		return nil, err
	}
	if err := r.names(3); err != nil {
		return nil, err
	}
	if len(r.data) > jobs.MaxJobSize {
		return nil, refuse("%d bytes; at most %d", len(r.data), jobs.MaxJobSize)
	}
	tenant, kind, name := r.tokens[1], r.tokens[2], r.tokens[3]
	allowed := withTrace(map[string]func(string) error{})
	ev := &event{Target: name}
	switch kind {
	case "array":
		ev.Action = "array.submit"
		allowed[jetstream.MsgIDHeader] = func(v string) error {
			rest, ok := strings.CutPrefix(v, "array."+tenant+"."+name+".")
			if !ok || !jobs.ValidID(rest) {
				return fmt.Errorf("%s; it must be the array's", show(v))
			}
			return nil
		}
	case "cron":
		ev.Action = "schedule.set"
		allowed[headerRollup] = exactly("sub")
		allowed[headerSchedule] = nil
		allowed[headerScheduleZone] = nil
		allowed[headerScheduleRollup] = exactly("sub")
		allowed[headerScheduleTarget] = exactly("submit." + tenant + ".fire." + name)
		allowed[jetstream.ExpectedLastSubjSeqHeader] = number
	case "start":
		ev.Action = "schedule.start"
	default:
		return nil, refuse("%s is nothing a tenant submits", show(kind))
	}
	header, err := r.checkHeaders(allowed)
	if err != nil {
		return nil, err
	}
	return &action{out: &nats.Msg{Subject: r.subject, Header: header, Data: r.data}, event: ev}, nil
}

// members passes on a list of what a batch consists of.
func (r *request) members() (*action, error) {
	if err := r.mine(1); err != nil {
		return nil, err
	}
	if err := r.names(2, 3); err != nil {
		return nil, err
	}
	header, err := r.checkHeaders(map[string]func(string) error{jetstream.MsgIDHeader: exactly(r.subject)})
	if err != nil {
		return nil, err
	}
	return &action{out: &nats.Msg{Subject: r.subject, Header: header, Data: r.data}}, nil
}

// purge removes a tenant's messages from the queue: a job's that was cancelled,
// or a schedule.
func (r *request) purge(stream string) (*action, error) {
	var q struct {
		Filter string `json:"filter"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	tenant := r.who.Tenant
	if stream != jobs.StreamJobs || !within(q.Filter, "jobs."+tenant+".*.*") && !within(q.Filter, "submit."+tenant+".cron.*") {
		return nil, refuse("%s of stream %s is not tenant %s's to remove", show(q.Filter), show(stream), tenant)
	}
	ev := &event{Action: "job.purge", Target: q.Filter}
	if strings.HasPrefix(q.Filter, "submit.") {
		ev.Action = "schedule.remove"
	}
	return r.apiCall("$JS.API.STREAM.PURGE."+stream, q, ev)
}

// deleteMessage removes one of a tenant's dead letters. Its number says nothing
// about whose it is, so the gate looks; what has a number never changes.
func (g *Gate) deleteMessage(r *request, stream string) (*action, error) {
	var q struct {
		Seq     uint64 `json:"seq"`
		NoErase bool   `json:"no_erase,omitempty"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	if stream != jobs.StreamDead || q.Seq == 0 {
		return nil, refuse("messages of stream %s are not removed one by one", show(stream))
	}
	act, err := r.apiCall("$JS.API.STREAM.MSG.DELETE."+stream, q, &event{Action: "dlq.purge", Target: strconv.FormatUint(q.Seq, 10)})
	if err != nil {
		return nil, err
	}
	act.ask = func() error {
		m, err := g.message(stream, map[string]any{"seq": q.Seq})
		if err != nil {
			return err
		}
		if m == nil || !mayRead(stream, r.who.Tenant, m.Subject) {
			return refuse("tenant %s has no dead letter %d", r.who.Tenant, q.Seq)
		}
		return nil
	}
	return act, nil
}
