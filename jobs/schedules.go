package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"boxfleet/limits"
)

// PutSchedule stores a recurring job, in place of the one with its name, if
// there is any. replaced says whether there was.
func (c *Client) PutSchedule(ctx context.Context, r *Recurring) (replaced bool, err error) {
	if err := c.CheckSchedule(ctx, r); err != nil {
		return false, err
	}
	if err := c.ensure(ctx, r.Job.Priority); err != nil {
		return false, err
	}
	_, err = c.Schedule(ctx, r.Name)
	if _, missing := errors.AsType[*NotFoundError](err); err != nil && !missing {
		return false, err
	}
	replaced = err == nil
	if err = c.putSchedule(ctx, r); err == nil {
		c.audit(AuditEvent{Action: "schedule.set", Target: r.Name})
	}
	return replaced, err
}

// CheckSchedule completes and validates a recurring job without sending it.
func (c *Client) CheckSchedule(ctx context.Context, r *Recurring) error {
	if r.Job == nil {
		return &limits.FieldError{Field: "job", Err: errors.New("is missing")}
	}
	if r.V == 0 {
		r.V = WireVersion
	}
	if r.Tenant == "" {
		r.Tenant = c.tenant
	}
	if r.Tenant != c.tenant {
		return &limits.FieldError{Field: "tenant", Err: fmt.Errorf("%q: this client submits for %q", r.Tenant, c.tenant)}
	}
	if r.Overlap == "" {
		r.Overlap = OverlapSkip
	}
	r.ChangedAt = c.Now(ctx)
	r.Job.ID = patternID
	c.complete(r.Job)
	if err := r.Validate(); err != nil {
		return err
	}
	_, err := r.message()
	return err
}

// putSchedule stores it. With seq set it must still be the newest.
func (c *Client) putSchedule(ctx context.Context, r *Recurring) error {
	m, err := r.message()
	if err != nil {
		return err
	}
	var opts []jetstream.PublishOpt
	if r.seq > 0 {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(r.seq))
	}
	_, err = c.js.PublishMsg(ctx, m, opts...)
	switch {
	case isConflict(err):
		return fmt.Errorf("schedule %s was changed meanwhile; try again", r.Name)
	case err != nil:
		return fmt.Errorf("store schedule %s: %w", r.Name, hintPublish(err))
	}
	return nil
}

// Schedule gives a recurring job, or *NotFoundError.
func (c *Client) Schedule(ctx context.Context, name string) (*Recurring, error) {
	if !ValidID(name) {
		return nil, &limits.FieldError{Field: "name", Err: fmt.Errorf("%q is not letters, digits, - or _", name)}
	}
	w := &Worker{nc: c.nc} // the leader's word: it is changed by who read it
	seq, _, data, err := w.storedMessage(ctx, StreamJobs, map[string]string{"last_by_subj": recurringSubject(c.tenant, name)})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, &NotFoundError{Kind: "schedule", Name: name, Hint: "list schedules with: submit schedule list"}
	case err != nil:
		return nil, fmt.Errorf("read schedule %s: %w", name, hintPublish(err))
	}
	r, err := decodeRecurring(data)
	if err != nil {
		return nil, fmt.Errorf("schedule %s: %w", name, err)
	}
	r.seq = seq
	return r, nil
}

