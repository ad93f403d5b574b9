package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// What QueueTotals calls the queues that are none of a priority's.
const (
	// Keyed are those of concurrency and rate keys, which have a lane for each
	// key.
	Keyed = "keyed"
	// Unmade are arrays and firings of schedules, of which a worker has yet to
	// make the jobs: one of them may be a million.
	Unmade = "unmade"
)

// QueueTotal is how many jobs of all tenants wait in one kind of queue.
type QueueTotal struct {
	// Queue is high, normal, low, Keyed or Unmade.
	Queue string
	// Pending jobs wait for a worker. Running ones are held by one, or wait
	// for the worker that will try them again.
	Pending, Running int
}

// QueueTotals adds up the queues of all tenants: what an operator scales by.
// Pending and running belong together: when a fleet takes all that waits at
// once, pending alone falls to nothing. Jobs that wait for a time or for other
// jobs are no work yet and are not counted.
//
// It asks the server about every queue, 256 at a time. The error is
// jetstream.ErrStreamNotFound until the fleet's first worker has made the
// queue.
func QueueTotals(ctx context.Context, js jetstream.JetStream) ([]QueueTotal, error) {
	stream, err := js.Stream(ctx, StreamJobs)
	if err != nil {
		return nil, fmt.Errorf("add up the queues: %w", err)
	}
	out := make([]QueueTotal, 0, len(Priorities)+2)
	at := map[lane]int{}
	for _, p := range Priorities {
		at[lane(p)] = len(out)
		out = append(out, QueueTotal{Queue: string(p)})
	}
	keyed := len(out)
	out = append(out, QueueTotal{Queue: Keyed}, QueueTotal{Queue: Unmade})
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		_, l := splitConsumer(info.Name)
		i, priority := at[l]
		switch {
		case info.Name == consumerExpand:
			i = keyed + 1
		case !isQueue(info.Name):
			continue
		case !priority:
			i = keyed
		}
		out[i].Pending += int(info.NumPending)
		out[i].Running += info.NumAckPending
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, fmt.Errorf("add up the queues: %w", err)
	}
	return out, nil
}
