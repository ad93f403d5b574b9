package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// statusTimeout bounds one exchange about a record. It is short because a lost
// answer is only noticed by its absence, and trying again does no harm.
const statusTimeout = 3 * time.Second

// statusSubject is the key's subject in the status bucket's stream (ADR-8).
func statusSubject(key string) string { return "$KV." + BucketStatus + "." + key }

// putStatus writes a record over revision rev (0: there must be none) and
// gives the new revision. It is the compare-and-set all fencing rests on. The
// bucket's own Update does the same with three times the allocations.
func (w *Worker) putStatus(ctx context.Context, key string, data []byte, rev uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	m := &nats.Msg{Subject: statusSubject(key), Data: data, Header: nats.Header{
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(rev, 10)},
	}}
	reply, err := w.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, fmt.Errorf("write record %s: %w", key, err)
	}
	var ack struct {
		Seq   uint64              `json:"seq"`
		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(reply.Data, &ack); {
	case err != nil:
		return 0, fmt.Errorf("write record %s: the server's answer is not JSON: %w", key, err)
	case ack.Error != nil:
		return 0, fmt.Errorf("write record %s: %w", key, ack.Error)
	case ack.Seq == 0:
		return 0, fmt.Errorf("write record %s: the server's answer %q has no sequence", key, shorten(string(reply.Data), 200))
	}
	return ack.Seq, nil
}

// storedMessage asks the leader of a stream for one message. The bucket's Get
// may be answered by a replica that has not seen the newest write yet; what
// decides who holds a job may not.
func (w *Worker) storedMessage(ctx context.Context, stream string, query any) (seq uint64, header, data []byte, err error) {
	body, err := json.Marshal(query)
	if err != nil {
		return 0, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	reply, err := w.nc.RequestWithContext(ctx, via(w.nc, "$JS.API.STREAM.MSG.GET."+stream), body)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("read a message of %s: %w", stream, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Seq    uint64 `json:"seq"`
			Header []byte `json:"hdrs"`
			Data   []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return 0, nil, nil, fmt.Errorf("read a message of %s: %w", stream, err)
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return 0, nil, nil, jetstream.ErrMsgNotFound
		}
		return 0, nil, nil, fmt.Errorf("read a message of %s: %w", stream, answer.Error)
	}
	return answer.Message.Seq, answer.Message.Header, answer.Message.Data, nil
}

// readStatus reads a record from the bucket's leader. A record that is not
// there is nil; the revision is then what the next write must expect.
func (w *Worker) readStatus(ctx context.Context, key string) (*Record, uint64, error) {
	seq, header, data, err := w.storedMessage(ctx, "KV_"+BucketStatus, map[string]string{"last_by_subj": statusSubject(key)})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, err
	case len(header) > 0 && len(data) == 0: // a delete or purge marker
		return nil, seq, nil
	}
	rec, err := decodeRecord(data)
	if err != nil {
		err = &unreadableRecord{err}
	}
	return rec, seq, err
}

// unreadableRecord says that a record was read and cannot be understood:
// asking again will not help, a newer program may.
type unreadableRecord struct{ err error }

func (e *unreadableRecord) Error() string { return e.err.Error() }
func (e *unreadableRecord) Unwrap() error { return e.err }

// inQueue tells whether the message with this sequence is still stored.
func (w *Worker) inQueue(ctx context.Context, seq uint64) (bool, error) {
	_, _, _, err := w.storedMessage(ctx, StreamJobs, map[string]uint64{"seq": seq})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil, err
}

// writeHeld writes a.rec over the record that this attempt holds. It keeps
// trying while NATS is away, and gives ErrFenced when the record is no longer
// this attempt's. change, if any, is called when a cancel request came first:
// it may alter a.rec before the next try.
func (w *Worker) writeHeld(ctx context.Context, a *Attempt, change func()) error {
	err := w.tryWriteHeld(ctx, a, false, change)
	if err == nil || isFinal(err) {
		return unwrapFinal(err)
	}
	policy := backoff.WithContext(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(0)), ctx)
	return backoff.Retry(func() error { return w.tryWriteHeld(ctx, a, true, change) }, policy)
}

func isFinal(err error) bool {
	_, ok := errors.AsType[*backoff.PermanentError](err)
	return ok
}

func unwrapFinal(err error) error {
	if p, ok := errors.AsType[*backoff.PermanentError](err); ok {
		return p.Err
	}
	return err
}

// tryWriteHeld is one turn of writeHeld. again says that an earlier turn ended
// without an answer, so that the write may have arrived.
func (w *Worker) tryWriteHeld(ctx context.Context, a *Attempt, again bool, change func()) error {
	data, err := a.rec.encode()
	if err != nil {
		return backoff.Permanent(err)
	}
	rev, err := w.putStatus(ctx, a.key, data, a.rev.Load())
	switch {
	case err == nil:
		a.rev.Store(rev)
		a.encoded = data
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return backoff.Permanent(err)
	case !isConflict(err):
		return err
	}
	now, rev, err := w.readStatus(ctx, a.key)
	if _, bad := errors.AsType[*unreadableRecord](err); bad {
		return backoff.Permanent(err)
	}
	switch {
	case err != nil:
		return err
	case now == nil: // its time to be kept is over, or an operator removed it
		return backoff.Permanent(fmt.Errorf("%w: its record is gone", ErrFenced))
	case again && sameWrite(now, a.rec):
		a.rev.Store(rev) // it had arrived, the word of it had not
		a.encoded = data
		return nil
	case now.heldBy(&a.claimed):
		// Only a cancel request changes a record under its holder.
		a.rec.CancelRequested = now.CancelRequested
		if change != nil {
			change()
		}
		a.rev.Store(rev)
		return errMoved
	}
	return backoff.Permanent(ErrFenced)
}

// sameWrite tells whether the stored record is what this attempt wrote.
func sameWrite(now, mine *Record) bool {
	if now.State != mine.State || now.Attempt != mine.Attempt || now.Worker != mine.Worker || now.Seq != mine.Seq || !now.StartedAt.Equal(mine.StartedAt) {
		return false
	}
	if now.Result == nil || mine.Result == nil {
		return now.Result == mine.Result
	}
	return now.Result.FinishedAt.Equal(mine.Result.FinishedAt)
}
