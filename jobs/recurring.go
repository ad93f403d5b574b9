package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // workers may run where there are no files of time zones

	"github.com/nats-io/nats.go"
	"github.com/robfig/cron/v3"

	"boxfleet/limits"
)

// What a recurring job does when it is to start and its last run has not ended.
const (
	OverlapSkip  = "skip"  // start nothing this time
	OverlapAllow = "allow" // start another one
)

// Bounds of a recurring job.
const (
	maxRecurringName = 40 // leaves room for the time in the jobs' ids
	minEvery         = time.Second
	maxEvery         = 366 * 24 * time.Hour
	maxCron          = 256
)

// LabelSchedule is the label by which the jobs of a recurring one are found.
const LabelSchedule = "schedule"

// Recurring is a job that starts again and again. It is kept by the server,
// whose schedule sends it to the workers when it is time; they make the job of
// it.
type Recurring struct {
	V      int    `json:"v"`
	Name   string `json:"name"`
	Tenant string `json:"tenant"`
	// Cron is when, in the five fields of crontab (minute, hour, day of the
	// month, month, day of the week) or six with seconds before them, or one of
	// @hourly, @daily, @weekly, @monthly and @yearly.
	Cron string `json:"cron,omitempty"`
	// TimeZone is what Cron's fields mean; UTC when empty.
	TimeZone string `json:"time_zone,omitempty"`
	// Every is the time between two starts; Cron is empty then.
	Every limits.Duration `json:"every,omitzero"`
	// Overlap is skip or allow.
	Overlap string `json:"overlap"`
	// ExpiresIn ends a job that has not started so long after its time.
	ExpiresIn limits.Duration `json:"expires_in,omitzero"`
	// Paused ones do not start by themselves.
	Paused    bool      `json:"paused,omitempty"`
	ChangedAt time.Time `json:"changed_at"`
	// Job is the pattern of the jobs. Their ids are given by name and time.
	Job *Job `json:"job"`

	seq uint64 // of its message
}

func recurringSubject(tenant, name string) string { return "submit." + tenant + ".cron." + name }
func firedSubject(tenant, name string) string     { return "submit." + tenant + ".fire." + name }

// startedSubject is where a start by hand goes: newer firings replace older
// ones on their subject, and must not replace it.
func startedSubject(tenant, name string) string { return "submit." + tenant + ".start." + name }

// patternID is the id in the pattern of a recurring job.
const patternID = "recurring"

// cronParser reads what nats-server reads, and crontab's five fields.
var cronParser = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// Validate names every field that cannot be.
func (r *Recurring) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &limits.FieldError{Field: field, Err: fmt.Errorf(format, args...)})
	}
	if r.V != WireVersion {
		bad("v", "%d is not a message version this program knows; it knows %d", r.V, WireVersion)
	}
	if !ValidID(r.Name) || len(r.Name) > maxRecurringName {
		bad("name", "%q is not 1 to %d letters, digits, - or _", shorten(r.Name, 80), maxRecurringName)
	}
	if !ValidID(r.Tenant) {
		bad("tenant", "%q is not 1 to 64 letters, digits, - or _", shorten(r.Tenant, 80))
	}
	switch every := time.Duration(r.Every); {
	case (r.Cron == "") == (every == 0):
		bad("cron", "give either cron or every")
	case r.Cron != "":
		if _, err := r.schedule(); err != nil {
			errs = append(errs, err)
		}
	case every < minEvery || every > maxEvery || every%time.Second != 0:
		bad("every", "%s; write whole seconds, 1s to a year", every)
	case r.TimeZone != "":
		bad("time_zone", "is of no use with every")
	}
	if r.Overlap != OverlapSkip && r.Overlap != OverlapAllow {
		bad("overlap", "%q; write %s or %s", r.Overlap, OverlapSkip, OverlapAllow)
	}
	if d := time.Duration(r.ExpiresIn); d < 0 || d > maxEvery {
		bad("expires_in", "%s; write up to a year", d)
	}
	if r.Job == nil {
		bad("job", "is missing")
		return errors.Join(errs...)
	}
	j := r.Job
	for _, f := range []struct {
		field string
		set   bool
	}{
		{"batch", j.Batch != ""}, {"run_at", !j.RunAt.IsZero()}, {"expires_at", !j.ExpiresAt.IsZero()}, {"after", j.After != nil},
		{"idempotency_key", j.IdempotencyKey != ""}, {"retry.not_after", !j.Retry.NotAfter.IsZero()}, {"replay_of", j.ReplayOf != ""},
	} {
		if f.set {
			bad("job."+f.field, "makes no sense for a job that starts again and again")
		}
	}
	if j.ID != patternID || j.Tenant != r.Tenant {
		bad("job.id", "the ids and the tenant of a recurring job's runs are given by it")
	}
	if _, taken := j.Labels[LabelSchedule]; taken || len(j.Labels) >= maxLabels {
		bad("job.labels", "at most %d, and not %q, which is the recurring job's name", maxLabels-1, LabelSchedule)
	}
	return errors.Join(append(errs, j.Validate())...)
}

