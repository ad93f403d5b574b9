package submitcli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"boxfleet/jobs"
)

// open makes the batch's record, or goes on with the one that an earlier,
// broken-off submission of the same left open.
func (b *batchRun) open(ctx context.Context) error {
	spec := jobs.BatchSpec{ID: b.plan.id, Fingerprint: b.plan.fingerprint(), Notify: b.flags.notify()}
	if b.flags.maxQueued > 0 {
		spec.Chunk = b.flags.maxQueued
	}
	var err error
	b.batch, err = b.client.OpenBatch(ctx, spec)
	return err
}

func (f *batchFlags) notify() *jobs.Notify {
	if f.notifyURL == "" && f.notifySubject == "" {
		return nil
	}
	n := &jobs.Notify{Subject: f.notifySubject}
	if f.notifyURL != "" {
		n.Webhook = &jobs.Webhook{URL: f.notifyURL, Secret: f.notifySecret}
	}
	return n
}

// fingerprint tells batches apart whose jobs are not the same: by the file and
// by everything else that makes a job of a line. It is known once everything
// is uploaded.
func (p *plan) fingerprint() string {
	tools := map[string]string{}
	for ref, t := range p.tools {
		if t.resolved != nil {
			tools[ref] = string(t.tool.Digest)
		}
	}
	text, err := json.Marshal([]any{p.file, p.flags.priority, p.labels, tools, p.uploads.dirs, p.uploads.files, slices.Sorted(maps.Keys(p.skipped))})
	if err != nil {
		return jobs.NewID() // like no other
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// closeEarly says that a batch is not gone on with for now, so that those who
// wait for it wait for what is submitted. Submitting the same again opens it
// anew.
func (b *batchRun) closeEarly(ctx context.Context, why error, submitted int) {
	if ctx.Err() == nil && outage(why) {
		return // whoever submits it again goes on with it
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	_ = b.batch.Close(ctx, submitted) // the batch stays open, which `batch status` shows
}

// Pace of a submission that waits until the queue is short enough.
const (
	roomEvery   = 250 * time.Millisecond
	roomRemark  = 10 * time.Second // without any change, before that is remarked
	roomRemarks = time.Minute      // between two remarks
)

// waitForRoom waits while the tenant's queue is longer than --max-queued.
func (b *batchRun) waitForRoom(ctx context.Context) error {
	if b.flags.maxQueued == 0 {
		return nil
	}
	defer b.queued.Store(0)
	last, since := -1, time.Now()
	for {
		n, err := b.client.QueueSize(ctx)
		if err != nil {
			return err
		}
		if n < b.flags.maxQueued {
			return nil
		}
		b.queued.Store(int64(n))
		if n != last {
			if last = n; since.Before(time.Now()) {
				since = time.Now()
			}
		}
		if time.Since(since) > roomRemark {
			b.remarkStall(ctx, n)
			since = time.Now().Add(roomRemarks - roomRemark)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(roomEvery):
		}
	}
}

// remarkStall says why nothing goes on, as far as that can be told.
func (b *batchRun) remarkStall(ctx context.Context, queued int) {
	workers, err := b.app.workers(ctx)
	switch {
	case err != nil:
	case len(workers) == 0:
		b.app.remark("%s wait in the queue and no worker is running; the submission goes on when one takes them", count(queued, "job"))
	default:
		sick := ""
		for _, w := range workers {
			if w.Sick != "" {
				sick = "; " + plain(w.Name+" takes no jobs: "+w.Sick)
			}
		}
		b.app.remark("%s wait or run and none has ended for a while, with %s alive%s; see: submit status", count(queued, "job"), count(len(workers), "worker"), sick)
	}
}
