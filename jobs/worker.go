package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
)

// Handler runs one attempt of a job. The executor is one.
//
// A guest that fails is a Result. An error means that the fleet failed; its
// class (Classify) decides what happens to the message. The context ends with
// the cause ErrCanceled, ErrFenced or ErrDraining when the attempt is to stop.
type Handler interface {
	Run(ctx context.Context, a *Attempt) (*Result, error)
}

// Committer stores the manifest of an attempt that has outputs. It is the
// second fence: one object by conditional PUT.
type Committer interface {
	// Commit stores r's outputs as the job's, unless another attempt's are
	// stored already; then it gives that attempt's result.
	Commit(ctx context.Context, a *Attempt, r *Result) (committed *Result, err error)
}

// WorkerConfig are the settings of a worker's queue side.
type WorkerConfig struct {
	// Name identifies the worker in records, logs and the presence bucket.
	Name string
	// Slots is how many jobs run at once.
	Slots int
	// MaxAttempts of a job that asks for no other number; default 5.
	MaxAttempts int
	// MaxRetryAge is how long after its first failed attempt a job is tried
	// again; default 24 h.
	MaxRetryAge time.Duration
	// Grace is how long running jobs may go on after Run's context ends;
	// default 20 s.
	Grace time.Duration
	// PollEvery is how often an idle worker looks at queues nobody rang for;
	// default 500 ms.
	PollEvery time.Duration
	// Probe tells whether what every job needs is well again (default: yes).
	Probe    func(ctx context.Context) error
	Topology Topology
	// Chores are done by one worker of the fleet at a time, beside the queue's
	// own.
	Chores []Chore
	// Notifier sends what batches ask to be told of to their webhooks; nil
	// refuses them all.
	Notifier Notifier
	// Version of the program, shown in the presence bucket.
	Version string
	Log     *slog.Logger

	// Tests shorten these.
	heartbeatEvery time.Duration
	sickDelay      time.Duration // the longest wait of a job that met a sick worker
	probeEvery     time.Duration
	presentEvery   time.Duration // between signs of life in the workers bucket
	lastWords      time.Duration // for settling after the grace
	leaseEvery     time.Duration // between signs of life of a lease
	noticeFirst    time.Duration // until a notification is tried again
	localClock     func() time.Time
	unknownAfter   time.Duration   // how long a job waits for what nobody knows
	ringAgain      []time.Duration // ringAgain, unless a test has others
	tendEvery      time.Duration   // between looks at keys, and how long they live
	keyIdle        time.Duration
	keyForget      time.Duration
}

