package submitcli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"boxfleet/artifacts"
	"boxfleet/artifacts/storetest"
	"boxfleet/internal/fleet"
	"boxfleet/internal/submitcli"
	"boxfleet/jobs"
)

// The fleet of this test binary: a real nats-server and a real S3 server over
// sockets, and a real jobs.Worker. Its handler does what a test tells it for a
// tool, so that tests can have results no honest worker gives. Tests with the
// real worker and real guests are those of cmd/submit.
var (
	s3    *storetest.Server
	queue *natsserver.Server
	main  *fleetUnderTest
)

const natsUser, natsPassword = "submit", "s3cret"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run starts the fleet, runs the tests, stops everything, and then looks
// whether a goroutine was left behind.
func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "submitcli-*")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if s3, err = storetest.Start(""); err != nil {
		return 1, err
	}
	if queue, err = startNATS(filepath.Join(dir, "nats")); err != nil {
		return 1, errors.Join(err, s3.Stop())
	}
	if main, err = startFleet(dir); err != nil {
		return 1, errors.Join(err, s3.Stop())
	}
	code = m.Run()
	err = main.stop()
	queue.Shutdown()
	queue.WaitForShutdown()
	if err = errors.Join(err, s3.Stop()); err == nil && code == 0 {
		err = goleak.Find()
	}
	return code, err
}

func startNATS(dir string) (*natsserver.Server, error) {
	s, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, Username: natsUser, Password: natsPassword,
		JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, JetStreamMaxStore: 1 << 40,
	})
	if err != nil {
		return nil, err
	}
	go s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		return nil, errors.New("the NATS server does not come up")
	}
	return s, nil
}

// guest is what a test lets a tool do.
type guest func(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error)

// fleetUnderTest is a worker and the context file that names everything.
type fleetUnderTest struct {
	context string // path
	store   *artifacts.Store
	nc      *nats.Conn
	js      jetstream.JetStream
	cancel  context.CancelFunc
	ended   chan error

	mu     sync.Mutex
	guests map[string]guest
	runs   map[string]int // attempts by job id
}

