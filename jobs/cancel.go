package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// CancelState says what a cancel found.
type CancelState string

// What Cancel can find. Cancelling twice is no error.
const (
	CanceledQueued  CancelState = "canceled"     // it waited; it never runs
	CancelRequested CancelState = "requested"    // it runs; its worker was told
	AlreadyDone     CancelState = "already done" // too late
)

// Cancel ends a job: at once when it waits, as soon as its worker sees it
// when it runs. A cancelled job's outputs are not committed.
func (c *Client) Cancel(ctx context.Context, id string) (CancelState, error) {
	state, err := c.cancel(ctx, id)
	if err == nil && state != AlreadyDone {
		c.audit(AuditEvent{Action: "job.cancel", Jobs: []string{id}})
	}
	return state, err
}

// cancel is Cancel for callers that tell of it themselves.
func (c *Client) cancel(ctx context.Context, id string) (CancelState, error) {
	for range 16 { // each turn lost means that the job moved on; it cannot move for ever
		state, err := c.tryCancel(ctx, id)
		if !errors.Is(err, errMoved) {
			return state, err
		}
	}
	return "", fmt.Errorf("cancel job %s: its record keeps changing; try again", id)
}

// errMoved says that a compare-and-set lost: read again.
var errMoved = errors.New("the record changed meanwhile")

func (c *Client) tryCancel(ctx context.Context, id string) (CancelState, error) {
	rec, rev, err := c.find(ctx, id)
	if err != nil {
		return "", err
	}
	switch rec.State {
	case Done:
		if rec.Result.Outcome == Canceled { // a message may have come after the first cancel
			return AlreadyDone, c.purge(ctx, id)
		}
		return AlreadyDone, nil
	case Running:
		rec.CancelRequested = true
		if err := c.putRecord(ctx, rec, rev); err != nil {
			return "", err
		}
		return CancelRequested, c.nc.Publish(via(c.nc, cancelSubject(c.tenant, id)), nil)
	}
	rec.State, rec.Worker = Done, ""
	rec.Result = &Result{
		ID: id, Outcome: Canceled, ExitCode: -1, Attempts: rec.Attempt, Error: "canceled while it waited in the queue",
		FinishedAt: time.Now().UTC(), Phases: map[string]float64{},
	}
	if err := c.putRecord(ctx, rec, rev); err != nil {
		return "", err
	}
	if data, err := rec.encode(); err == nil {
		_ = c.nc.Publish(via(c.nc, doneSubject(c.tenant, rec.Batch, id)), data)
	}
	return CanceledQueued, c.purge(ctx, id)
}

// purge removes the messages of a job that was cancelled. The record is the
// truth, and a worker that gets such a message drops it; but one that is
// scheduled for months ahead must not outlive the record.
func (c *Client) purge(ctx context.Context, id string) error {
	stream, err := c.js.Stream(ctx, StreamJobs)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(jobSubject(c.tenant, "*", id)))
	}
	if err != nil {
		return fmt.Errorf("job %s is canceled, but its message could not be removed; cancel it again: %w", id, err)
	}
	return nil
}

func (c *Client) putRecord(ctx context.Context, rec *Record, rev uint64) error {
	data, err := rec.encode()
	if err != nil {
		return err
	}
	if rev == 0 {
		_, err = c.status.Create(ctx, recordKey(rec.Tenant, rec.ID), data)
	} else {
		_, err = c.status.Update(ctx, recordKey(rec.Tenant, rec.ID), data, rev)
	}
	switch {
	case isConflict(err):
		return errMoved
	case err != nil:
		return fmt.Errorf("write the record of job %s: %w", rec.ID, err)
	}
	return nil
}

// isConflict tells a lost compare-and-set from other errors. R3 streams
// answer with another code than R1 ones.
func isConflict(err error) bool {
	if errors.Is(err, jetstream.ErrKeyExists) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