// Schedules gives the tenant's recurring jobs by name. Messages that are none
// are passed over.
func (c *Client) Schedules(ctx context.Context) ([]*Recurring, error) {
	var all []*Recurring
	err := lastOfEach(ctx, c.nc, StreamJobs, []string{recurringSubject(c.tenant, "*")}, func(m directMessage) error {
		r, err := decodeRecurring(m.data)
		if err == nil && recurringSubject(r.Tenant, r.Name) == m.subject {
			r.seq = m.seq
			all = append(all, r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", hintPublish(err))
	}
	slices.SortFunc(all, func(a, b *Recurring) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// PauseSchedule stops a recurring job from starting by itself, or lets it
// start again.
func (c *Client) PauseSchedule(ctx context.Context, name string, pause bool) error {
	r, err := c.Schedule(ctx, name)
	if err != nil || r.Paused == pause {
		return err
	}
	r.Paused, r.ChangedAt = pause, c.Now(ctx)
	return c.putSchedule(ctx, r)
}

// RemoveSchedule removes a recurring job. Jobs that it has started go on.
func (c *Client) RemoveSchedule(ctx context.Context, name string) error {
	if _, err := c.Schedule(ctx, name); err != nil {
		return err
	}
	stream, err := c.js.Stream(ctx, StreamJobs)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(recurringSubject(c.tenant, name)))
	}
	if err != nil {
		return fmt.Errorf("remove schedule %s: %w", name, hintPublish(err))
	}
	c.audit(AuditEvent{Action: "schedule.remove", Target: name})
	kv, err := c.uniqueBucket(ctx)
	if err != nil {
		return err
	}
	return kv.Purge(ctx, lastRunKey(c.tenant, name))
}

// StartSchedule starts a recurring job now, beside its times, whether it is
// paused or its last run goes on. It gives the job's id.
func (c *Client) StartSchedule(ctx context.Context, name string) (id string, err error) {
	r, err := c.Schedule(ctx, name)
	if err != nil {
		return "", err
	}
	m, err := r.message()
	if err != nil {
		return "", err
	}
	ack, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: startedSubject(r.Tenant, r.Name), Data: m.Data})
	if err != nil {
		return "", fmt.Errorf("start schedule %s: %w", name, hintPublish(err))
	}
	return fmt.Sprintf("%s-m%d", r.Name, ack.Sequence), nil
}

// fire submits the job of a firing.
func (w *Worker) fire(ctx context.Context, m *nats.Msg) error {
	md, err := m.Metadata()
	if err != nil {
		return &wrongSubmission{err}
	}
	f, err := newFiring(m, md.Sequence.Stream, md.Timestamp)
	if err != nil {
		return &wrongSubmission{err}
	}
	return w.submitFiring(ctx, f)
}

func (w *Worker) submitFiring(ctx context.Context, f *firing) error {
	c, err := w.clientOf(ctx, f.Tenant)
	if err != nil {
		return err
	}
	free, err := w.takeTurn(ctx, c, f)
	if err != nil {
		return err
	}
	if !free {
		w.log.InfoContext(ctx, "a recurring job does not start, because its last run has not ended", "schedule", f.Name, "tenant", f.Tenant, "at", f.at)
		return nil
	}
	j := f.job()
	if err := c.Check(j); err != nil {
		return &wrongSubmission{err}
	}
	_, err = c.Submit(ctx, j)
	return err
}

// lastRunKey is where the id of a recurring job's last run is noted, in the
// bucket of idempotency keys. Those have two tokens.
func lastRunKey(tenant, name string) string { return "schedule." + tenant + "." + name }

// takeTurn tells whether a firing may start its job now, and notes that it
// does. The note comes before the job: a worker that dies between the two
// finds its own turn when the firing is delivered again.
func (w *Worker) takeTurn(ctx context.Context, c *Client, f *firing) (bool, error) {
	if f.Overlap == OverlapAllow || f.byHand {
		return true, nil
	}
	kv, err := c.uniqueBucket(ctx)
	if err != nil {
		return false, err
	}
	key := lastRunKey(f.Tenant, f.Name)
	for range 16 {
		entry, err := kv.Get(ctx, key)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			_, err = kv.Create(ctx, key, []byte(f.id))
		case err != nil:
			return false, fmt.Errorf("read the last run of schedule %s: %w", f.Name, err)
		case string(entry.Value()) == f.id:
			return true, nil
		default:
			rec, _, findErr := c.find(ctx, string(entry.Value()))
			_, missing := errors.AsType[*NotFoundError](findErr)
			switch {
			case findErr != nil && !missing:
				return false, findErr
			case !missing && rec.State != Done:
				return false, nil
			}
			_, err = kv.Update(ctx, key, []byte(f.id), entry.Revision())
		}
		switch {
		case err == nil:
			return true, nil
		case !isConflict(err):
			return false, fmt.Errorf("note the run of schedule %s: %w", f.Name, err)
		}
	}
	return false, fmt.Errorf("note the run of schedule %s: %w", f.Name, errMoved)
}
