package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"boxfleet/jobs"
)

// How often the queue is counted, and for how long a count is shown: an old
// one would make an autoscaler act on what is no longer true. The server looks
// at every queue for it, so a count that takes long is made less often, for a
// countQueueShare-th of the time at most.
const (
	countQueueEvery = 5 * time.Second
	countQueueFor   = 30 * time.Second
	countQueueShare = 50
)

// queueGauge is the metric boxfleet_queue_jobs: the jobs of all tenants that
// wait or run. It is the same number wherever it is counted, so in a fleet
// only the coordinator shows it, and `worker queue-metrics` where there is no
// worker.
type queueGauge struct {
	log    *slog.Logger
	latest atomic.Pointer[queueCount]
}

type queueCount struct {
	at     time.Time
	totals []jobs.QueueTotal
}

func newQueueGauge(log *slog.Logger) (*queueGauge, error) {
	g := &queueGauge{log: log}
	_, err := otel.Meter("boxfleet/queue").Int64ObservableGauge("boxfleet.queue.jobs",
		metric.WithDescription("jobs of the whole fleet, by state (pending, running) and priority"), metric.WithUnit("{job}"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for _, t := range g.current() {
				o.Observe(int64(t.Pending), metric.WithAttributes(attribute.String("state", "pending"), attribute.String("priority", t.Queue)))
				o.Observe(int64(t.Running), metric.WithAttributes(attribute.String("state", "running"), attribute.String("priority", t.Queue)))
			}
			return nil
		}))
	if err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	return g, nil
}

// current is the newest count, or nothing when it is too old to be shown.
func (g *queueGauge) current() []jobs.QueueTotal {
	if c := g.latest.Load(); c != nil && time.Since(c.at) < countQueueFor {
		return c.totals
	}
	return nil
}

// run counts until ctx ends; afterwards nothing is shown.
func (g *queueGauge) run(ctx context.Context, js jetstream.JetStream) error {
	defer g.latest.Store(nil)
	for {
		start := time.Now()
		if err := g.count(ctx, js); err != nil && ctx.Err() == nil {
			g.log.WarnContext(ctx, "the queue cannot be counted at the moment", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(max(countQueueEvery, countQueueShare*time.Since(start)), countQueueFor*2/3)):
		}
	}
}

func (g *queueGauge) count(ctx context.Context, js jetstream.JetStream) error {
	ctx, cancel := context.WithTimeout(ctx, countQueueFor/2)
	defer cancel()
	at := time.Now()
	totals, err := jobs.QueueTotals(ctx, js)
	if err != nil {
		return err
	}
	g.latest.Store(&queueCount{at: at, totals: totals})
	return nil
}
