package jobs

import (
	"slices"
	"strings"
)

// keyLaneDigits is the length of a key's hash in its lane: 80 bits in hex, so
// that a tenant's keys do not meet by chance. Should two meet all the same,
// their submission says so.
const keyLaneDigits = 20

// isKey tells whether the lane is that of a concurrency or rate key.
func (l lane) isKey() bool {
	digits, ok := strings.CutPrefix(string(l), keyLanePrefix)
	return ok && len(digits) == keyLaneDigits && strings.Trim(digits, "0123456789abcdef") == ""
}

// pulled tells whether workers pull from the lane.
func (l lane) pulled() bool { return l.isKey() || slices.Contains(Priorities, Priority(l)) }

// splitConsumer reads a name that consumerName gave. Tenants may contain -.
func splitConsumer(name string) (tenant string, l lane) {
	name = strings.TrimPrefix(name, "q-")
	i := max(0, strings.LastIndexByte(name, '-'))
	return name[:i], lane(strings.TrimPrefix(name[i:], "-"))
}

// isQueue tells whether a consumer is one that workers pull jobs from.
func isQueue(consumer string) bool {
	tenant, l := splitConsumer(consumer)
	return strings.HasPrefix(consumer, "q-") && ValidID(tenant) && l.pulled()
}