// WithDefaults fills what is zero.
func (c WorkerConfig) WithDefaults() WorkerConfig {
	if c.Name == "" {
		host, _ := os.Hostname()
		c.Name = sanitizeName(host) + "-" + NewID()[:6]
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 5
	}
	if c.MaxRetryAge == 0 {
		c.MaxRetryAge = 24 * time.Hour
	}
	if c.Grace == 0 {
		c.Grace = 20 * time.Second
	}
	if c.PollEvery == 0 {
		c.PollEvery = 500 * time.Millisecond
	}
	if c.Probe == nil {
		c.Probe = func(context.Context) error { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Topology = c.Topology.WithDefaults()
	if c.heartbeatEvery == 0 {
		c.heartbeatEvery = min(HeartbeatEvery, c.Topology.ackWait/3)
	}
	if c.sickDelay == 0 {
		c.sickDelay = 5 * time.Second
	}
	if c.probeEvery == 0 {
		c.probeEvery = time.Second
	}
	if c.unknownAfter == 0 {
		c.unknownAfter = UnknownAfter
	}
	if c.presentEvery == 0 {
		c.presentEvery = 10 * time.Second
	}
	if c.ringAgain == nil {
		c.ringAgain = ringAgain
	}
	if c.tendEvery == 0 {
		c.tendEvery = tendEvery
	}
	if c.keyIdle == 0 {
		c.keyIdle = keyIdle
	}
	if c.keyForget == 0 {
		c.keyForget = keyForget
	}
	if c.noticeFirst == 0 {
		c.noticeFirst = noticeFirst
	}
	if c.leaseEvery == 0 {
		c.leaseEvery = LeaseTTL / 5
	}
	if c.lastWords == 0 {
		c.lastWords = 15 * time.Second
	}
	return c
}

// Validate names the setting that cannot be.
func (c WorkerConfig) Validate() error {
	switch {
	case !ValidID(c.Name):
		return fmt.Errorf("worker name %q is not 1 to 64 letters, digits, - or _", c.Name)
	case c.Slots < 1 || c.Slots > 4096:
		return fmt.Errorf("slots: %d; write 1 to 4096", c.Slots)
	case c.MaxAttempts < 1:
		return fmt.Errorf("max_attempts: %d; at least 1", c.MaxAttempts)
	case c.MaxRetryAge < 0:
		return fmt.Errorf("max_retry_age: %s; it cannot be negative", c.MaxRetryAge)
	}
	return c.Topology.Validate()
}

func sanitizeName(s string) string {
	s = strings.Map(func(r rune) rune {
		if ValidID(string(r)) {
			return r
		}
		return '-'
	}, s)
	return s[:min(len(s), 40)]
}

// Worker pulls jobs, hands them to a Handler and settles them.
type Worker struct {
	cfg     WorkerConfig
	nc      *nats.Conn
	js      jetstream.JetStream
	status  jetstream.KeyValue
	present jetstream.KeyValue
	leases  jetstream.KeyValue
	handler Handler
	commits Committer
	tracer  trace.Tracer
	metrics *metrics
	log     *slog.Logger
	clock   *fleetClock

	mu     sync.Mutex
	active map[string]*Attempt // by tenant.id

	settling     context.Context // ends when a draining worker must let go of everything
	stopSettling context.CancelFunc

	free   chan struct{} // one token a free slot
	woken  chan string   // consumer names that were rung
	wg     sync.WaitGroup
	sick   atomic.Pointer[string] // why fetching is paused; nil when well
	done   atomic.Int64
	parked atomic.Int64 // jobs that laid their slot down

	tenants *tenantBook
	keeper  *placeKeeper
	rates   *rateKeeper
	queues  *queueMaker
	healing atomic.Int32

	coordinating atomic.Bool
}

// NewWorker ensures the streams and prepares a worker; Run starts it.
func NewWorker(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, h Handler, commits Committer, cfg WorkerConfig) (*Worker, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.Topology.Ensure(ctx, js); err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: cfg, nc: nc, js: js, handler: h, commits: commits, log: cfg.Log,
		tracer: otel.Tracer("boxfleet/jobs"),
		active: map[string]*Attempt{}, free: make(chan struct{}, cfg.Slots), woken: make(chan string, 256),
		clock: newFleetClock(cfg.localClock),
	}
	w.settling, w.stopSettling = context.WithCancel(context.Background())
	var err error
	if w.metrics, err = newMetrics(w); err != nil {
		return nil, err
	}
	if w.status, err = bindBucket(ctx, js, BucketStatus); err != nil {
		return nil, err
	}
	if w.present, err = bindBucket(ctx, js, BucketWorkers); err != nil {
		return nil, err
	}
	if w.leases, err = bindBucket(ctx, js, BucketLeases); err != nil {
		return nil, err
	}
	places, err := bindBucket(ctx, js, BucketPlaces)
	if err != nil {
		return nil, err
	}
	w.keeper = newPlaceKeeper(w, places)
	w.tenants = newTenantBook(w.keeper.bell.ring)
	w.rates = newRateKeeper(w.keeper)
	w.queues = newQueueMaker(js, w.now)
	if err := cfg.Topology.ensureAllConsumers(ctx, js); err != nil {
		return nil, err
	}
	if err := cfg.Topology.ensureExpand(ctx, js); err != nil {
		return nil, err
	}
	for range cfg.Slots {
		w.free <- struct{}{}
	}
	w.tellTime(ctx)
	return w, nil
}

// Name is the worker's name.
func (w *Worker) Name() string { return w.cfg.Name }

// Sick says why the worker takes no new jobs at the moment; "" when it does.
func (w *Worker) Sick() string {
	if s := w.sick.Load(); s != nil {
		return *s
	}
	return ""
}

// busy is how many slots are in use. Jobs that laid theirs down, because they
// wait for a compiler or are being settled, are active without one.
func (w *Worker) busy() int {
	return min(max(0, w.Active()-int(w.parked.Load())), w.cfg.Slots)
}

// Active is how many jobs this worker has now, with or without a slot; Finished
// how many ended on it.
func (w *Worker) Active() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.active)
}

