package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/jobs"
)

// maxDocument is the largest value a tenant writes: the record of a batch of a
// million jobs in pieces.
const maxDocument = 512 << 10

// put passes on a write to a bucket. Which key is in the subject, so a value
// can harm nobody else; headers could, and most are refused.
func (g *Gate) put(r *request) (*action, error) {
	bucket, key := r.tokens[1], strings.Join(r.tokens[2:], ".")
	tenant := r.who.Tenant
	if len(r.data) > maxDocument {
		return nil, refuse("%d bytes; at most %d", len(r.data), maxDocument)
	}
	switch bucket {
	case jobs.BucketBatches, jobs.BucketUnique, jobs.BucketKeys, jobs.BucketStatus:
	default: // whatever the key
		return nil, refuse("the bucket %s is not for tenants to write", show(bucket))
	}
	if !literal(key) || len(r.tokens) > 5 {
		return nil, refuse("%s is no key", show(key))
	}
	for _, t := range r.tokens[2:] {
		if !jobs.ValidID(t) {
			return nil, refuse("%s is no key", show(key))
		}
	}
	subject := "$KV." + bucket + "." + key
	allowed := map[string]func(string) error{jetstream.ExpectedLastSubjSeqHeader: number}
	var ev *event
	var ask func(*action) error
	switch bucket {
	case jobs.BucketBatches:
		ev = &event{Action: "batch.change", Target: r.tokens[len(r.tokens)-1], quiet: true}
	case jobs.BucketUnique:
		// "all" would empty the bucket.
		maps.Copy(allowed, map[string]func(string) error{headerTTL: nil, headerRollup: exactly("sub"), headerKVOperation: exactly("PURGE")})
	case jobs.BucketKeys:
		ask = func(*action) error { return g.keyRoom(r, tenant) }
	case jobs.BucketStatus:
		ask = func(a *action) error { return g.cancel(r, a) }
	}
	if !mayRead("KV_"+bucket, tenant, subject) {
		return nil, refuse("the key %s is not of tenant %s", show(key), tenant)
	}
	header, err := r.checkHeaders(allowed)
	if err != nil {
		return nil, err
	}
	if bucket == jobs.BucketUnique && (header.Get(headerRollup) != "") != (header.Get(headerKVOperation) != "") {
		return nil, refuse("a removal has both headers, %s and %s", headerRollup, headerKVOperation)
	}
	act := &action{out: &nats.Msg{Subject: subject, Header: header, Data: r.data}, event: ev}
	if ask != nil {
		act.ask = func() error { return ask(act) }
	}
	return act, nil
}

// keyRoom bounds how many concurrency and rate keys a tenant makes: each is a
// consumer.
func (g *Gate) keyRoom(r *request, tenant string) error {
	if v := r.header.Get(jetstream.ExpectedLastSubjSeqHeader); v != "" && v != "0" {
		return nil // it is there already
	}
	n, err := g.countSubjects("KV_"+jobs.BucketKeys, "$KV."+jobs.BucketKeys+"."+tenant+".*")
	if err == nil && n >= jobs.MaxKeys+64 { // clients count too, with an older idea
		err = refuse("tenant %s has %d keys; at most %d", tenant, n, jobs.MaxKeys)
	}
	return err
}

// cancel judges the only changes of a job's record that a tenant makes: one
// that waits ends as cancelled, and one that runs is asked to. Results are
// workers' to write.
func (g *Gate) cancel(r *request, act *action) error {
	rec, err := readRecord(r.data)
	if err != nil {
		return err
	}
	id := r.tokens[len(r.tokens)-1]
	if rec.Tenant != r.who.Tenant || rec.ID != id {
		return refuse("the record is of job %s of tenant %s", show(rec.ID), show(rec.Tenant))
	}
	seq, err := strconv.ParseUint(r.header.Get(jetstream.ExpectedLastSubjSeqHeader), 10, 64)
	if err != nil {
		return refuse("a record is changed by compare-and-set only")
	}
	var now *jobs.Record
	if seq > 0 {
		m, err := g.message("KV_"+jobs.BucketStatus, map[string]string{"last_by_subj": r.subject})
		if err != nil {
			return err
		}
		// If another one came in between, the server refuses the write.
		if m != nil && m.Seq == seq && !m.marker() {
			now = &jobs.Record{}
			if err := json.Unmarshal(m.Data, now); err != nil {
				return fmt.Errorf("read the record of job %s: %w", id, err)
			}
		}
	}
	if err := mayBecome(now, rec); err != nil {
		return err
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	act.out.Data, act.event = data, &event{Action: "job.cancel", Job: id}
	return nil
}

// mayBecome tells whether a tenant may write next over now, nil for none.
func mayBecome(now, next *jobs.Record) error {
	switch {
	case now != nil && now.State == jobs.Done:
		return refuse("the job has ended")
	case now != nil && now.State == jobs.Running:
		want := *now
		want.CancelRequested = true
		if !sameRecord(&want, next) {
			return refuse("of a job that runs, only cancel_requested may be set")
		}
		return nil
	}
	if err := isCanceled(next); err != nil {
		return err
	}
	if now == nil {
		if next.Attempt != 0 || next.Uncounted != 0 || len(next.Tries) != 0 || next.Seq != 0 {
			return refuse("a job without a record has had no attempts")
		}
		return nil
	}
	want := *now
	want.State, want.Worker, want.Result = next.State, next.Worker, next.Result
	if !sameRecord(&want, next) {
		return refuse("more of the record is changed than that it is cancelled")
	}
	return nil
}

// sameRecord compares as JSON does: what is empty is absent.
func sameRecord(a, b *jobs.Record) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(x, y)
}

// isCanceled tells whether a record is that of a job that was cancelled before
// it ran: no output, no cost, nobody's time.
func isCanceled(r *jobs.Record) error {
	if r.State != jobs.Done || r.Result == nil || r.Worker != "" || r.CancelRequested {
		return refuse("a tenant may only cancel, and this is no cancelled job's record")
	}
	want := jobs.Result{
		ID: r.ID, Outcome: jobs.Canceled, ExitCode: -1, Attempts: r.Attempt, Error: r.Result.Error,
		FinishedAt: r.Result.FinishedAt, Phases: r.Result.Phases, Stdout: r.Result.Stdout, Stderr: r.Result.Stderr,
		Outputs: r.Result.Outputs, Denials: r.Result.Denials,
	}
	empty := len(want.Phases)+len(want.Stdout)+len(want.Stderr)+len(want.Outputs)+len(want.Denials) == 0
	if !empty || !reflect.DeepEqual(want, *r.Result) || len(want.Error) > 200 {
		return refuse("a tenant may only cancel, and this is another result")
	}
	return nil
}

// canceledRecord reads the record in the announcement of a cancelled job.
func canceledRecord(data []byte) (*jobs.Record, error) {
	rec, err := readRecord(data)
	if err != nil {
		return nil, err
	}
	return rec, isCanceled(rec)
}

const maxRecord = 256 << 10

func readRecord(data []byte) (*jobs.Record, error) {
	if len(data) > maxRecord {
		return nil, refuse("a record of %d bytes; at most %d", len(data), maxRecord)
	}
	rec := &jobs.Record{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(rec); err != nil {
		return nil, refuse("its payload is no record: %v", err)
	}
	if rec.V != jobs.WireVersion {
		return nil, refuse("a record of version %d; this gate knows %d", rec.V, jobs.WireVersion)
	}
	return rec, nil
}

// isMissing tells whether the server says that something is not there.
func isMissing(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.Code == 404
}
