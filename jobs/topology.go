package jobs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Names of the streams and buckets. The reasons for their settings stand in
// docs/queue.md.
const (
	StreamJobs       = "JOBS"
	StreamEvents     = "EVENTS"
	StreamDead       = "DLQ"
	StreamAdvisories = "ADVISORIES"
	BucketStatus     = "status"
	BucketWorkers    = "workers"
	BucketTools      = "tools"
	BucketBatches    = "batches"
	BucketUnique     = "unique"
	BucketTenants    = "tenants"
	BucketLeases     = "leases"
	BucketPlaces     = "places"
	BucketKeys       = "keys"
)

// AckWait is how long the server waits for a sign of life before it gives a
// job to another worker; HeartbeatEvery is how often a worker gives one.
const (
	AckWait        = 30 * time.Second
	HeartbeatEvery = 10 * time.Second
)

// Topology are the settings of the streams and buckets that an operator may
// choose. The zero value is right for one development server.
type Topology struct {
	// Replicas of every stream and bucket: 1, or 3 on a cluster.
	Replicas int
	// ResultTTL is how long a finished job's record is kept; default 72 h.
	ResultTTL time.Duration
	// EventsMaxAge bounds EVENTS in time (default 24 h), EventsMaxBytes in
	// size (default 1 GiB).
	EventsMaxAge   time.Duration
	EventsMaxBytes int64
	// TenantConcurrency is the most jobs of one tenant and priority that run
	// or wait for a worker's retry at once; default 10,000.
	TenantConcurrency int

	// AckWait is how long the server waits for a sign of life before it gives a
	// job to another worker: 2 s to 1 h, default the constant of that name. A
	// worker gives three signs in this time. Shorter finds dead workers sooner
	// and takes more jobs from live ones whose connection stutters.
	AckWait time.Duration

	ackWait time.Duration // AckWait, unless a test shortens it further
}

// placesTTL outlives every holder's time and every rate's.
const placesTTL = maxRatePer + time.Hour

// LeaseTTL is how long a lease outlives its holder's last sign of life.
const LeaseTTL = 15 * time.Second

const defaultConcurrency = 10_000

// maxQueues is how many queues (tenants' priorities and keys) there may be.
// Without a number the server allows 1,000 (nats-server 2.15,
// JSDefaultMaxConsumersPerStream): not even 334 tenants of three priorities.
const maxQueues = 100_000

// metaConcurrency is the JOBS stream's note of TenantConcurrency, from which
// clients make the queues of new tenants.
const metaConcurrency = "boxfleet.tenant_concurrency"

// metaAckWait is its note of AckWait, for the same reason.
const metaAckWait = "boxfleet.ack_wait"

// WithDefaults fills what is zero.
func (t Topology) WithDefaults() Topology {
	if t.Replicas == 0 {
		t.Replicas = 1
	}
	if t.ResultTTL == 0 {
		t.ResultTTL = 72 * time.Hour
	}
	if t.EventsMaxAge == 0 {
		t.EventsMaxAge = 24 * time.Hour
	}
	if t.EventsMaxBytes == 0 {
		t.EventsMaxBytes = 1 << 30
	}
	if t.TenantConcurrency == 0 {
		t.TenantConcurrency = defaultConcurrency
	}
	if t.AckWait == 0 {
		t.AckWait = AckWait
	}
	if t.ackWait == 0 {
		t.ackWait = t.AckWait
	}
	return t
}

// Validate names the setting that cannot be.
func (t Topology) Validate() error {
	switch {
	case t.Replicas != 1 && t.Replicas != 3 && t.Replicas != 5:
		return fmt.Errorf("replicas: %d; write 1, 3 or 5", t.Replicas)
	case t.ResultTTL < time.Minute:
		return fmt.Errorf("result_ttl: %s; at least 1m, or nobody can read a result", t.ResultTTL)
	case t.TenantConcurrency < 1:
		return fmt.Errorf("tenant_concurrency: %d; at least 1", t.TenantConcurrency)
	case t.AckWait < 2*time.Second || t.AckWait > time.Hour:
		return fmt.Errorf("ack_wait: %s; write 2s to 1h", t.AckWait)
	}
	return nil
}

// Ensure creates or updates every stream and bucket. It may be called by many
// workers at once and again at every start. Replicas are never lowered: a
// worker started without the setting must not weaken a cluster's streams.
func (t Topology) Ensure(ctx context.Context, js jetstream.JetStream) error {
	t = t.WithDefaults()
	if err := t.Validate(); err != nil {
		return err
	}
	for _, cfg := range t.streams() {
		if err := insist(ctx, func() error { return ensureStream(ctx, js, cfg) }); err != nil {
			return fmt.Errorf("ensure stream %s: %w", cfg.Name, hintJetStream(err))
		}
	}
	for _, cfg := range t.buckets() {
		if err := insist(ctx, func() error { return ensureBucket(ctx, js, cfg) }); err != nil {
			return fmt.Errorf("ensure bucket %s: %w", cfg.Bucket, hintJetStream(err))
		}
	}
	return nil
}

func ensureStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) error {
	old, err := js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if _, err = js.CreateStream(ctx, cfg); !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		old, err = js.Stream(ctx, cfg.Name) // another worker was first, with other settings
	}
	if err != nil {
		return err
	}
	was := old.CachedInfo().Config
	if was.Retention != cfg.Retention || was.Storage != cfg.Storage {
		return fmt.Errorf("it exists with %s retention and %s storage, boxfleet needs %s and %s, and that cannot be changed; give boxfleet an account of its own, or remove the stream if nothing in it is wanted",
			was.Retention, was.Storage, cfg.Retention, cfg.Storage)
	}
	cfg.Replicas = max(cfg.Replicas, was.Replicas)
	_, err = js.UpdateStream(ctx, cfg)
	return err
}

func ensureBucket(ctx context.Context, js jetstream.JetStream, cfg jetstream.KeyValueConfig) error {
	old, err := js.KeyValue(ctx, cfg.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		if _, err = js.CreateKeyValue(ctx, cfg); !errors.Is(err, jetstream.ErrBucketExists) {
			return err
		}
		old, err = js.KeyValue(ctx, cfg.Bucket)
	}
	if err != nil {
		return err
	}
	status, err := old.Status(ctx)
	if err != nil {
		return err
	}
	if s, ok := status.(*jetstream.KeyValueBucketStatus); ok {
		cfg.Replicas = max(cfg.Replicas, s.StreamInfo().Config.Replicas)
	}
	_, err = js.UpdateKeyValue(ctx, cfg)
	return err
}

func hintJetStream(err error) error {
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w: start nats-server with JetStream (-js) and let this account use it", err)
	}
	return err
}

func (t Topology) streams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{{
		Name: StreamJobs,
		// submit.<tenant>.<kind>.<id> are array jobs and recurring ones, from
		// which workers make jobs; members.<tenant>.<batch>.<chunk> list what
		// a batch consists of and are nobody's to pull.
		Subjects:     []string{"jobs.*.*.*", "submit.*.*.*", "members.*.*.*"},
		MaxConsumers: maxQueues,
		// No size or count limit, on purpose: a limit would drop queued jobs.
		Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage,
		Replicas: t.Replicas, Duplicates: 2 * time.Minute,
		AllowDirect: true, AllowAtomicPublish: true, AllowMsgSchedules: true, AllowMsgTTL: true,
		Metadata: map[string]string{metaConcurrency: strconv.Itoa(t.TenantConcurrency), metaAckWait: t.ackWait.String()},
	}, {
		Name: StreamEvents, Subjects: []string{"events.>"},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage,
		Replicas: t.Replicas, MaxAge: t.EventsMaxAge, MaxBytes: t.EventsMaxBytes, AllowDirect: true, NoAck: true,
	}, {
		Name: StreamDead, Subjects: []string{"dlq.>"},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage,
		Replicas: t.Replicas, MaxAge: 30 * 24 * time.Hour, AllowDirect: true, Duplicates: 2 * time.Minute,
	}, {
		Name: StreamAdvisories,
		Subjects: []string{
			"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + StreamJobs + ".>",
			"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED." + StreamJobs + ".>",
		},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage,
		Replicas: t.Replicas, MaxAge: 7 * 24 * time.Hour, MaxBytes: 256 << 20, NoAck: true,
	}}
}

func (t Topology) buckets() []jetstream.KeyValueConfig {
	return []jetstream.KeyValueConfig{
		{Bucket: BucketStatus, Description: "one record a job", History: 1, TTL: t.ResultTTL, Replicas: t.Replicas, Storage: jetstream.FileStorage},
		{Bucket: BucketWorkers, Description: "workers alive", History: 1, TTL: 30 * time.Second, Replicas: t.Replicas, Storage: jetstream.MemoryStorage},
		{Bucket: BucketTools, Description: "tool manifests", History: 1, Replicas: t.Replicas, Storage: jetstream.FileStorage},
		{Bucket: BucketBatches, Description: "one record a batch", History: 1, TTL: t.ResultTTL, Replicas: t.Replicas, Storage: jetstream.FileStorage},
		{Bucket: BucketUnique, Description: "idempotency keys", History: 1, LimitMarkerTTL: time.Minute, Replicas: t.Replicas, Storage: jetstream.FileStorage},
		{Bucket: BucketTenants, Description: "operators' settings of tenants", History: 1, Replicas: t.Replicas, Storage: jetstream.FileStorage},
		{Bucket: BucketPlaces, Description: "who runs how many jobs of capped tenants, and starts of rated keys", History: 1, TTL: placesTTL, Replicas: t.Replicas, Storage: jetstream.FileStorage},
		{Bucket: BucketKeys, Description: "what bounds the jobs of each concurrency or rate key", History: 1, LimitMarkerTTL: time.Minute, Replicas: t.Replicas, Storage: jetstream.FileStorage},
		{Bucket: BucketLeases, Description: "who does what only one may do", History: 1, TTL: LeaseTTL, Replicas: t.Replicas, Storage: jetstream.MemoryStorage},
	}
}

