package jobs

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Discarder is a Committer that can also remove objects that no result names.
// What it cannot remove stays for a sweep: it must never be needed.
type Discarder interface {
	// DiscardRun removes what this run of the attempt uploaded, because the
	// job is another worker's. When the run had offered a manifest (see
	// Attempt.Offered) it must first know that another one stands.
	DiscardRun(ctx context.Context, a *Attempt) error
	// DiscardLosers removes what all runs of the job uploaded, except those
	// that res, the job's committed result, or its manifest names.
	DiscardLosers(ctx context.Context, a *Attempt, res *Result) error
}

// leftovers is what the end of an attempt means for its objects.
type leftovers struct {
	run     string  // RunPrefix, once it was asked for: there may be objects below it
	offered bool    // a manifest that names them may have been stored
	lost    bool    // fenced
	ended   *Result // as this attempt committed it
}

// RunPrefix is where this run's objects go: OutputPrefix and an id that no
// other run has. It is the same at every call.
func (a *Attempt) RunPrefix() string {
	if a.left.run == "" {
		a.left.run = a.OutputPrefix() + NewID() + "/"
	}
	return a.left.run
}

// Uploaded is the run's prefix, or "" when nothing was uploaded.
func (a *Attempt) Uploaded() string { return a.left.run }

// Offered tells whether a manifest that names this run's objects may have been
// stored, whatever the store answered.
func (a *Attempt) Offered() bool { return a.left.offered }

// discardTimeout bounds the removal of objects after an attempt. What is not
// removed by then is for the sweep.
const discardTimeout = 10 * time.Second

// tidy removes the objects that the end of an attempt made worthless: its own
// when it was fenced, and those of all other runs when it ended the job. A
// first attempt that committed what it uploaded has nothing to look for.
func (w *Worker) tidy(ctx context.Context, a *Attempt) {
	d, ok := w.commits.(Discarder)
	if !ok {
		return
	}
	l := &a.left
	fenced := l.lost && l.run != ""
	ended := l.ended != nil && (a.Number > 1 || l.run != "" && !names(l.ended, l.run))
	if !fenced && !ended {
		return
	}
	defer a.settleAside()()
	defer func() {
		if p := recover(); p != nil {
			_ = w.panicked(ctx, a, p)
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	defer context.AfterFunc(w.settling, cancel)()
	var err error
	if ended {
		err = d.DiscardLosers(ctx, a, l.ended)
	} else {
		err = d.DiscardRun(ctx, a)
	}
	if err != nil {
		w.log.WarnContext(ctx, "cannot remove the objects of runs that lost; the sweep will", "job", a.Job.ID, "attempt", a.Number, "error", err)
	}
}

// names tells whether a result names objects of the run with this prefix.
func names(res *Result, run string) bool {
	for _, url := range []string{res.OutputPrefix, res.StdoutKey, res.StderrKey} {
		if strings.Contains(url, "/"+run) {
			return true
		}
	}
	return false
}

// Ledger reads job records as the leader of their bucket has them. A replica
// may be behind: what it does not know yet must not be taken for gone.
type Ledger struct{ w *Worker }

// NewLedger reads over nc.
func NewLedger(nc *nats.Conn) *Ledger { return &Ledger{&Worker{nc: nc}} }

// Record gives a job's record; nil when there is none. A record that is there
// and cannot be read is an error.
func (l *Ledger) Record(ctx context.Context, tenant, id string) (*Record, error) {
	rec, _, err := l.w.readStatus(ctx, recordKey(tenant, id))
	if err != nil {
		return nil, err
	}
	return rec, nil
}