func startFleet(dir string) (*fleetUnderTest, error) {
	f := &fleetUnderTest{guests: map[string]guest{}, runs: map[string]int{}, ended: make(chan error, 1)}
	cfg := s3.Config("submitcli")
	c := fleet.Context{
		NATS: fleet.NATS{URL: queue.ClientURL(), User: natsUser, Password: natsPassword},
		S3:   fleet.S3{Endpoint: cfg.Endpoint, AccessKey: cfg.AccessKey, SecretKey: string(cfg.SecretKey), Bucket: cfg.Bucket},
	}
	var err error
	if f.context, err = c.Save(dir); err != nil {
		return nil, err
	}
	if f.store, err = artifacts.Open(cfg); err != nil {
		return nil, err
	}
	if err := f.store.EnsureBucket(context.Background()); err != nil {
		return nil, err
	}
	if f.nc, f.js, err = jobs.Connect(context.Background(), c.Conn("test worker")); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	w, err := jobs.NewWorker(ctx, f.nc, f.js, f, f, jobs.WorkerConfig{Name: "test", Slots: 16, Grace: time.Millisecond, PollEvery: 50 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go func() { f.ended <- w.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
		return f, nil
	case err := <-f.ended:
		return nil, err
	}
}

func (f *fleetUnderTest) stop() error {
	f.cancel()
	err := <-f.ended
	f.nc.Close()
	f.store.Close()
	return err
}

// Run is the worker's handler.
func (f *fleetUnderTest) Run(ctx context.Context, a *jobs.Attempt) (*jobs.Result, error) {
	f.mu.Lock()
	g := f.guests[a.Job.Tool.Name]
	if g == nil { // a module that is not registered yet
		g = f.guests[string(a.Job.Tool.Digest)]
	}
	f.runs[a.Job.Tenant+"."+a.Job.ID]++
	f.mu.Unlock()
	if g == nil {
		return &jobs.Result{Outcome: jobs.Invalid, ExitCode: -1, Error: "no such guest"}, nil
	}
	return g(ctx, a)
}

// Commit takes outputs as they are.
func (f *fleetUnderTest) Commit(_ context.Context, _ *jobs.Attempt, r *jobs.Result) (*jobs.Result, error) {
	return r, nil
}

// user is one test's tenant, so that tests do not see each other's jobs.
type user struct {
	t      *testing.T
	f      *fleetUnderTest
	tenant string
	client *jobs.Client
}

func newUser(t *testing.T) *user {
	t.Helper()
	u := &user{t: t, f: main, tenant: "t" + rand.Text()[:10]}
	var err error
	if u.client, err = jobs.NewClient(t.Context(), main.nc, main.js, u.tenant); err != nil {
		t.Fatal(err)
	}
	return u
}

// tool registers a tool that does what g says, and gives its name.
func (u *user) tool(g guest) string {
	u.t.Helper()
	name := "g" + strings.ToLower(rand.Text()[:12])
	u.f.mu.Lock()
	u.f.guests[name] = g
	u.f.mu.Unlock()
	if _, err := u.client.Register(u.t.Context(), jobs.Manifest{
		Name: name, Version: "1.0.0", Digest: artifacts.DigestBytes([]byte(name)), Size: 1,
		InputSchema: []byte(`{"type":"object","properties":{"name":{"type":"string"},"times":{"type":"integer"}},"additionalProperties":false}`),
	}); err != nil {
		u.t.Fatal(err)
	}
	return name
}

// runs is how often a job was started.
func (u *user) runs(id string) int {
	u.f.mu.Lock()
	defer u.f.mu.Unlock()
	return u.f.runs[u.tenant+"."+id]
}

// said is what one call of the program left.
type said struct {
	code     int
	out, err string
}

// submit runs the program.
func (u *user) submit(args ...string) said {
	u.t.Helper()
	return u.submitIn(u.t.Context(), strings.NewReader(""), args...)
}

func (u *user) submitIn(ctx context.Context, stdin io.Reader, args ...string) said {
	u.t.Helper()
	return call(ctx, stdin, append([]string{"--context", u.f.context, "--tenant", u.tenant}, args...)...)
}

func call(ctx context.Context, stdin io.Reader, args ...string) said {
	var out, errOut lockedBuffer
	p := submitcli.Program{Stdin: stdin, Stdout: &out, Stderr: &errOut}
	code := p.Run(ctx, args)
	return said{code, out.String(), errOut.String()}
}

// lockedBuffer may be written to and read at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// want holds a call to an exit code and to parts of what it says.
func (s said) want(t *testing.T, code int, out, errText string) said {
	t.Helper()
	if s.code != code {
		t.Errorf("exit code %d, want %d", s.code, code)
	}
	if s.out != out && (out == "" || !strings.Contains(s.out, out)) {
		t.Errorf("standard output %q, want %q", s.out, out)
	}
	if errText == "" && s.err != "" || !strings.Contains(s.err, errText) {
		t.Errorf("standard error %q, want %q", s.err, errText)
	}
	if t.Failed() {
		t.Logf("code %d\nstdout: %.2000s\nstderr: %.2000s", s.code, s.out, s.err)
	}
	return s
}

// file writes a file of the test's own and gives its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// done is the result of a guest that ends by itself.
func done(code int, stdout, stderr string) *jobs.Result {
	r := &jobs.Result{Outcome: jobs.Succeeded, ExitCode: code, Stdout: jobs.Text(stdout), Stderr: jobs.Text(stderr), FuelConsumed: 1}
	if code != 0 {
		r.Outcome = jobs.Exited
	}
	return r
}

// echo prints its arguments, one a line, then its standard input.
func echo(_ context.Context, a *jobs.Attempt) (*jobs.Result, error) {
	text := strings.Join(a.Job.Args, "\n") + "\n"
	if s := a.Job.Stdin; s != nil {
		text += s.Inline + s.Source
	}
	return done(0, text, ""), nil
}

func program(out, errOut io.Writer) submitcli.Program {
	return submitcli.Program{Stdin: strings.NewReader(""), Stdout: out, Stderr: errOut}
}