// schedule reads Cron.
func (r *Recurring) schedule() (cron.Schedule, error) {
	bad := func(field, format string, args ...any) error {
		return &limits.FieldError{Field: field, Err: fmt.Errorf(format, args...)}
	}
	if len(r.Cron) > maxCron || strings.ContainsAny(r.Cron, "=\r\n") || strings.HasPrefix(r.Cron, "@every") {
		return nil, bad("cron", "%q is no schedule in five fields such as */5 * * * *", shorten(r.Cron, 80))
	}
	s, err := cronParser.Parse(r.Cron)
	if err != nil {
		return nil, bad("cron", "%q: %w; write five fields such as */5 * * * *, six with seconds first, or @hourly, @daily, @weekly, @monthly, @yearly", r.Cron, err)
	}
	loc, err := r.location()
	if err != nil {
		return nil, bad("time_zone", "%q is no time zone such as Europe/Berlin: %w", shorten(r.TimeZone, 80), err)
	}
	if s.Next(time.Now().In(loc)).IsZero() {
		return nil, bad("cron", "%q never comes", r.Cron)
	}
	return s, nil
}

func (r *Recurring) location() (*time.Location, error) {
	if r.TimeZone == "" {
		return time.UTC, nil
	}
	if strings.ContainsAny(r.TimeZone, "\r\n") || r.TimeZone == "Local" {
		return nil, errors.New("unknown time zone")
	}
	return time.LoadLocation(r.TimeZone)
}

// Next is when it starts next after now; zero when it is paused. With Every
// that is only known to the server, and Next gives the time of the latest
// possible start.
func (r *Recurring) Next(now time.Time) time.Time {
	if r.Paused {
		return time.Time{}
	}
	if every := time.Duration(r.Every); every > 0 {
		since := max(0, now.Sub(r.ChangedAt))
		return r.ChangedAt.Add((since/every + 1) * every)
	}
	s, err := r.schedule()
	if err != nil {
		return time.Time{}
	}
	loc, _ := r.location()
	return s.Next(now.In(loc)).UTC()
}

// When is the schedule as a person would write it.
func (r *Recurring) When() string {
	switch {
	case r.Every > 0:
		return "every " + time.Duration(r.Every).String()
	case r.TimeZone != "":
		return r.Cron + " (" + r.TimeZone + ")"
	}
	return r.Cron
}

// Headers of the server's repeating schedules (ADR-51), beside those in
// route.go.
const (
	headerScheduleZone   = "Nats-Schedule-Time-Zone"
	headerScheduleRollup = "Nats-Schedule-Rollup"
	headerScheduleNext   = "Nats-Schedule-Next"
	headerRollup         = "Nats-Rollup"
)

// message makes the message that is the schedule. Publishing it replaces the
// one that is there.
func (r *Recurring) message() (*nats.Msg, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode schedule %s: %w", r.Name, err)
	}
	if len(data) > MaxJobSize {
		return nil, &TooLargeError{ID: r.Name, Size: len(data)}
	}
	m := &nats.Msg{Subject: recurringSubject(r.Tenant, r.Name), Data: data, Header: nats.Header{}}
	m.Header.Set(headerRollup, "sub")
	if r.Paused {
		return m, nil
	}
	pattern := r.Cron
	switch {
	case r.Every > 0:
		pattern = "@every " + time.Duration(r.Every).String()
	case len(strings.Fields(pattern)) == 5:
		pattern = "0 " + pattern
	}
	m.Header.Set(headerSchedule, pattern)
	if r.TimeZone != "" {
		m.Header.Set(headerScheduleZone, r.TimeZone)
	}
	m.Header.Set(headerScheduleTarget, firedSubject(r.Tenant, r.Name))
	// Firings that no worker took before the next one are replaced by it: a
	// fleet that was away for a night starts one job, not one for each minute.
	m.Header.Set(headerScheduleRollup, "sub")
	return m, nil
}

// decodeRecurring reads a schedule's message or a firing of it.
func decodeRecurring(data []byte) (*Recurring, error) {
	if len(data) > MaxJobSize {
		return nil, fmt.Errorf("decode schedule: %d bytes, at most %d", len(data), MaxJobSize)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var r Recurring
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("decode schedule: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("decode schedule: more data after the schedule")
	}
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("decode schedule: %w", err)
	}
	return &r, nil
}

// firing is one start of a recurring job.
type firing struct {
	*Recurring
	id     string    // of the job
	at     time.Time // by the server's clock
	byHand bool
}

// newFiring reads a firing. Its job's id is made of the time of the next one,
// which the server puts on it: should the server send a firing twice, as after
// a change of the stream's leader, it makes the same job. One that a person
// asked for has no next time; there the sequence of its message serves.
func newFiring(m *nats.Msg, seq uint64, at time.Time) (*firing, error) {
	r, err := decodeRecurring(m.Data)
	if err != nil {
		return nil, err
	}
	f := &firing{Recurring: r, at: at.UTC(), id: r.Name + "-m" + strconv.FormatUint(seq, 10)}
	switch want := firedSubject(r.Tenant, r.Name); m.Subject {
	case want:
	case startedSubject(r.Tenant, r.Name):
		f.byHand = true
		return f, nil
	default:
		return nil, fmt.Errorf("decode schedule: it came on subject %q but says it is %q", m.Subject, want)
	}
	if next, err := time.Parse(time.RFC3339, m.Header.Get(headerScheduleNext)); err == nil {
		f.id = r.Name + "-" + strconv.FormatInt(next.Unix(), 10)
	}
	return f, nil
}

// job makes the job of a firing.
func (f *firing) job() *Job {
	j := *f.Job
	j.ID, j.SubmittedAt = f.id, f.at
	j.Labels = map[string]string{LabelSchedule: f.Name}
	for k, v := range f.Job.Labels {
		j.Labels[k] = v
	}
	if f.ExpiresIn > 0 {
		j.ExpiresAt = f.at.Add(time.Duration(f.ExpiresIn))
	}
	return &j
}