// Finished is how many jobs this worker settled.
func (w *Worker) Finished() int64 { return w.done.Load() }

// Run pulls and runs jobs until ctx ends, then drains: it stops fetching,
// lets running jobs go on for the grace, stops the rest with ErrDraining,
// gives them back, and returns. ready is called once jobs can run.
func (w *Worker) Run(ctx context.Context, ready func()) error {
	cancelSub, err := w.nc.Subscribe("ctl.cancel.*.*", w.onCancel)
	if err != nil {
		return fmt.Errorf("listen for cancels: %w", err)
	}
	defer func() { _ = cancelSub.Unsubscribe() }()
	wakeSub, err := w.nc.Subscribe("wake.*.*", w.onWake)
	if err != nil {
		return fmt.Errorf("listen for new jobs: %w", err)
	}
	defer func() { _ = wakeSub.Unsubscribe() }()
	if err := w.nc.FlushTimeout(requestTimeout); err != nil {
		return fmt.Errorf("listen for new jobs: %w", err)
	}

	// Jobs and heartbeats outlive the fetching.
	work, stopWork := context.WithCancelCause(context.WithoutCancel(ctx))
	beats, stopBeats := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { w.heartbeats(beats) })
	background.Go(func() { w.watchRecords(beats) })
	background.Go(func() { w.presence(beats) })
	background.Go(func() { w.watchTenants(beats) })
	background.Go(func() { w.watchKeys(beats) })
	background.Go(func() { w.keeper.run(beats) })

	chores, stopChores := context.WithCancel(context.WithoutCancel(ctx))
	background.Go(func() { w.coordinate(chores) })
	background.Go(func() { w.expand(chores) })

	err = w.dispatch(ctx, work, ready)
	stopChores() // another worker goes on with them while this one drains

	w.log.Info("draining", "running", w.Active(), "grace", w.cfg.Grace)
	idle := make(chan struct{})
	go func() { w.wg.Wait(); close(idle) }()
	grace := time.NewTimer(w.cfg.Grace)
	defer grace.Stop()
	select {
	case <-idle:
	case <-grace.C:
		w.log.Warn("the grace is over, stopping running jobs", "running", w.Active())
		stopWork(ErrDraining)
		// A server that does not answer must not keep the process: what is
		// not settled by now comes back to another worker by itself.
		last := time.AfterFunc(w.cfg.lastWords, w.stopSettling)
		<-idle
		last.Stop()
	}
	w.stopSettling()
	stopWork(nil)
	stopBeats()
	background.Wait()
	_ = w.nc.FlushTimeout(2 * time.Second)
	return err
}

// Hurry ends the grace of a draining worker: the second signal.
func (w *Worker) Hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.active {
		a.stop(ErrDraining)
	}
}

func (w *Worker) onCancel(m *nats.Msg) {
	parts := strings.Split(m.Subject, ".")
	w.mu.Lock()
	a := w.active[parts[2]+"."+parts[3]]
	w.mu.Unlock()
	if a != nil {
		go w.checkRecord(context.Background(), a) // the record decides, not the message
	}
}

// checkRecord looks whether the job's record asks for the attempt's end, or
// names another holder. The answer may be an old one of a slow replica; only
// revisions after the attempt's own count.
func (w *Worker) checkRecord(ctx context.Context, a *Attempt) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	entry, err := w.status.Get(ctx, a.key)
	if err != nil {
		return
	}
	held := a.rev.Load()
	if held == 0 || entry.Revision() <= held || a.settled.Load() {
		return
	}
	rec, err := decodeRecord(entry.Value())
	switch {
	case err != nil:
	case rec.heldBy(&a.claimed):
		if rec.CancelRequested {
			a.stop(ErrCanceled)
		}
	case rec.State == Running, rec.Attempt != a.claimed.Attempt, rec.Worker != "" && rec.Worker != a.Worker:
		a.stop(ErrFenced) // and not just settled by this attempt itself
	}
}

