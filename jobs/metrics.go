package jobs

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics are the instruments of the queue side. Without a meter provider they
// cost a few nanoseconds each.
type metrics struct {
	jobs     metric.Int64Counter
	failures metric.Int64Counter
	fences   metric.Int64Counter
	dead     metric.Int64Counter
	phases   metric.Float64Histogram
	bytes    metric.Int64Counter
	cache    metric.Int64Counter
	byPhase  map[string]metric.MeasurementOption
}

// phaseBuckets in seconds: from tens of microseconds to a minute.
var phaseBuckets = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func newMetrics(w *Worker) (*metrics, error) {
	m, meter := &metrics{byPhase: map[string]metric.MeasurementOption{}}, otel.Meter("boxfleet/jobs")
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	var err error
	m.jobs, err = meter.Int64Counter("boxfleet.jobs", metric.WithDescription("jobs settled, by outcome"), metric.WithUnit("{job}"))
	add(err)
	m.failures, err = meter.Int64Counter("boxfleet.attempts.failed", metric.WithDescription("attempts that failed for the fleet's sake, by class"), metric.WithUnit("{attempt}"))
	add(err)
	m.fences, err = meter.Int64Counter("boxfleet.attempts.fenced", metric.WithDescription("attempts dropped because another worker held the job"), metric.WithUnit("{attempt}"))
	add(err)
	m.dead, err = meter.Int64Counter("boxfleet.dead_letters", metric.WithDescription("messages sent to the dead letters"), metric.WithUnit("{message}"))
	add(err)
	m.phases, err = meter.Float64Histogram("boxfleet.phase.duration", metric.WithDescription("time of each phase of a job"), metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(phaseBuckets...))
	add(err)
	m.bytes, err = meter.Int64Counter("boxfleet.bytes", metric.WithDescription("bytes staged (in) and collected (out)"), metric.WithUnit("By"))
	add(err)
	m.cache, err = meter.Int64Counter("boxfleet.module.cache", metric.WithDescription("where modules came from"), metric.WithUnit("{job}"))
	add(err)
	_, err = meter.Int64ObservableGauge("boxfleet.slots", metric.WithDescription("slots, by state"), metric.WithUnit("{slot}"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			busy := int64(w.busy())
			o.Observe(busy, metric.WithAttributes(attribute.String("state", "busy")))
			o.Observe(int64(w.cfg.Slots)-busy, metric.WithAttributes(attribute.String("state", "free")))
			return nil
		}))
	add(err)
	_, err = meter.Int64ObservableGauge("boxfleet.sick", metric.WithDescription("1 while the worker takes no jobs because its storage or disk is sick"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			if w.Sick() != "" {
				o.Observe(1)
			} else {
				o.Observe(0)
			}
			return nil
		}))
	add(err)
	for _, p := range []string{PhaseQueueWait, PhaseReuse, PhaseFetch, PhaseCompile, PhaseStage, PhaseInstantiate, PhaseRun, PhaseUpload, PhaseCommit} {
		m.byPhase[p] = metric.WithAttributeSet(attribute.NewSet(attribute.String("phase", p)))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) phase(ctx context.Context, name string, d time.Duration) {
	if opt, ok := m.byPhase[name]; ok {
		m.phases.Record(ctx, d.Seconds(), opt)
	}
}

func (m *metrics) finished(ctx context.Context, a *Attempt, r *Result) {
	m.jobs.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", string(r.Outcome)), attribute.String("tenant", a.Job.Tenant)))
	if r.BytesIn > 0 {
		m.bytes.Add(ctx, r.BytesIn, metric.WithAttributes(attribute.String("direction", "in")))
	}
	if r.BytesOut > 0 {
		m.bytes.Add(ctx, r.BytesOut, metric.WithAttributes(attribute.String("direction", "out")))
	}
	if r.CacheHit != "" {
		m.cache.Add(ctx, 1, metric.WithAttributes(attribute.String("hit", r.CacheHit)))
	}
}

func (m *metrics) attemptFailed(ctx context.Context, c Class) {
	m.failures.Add(ctx, 1, metric.WithAttributes(attribute.String("class", c.String())))
}
func (m *metrics) fenced(ctx context.Context) { m.fences.Add(ctx, 1) }
func (m *metrics) buried(ctx context.Context) { m.dead.Add(ctx, 1) }
