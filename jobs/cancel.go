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
		return AlreadyDone, nil
	case Running:
		rec.CancelRequested = true
		if err := c.putRecord(ctx, rec, rev); err != nil {
			return "", err
		}
		return CancelRequested, c.nc.Publish(cancelSubject(c.tenant, id), nil)
	}
	rec.State, rec.Worker = Done, ""
	rec.Result = &Result{
		ID: id, Outcome: Canceled, ExitCode: -1, Attempts: rec.Attempt, Error: "canceled while it waited in the queue",
		FinishedAt: time.Now().UTC(), Phases: map[string]float64{},
	}
	if err := c.putRecord(ctx, rec, rev); err != nil {
		return "", err
	}
	// The record is the truth: a worker that gets the message all the same
	// drops it. Purging spares it the way.
	if stream, err := c.js.Stream(ctx, StreamJobs); err == nil {
		_ = stream.Purge(ctx, jetstream.WithPurgeSubject("jobs."+c.tenant+".*."+id))
	}
	if data, err := rec.encode(); err == nil {
		_ = c.nc.Publish(doneSubject(c.tenant, rec.Batch, id), data)
	}
	return CanceledQueued, nil
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