func (w *Worker) onWake(m *nats.Msg) {
	parts := strings.Split(m.Subject, ".")
	if m.Subject == placesSubject(parts[1]) {
		w.keeper.bell.granted(parts[1])
		return
	}
	name := consumerName(parts[1], lane(parts[2]))
	if !isQueue(name) {
		return
	}
	select {
	case w.woken <- name:
	default: // many rings wait already
	}
}

// running lists the attempts whose messages are not settled.
func (w *Worker) running() []*Attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]*Attempt, 0, len(w.active))
	for _, a := range w.active {
		if !a.settled.Load() {
			list = append(list, a)
		}
	}
	return list
}

// heartbeats tells the server that running jobs are alive. It never waits for
// an answer, so that one slow exchange cannot silence the others.
func (w *Worker) heartbeats(ctx context.Context) {
	tick := time.NewTicker(w.cfg.heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, a := range w.running() {
			if err := w.nc.Publish(a.msg.Reply, progressBody); err != nil {
				w.log.Warn("heartbeat failed", "job", a.Job.ID, "error", err)
				break // the connection is gone; the others would fare no better
			}
		}
	}
}

var progressBody = []byte("+WPI")

// watchRecords looks at every beat whether the records of running jobs still
// want them to run: a cancel's message may have been lost.
func (w *Worker) watchRecords(ctx context.Context) {
	tick := time.NewTicker(w.cfg.heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, a := range w.running() {
			if ctx.Err() != nil || !w.nc.IsConnected() {
				break
			}
			w.checkRecord(ctx, a)
		}
	}
}

// Presence is what a worker says of itself in the workers bucket.
type Presence struct {
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Slots    int       `json:"slots"`
	Active   int       `json:"active"`
	Finished int64     `json:"finished"`
	Sick     string    `json:"sick,omitempty"`
	Started  time.Time `json:"started"`
}

// presence keeps the worker's key in the workers bucket alive.
func (w *Worker) presence(ctx context.Context) {
	started := time.Now().UTC()
	tick := time.NewTicker(w.cfg.presentEvery)
	defer tick.Stop()
	put := func() {
		data, err := json.Marshal(Presence{
			Name: w.cfg.Name, Version: w.cfg.Version, Slots: w.cfg.Slots, Active: w.busy(),
			Finished: w.Finished(), Sick: w.Sick(), Started: started,
		})
		if err == nil {
			pctx, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			if _, err = w.present.Put(pctx, w.cfg.Name, data); err != nil {
				err = errors.Join(err, w.remake(ctx))
			}
		}
		if err != nil && ctx.Err() == nil {
			w.log.Debug("cannot say that this worker is alive", "error", err)
		}
	}
	put()
	for {
		select {
		case <-ctx.Done():
			bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			_ = w.present.Delete(bye, w.cfg.Name)
			cancel()
			return
		case <-tick.C:
			put()
			w.tellTime(ctx)
		}
	}
}

// remake makes the buckets that are kept in memory, of which a single server
// knows nothing any more when it has restarted. Without them nobody would see
// the workers, and none could be coordinator.
func (w *Worker) remake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := w.js.Stream(ctx, StreamJobs)
	if err != nil {
		return err
	}
	t := topologyOf(stream.CachedInfo().Config)
	t.Replicas = stream.CachedInfo().Config.Replicas
	var errs []error
	for _, cfg := range t.buckets() {
		if cfg.Storage == jetstream.MemoryStorage {
			errs = append(errs, ensureBucket(ctx, w.js, cfg))
		}
	}
	return errors.Join(errs...)
}

// pause stops fetching until the probe succeeds. The first cause wins.
func (w *Worker) pause(err error) {
	reason := err.Error()
	if w.sick.CompareAndSwap(nil, &reason) {
		w.log.Error("taking no new jobs until this is well again", "error", err)
	}
}

func (w *Worker) recovered() {
	if w.sick.Swap(nil) != nil {
		w.log.Info("well again, taking jobs")
	}
}
