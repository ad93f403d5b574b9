package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"
)

type verdict uint8

const (
	claimRun     verdict = iota // ours: run it
	claimDone                   // finished: acknowledge and forget
	claimWait                   // a second message of a job that runs: look again later
	claimSpent                  // attempts are spent: ours to bury
	claimExpired                // it waited too long: ours to end
)

// claim makes this worker the holder of the job by compare-and-set on its
// record. The common case, a first delivery, is one write.
//
// A message is only ever acknowledged when its job's record is Done. That is
// what makes late and doubled acknowledgements harmless, which JetStream does
// not fence: a second message of the same job waits until the first one's run
// has ended, and takes over if the first message is lost.
func (w *Worker) claim(ctx context.Context, a *Attempt, seq uint64) (verdict, error) {
	// A claim that takes longer than the server waits for a sign of life is
	// somebody else's by then.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Topology.ackWait/2)
	defer cancel()
	rec, rev := newRecord(a.Job), uint64(0)
	var wrote *Record // by an earlier turn, perhaps: no answer came
	v := claimRun
	pause := 20 * time.Millisecond
	for {
		switch {
		case wrote != nil && rec.heldBy(wrote):
			a.hold(rec, rev)
			return v, nil
		case rec.State == Done:
			a.rec = rec
			return claimDone, nil
		case rec.State == Running && rec.Seq != seq:
			if there, err := w.inQueue(ctx, rec.Seq); err != nil || there {
				return claimWait, err
			}
			rec.addTry(fmt.Errorf("worker %s held it by a message that is gone", rec.Worker), w.now())
		case rec.State == Running:
			rec.addTry(fmt.Errorf("worker %s went silent", rec.Worker), w.now())
		}
		// Whoever buries a job holds it too: the worker that went silent may
		// wake up and commit until then, and not after.
		if v = w.another(a.Job, rec); v == claimRun {
			rec.Attempt++
		}
		rec.State, rec.Worker, rec.Seq, rec.StartedAt = Running, w.cfg.Name, seq, time.Now().UTC()
		data, err := rec.encode()
		if err != nil {
			return claimWait, err
		}
		newRev, err := w.putStatus(ctx, a.key, data, rev)
		if err == nil {
			a.hold(rec, newRev)
			return v, nil
		}
		if !isConflict(err) {
			if wrote = rec; !sleep(ctx, pause) {
				return claimWait, err
			}
			pause = min(2*pause, time.Second)
		}
		for {
			if rec, rev, err = w.readStatus(ctx, a.key); err == nil {
				break
			}
			if _, bad := errors.AsType[*unreadableRecord](err); bad {
				w.log.ErrorContext(ctx, "a job's record cannot be read; leaving the job to a newer worker, or to whoever removes the record", "job", a.Job.ID, "error", err)
				return claimWait, nil
			}
			if !sleep(ctx, pause) {
				return claimWait, err
			}
			pause = min(2*pause, time.Second)
		}
		if rec == nil {
			rec = newRecord(a.Job)
		}
	}
}

// hold notes what the record says now that the attempt is its holder.
func (a *Attempt) hold(rec *Record, rev uint64) {
	a.rec, a.claimed, a.Number = rec, *rec, rec.Attempt
	a.rev.Store(rev)
}

// maxAttempts is the job's budget.
func (w *Worker) maxAttempts(j *Job) int {
	if j.Retry.MaxAttempts > 0 {
		return min(j.Retry.MaxAttempts, 100)
	}
	return w.cfg.MaxAttempts
}