// Subjects of a job. Tenant and id are single tokens (ValidID); l is a
// Priority or another lane.
func jobSubject[L ~string](tenant string, l L, id string) string {
	return "jobs." + tenant + "." + string(l) + "." + id
}

// doneSubject is where a worker announces a finished record; batch "" is "_".
func doneSubject(tenant, batch, id string) string {
	if batch == "" {
		batch = "_"
	}
	return "done." + tenant + "." + batch + "." + id
}

func wakeSubject[L ~string](tenant string, l L) string { return "wake." + tenant + "." + string(l) }
func cancelSubject(tenant, id string) string           { return "ctl.cancel." + tenant + "." + id }
func logSubject(tenant, id string) string              { return "events." + tenant + "." + id + ".log" }
func deadSubject(tenant, tool, id string) string       { return "dlq." + tenant + "." + tool + "." + id }

func consumerName[L ~string](tenant string, l L) string { return "q-" + tenant + "-" + string(l) }

// consumerConfig is the durable consumer of one tenant and priority.
func (t Topology) consumerConfig(tenant string, p Priority) jetstream.ConsumerConfig {
	return t.laneConfig(tenant, lane(p))
}

// laneConfig is the durable consumer of one of a tenant's lanes.
func (t Topology) laneConfig(tenant string, l lane) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       consumerName(tenant, l),
		FilterSubject: jobSubject(tenant, l, "*"),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       t.ackWait,
		// No BackOff: it replaces AckWait and redelivers jobs that still run.
		// MaxDeliver stays -1: attempts are counted in the record, because
		// deliveries also rise when a worker drains.
		MaxDeliver:    -1,
		MaxAckPending: t.TenantConcurrency,
		MaxWaiting:    2048,
	}
}

// ensureConsumers makes a tenant's queues, and gives those that exist this
// topology's settings. Only workers call it: what an operator set must not be
// undone by a client.
func (t Topology) ensureConsumers(ctx context.Context, js jetstream.JetStream, tenant string) error {
	for _, p := range Priorities {
		if _, err := js.CreateOrUpdateConsumer(ctx, StreamJobs, t.consumerConfig(tenant, p)); err != nil {
			return fmt.Errorf("ensure consumer %s: %w", consumerName(tenant, p), err)
		}
	}
	return nil
}

// ensureAllConsumers does so for every tenant that has queues.
func (t Topology) ensureAllConsumers(ctx context.Context, js jetstream.JetStream) error {
	return insist(ctx, func() error { return t.tryAllConsumers(ctx, js) })
}

func (t Topology) tryAllConsumers(ctx context.Context, js jetstream.JetStream) error {
	if err := t.ensureConsumers(ctx, js, DefaultTenant); err != nil {
		return err
	}
	stream, err := js.Stream(ctx, StreamJobs)
	if err != nil {
		return fmt.Errorf("list the queues: %w", err)
	}
	list := stream.ListConsumers(ctx)
	var stale []jetstream.ConsumerConfig
	for info := range list.Info() {
		tenant, l := splitConsumer(info.Name)
		if !isQueue(info.Name) {
			continue
		}
		want := t.laneConfig(tenant, l)
		if l.isKey() { // its limit is its submitters' to set
			want.MaxAckPending = info.Config.MaxAckPending
		}
		if info.Config.MaxAckPending != want.MaxAckPending || info.Config.AckWait != want.AckWait {
			stale = append(stale, want)
		}
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return fmt.Errorf("list the queues: %w", err)
	}
	for _, want := range stale {
		if _, err := js.CreateOrUpdateConsumer(ctx, StreamJobs, want); err != nil {
			return fmt.Errorf("ensure consumer %s: %w", want.Durable, err)
		}
	}
	return nil
}

// createConsumer makes one queue of a tenant, as the operator's note on the
// stream has it. One that exists is left as it is.
func createConsumer(ctx context.Context, js jetstream.JetStream, tenant string, p Priority) error {
	stream, err := js.Stream(ctx, StreamJobs)
	if err != nil {
		return err
	}
	_, err = stream.CreateConsumer(ctx, topologyOf(stream.CachedInfo().Config).consumerConfig(tenant, p))
	if errors.Is(err, jetstream.ErrConsumerExists) {
		return nil
	}
	return err
}

// topologyOf gives the settings that workers noted on the JOBS stream.
func topologyOf(jobs jetstream.StreamConfig) Topology {
	t := Topology{}
	t.TenantConcurrency, _ = strconv.Atoi(jobs.Metadata[metaConcurrency])
	t.ackWait, _ = time.ParseDuration(jobs.Metadata[metaAckWait])
	return t.WithDefaults()
}
