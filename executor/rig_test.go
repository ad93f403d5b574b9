package executor_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"boxfleet/artifacts"
	"boxfleet/artifacts/storetest"
	"boxfleet/executor"
	"boxfleet/internal/faultproxy"
	"boxfleet/jobs"
	"boxfleet/limits"
)

var (
	server  *storetest.Server
	spans   = tracetest.NewInMemoryExporter()
	metrics = sdkmetric.NewManualReader()
)

// TestMain runs the tests with one S3 server.
func TestMain(m *testing.M) {
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	otel.SetTracerProvider(tp)
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(metrics)))
	code := storetest.Main(m, &server)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// rig is a fleet of one worker: a real queue, a real store behind a proxy that
// can misbehave, and the executor.
type rig struct {
	store  *artifacts.Store // the test's own way to the bucket
	proxy  *faultproxy.HTTP // between the worker and the store
	dir    string           // scratch and cache below it
	exec   *executor.Executor
	worker *jobs.Worker
	client *jobs.Client
	nc     *nats.Conn
	js     jetstream.JetStream
	nats   string
	logs   *syncBuffer
	tools  map[string]jobs.Tool
}

// options of a rig; the zero value is a worker of 8 slots with standard
// ceilings.
type options struct {
	config   func(*executor.Config)
	worker   func(*jobs.WorkerConfig)
	store    func(*artifacts.Config) // the worker's store
	dir      string                  // of an earlier rig
	bucket   *artifacts.Store        // of an earlier rig
	noWorker bool                    // only the executor
	nats     string                  // the queue of an earlier rig
}

func newRig(t *testing.T, o options) *rig {
	t.Helper()
	r := &rig{dir: o.dir, logs: &syncBuffer{}, tools: map[string]jobs.Tool{}, store: o.bucket}
	if r.dir == "" {
		r.dir = t.TempDir()
	}
	var err error
	if r.proxy, err = faultproxy.StartHTTP(server.Addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.proxy.Close() })
	if r.store == nil {
		r.store = server.Store(t)
	}
	storeConfig := server.Config(r.store.Bucket())
	storeConfig.Endpoint = r.proxy.Addr()
	if o.store != nil {
		o.store(&storeConfig)
	}
	access, err := artifacts.NewAccess(r.store.Bucket(), artifacts.DefaultRules(r.store.Bucket()))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := executor.Config{
		ScratchDir: filepath.Join(r.dir, "scratch"), CacheDir: filepath.Join(r.dir, "cache"),
		Access: access, MemoryBudget: 4 * limits.GiB, Compilers: 1, Log: log,
	}
	if o.config != nil {
		o.config(&cfg)
	}
	if r.exec, err = executor.New(t.Context(), storetest.Open(t, storeConfig), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.exec.Close(context.Background()); err != nil {
			t.Error(err)
		}
		r.checkSwept(t)
	})
	if !o.noWorker {
		r.startWorker(t, o, log)
	}
	return r
}

func (r *rig) startWorker(t *testing.T, o options, log *slog.Logger) {
	t.Helper()
	url := o.nats
	if url == "" {
		url = startNATS(t)
	}
	r.nats = url
	var err error
	r.nc, r.js, err = jobs.Connect(t.Context(), jobs.ConnConfig{URL: url, Name: "test", Wait: 10 * time.Second, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.nc.Close)
	cfg := jobs.WorkerConfig{Name: "w1", Slots: 8, Grace: 10 * time.Second, PollEvery: 50 * time.Millisecond, Probe: r.exec.Probe, Log: log}
	if o.worker != nil {
		o.worker(&cfg)
	}
	if r.worker, err = jobs.NewWorker(t.Context(), r.nc, r.js, r.exec, r.exec, cfg); err != nil {
		t.Fatal(err)
	}
	if r.client, err = jobs.NewClient(t.Context(), r.nc, r.js, ""); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- r.worker.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the worker ended with %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("the worker ended at once: %v", err)
	}
}

// checkSwept: nothing of any job is left on the worker's disk.
func (r *rig) checkSwept(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(r.dir, "scratch", "jobs"))
	if err != nil {
		t.Error(err)
	}
	for _, e := range left {
		t.Errorf("workspace %s is left", e.Name())
	}
}

func startNATS(t *testing.T) string {
	t.Helper()
	s, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("nats-server does not come up")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL()
}

