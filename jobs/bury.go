package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
)

// decodeMessage reads a pulled message, holds it against its subject (a
// message must not claim another tenant's job) and gives its stream sequence.
func decodeMessage(m *nats.Msg) (*Job, uint64, error) {
	md, err := m.Metadata()
	if err != nil {
		return nil, 0, fmt.Errorf("decode job: %w", err)
	}
	j, err := Decode(m.Data)
	if err != nil {
		return nil, 0, err
	}
	if want := j.subject(j.queueLane()); m.Subject != want {
		return nil, 0, fmt.Errorf("decode job: it came on subject %q but says it is %q", m.Subject, want)
	}
	return j, md.Sequence.Stream, nil
}

func headerContext(ctx context.Context, m *nats.Msg) context.Context {
	return propagation.TraceContext{}.Extract(ctx, headerCarrier(m.Header))
}

// settleTimeout bounds the burial of a message that is no job.
const settleTimeout = 2 * time.Minute

// bury ends a job whose attempts are spent, or that no retry can help. The
// message goes to the dead letters, and only when it is stored there the
// record says Failed and the job's own message is settled.
func (w *Worker) bury(ctx context.Context, a *Attempt, why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	defer context.AfterFunc(w.settling, cancel)()
	text := why.Error()
	if spent, ok := asSpent(why); ok {
		text = spentText(spent, a.rec)
	} else {
		a.rec.addTry(why, w.now())
	}
	letter := DeadLetter{Tool: a.Job.Tool.String(), Attempt: a.rec.counted(), Tries: a.rec.Tries, Error: text}
	if err := w.deadLetter(ctx, a.msg, letter); err != nil {
		w.log.ErrorContext(ctx, "cannot store a dead letter; the message comes back", "subject", a.msg.Subject, "error", err)
		a.settled.Store(true)
		return
	}
	w.log.WarnContext(ctx, "dead letter", "subject", a.msg.Subject, "error", why)
	w.metrics.buried(ctx)
	res := &Result{Outcome: Failed, ExitCode: -1, Error: text}
	w.complete(ctx, a, res)
	res.Phases = a.phaseTimes()
	a.rec.State, a.rec.Result = Done, res
	if err := w.writeResult(ctx, a); err != nil {
		w.dropped(ctx, a, err)
		return
	}
	w.ended(ctx, a)
}

// buryMessage ends a message that is not a job this program can read. If it
// stands where a job would, whoever waits for that job is told.
func (w *Worker) buryMessage(ctx context.Context, m *nats.Msg, why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	defer context.AfterFunc(w.settling, cancel)()
	if err := w.deadLetter(ctx, m, DeadLetter{Error: why.Error()}); err != nil {
		w.log.ErrorContext(ctx, "cannot store a dead letter; the message comes back", "subject", m.Subject, "error", err)
		return
	}
	w.log.WarnContext(ctx, "dead letter", "subject", m.Subject, "error", shorten(why.Error(), maxTryError))
	w.metrics.buried(ctx)
	if err := w.recordUnreadable(ctx, m, why); err != nil {
		w.log.WarnContext(ctx, "cannot record that a job is unreadable", "subject", m.Subject, "error", err)
	}
	if err := w.nc.Publish(m.Reply, []byte("+TERM dead-lettered")); err != nil {
		w.log.WarnContext(ctx, "cannot end a message; it comes back", "subject", m.Subject, "error", err)
	}
}

// recordUnreadable writes a Failed record for the job whose place an
// unreadable message takes, unless there is a record already or another
// message of that job.
func (w *Worker) recordUnreadable(ctx context.Context, m *nats.Msg, why error) error {
	parts := strings.Split(m.Subject, ".")
	md, err := m.Metadata()
	if err != nil || len(parts) != 4 || parts[0] != "jobs" || !ValidID(parts[1]) || !ValidID(parts[3]) {
		return err
	}
	seq, _, _, err := w.storedMessage(ctx, StreamJobs, map[string]string{"last_by_subj": m.Subject})
	if err != nil || seq != md.Sequence.Stream {
		return err
	}
	now := time.Now().UTC()
	rec := &Record{
		State: Done, V: WireVersion, Tenant: parts[1], Priority: Priority(parts[2]), ID: parts[3],
		Worker: w.cfg.Name, Seq: md.Sequence.Stream, SubmittedAt: md.Timestamp.UTC(),
		Result: &Result{
			ID: parts[3], Outcome: Failed, ExitCode: -1, Worker: w.cfg.Name, FinishedAt: now, Phases: map[string]float64{},
			Error: shorten("its message cannot be read: "+why.Error(), maxErrorText),
		},
	}
	data, err := rec.encode()
	if err != nil {
		return err
	}
	if _, err := w.putStatus(ctx, recordKey(rec.Tenant, rec.ID), data, 0); err != nil {
		if isConflict(err) {
			return nil
		}
		return err
	}
	w.announce(rec, data)
	return nil
}
