package jobs

import "github.com/nats-io/nats.go/jetstream"

// SplitQueue reads the name of a queue's consumer: whose it is, and the lane
// it serves. ok is false for consumers that are no queues.
func SplitQueue(consumer string) (tenant, lane string, ok bool) {
	t, l := splitConsumer(consumer)
	return t, string(l), isQueue(consumer)
}

// QueueConfig is the consumer of a queue of the tenant as the operator's notes
// on the JOBS stream have it. ok is false for lanes that are no queues. A
// key's queue, whose limit its submitters set (1 to MaxLimit), is told by key.
func QueueConfig(jobsStream jetstream.StreamConfig, tenant, laneName string) (cfg jetstream.ConsumerConfig, key, ok bool) {
	l := lane(laneName)
	return topologyOf(jobsStream).laneConfig(tenant, l), l.isKey(), ValidID(tenant) && l.pulled()
}

// MaxLimit is the most a concurrency key may let run at once.
const MaxLimit = maxLimit

// ValidLane tells whether a job's subject may have the lane.
func ValidLane(name string) bool {
	l := lane(name)
	return l == laneSched || l == laneHold || l.pulled()
}