// guest pushes a module of testdata/guests, once.
func (r *rig) guest(t *testing.T, name string) jobs.Tool {
	t.Helper()
	if tool, ok := r.tools[name]; ok {
		return tool
	}
	wasm, err := os.ReadFile(filepath.Join("testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return r.push(t, name, wasm)
}

func (r *rig) push(t *testing.T, name string, wasm []byte) jobs.Tool {
	t.Helper()
	d, err := r.store.PutBlobBytes(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	tool := jobs.Tool{Name: name, Version: "1", Digest: d, Size: int64(len(wasm))}
	r.tools[name] = tool
	return tool
}

// tree uploads files and gives the source that names them.
func (r *rig) tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") { // an empty directory
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, _, err := r.store.PutTree(t.Context(), dir, artifacts.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(d)
}

// put stores an object of the bucket and gives its address.
func (r *rig) put(t *testing.T, key, content string) string {
	t.Helper()
	if err := r.store.Put(t.Context(), "", key, []byte(content)); err != nil {
		t.Fatal(err)
	}
	return "s3://" + r.store.Bucket() + "/" + key
}

// get reads an object by its s3:// address.
func (r *rig) get(t *testing.T, address string) string {
	t.Helper()
	bucket, key, err := artifacts.ParseObject(address)
	if err != nil {
		t.Fatal(err)
	}
	data, err := r.store.Get(t.Context(), bucket, key, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// act makes a job of the act guest that does what words say.
func (r *rig) act(t *testing.T, words string, o limits.RunOption) *jobs.Job {
	t.Helper()
	return &jobs.Job{Tool: r.guest(t, "act"), Args: strings.Fields(words), Options: o}
}

// submit sends a job without waiting for it.
func (r *rig) submit(t *testing.T, j *jobs.Job) string {
	t.Helper()
	receipt, err := r.client.Submit(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.ID
}

// await gives the records of jobs that were submitted.
func (r *rig) await(t *testing.T, ids ...string) map[string]*jobs.Record {
	t.Helper()
	w, err := r.client.NewWaiter("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, id := range ids {
		w.Expect(id)
	}
	w.LookNow()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	got := map[string]*jobs.Record{}
	for len(got) < len(ids) {
		rec, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("%d of %d jobs ended: %v\n%s", len(got), len(ids), err, r.logs)
		}
		got[rec.ID] = rec
	}
	return got
}

// run submits a job and gives its result.
func (r *rig) run(t *testing.T, j *jobs.Job) *jobs.Result {
	t.Helper()
	w, err := r.client.NewWaiter("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if j.ID == "" {
		j.ID = jobs.NewID()
	}
	w.Expect(j.ID)
	r.submit(t, j)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	rec, err := w.Next(ctx)
	if err != nil {
		t.Fatalf("the job does not end: %v\n%s", err, r.logs)
	}
	return rec.Result
}

// want is what a result must be. Zero fields are not looked at, save the
// outcome.
type want struct {
	outcome jobs.Outcome
	exit    int
	stdout  string
	stderr  string   // a part of it
	err     []string // parts of the error
	denial  string   // part of "what target rule" of one denial
}

func (w want) check(t *testing.T, res *jobs.Result) {
	t.Helper()
	if res.Outcome != w.outcome || w.outcome == jobs.Exited && res.ExitCode != w.exit {
		t.Fatalf("outcome %s (exit %d, error %q), want %s (exit %d)\nstdout %.300q\nstderr %.300q", res.Outcome, res.ExitCode, res.Error, w.outcome, w.exit, res.Stdout, res.Stderr)
	}
	if w.stdout != "" && string(res.Stdout) != w.stdout {
		t.Errorf("stdout %.300q, want %.300q", res.Stdout, w.stdout)
	}
	if !strings.Contains(string(res.Stderr), w.stderr) {
		t.Errorf("stderr %.300q does not say %q", res.Stderr, w.stderr)
	}
	for _, part := range w.err {
		if !strings.Contains(res.Error, part) {
			t.Errorf("error %q does not say %q", res.Error, part)
		}
	}
	if w.outcome == jobs.Succeeded && res.Error != "" {
		t.Errorf("succeeded, with error %q", res.Error)
	}
	if w.denial != "" {
		var all []string
		for _, d := range res.Denials {
			all = append(all, d.What+" "+d.Target+" "+d.Rule)
		}
		if !strings.Contains(strings.Join(all, "\n"), w.denial) {
			t.Errorf("denials %q do not say %q", all, w.denial)
		}
	}
}

// alive: the worker still runs jobs.
func (r *rig) alive(t *testing.T) {
	t.Helper()
	want{outcome: jobs.Succeeded}.check(t, r.run(t, &jobs.Job{Tool: r.guest(t, "noop")}))
}

// counter sums a counter of the executor over its attributes.
func counter(t *testing.T, name string) int64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := metrics.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if data, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
				for _, p := range data.DataPoints {
					sum += p.Value
				}
			}
		}
	}
	return sum
}

// syncBuffer is a log that tests read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
