package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// A lane is the third token of a job's subject, jobs.<tenant>.<lane>.<id>. It
// says what the job waits for: a worker (the priorities, and one lane for each
// concurrency or rate key), a time, or other jobs. All lanes of a job are
// found, and purged, by jobs.<tenant>.*.<id>.
type lane string

const (
	laneSched lane = "sched" // the server's schedule moves it on at RunAt
	laneHold  lane = "hold"  // the coordinator moves it on when After is fulfilled
)

// keyLanePrefix starts the lanes of keys; no priority contains a _.
const keyLanePrefix = "k_"

// keyLane is the lane of all jobs that share a concurrency or rate key.
func keyLane(key string) lane {
	sum := sha256.Sum256([]byte(key))
	return lane(keyLanePrefix + hex.EncodeToString(sum[:10]))
}

// queueLane is where the job waits for a worker.
func (j *Job) queueLane() lane {
	if key := j.laneKey(); key != "" {
		return keyLane(key)
	}
	return lane(j.Priority)
}

// laneKey is the key whose lane the job waits in; "" for none.
func (j *Job) laneKey() string {
	switch {
	case j.Concurrency != nil:
		return j.Concurrency.Key
	case j.Rate != nil:
		return j.Rate.Key
	}
	return ""
}

// firstLane is where a job goes when it is submitted.
func (j *Job) firstLane(now time.Time) lane {
	if j.After != nil {
		return laneHold
	}
	return j.readyLane(now)
}

// readyLane is where a job goes that waits for no other.
func (j *Job) readyLane(now time.Time) lane {
	if j.RunAt.After(now) {
		return laneSched
	}
	return j.queueLane()
}

// subject is where the job is in one of its lanes.
func (j *Job) subject(l lane) string { return jobSubject(j.Tenant, l, j.ID) }

// State of a job that waits in the lane.
func (l lane) state() State {
	switch l {
	case laneSched:
		return Scheduled
	case laneHold:
		return Held
	}
	return Queued
}

// splitSubject reads jobs.<tenant>.<lane>.<id>.
func splitSubject(subject string) (tenant string, l lane, id string, ok bool) {
	parts := strings.Split(subject, ".")
	if len(parts) != 4 || parts[0] != "jobs" {
		return "", "", "", false
	}
	return parts[1], lane(parts[2]), parts[3], true
}

// Headers of scheduled messages (nats-server ADR-51).
const (
	headerSchedule       = "Nats-Schedule"
	headerScheduleTarget = "Nats-Schedule-Target"
	headerScheduler      = "Nats-Scheduler" // on what a schedule sent
)

// routed makes the message of a job that goes to the given lane.
func (j *Job) routed(l lane, data []byte) *nats.Msg {
	m := &nats.Msg{Subject: j.subject(l), Data: data, Header: nats.Header{}}
	if l == laneSched {
		m.Header.Set(headerSchedule, "@at "+j.RunAt.UTC().Format(time.RFC3339Nano))
		m.Header.Set(headerScheduleTarget, j.subject(j.queueLane()))
	}
	return m
}
